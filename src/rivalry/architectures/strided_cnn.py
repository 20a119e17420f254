from __future__ import annotations

from collections.abc import Sequence

from torch import nn

from rivalry.architectures._classifier import architecture, flat_features


@architecture(source="wong2020", side=4)
def strided_cnn(shape: Sequence[int], classes: int) -> nn.Module:
    """Two strided 4x4 convolutions and a dense layer (166,406 parameters on 1x28x28): cheap to train adversarially.

    The network with which Wong et al. (2020) train on MNIST. Strides stand for pooling.
    """
    body = nn.Sequential(
        nn.Conv2d(shape[0], 16, 4, stride=2, padding=1),
        nn.ReLU(),
        nn.Conv2d(16, 32, 4, stride=2, padding=1),
        nn.ReLU(),
        nn.Flatten(),
    )
    return nn.Sequential(*body, nn.Linear(flat_features(body, shape), 100), nn.ReLU(), nn.Linear(100, classes))
