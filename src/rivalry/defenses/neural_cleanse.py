from __future__ import annotations

import math
import warnings
from collections.abc import Mapping
from copy import deepcopy
from typing import Any, Literal

import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy
from tqdm import tqdm

from rivalry.answers import classify
from rivalry.data._splits import floats
from rivalry.defenses._defended import Defended, defense
from rivalry.defenses._pruning import before_last_layer
from rivalry.defenses._refit import refit
from rivalry.devices import device_of
from rivalry.errors import RivalryError, RivalryWarning
from rivalry.seeds import derive_seed
from rivalry.types import Count, Epochs, Few, Fraction, LearningRate, NonNegative, OpenFraction

ROUND = 10
"""Steps after which the price of a mask is set anew."""
FIRST_PRICE = 0.001
"""Price of one pixel of mask, in units of cross-entropy, at the start."""
RISE = 1.5
"""Factor on the price of a trigger that works; of one that does not, it falls by the 1.5th power of this."""
MEASURED = 1000
"""Clean images, apart from those that are learned from, on which the success of found triggers is measured, at most;
and of those that are learned from, on which it is measured while units are taken out."""
NORMAL = 1.4826
"""Standard deviation of a normal distribution, in units of its median absolute deviation."""
ALIKE = 1e-6
"""Norms that differ by less than this share of their median are the same."""


@defense(kind="transformer", source="wang2019", backdoors=True)
def neural_cleanse(
    victim: nn.Module,
    images: Tensor,
    labels: Tensor,
    seed: int,
    batch_size: int,
    *,
    steps: Count = 500,
    minibatch: Few = 32,
    step_size: LearningRate = 0.1,
    success: OpenFraction = 0.99,
    anomaly: NonNegative = 2.0,
    share: OpenFraction = 0.1,
    stamped: Fraction = 0.2,
    mitigation: Literal["unlearning", "pruning"] = "unlearning",
    epochs: Epochs = 2,
    learning_rate: LearningRate = 0.003,
) -> Defended:
    """Neural Cleanse: find the trigger that a backdoor answers to, and make the victim ignore it.

    For each class the smallest trigger (mask and pattern) that brings clean images into it is sought by
    gradient descent. A class whose mask is far smaller than the others', by an outlier test on their L1
    norms, is taken for the target of a backdoor. The victim then learns from clean images, some of which bear
    such a trigger: images of all classes, under their true labels. Or else units of its last hidden layer are taken
    out: those that the trigger excites most first, until it no longer works. Where no class stands out, the victim
    stays as it is.

    The test compares classes with each other. Of only two, both lie 0.67 deviations from their median, so neither
    can stand out; and where more than half of the masks have the same norm, there is no deviation to measure by,
    and no class is taken for a target. Fewer than half of the classes can be found.

    As in the paper the defender owns clean images: of the data set's clean training split, not of the
    poisoned one that the victim learned from.

    Parameters
    ----------
    steps : int
        Gradient steps per trigger.
    minibatch : int
        Images on which a trigger is tried in each step.
    step_size : float
        Learning rate of Adam for the triggers.
    success : float
        Share of images of other classes that a trigger must bring into its class. While it does, the price of
        mask pixels rises; else it falls.
    anomaly : float
        How many median absolute deviations (scaled to standard deviations) below the median a mask's norm
        gives a backdoor away.
    share : float
        Share of the clean images that the defender uses. The others measure what the triggers do.
    stamped : float
        Share of these that bear a trigger when the victim is retrained, for each class that stood out.
    mitigation : "unlearning" or "pruning"
        What is done about classes that stood out; `stamped`, `epochs` and `learning_rate` are of unlearning.
    epochs : int
        Passes over them; the best one is kept.
    learning_rate : float
        Learning rate of Adam for retraining.
    """
    generator = torch.Generator().manual_seed(derive_seed(seed, "images"))
    order = torch.randperm(len(images), generator=generator)
    count = max(1, round(share * len(images)))
    chosen, others = order[:count], order[count:][-MEASURED:]
    if len(labels[others].unique()) < 2:
        raise RivalryError(
            f"share: {share:g} of {len(images)} training images leaves {len(others)} to measure triggers on; "
            "images of two classes are needed: lower it"
        )
    clean, truth = floats(images[chosen]), labels[chosen]
    measured = floats(images[others]), labels[others]

    masks, patterns = _reverse_engineer(victim, clean, truth, steps, minibatch, step_size, success, seed, batch_size)
    largest = largest_index(len(masks))
    if largest <= anomaly:
        warnings.warn(
            f"neural_cleanse: of {len(masks)} classes none has an anomaly index above {largest:.2f}, "
            f"so that no backdoor can be found (anomaly: {anomaly:g})",
            RivalryWarning,
            stacklevel=3,
        )
    norms = masks.double().flatten(1).sum(dim=1)
    index = anomaly_index(norms)
    flagged = ((index > anomaly) & (norms < norms.quantile(0.5))).nonzero().squeeze(1)
    facts = {
        "mask_l1": norms.tolist(),
        "anomaly_index": [value if math.isfinite(value) else None for value in index.tolist()],
        "largest_index": largest if math.isfinite(largest) else None,
        "flagged": flagged.tolist(),
        "images_used": len(chosen),
        "images_measured": len(others),
        "success": _success(victim, *measured, masks, patterns, batch_size),
        "changed": len(flagged) > 0,
    }
    triggers = {"mask": masks, "pattern": patterns}
    if len(flagged) == 0:
        return Defended(victim, facts, triggers)

    if mitigation == "pruning":
        repaired, taken = _pruned(victim, clean, truth, flagged, masks, patterns, 1 - success, batch_size)
        facts |= taken
        facts["success_after"] = _success(repaired, *measured, masks, patterns, batch_size)
        return Defended(repaired, facts, triggers)

    # Images of all classes under their true labels: those of a flagged class alone would teach the trigger.
    bearers = torch.arange(min(len(clean), round(stamped * len(clean) * len(flagged))))
    bears = flagged[bearers % len(flagged)]
    clean[bearers] = stamp(clean[bearers], masks[bears], patterns[bears])
    repaired = refit(
        deepcopy(victim).requires_grad_(True),
        clean,
        truth,
        seed=seed,
        epochs=epochs,
        learning_rate=learning_rate,
    )
    facts["success_after"] = _success(repaired, *measured, masks, patterns, batch_size)
    return Defended(repaired, facts, triggers)


