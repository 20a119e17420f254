"""The loop behind DeepFool: step to the nearest boundary that the linearised classes have, until it is crossed."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from rivalry.attacks._goals import Goal
from rivalry.attacks._norms import column, length
from rivalry.attacks._oracles import Gradients


def cross(
    victim: Gradients,
    images: Tensor,
    goal: Goal,
    *,
    norm: str | int,
    steps: int,
    candidates: int,
    overshoot: float,
    stretch: Callable[[int], float] = lambda step: 1.0,
) -> Tensor:
    """Images (N,C,H,W) just behind a boundary, or where the last step left them.

    Parameters
    ----------
    victim, images, goal
        As an attack is given them.
    norm : 2 or "inf"
        Norm of the perturbation to minimise.
    steps : int
        Most linearisations of one image.
    candidates : int
        How many classes, the most likely ones of the clean image, are tried as the nearest.
    overshoot : float
        Share by which the accumulated perturbation is lengthened.
    stretch : function
        Factor by which the t-th step, t from 1, is longer than the linearisation asks.
    """
    result = images.clone()
    change = torch.zeros_like(images)
    active = torch.arange(len(images), device=images.device)
    logits = victim.logits(images)
    held = goal.held(logits.shape[1])
    rivals = goal.rivals(logits, candidates)

    for step in range(1, steps + 1):
        # Which held class must be outrun (the true one, or a defended victim's refusal) is known only at the
        # current point, so all held classes are differentiated beside the rivals.
        holders = held[active].nonzero()[:, 1].view(len(active), -1)
        classes = torch.cat([holders, rivals[active]], dim=1)
        logits, jacobian = victim.on(active).jacobian(result[active], classes)
        reached = goal[active].reached(logits.argmax(dim=1))
        active, classes, logits, jacobian = (t[~reached] for t in (active, classes, logits, jacobian))
        if len(active) == 0:
            break
        values = logits.gather(1, classes)
        first_rival = holders.shape[1]
        holder = values[:, :first_rival].argmax(dim=1)
        rows = torch.arange(len(active), device=images.device)
        gap = (values[rows, holder, None] - values[:, first_rival:]).clamp_min(0)
        normals = (jacobian[:, first_rival:] - jacobian[rows, holder, None]).flatten(2)
        # The distance to a hyperplane is measured in the dual norm of the perturbation's.
        dual = torch.linalg.vector_norm(normals, ord=2 if norm == 2 else 1, dim=2)
        distance = torch.where(dual > 0, gap / dual, torch.inf)
        nearest = distance.argmin(dim=1)
        alive = distance[rows, nearest].isfinite()
        active, rows, nearest = active[alive], rows[alive], nearest[alive]
        normal = normals[rows, nearest].view(-1, *images.shape[1:])
        direction = normal / column(dual[rows, nearest], normal) if norm == 2 else normal.sign()
        # Newton's steps shrink towards a boundary that curves away and end on it: a thousandth of the change so
        # far is the least that a step after the first is worth.
        least = (1e-3 * length(change[active], norm)).clamp_min(1e-7)
        change[active] += column(stretch(step) * torch.maximum(distance[rows, nearest], least), normal) * direction
        result[active] = (images[active] + (1 + overshoot) * change[active]).clamp(0, 1)
        if len(active) == 0:
            break
    return result
