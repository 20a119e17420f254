from __future__ import annotations

from collections.abc import Sequence

from torch import nn

from rivalry.architectures._classifier import architecture, flat_features


@architecture(source="lecun1998", side=12)
def lenet5(shape: Sequence[int], classes: int) -> nn.Module:
    """LeNet-5 with ReLU and max pooling (61,706 parameters on 1x28x28): small and fast."""
    body = nn.Sequential(
        nn.Conv2d(shape[0], 6, 5, padding=2 if min(shape[1:]) < 32 else 0),
        nn.ReLU(),
        nn.MaxPool2d(2),
        nn.Conv2d(6, 16, 5),
        nn.ReLU(),
        nn.MaxPool2d(2),
        nn.Flatten(),
    )
    return nn.Sequential(
        *body,
        nn.Linear(flat_features(body, shape), 120),
        nn.ReLU(),
        nn.Linear(120, 84),
        nn.ReLU(),
        nn.Linear(84, classes),
    )
