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
def bim(
    victim: Gradients,
    images: Tensor,
    goal: Goal,
    random: Random,
    *,
    eps: NonNegative = 0.3,
    step_size: Positive = 0.01,
    steps: Count = 40,
) -> Tensor:
    """Basic iterative method: a fixed number of small sign steps from the image itself, inside the eps ball.

    i_fgsm stops once an image is misclassified; this continues to the highest loss and so to confident mistakes.

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
