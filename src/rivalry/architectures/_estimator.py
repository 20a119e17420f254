"""Classifiers that scikit-learn fits and PyTorch runs."""

from __future__ import annotations

from typing import Any, ClassVar

import torch
from torch import Tensor, nn


class Estimator(nn.Module):
    """A classifier whose tensors come from one fit, not from gradient descent.

    What it learned are its parameters. How many rows those in `rows` have, only the fit decides; before it, they
    have a few.

    Parameters
    ----------
    classes : int
        K.
    sample : int, optional
        Most training images it learns from.
    """

    rows: ClassVar[tuple[str, ...]] = ()

    def __init__(self, classes: int, sample: int | None = None) -> None:
        super().__init__()
        self.classes, self.sample = classes, sample

    def fit(self, pixels: Tensor, labels: Tensor, seed: int) -> None:
        """Learn from normalised pixels, float32 (N,D), and labels, int64 (N,), that hold every class."""
        raise NotImplementedError(f"{type(self).__name__} does not say how it is fitted")

    def set(self, **tensors: Tensor) -> None:
        """Take over what was learned."""
        for name, tensor in tensors.items():
            setattr(self, name, nn.Parameter(tensor, requires_grad=False))

    def _load_from_state_dict(self, state_dict: dict[str, Any], prefix: str, *rest: Any) -> None:
        for name in self.rows:
            own, given = getattr(self, name), state_dict.get(prefix + name)
            if given is not None and given.shape[1:] == own.shape[1:]:
                self.set(**{name: torch.empty_like(given)})
        super()._load_from_state_dict(state_dict, prefix, *rest)


class Hyperplanes(Estimator):
    """One linear score per class."""

    weight: Tensor
    bias: Tensor

    def __init__(self, features: int, classes: int, sample: int | None = None) -> None:
        super().__init__(classes, sample)
        self.set(weight=torch.zeros(classes, features), bias=torch.zeros(classes))

    def forward(self, images: Tensor) -> Tensor:
        return images.flatten(1) @ self.weight.T + self.bias


LEAST = 1e-6
"""Share of a class that was never seen."""


def log_shares(shares: Tensor) -> Tensor:
    """Logits of classes' shares, which sum to 1."""
    return shares.clamp_min(LEAST).log()


def squared_distances(points: Tensor, others: Tensor) -> Tensor:
    """(N,M) from (N,D) and (M,D); differentiable everywhere, also where a point meets another."""
    return points.square().sum(1, keepdim=True) - 2 * points @ others.T + others.square().sum(1)


def one_per_class(scores: Tensor) -> Tensor:
    """Scores (K, ...) of all classes; for two classes scikit-learn gives only the second's, as (1, ...)."""
    return torch.cat([-scores, scores]) if len(scores) == 1 else scores
