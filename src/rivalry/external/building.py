"""Building a victim from what a user brings: the network, its weights, and what stands around it."""

from __future__ import annotations

import copy
import inspect
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import nn

from rivalry.artifacts import checksum
from rivalry.codehash import modules_behind
from rivalry.errors import RivalryError, nearest
from rivalry.external.estimators import estimator
from rivalry.external.published import Preset, published
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
    code : str or None
        The user's code that is run when it is asked, as `rivalry.usercode` takes it.
    files : dict
        SHA-256 of each of the user's files that it is made of, by its path: code and weights.
    notes : list of str
        What was changed on the way, one sentence each.
    """

    victim: Wrapped
    code: str | None
    files: dict[str, str]
    notes: list[str]


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
    learned: bool = True,
) -> Brought:
    """A network with its weights, as a classifier like any other.

    Parameters
    ----------
    model : str
        What names it; see `rivalry.external.spec`.
    weights : path or str, optional
        Safetensors, or a state dict; or the name of published weights, of a network that a library knows.
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
    learned : bool
        Whether its weights are read; without them it is to be given tensors that were stored of it.

    Raises
    ------
    RivalryError
        It cannot be brought; one line that begins with the key.
    """
    with _told("model"):
        spec = found(model)
    by_name = weights if weights and re.fullmatch(r"\w+", weights) else None
    network, preset = _network(spec, by_name, arguments or {}, learned)
    files = _code_files(spec) if spec.kind == "code" else [spec.source] if spec.stored else []
    notes: list[str] = []
    if weights and not by_name:
        if spec.stored:
            raise RivalryError(f"weights: {spec.source} has its own; leave this key out")
        files.append(weights)
        if learned:
            with _told("weights"):
                notes = load_into(network, read_weights(weights), weights)
    wanted, normalize = dict(input or {}), dict(normalize or {})
    if preset is not None:
        notes.append(f"what is not said of its input is as {model} was trained with its weights {by_name}")
        wanted.setdefault("size", list(preset.size))
        wanted.setdefault("channels", len(preset.mean))
        normalize = normalize or {"mean": preset.mean, "std": preset.std}
    size = wanted.get("size")
    victim = Wrapped(
        network,
        size=(size, size) if isinstance(size, int) else size and tuple(size),
        channels=wanted.get("channels"),
        range_=wanted.get("range", (0.0, 1.0)),
        mean=normalize.get("mean"),
        std=normalize.get("std"),
        outputs=outputs,
        order=None if classes is None else class_order(classes, class_names),
    )
    code = spec.source if spec.kind == "code" else None
    return Brought(victim.eval(), code, {path: checksum(path) for path in files} if learned else {}, notes)


def _network(
    spec: Spec, weights: str | None, arguments: Mapping[str, Any], learned: bool
) -> tuple[nn.Module, Preset | None]:
    """The network that was named, on the CPU, and what its published weights want, if they were asked for."""
    if weights and not spec.of_library:
        raise RivalryError(
            f"weights: '{weights}' is no file; only networks of torchvision and timm have weights by name"
        )
    if arguments and spec.stored:
        raise RivalryError(f"arguments: {spec.source} takes none; leave this key out")
    preset = None
    with _as_before():
        if spec.of_library:
            network, preset = published(spec.kind, spec.source, weights, arguments, learned=learned)
        elif spec.kind == "code":
            network = _from_code(spec, arguments)
        else:
            with _told("model"):
                stored = load_torchscript(spec.source) if spec.kind == "torchscript" else None
                network = stored or estimator(spec.kind, spec.source)
    if isinstance(network, nn.DataParallel):
        network = network.module
    return network.cpu(), preset


def _from_code(spec: Spec, arguments: Mapping[str, Any]) -> nn.Module:
    """What a user's class or function gives; a network that the code holds ready is copied."""
    where = f"{spec.source}:{spec.name}"
    with _told("model"):
        built = imported(spec.source, spec.name)
        if not callable(built):
            raise RivalryError(f"{where} is a {type(built).__name__}; name a class or function that gives a network")
    if isinstance(built, nn.Module):
        if arguments:
            raise RivalryError(f"arguments: {where} is a network already, and takes none; leave this key out")
        return copy.deepcopy(built)
    _check_arguments(built, arguments, where)
    with _told("model"):
        with running(spec.source):
            network = built(**arguments)
        if not isinstance(network, nn.Module):
            raise RivalryError(f"{where} gives a {type(network).__name__}, not a torch.nn.Module")
    return network


def _check_arguments(built: Callable[..., object], arguments: Mapping[str, Any], where: str) -> None:
    """Whether a user's class or function can be called so."""
    try:
        taken = inspect.signature(built).parameters
    except (TypeError, ValueError):  # written in C; the call will tell
        return
    named = [name for name, one in taken.items() if one.kind in (one.POSITIONAL_OR_KEYWORD, one.KEYWORD_ONLY)]
    if not any(one.kind is one.VAR_KEYWORD for one in taken.values()):
        for name in arguments:
            if name not in named:
                hint = nearest(name, named) if named else "it takes none"
                raise RivalryError(f"arguments: {where} has no '{name}'; {hint}")
    for name, one in taken.items():
        if one.default is not one.empty or one.kind in (one.VAR_KEYWORD, one.VAR_POSITIONAL):
            continue
        if one.kind is one.POSITIONAL_ONLY:
            raise RivalryError(f"model: {where} takes '{name}' by its place only; name a function that needs no such")
        if name not in arguments:
            raise RivalryError(f"arguments.{name}: is missing; {where} needs it")


def _code_files(spec: Spec) -> list[str]:
    """The user's files that its code comes from; those beside the file that was named by paths like its own."""
    files = [path for path in modules_behind(f"{spec.source}:{spec.name}") if path.endswith(".py")]
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
