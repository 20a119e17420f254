from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor

from rivalry.architectures._classifier import architecture
from rivalry.architectures._estimator import Estimator, squared_distances
from rivalry.types import Count, Positive

MOST = 2**24
"""Distances held at once without gradients, 64 MiB of them."""


@architecture(source="papernot2016transfer", epochs=False, chance="sample")
def knn(shape: Sequence[int], classes: int, *, temperature: Positive = 0.03, sample: Count = 5000) -> Estimator:
    """Smoothed nearest neighbours: every stored image votes for its class, and near ones count more.

    A stored image weighs exp(-d / temperature), d being the mean squared difference of normalised pixels. A
    logit is the logarithm of its class's votes, so the prediction is the class with the most votes: as the
    temperature falls, that of the nearest stored image. Unlike a count of k neighbours, it has a gradient.

    Parameters
    ----------
    temperature : float
        How fast votes fade with distance. Far below the differences of distances, loss gradients vanish.
    sample : int
        Most training images stored; drawn from the seed.
    """
    return Neighbours(math.prod(shape), classes, temperature, sample)


class Neighbours(Estimator):
    rows = ("images",)
    images: Tensor
    counts: Tensor

    def __init__(self, features: int, classes: int, temperature: float, sample: int) -> None:
        super().__init__(classes, sample)
        self.temperature = temperature
        self.set(images=torch.zeros(classes, features), counts=torch.ones(classes, dtype=torch.int64))

    def fit(self, pixels: Tensor, labels: Tensor, seed: int) -> None:
        by_class = labels.argsort(stable=True)
        self.set(images=pixels[by_class], counts=labels.bincount(minlength=self.classes))

    def forward(self, images: Tensor) -> Tensor:
        pixels = images.flatten(1)
        return torch.cat([self._votes(part) for part in pixels.split(max(1, MOST // len(self.images)))])

    def _votes(self, pixels: Tensor) -> Tensor:
        closeness = -squared_distances(pixels, self.images) / (self.temperature * pixels.shape[1])
        by_class = closeness.split(self.counts.tolist(), dim=1)
        return torch.stack([votes.logsumexp(dim=1) for votes in by_class], dim=1)
