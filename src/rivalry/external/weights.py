"""Weights that a user brings: read without running any code in them, and put into the network they belong to."""

from __future__ import annotations

import pickle
import pickletools
import re
import tarfile
import warnings
import zipfile
from collections import OrderedDict
from collections.abc import Iterable, Iterator, Mapping, Set
from difflib import get_close_matches
from itertools import islice
from pathlib import Path, PurePosixPath
from typing import IO

import torch
from torch import Tensor, nn

from rivalry.errors import RivalryError, one_line

SAVE = "torch.save(model.state_dict(), 'weights.pth')"
NESTED = ("state_dict", "model_state_dict", "model", "net", "network", "weights", "params")
"""Under which of a checkpoint's keys a network's weights lie, where there are other tensors too."""
WRAPPERS = ("module.", "_orig_mod.", "model.", "net.", "network.")
"""What containers of networks (DataParallel, torch.compile, Lightning) put in front of the names of weights."""
SHOWN = 3
"""Names that a line lists, of however many there are."""
VERSIONS = "_metadata"
"""What PyTorch calls the versions of modules that it keeps with a state dict."""
HARMLESS = re.compile(r"collections\.OrderedDict|torch\._utils\._rebuild_\w+|torch\.storage\.\w+|torch\.\w*Storage")
"""What PyTorch writes into every file of tensors."""
SAFETENSORS_HEADER = 8
"""Bytes before a safetensors file's JSON that say how long it is."""

STARTS = (
    (b"version https://git-lfs", "is a Git LFS pointer, not the file itself; fetch it: git lfs pull"),
    (b"<!doctype", "is a web page, not the file; download the file itself"),
    (b"<html", "is a web page, not the file; download the file itself"),
    (b"<?xml", "is a web page, not the file; download the file itself"),
    (b"\x89hdf", f"is an HDF5 file, as Keras writes; give PyTorch's weights: {SAVE}"),
    (b"\x93numpy", "is one NumPy array, not named weights; write safetensors.torch.save_file({name: tensor}, ...)"),
    (b"\x1f\x8b", "is packed with gzip; unpack it"),
    (b"7z\xbc\xaf", "is packed; unpack it"),
)
"""First bytes, in small letters, of what is no file of weights, and the words for it."""


def read_weights(path: str | Path) -> dict[str, Tensor]:
    """The named tensors in a file, on the CPU, as they were saved.

    What the file is, its content says, not its name: safetensors; a state dict that `torch.save` wrote, alone or in a
    checkpoint (of Lightning, for instance); or a TorchScript archive. Nothing in it is run: of a pickle, only tensors
    and plain values are taken.

    Raises
    ------
    RivalryError
        It cannot be read, is none of these, is damaged, or holds code; the line says which, and what to do.
    """
    path = Path(path)
    kind = kind_of(path)
    if kind == "safetensors":
        return _read_safetensors(path)
    if kind == "torchscript":
        return {name: tensor.detach() for name, tensor in load_torchscript(path).state_dict().items()}
    return _named_tensors(load_state(path), path)


