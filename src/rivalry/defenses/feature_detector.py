from __future__ import annotations

from collections.abc import Mapping
from copy import deepcopy
from typing import Any

import torch
from torch import Tensor, nn

from rivalry.answers import classify
from rivalry.defenses._defended import Defended, Rejecting, defense
from rivalry.defenses._detecting import examples
from rivalry.defenses._refit import refit
from rivalry.devices import device_of
from rivalry.seeds import derive_seed
from rivalry.training.pcl import given, last
from rivalry.types import AttackNames, Epochs, Flag, LearningRate, OpenFraction, SampleSize


@defense(kind="detector", source="metzen2017")
def feature_detector(
    victim: nn.Module,
    images: Tensor,
    labels: Tensor,
    seed: int,
    batch_size: int,
    *,
    attack: AttackNames,
    retrain: Flag = False,
    sample: SampleSize = 4000,
    epochs: Epochs = 20,
    learning_rate: LearningRate = 0.001,
    false_positive_rate: OpenFraction = 0.05,
) -> Defended:
    """Feature detector: a new last layer on the victim's own features tells clean images from attacked ones.

    It learns from training images and from what an attack makes of them on this victim, like binary_input_detector,
    and refuses an image that looks attacked. The features are what the victim's last dense or convolutional layer is
    given. The course report (course2020) replaces that layer and trains the whole network on (`retrain`), by RMSProp
    for 20 epochs.

    Parameters
    ----------
    attack : str or list of str
        The attack to learn from; of several eps the largest. Of several attacks, each attacks an equal share of the
        images. For use without a configuration: a registered attack, or a mapping of `method` and its parameters.
    retrain : bool
        Whether a copy of the victim learns too; if not, only the new layer does.
    sample : int
        Training images used, at most.
    epochs : int
        Passes over them; the best one is kept.
    learning_rate : float
        Learning rate of RMSProp.
    false_positive_rate : float
        Share of clean images that may be refused.
    """
    shown = examples(victim, images, labels, attack, sample, seed, batch_size)
    place = device_of(victim, images)
    (layer,) = last(victim, shown.clean[:2].to(place), 1)
    lessons, truth, sources = shown.lessons
    looking = Features(victim, layer)
    found = classify(looking, shown.clean[:1], 1)
    torch.manual_seed(derive_seed(seed, "weights"))
    head = nn.Linear(found.shape[1], 2).to(place)
    learning: nn.Module = head
    if retrain:
        looking = Features(deepcopy(victim).requires_grad_(True), layer)
        learning = nn.Sequential(looking, head)
    else:
        lessons = classify(looking, lessons, batch_size).cpu()
    refit(learning, lessons, truth, sources, seed=seed, epochs=epochs, learning_rate=learning_rate, optimizer="rmsprop")
    threshold, facts = shown.threshold(nn.Sequential(looking, head), false_positive_rate, batch_size)
    classes = classify(victim, shown.clean[:1], 1).shape[1]
    made = _rejecting(victim, looking.body if retrain else None, layer, head, threshold, classes)
    return Defended(made, facts | {"layer": layer, "features": head.in_features})


def restore(victim: nn.Module, facts: Mapping[str, Any]) -> nn.Module:
    found = facts["facts"]
    body = deepcopy(victim) if facts["parameters"]["retrain"] else None
    head = nn.Linear(found["features"], 2)
    return _rejecting(victim, body, found["layer"], head, torch.zeros(()), facts["classes"])


def _rejecting(
    victim: nn.Module, body: nn.Module | None, layer: str, head: nn.Linear, threshold: Tensor, classes: int
) -> Rejecting:
    """A victim behind a layer on the features of a network of its own (`body`), or else on the victim's."""
    if body is None:
        return RejectingByFeatures(layer, head, victim, threshold, classes)
    return Rejecting(nn.Sequential(Features(body, layer), head), victim, threshold, classes)


class Features(nn.Module):
    """What a layer of a classifier is given: images (N,C,H,W) in [0,1] to features (N,D)."""

    def __init__(self, body: nn.Module, layer: str) -> None:
        super().__init__()
        self.body = body
        self.layer = layer

    def forward(self, images: Tensor) -> Tensor:
        with given(self.body, [self.layer]) as features:
            self.body(images)
        return features[self.layer]


class RejectingByFeatures(Rejecting):
    """A victim that refuses what a detector takes for adversarial that looks at the victim's own features.

    Parameters
    ----------
    layer : str
        Name of the victim's layer whose input the detector is given.
    detector, victim, threshold, classes
        As of `Rejecting`; but the detector maps features (N,D).
    """

    def __init__(self, layer: str, detector: nn.Module, victim: nn.Module, threshold: Tensor, classes: int) -> None:
        super().__init__(detector, victim, threshold, classes)
        self.layer = layer

    def forward(self, images: Tensor) -> Tensor:
        with given(self.victim, [self.layer]) as features:
            logits = self.victim(images)
        return self.judged(logits, self.detector(features[self.layer]))
