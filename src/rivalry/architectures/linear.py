from __future__ import annotations

import math
import warnings
from collections.abc import Sequence

import torch
from torch import Tensor

from rivalry.architectures._classifier import architecture
from rivalry.architectures._estimator import Hyperplanes, one_per_class
from rivalry.types import Count, Positive


@architecture(source="cox1958", epochs=False, chance=False)
def linear(shape: Sequence[int], classes: int, *, l2: Positive = 100.0, iterations: Count = 100) -> Hyperplanes:
    """Multinomial logistic regression: logits are linear in the pixels (7,850 weights on 1x28x28).

    Parameters
    ----------
    l2 : float
        Weight of half the squared weights against the cross-entropy summed over the training images.
    iterations : int
        Most steps of L-BFGS.
    """
    return Logistic(math.prod(shape), classes, l2, iterations)


class Logistic(Hyperplanes):
    def __init__(self, features: int, classes: int, l2: float, iterations: int) -> None:
        super().__init__(features, classes)
        self.l2, self.iterations = l2, iterations

    def fit(self, pixels: Tensor, labels: Tensor, seed: int) -> None:
        from sklearn.exceptions import ConvergenceWarning
        from sklearn.linear_model import LogisticRegression

        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ConvergenceWarning)  # `iterations` is asked for
            found = LogisticRegression(C=1 / self.l2, max_iter=self.iterations).fit(pixels.numpy(), labels.numpy())
        weight, bias = torch.from_numpy(found.coef_).float(), torch.from_numpy(found.intercept_).float()
        # Of two classes, half the log odds for one and half against the other.
        share = 0.5 if len(weight) == 1 else 1.0
        self.set(weight=one_per_class(share * weight), bias=one_per_class(share * bias))
