"""Taking units out of a network: channels of a convolution, or outputs of a dense layer."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple, cast

import torch
from torch import Tensor, nn
from torch.nn.utils import parametrize

from rivalry.devices import device_of
from rivalry.errors import RivalryError


@dataclass(frozen=True)
class Units:
    """Units of a classifier, as the layer that follows them is given them.

    Attributes
    ----------
    layer : str
        Name of that layer, dense or convolutional.
    count : int
        How many units there are.
    """

    layer: str
    count: int

    def activations(self, victim: nn.Module, images: Tensor, batch_size: int) -> Tensor:
        """Of each image (N,C,H,W) and unit, the mean size of what the unit answers: float32 (N,units)."""
        place, found = device_of(victim, images), []

        def keep(_: nn.Module, asked: tuple[Tensor, ...]) -> None:
            found.append(asked[0].abs().unflatten(1, (self.count, -1)).flatten(2).mean(dim=2).cpu())

        hook = self._in(victim).register_forward_pre_hook(keep)
        try:
            with torch.no_grad():
                for batch in images.split(batch_size):
                    victim(batch.to(place))
        finally:
            hook.remove()
        return torch.cat(found)

    def without(self, network: nn.Module, pruned: Tensor) -> None:
        """Take out the units of which `pruned` (units,) is True: the layer no longer looks at them.

        They stay out while the network is trained. What was taken out before is in again.
        """
        self.settle(network)
        layer = self._in(network)
        kept = ~pruned.to(layer.weight.device)
        inputs = kept.repeat_interleave(layer.weight.shape[1] // self.count)
        parametrize.register_parametrization(layer, "weight", _Masked(inputs))

    def settle(self, network: nn.Module, *, keep: bool = False) -> None:
        """Make what was taken out part of the weights (`keep`), or put it in again."""
        layer = self._in(network)
        if parametrize.is_parametrized(layer, "weight"):
            parametrize.remove_parametrizations(layer, "weight", leave_parametrized=keep)

    def _in(self, network: nn.Module) -> nn.Linear | nn.Conv2d:
        return cast(nn.Linear | nn.Conv2d, network.get_submodule(self.layer))


def after_last_convolution(victim: nn.Module, images: Tensor) -> Units:
    """The channels of a classifier's last hidden convolution; without one, the units of its last hidden layer."""
    called = _called(victim, images)
    convolutions = [place for place, call in enumerate(called[:-1]) if isinstance(call.layer, nn.Conv2d)]
    if convolutions:
        before, after = called[convolutions[-1] :][:2]
        if after.asked.dim() == 4 and _ungrouped(after.layer):
            return Units(after.name, after.asked.shape[1])
        if after.asked.dim() == 2 and _flattened(before.answered, after.asked):
            return Units(after.name, before.answered.shape[1])
    return before_last_layer(victim, images)


def before_last_layer(victim: nn.Module, images: Tensor) -> Units:
    """The units of a classifier's last hidden layer: what its last layer is given."""
    called = _called(victim, images)
    last = called[-1]
    if len(called) < 2 or last.asked.dim() not in (2, 4) or not _ungrouped(last.layer):
        raise RivalryError("the network has no hidden layer of which units could be pruned; leave this victim out")
    return Units(last.name, last.asked.shape[1])


class _Call(NamedTuple):
    """One call of a layer: what it was given, and what it answered."""

    name: str
    layer: nn.Module
    asked: Tensor
    answered: Tensor


def _called(victim: nn.Module, images: Tensor) -> list[_Call]:
    """The calls of dense and convolutional layers, in order, when a victim is asked about `images`."""
    called: list[_Call] = []
    hooks = []
    for name, part in victim.named_modules():
        if isinstance(part, nn.Linear | nn.Conv2d):

            def keep(layer: nn.Module, asked: tuple[Tensor, ...], answered: Tensor, name: str = name) -> None:
                called.append(_Call(name, layer, asked[0], answered))

            hooks.append(part.register_forward_hook(keep))
    try:
        with torch.no_grad():
            victim(images.to(device_of(victim, images)))
    finally:
        for hook in hooks:
            hook.remove()
    return called


def _flattened(maps: Tensor, features: Tensor) -> bool:
    """Whether features (N,D) can be maps (N,C,H,W) channel by channel, pooled by a whole number or not at all.

    In networks that join maps of several layers, they cannot.
    """
    channels, height, width = maps.shape[1:]
    sizes = {(height // by) * (width // by) for by in range(1, min(height, width) + 1)}
    return features.shape[1] in {channels * size for size in sizes}


def _ungrouped(layer: nn.Module) -> bool:
    return getattr(layer, "groups", 1) == 1


class _Masked(nn.Module):
    """Weights (out, in, ...) of a layer without those of some inputs."""

    kept: Tensor

    def __init__(self, kept: Tensor) -> None:
        super().__init__()
        self.register_buffer("kept", kept)

    def forward(self, weight: Tensor) -> Tensor:
        return weight * self.kept.view(1, -1, *(1 for _ in weight.shape[2:]))
