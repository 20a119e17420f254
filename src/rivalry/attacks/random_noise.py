from __future__ import annotations

from torch import Tensor

from rivalry.attacks._attack import attack
from rivalry.attacks._goals import Goal
from rivalry.attacks._oracles import Decisions
from rivalry.norms import steepest
from rivalry.randomness import Random
from rivalry.types import NonNegative, Norm


@attack(
    sees="nothing",
    goals=["untargeted"],
    norms=["inf", 2],
    budget="fixed",
    source="fawzi2016",
)
def random_noise(
    victim: Decisions,
    images: Tensor,
    goal: Goal,
    random: Random,
    *,
    norm: Norm = "inf",
    eps: NonNegative = 0.3,
) -> Tensor:
    """Random noise of length eps: the control that every attack must beat.

    A random corner of the Linf ball, or a random point of the L2 sphere: the most noise the budget allows.

    Parameters
    ----------
    norm : "inf" or 2
        Norm of the budget.
    eps : float
        Length of the noise in units of the [0,1] pixel range.
    """
    return (images + eps * steepest(random.normal(*images.shape[1:]), norm)).clamp(0, 1)
