"""The loop behind the gradient family: steepest ascent of the goal's loss inside a ball."""

from __future__ import annotations

import torch
from torch import Tensor

from rivalry.attacks._goals import Goal
from rivalry.attacks._norms import column, random_in_ball, steepest, within
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
    momentum: float | None = None,
    stop: bool = True,
) -> tuple[Tensor, Tensor, Tensor]:
    """Ascend from the images, or from random points around them when `start` is given.

    Kept is the iterate of highest loss, among those that reach the goal where some do.

    Parameters
    ----------
    victim, images, goal
        As an attack is given them.
    norm, eps, step_size, steps
        The ball and the steps inside it.
    start : Random, optional
        Draws the starting points.
    momentum : float, optional
        Decay of the velocity: the sum of past gradients, each scaled to unit mean absolute value.
    stop : bool
        Whether an image leaves as soon as it reaches its goal.

    Returns
    -------
    images, loss, reached : Tensor
        (N,C,H,W), (N,) and bool (N,).
    """
    current = images
    if start is not None:
        current = within(images + random_in_ball(start, images, norm, eps), images, norm, eps)
    best = current.clone()
    best_loss = torch.full((len(images),), -torch.inf, device=images.device)
    reached = torch.zeros(len(images), dtype=torch.bool, device=images.device)
    velocity = torch.zeros_like(images)
    active = torch.arange(len(images), device=images.device)
    for step in range(steps + 1):
        wanted = goal[active]
        if step < steps:
            logits, loss, gradient = victim.on(active).loss_gradient(current, wanted)
        else:
            logits = victim.on(active).logits(current)
            loss = wanted.loss(logits)
        done = wanted.reached(logits.argmax(dim=1))
        better = (done & ~reached[active]) | ((done == reached[active]) & (loss > best_loss[active]))
        best[active[better]] = current[better]
        best_loss[active[better]] = loss[better]
        reached[active[done]] = True
        going = ~done if stop else torch.ones_like(done)
        active, current = active[going], current[going]
        if step == steps or len(active) == 0:
            break
        gradient = gradient[going]
        if momentum is not None:
            mean = gradient.abs().flatten(1).mean(dim=1).clamp_min(torch.finfo(gradient.dtype).tiny)
            gradient = velocity[active] = momentum * velocity[active] + gradient / column(mean, gradient)
        current = within(current + step_size * steepest(gradient, norm), images[active], norm, eps)
    return best, best_loss, reached
