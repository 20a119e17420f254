from __future__ import annotations

import torch
from torch import Tensor

from rivalry.attacks._attack import attack
from rivalry.attacks._goals import Goal
from rivalry.attacks._oracles import Gradients
from rivalry.attacks.deepfool import deepfool
from rivalry.norms import project
from rivalry.randomness import Random
from rivalry.types import Count, Few, Fraction, NonNegative, Norm


def fit(
    victim: Gradients,
    images: Tensor,
    goal: Goal,
    random: Random,
    *,
    norm: str | int,
    eps: float,
    training_images: int,
    passes: int,
    fooling_rate: float,
) -> dict[str, Tensor]:
    """The perturbation, (1,C,H,W)."""
    right = (victim.decisions(images) == goal.labels).nonzero().squeeze(1)
    change = best = torch.zeros_like(images[:1])
    best_rate, generator = 0.0, random.shared()
    for _ in range(passes if len(right) else 0):
        order = right[torch.randperm(len(right), generator=generator).to(right.device)]
        # The rate goes up and down as one and then another class attracts most images: it is measured four times
        # a pass.
        for quarter in order.chunk(4):
            # The paper goes image by image. Sixteen at a time are many times faster, and every image's change is
            # still computed from a sum that lacks at most fifteen others'. The four nearest classes find as good
            # changes as all ten, at half the gradients.
            for rows in quarter.split(16):
                current = (images[rows] + change).clamp(0, 1)
                fooled = deepfool.function(
                    victim.on(rows), current, goal[rows], random[rows], norm=2, steps=10, candidates=4
                )
                change = project(change + (fooled - current).sum(dim=0, keepdim=True), norm, eps)
            predictions = victim.on(right).decisions((images[right] + change).clamp(0, 1))
            rate = goal[right].reached(predictions).double().mean().item()
            if rate > best_rate:
                best, best_rate = change, rate
            if best_rate >= fooling_rate:
                return {"perturbation": best}
    return {"perturbation": best}


@attack(
    sees="gradients",
    goals=["untargeted"],
    norms=["inf", 2],
    budget="fixed",
    source="moosavi2017",
    fitted=True,
)
def universal(
    victim: Gradients,
    images: Tensor,
    goal: Goal,
    random: Random,
    fitted: dict[str, Tensor],
    *,
    norm: Norm = "inf",
    eps: NonNegative = 0.3,
    training_images: Count = 1000,
    passes: Few = 10,
    fooling_rate: Fraction = 0.8,
) -> Tensor:
    """Universal adversarial perturbation: one change, found on training images, that is added to every image.

    It is built from the smallest changes (DeepFool's, in L2) that send the images not fooled so far over their
    boundaries, each added and the sum projected onto the eps ball. Applying it asks the victim nothing.

    Parameters
    ----------
    norm : "inf" or 2
        Norm of the budget.
    eps : float
        Budget in units of the [0,1] pixel range.
    training_images : int
        How many images it is fitted to; those that the victim gets wrong are left out.
    passes : int
        Most passes over them; the best perturbation, measured four times a pass, is kept.
    fooling_rate : float
        Share of them that is enough to stop.
    """
    return (images + fitted["perturbation"]).clamp(0, 1)
