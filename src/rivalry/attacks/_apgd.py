"""Auto-PGD: projected gradient ascent with momentum that finds each image's step size by itself."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn.functional import one_hot

from rivalry.attacks._goals import Goal
from rivalry.attacks._oracles import Gradients
from rivalry.norms import column, steepest, within
from rivalry.randomness import Random, random_in_ball

Loss = Callable[[Goal, Tensor], Tensor]

MOMENTUM = 0.75
"""Share of the new step in a move; the rest is the last move's."""
RISING = 0.75
"""Share of the steps between two checkpoints that must have raised the loss for a step size to be kept."""


def dlr(goal: Goal, logits: Tensor) -> Tensor:
    """Difference of logits ratio, (N,): the margin by which a goal is reached, in units of the logits' own spread.

    Shifting or scaling the logits (N,K) does not change it, so that it has gradients where a softmax is saturated.
    Untargeted: (best other - true) / (1st - 3rd largest). Targeted: (target - best other) / (1st - mean of 3rd and
    4th). With fewer than three classes, four when targeted, the ratio could not tell better from worse, and the margin
    itself is taken.

    Where the victim can refuse, the ratio is that of the other classes alone: a detector's logit may exceed them by
    far, and as part of the spread it would leave the ratio nearly constant. What is refused loses, in the same units,
    the margin by which it is refused.
    """
    accepted = logits
    if goal.reject is not None:
        refusal = one_hot(torch.full_like(goal.labels, goal.reject), logits.shape[1]).bool()
        accepted = logits.masked_fill(refusal, -torch.inf)
    wanted = goal.labels if goal.targets is None else goal.targets
    chosen = accepted.gather(1, wanted[:, None]).squeeze(1)
    best_other = accepted.scatter(1, wanted[:, None], -torch.inf).amax(dim=1)
    margin, needed = (best_other - chosen, 3) if goal.targets is None else (chosen - best_other, 4)
    spread = torch.ones_like(margin)
    if logits.shape[1] - (goal.reject is not None) >= needed:
        top = accepted.topk(needed, dim=1).values
        spread = (top[:, 0] - top[:, 2:].mean(dim=1)).clamp_min(1e-12)
    ratio = margin / spread
    if goal.reject is None:
        return ratio
    excess = logits[:, goal.reject] - accepted.amax(dim=1)
    # The spread only sets the unit: growing it must not count as leaving the detector's region.
    return torch.where(excess > 0, ratio.clamp_max(0) - excess / spread.detach(), ratio)


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

    Around a victim that draws random numbers, where the next draw may be another, each climbs to the end.

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


@dataclass
class _State:
    """Where the images that still climb are; every tensor begins with (n,)."""

    rows: Tensor
    origin: Tensor
    current: Tensor
    previous: Tensor
    gradient: Tensor
    best: Tensor
    best_gradient: Tensor
    size: Tensor
    loss: Tensor
    best_loss: Tensor
    arrived: Tensor
    judged_loss: Tensor
    rises: Tensor
    halved: Tensor

    def __getitem__(self, rows: Tensor) -> _State:
        return _State(**{name: value[rows] for name, value in vars(self).items()})


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
    start = within(images + random_in_ball(random, images, norm, eps), images, norm, eps)
    lowest = torch.full((len(images),), -torch.inf, device=images.device)
    state = _State(
        rows=torch.arange(len(images), device=images.device),
        origin=images,
        current=start,
        previous=start,
        gradient=torch.zeros_like(start),
        best=start,
        best_gradient=torch.zeros_like(start),
        size=torch.full_like(lowest, 2.0 * eps),
        loss=-lowest,
        best_loss=lowest,
        arrived=torch.zeros_like(lowest, dtype=torch.bool),
        judged_loss=lowest,
        rises=torch.zeros_like(lowest),
        halved=torch.zeros_like(lowest, dtype=torch.bool),
    )
    found, found_loss, reached = start.clone(), lowest.clone(), torch.zeros_like(state.halved)
    checks, judged = checkpoints(steps), 0
    for step in range(steps + 1):
        if step < steps or not victim.certain:
            logits, loss, state.gradient = victim.loss_gradient(state.current, aim, loss_of)
        else:
            logits = victim.logits(state.current)
            loss = loss_of(aim, logits)
        done = goal.reached(logits.argmax(dim=1))
        better = (done & victim.certain) | (loss > state.best_loss)
        wide = column(better, images)
        state.best = torch.where(wide, state.current, state.best)
        state.best_gradient = torch.where(wide, state.gradient, state.best_gradient)
        state.best_loss = torch.where(better, loss, state.best_loss)
        state.arrived = torch.where(better, done, state.arrived)
        state.rises = state.rises + (loss > state.loss)
        state.loss = loss
        leaving = done & victim.certain if step < steps else torch.ones_like(done)
        if bool(leaving.any()):
            left = state.rows[leaving]
            found[left], found_loss[left], reached[left] = (
                state.best[leaving],
                state.best_loss[leaving],
                state.arrived[leaving],
            )
            going = (~leaving).nonzero().squeeze(1)
            state, victim, goal, aim = state[going], victim.on(going), goal[going], aim[going]
            if len(going) == 0:
                break
        if step in checks:
            stalled = ~state.halved & (state.best_loss == state.judged_loss)
            halve = (state.rises < RISING * (step - judged)) | stalled
            wide = column(halve, images)
            state.size = torch.where(halve, state.size / 2, state.size)
            state.current = torch.where(wide, state.best, state.current)
            state.gradient = torch.where(wide, state.best_gradient, state.gradient)
            state.loss = torch.where(halve, state.best_loss, state.loss)
            state.halved, state.judged_loss, state.rises = halve, state.best_loss, torch.zeros_like(state.rises)
            judged = step
        share = MOMENTUM if step else 1.0
        ahead = state.current + column(state.size, images) * steepest(state.gradient, norm)
        stepped = within(ahead, state.origin, norm, eps)
        moved = state.current + share * (stepped - state.current) + (1 - share) * (state.current - state.previous)
        state.previous, state.current = state.current, within(moved, state.origin, norm, eps)
    return found, found_loss, reached
