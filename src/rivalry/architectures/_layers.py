"""What a network is made of, found by sending images through it."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn

Layer = dict[str, Any]
Calls = dict[nn.Module, tuple[int, list[int] | None]]
"""Module -> when it was first called, and the shape of what it answered for one image."""

IMAGES = 2  # one alone could not be told from other sizes of one


def layers(victim: nn.Module, shape: Sequence[int]) -> list[Layer]:
    """The modules of a network in evaluation mode, in the order in which an image of `shape` (C,H,W) meets them.

    Lightning's summary of a model would need Lightning, which a victim that is not trained here never imports, and has
    neither kernels nor the order of calls.

    Returns
    -------
    list of dict
        layer : its name, with those that it is in before it, as in the file of weights; "" is the whole network.
        kind : its class; "Parameter" for a tensor that a module has beside its parts.
        kernel : of a convolution or pooling, with its stride and groups where they are not the usual; else "".
        output : shape of what it answers for one image; None where nothing calls it.
        parameters : those that no row before has and no row after will have, so that the sum is the network's.
    """
    calls: Calls = {}

    def begins(module: nn.Module, _: object) -> None:
        calls.setdefault(module, (len(calls), None))

    def ends(module: nn.Module, _: object, output: object) -> None:
        order, known = calls[module]
        first = _first_tensor(output)
        if known is None and first is not None:
            size = list(first.shape)
            calls[module] = order, size[1:] if size[:1] == [IMAGES] else size

    hooks = []
    # A module of TorchScript takes no hooks, and shows nothing of what it runs.
    for module in (each for each in victim.modules() if not isinstance(each, torch.jit.ScriptModule)):
        hooks += [module.register_forward_pre_hook(begins), module.register_forward_hook(ends)]
    where = next((tensor.device for tensor in victim.state_dict().values()), torch.device("cpu"))
    try:
        with torch.no_grad():
            victim(torch.full((IMAGES, *shape), 0.5, device=where))
    finally:
        for hook in hooks:
            hook.remove()
    return list(_rows("", victim, calls, set()))


def _first_tensor(output: object) -> Tensor | None:
    """What a module answers, or the first tensor of it where it answers several."""
    if isinstance(output, Tensor):
        return output
    parts = output.values() if isinstance(output, Mapping) else output if isinstance(output, tuple | list) else ()
    return next((found for part in parts if (found := _first_tensor(part)) is not None), None)


def _rows(path: str, module: nn.Module, calls: Calls, counted: set[nn.Parameter]) -> Iterator[Layer]:
    """A module and, where calls show them, its parts."""
    _, output = calls.get(module, (0, None))
    row = {"layer": path, "kind": _kind(module), "kernel": _kernel(module), "output": output, "parameters": 0}
    if not any(part in calls for part in module.modules() if part is not module):
        # It runs its parts by itself, as attention does, or has none.
        row["parameters"] = sum(_count(parameter, counted) for parameter in module.parameters())
        if module in calls or row["parameters"]:
            yield row
        return
    yield row
    within = f"{path}." if path else ""
    for name, parameter in module.named_parameters(recurse=False):
        own = {"layer": within + name, "kind": "Parameter", "kernel": "", "output": list(parameter.shape)}
        yield own | {"parameters": _count(parameter, counted)}
    for name, part in sorted(module.named_children(), key=lambda named: _when(named[1], calls)):
        yield from _rows(within + name, part, calls, counted)


def _when(module: nn.Module, calls: Calls) -> float:
    """When the first call of a module or of a part of it was."""
    return min((calls[part][0] for part in module.modules() if part in calls), default=math.inf)


def _count(parameter: nn.Parameter, counted: set[nn.Parameter]) -> int:
    """Its numbers, if it was not met before."""
    if parameter in counted:
        return 0
    counted.add(parameter)
    return parameter.numel()


def _kind(module: nn.Module) -> str:
    # A module of TorchScript knows the name of the class that it was made of.
    return str(getattr(module, "original_name", type(module).__name__))


def _kernel(module: nn.Module) -> str:
    """A convolution's or pooling's kernel: "3×3", "3×3, stride 2", "5×5, 16 groups"; "" of any other module."""
    size = getattr(module, "kernel_size", None)
    if size is None:
        return ""
    words = [_sides(size)]
    pooling = not hasattr(module, "groups")
    stride = getattr(module, "stride", None) or size
    if _sides(stride) != (_sides(size) if pooling else _sides(1)):
        high, _, wide = _sides(stride).partition("×")
        words.append(f"stride {high if high == wide else _sides(stride)}")
    if getattr(module, "groups", 1) > 1:
        words.append(f"{module.groups} groups")
    return ", ".join(words)


def _sides(size: int | tuple[int, ...]) -> str:
    sides = (size, size) if isinstance(size, int) else size
    return "×".join(map(str, sides))
