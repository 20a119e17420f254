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
    goals=["targeted"],
    norms=["inf"],
    budget="fixed",
    source="kurakin2017",
    target="least_likely",
)
def illc(
    victim: Gradients,
    images: Tensor,
    goal: Goal,
    random: Random,
    *,
    eps: NonNegative = 0.3,
    step_size: Positive = 0.01,
    steps: Count = 40,
) -> Tensor:
    """Iterative least-likely class method: small sign steps towards the class the clean image resembles least.

    The most surprising mistake, and a hard one to cause: the target is the class that seems farthest away.

    Parameters
    ----------
    eps : float
        Linf budget in units of the [0,1] pixel range.
    step_size : float
        Length of one step, same unit.
    steps : int
        Steps of every image.
    """
    best, _, _ = ascend(victim, images, goal, norm="inf", eps=eps, step_size=step_size, steps=steps, stop=False)
    return best
