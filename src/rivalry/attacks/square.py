from __future__ import annotations

import torch
from torch import Tensor

from rivalry.attacks._attack import attack
from rivalry.attacks._goals import Goal
from rivalry.attacks._oracles import Scores
from rivalry.attacks._random import Random
from rivalry.attacks._squares import recoloured, shifted, stripes, tiles
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
