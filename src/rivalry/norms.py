"""Geometry per norm: lengths, projections, steepest directions. Norms: "inf", 2; lengths also 0."""

from __future__ import annotations

import torch
from torch import Tensor


def column(values: Tensor, like: Tensor) -> Tensor:
    """Per-image values (N,) shaped to broadcast over images (N,...)."""
    return values.view(-1, *[1] * (like.dim() - 1))


def length(change: Tensor, norm: str | int) -> Tensor:
    """Norm of each image's change (N,C,H,W): (N,). L0 counts changed pixels: places, whatever the channels."""
    if norm == 0:
        return (change != 0).any(dim=1).flatten(1).sum(dim=1).to(change)
    lengths: Tensor = torch.linalg.vector_norm(change.flatten(1), ord=torch.inf if norm == "inf" else 2, dim=1)
    return lengths


TOLERANCE = 1e-6
"""Rounding allowed on a budget, in units of the pixel range."""


def exceeds(change: Tensor, norm: str | int, eps: float) -> Tensor:
    """Whether each image's change (N,C,H,W) is longer than `eps`, beyond rounding: bool (N,)."""
    # Rounding of float32 adds up over the pixels of an L2 norm.
    return ~(length(change, norm) <= eps + TOLERANCE * (1 + eps))


def project(change: Tensor, norm: str | int, eps: float) -> Tensor:
    """The nearest change (N,C,H,W) no longer than `eps`."""
    if norm == "inf":
        return change.clamp(-eps, eps)
    if eps == 0:
        return torch.zeros_like(change)
    excess = length(change, 2).clamp_min(torch.finfo(change.dtype).tiny) / eps
    return change / column(excess.clamp_min(1), change)


def within(images: Tensor, origin: Tensor, norm: str | int, eps: float) -> Tensor:
    """`images` brought into the `eps` ball around `origin` and into [0,1].

    Clipping comes last: it only shortens a change, because `origin` lies in [0,1].
    """
    return (origin + project(images - origin, norm, eps)).clamp(0, 1)


def steepest(gradient: Tensor, norm: str | int) -> Tensor:
    """The change of unit norm along which a function with this gradient grows fastest; 0 where it is flat."""
    if norm == "inf":
        return gradient.sign()
    return gradient / column(length(gradient, 2).clamp_min(torch.finfo(gradient.dtype).tiny), gradient)
