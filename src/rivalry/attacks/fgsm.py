from __future__ import annotations

from torch import Tensor

from rivalry.attacks._attack import attack
from rivalry.attacks._goals import Goal
from rivalry.attacks._oracles import Gradients
from rivalry.norms import steepest
from rivalry.randomness import Random
from rivalry.types import NonNegative


@attack(
    sees="gradients",
    goals=["untargeted", "targeted"],
    norms=["inf"],
    budget="fixed",
    source="goodfellow2015",
)
def fgsm(victim: Gradients, images: Tensor, goal: Goal, random: Random, *, eps: NonNegative = 0.3) -> Tensor:
    """Fast gradient sign method: one step of size eps along the sign of the loss gradient.

    Maximises the linearised loss under an Linf budget. It always takes the full step, so a larger eps can
    overshoot the region it aimed at.

    Parameters
    ----------
    eps : float
        Linf budget in units of the [0,1] pixel range.
    """
    _, _, gradient = victim.loss_gradient(images, goal)
    return (images + eps * steepest(gradient, "inf")).clamp(0, 1)
