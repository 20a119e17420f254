from __future__ import annotations

import math

import torch
from torch import Tensor

from rivalry.attacks._attack import attack
from rivalry.attacks._boundary import bisect, normal_at, step_along
from rivalry.attacks._goals import Goal
from rivalry.attacks._oracles import Decisions
from rivalry.norms import column, length, steepest
from rivalry.randomness import Random
from rivalry.types import Count, Norm


@attack(
    sees="decisions",
    goals=["untargeted", "targeted"],
    norms=[2, "inf"],
    budget="minimal",
    source="chen2020",
)
def hopskipjump(
    victim: Decisions,
    images: Tensor,
    goal: Goal,
    random: Random,
    *,
    norm: Norm = 2,
    iterations: Count = 32,
    max_evaluations: Count = 100,
    initial_evaluations: Count = 10,
    initial_trials: Count = 100,
) -> Tensor:
    """HopSkipJump: walk along the decision boundary towards the image, asking for nothing but decisions.

    Seeks the smallest perturbation in L2 or Linf. Each iteration searches the boundary between the image and a
    point beyond it, estimates the boundary's normal there from the decisions at random points around, and steps
    along it. The attacker holds no images but the one it is given: the walk starts at random noise that reaches
    the goal, and an image for which none is found is returned as it was. Of all points met on the boundary the
    nearest is returned. Where a victim answers few questions, the searches are less precise.

    Parameters
    ----------
    norm : 2 or "inf"
        Norm of the perturbation to minimise.
    iterations : int
        Steps along the boundary.
    max_evaluations : int
        Most decisions asked for one estimate of the normal.
    initial_evaluations : int
        Decisions asked for the first estimate; the t-th asks sqrt(t) times as many.
    initial_trials : int
        Most random images tried as the start.
    """
    pixels = images[0].numel()
    # Relative precision of a search, and the probes' distance from the boundary in units of the image's: the
    # error of the former shall be no more than what a probe moves along one direction among `pixels`.
    precision = pixels**-1.5 if norm == 2 else pixels**-2.0
    spread = 1 / pixels
    # A probe moves each pixel by about its radius / sqrt(pixels), which must stand out of float32's rounding.
    least_radius = 1e-5 * math.sqrt(pixels)

    if victim.left is not None:
        # Of few questions, one search for the boundary takes a tenth at most.
        precision = max(precision, 2 ** -(victim.left / 10))

    outside, found = _start(victim, images, goal, random, initial_trials)
    result = images.clone()
    started = found.nonzero().squeeze(1)
    victim, images, goal, random = victim.on(started), images[started], goal[started], random[started]
    outside = outside[started]
    boundary = bisect(victim, images, outside, goal, norm, precision)
    best = boundary
    for t in range(1, iterations + 1 if len(started) else 1):
        victim.count_iteration()
        radius = (spread * length(outside - images, norm)).clamp_min(least_radius)
        probes = int(min(initial_evaluations * math.sqrt(t), max_evaluations))
        normal = normal_at(victim, boundary, goal, random, radius, probes)
        size = length(boundary - images, norm) / math.sqrt(t)
        outside = step_along(victim, boundary, goal, steepest(normal, norm), size)
        boundary = bisect(victim, images, outside, goal, norm, precision)
        nearer = length(boundary - images, norm) < length(best - images, norm)
        best = torch.where(column(nearer, best), boundary, best)
    # Upon the boundary, rounding would decide anew in every other batch: stand a thousandth behind it.
    behind = (images + 1.001 * (best - images)).clamp(0, 1)
    stands = goal.reached(victim.decisions(behind)) if len(started) else found[started]
    result[started] = torch.where(column(stands, best), behind, best)
    return result


def _start(victim: Decisions, images: Tensor, goal: Goal, random: Random, trials: int) -> tuple[Tensor, Tensor]:
    """Random images that reach the goal, (N,C,H,W), and for which images one was found, bool (N,).

    A victim takes nearly all images of independent pixels for the same class; in blots of 2 to 16 pixels it sees
    any class sooner or later.
    """
    starts = images.clone()
    found = torch.zeros(len(images), dtype=torch.bool, device=images.device)
    active = torch.arange(len(images), device=images.device)
    channels, *sides = images.shape[1:]
    for trial in range(trials):
        blot = 2 ** (trial % 5)
        noise = random[active].uniform(channels, *(max(side // blot, 1) for side in sides))
        if blot > 1:
            # Twice the contrast makes up for what interpolation takes away.
            noise = 2 * torch.nn.functional.interpolate(noise, sides, mode="bilinear")
        candidates = noise.add(1).div(2).clamp(0, 1)
        reached = goal[active].reached(victim.on(active).decisions(candidates))
        starts[active[reached]] = candidates[reached]
        found[active[reached]] = True
        active = active[~reached]
        if len(active) == 0:
            break
    return starts, found
