from __future__ import annotations

import torch
from torch import Tensor

from rivalry.attacks._attack import attack
from rivalry.attacks._goals import Goal
from rivalry.attacks._oracles import Scores
from rivalry.attacks._squares import recoloured, shifted, stripes, tiles
from rivalry.norms import column
from rivalry.randomness import Random
from rivalry.types import Count, Fraction, NonNegative, Norm

HALVINGS = [0.001, 0.005, 0.02, 0.1, 0.2, 0.4, 0.6, 0.8]
"""Shares of the queries after which the squares' area halves."""
AHEAD = 50
"""Tries for which an image's random numbers are drawn at once."""


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
    target's odds. An image stops once it reaches its goal, but not before a victim that draws random numbers: its next
    answer may be another. Where a victim answers fewer questions, the schedule is that of so many tries.

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
    queries = queries if victim.left is None else max(1, min(queries, victim.left))
    found = images.clone()
    rows = torch.arange(len(images), device=images.device)
    clean = best = images
    loss = torch.full((len(images),), -torch.inf, device=images.device)
    for query in range(queries):
        if query % AHEAD == 0:
            ahead = random.uniform(AHEAD, 5 + images.shape[1])
        drawn = ahead[:, query % AHEAD]
        victim.count_iteration()
        area = p * 0.5 ** sum(query > share * queries for share in HALVINGS)
        if query == 0:
            tried = stripes(clean, eps, random) if norm == "inf" else tiles(clean, eps, random)
        elif norm == "inf":
            tried = recoloured(best, clean, eps, area, drawn[:, 3:])
        else:
            tried = shifted(best, clean, eps, area, drawn)
        logits = victim.logits(tried)
        reached = goal.reached(logits.argmax(dim=1)) & victim.certain
        value = margin(goal, logits) if goal.targets is None else goal.log_odds(logits)
        better = reached | (value > loss)
        best, loss = torch.where(column(better, best), tried, best), torch.where(better, value, loss)
        if bool(reached.any()):
            found[rows[reached]] = best[reached]
            going = (~reached).nonzero().squeeze(1)
            if len(going) == 0:
                return found
            victim, goal, random = victim.on(going), goal[going], random[going]
            rows, clean, best, loss, ahead = (kept[going] for kept in (rows, clean, best, loss, ahead))
    found[rows] = best
    return found


def margin(goal: Goal, logits: Tensor) -> Tensor:
    """The best logit of the wrong classes over the true one's, (N,); being refused counts with the true class."""
    true = goal.labels[:, None]
    mine, others = logits.gather(1, true), logits.scatter(1, true, -torch.inf)
    if goal.reject is not None:
        mine = torch.maximum(mine, logits[:, goal.reject, None])
        others[:, goal.reject] = -torch.inf
    return others.amax(dim=1) - mine.squeeze(1)
