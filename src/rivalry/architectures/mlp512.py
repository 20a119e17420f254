from __future__ import annotations

import math
from collections.abc import Sequence

from torch import nn

from rivalry.architectures._classifier import architecture


@architecture(source="rana2021")
def mlp512(shape: Sequence[int], classes: int) -> nn.Module:
    """Fully connected network with one hidden layer of 512 ReLU units (407,050 parameters on 1x28x28)."""
    return nn.Sequential(
        nn.Flatten(),
        nn.Linear(math.prod(shape), 512),
        nn.ReLU(),
        nn.Linear(512, classes),
    )