def _pruned(
    victim: nn.Module,
    images: Tensor,
    labels: Tensor,
    flagged: Tensor,
    masks: Tensor,
    patterns: Tensor,
    tolerated: float,
    batch_size: int,
) -> tuple[nn.Module, dict[str, Any]]:
    """The victim without the units that the triggers of flagged classes excite, and what was taken out.

    Units are taken out one by one until each trigger succeeds on no more than a tolerated share of the images, or until
    none is left that a trigger excites.
    """
    units = before_last_layer(victim, images[:2])
    network, pruned = deepcopy(victim), torch.zeros(units.count, dtype=torch.bool)
    for target in flagged.tolist():
        foreign = images[labels != target][:MEASURED]
        stamped = stamp(foreign, masks[target], patterns[target])
        excess = (units.activations(victim, stamped, batch_size) - units.activations(victim, foreign, batch_size)).mean(
            dim=0
        )
        for unit in excess.argsort(descending=True, stable=True).tolist():
            units.without(network, pruned)
            predictions = classify(network, stamped, batch_size).argmax(dim=1)
            if float((predictions == target).double().mean()) <= tolerated or excess[unit] <= 0:
                break
            pruned[unit] = True
    units.without(network, pruned)
    units.settle(network, keep=True)
    return network.eval(), {"layer": units.layer, "units": units.count, "pruned": int(pruned.sum())}


def restore(victim: nn.Module, facts: Mapping[str, Any]) -> nn.Module:
    return victim


def stamp(images: Tensor, masks: Tensor, patterns: Tensor) -> Tensor:
    """Images (N,C,H,W), each pixel replaced by patterns (N,C,H,W) to the share that masks (N,1,H,W) say."""
    return images * (1 - masks) + patterns * masks


def anomaly_index(norms: Tensor) -> Tensor:
    """Distances (K,) of norms (K,) from their median, in standard deviations, robustly estimated.

    NaN where the deviation is 0, because more than half of the norms are the same: nothing can be said then.
    """
    median = norms.quantile(0.5)
    distances = (norms - median).abs()
    deviation = NORMAL * distances.quantile(0.5)
    return distances / deviation if deviation > ALIKE * median else torch.full_like(distances, torch.nan)


