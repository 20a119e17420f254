from __future__ import annotations

from torch import Tensor

from rivalry.attacks._ascent import ascend
from rivalry.attacks._attack import attack
from rivalry.attacks._goals import Goal
from rivalry.attacks._oracles import Gradients
from rivalry.randomness import Random
from rivalry.types import Count, NonNegative


@attack(
    sees="gradients",
    goals=["untargeted", "targeted"],
    norms=["inf"],
    budget="fixed",
    source="dong2018",
)
def mi_fgsm(
    victim: Gradients,
    images: Tensor,
    goal: Goal,
    random: Random,
    *,
    eps: NonNegative = 0.3,
    steps: Count = 10,
    momentum: NonNegative = 1.0,
) -> Tensor:
    """Momentum iterative fgsm: sign steps of eps/steps along a running sum of each image's scaled gradients.

    The sum damps directions that are peculiar to the victim, so that the result transfers better to others.
    It continues after the goal is reached and keeps the iterate of highest loss.

    Parameters
    ----------
    eps : float
        Linf budget in units of the [0,1] pixel range.
    steps : int
        Steps, each of length eps/steps.
    momentum : float
        Weight of the past sum in the next one; 0 is without momentum.
    """
    best, _, _ = ascend(
        victim,
        images,
        goal,
        norm="inf",
        eps=eps,
        step_size=eps / steps,
        steps=steps,
        momentum=momentum,
        stop=False,
    )
    return best
