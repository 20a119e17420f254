from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Literal

import numpy as np
import torch
from torch import Tensor

from rivalry.architectures._classifier import architecture
from rivalry.architectures._estimator import Estimator, Hyperplanes, one_per_class, squared_distances
from rivalry.types import Count, Positive


@architecture(source="cortes1995", epochs=False, chance="sample")
def svm(
    shape: Sequence[int],
    classes: int,
    *,
    kernel: Literal["linear", "rbf"] = "linear",
    c: Positive = 1.0,
    sample: Count = 10000,
) -> Estimator:
    """Support vector machines, one against the rest for each class; logits are their signed margins.

    Parameters
    ----------
    kernel : "linear" or "rbf"
        rbf: exp(-distance² / (pixels times their variance)).
    c : float
        Price of an image on the wrong side of the margin, with pixels divided by the root of their number.
    sample : int
        Most training images learned from; drawn from the seed.
    """
    return (LinearMachines if kernel == "linear" else KernelMachines)(math.prod(shape), classes, c, sample)


class LinearMachines(Hyperplanes):
    def __init__(self, features: int, classes: int, c: float, sample: int) -> None:
        super().__init__(features, classes, sample)
        self.c = c

    def fit(self, pixels: Tensor, labels: Tensor, seed: int) -> None:
        from sklearn.svm import LinearSVC

        root = math.sqrt(pixels.shape[1])
        found = LinearSVC(C=self.c, random_state=seed % 2**32)
        found.fit(pixels.numpy() / root, labels.numpy())
        weight, bias = torch.from_numpy(found.coef_ / root).float(), torch.from_numpy(found.intercept_).float()
        self.set(weight=one_per_class(weight), bias=one_per_class(bias))


class KernelMachines(Estimator):
    rows = ("support", "coefficients")
    support: Tensor
    coefficients: Tensor
    bias: Tensor
    gamma: Tensor

    def __init__(self, features: int, classes: int, c: float, sample: int) -> None:
        super().__init__(classes, sample)
        self.c = c
        self.set(
            support=torch.zeros(1, features),
            coefficients=torch.zeros(1, classes),
            bias=torch.zeros(classes),
            gamma=torch.ones(()),
        )

    def fit(self, pixels: Tensor, labels: Tensor, seed: int) -> None:
        from sklearn.multiclass import OneVsRestClassifier
        from sklearn.svm import SVC

        gamma = 1 / (pixels.shape[1] * float(pixels.var()))
        found = OneVsRestClassifier(SVC(C=self.c, gamma=gamma)).fit(pixels.numpy(), labels.numpy())
        coefficients = np.zeros((len(found.estimators_), len(pixels)))
        for row, machine in zip(coefficients, found.estimators_, strict=True):
            row[machine.support_] = machine.dual_coef_[0]
        used = coefficients.any(axis=0)
        bias = np.concatenate([machine.intercept_ for machine in found.estimators_])
        self.set(
            support=pixels[torch.from_numpy(used)],
            coefficients=one_per_class(torch.from_numpy(coefficients[:, used]).float()).T.contiguous(),
            bias=one_per_class(torch.from_numpy(bias).float()),
            gamma=torch.tensor(gamma, dtype=torch.float32),
        )

    def forward(self, images: Tensor) -> Tensor:
        kernel = (-self.gamma * squared_distances(images.flatten(1), self.support)).exp()
        return kernel @ self.coefficients + self.bias
