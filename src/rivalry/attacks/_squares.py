"""The shapes that the square attack tries: stripes and recoloured squares in Linf, bumps that share a budget in L2."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from rivalry.norms import column, steepest
from rivalry.randomness import Random


def stripes(clean: Tensor, eps: float, random: Random) -> Tensor:
    """Vertical lines of +eps and -eps."""
    return (clean + eps * sign(random.uniform(clean.shape[1], 1, clean.shape[3]))).clamp(0, 1)


def recoloured(current: Tensor, clean: Tensor, eps: float, area: float, drawn: Tensor) -> Tensor:
    """One square of each image set to +eps or -eps, a sign per channel; it always differs from what is there.

    `drawn` are 2 + C numbers for each image, uniform on [-1, 1).
    """
    height, width = clean.shape[2:]
    side = max(1, min(round(math.sqrt(area * height * width)), height - 1, width - 1))
    inside = window(drawn[:, :2], side, clean)[2]
    signs = sign(drawn[:, 2:, None, None])
    tried = torch.where(inside, (clean + eps * signs).clamp(0, 1), current)
    same = (tried == current).flatten(1).all(dim=1)
    if not bool(same.any()):
        return tried
    return torch.where(inside & column(same, clean), (clean - eps * signs).clamp(0, 1), tried)


def tiles(clean: Tensor, eps: float, random: Random) -> Tensor:
    """A grid of 5x5 bumps, each with its own direction, and its own sign per channel."""
    channels, height, width = clean.shape[1:]
    high, wide, rows, columns = max(1, height // 5), max(1, width // 5), min(5, height), min(5, width)
    drawn = sign(random.uniform(1 + channels, rows, 1, columns, 1))
    shape = torch.where(drawn[:, :1] > 0, bump(high, wide, clean)[:, None], bump(wide, high, clean).T[:, None])
    top, left = (height - rows * high) // 2, (width - columns * wide) // 2
    change = torch.zeros_like(clean)
    grid = (shape * drawn[:, 1:]).flatten(4).flatten(2, 3)
    change[:, :, top : top + rows * high, left : left + columns * wide] = grid
    return (clean + eps * steepest(change, 2)).clamp(0, 1)


def shifted(current: Tensor, clean: Tensor, eps: float, area: float, drawn: Tensor) -> Tensor:
    """A bump is added in one window, which grows by the unused budget and by what another window has to give up.

    `drawn` are 5 + C numbers for each image, uniform on [-1, 1).
    """
    channels, height, width = clean.shape[1:]
    side = max(3, round(math.sqrt(area * height * width))) // 2 * 2 + 1
    side = min(side, (min(height, width) - 1) // 2 * 2 + 1)
    down, right, into = window(drawn[:, :2], side, clean)
    _, _, taken = window(drawn[:, 2:4], side, clean)
    down, right = down.clamp(0, side - 1), right.clamp(0, side - 1)
    shape = bump(side, side, clean)
    shape = torch.where(column(drawn[:, 4] < 0, clean), shape[down, right], shape[right, down])

    change = current - clean
    unused = (eps**2 - change.square().sum(dim=(1, 2, 3), keepdim=True)).clamp_min(0)
    available = (change.square() * (into | taken)).sum(dim=(2, 3), keepdim=True) + unused / channels
    added = sign(drawn[:, 5:, None, None]) * shape * into + unit(change * into)
    change = torch.where(into, unit(added) * available.sqrt(), change.masked_fill(taken, 0))
    return (clean + eps * steepest(change, 2)).clamp(0, 1)


def window(drawn: Tensor, side: int, clean: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """A random square window of each image, from two uniform numbers each.

    Returns how far rows and columns are from its corner, (N,1,H,1) and (N,1,1,W), and which pixels it has.
    """
    height, width = clean.shape[2:]
    # Both axes at once, as if the image were as high as it is wide. The numbers drawn span two units.
    half_free = (height - side + 1) / 2, (width - side + 1) / 2
    corner = (drawn + 1) * (half_free[0] if height == width else drawn.new_tensor(half_free))
    away = torch.arange(max(height, width), device=clean.device) - corner.long()[:, :, None]
    within = (away >= 0) & (away < side)
    down, right = away[:, 0, None, :height, None], away[:, 1, None, None, :width]
    return down, right, within[:, 0, None, :height, None] & within[:, 1, None, None, :width]


def bump(height: int, width: int, like: Tensor) -> Tensor:
    """Two square pyramids side by side, one up and one down: (height,width) of unit length."""

    def pyramid(high: int) -> Tensor:
        down = (torch.arange(high, device=like.device) - high // 2).abs()[:, None]
        right = (torch.arange(width, device=like.device) - width // 2).abs()
        slopes = torch.arange(1, max(high, width) // 2 + 2, device=like.device).to(like) ** -2
        return slopes.flip(0).cumsum(0).flip(0)[torch.maximum(down, right)]

    both = torch.cat([pyramid(height // 2), -pyramid(height - height // 2)])
    whole: Tensor = both / both.norm()
    return whole


def unit(change: Tensor) -> Tensor:
    """Each channel scaled to unit L2 length; zero stays zero."""
    lengths: Tensor = torch.linalg.vector_norm(change, dim=(2, 3), keepdim=True)
    return change / lengths.clamp_min(torch.finfo(change.dtype).tiny)


def sign(uniform: Tensor) -> Tensor:
    return torch.where(uniform < 0, -1.0, 1.0)
