from __future__ import annotations

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import softplus

from rivalry.attacks._attack import attack
from rivalry.attacks._goals import Goal
from rivalry.attacks._oracles import Gradients
from rivalry.attacks._penalised import lowered, margin
from rivalry.norms import column, length
from rivalry.randomness import Random
from rivalry.types import Count, Few, Positive


@attack(
    sees="gradients",
    goals=["untargeted", "targeted"],
    norms=[2],
    budget="minimal",
    source="szegedy2014",
)
def lbfgs(
    victim: Gradients,
    images: Tensor,
    goal: Goal,
    random: Random,
    *,
    search_steps: Few = 12,
    steps: Count = 30,
    initial_constant: Positive = 0.1,
) -> Tensor:
    """L-BFGS: the box-constrained minimum of c |change|^2 - log p, for the largest c at which the goal is reached.

    Seeks the smallest perturbation in L2 that keeps pixels in [0,1]; p is the probability of the target or, without
    one, of the best wrong class, between it and the best class that must be left. SciPy's
    L-BFGS-B minimises, each image by itself; c is searched for by factors of ten, then by bisection of its
    logarithm.

    Parameters
    ----------
    search_steps : int
        Values of c that are tried for an image.
    steps : int
        Most iterations of the minimiser for each of them.
    initial_constant : float
        The first c.
    """
    best = [image.clone() for image in images]
    for k, image in enumerate(images):
        row = torch.tensor([k])
        low, high, constant, shortest = 0.0, np.inf, initial_constant, np.inf
        for _ in range(search_steps):
            found, size, hit = _nearest(victim.on(row), image[None], goal[row.to(image.device)], constant, steps)
            if size < shortest:
                best[k], shortest = found[0], size
            # The larger c, the more the change weighs: reached, it may weigh more.
            low, high = (constant, high) if hit else (low, constant)
            if low == 0:
                constant /= 10
            elif high == np.inf:
                constant *= 10
            else:
                constant = float(np.sqrt(low * high))
    found = torch.stack(best)
    # Upon the boundary, rounding would decide anew in a batch: stand a thousandth behind it.
    behind = (images + 1.001 * (found - images)).clamp(0, 1)
    return torch.where(column(goal.reached(victim.decisions(behind)), images), behind, found)


def _log_p(goal: Goal, logits: Tensor) -> Tensor:
    """Log of the probability, (N,), of the best class to reach between it and the best class to leave."""
    return -softplus(margin(*lowered(goal, logits, 0.0)))


def _nearest(victim: Gradients, image: Tensor, goal: Goal, constant: float, steps: int) -> tuple[Tensor, float, bool]:
    """The nearest image of one descent that reached the goal, its distance (or infinity), and whether the last did."""
    from scipy.optimize import minimize  # a quarter of the time that importing all attacks takes

    best, shortest, reached = image, np.inf, False

    def value_and_slope(pixels: np.ndarray) -> tuple[float, np.ndarray]:
        nonlocal best, shortest, reached
        current = torch.from_numpy(pixels.astype(np.float32)).to(image).view_as(image)
        logits, log_p, gradient = victim.loss_gradient(current, goal, _log_p)
        change = current - image
        size = float(length(change, 2))
        reached = bool(goal.reached(logits.argmax(dim=1)))
        if reached and size < shortest:
            best, shortest = current, size
        slope = 2 * constant * change - gradient
        return constant * size**2 - float(log_p), slope.flatten().double().cpu().numpy()

    bounds = [(0.0, 1.0)] * image.numel()
    start = image.flatten().double().cpu().numpy()
    end = minimize(value_and_slope, start, jac=True, method="L-BFGS-B", bounds=bounds, options={"maxiter": steps})
    value_and_slope(end.x)  # the last point looked at need not be the minimum
    return best, shortest, reached