def largest_index(classes: int) -> float:
    """The largest anomaly index that one of so many classes can have."""
    return 1 / NORMAL if classes == 2 else math.inf


def _reverse_engineer(
    victim: nn.Module,
    images: Tensor,
    labels: Tensor,
    steps: int,
    minibatch: int,
    step_size: float,
    success: float,
    seed: int,
    batch_size: int,
) -> tuple[Tensor, Tensor]:
    """The smallest working trigger found for each class: masks (K,1,H,W) and patterns (K,C,H,W) in [0,1]."""
    device = device_of(victim, images)
    classes = classify(victim, images[:1], 1).shape[1]
    generator = torch.Generator().manual_seed(derive_seed(seed, "triggers"))
    rows = torch.randint(len(images), (steps, classes, minibatch), generator=generator)
    groups = torch.arange(classes).split(max(1, batch_size // minibatch))
    found = [
        _descend(victim, images, labels, group.to(device), rows[:, group], step_size, success)
        for group in tqdm(groups, "triggers", mininterval=5)
    ]
    masks, patterns = (torch.cat(parts).cpu() for parts in zip(*found, strict=True))
    return masks, patterns


def _descend(
    victim: nn.Module,
    images: Tensor,
    labels: Tensor,
    targets: Tensor,
    rows: Tensor,
    step_size: float,
    success: float,
) -> tuple[Tensor, Tensor]:
    """Triggers for the classes `targets` (k,); `rows` (steps, k, minibatch): the images each step tries."""
    k, minibatch = rows.shape[1:]
    shape = images.shape[1:]
    # Sigmoids of these are masks and patterns: both start at one half everywhere.
    raw_masks = torch.zeros(k, 1, *shape[1:], device=targets.device, requires_grad=True)
    raw_patterns = torch.zeros(k, *shape, device=targets.device, requires_grad=True)
    optimizer = torch.optim.Adam([raw_masks, raw_patterns], lr=step_size, betas=(0.5, 0.9))
    price = torch.full((k,), FIRST_PRICE, device=targets.device)
    best_masks, best_patterns = torch.ones_like(raw_masks), torch.zeros_like(raw_patterns)
    best_norms = torch.full((k,), torch.inf, device=targets.device)
    hits, tries = torch.zeros_like(price), torch.zeros_like(price)
    wanted = targets.repeat_interleave(minibatch)
    for step, row in enumerate(rows, start=1):
        masks, patterns = raw_masks.sigmoid(), raw_patterns.sigmoid()
        norms = masks.flatten(1).sum(dim=1)
        tried = images[row.flatten()].to(targets.device)
        logits = victim(stamp(tried, masks.repeat_interleave(minibatch, 0), patterns.repeat_interleave(minibatch, 0)))
        foreign = labels[row.flatten()].to(targets.device) != wanted
        hits += ((logits.argmax(dim=1) == wanted) & foreign).view(k, -1).sum(dim=1)
        tries += foreign.view(k, -1).sum(dim=1)
        if step % ROUND == 0:
            works = hits >= success * tries
            better = works & (norms.detach() < best_norms)
            best_norms = torch.where(better, norms.detach(), best_norms)
            best_masks[better], best_patterns[better] = masks.detach()[better], patterns.detach()[better]
            price = torch.where(works, price * RISE, price / RISE**1.5)
            hits.zero_()
            tries.zero_()
        losses = cross_entropy(logits, wanted, reduction="none").view(k, -1).mean(dim=1) + price * norms
        raw_masks.grad, raw_patterns.grad = torch.autograd.grad(losses.sum(), [raw_masks, raw_patterns])
        optimizer.step()
    return best_masks.detach(), best_patterns.detach()


def _success(
    victim: nn.Module, images: Tensor, labels: Tensor, masks: Tensor, patterns: Tensor, batch_size: int
) -> list[float]:
    """For each class, the share of images of other classes that its trigger brings into it."""
    rates = []
    for target, (mask, pattern) in enumerate(zip(masks, patterns, strict=True)):
        foreign = stamp(images[labels != target], mask, pattern)
        predictions = classify(victim, foreign, batch_size).argmax(dim=1)
        rates.append(float((predictions == target).double().mean()))
    return rates
