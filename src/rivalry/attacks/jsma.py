from __future__ import annotations

import math
from typing import Literal

import torch
from torch import Tensor
from torch.nn.functional import one_hot

from rivalry.attacks._attack import attack
from rivalry.attacks._goals import Goal
from rivalry.attacks._oracles import Gradients
from rivalry.randomness import Random
from rivalry.types import Fraction, SignedShare

AT_ONCE = 2**22
"""Pairs that are compared at a time: bounds the memory."""


@attack(
    sees="gradients",
    goals=["targeted", "untargeted"],
    norms=[0],
    budget="minimal",
    source="papernot2016jsma",
)
def jsma(
    victim: Gradients,
    images: Tensor,
    goal: Goal,
    random: Random,
    *,
    theta: SignedShare = 1.0,
    gamma: Fraction = 0.145,
    output: Literal["probabilities", "logits"] = "probabilities",
) -> Tensor:
    """Jacobian saliency map attack: change, two at a time, the features that most favour the target over the rest.

    Seeks a change of few features; a feature is one channel of one pixel, so that the L0 distance, which counts
    pixels, is at most the number of changed features. Of a pair of features, alpha is the derivative of the
    target's output and beta that of all other outputs together: among the pairs with alpha > 0 > beta, each
    iteration moves the one of largest -alpha * beta. A feature at the edge of [0,1] leaves the search. Without
    a target the map is mirrored: alpha is of all wrong classes together, beta of the true one.

    Parameters
    ----------
    theta : float
        By how much a feature is moved, in units of the [0,1] pixel range; negative to darken.
    gamma : float
        Share of the features that may be changed, two an iteration.
    output : "probabilities" or "logits"
        What is differentiated. Probabilities add up to one, so beta is -alpha and classes weigh as much as they
        rival the target; of logits, all weigh the same, those far behind too.
    """
    slopes_of = _of_probabilities if output == "probabilities" else _of_logits
    result = images.clone()
    active = torch.arange(len(images), device=images.device)
    for _ in range(int(gamma * images[0].numel()) // 2):
        logits, alpha, beta = slopes_of(victim.on(active), result[active], goal[active])
        going = ~goal[active].reached(logits.argmax(dim=1))
        active = active[going]
        pixels = result[active].flatten(1)
        movable = pixels < 1 if theta > 0 else pixels > 0
        sign = math.copysign(1, theta)
        gains = ((sign * slope[going]).masked_fill(~movable, -torch.inf) for slope in (alpha, -beta))
        pairs, found = best_pairs(*gains)
        active, pixels, pairs = active[found], pixels[found], pairs[found]
        if len(active) == 0:
            break
        pixels.scatter_(1, pairs, (pixels.gather(1, pairs) + theta).clamp(0, 1))
        result[active] = pixels.view(-1, *images.shape[1:])
    return result


def _of_probabilities(victim: Gradients, images: Tensor, goal: Goal) -> tuple[Tensor, Tensor, Tensor]:
    """Logits (n,K), alpha and beta (n,d) of p, what the goal wants, each divided by p (1 - p).

    That changes no order, and does not vanish where a victim is sure: it is the slope of the log odds.
    """
    logits, _, gradient = victim.loss_gradient(images, goal, Goal.log_odds)
    return logits, gradient.flatten(1), -gradient.flatten(1)


def _of_logits(victim: Gradients, images: Tensor, goal: Goal) -> tuple[Tensor, Tensor, Tensor]:
    def aims(rows: Tensor, logits: Tensor) -> Tensor:
        classes = logits.shape[1]
        aim = ~goal[rows].to_leave(classes) if goal.targets is None else one_hot(goal.targets[rows], classes)
        return torch.stack([aim.to(logits), 1 - aim.to(logits)], dim=1)

    logits, jacobian = victim.jacobian(images, aims)
    alpha, beta = jacobian.flatten(2).unbind(1)
    return logits, alpha, beta


def best_pairs(a: Tensor, b: Tensor) -> tuple[Tensor, Tensor]:
    """The pair p, q of places that maximises (a_p + a_q) * (b_p + b_q), both sums positive, in each row.

    Each sum grows with its members, so a member that two other places equal or exceed in both a and b can be
    exchanged for one of them: only places that at most one other dominates are paired up. These are exact, and
    few, where all pairs would be too many.

    Parameters
    ----------
    a, b : Tensor
        (N,n); minus infinity excludes a place.

    Returns
    -------
    pairs, found : Tensor
        int64 (N,2) and bool (N,): whether there is such a pair.
    """
    # By falling a, equal ones by falling b: a place is then dominated only by places before it.
    order = b.argsort(dim=1, descending=True, stable=True)
    order = order.gather(1, a.gather(1, order).argsort(dim=1, descending=True, stable=True))
    a, b = a.gather(1, order), b.gather(1, order)
    before = torch.full_like(b[:, :1], -torch.inf)
    largest = torch.cat([before, b.cummax(dim=1).values[:, :-1]], dim=1)
    second = torch.cat([before, torch.minimum(b, largest).cummax(dim=1).values[:, :-1]], dim=1)
    chosen = b > second
    best = a.new_zeros(len(a))
    pairs = torch.zeros(len(a), 2, dtype=torch.int64, device=a.device)
    width = int(chosen.sum(dim=1).amax()) if len(a) else 0
    if width == 0:
        return pairs, best > 0
    places = chosen.byte().argsort(dim=1, descending=True, stable=True)[:, :width]
    a, b = (t.gather(1, places).masked_fill(~chosen.gather(1, places), -torch.inf) for t in (a, b))
    columns = torch.arange(width, device=a.device)
    for rows in columns.split(max(1, AT_ONCE // (len(a) * width))):
        sums_a, sums_b = (t[:, rows, None] + t[:, None] for t in (a, b))
        allowed = (sums_a > 0) & (sums_b > 0) & (rows[:, None] != columns)
        value, flat = torch.where(allowed, sums_a * sums_b, 0).flatten(1).max(dim=1)
        pair = torch.stack([rows[flat // width], flat % width], dim=1)
        pairs = torch.where((value > best)[:, None], pair, pairs)
        best = torch.maximum(best, value)
    return order.gather(1, places.gather(1, pairs)), best > 0
