"""Auto-PGD: projected gradient ascent with momentum that finds each image's step size by itself."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from rivalry.attacks._goals import Goal
from rivalry.attacks._norms import column, random_in_ball, steepest, within
from rivalry.attacks._oracles import Gradients
from rivalry.attacks._random import Random

Loss = Callable[[Goal, Tensor], Tensor]

MOMENTUM = 0.75
"""Share of the new step in a move; the rest is the last move's."""
RISING = 0.75
"""Share of the steps between two checkpoints that must have raised the loss for a step size to be kept."""


def dlr(goal: Goal, logits: Tensor) -> Tensor:
    """Difference of logits ratio, (N,): the margin by which a goal is reached, in units of the logits' own spread.

    Shifting or scaling the logits (N,K) does not change it, so that it has gradients where a softmax is saturated.
    Untargeted: (best other - true) / (1st - 3rd largest). Where the victim can refuse, true class and refusal are
    one class, the larger of the two; otherwise the ratio would be constant whenever both lead. Targeted:
    (target - best other) / (1st - mean of 3rd and 4th). With fewer than three classes, four when targeted, the ratio
    could not tell better from worse, and the margin itself is taken.
    """
    classes = logits.shape[1]
    if goal.targets is None:
        held = goal.held(classes)
        mine = logits.masked_fill(~held, -torch.inf).amax(dim=1)
        others = logits[~held].view(len(logits), -1)
        margin, ranked = others.amax(dim=1) - mine, torch.cat([mine[:, None], others], dim=1)
        needed = 3
    else:
        margin = logits.gather(1, goal.targets[:, None]).squeeze(1)
        margin = margin - logits.scatter(1, goal.targets[:, None], -torch.inf).amax(dim=1)
        ranked, needed = logits, 4
    if ranked.shape[1] < needed:
        return margin
    top = ranked.topk(needed, dim=1).values
    return margin / (top[:, 0] - top[:, 2:].mean(dim=1)).clamp_min(1e-12)


def checkpoints(steps: int) -> list[int]:
    """The steps at which step sizes are judged: after 22 % of all, then at ever shorter intervals."""
    percent, interval, found = 22, 22, []
    while percent < 100:
        found.append(-(-percent * steps // 100))
        interval = max(interval - 3, 6)
        percent += interval
    return found


def apgd(
    victim: Gradients,
    images: Tensor,
    goal: Goal,
    random: Random,
    *,
    aims: Sequence[Goal],
    loss_of: Loss,
    norm: str | int,
    eps: float,
    steps: int,
) -> Tensor:
    """Climb once per aim, from a new random point each time; images leave as soon as their goal is reached.

    Parameters
    ----------
    victim, images, goal, random
        As an attack is given them; `goal` decides what is a success.
    aims : list of Goal
        What the loss is handed in its place: `goal` itself for each restart, or goals on the way to it.
    loss_of : function
        Maps an aim and its images' logits (n,K) to losses (n,).
    norm, eps, steps
        The ball, and the steps per climb.
    """
    best = images.clone()
    best_loss = torch.full((len(images),), -torch.inf, device=images.device)
    active = torch.arange(len(images), device=images.device)
    for aim in aims:
        found, loss, reached = _climb(
            victim.on(active), images[active], goal[active], aim[active], random[active], loss_of, norm, eps, steps
        )
        better = reached | (loss > best_loss[active])
        best[active[better]] = found[better]
        best_loss[active[better]] = loss[better]
        active = active[~reached]
        if len(active) == 0:
            break
    return best


def _climb(
    victim: Gradients,
    images: Tensor,
    goal: Goal,
    aim: Goal,
    random: Random,
    loss_of: Loss,
    norm: str | int,
    eps: float,
    steps: int,
) -> tuple[Tensor, Tensor, Tensor]:
    current = within(images + random_in_ball(random, images, norm, eps), images, norm, eps)
    best, best_gradient, previous = current.clone(), torch.zeros_like(current), current.clone()
    size = torch.full((len(images),), 2.0 * eps, device=images.device)
    best_loss = torch.full_like(size, -torch.inf)
    judged_loss, last_loss = best_loss.clone(), -best_loss
    reached = torch.zeros_like(size, dtype=torch.bool)
    halved = reached.clone()
    rises = torch.zeros_like(size)
    active = torch.arange(len(images), device=images.device)
    checks, judged = checkpoints(steps), 0
    for step in range(steps + 1):
        if step < steps:
            logits, loss, gradient = victim.on(active).loss_gradient(current, aim[active], loss_of)
        else:
            logits, gradient = victim.on(active).logits(current), torch.zeros_like(current)
            loss = loss_of(aim[active], logits)
        done = goal[active].reached(logits.argmax(dim=1))
        better = done | (loss > best_loss[active])
        for kept, value in ((best, current), (best_loss, loss), (best_gradient, gradient)):
            kept[active[better]] = value[better]
        reached[active] = done
        rises[active] += loss > last_loss[active]
        last_loss[active] = loss
        active, current, gradient = active[~done], current[~done], gradient[~done]
        if step == steps or len(active) == 0:
            break
        if step in checks:
            stalled = ~halved[active] & (best_loss[active] == judged_loss[active])
            halve = (rises[active] < RISING * (step - judged)) | stalled
            restarting = active[halve]
            size[restarting] /= 2
            current[halve], gradient[halve] = best[restarting], best_gradient[restarting]
            last_loss[restarting] = best_loss[restarting]
            halved[active], judged_loss[active], rises[active], judged = halve, best_loss[active], 0, step
        origin, share = images[active], MOMENTUM if step else 1.0
        stepped = within(current + column(size[active], current) * steepest(gradient, norm), origin, norm, eps)
        moved = current + share * (stepped - current) + (1 - share) * (current - previous[active])
        previous[active], current = current, within(moved, origin, norm, eps)
    return best, best_loss, reached
