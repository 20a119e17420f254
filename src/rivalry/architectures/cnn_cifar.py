from __future__ import annotations

from collections.abc import Sequence

from torch import nn

from rivalry.architectures._classifier import architecture, flat_features
from rivalry.types import Fraction


@architecture(source="course2020", side=10)
def cnn_cifar(shape: Sequence[int], classes: int, *, dropout: Fraction = 0.5) -> nn.Module:
    """The course's CIFAR-10 network: two blocks of two 3x3 convolutions (1,250,858 parameters on 3x32x32).

    Parameters
    ----------
    dropout : float
        Dropout before the last layer; half as much after each pooling.
    """
    body = nn.Sequential(
        nn.Conv2d(shape[0], 32, 3, padding=1),
        nn.ReLU(),
        nn.Conv2d(32, 32, 3),
        nn.ReLU(),
        nn.MaxPool2d(2),
        nn.Dropout(dropout / 2),
        nn.Conv2d(32, 64, 3, padding=1),
        nn.ReLU(),
        nn.Conv2d(64, 64, 3),
        nn.ReLU(),
        nn.MaxPool2d(2),
        nn.Dropout(dropout / 2),
        nn.Flatten(),
    )
    return nn.Sequential(
        *body,
        nn.Linear(flat_features(body, shape), 512),
        nn.ReLU(),
        nn.Dropout(dropout),
        nn.Linear(512, classes),
    )
