"""What a targeted poisoning is, and how a victim is trained again on what it made."""

from __future__ import annotations

from collections.abc import Callable
from copy import deepcopy
from dataclasses import dataclass, field
from typing import Any, TypeVar

import torch
from sklearn.linear_model import LogisticRegression
from torch import Tensor, nn
from torch.nn.functional import cross_entropy

from rivalry.answers import classify
from rivalry.devices import device_of
from rivalry.errors import RivalryError
from rivalry.training.pcl import given, last

F = TypeVar("F", bound=Callable[..., "Targeted"])

BATCH = 64
"""Images per step where a network is trained again."""
WEAK = 1e4
"""The inverse weight of the last layer's penalty on its weights, as scikit-learn has it."""


@dataclass(frozen=True)
class Targeted:
    """What became of T test images that were aimed at; all tensors are on the CPU.

    Attributes
    ----------
    rows : Tensor
        Their rows in the test split, int64 (T,).
    wanted : Tensor
        The class that each shall be taken for, int64 (T,).
    control, after : Tensor
        What the network that was trained again takes each for, without and with its poisons, int64 (T,).
    poisons : Tensor
        uint8 (T,P,C,H,W). Their label is `wanted`.
    bases : Tensor
        The test images that they were made of, int64 (T,P) rows.
    facts : dict
        What else is to be recorded.
    columns : dict of Tensor
        More about each target, (T,), by a name.
    """

    rows: Tensor
    wanted: Tensor
    control: Tensor
    after: Tensor
    poisons: Tensor
    bases: Tensor
    facts: dict[str, Any] = field(default_factory=dict)
    columns: dict[str, Tensor] = field(default_factory=dict)

    @property
    def success(self) -> Tensor:
        """Which of them are taken for the wanted class with their poisons, and not without, bool (T,)."""
        return (self.after == self.wanted) & (self.control != self.wanted)


def targeted_poisoning(*, source: str = "") -> Callable[[F], F]:
    """Register a function (victim, images, labels, test_images, test_labels, seed, batch_size, *, ...) -> Targeted.

    Images are uint8 (N,C,H,W), labels int64 (N,), first the training split, then the test split; `source` is its
    citation key.
    """
    return lambda function: function


def features_of(victim: nn.Module, layer: str, images: Tensor) -> Tensor:
    """What a layer of the victim is given of images (N,C,H,W) in [0,1], with gradients: (N,D)."""
    with given(victim, [layer]) as features:
        victim(images)
    return features[layer]


def last_layer(victim: nn.Module, image: Tensor) -> str:
    """The name of the layer that answers: its input are the features.

    Raises
    ------
    RivalryError
        The victim has no hidden layer.
    """
    try:
        return last(victim, image.to(device_of(victim, image)), 1)[0]
    except RivalryError as error:
        raise RivalryError("features are what a hidden layer gives, and the victim has none; name another") from error


def head(features: Tensor, labels: Tensor, asked: Tensor) -> Tensor:
    """A new last layer learns from features (N,D) and labels (N,), to its optimum, and answers `asked` (M,D): (M,).

    It is a logistic regression, nearly without a penalty, on features of mean 0 and deviation 1.
    """
    mean, deviation = features.mean(dim=0), features.std(dim=0).clamp_min(1e-6)
    scaled = ((features - mean) / deviation).double().numpy()
    model = LogisticRegression(C=WEAK, max_iter=2000, tol=1e-6).fit(scaled, labels.numpy())
    return torch.from_numpy(model.predict(((asked - mean) / deviation).double().numpy()))


def network(
    victim: nn.Module,
    images: Tensor,
    labels: Tensor,
    asked: Tensor,
    *,
    fresh: bool,
    epochs: int,
    learning_rate: float,
    seed: int,
) -> Tensor:
    """A copy of the victim, or a network like it, learns with all its layers, and answers `asked`: int64 (M,).

    Parameters
    ----------
    victim : nn.Module
    images, labels : Tensor
        float32 (N,C,H,W) in [0,1] and int64 (N,).
    asked : Tensor
        float32 (M,C,H,W) in [0,1].
    fresh : bool
        Whether it begins with new weights.
    epochs, learning_rate : int, float
        Passes over the images, and the rate of Adam.
    seed : int
    """
    place = device_of(victim, images)
    learner = deepcopy(victim).requires_grad_(True).train()
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        if fresh:
            for part in learner.modules():
                if callable(renew := getattr(part, "reset_parameters", None)):
                    renew()
        optimizer = torch.optim.Adam(learner.parameters(), lr=learning_rate)
        for _ in range(epochs):
            for rows in torch.randperm(len(images)).split(BATCH):
                if len(rows) > 1:  # batch normalisation needs two
                    optimizer.zero_grad()
                    cross_entropy(learner(images[rows].to(place)), labels[rows].to(place)).backward()
                    optimizer.step()
    return classify(learner.eval(), asked, BATCH).argmax(dim=1).cpu()
