from __future__ import annotations

from torch import Tensor

from rivalry.attacks._alternating import alternate
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
    source="bryniarski2022",
)
def orthogonal_pgd(
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
    """Orthogonal projected gradient descent: selective_pgd whose steps do not lose what the steps before have won.

    A step that raises the class margin keeps only what is orthogonal to the gradient of the detector's score, and the
    other way round. The paper does so in every step; here only a step that would otherwise cross the detector's
    threshold, or the boundary between classes, does so: the room that is left up to there is often needed. Around a
    victim that cannot refuse it is selective_pgd. A step costs two backward passes.

    Parameters
    ----------
    norm : "inf" or 2
        Norm of the budget.
    eps : float
        Budget in units of the [0,1] pixel range.
    steps : int
        Most steps per start.
    restarts : int
        Starts: the image itself, then random points, spent only on images that have not reached their goal.
    """
    return alternate(victim, images, goal, random, norm=norm, eps=eps, steps=steps, restarts=restarts, orthogonal=True)
