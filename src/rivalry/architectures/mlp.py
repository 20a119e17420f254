from __future__ import annotations

import math
from collections.abc import Sequence

from torch import nn

from rivalry.architectures._classifier import architecture
from rivalry.types import Count, Fraction


@architecture(source="srivastava2014")
def mlp(shape: Sequence[int], classes: int, *, units: Count = 625, dropout: Fraction = 0.5) -> nn.Module:
    """One hidden layer of ReLU units with dropout (496,885 parameters on 1x28x28).

    The course report that regularises it prints neither its size nor the rate of dropout. The defaults are those of a
    well-known tutorial of the library it used, which has the same optimiser and batches of the same size.

    Parameters
    ----------
    units : int
        Size of the hidden layer.
    dropout : float
        Dropout before the last layer.
    """
    return nn.Sequential(
        nn.Flatten(),
        nn.Linear(math.prod(shape), units),
        nn.ReLU(),
        nn.Dropout(dropout),
        nn.Linear(units, classes),
    )
