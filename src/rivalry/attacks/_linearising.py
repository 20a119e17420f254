"""The loop behind DeepFool: step to the nearest boundary that the linearised classes have, until it is crossed."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor
from torch.nn.functional import one_hot

from rivalry.attacks._goals import Goal
from rivalry.attacks._oracles import Gradients
from rivalry.norms import column, length


def cross_boundary(
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
    leave = goal.to_leave(logits.shape[1])
    rivals = goal.rivals(logits, candidates)

    def margins(rows: Tensor, logits: Tensor) -> Tensor:
        """Weights of each rival's lead over the likelier of the classes to leave: the true one, or a refusal."""
        leader = logits.masked_fill(~leave[active[rows]], -torch.inf).argmax(dim=1)
        return one_hot(rivals[active[rows]], logits.shape[1]).to(logits) - one_hot(leader, logits.shape[1])[:, None]

    for step in range(1, steps + 1):
        logits, normals = victim.on(active).jacobian(result[active], margins)
        going = ~goal[active].reached(logits.argmax(dim=1))
        active, logits, normals = active[going], logits[going], normals[going].flatten(2)
        if len(active) == 0:
            break
        leader = logits.masked_fill(~leave[active], -torch.inf).amax(dim=1, keepdim=True)
        gap = (leader - logits.gather(1, rivals[active])).clamp_min(0)
        rows = torch.arange(len(active), device=images.device)
        # The distance to a hyperplane is measured in the dual norm of the perturbation's.
        dual = torch.linalg.vector_norm(normals, ord=2 if norm == 2 else 1, dim=2)
        distance = torch.where(dual > 0, gap / dual, torch.inf)
        nearest = distance.argmin(dim=1)
        alive = distance[rows, nearest].isfinite()
        active, rows, nearest = active[alive], rows[alive], nearest[alive]
        normal = normals[rows, nearest].view(-1, *images.shape[1:])
        direction = normal / column(dual[rows, nearest], normal) if norm == 2 else normal.sign()
        # Newton's steps shrink towards a boundary that curves away and end on it: a thousandth of the change so far
        # takes a step across.
        further = (1e-3 * length(change[active], norm)).clamp_min(1e-7)
        change[active] += column(stretch(step) * (distance[rows, nearest] + further), normal) * direction
        # Only what the pixels' range leaves of it is a change to go on from.
        change[active] = (images[active] + change[active]).clamp(0, 1) - images[active]
        result[active] = (images[active] + (1 + overshoot) * change[active]).clamp(0, 1)
        if len(active) == 0:
            break
    return result
