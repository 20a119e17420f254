from __future__ import annotations

from collections.abc import Sequence

from torch import nn

from rivalry.architectures._classifier import architecture, flat_features
from rivalry.types import Fraction


@architecture(source="course2020", side=6)
def cnn_mnist(shape: Sequence[int], classes: int, *, dropout: Fraction = 0.5) -> nn.Module:
    """Two 3x3 convolutions, pooling, dropout and a dense layer (1,199,882 parameters on 1x28x28).

    Parameters
    ----------
    dropout : float
        Dropout before the last layer; half as much after pooling.
    """
    body = nn.Sequential(
        nn.Conv2d(shape[0], 32, 3),
        nn.ReLU(),
        nn.Conv2d(32, 64, 3),
        nn.ReLU(),
        nn.MaxPool2d(2),
        nn.Dropout(dropout / 2),
        nn.Flatten(),
    )
    return nn.Sequential(
        *body,
        nn.Linear(flat_features(body, shape), 128),
        nn.ReLU(),
        nn.Dropout(dropout),
        nn.Linear(128, classes),
    )
