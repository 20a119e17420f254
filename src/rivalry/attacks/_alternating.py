"""The loop behind attacks on a classifier and its detector that follow one of the two at a time."""

from __future__ import annotations

import functools
import math

import torch
from torch import Tensor
from torch.nn.functional import one_hot

from rivalry.attacks._goals import Goal
from rivalry.attacks._oracles import Gradients
from rivalry.norms import column, steepest, within
from rivalry.randomness import Random, random_in_ball

FIRST_STEP = 0.25
"""Length of the first step, as a share of eps; steps shrink evenly, so that the last ones are fine."""


def alternate(
    victim: Gradients,
    images: Tensor,
    goal: Goal,
    random: Random,
    *,
    norm: str | int,
    eps: float,
    steps: int,
    restarts: int,
    orthogonal: bool,
) -> Tensor:
    """Climb the class margin until the class is reached, then the margin by which the image is accepted, and so on.

    The first start is the image itself, which the detector lets through; later ones are random. Images leave as soon as
    their goal is reached, unless the victim draws random numbers: the next draw may be another. Of those that stay the
    point is kept at which the smaller of the two margins is largest.

    Parameters
    ----------
    victim, images, goal, random
        As an attack is given them. Where the victim cannot refuse, the class margin alone is climbed.
    norm, eps, steps, restarts
        The ball, and the steps of each of the starts.
    orthogonal : bool
        Whether a step that would lose the other margin, to first order, keeps to its level set instead. In Linf it has
        then the direction of what is left of the gradient, and the length that the usual step has in L2: taking signs
        would turn it back.
    """
    best, best_margin = images.clone(), torch.full((len(images),), -torch.inf, device=images.device)
    active = torch.arange(len(images), device=images.device)
    for number in range(restarts):
        current = images  # the very tensor, whose answer is there already
        if number:
            origin = images[active]
            current = within(origin + random_in_ball(random[active], origin, norm, eps), origin, norm, eps)
        for step in range(steps + 1):
            mine, aim = victim.on(active), goal[active]
            if step < steps or not victim.certain:
                logits, gradients = mine.jacobian(current, functools.partial(_weights, aim, orthogonal))
            else:
                logits = mine.logits(current)
            turned, accepted = margins(aim, logits)
            done = aim.reached(logits.argmax(dim=1)) & victim.certain
            least = torch.where(done, torch.inf, torch.minimum(turned, accepted))
            better = least > best_margin[active]
            best[active[better]], best_margin[active[better]] = current[better], least[better]
            going = ~done
            active, current = active[going], current[going]
            if step == steps or len(active) == 0:
                break
            ahead, size = gradients[going, 0], FIRST_STEP * eps * (1 - step / steps)
            change = size * steepest(ahead, norm)
            if gradients.shape[1] > 1:
                other = gradients[going, 1]
                spare = torch.where(turned > 0, turned, accepted)[going]
                loses = spare + (change * other).flatten(1).sum(dim=1) <= 0
                beside = (
                    size * (math.sqrt(other[0].numel()) if norm == "inf" else 1) * steepest(_without(ahead, other), 2)
                )
                change = torch.where(column(loses, change), beside, change)
            current = within(current + change, images[active], norm, eps)
        if len(active) == 0:
            break
    return best


def margins(goal: Goal, logits: Tensor) -> tuple[Tensor, Tensor]:
    """By how much the wanted class leads the others, and the best class leads a refusal: (N,) each, from logits (N,K).

    The second is infinite where the victim cannot refuse.
    """
    forward, backward = _leaders(goal, logits)
    turned = (logits * (forward - backward)).sum(dim=1)
    if goal.reject is None:
        return turned, torch.full_like(turned, torch.inf)
    return turned, _accepted(goal, logits).amax(dim=1) - logits[:, goal.reject]


def _weights(goal: Goal, orthogonal: bool, rows: Tensor, logits: Tensor) -> Tensor:
    """Weights (N,k,K) of the margin to climb now and, if steps are orthogonal, of the other one, for some rows."""
    goal = goal[rows]
    forward, backward = _leaders(goal, logits)
    turn = forward - backward
    if goal.reject is None:
        return turn[:, None]
    classes = logits.shape[1]
    best = one_hot(_accepted(goal, logits).argmax(dim=1), classes)
    accept = (best - one_hot(torch.full_like(goal.labels, goal.reject), classes)).to(logits)
    turned = column(margins(goal, logits)[0] > 0, turn)
    first, second = torch.where(turned, accept, turn), torch.where(turned, turn, accept)
    return torch.stack([first, second], dim=1) if orthogonal else first[:, None]


def _leaders(goal: Goal, logits: Tensor) -> tuple[Tensor, Tensor]:
    """The class to raise and the one to lower, one-hot (N,K): the goal's own, and the likeliest of the others."""
    own = goal.labels if goal.targets is None else goal.targets
    other = _accepted(goal, logits).scatter(1, own[:, None], -torch.inf).argmax(dim=1)
    up, down = (other, own) if goal.targets is None else (own, other)
    classes = logits.shape[1]
    return one_hot(up, classes).to(logits), one_hot(down, classes).to(logits)


def _accepted(goal: Goal, logits: Tensor) -> Tensor:
    """The logits, those of a refusal replaced by minus infinity."""
    if goal.reject is None:
        return logits
    refusal = torch.arange(logits.shape[1], device=logits.device) == goal.reject
    return logits.masked_fill(refusal, -torch.inf)


def _without(gradient: Tensor, other: Tensor) -> Tensor:
    """What of each gradient (N,C,H,W) is orthogonal to the other one."""
    mine, theirs = gradient.flatten(1), other.flatten(1)
    along = (mine * theirs).sum(dim=1) / theirs.square().sum(dim=1).clamp_min(torch.finfo(theirs.dtype).tiny)
    return gradient - column(along, gradient) * other
