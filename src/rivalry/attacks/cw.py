from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor

from rivalry.attacks._attack import attack
from rivalry.attacks._goals import Goal
from rivalry.attacks._oracles import Gradients
from rivalry.attacks._penalised import Descent, lowered, margin
from rivalry.norms import length
from rivalry.randomness import Random
from rivalry.types import AnyNorm, Count, Few, LearningRate, NonNegative, Positive


@attack(
    sees="gradients",
    goals=["untargeted", "targeted"],
    norms=[2, "inf", 0],
    budget="minimal",
    source="carlini2017",
)
def cw(
    victim: Gradients,
    images: Tensor,
    goal: Goal,
    random: Random,
    *,
    norm: AnyNorm = 2,
    objective: Literal["f1", "f2", "f3", "f4", "f5", "f6", "f7"] = "f6",
    confidence: NonNegative = 0.0,
    search_steps: Few = 9,
    steps: Count = 100,
    learning_rate: LearningRate = 1.0,
    initial_constant: Positive = 1.0,
) -> Tensor:
    """Carlini and Wagner: minimise the distance plus c times an objective that is negative once the goal is reached.

    Seeks the smallest perturbation in L2, Linf or L0, pixels in [0,1] by a change of variable. L2 searches the
    smallest c that succeeds; Linf lowers a bound beyond which each pixel is penalised; L0 freezes, round by round,
    the pixels that matter least. Every image has its own c, bound and frozen pixels.

    Parameters
    ----------
    norm : 2, "inf" or 0
        Norm of the perturbation to minimise; 0 counts places, whatever their channels.
    objective : str
        f1 to f7 of the paper. f1 to f5 are functions of probabilities, so a saturated softmax gives them no gradient.
    confidence : float
        By how much the logit of the class to reach shall lead all others.
    search_steps : int
        Descents of an image: values of c or of the bound that are tried; for L0 a fifth of the rounds.
    steps : int
        Most steps of one descent; one that no longer improves ends earlier.
    learning_rate : float
        Learning rate of Adam, in multiples of the change per pixel that the linearised victim asks for.
    initial_constant : float
        The first c, in multiples of the one at which the linearised victim is fooled.
    """
    margin_of = lambda goal, logits: margin(*lowered(goal, logits, confidence))  # noqa: E731
    _, ahead, gradient = victim.loss_gradient(images, goal, margin_of)
    pixels = images[0].numel()
    flat = gradient.flatten(1)
    if norm == "inf":
        slope = flat.abs().sum(dim=1).clamp_min(1e-12)
        constant, typical = initial_constant * pixels / slope, ahead / slope
    else:
        slope = flat.norm(dim=1).clamp_min(1e-12)
        constant, typical = 2 * initial_constant * ahead / slope.square(), ahead / slope / pixels**0.5
    # Where the victim is all but flat, the linearised answer is far outside of the pixels' range.
    typical, constant = typical.clamp(1e-6, 0.1), constant.clamp(1e-12, 1e12)
    descent = Descent(
        victim,
        images,
        goal,
        norm=2 if norm == 0 else norm,
        objective=objective,
        confidence=confidence,
        steps=steps,
        edge=typical if norm == "inf" else 0.1 * typical,
    )
    search = {2: _smallest_in_l2, "inf": _smallest_in_linf, 0: _fewest_pixels}[norm]
    return search(descent, constant, typical, learning_rate, search_steps)


