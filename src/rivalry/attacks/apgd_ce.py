from __future__ import annotations

from torch import Tensor

from rivalry.attacks._apgd import apgd
from rivalry.attacks._attack import attack
from rivalry.attacks._goals import Goal
from rivalry.attacks._oracles import Gradients
from rivalry.randomness import Random
from rivalry.types import Count, Few, NonNegative, Norm


@attack(
    sees="gradients",
    goals=["untargeted", "targeted"],
    norms=["inf", 2],
    budget="fixed",
    source="croce2020",
)
def apgd_ce(
    victim: Gradients,
    images: Tensor,
    goal: Goal,
    random: Random,
    *,
    norm: Norm = "inf",
    eps: NonNegative = 0.3,
    steps: Count = 100,
    restarts: Few = 1,
) -> Tensor:
    """Auto-PGD on the cross-entropy: pgd with momentum that halves an image's step size when progress stops.

    Maximises the loss within the eps ball and [0,1] from a random point. The first step is 2 eps long; at fixed
    checkpoints an image whose loss has risen too seldom, or reached no new maximum, returns to its best point with
    half the step. An image stops once it reaches its goal; otherwise its point of highest loss is kept.

    Parameters
    ----------
    norm : "inf" or 2
        Norm of the budget.
    eps : float
        Budget in units of the [0,1] pixel range.
    steps : int
        Most steps per start.
    restarts : int
        Random starts, spent only on images that have not reached their goal.
    """
    aims = [goal] * restarts
    return apgd(victim, images, goal, random, aims=aims, loss_of=Goal.loss, norm=norm, eps=eps, steps=steps)
