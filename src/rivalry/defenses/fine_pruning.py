from __future__ import annotations

from collections.abc import Mapping
from copy import deepcopy
from typing import Any

import torch
from torch import Tensor, nn

from rivalry.answers import classify
from rivalry.data._splits import floats
from rivalry.defenses._defended import Defended, defense
from rivalry.defenses._pruning import after_last_convolution
from rivalry.defenses._refit import refit
from rivalry.seeds import derive_seed
from rivalry.types import Fraction, LearningRate, OpenFraction, PassesOrNone

STEPS = 20
"""How many times units are taken out, the same share of all each time, before none is left."""
MEASURED = 1000
"""Clean images on which accuracy is measured while units are taken out, at most."""


@defense(kind="transformer", source="liu2018", backdoors=True)
def fine_pruning(
    victim: nn.Module,
    images: Tensor,
    labels: Tensor,
    seed: int,
    batch_size: int,
    *,
    share: OpenFraction = 0.1,
    tolerance: Fraction = 0.04,
    epochs: PassesOrNone = 5,
    learning_rate: LearningRate = 0.001,
) -> Defended:
    """Fine-pruning: take out the units that clean images leave silent, then train on with clean images.

    A backdoor may live in units that no clean image needs. The channels of the last hidden convolution (in a network
    without one, the units of the last hidden layer) are put in the order of their mean size over clean images, and
    taken out from the most silent on, a twentieth of them at a time, while the accuracy on clean images stays within
    the tolerance. What is left is trained on, and what was taken out stays out. Every victim is treated so, whether it
    bears a backdoor or not: nothing is looked for, and no class is suspected.

    As in the paper (Liu, Dolan-Gavitt and Garg) the defender owns clean images: of the data set's clean training
    split, not of the poisoned one that the victim learned from.

    Parameters
    ----------
    share : float
        Share of the clean images that the defender uses.
    tolerance : float
        How much accuracy on them pruning may take, as a share of all images.
    epochs : int
        Passes over them afterwards; the best one is kept. 0: pruning alone.
    learning_rate : float
        Learning rate of Adam for these.
    """
    generator = torch.Generator().manual_seed(derive_seed(seed, "images"))
    chosen = torch.randperm(len(images), generator=generator)[: max(2, round(share * len(images)))]
    clean, truth = floats(images[chosen]), labels[chosen]
    units = after_last_convolution(victim, clean[:2])
    silent_first = units.activations(victim, clean, batch_size).double().mean(dim=0).argsort(stable=True)

    network = deepcopy(victim).requires_grad_(True)

    def accuracy(count: int) -> float:
        units.without(network, _first(silent_first, count))
        predictions = classify(network, clean[:MEASURED], batch_size).argmax(dim=1)
        return float((predictions == truth[:MEASURED]).double().mean())

    curve = {0: accuracy(0)}
    for step in range(1, STEPS):
        count = round(step * units.count / STEPS)
        if count in curve or count == units.count:
            continue
        curve[count] = accuracy(count)
        if curve[count] < curve[0] - tolerance:
            break
    pruned = max(count for count, kept in curve.items() if kept >= curve[0] - tolerance)
    units.without(network, _first(silent_first, pruned))
    if epochs:
        refit(network, clean, truth, seed=seed, epochs=epochs, learning_rate=learning_rate)
    units.settle(network, keep=True)
    facts = {
        "layer": units.layer,
        "units": units.count,
        "pruned": pruned,
        "curve": [{"pruned": count, "accuracy": kept} for count, kept in curve.items()],
        "images_used": len(chosen),
    }
    return Defended(network.requires_grad_(False).eval(), facts)


def restore(victim: nn.Module, facts: Mapping[str, Any]) -> nn.Module:
    return victim


def _first(order: Tensor, count: int) -> Tensor:
    """Which units are the first `count` of an order (units,)."""
    pruned = torch.zeros(len(order), dtype=torch.bool)
    pruned[order[:count]] = True
    return pruned
