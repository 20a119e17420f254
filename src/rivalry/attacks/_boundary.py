"""Walking along a decision boundary with nothing but decisions: bisection, the boundary's normal, steps beyond it."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from rivalry.attacks._goals import Goal
from rivalry.attacks._oracles import Decisions
from rivalry.norms import column, length, steepest
from rivalry.randomness import Random


def bisect(victim: Decisions, images: Tensor, outside: Tensor, goal: Goal, norm: str | int, precision: float) -> Tensor:
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


def normal_at(victim: Decisions, points: Tensor, goal: Goal, random: Random, radius: Tensor, probes: int) -> Tensor:
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


def step_along(victim: Decisions, points: Tensor, goal: Goal, direction: Tensor, size: Tensor) -> Tensor:
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
