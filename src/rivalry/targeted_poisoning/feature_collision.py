from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor, nn
from tqdm import tqdm

from rivalry.answers import classify
from rivalry.data._splits import floats
from rivalry.devices import device_of, frozen
from rivalry.errors import RivalryError
from rivalry.seeds import derive_seed
from rivalry.targeted_poisoning._targeted import (
    Targeted,
    features_of,
    head,
    last_layer,
    network,
    targeted_poisoning,
)
from rivalry.types import Count, Epochs, Few, Fraction, LearningRate, NonNegative, SampleSize

FIRST_STEP, LONGER, SHORTER = 1.0, 1.2, 0.5
"""Length of the first gradient step; a step that helps makes the next one longer, one that does not is taken back."""


@targeted_poisoning(source="shafahi2018")
def feature_collision(
    victim: nn.Module,
    images: Tensor,
    labels: Tensor,
    test_images: Tensor,
    test_labels: Tensor,
    seed: int,
    batch_size: int,
    *,
    targets: Count = 100,
    poisons: Few = 1,
    watermark: Fraction = 0.0,
    similarity: NonNegative = 0.01,
    steps: Count = 300,
    retrain: Literal["last_layer", "all_layers", "from_scratch"] = "last_layer",
    task: Literal["two_classes", "all_classes"] = "two_classes",
    sample: SampleSize = 2000,
    epochs: Epochs = 3,
    learning_rate: LearningRate = 0.001,
) -> Targeted:
    """Feature collision (Poison Frogs): training images that look like one class and have a test image's features.

    The label of such an image is right, by its looks. A network that learns from it takes the test image for that
    class, if its features stay about where they were: where only a new last layer is trained, as in transfer learning,
    one image may do. Where all layers learn, it takes several, with a faint copy of the test image in each (watermark).
    From scratch it does not work, which is the control.

    For each of many test images, poisons are made of test images of another class and the network is trained again, on
    a sample of the training images and these poisons alone. It is also trained without them.

    Parameters
    ----------
    targets : int
        Test images that are aimed at, each by itself; drawn from those that the victim has right.
    poisons : int
        Poisoned images for each.
    watermark : float
        Opacity of the copy of the target in its poisons.
    similarity : float
        Weight of the squared change of the pixels beside the squared distance of the features, which is 1 at the start.
    steps : int
        Forward-backward steps that make a poison.
    retrain : str
        What is trained again: a new last_layer on the victim's features, all_layers of a copy of the victim, or a
        network like it from_scratch.
    task : str
        Whether it learns the two classes at hand, as in the paper, or all_classes.
    sample : int
        Training images that it learns from, at most, of all these classes together.
    epochs : int
        Passes over them where more than the last layer learns.
    learning_rate : float
        Learning rate of Adam there.
    """
    generator = torch.Generator().manual_seed(derive_seed(seed, "targets"))
    right = (classify(victim.eval(), test_images, batch_size).argmax(dim=1).cpu() == test_labels).nonzero().squeeze(1)
    if len(right) < 1:
        raise RivalryError("feature_collision: the victim has no test image right, so that none can be turned")
    rows = right[torch.randperm(len(right), generator=generator)[:targets]]
    classes = len(labels.unique())
    turns = torch.randint(1, classes, (len(rows),), generator=generator)
    wanted = labels.unique()[(torch.searchsorted(labels.unique(), test_labels[rows]) + turns) % classes]
    bases = torch.stack([_some(test_labels == label, poisons, generator) for label in wanted.tolist()])

    layer = last_layer(victim, floats(test_images[:2]))
    where = device_of(victim, test_images)
    made, before, ends = [], [], []
    with frozen(victim, grey_gradients=test_images.shape[1] == 1):
        parts = torch.arange(len(rows) * poisons).split(batch_size)
        for part in tqdm(parts, "poisons", mininterval=5):
            target = floats(test_images[rows[part // poisons]]).to(where)
            base = floats(test_images[bases.flatten()[part]]).to(where)
            poison, distances = _collide(victim, layer, base, target, watermark, similarity, steps)
            made.append(poison.mul(255).round().to(torch.uint8).cpu())
            before.append(distances[0].cpu())
            ends.append(distances[1].cpu())
    poisoned = torch.cat(made)
    shape = (len(rows), poisons)
    control, after = _retrained(
        victim, layer, (images, labels), test_images[rows], test_labels[rows], wanted,
        poisoned.unflatten(0, shape), retrain, task, sample, epochs, learning_rate, seed, batch_size,
    )  # fmt: skip
    change = floats(poisoned) - floats(test_images[bases.flatten()])
    apart = floats(test_images[rows])[:, None] - floats(test_images[bases.flatten()]).unflatten(0, shape)
    return Targeted(
        rows,
        wanted,
        control,
        after,
        poisoned.unflatten(0, shape),
        bases,
        {"layer": layer},
        {
            "feature_distance": torch.cat(ends).unflatten(0, shape).mean(dim=1),
            "base_distance": torch.cat(before).unflatten(0, shape).mean(dim=1),
            "l2": change.flatten(1).norm(dim=1).unflatten(0, shape).mean(dim=1),
            "linf": change.flatten(1).abs().amax(dim=1).unflatten(0, shape).mean(dim=1),
            "target_l2": apart.flatten(2).norm(dim=2).mean(dim=1),
        },
    )


def _some(eligible: Tensor, count: int, generator: torch.Generator) -> Tensor:
    """Rows of `eligible`, bool (N,), at random, int64 (count,); the same twice only where there are fewer."""
    rows = eligible.nonzero().squeeze(1)
    order = torch.randperm(len(rows), generator=generator)
    return rows[order.repeat(-(-count // len(rows)))[:count]]


def _collide(
    victim: nn.Module, layer: str, bases: Tensor, targets: Tensor, watermark: float, similarity: float, steps: int
) -> tuple[Tensor, tuple[Tensor, Tensor]]:
    """Poisons (N,C,H,W) of bases, and their features' distances from the targets' at the start and the end, (N,) each.

    Each image has a step length of its own, and keeps the best that it came to.
    """
    with torch.no_grad():
        goal = features_of(victim, layer, targets)
        start = (features_of(victim, layer, bases) - goal).norm(dim=1)
    unit = start.square().clamp_min(1e-12)

    def apart(points: Tensor) -> Tensor:
        distances: Tensor = (features_of(victim, layer, points) - goal).square().sum(dim=1) / unit
        return distances

    def wide(values: Tensor) -> Tensor:
        return values.view(-1, 1, 1, 1)

    anchor = (1 - watermark) * bases + watermark * targets
    here, length = anchor.clone(), torch.full_like(unit, FIRST_STEP)
    least = torch.full_like(unit, torch.inf)
    slope = torch.zeros_like(here)
    tried = here
    for _ in range(steps + 1):
        moving = tried.detach().requires_grad_(True)
        distance = apart(moving)
        (found,) = torch.autograd.grad(distance.sum(), moving)
        total = distance.detach() + similarity * (tried - anchor).square().flatten(1).sum(dim=1)
        better = total < least
        least = torch.where(better, total, least)
        here, slope = torch.where(wide(better), tried, here), torch.where(wide(better), found, slope)
        length = torch.where(better, length * LONGER, length * SHORTER)
        step = wide(length)
        pull = 2 * step * similarity
        tried = ((here - step * slope + pull * anchor) / (1 + pull)).clamp(0, 1)
    with torch.no_grad():
        return here, (start, (features_of(victim, layer, here) - goal).norm(dim=1))


def _retrained(
    victim: nn.Module,
    layer: str,
    train: tuple[Tensor, Tensor],
    target_images: Tensor,
    target_labels: Tensor,
    wanted: Tensor,
    poisons: Tensor,
    retrain: str,
    task: str,
    sample: int,
    epochs: int,
    learning_rate: float,
    seed: int,
    batch_size: int,
) -> tuple[Tensor, Tensor]:
    """What networks that learn without and with each target's poisons (T,P,C,H,W) take the targets for, (T,) each."""
    images, labels = train

    def look(stored: Tensor) -> Tensor:
        """Features where only the last layer learns, else images, of stored images."""
        pixels = floats(stored)
        if retrain != "last_layer":
            return pixels
        with frozen(victim), torch.no_grad():
            where = device_of(victim, pixels)
            found = [features_of(victim, layer, part.to(where)).cpu() for part in pixels.split(batch_size)]
        return torch.cat(found)

    def learn(shown: Tensor, truth: Tensor, asked: Tensor) -> Tensor:
        if retrain == "last_layer":
            return head(shown, truth, asked)
        fresh = retrain == "from_scratch"
        return network(
            victim,
            shown,
            truth,
            asked,
            fresh=fresh,
            epochs=epochs,
            learning_rate=learning_rate,
            seed=derive_seed(seed, "retrain"),
        )

    order = torch.randperm(len(labels), generator=torch.Generator().manual_seed(derive_seed(seed, "sample")))
    asked = look(target_images)
    known: dict[tuple[int, ...], tuple[Tensor, Tensor, Tensor]] = {}
    control, after = [], []
    for place in tqdm(range(len(wanted)), "targets", mininterval=5):
        pair = sorted((int(target_labels[place]), int(wanted[place])))
        names = tuple(pair) if task == "two_classes" else tuple(labels.unique().tolist())
        if names not in known:
            chosen = order[torch.isin(labels[order], torch.tensor(names))][:sample]
            shown, truth = look(images[chosen]), labels[chosen]
            of_task = torch.isin(target_labels, torch.tensor(names))
            answers = torch.full_like(target_labels, -1)
            answers[of_task] = learn(shown, truth, asked[of_task])
            known[names] = shown, truth, answers
        shown, truth, answers = known[names]
        control.append(answers[place])
        bad = look(poisons[place])
        both = torch.cat([truth, wanted[place].expand(len(bad))])
        after.append(learn(torch.cat([shown, bad]), both, asked[place : place + 1])[0])
    return torch.stack(control), torch.stack(after)
