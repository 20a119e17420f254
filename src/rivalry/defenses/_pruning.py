"""Taking units out of a network: channels of a convolution, or outputs of a dense layer."""

from __future__ import annotations

from dataclasses import dataclass
from typing import cast

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
    convolutions = [place for place, (_, part, _) in enumerate(called[:-1]) if isinstance(part, nn.Conv2d)]
    if convolutions:
        before = cast(nn.Conv2d, called[convolutions[-1]][1])
        name, layer, asked = called[convolutions[-1] + 1]
        if asked.dim() in (2, 4) and _ungrouped(layer) and asked.shape[1] % before.out_channels == 0:
            return Units(name, before.out_channels)
    return before_last_layer(victim, images)


def before_last_layer(victim: nn.Module, images: Tensor) -> Units:
    """The units of a classifier's last hidden layer: what its last layer is given."""
    called = _called(victim, images)
    name, layer, asked = called[-1]
    if len(called) < 2 or asked.dim() not in (2, 4) or not _ungrouped(layer):
        raise RivalryError("the network has no hidden layer of which units could be pruned; leave this victim out")
    return Units(name, asked.shape[1])


def _called(victim: nn.Module, images: Tensor) -> list[tuple[str, nn.Module, Tensor]]:
    """Dense and convolutional layers in the order of their calls, and what each is given for `images`."""
    called: list[tuple[str, nn.Module, Tensor]] = []
    hooks = []
    for name, part in victim.named_modules():
        if isinstance(part, nn.Linear | nn.Conv2d):

            def keep(module: nn.Module, asked: tuple[Tensor, ...], name: str = name) -> None:
                called.append((name, module, asked[0]))

            hooks.append(part.register_forward_pre_hook(keep))
    try:
        with torch.no_grad():
            victim(images.to(device_of(victim, images)))
    finally:
        for hook in hooks:
            hook.remove()
    return called


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
