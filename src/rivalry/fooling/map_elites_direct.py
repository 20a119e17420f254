from __future__ import annotations

import torch
from torch import Tensor

from rivalry.attacks._oracles import Scores
from rivalry.fooling._elites import Genomes, illuminate
from rivalry.fooling._fooling import fooling
from rivalry.randomness import Random
from rivalry.types import Count, Few, OpenFraction, Positive


@fooling(sees="scores", source="nguyen2015")
def map_elites_direct(
    victim: Scores,
    grey: Tensor,
    random: Random,
    *,
    generations: Count = 500,
    children: Few = 6,
    rate: OpenFraction = 0.1,
    halve_every: Count = 1000,
    distribution_index: Positive = 15.0,
) -> Tensor:
    """Evolution of pixels (MAP-Elites, direct encoding): images like noise that the victim is sure about.

    Every class has a champion, the image with the highest probability of it so far, uniform noise at first. In each
    generation champions drawn at random have children, and a child becomes the champion of every class for which the
    victim's probability is higher than before. A child differs from its parent in some values, which polynomial
    mutation changes: values stay in [0,1], and small changes are likelier than large ones.

    Parameters
    ----------
    generations : int
        How often the best image of every class is challenged by new ones.
    children : int
        Children per class and generation; each is one query.
    rate : float
        Probability at first that a value (one channel of one pixel) is mutated.
    halve_every : int
        Generations after which the rate is halved, again and again.
    distribution_index : float
        Of the polynomial mutation: the higher, the smaller the changes; their mean size is near 1 / (2 + index).
    """
    shape = grey.shape[1:]

    def mutate(parents: Genomes, generation: int) -> Genomes:
        (values,) = parents
        chosen = random.uniform(children, *shape).flatten(0, 1) < 2 * rate / 2 ** (generation // halve_every) - 1
        u = random.uniform(children, *shape).flatten(0, 1)
        change = u.sign() * (1 - (1 - u.abs()) ** (1 / (1 + distribution_index)))
        return (torch.where(chosen, (values + change).clamp(0, 1), values),)

    noise = (random.uniform(*shape) + 1) / 2
    return illuminate(
        victim, (noise,), random, lambda genomes: genomes[0], mutate, generations=generations, children=children
    )
