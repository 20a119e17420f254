"""The loop behind the gradient-sign family: steepest ascent of the goal's loss inside a ball."""

from __future__ import annotations

import torch
from torch import Tensor

from rivalry.attacks._goals import Goal
from rivalry.attacks._norms import random_in_ball, steepest, within
from rivalry.attacks._oracles import Gradients
from rivalry.attacks._random import Random


def ascend(
    victim: Gradients,
    images: Tensor,
    goal: Goal,
    *,
    norm: str | int,
    eps: float,
    step_size: float,
    steps: int,
    start: Random | None = None,
) -> tuple[Tensor, Tensor, Tensor]:
    """Ascend from the images, or from random points around them when `start` is given.

    An image leaves as soon as it reaches its goal. One that never does keeps the iterate of highest loss.

    Returns
    -------
    images, loss, reached : Tensor
        (N,C,H,W), (N,) and bool (N,).
    """
    if start is None:
        current = images.clone()
    else:
        current = within(images + random_in_ball(start, images, norm, eps), images, norm, eps)
    best = current.clone()
    best_loss = torch.full((len(images),), -torch.inf, device=images.device)
    reached = torch.zeros(len(images), dtype=torch.bool, device=images.device)
    active = torch.arange(len(images), device=images.device)
    for step in range(steps + 1):
        wanted = goal[active]
        if step < steps:
            logits, loss, gradient = victim.on(active).loss_gradient(current, wanted)
        else:
            logits = victim.on(active).logits(current)
            loss = wanted.loss(logits)
        done = wanted.reached(logits.argmax(dim=1))
        better = done | (loss > best_loss[active])
        best[active[better]] = current[better]
        best_loss[active[better]] = loss[better]
        reached[active[done]] = True
        active, current = active[~done], current[~done]
        if step == steps or len(active) == 0:
            break
        direction = steepest(gradient[~done], norm)
        current = within(current + step_size * direction, images[active], norm, eps)
    return best, best_loss, reached
