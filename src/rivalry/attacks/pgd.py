from __future__ import annotations

import torch
from torch import Tensor

from rivalry.attacks._ascent import ascend
from rivalry.attacks._attack import attack
from rivalry.attacks._goals import Goal
from rivalry.attacks._oracles import Gradients
from rivalry.randomness import Random
from rivalry.types import Count, Few, NonNegative, Norm, Positive


@attack(
    sees="gradients",
    goals=["untargeted", "targeted"],
    norms=["inf", 2],
    budget="fixed",
    source="madry2018",
)
def pgd(
    victim: Gradients,
    images: Tensor,
    goal: Goal,
    random: Random,
    *,
    norm: Norm = "inf",
    eps: NonNegative = 0.3,
    step_size: Positive = 0.01,
    steps: Count = 40,
    restarts: Few = 1,
) -> Tensor:
    """Projected gradient descent: ascend the loss from random points of the eps ball, projecting back each step.

    The strongest attack that uses only first-order information within a fixed budget. An image stops once it
    reaches its goal; restarts are spent only on images that have not, and the iterate of highest loss is kept.

    Parameters
    ----------
    norm : "inf" or 2
        Norm of the budget.
    eps : float
        Budget in units of the [0,1] pixel range.
    step_size : float
        Length of one step, same unit and norm.
    steps : int
        Most steps per start.
    restarts : int
        Random starts.
    """
    best = images.clone()
    best_loss = torch.full((len(images),), -torch.inf, device=images.device)
    active = torch.arange(len(images), device=images.device)
    for _ in range(restarts):
        found, loss, reached = ascend(
            victim.on(active),
            images[active],
            goal[active],
            norm=norm,
            eps=eps,
            step_size=step_size,
            steps=steps,
            start=random[active],
        )
        better = reached | (loss > best_loss[active])
        best[active[better]] = found[better]
        best_loss[active[better]] = loss[better]
        active = active[~reached]
        if len(active) == 0:
            break
    return best
