from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from rivalry.attacks._oracles import Scores
from rivalry.fooling._elites import Genomes, illuminate
from rivalry.fooling._fooling import fooling
from rivalry.randomness import Random
from rivalry.types import Count, Few, Fraction, Positive

ACTIVATIONS: list[Callable[[Tensor], Tensor]] = [
    torch.sin,
    lambda x: 2 * torch.exp(-(x**2)) - 1,
    torch.tanh,
    lambda x: x,
]
"""Sine, Gaussian, sigmoid and linear, all but the last scaled to [-1,1]."""
INPUTS = 4


@fooling(sees="scores", source="nguyen2015")
def map_elites_cppn(
    victim: Scores,
    grey: Tensor,
    random: Random,
    *,
    generations: Count = 300,
    children: Few = 6,
    hidden: Few = 8,
    weight_scale: Positive = 2.0,
    rate: Fraction = 0.3,
    growth: Fraction = 0.3,
) -> Tensor:
    """Evolution of patterns (MAP-Elites, CPPN encoding): regular images that the victim is sure about.

    A genome is a small network that computes a pixel's channels from its place: from x and y in [-1,1], the distance
    from the centre, and 1. Its nodes are sines, Gaussians, sigmoids and linear ones, which make for symmetry and
    repetition. Networks begin without hidden nodes and grow. They are simpler than the paper's, which NEAT
    evolves: at most `hidden` hidden nodes in a fixed order, each fed by earlier nodes only, and neither crossover
    nor species.

    Parameters
    ----------
    generations : int
        How often the best image of every class is challenged by new ones.
    children : int
        Children per class and generation; each is one query.
    hidden : int
        Most hidden nodes of a network.
    weight_scale : float
        Standard deviation of a new connection's weight; that of a weight's mutation is half of it.
    rate : float
        Probability that a weight is mutated.
    growth : float
        Probability that a child has a new or newly connected hidden node; and, each by itself, that one of its
        connections is made or cut, and that one of its nodes becomes of another kind.
    """
    classes, channels, height, width = grey.shape
    nodes = hidden + channels
    places = _places(height, width).to(grey)

    def express(genomes: Genomes) -> Tensor:
        weights, linked, kinds = genomes
        weights = weights * linked
        values = places.new_zeros(len(weights), INPUTS + nodes, height * width)
        values[:, :INPUTS] = places
        for node in range(nodes):
            values[:, INPUTS + node] = _activated(torch.bmm(weights[:, node, None], values)[:, 0], kinds[:, node])
        return ((values[:, INPUTS + hidden :] + 1) / 2).clamp(0, 1).view(-1, channels, height, width)

    def happens(probability: float, *shape: int) -> Tensor:
        return random.uniform(children, *shape).flatten(0, 1) < 2 * probability - 1

    def pick(below: Tensor | int) -> Tensor:
        return ((random.uniform(children).flatten() + 1) / 2 * below).long()

    def mutate(parents: Genomes, generation: int) -> Genomes:
        weights, linked, kinds = parents
        every = torch.arange(len(weights), device=grey.device)
        nudge = weight_scale / 2 * random.normal(children, *weights.shape[1:]).flatten(0, 1)
        weights = weights + nudge * (linked & happens(rate, *weights.shape[1:]))
        # A hidden node is fed by something before it, and feeds something after it.
        node = pick(hidden)
        source, sink, grown = pick(INPUTS + node), node + 1 + pick(nodes - 1 - node), happens(growth)
        linked[every, node, source] |= grown
        linked[every, sink, INPUTS + node] |= grown
        node = pick(nodes)
        source = pick((INPUTS + node).clamp_max(INPUTS + hidden))
        linked[every, node, source] ^= happens(growth)
        kinds[every, node] = torch.where(happens(growth), pick(len(ACTIVATIONS)), kinds[every, node])
        return weights, linked, kinds

    linked = torch.zeros(classes, nodes, INPUTS + nodes, dtype=torch.bool, device=grey.device)
    linked[:, hidden:, :INPUTS] = True
    kinds = ((random.uniform(nodes) + 1) / 2 * len(ACTIVATIONS)).long()
    first = weight_scale * random.normal(*linked.shape[1:]), linked, kinds
    return illuminate(victim, first, random, express, mutate, generations=generations, children=children)


def _places(height: int, width: int) -> Tensor:
    """What a network is given of each pixel: x, y, distance from the centre, and 1; (4, height * width)."""
    y, x = torch.meshgrid(torch.linspace(-1, 1, height), torch.linspace(-1, 1, width), indexing="ij")
    return torch.stack([x, y, x.hypot(y), torch.ones_like(x)]).flatten(1)


def _activated(sums: Tensor, kinds: Tensor) -> Tensor:
    """Each network's own activation (N,) of its sums (N,P)."""
    values = torch.empty_like(sums)
    for kind, activation in enumerate(ACTIVATIONS):
        rows = kinds == kind
        values[rows] = activation(sums[rows])
    return values
