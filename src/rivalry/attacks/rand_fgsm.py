from __future__ import annotations

from torch import Tensor

from rivalry.attacks._attack import attack
from rivalry.attacks._goals import Goal
from rivalry.attacks._oracles import Gradients
from rivalry.norms import steepest
from rivalry.randomness import Random
from rivalry.types import Fraction, NonNegative


@attack(
    sees="gradients",
    goals=["untargeted", "targeted"],
    norms=["inf"],
    budget="fixed",
    source="tramer2018",
)
def rand_fgsm(
    victim: Gradients,
    images: Tensor,
    goal: Goal,
    random: Random,
    *,
    eps: NonNegative = 0.3,
    random_share: Fraction = 0.5,
) -> Tensor:
    """Randomised fgsm (R+FGSM): a random sign step first, then one gradient sign step with the rest of eps.

    The random step leaves the neighbourhood in which a victim trained on single-step examples has learned to
    hide its gradient.

    Parameters
    ----------
    eps : float
        Linf budget in units of the [0,1] pixel range.
    random_share : float
        Share of eps that the random step takes.
    """
    start = (images + random_share * eps * random.normal(*images.shape[1:]).sign()).clamp(0, 1)
    _, _, gradient = victim.loss_gradient(start, goal)
    return (start + (1 - random_share) * eps * steepest(gradient, "inf")).clamp(0, 1)
