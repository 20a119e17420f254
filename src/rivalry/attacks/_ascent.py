"""The loop behind the gradient family: steepest ascent of the goal's loss inside a ball."""

from __future__ import annotations

import torch
from torch import Tensor

from rivalry.attacks._goals import Goal
from rivalry.attacks._oracles import Gradients
from rivalry.norms import column, steepest, within
from rivalry.randomness import Random, random_in_ball


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

    Kept is the iterate of highest loss, among those that reach the goal where some do. Around a victim that draws
    random numbers it is the last one: there, the highest of many losses is the luckiest.

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
        Whether an image leaves as soon as it reaches its goal. Around a victim that draws random numbers none does: the
        next draw may be another, and deeper in, fewer are.

    Returns
    -------
    images, loss, reached : Tensor
        (N,C,H,W), (N,) and bool (N,).
    """
    current = images
    if start is not None:
        current = within(images + random_in_ball(start, images, norm, eps), images, norm, eps)
    n, device = len(images), images.device
    found, found_loss = images.clone(), torch.full((n,), -torch.inf, device=device)
    found_reached = torch.zeros(n, dtype=torch.bool, device=device)
    # Of the images that still climb; indexed only when some of them leave.
    rows, origin, best, best_loss, reached = torch.arange(n, device=device), images, current, found_loss, found_reached
    velocity = torch.zeros_like(images)
    stop = stop and victim.certain
    for step in range(steps + 1):
        if step < steps or not victim.certain:  # the mean over draws, at every step
            logits, loss, gradient = victim.loss_gradient(current, goal)
        else:
            logits = victim.final_logits(current)
            loss = goal.loss(logits)
        done = goal.reached(logits.argmax(dim=1))
        better = (done & ~reached) | ((done == reached) & (loss > best_loss))
        if not victim.certain:
            better, reached = torch.ones_like(done), done
        best, best_loss = torch.where(column(better, best), current, best), torch.where(better, loss, best_loss)
        reached = reached | done
        leaving = done if stop and step < steps else torch.full_like(done, step == steps)
        if bool(leaving.any()):
            gone = rows[leaving]
            found[gone], found_loss[gone], found_reached[gone] = best[leaving], best_loss[leaving], reached[leaving]
            going = (~leaving).nonzero().squeeze(1)
            if len(going) == 0:
                break
            victim, goal = victim.on(going), goal[going]
            rows, origin, current, gradient, velocity, best, best_loss, reached = (
                kept[going] for kept in (rows, origin, current, gradient, velocity, best, best_loss, reached)
            )
        if momentum is not None:
            mean = gradient.abs().flatten(1).mean(dim=1).clamp_min(torch.finfo(gradient.dtype).tiny)
            gradient = velocity = momentum * velocity + gradient / column(mean, gradient)
        current = within(current + step_size * steepest(gradient, norm), origin, norm, eps)
    return found, found_loss, found_reached