def _smallest_in_l2(descent: Descent, constant: Tensor, typical: Tensor, rate: float, tries: int) -> Tensor:
    """The shortest change over a search for the smallest c: up by tens until one succeeds, then by bisection."""
    best, lengths = descent.images.clone(), torch.full_like(constant, torch.inf)
    low, high = torch.zeros_like(constant), torch.full_like(constant, torch.inf)
    rows = torch.arange(len(best), device=best.device)
    for k in range(tries):
        found, sizes, hit = descent(rows, constant, 2 * 0.8**k * rate * typical, torch.zeros_like(constant))
        better = sizes < lengths
        best[better], lengths[better] = found[better], sizes[better]
        typical = torch.where(lengths.isfinite(), lengths / best[0].numel() ** 0.5, typical).clamp_max(0.1)
        high, low = torch.where(hit, constant, high), torch.where(hit, low, constant)
        constant = torch.where(high.isfinite(), (low + high) / 2, 10 * constant)
    return best


def _smallest_in_linf(descent: Descent, constant: Tensor, typical: Tensor, rate: float, tries: int) -> Tensor:
    """The shortest change over descents, each within a bound between the last that failed and the shortest so far."""
    best, lengths = descent.images.clone(), torch.full_like(constant, torch.inf)
    failed, bound = torch.zeros_like(constant), 1.5 * typical
    rows = torch.arange(len(best), device=best.device)
    for k in range(tries):
        found, sizes, _ = descent(rows, constant, 0.5 * 0.8**k * rate * typical.clamp_max(0.1), bound)
        hit, better = sizes <= bound, sizes < lengths
        best[better], lengths[better] = found[better], sizes[better]
        failed = torch.where(hit, failed, bound)
        lower = torch.maximum(0.8 * lengths, (failed + lengths) / 2).minimum(0.97 * lengths)
        bound = torch.where(hit, lower, torch.minimum(1.5 * bound, (bound + lengths) / 2))
        typical = torch.where(lengths.isfinite(), lengths, 1.5 * typical)
    return best


def _fewest_pixels(descent: Descent, constant: Tensor, typical: Tensor, rate: float, tries: int) -> Tensor:
    """The change of fewest pixels: freeze those of least effect, fewer at a time once the rest no longer suffice."""
    # A short change already tells which pixels matter; the shortest would tell little more.
    best = _smallest_in_l2(descent, constant, typical, rate, (tries + 2) // 3)
    free = torch.ones_like(best[:, :1], dtype=torch.bool)
    most = torch.full_like(constant, free[0].numel())
    active = (best != descent.images).flatten(1).any(dim=1).nonzero().squeeze(1)
    for _ in range(5 * tries):
        if len(active) == 0:
            break
        change = best[active] - descent.images[active]
        _, _, gradient = descent.victim.on(active).loss_gradient(best[active], descent.goal[active], _hardness)
        # What a pixel's change does for the goal, by the slope at the image found.
        effect = (-gradient * change).sum(dim=1).flatten(1)
        order = effect.masked_fill(~free[active].flatten(1), torch.inf).argsort(dim=1, stable=True)
        worth = (effect.clamp_min(0) * free[active].flatten(1)).gather(1, order).cumsum(dim=1)
        # Pixels that together have less than a third of the effect; at least one, and fewer after each failure.
        frozen = (worth < worth[:, -1:] / 3).sum(dim=1).minimum(most[active]).clamp_min(1)
        fewer = free[active] & (order.argsort(dim=1) >= frozen[:, None]).view_as(free[active])
        descent.restart(active, best[active])
        left = fewer.flatten(1).sum(dim=1).clamp_min(1) * change.shape[1]
        quick = (2 * rate * length(change, 2) / left.sqrt()).clamp_max(0.5)
        slope = length(gradient * fewer, 2).clamp_min(1e-12)
        found, sizes, _ = descent(
            active, 20 * worth[:, -1] / slope.square(), quick, torch.full_like(quick, torch.inf), fewer
        )
        hit = sizes.isfinite()
        best[active[hit]], free[active[hit]] = found[hit], fewer[hit]
        most[active] = torch.where(hit, 2 * most[active], (frozen / 2).floor())
        active = active[hit | (frozen > 1)]
    return best


def _hardness(goal: Goal, logits: Tensor) -> Tensor:
    return margin(*lowered(goal, logits, 0.0))
