from __future__ import annotations

import math
from collections.abc import Sequence

from torch import nn

from rivalry.architectures._classifier import architecture


@architecture(source="moosavi2016")
def fc500_150(shape: Sequence[int], classes: int) -> nn.Module:
    """DeepFool's FC500-150-10: two hidden layers of 500 and 150 ReLU units (469,160 parameters on 1x28x28)."""
    return nn.Sequential(
        nn.Flatten(),
        nn.Linear(math.prod(shape), 500),
        nn.ReLU(),
        nn.Linear(500, 150),
        nn.ReLU(),
        nn.Linear(150, classes),
    )