def load_state(path: str | Path) -> object:
    """What `torch.save` wrote, on the CPU, where it is tensors and plain values only.

    Raises
    ------
    RivalryError
        It holds code, or is damaged.
    """
    path = Path(path)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # about how the pickle was written: it is read, or refused below
            return torch.load(path, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as error:
        found = re.search(r"GLOBAL (\S+)", str(error))
        name = found[1] if found else next(_names_of_code(path), None)
        raise RivalryError(f"{path}: {_refusal(name)}") from error
    except Exception as error:  # whatever the reader makes of damaged bytes
        raise RivalryError(f"{path}: is cut short or damaged ({_last_line(error)}); copy or save it again") from error


def load_torchscript(path: str | Path) -> nn.Module:
    """The network in a TorchScript archive, on the CPU and in evaluation mode.

    Raises
    ------
    RivalryError
        It is not such an archive, or is damaged.
    """
    path = Path(path)
    if kind_of(path) != "torchscript":
        raise RivalryError(
            f"{path}: has weights but no network; give the code of the network as model, and this file as weights"
        )
    try:
        with warnings.catch_warnings():
            warnings.simplefilter(
                "ignore", DeprecationWarning
            )  # that exporting is the newer way: not the reader's choice
            module: nn.Module = torch.jit.load(str(path), map_location="cpu")
        return module.eval()
    except Exception as error:  # whatever its reader makes of the bytes
        raise RivalryError(f"{path}: TorchScript cannot load it ({_last_line(error)})") from error


def beginning(path: Path) -> bytes:
    """The first bytes of a user's file.

    Raises
    ------
    RivalryError
        There is no such file, it cannot be read, or these bytes tell that it is neither weights nor a network.
    """
    try:
        if path.is_dir():
            raise RivalryError(f"{path}: is a folder; give the file in it")
        if not path.is_file():
            raise RivalryError(f"{path}: no such file")
        with path.open("rb") as file:
            start = file.read(64)
    except (OSError, ValueError) as error:
        raise RivalryError(f"{path}: cannot be read ({getattr(error, 'strerror', None) or error})") from error
    if not start:
        raise RivalryError(f"{path}: is empty; copy or save it again")
    plain = start.lstrip().lower()
    for bytes_, words in STARTS:
        if plain.startswith(bytes_) or start.lower().startswith(bytes_):
            raise RivalryError(f"{path}: {words}")
    return start


def kind_of(path: Path) -> str:
    """What a file of weights is: 'safetensors', 'torchscript' or 'pickle'.

    Raises
    ------
    RivalryError
        It is none of these, cannot be read, or is damaged.
    """
    start = beginning(path)
    if start.startswith(b"PK\x03\x04"):
        return _kind_of_archive(path)
    header = int.from_bytes(start[:SAFETENSORS_HEADER], "little")
    if start[SAFETENSORS_HEADER : SAFETENSORS_HEADER + 1] == b"{" or (
        path.suffix == ".safetensors" and not start.startswith(b"\x80")
    ):
        if not 2 <= header <= path.stat().st_size - SAFETENSORS_HEADER:
            raise RivalryError(f"{path}: is cut short or damaged; copy or save it again")
        return "safetensors"
    if start.startswith(b"\x80"):
        return "pickle"
    if path.suffix == ".onnx":
        raise RivalryError(f"{path}: is an ONNX network, not weights alone; give it as model, without weights")
    if tarfile.is_tarfile(path):
        raise RivalryError(
            f"{path}: is a tar archive; unpack it, or, where PyTorch before 0.2 wrote it, load it there and save it "
            f"anew: {SAVE}"
        )
    raise RivalryError(f"{path}: holds no weights; give a safetensors file, or what {SAVE} writes")


def _kind_of_archive(path: Path) -> str:
    try:
        with zipfile.ZipFile(path) as archive:
            members = [PurePosixPath(name) for name in archive.namelist()]
            damaged = archive.testzip()  # PyTorch does not look at its files' checksums
    except (zipfile.BadZipFile, OSError, EOFError, NotImplementedError, RuntimeError, ValueError) as error:
        raise RivalryError(f"{path}: is cut short or damaged; copy or save it again") from error
    if damaged is not None:
        raise RivalryError(f"{path}: is damaged at {one_line(damaged)}; copy or save it again")
    names = {member.name for member in members}
    if "constants.pkl" in names and any("code" in member.parts for member in members):
        return "torchscript"
    if "schema.json" in names:
        raise RivalryError(f"{path}: is a classifier that skops wrote, not weights; give it as model, without weights")
    if any(name.endswith(".npy") for name in names):
        raise RivalryError(
            f"{path}: holds NumPy arrays; write them as safetensors.numpy.save_file({{name: array}}, "
            "'weights.safetensors')"
        )
    if "archive_format" in names or any("aotinductor" in member.parts for member in members):
        raise RivalryError(f"{path}: is a program that torch.export wrote; save the network's weights: {SAVE}")
    if "data.pkl" in names:
        return "pickle"
    raise RivalryError(f"{path}: is an archive without weights; unpack it, or give what {SAVE} writes")


def _read_safetensors(path: Path) -> dict[str, Tensor]:
    from safetensors.torch import load_file

    try:
        tensors: dict[str, Tensor] = load_file(str(path))
    except Exception as error:
        raise RivalryError(f"{path}: is cut short or damaged ({_last_line(error)}); copy or save it again") from error
    if not tensors:
        raise RivalryError(f"{path}: holds no tensors; save the network's weights")
    return tensors


def _refusal(name: str | None) -> str:
    if name is None:
        return f"PyTorch did not write this pickle; save the network's weights: {SAVE}"
    what = f"is a pickle that holds more than tensors ({one_line(name)}), and loading it would run code"
    if name.startswith("sklearn."):
        return f"{what}; save the classifier by skops.io.dump(classifier, 'model.skops'), and give that as model"
    return f"{what}; where you trust it, load it and save the weights alone: {SAVE}"


def _names_of_code(path: Path) -> Iterator[str]:
    """What a pickle would import when it is loaded, apart from what every file of tensors does."""
    try:
        if zipfile.is_zipfile(path):
            with zipfile.ZipFile(path) as archive:
                name = next(name for name in archive.namelist() if PurePosixPath(name).name == "data.pkl")
                with archive.open(name) as file:
                    yield from _imports(file)
        else:
            with path.open("rb") as file:
                yield from _imports(file)
    except (ValueError, OSError, StopIteration):
        return  # it is no whole pickle


def _imports(file: IO[bytes]) -> Iterator[str]:
    """The globals that the operations of a pickle name, read without running them."""
    strings: list[str] = []
    memo: dict[int, str] = {}
    for operation, argument, _ in pickletools.genops(file):
        name = ""
        if operation.name == "MEMOIZE" or operation.name.endswith("PUT"):
            if strings:
                memo[len(memo) if argument is None else argument] = strings[-1]
        elif operation.name.endswith("GET"):
            strings.append(memo.get(int(str(argument)), ""))
        elif operation.name == "GLOBAL":
            name = str(argument).replace(" ", ".")
            strings.append("")
        elif operation.name == "STACK_GLOBAL" and len(strings) > 1:
            name = f"{strings[-2]}.{strings[-1]}"
            strings.append("")
        else:
            strings.append(argument if isinstance(argument, str) else "")
        if name and not HARMLESS.fullmatch(name):
            yield name


def _named_tensors(loaded: object, path: Path) -> dict[str, Tensor]:
    """The one state dict in what was loaded: itself, or below one of its keys."""
    if not isinstance(loaded, Mapping):
        what = type(loaded).__name__
        raise RivalryError(f"{path}: holds a {what}, not weights by name; give what {SAVE} writes")
    inside = {key: value for key, value in loaded.items() if isinstance(value, Mapping) and _has_tensors(value)}
    if not inside:
        tensors = _tensors_of(loaded)
        if not tensors:
            raise RivalryError(f"{path}: holds no tensors by name; give what {SAVE} writes")
        return tensors
    known = [key for key in NESTED if key in inside]
    if not known and len(inside) > 1:
        names = ", ".join(f"'{one_line(str(key))}'" for key in inside)
        raise RivalryError(f"{path}: holds the weights of several networks ({names}); save those of one: {SAVE}")
    return _named_tensors(inside[(known or list(inside))[0]], path)


def _tensors_of(mapping: Mapping[object, object]) -> dict[str, Tensor]:
    found = {
        key: value.detach() for key, value in mapping.items() if isinstance(key, str) and isinstance(value, Tensor)
    }
    return _of_versions(found, getattr(mapping, VERSIONS, None))


def _of_versions(tensors: Mapping[str, Tensor], versions: object) -> dict[str, Tensor]:
    """Tensors with the versions of the modules that wrote them, by which PyTorch's modules read old files."""
    made: dict[str, Tensor] = OrderedDict(tensors)
    if versions is not None:
        setattr(made, VERSIONS, versions)
    return made


def _has_tensors(mapping: Mapping[object, object]) -> bool:
    return bool(_tensors_of(mapping)) or any(
        isinstance(value, Mapping) and _has_tensors(value) for key, value in mapping.items() if key in NESTED
    )


def load_into(module: nn.Module, tensors: Mapping[str, Tensor], path: str | Path) -> list[str]:
    """Give a network its weights, in place; all of them, and no others.

    A name that a container put in front of all names (`WRAPPERS`) is no part of them. Numbers of another precision
    become the network's own.

    Parameters
    ----------
    module : nn.Module
        The network.
    tensors : mapping
        What `read_weights` read.
    path : path
        The file they are from, for messages.

    Returns
    -------
    list of str
        What was changed on the way, one sentence each.

    Raises
    ------
    RivalryError
        Names or shapes do not fit, or a weight is no finite number.
    """
    own: dict[str, Tensor] = module.state_dict(keep_vars=True)
    given, notes = _renamed(tensors, own)
    given, conversions = _converted(given, own, path)
    try:
        versions = None if notes else getattr(tensors, VERSIONS, None)
        _, unexpected = module.load_state_dict(_of_versions(given, versions), strict=False)
    except (RuntimeError, AssertionError) as error:  # PyTorch's, and those of modules that read their own
        wrong = [name for name in given if name in own and own[name].shape != given[name].shape]
        raise RivalryError(f"{path}: {_of_other_shape(wrong, given, own) or _last_line(error)}") from error
    missing = _lacking(own, set(given))
    if missing or unexpected:
        raise RivalryError(f"{path}: {_of_other_names(missing, unexpected, list(given), list(own))}")
    return notes + conversions


def _lacking(own: Mapping[str, Tensor], given: Set[str]) -> list[str]:
    """The network's tensors that are not among the names given, and are needed.

    Of one tensor with two names, some formats store one. How many batches a batch normalisation has seen was not
    stored before PyTorch 0.4, and changes no answer.
    """
    present = {id(tensor) for name, tensor in own.items() if name in given}
    return [
        name
        for name, tensor in own.items()
        if name not in given and id(tensor) not in present and not name.endswith("num_batches_tracked")
    ]


def _renamed(tensors: Mapping[str, Tensor], own: Mapping[str, Tensor]) -> tuple[dict[str, Tensor], list[str]]:
    """The tensors by the network's names, where a container's are what differs; as many as can be are the same then."""
    fronts = [(ours, theirs) for ours in _fronts(own) for theirs in _fronts(tensors)]

    def shared(pair: tuple[str, str]) -> int:
        ours, theirs = pair
        return sum(ours + name.removeprefix(theirs) in own for name in tensors)

    ours, theirs = max(fronts, key=shared)
    if ours == theirs:
        return dict(tensors), []
    there, here = (f"'{front}'" if front else "nothing" for front in (theirs, ours))
    return (
        {ours + name.removeprefix(theirs): tensor for name, tensor in tensors.items()},
        [f"names of weights have {there} in front in the file, and {here} in the network"],
    )


def _fronts(names: Iterable[str]) -> Iterator[str]:
    """What may stand in front of all names: nothing, one container's name, or several."""
    names, front = list(names), ""
    while True:
        yield front
        found = next((w for w in WRAPPERS if names and all(name.startswith(front + w) for name in names)), None)
        if found is None:
            return
        front += found


def _converted(
    given: Mapping[str, Tensor], own: Mapping[str, Tensor], path: str | Path
) -> tuple[dict[str, Tensor], list[str]]:
    """The tensors in the network's precision, and what that changed."""
    made, kinds = dict(given), set()
    for name, tensor in given.items():
        kind = own[name].dtype if name in own else tensor.dtype
        there, here = (str(dtype).removeprefix("torch.") for dtype in (tensor.dtype, kind))
        if kind.is_floating_point != tensor.is_floating_point():
            raise RivalryError(f"{path}: {one_line(name)} is {there}, and the network's is {here}; save it as {here}")
        if tensor.is_floating_point():
            made[name] = tensor.to(kind)
            if not bool(made[name].isfinite().all()):
                raise RivalryError(
                    f"{path}: {one_line(name)} holds NaN or infinity; give the weights of a training that did not fail"
                )
            if there != here:
                kinds.add(f"weights are {there} in the file, and were converted to {here}")
    return made, sorted(kinds)


def _of_other_shape(wrong: list[str], given: Mapping[str, Tensor], own: Mapping[str, Tensor]) -> str:
    if not wrong:
        return ""
    name, *others = wrong
    there, here = tuple(given[name].shape), tuple(own[name].shape)
    more = f", and {len(others)} more {'differs' if len(others) == 1 else 'differ'}" if others else ""
    return (
        f"{one_line(name)} has shape {there} in the file and {here} in the network{more}; "
        "give the number of classes and the other arguments with which it was trained"
    )


def _of_other_names(missing: list[str], unexpected: list[str], given: list[str], own: list[str]) -> str:
    right = "give the architecture and the arguments with which it was trained"
    if len(unexpected) == len(given):
        return f"none of its {len(given)} tensors ({_some(given)}) is among the network's ({_some(own)}); {right}"
    faults = []
    if missing:
        faults.append(f"lacks {len(missing)} of the network's {len(own)} tensors ({_some(missing)})")
    if unexpected:
        faults.append(f"has {len(unexpected)} that the network lacks ({_some(unexpected)})")
    for name in missing:
        if close := get_close_matches(name, unexpected, n=1, cutoff=0.6):
            return f"{' and '.join(faults)}; is {one_line(close[0])} the network's {one_line(name)}?"
    return f"{' and '.join(faults)}; {right}"


def _some(names: list[str]) -> str:
    shown = ", ".join(one_line(name) for name in islice(names, SHOWN))
    return f"{shown}, ..." if len(names) > SHOWN else shown


def _last_line(error: Exception) -> str:
    """An exception's own words, on one line."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return one_line(lines[-1] if lines else type(error).__name__)
