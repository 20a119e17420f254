from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

from torch import nn

from rivalry.architectures._classifier import architecture, flat_features
from rivalry.types import Fraction

WIDTHS = {"mnist": (32, 64, 200), "cifar10": (64, 128, 256)}
"""Filters of the first and of the second two convolutions, and units of the dense layers."""


@architecture(source="papernot2016", side=16)
def papernot(
    shape: Sequence[int],
    classes: int,
    *,
    widths: Literal["auto", "mnist", "cifar10"] = "auto",
    dropout: Fraction = 0.5,
) -> nn.Module:
    """Defensive distillation's network: four 3x3 convolutions and two dense layers.

    312,202 parameters on 1x28x28 and 1,147,978 on 3x32x32.

    Parameters
    ----------
    widths : "auto", "mnist" or "cifar10"
        mnist: 32 and 64 filters, 200 units; cifar10: 64 and 128 filters, 256 units; auto: mnist's for grey images
        and cifar10's for colour images.
    dropout : float
        Dropout after each dense layer.
    """
    if widths == "auto":
        widths = "mnist" if shape[0] == 1 else "cifar10"
    first, second, units = WIDTHS[widths]
    body = nn.Sequential(
        nn.Conv2d(shape[0], first, 3),
        nn.ReLU(),
        nn.Conv2d(first, first, 3),
        nn.ReLU(),
        nn.MaxPool2d(2),
        nn.Conv2d(first, second, 3),
        nn.ReLU(),
        nn.Conv2d(second, second, 3),
        nn.ReLU(),
        nn.MaxPool2d(2),
        nn.Flatten(),
    )
    return nn.Sequential(
        *body,
        nn.Linear(flat_features(body, shape), units),
        nn.ReLU(),
        nn.Dropout(dropout),
        nn.Linear(units, units),
        nn.ReLU(),
        nn.Dropout(dropout),
        nn.Linear(units, classes),
    )
