from __future__ import annotations

import math

import torch
from torch import Tensor

from rivalry.attacks._attack import attack
from rivalry.attacks._goals import Goal
from rivalry.attacks._norms import column, length, steepest
from rivalry.attacks._oracles import Decisions
from rivalry.attacks._random import Random
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
    nearest is returned.

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

    outside, found = _start(victim, images, goal, random, initial_trials)
    result = images.clone()
    started = found.nonzero().squeeze(1)
    victim, images, goal, random = victim.on(started), images[started], goal[started], random[started]
    outside = outside[started]
    boundary = _search(victim, images, outside, goal, norm, precision)
    best = boundary
    for t in range(1, iterations + 1 if len(started) else 1):
        victim.count_iteration()
        radius = (spread * length(outside - images, norm)).clamp_min(least_radius)
        probes = int(min(initial_evaluations * math.sqrt(t), max_evaluations))
        normal = _normal(victim, boundary, goal, random, radius, probes)
        size = length(boundary - images, norm) / math.sqrt(t)
        outside = _step(victim, boundary, goal, steepest(normal, norm), size)
        boundary = _search(victim, images, outside, goal, norm, precision)
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


def _search(
    victim: Decisions, images: Tensor, outside: Tensor, goal: Goal, norm: str | int, precision: float
) -> Tensor:
    """Bisect from `outside`, where the goal is reached, towards the images; the last points that reach it.

    In L2 the points between are blends; in Linf they are `outside` clipped to a cube around the image.
    """
    nearest = outside.clone()
    change = outside - images
    reach = length(change, "inf")
    # Pixels closer together than 2^-24 are the same number.
    tolerance = (2**-24 / reach).clamp_min(precision)
    low, high = torch.zeros_like(reach), torch.ones_like(reach)
    active = torch.arange(len(images), device=images.device)
    while len(active := active[(high - low)[active] > tolerance[active]]):
        middle = (low[active] + high[active]) / 2
        if norm == 2:
            between = column(middle, change) * change[active]
        else:
            side = column(middle * reach[active], change)
            between = change[active].clamp(-side, side)
        candidates = images[active] + between
        reached = goal[active].reached(victim.on(active).decisions(candidates))
        nearest[active[reached]] = candidates[reached]
        high[active[reached]] = middle[reached]
        low[active[~reached]] = middle[~reached]
    return nearest


def _normal(victim: Decisions, points: Tensor, goal: Goal, random: Random, radius: Tensor, probes: int) -> Tensor:
    """The boundary's normal at the points, towards the side where the goal is reached; of any length."""
    # Only sums over the directions are kept. An image draws its directions in parts of the same size whatever its
    # batch, and as many images are taken at a time as fill one pass of the victim.
    parts = torch.arange(probes).tensor_split(math.ceil(probes / 16))
    sides = points.new_zeros(len(points))
    total, signed = torch.zeros_like(points), torch.zeros_like(points)
    for rows in torch.arange(len(points), device=points.device).split(max(1, victim.batch // len(parts[0]))):
        for part in parts:
            repeated = rows.repeat_interleave(len(part))
            directions = steepest(random[rows].normal(len(part), *points.shape[1:]).flatten(0, 1), 2)
            around = (points[repeated] + column(radius[repeated], directions) * directions).clamp(0, 1)
            # Clipped to [0,1], a probe has another direction than was drawn.
            directions = (around - points[repeated]) / column(radius[repeated], directions)
            side = 2.0 * goal[repeated].reached(victim.on(repeated).decisions(around)) - 1
            sides[rows] += side.view(-1, len(part)).sum(dim=1)
            total[rows] += directions.view(-1, len(part), *points.shape[1:]).sum(dim=1)
            signed[rows] += (column(side, directions) * directions).view(-1, len(part), *points.shape[1:]).sum(dim=1)
    mean = sides / probes
    # The mean side is the baseline that lessens the variance, unless all probes lie on one side.
    baseline = torch.where(mean.abs() < 1, mean, 0)
    return signed - column(baseline, total) * total


def _step(victim: Decisions, points: Tensor, goal: Goal, direction: Tensor, size: Tensor) -> Tensor:
    """Steps from the points that still reach the goal: of the given size, halved as often as it takes."""
    steps = points.clone()
    active = torch.arange(len(points), device=points.device)
    for halvings in range(24):
        candidates = (points + column(size / 2**halvings, points) * direction)[active].clamp(0, 1)
        reached = goal[active].reached(victim.on(active).decisions(candidates))
        steps[active[reached]] = candidates[reached]
        active = active[~reached]
        if len(active) == 0:
            break
    return steps
