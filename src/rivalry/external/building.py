"""Building a victim from what a user brings: the network, its weights, and what stands around it."""

from __future__ import annotations

import copy
import inspect
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import nn

from rivalry.artifacts import checksum
from rivalry.codehash import modules_behind
from rivalry.errors import RivalryError, nearest
from rivalry.external.spec import Spec, found
from rivalry.external.weights import load_into, load_torchscript, read_weights
from rivalry.external.wrapping import Wrapped, class_order
from rivalry.usercode import imported, running


@dataclass(frozen=True)
class Brought:
    """A victim from outside.

    Attributes
    ----------
    victim : Wrapped
        In evaluation mode, on the CPU.
    files : dict
        SHA-256 of each of the user's files that it is made of, by its path: code and weights.
    notes : list of str
        What was changed on the way, one sentence each.
    """

    victim: Wrapped
    files: dict[str, str] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)


def bring(
    model: str,
    *,
    weights: str | None = None,
    arguments: Mapping[str, Any] | None = None,
    normalize: Mapping[str, Any] | None = None,
    input: Mapping[str, Any] | None = None,
    outputs: str = "logits",
    classes: Sequence[str | int] | None = None,
    class_names: Sequence[str] = (),
) -> Brought:
    """A network with its weights, as a classifier like any other.

    Parameters
    ----------
    model : str
        What names it; see `rivalry.external.spec`.
    weights : path, optional
        Safetensors, or a state dict.
    arguments : dict, optional
        What the class or function is called with.
    normalize : dict, optional
        `mean` and `std`, a number per channel.
    input : dict, optional
        What the network wants: `size` (a number, or height and width), `channels` (1 or 3), `range` (low, high).
    outputs : str
        "logits", "probabilities" or "sigmoid".
    classes : sequence of str or int, optional
        Of each output, the class of the data set. Left out, output k is class k.
    class_names : sequence of str
        The data set's classes; needed where `classes` is given.

    Raises
    ------
    RivalryError
        It cannot be brought; one line that begins with the key.
    """
    spec, network = _network(model, arguments or {})
    files = _code_files(spec) if spec.code else [spec.source] if spec.stored else []
    notes: list[str] = []
    if weights is not None:
        with _told("weights"):
            if spec.stored:
                raise RivalryError(f"{spec.source} has its own; leave this key out")
            notes = load_into(network, read_weights(weights), weights)
        files = [*files, weights]
    wanted = input or {}
    size = wanted.get("size")
    victim = Wrapped(
        network,
        size=(size, size) if isinstance(size, int) else size and tuple(size),
        channels=wanted.get("channels"),
        range_=wanted.get("range", (0.0, 1.0)),
        mean=(normalize or {}).get("mean"),
        std=(normalize or {}).get("std"),
        outputs=outputs,
        order=None if classes is None else class_order(classes, class_names),
    )
    return Brought(victim.eval(), {path: checksum(path) for path in files}, notes)


def _network(model: str, arguments: Mapping[str, Any]) -> tuple[Spec, nn.Module]:
    """The network that a text names, on the CPU; what it is with no weights loaded into it."""
    with _told("model"):
        spec = found(model)
        if arguments and spec.stored:
            raise RivalryError(f"{spec.source} takes no arguments; leave arguments out")
        with _as_before():
            network = BUILDERS[spec.kind](spec, arguments)
    if isinstance(network, nn.DataParallel):
        network = network.module
    return spec, network.cpu()


def _from_code(spec: Spec, arguments: Mapping[str, Any]) -> nn.Module:
    """What a user's class or function gives; a network that the code holds ready is copied."""
    built = imported(spec.source, spec.name)
    where = f"{spec.source}:{spec.name}"
    if isinstance(built, nn.Module):
        if arguments:
            raise RivalryError(f"{where} is a network already and takes no arguments; leave arguments out")
        return copy.deepcopy(built)
    if not callable(built):
        raise RivalryError(f"{where} is a {type(built).__name__}; name a class or function that gives a network")
    _check_arguments(built, arguments, where)
    with running(spec.source):
        network = built(**arguments)
    if not isinstance(network, nn.Module):
        raise RivalryError(f"{where} gives a {type(network).__name__}, not a torch.nn.Module")
    return network


def _check_arguments(built: Callable[..., object], arguments: Mapping[str, Any], where: str) -> None:
    try:
        taken = inspect.signature(built).parameters
    except (TypeError, ValueError):  # written in C; the call will tell
        return
    kinds = {parameter.kind for parameter in taken.values()}
    named = [name for name, one in taken.items() if one.kind in (one.POSITIONAL_OR_KEYWORD, one.KEYWORD_ONLY)]
    if inspect.Parameter.VAR_KEYWORD not in kinds:
        for name in arguments:
            if name not in named:
                hint = nearest(name, named) if named else "it takes none"
                raise RivalryError(f"{where} has no argument '{name}'; {hint}")
    for name, one in taken.items():
        if one.default is one.empty and one.kind not in (one.VAR_KEYWORD, one.VAR_POSITIONAL):
            if one.kind is one.POSITIONAL_ONLY:
                raise RivalryError(f"{where} takes '{name}' by its place only; give it a function that needs no such")
            if name not in arguments:
                raise RivalryError(f"{where} needs '{name}'; give it under arguments")


BUILDERS: dict[str, Callable[[Spec, Mapping[str, Any]], nn.Module]] = {
    "code": _from_code,
    "torchscript": lambda spec, _: load_torchscript(spec.source),
}


def _code_files(spec: Spec) -> list[str]:
    """The user's files that its code comes from; those beside the file that was named by paths like its own."""
    files = [path for path in modules_behind(spec.code) if path.endswith(".py")]
    folder, given = Path(spec.source).absolute().parent, Path(spec.source).parent
    inside = spec.source.endswith(".py")
    return [
        str(given / Path(path).relative_to(folder)) if inside and Path(path).is_relative_to(folder) else path
        for path in files
    ]


@contextmanager
def _told(key: str) -> Iterator[None]:
    """Put a key's name before what is wrong."""
    try:
        yield
    except RivalryError as error:
        raise RivalryError(f"{key}: {error}") from error


@contextmanager
def _as_before() -> Iterator[None]:
    """What a user's code sets for all of PyTorch is set back: gradients, precision, device, threads."""
    gradients, precision = torch.is_grad_enabled(), torch.get_default_dtype()
    device, threads = torch.get_default_device(), torch.get_num_threads()
    try:
        yield
    finally:
        torch.set_grad_enabled(gradients)
        torch.set_default_dtype(precision)
        if torch.get_default_device() != device:
            torch.set_default_device(None if device.type == "cpu" else device)
        if torch.get_num_threads() != threads:
            torch.set_num_threads(threads)
