"""Victims whose weak spots are known exactly."""

from __future__ import annotations

import torch
from torch import Tensor, nn


class Linear(nn.Module):
    """logits = W x + b on images of 1xHxW, inputs kept away from the edge of [0,1] by the caller."""

    def __init__(self, weight: Tensor, bias: Tensor) -> None:
        super().__init__()
        self.weight = nn.Parameter(weight)
        self.bias = nn.Parameter(bias)

    def forward(self, images: Tensor) -> Tensor:
        return images.flatten(1) @ self.weight.T + self.bias


def linear_problem(classes: int = 5, n: int = 12, side: int = 6, seed: int = 0) -> tuple[Linear, Tensor, Tensor]:
    """A linear victim, images near the middle of [0,1] close to its boundaries, and its own labels for them."""
    generator = torch.Generator().manual_seed(seed)
    weight = torch.randn(classes, side * side, generator=generator)
    images = 0.5 + 0.01 * torch.randn(n, 1, side, side, generator=generator)
    victim = Linear(weight, -(weight @ torch.full((side * side,), 0.5)))
    return victim, images, victim(images).argmax(dim=1).detach()


def distances(victim: Linear, images: Tensor, labels: Tensor, norm: str | int) -> Tensor:
    """The exact distance of each image to the nearest decision boundary, (N,)."""
    with torch.no_grad():
        logits = victim(images)
        gaps = logits.gather(1, labels[:, None]) - logits
        normals = victim.weight[None] - victim.weight[labels][:, None]
        dual = normals.abs().sum(2) if norm == "inf" else normals.norm(dim=2)
        return (gaps / dual).masked_fill(nn.functional.one_hot(labels, logits.shape[1]).bool(), torch.inf).amin(1)


def small_cnn(classes: int = 4, seed: int = 0) -> nn.Module:
    """An untrained, smooth, nonlinear victim for 1x8x8 images."""
    torch.manual_seed(seed)
    return nn.Sequential(
        nn.Conv2d(1, 4, 3), nn.Tanh(), nn.Flatten(), nn.Linear(4 * 36, 16), nn.Tanh(), nn.Linear(16, classes)
    ).eval()
