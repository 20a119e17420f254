from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor

from rivalry.attacks._goals import Goal
from rivalry.attacks._oracles import Gradients
from rivalry.fooling._fooling import fooling
from rivalry.norms import steepest
from rivalry.randomness import Random
from rivalry.types import Count, OpenFraction, Positive, Share


@fooling(sees="gradients", source="nguyen2015")
def gradient_ascent(
    victim: Gradients,
    grey: Tensor,
    random: Random,
    *,
    objective: Literal["logit", "log_probability"] = "logit",
    prior: Literal["none", "l2", "blur"] = "none",
    start: Literal["grey", "noise"] = "grey",
    steps: Count = 100,
    step_size: Share = 0.02,
    decay: OpenFraction = 0.1,
    blur_width: Positive = 0.7,
    blur_every: Count = 4,
) -> Tensor:
    """Gradient ascent: climb towards each class from an image that shows nothing, with or without a prior on images.

    A step goes along the gradient, scaled to the same length everywhere, and back into [0,1]. The priors pull every
    iterate towards what images are like: to small distances from grey (l2, the decay that an L2 penalty amounts to), or
    to smooth ones (blur, as in Yosinski et al. 2015). For each class the iterate with the highest objective is kept,
    measured after the prior's pull.

    Parameters
    ----------
    objective : "logit" or "log_probability"
        What is climbed: the class's logit, or the logarithm of its probability, which stops growing when the victim is
        sure.
    prior : "none", "l2" or "blur"
        What pulls the images back.
    start : "grey" or "noise"
        Begin with mid-grey, or with uniform noise of full range.
    steps : int
        Steps of the ascent, each one gradient.
    step_size : float
        Root mean square over all values of one step's change, before it is cut to [0,1].
    decay : float
        For l2: the share of the distance from grey that each step takes back. Changes can grow to about
        step_size / decay.
    blur_width : float
        For blur: the Gaussian's standard deviation in pixels.
    blur_every : int
        For blur: steps from one blurring to the next.
    """
    targets = torch.arange(len(grey), device=grey.device)
    goal = Goal(targets, targets)
    current = grey.clone() if start == "grey" else (random.uniform(*grey.shape[1:]) + 1) / 2
    rows, columns = (_gaussian(side, blur_width).to(grey) for side in grey.shape[2:])
    best, highest = current.clone(), torch.full((len(grey),), -torch.inf, device=grey.device)
    length = step_size * grey[0].numel() ** 0.5
    climbed = _logit if objective == "logit" else Goal.loss
    for step in range(1, steps + 1):
        _, value, gradient = victim.loss_gradient(current, goal, climbed)
        better = value > highest
        best[better], highest[better] = current[better], value[better]
        current = current + length * steepest(gradient, 2)
        if prior == "l2":
            current = grey + (1 - decay) * (current - grey)
        elif prior == "blur" and step % blur_every == 0:
            current = rows @ current @ columns.T
        current = current.clamp(0, 1)
    value = climbed(goal, victim.logits(current))
    better = value > highest
    best[better] = current[better]
    return best


def _logit(goal: Goal, logits: Tensor) -> Tensor:
    return logits.gather(1, goal.labels[:, None]).squeeze(1)


def _gaussian(side: int, width: float) -> Tensor:
    """The matrix (side, side) that blurs a column of pixels; weights that fall outside the image go to the others."""
    place = torch.arange(side, dtype=torch.float32)
    return (-((place[:, None] - place) ** 2) / (2 * width**2)).softmax(dim=1)
