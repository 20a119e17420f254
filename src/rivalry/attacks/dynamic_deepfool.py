from __future__ import annotations

import math

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
    source="course2020",
)
def dynamic_deepfool(
    victim: Gradients,
    images: Tensor,
    goal: Goal,
    random: Random,
    *,
    norm: Norm = 2,
    steps: Count = 50,
    first_overshoot: NonNegative = 0.5,
    last_overshoot: NonNegative = 0.02,
    candidates: Few = 10,
) -> Tensor:
    """Dynamic DeepFool: DeepFool whose steps overshoot far at first and less and less, logarithmically.

    Seeks a small perturbation in few steps: boundaries mostly curve away, so a longer first step often crosses at
    once where DeepFool needs several; the price is a somewhat larger change. The source gives the idea but not the
    schedule, which is this: from the first overshoot to the last along log(t)/log(steps).

    Parameters
    ----------
    norm : 2 or "inf"
        Norm of the perturbation.
    steps : int
        Most linearisations of one image.
    first_overshoot, last_overshoot : float
        Shares by which the first and the last step are lengthened.
    candidates : int
        How many classes, the most likely ones of the clean image, are tried as the nearest.
    """

    def stretch(step: int) -> float:
        progress = math.log(step) / math.log(steps) if steps > 1 else 0.0
        return 1 + first_overshoot + (last_overshoot - first_overshoot) * progress

    return cross_boundary(
        victim, images, goal, norm=norm, steps=steps, candidates=candidates, overshoot=0.0, stretch=stretch
    )
