from __future__ import annotations

import torch
from torch import Tensor

from rivalry.attacks._attack import attack
from rivalry.attacks._goals import Goal
from rivalry.attacks._oracles import Scores
from rivalry.randomness import Random
from rivalry.types import Natural, Population, Positive


@attack(
    sees="scores",
    goals=["untargeted", "targeted"],
    norms=[0],
    budget="fixed",
    source="su2019",
)
def one_pixel(
    victim: Scores,
    images: Tensor,
    goal: Goal,
    random: Random,
    *,
    eps: Natural = 1,
    population: Population = 400,
    generations: Natural = 100,
    weight: Positive = 0.5,
) -> Tensor:
    """One-pixel attack: differential evolution of the place and colour of one pixel, or of a few.

    Lowers the probability of the true class, or raises the target's, by changing at most eps pixels in any way.
    A candidate's genes are the places and colours of its pixels; at first, places are uniform and colours normal
    with mean and standard deviation 0.5. In every generation each candidate has one child, made without
    crossover of three different candidates as x1 + weight * (x2 - x3), which replaces it if it is better. Colours
    are clipped to [0,1], coordinates outside the image drawn again. An image stops at the first generation that
    reaches its goal, but not before a victim that draws random numbers: its next answer may be another.

    Parameters
    ----------
    eps : int
        L0 budget: pixels, whatever their channels.
    population : int
        Candidates per image, all of them evaluated in every generation; at least 3.
    generations : int
        Most generations after the first, random one.
    weight : float
        Differential weight: the scale of the mutations.
    """
    best = images.clone()
    pixels = int(eps)
    if pixels == 0:
        return best
    places = random.uniform(population, pixels, 2).add(1).div(2)  # shares of height and width
    colours = random.normal(population, pixels, images.shape[1]).add(1).div(2).clamp(0, 1)
    genes = torch.cat([places, colours], dim=3)
    fitness, reached = evaluate(victim, images, goal, genes)
    active = torch.arange(len(images), device=images.device)
    for generation in range(generations + 1):
        solved = reached.any(dim=1)
        fittest = fitness.masked_fill(~reached & solved[:, None], -torch.inf).argmax(dim=1)
        best[active] = paint(images[active], genes[torch.arange(len(genes)), fittest])
        active, genes, fitness = active[~solved], genes[~solved], fitness[~solved]
        if len(active) == 0 or generation == generations:
            break
        victim.on(active).count_iteration()
        children = bred(genes, weight, random[active])
        child_fitness, reached = evaluate(victim.on(active), images[active], goal[active], children)
        better = reached | (child_fitness > fitness)
        genes = torch.where(better[:, :, None, None], children, genes)
        fitness = torch.where(better, child_fitness, fitness)
    return best


def bred(genes: Tensor, weight: float, random: Random) -> Tensor:
    """One child for each candidate of genes (N,population,pixels,2+C)."""
    n, population, pixels, _ = genes.shape
    # The second parent is any but the first, the third any but these two: numbers from an excluded one on move up.
    ranges = torch.tensor([population, population - 1, population - 2], device=genes.device)
    first, second, third = (random.uniform(population, 3).add(1).div(2) * ranges).long().unbind(dim=2)
    second = second + (second >= first)
    third = third + (third >= torch.minimum(first, second))
    third = third + (third >= torch.maximum(first, second))
    rows = torch.arange(n, device=genes.device)[:, None]
    children = genes[rows, first] + weight * (genes[rows, second] - genes[rows, third])
    places, colours = children[..., :2], children[..., 2:]
    anew = random.uniform(population, pixels, 2).add(1).div(2)
    places = torch.where((places < 0) | (places >= 1), anew, places)
    return torch.cat([places, colours.clamp(0, 1)], dim=3)


def paint(images: Tensor, genes: Tensor) -> Tensor:
    """Images (N,C,H,W), each with the pixels that its genes (N,pixels,2+C) say."""
    painted = images.clone()
    rows = torch.arange(len(images), device=images.device)
    size = torch.tensor(images.shape[2:], device=images.device)
    places = (genes[:, :, :2] * size).long()
    for pixel in range(genes.shape[1]):
        painted[rows, :, places[:, pixel, 0], places[:, pixel, 1]] = genes[:, pixel, 2:]
    return painted


def evaluate(victim: Scores, images: Tensor, goal: Goal, genes: Tensor) -> tuple[Tensor, Tensor]:
    """Fitness of candidates (N,population,pixels,2+C) and whether they reach the goal for good, both (N,population)."""
    owners = torch.arange(len(images), device=images.device).repeat_interleave(genes.shape[1])
    fitness, reached = [], []
    for owner, part in zip(owners.split(victim.batch), genes.flatten(0, 1).split(victim.batch), strict=True):
        logits = victim.on(owner).logits(paint(images[owner], part))
        fitness.append(goal[owner].log_odds(logits))
        reached.append(goal[owner].reached(logits.argmax(dim=1)) & victim.certain)
    return torch.cat(fitness).view(genes.shape[:2]), torch.cat(reached).view(genes.shape[:2])
