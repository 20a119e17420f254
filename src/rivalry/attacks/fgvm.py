from __future__ import annotations

import torch
from torch import Tensor

from rivalry.attacks._attack import attack
from rivalry.attacks._goals import Goal
from rivalry.attacks._oracles import Gradients
from rivalry.norms import column, length
from rivalry.randomness import Random
from rivalry.types import NonNegative, Norm


@attack(
    sees="gradients",
    goals=["untargeted", "targeted"],
    norms=[2, "inf"],
    budget="fixed",
    source="rozsa2016",
)
def fgvm(
    victim: Gradients, images: Tensor, goal: Goal, random: Random, *, norm: Norm = 2, eps: NonNegative = 3.0
) -> Tensor:
    """Fast gradient value method: one step along the loss gradient itself, scaled to length eps.

    Where fgsm moves every pixel alike, each moves here in proportion to its derivative; in L2 that is the
    steepest direction, in Linf most pixels move less than the budget allows.

    Parameters
    ----------
    norm : 2 or "inf"
        Norm in which the step has length eps.
    eps : float
        Budget in units of the [0,1] pixel range.
    """
    _, _, gradient = victim.loss_gradient(images, goal)
    scale = length(gradient, norm).clamp_min(torch.finfo(gradient.dtype).tiny)
    return (images + eps * gradient / column(scale, gradient)).clamp(0, 1)
