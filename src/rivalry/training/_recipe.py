"""What a training method is."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeVar

from torch import Tensor, nn

F = TypeVar("F", bound=Callable[..., "Recipe"])

Loss = Callable[[nn.Module, Tensor, Tensor], Tensor]
"""(victim in training mode, images (N,C,H,W) in [0,1], targets of these images) -> scalar."""


@dataclass(frozen=True)
class Recipe:
    """How to train.

    Attributes
    ----------
    targets : Tensor
        What each training image shall be taken for: classes (N,) or probabilities (N,K).
    loss : Loss
        What to minimise on a batch.
    """

    targets: Tensor
    loss: Loss


def training_method(*, source: str) -> Callable[[F], F]:
    """Register a function (images, labels, *, ...) -> Recipe; `source` is its citation key.

    It is given the training images, uint8 (N,C,H,W), and their labels, int64 (N,).
    """
    return lambda function: function
