"""What stands around a network that a user brings: from the data set's images to logits of its classes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.functional import interpolate

from rivalry.errors import RivalryError, nearest

LUMA = (0.299, 0.587, 0.114)
"""How bright red, green and blue are (ITU-R BT.601)."""
LEAST = torch.finfo(torch.float32).tiny
"""Probabilities below it are taken for it: its logarithm is -87, and has a gradient."""


class Wrapped(nn.Module):
    """A network that was brought, from images of the data set to logits.

    Every step can be differentiated, so that attacks and their budgets are in the data set's own pixels.

    Parameters
    ----------
    network : nn.Module
    size : (int, int), optional
        Height and width that the network wants.
    channels : int, optional
        Channels that it wants, 1 or 3. A grey image is given in all three, colours as their brightness.
    range_ : (float, float)
        What it wants black and white to be.
    mean, std : sequence of float, optional
        Per channel, or one for all, of pixels in that range: the one is subtracted, by the other is divided.
    outputs : str
        What it gives. "logits": (N,K), or (N,1), the logit of the second of two classes. "probabilities": (N,K).
        "sigmoid": (N,1), the probability of the second of two classes.
    order : sequence of int, optional
        Of each of its outputs, the data set's class.
    """

    mean: Tensor | None
    std: Tensor | None
    places: Tensor | None

    def __init__(
        self,
        network: nn.Module,
        *,
        size: tuple[int, ...] | None = None,
        channels: int | None = None,
        range_: Sequence[float] = (0.0, 1.0),
        mean: Sequence[float] | None = None,
        std: Sequence[float] | None = None,
        outputs: str = "logits",
        order: Sequence[int] | None = None,
    ) -> None:
        super().__init__()
        floats = [part.dtype for part in (*network.parameters(), *network.buffers()) if part.is_floating_point()]
        if any(dtype in (torch.float16, torch.bfloat16) for dtype in floats):
            network, floats = network.float(), []  # so few digits hide small changes from gradients
        self.network = network
        self.dtype = floats[0] if floats else torch.float32
        self.size, self.channels, self.outputs = size, channels, outputs
        self.low, self.high = map(float, range_)
        self.register_buffer("mean", None if mean is None else torch.tensor(mean, dtype=torch.float32))
        self.register_buffer("std", None if std is None else torch.tensor(std, dtype=torch.float32))
        self.register_buffer("places", None if order is None else torch.tensor(order).argsort())

    def forward(self, images: Tensor) -> Tensor:
        """Logits (N,K) of float32 images (N,C,H,W) in [0,1]."""
        return self.logits(self.network(self.prepared(images)))

    def prepared(self, images: Tensor) -> Tensor:
        """What the network is given of images (N,C,H,W); never these images themselves, which it might write into."""
        pixels = images
        if self.channels == 3 and pixels.shape[1] == 1:
            pixels = pixels.repeat(1, 3, 1, 1)
        elif self.channels == 1 and pixels.shape[1] == 3:
            pixels = (pixels * pixels.new_tensor(LUMA).view(3, 1, 1)).sum(dim=1, keepdim=True)
        elif self.channels not in (None, pixels.shape[1]):
            raise RivalryError(f"input.channels: {self.channels} cannot be made of the data's {pixels.shape[1]}")
        if self.size not in (None, tuple(pixels.shape[2:])):
            pixels = interpolate(pixels, self.size, mode="bilinear", align_corners=False, antialias=True)
        if (self.low, self.high) != (0.0, 1.0):
            pixels = self.low + (self.high - self.low) * pixels
        if self.mean is not None and self.std is not None:
            if len(self.mean) not in (1, pixels.shape[1]):
                raise RivalryError(
                    f"normalize.mean: has {len(self.mean)} numbers, and images have {pixels.shape[1]} channels; "
                    "give one for each"
                )
            pixels = (pixels - self.mean.view(-1, 1, 1)) / self.std.view(-1, 1, 1)
        return (pixels.clone() if pixels is images else pixels).to(self.dtype)

    def given(self, shape: Sequence[int]) -> dict[str, Any]:
        """What the network is given for an image of a shape (C,H,W): its shape, range, mean and std."""
        mean, std = (None if values is None else values.tolist() for values in (self.mean, self.std))
        image = self.prepared(torch.zeros(1, *shape))[0]
        return {"shape": list(image.shape), "range": [self.low, self.high], "mean": mean, "std": std}

    def logits(self, output: object) -> Tensor:
        """Logits (N,K), float32, of what the network gave."""
        given = _tensor(output)
        if given.dim() == 1 and self.outputs != "probabilities":
            given = given[:, None]
        given = given.float()
        if self.outputs == "sigmoid":
            if given.shape[1:] != (1,):
                raise RivalryError(
                    f"outputs: sigmoid is one number an image, and the network gives {_shape(given)}; "
                    "say logits or probabilities"
                )
            given = torch.cat([1 - given, given], dim=1).clamp_min(LEAST).log()
        elif self.outputs == "probabilities":
            if given.dim() == 1 or given.shape[1:] == (1,):
                raise RivalryError("outputs: the network gives one probability an image; say sigmoid")
            given = given.clamp_min(LEAST).log()
        elif given.shape[1:] == (1,):
            given = torch.cat([torch.zeros_like(given), given], dim=1)
        if self.places is not None:
            if given.dim() != 2 or given.shape[1] != len(self.places):
                raise RivalryError(
                    f"classes: lists {len(self.places)}, and the network gives {_shape(given)}; list one an output"
                )
            given = given.index_select(1, self.places)
        return given


def _tensor(output: object) -> Tensor:
    """The one tensor that a network's answer is, or has as its `logits`."""
    found = output.get("logits") if isinstance(output, Mapping) else getattr(output, "logits", output)
    if isinstance(found, Tensor):
        if found.layout is not torch.strided or found.is_meta:
            kind = "without values" if found.is_meta else f"of layout {found.layout}"
            raise RivalryError(f"model: the network gives a tensor {kind}; have it give its logits as a dense one")
        if not found.is_floating_point():
            raise RivalryError(f"model: the network gives {found.dtype}, not logits; leave out its argmax")
        return found
    kind = type(output).__name__
    if isinstance(output, list | tuple | Mapping):
        kind += f" of {len(output)}"
    raise RivalryError(
        f"model: the network gives a {kind}, not one tensor; have it give its logits alone, or as .logits"
    )


def _shape(tensor: Tensor) -> str:
    return "x".join(["N", *map(str, tensor.shape[1:])])


def class_order(classes: Sequence[str | int], names: Sequence[str]) -> list[int]:
    """The data set's class of each output.

    Parameters
    ----------
    classes : sequence of str or int
        Of each output, the class's name or number in the data set.
    names : sequence of str
        The data set's classes.

    Raises
    ------
    RivalryError
        A class is unknown, missing or listed twice.
    """
    order: list[int] = []
    for position, given in enumerate(classes):
        if isinstance(given, str) and given not in names:
            raise RivalryError(f"classes[{position}]: '{given}' is no class of the data; {nearest(given, [*names])}")
        if isinstance(given, int) and not 0 <= given < len(names):
            raise RivalryError(f"classes[{position}]: {given} is no class of the data; they are 0 to {len(names) - 1}")
        number = [*names].index(given) if isinstance(given, str) else given
        if number in order:
            raise RivalryError(f"classes[{position}]: {given} is listed twice; list every class once")
        order.append(number)
    if missing := [name for number, name in enumerate(names) if number not in order]:
        raise RivalryError(f"classes: lists no {missing[0]}; list every class once, in the order of the outputs")
    return order
