"""What every victim is: normalisation and a network, from images in [0,1] to logits."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from copy import deepcopy
from typing import TypeVar

import torch
from torch import Tensor, nn

from rivalry.types import Side

F = TypeVar("F", bound=Callable[..., nn.Module])


class Classifier(nn.Module):
    """A network behind its normalisation.

    Parameters
    ----------
    network : nn.Module
        From normalised images (N,C,H,W) to logits (N,K), or (N,K+1).
    mean, std : Tensor, optional
        Per-channel statistics of the training images, (C,). Zeros and ones, to be loaded later, when omitted.
    channels : int
        C.
    reject_class : int, optional
        Of a network with one output more than there are classes: that output, the last, by which it refuses an image.
    """

    mean: Tensor
    std: Tensor

    def __init__(
        self,
        network: nn.Module,
        channels: int,
        mean: Tensor | None = None,
        std: Tensor | None = None,
        reject_class: int | None = None,
    ) -> None:
        super().__init__()
        self.network = network
        self.reject_class = reject_class
        self.register_buffer("mean", torch.zeros(channels) if mean is None else mean)
        self.register_buffer("std", torch.ones(channels) if std is None else std)

    def forward(self, images: Tensor) -> Tensor:
        """Logits (N,K) of float32 images (N,C,H,W) in [0,1]."""
        logits: Tensor = self.network(self.normalised(images))
        return logits

    def normalised(self, images: Tensor) -> Tensor:
        """Images (N,C,H,W) with the training images' mean 0 and deviation 1 in each channel."""
        return (images - self.mean.view(-1, 1, 1)) / self.std.view(-1, 1, 1)


def architecture(
    *, source: str = "", epochs: bool = True, gradients: bool = True, side: Side = 1, chance: bool | str = True
) -> Callable[[F], F]:
    """Register a function (shape, classes, *, ...) -> nn.Module.

    Parameters
    ----------
    source : str, optional
        Citation key.
    epochs : bool
        Whether it is trained by gradient descent; if not, it is an `Estimator`.
    gradients : bool
        Whether its logits have gradients that an attack could follow.
    side : int
        Fewest pixels that an image may be wide and high.
    chance : bool or str
        Whether another seed gives another victim. The name of a parameter: only where fewer training images are drawn,
        as many as it says, than there are.
    """
    return lambda function: function


def flat_features(body: nn.Module, shape: Sequence[int]) -> int:
    """How many numbers `body`, which stays as it is, makes of one image of `shape` (C,H,W)."""
    with torch.no_grad():
        made: Tensor = deepcopy(body).eval()(torch.zeros(1, *shape))
    return made.numel()
