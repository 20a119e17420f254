from __future__ import annotations

from torch import Tensor

from rivalry.attacks._attack import attack
from rivalry.attacks._goals import Goal
from rivalry.attacks._linearising import cross_boundary
from rivalry.attacks._oracles import Gradients
from rivalry.randomness import Random
from rivalry.types import Count, Few, NonNegative, Norm


@attack(
    sees="gradients",
    goals=["untargeted"],
    norms=[2, "inf"],
    budget="minimal",
    source="moosavi2016",
)
def deepfool(
    victim: Gradients,
    images: Tensor,
    goal: Goal,
    random: Random,
    *,
    norm: Norm = 2,
    steps: Count = 50,
    overshoot: NonNegative = 0.02,
    candidates: Few = 10,
) -> Tensor:
    """DeepFool: step to the nearest boundary of the linearised classifier, until the real boundary is crossed.

    Seeks the smallest perturbation in L2 or Linf that keeps pixels in [0,1]. On a linear classifier one step is
    exact, unless a pixel reaches an end of [0,1].

    Parameters
    ----------
    norm : 2 or "inf"
        Norm of the perturbation to minimise.
    steps : int
        Most linearisations of one image.
    overshoot : float
        Share by which the accumulated perturbation is lengthened, to land behind the boundary and not on it.
    candidates : int
        How many classes, the most likely ones of the clean image, are tried as the nearest.
    """
    return cross_boundary(victim, images, goal, norm=norm, steps=steps, candidates=candidates, overshoot=overshoot)
