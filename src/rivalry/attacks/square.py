from __future__ import annotations

import math

import torch
from torch import Tensor

from rivalry.attacks._attack import attack
from rivalry.attacks._goals import Goal
from rivalry.attacks._norms import column, steepest
from rivalry.attacks._oracles import Scores
from rivalry.attacks._random import Random
from rivalry.types import Count, Fraction, NonNegative, Norm

HALVINGS = [0.001, 0.005, 0.02, 0.1, 0.2, 0.4, 0.6, 0.8]
"""Shares of the queries after which the squares' area halves."""


@attack(
    sees="scores",
    goals=["untargeted", "targeted"],
    norms=["inf", 2],
    budget="fixed",
    source="andriushchenko2020",
)
def square(
    victim: Scores,
    images: Tensor,
    goal: Goal,
    random: Random,
    *,
    norm: Norm = "inf",
    eps: NonNegative = 0.3,
    queries: Count = 5000,
    p: Fraction = 0.8,
) -> Tensor:
    """Square attack: random search that changes one random square at a time and keeps what raises the loss.

    Every try spends the whole budget. In Linf it begins with vertical stripes, and squares are set to +eps or
    -eps, a sign per channel. In L2 it begins with a grid of 5x5 bumps, and a try spends on one window what
    another one holds. The loss is the margin of the best wrong logit over the true one's; with a target, the
    target's odds. An image stops once it reaches its goal.

    Parameters
    ----------
    norm : "inf" or 2
        Norm of the budget.
    eps : float
        Budget in units of the [0,1] pixel range.
    queries : int
        Most tries per image, the first included.
    p : float
        Share of the image that the first squares cover; it is halved eight times, more and more rarely.
    """
    best = images.clone()
    loss = torch.full((len(images),), -torch.inf, device=images.device)
    active = torch.arange(len(images), device=images.device)
    for query in range(queries):
        victim.on(active).count_iteration()
        clean, wanted, drawn = images[active], goal[active], random[active]
        area = p * 0.5 ** sum(query > share * queries for share in HALVINGS)
        if query == 0:
            tried = stripes(clean, eps, drawn) if norm == "inf" else tiles(clean, eps, drawn)
        elif norm == "inf":
            tried = recoloured(best[active], clean, eps, area, drawn)
        else:
            tried = shifted(best[active], clean, eps, area, drawn)
        logits = victim.on(active).logits(tried)
        reached = wanted.reached(logits.argmax(dim=1))
        value = margin(wanted, logits) if wanted.targets is None else wanted.log_odds(logits)
        better = reached | (value > loss[active])
        best[active[better]] = tried[better]
        loss[active[better]] = value[better]
        active = active[~reached]
        if len(active) == 0:
            break
    return best


def margin(goal: Goal, logits: Tensor) -> Tensor:
    """The best logit of the wrong classes over that of the true one, (N,)."""
    held = goal.held(logits.shape[1])
    return logits.masked_fill(held, -torch.inf).amax(dim=1) - logits.masked_fill(~held, -torch.inf).amax(dim=1)


def stripes(clean: Tensor, eps: float, random: Random) -> Tensor:
    """Vertical lines of +eps and -eps."""
    return (clean + eps * sign(random.uniform(clean.shape[1], 1, clean.shape[3]))).clamp(0, 1)


def recoloured(current: Tensor, clean: Tensor, eps: float, area: float, random: Random) -> Tensor:
    """One square of each image set to +eps or -eps, a sign per channel; it always differs from what is there."""
    height, width = clean.shape[2:]
    side = max(1, min(round(math.sqrt(area * height * width)), height - 1, width - 1))
    drawn = random.uniform(2 + clean.shape[1])
    inside = window(drawn[:, :2], side, clean)[2]
    signs = sign(drawn[:, 2:, None, None])
    tried = torch.where(inside, (clean + eps * signs).clamp(0, 1), current)
    same = column((tried == current).flatten(1).all(dim=1), clean)
    return torch.where(inside & same, (clean - eps * signs).clamp(0, 1), tried)


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


def shifted(current: Tensor, clean: Tensor, eps: float, area: float, random: Random) -> Tensor:
    """A bump is added in one window, which grows by the unused budget and by what another window has to give up."""
    channels, height, width = clean.shape[1:]
    side = max(3, round(math.sqrt(area * height * width))) // 2 * 2 + 1
    side = min(side, (min(height, width) - 1) // 2 * 2 + 1)
    drawn = random.uniform(5 + channels)
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
    free = torch.tensor([height - side + 1, width - side + 1], device=clean.device)
    corners = (drawn.add(1).div(2) * free).long()[:, :, None, None, None]
    down = torch.arange(height, device=clean.device)[:, None] - corners[:, 0]
    right = torch.arange(width, device=clean.device) - corners[:, 1]
    return down, right, (down >= 0) & (down < side) & (right >= 0) & (right < side)


def bump(height: int, width: int, like: Tensor) -> Tensor:
    """Two square pyramids side by side, one up and one down: (height,width) of unit length."""

    def pyramid(high: int) -> Tensor:
        down = (torch.arange(high, device=like.device) - high // 2).abs()[:, None]
        right = (torch.arange(width, device=like.device) - width // 2).abs()
        slopes = torch.arange(1, max(high, width) // 2 + 2, device=like.device).to(like) ** -2
        return slopes.flip(0).cumsum(0).flip(0)[torch.maximum(down, right)]

    both = torch.cat([pyramid(height // 2), -pyramid(height - height // 2)])
    return both / both.norm()


def unit(change: Tensor) -> Tensor:
    """Each channel scaled to unit L2 length; zero stays zero."""
    return change / torch.linalg.vector_norm(change, dim=(2, 3), keepdim=True).clamp_min(torch.finfo(change.dtype).tiny)


def sign(uniform: Tensor) -> Tensor:
    return torch.where(uniform < 0, -1.0, 1.0)
