from __future__ import annotations

import torch
from torch import Tensor

from rivalry.attacks._attack import attack
from rivalry.attacks._goals import Goal
from rivalry.attacks._oracles import Gradients
from rivalry.norms import steepest
from rivalry.randomness import Random
from rivalry.types import Few, NonNegative, Norm


@attack(
    sees="gradients",
    goals=["untargeted"],
    norms=[2, "inf"],
    budget="fixed",
    source="fawzi2016",
)
def semi_random_noise(
    victim: Gradients,
    images: Tensor,
    goal: Goal,
    random: Random,
    *,
    norm: Norm = 2,
    eps: NonNegative = 3.0,
    dimensions: Few = 10,
) -> Tensor:
    """Semi-random noise: the best step of length eps inside a random subspace of few dimensions.

    Between noise, which sees one random direction, and a gradient step, which sees all: with m dimensions out
    of d the distance to the boundary shrinks by about sqrt(m/d) of what noise needs.

    Parameters
    ----------
    norm : 2 or "inf"
        Norm of the budget.
    eps : float
        Length of the step in units of the [0,1] pixel range.
    dimensions : int
        Dimensions of each image's random subspace.
    """
    _, _, gradient = victim.loss_gradient(images, goal)
    pixels = images[0].numel()
    basis: Tensor = torch.linalg.qr(random.normal(pixels, min(dimensions, pixels)))[0]
    seen = (basis @ (basis.transpose(1, 2) @ gradient.flatten(1).unsqueeze(2))).view_as(images)
    if norm == "inf":  # inside the subspace, scaled to the budget: signs would leave the subspace
        seen = seen / seen.flatten(1).abs().amax(dim=1).clamp_min(torch.finfo(seen.dtype).tiny).view(-1, 1, 1, 1)
        return (images + eps * seen).clamp(0, 1)
    return (images + eps * steepest(seen, 2)).clamp(0, 1)
