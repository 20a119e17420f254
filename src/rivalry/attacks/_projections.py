"""The nearest point of a hyperplane inside [0,1]."""

from __future__ import annotations

import torch
from torch import Tensor

from rivalry.norms import column


def to_hyperplane(points: Tensor, normal: Tensor, rise: Tensor, norm: str | int) -> Tensor:
    """The shortest change of each point (N,C,H,W) inside [0,1] that moves it by `rise` (N,) along `normal`.

    As far as it goes where [0,1] does not reach the hyperplane. Each pixel travels at its own speed until it meets
    the edge of [0,1]; the rise is then concave and piecewise linear in time, and solved for on the right piece.
    """
    slope = (normal * column(rise.sign(), normal)).flatten(1).double()
    room = torch.where(slope > 0, 1 - points.flatten(1), points.flatten(1)).double()
    weight = slope.abs()
    speed = weight if norm == 2 else (weight > 0).double()
    arrivals, order = torch.where(weight > 0, room / speed, 0).sort(dim=1)
    rates = (weight * speed).gather(1, order)
    moving = rates.flip(1).cumsum(dim=1).flip(1)  # of the pixels that arrive then or later
    arrived = (rates * arrivals).cumsum(dim=1) - rates * arrivals
    risen = arrived + moving * arrivals
    piece = (risen < rise.abs()[:, None]).sum(dim=1, keepdim=True).clamp_max(risen.shape[1] - 1)
    missing = rise.abs()[:, None] - arrived.gather(1, piece)
    time = missing / moving.gather(1, piece).clamp_min(1e-300)
    change = slope.sign() * torch.minimum(time * speed, room)
    return change.to(points).view_as(points)
