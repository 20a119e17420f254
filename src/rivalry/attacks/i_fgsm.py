from __future__ import annotations

from torch import Tensor

from rivalry.attacks._ascent import ascend
from rivalry.attacks._attack import attack
from rivalry.attacks._goals import Goal
from rivalry.attacks._oracles import Gradients
from rivalry.randomness import Random
from rivalry.types import Count, NonNegative, Positive


@attack(
    sees="gradients",
    goals=["untargeted", "targeted"],
    norms=["inf"],
    budget="fixed",
    source="kurakin2017",
)
def i_fgsm(
    victim: Gradients,
    images: Tensor,
    goal: Goal,
    random: Random,
    *,
    eps: NonNegative = 0.3,
    eps_step: Positive = 0.05,
    steps: Count = 10,
) -> Tensor:
    """Iterative fast gradient sign method: small sign steps; each image stops once it reaches its goal.

    Where one large step would overshoot, the small ones stop just behind the decision boundary, so budgets are
    smaller than fgsm's and targeted success grows with eps.

    Parameters
    ----------
    eps : float
        Linf budget in units of the [0,1] pixel range.
    eps_step : float
        Length of one step, same unit.
    steps : int
        Most steps an image takes.
    """
    best, _, _ = ascend(victim, images, goal, norm="inf", eps=eps, step_size=min(eps_step, eps), steps=steps)
    return best
