"""MAP-Elites with one niche per class."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from rivalry.attacks._oracles import Scores
from rivalry.randomness import Random

Genomes = tuple[Tensor, ...]
"""N genomes: every tensor is (N, ...)."""


def illuminate(
    victim: Scores,
    first: Genomes,
    random: Random,
    express: Callable[[Genomes], Tensor],
    mutate: Callable[[Genomes, int], Genomes],
    *,
    generations: int,
    children: int,
) -> Tensor:
    """Evolve one champion per class; returns the champions' images (K,C,H,W).

    A niche's score is the victim's probability of its class. Each child has one parent, drawn from the champions of
    all classes, and enters every niche whose champion it beats: what is bred for one class may serve another.

    Parameters
    ----------
    victim : Scores
        Over K rows, one a class.
    first : Genomes
        K genomes to begin with.
    random : Random
        Draws the parents, `children` for each class.
    express : function
        Makes the images (N,C,H,W) of N genomes.
    mutate : function
        Makes the children of K * children parents; it is also told how many generations there were before.
    generations, children : int
        How often all niches are updated, and the number of children per class each time.
    """
    images = express(first)
    classes = len(images)
    # A victim that may refuse has one output more, which is no niche.
    scores, holder = log_odds(victim.logits(images))[:, :classes].max(dim=0)
    champions, portraits = tuple(part[holder] for part in first), images[holder]
    everybody = victim.on(torch.arange(classes).repeat_interleave(children))
    for generation in range(generations):
        victim.count_iteration()
        parents = ((random.uniform(children).flatten() + 1) / 2 * classes).long()
        offspring = mutate(tuple(part[parents] for part in champions), generation)
        images = express(offspring)
        best, child = log_odds(everybody.logits(images))[:, :classes].max(dim=0)
        better = best > scores
        scores = torch.where(better, best, scores)
        for part, new in zip((*champions, portraits), (*offspring, images), strict=True):
            part[better] = new[child[better]]
    return portraits


def log_odds(logits: Tensor) -> Tensor:
    """log p / (1 - p) of every class, (N,K), from logits (N,K).

    They order scores that are too small, or too close to 1, to differ as probabilities or as their logarithms.
    """
    log_p = logits.log_softmax(dim=1)
    first = logits.argmax(dim=1, keepdim=True)
    # 1 - p of the likeliest class, and only of that one, may be lost in rounding: it is the others' share.
    others = logits.scatter(1, first, -torch.inf).logsumexp(dim=1, keepdim=True)
    odds = log_p - torch.log1p(-log_p.exp())
    return odds.scatter(1, first, logits.gather(1, first) - others)
