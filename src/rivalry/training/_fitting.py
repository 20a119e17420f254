"""The keys of a victim that say how it is trained in epochs, and what they say against each other.

A configuration is checked with them, so nothing heavy is imported here.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Literal

from pydantic import ConfigDict, Field, with_config
from typing_extensions import TypedDict

from rivalry.types import (
    BatchSize,
    Epochs,
    Flag,
    Fraction,
    LearningRate,
    NonNegative,
    OpenFraction,
    Pixels,
    Positive,
    Strict,
)

WHOLE_SCHEDULES = ("cosine", "one_cycle")
"""Schedules whose last epochs are their best, at the smallest learning rates: nothing may end them early."""


@with_config(ConfigDict(extra="forbid", use_attribute_docstrings=True))
class Augmentation(TypedDict, total=False):
    """Random changes of the images that are learned from, other ones in each epoch; never of those validated on."""

    crop: Pixels
    """Width of a black margin, before a piece of the old size is cut out at a random place."""
    flip: Flag
    """Whether half of the images are mirrored, left and right; digits and letters should not be."""
    noise: Fraction
    """Standard deviation of Gaussian noise, of pixels in [0,1]."""
    cutout: Pixels
    """Side of a square around a random pixel that takes the mean colour of the image."""


class FittingKeys(Strict):
    """How a victim is trained in epochs."""

    epochs: Epochs = 10
    """Passes over the training images, at most."""
    batch_size: BatchSize = 128
    """Images per step."""
    learning_rate: LearningRate = 0.001
    """The learning rate of the optimizer; with `schedule`, the largest one."""
    optimizer: Literal["adam", "adamw", "sgd", "rmsprop"] = "adam"
    """Who takes the steps."""
    momentum: Fraction | None = None
    """Of sgd, 0.9 when left out, and of rmsprop, 0 when left out."""
    nesterov: Flag = False
    """Whether the momentum of sgd is Nesterov's."""
    weight_decay: NonNegative = 0.0
    """Pull of the weights towards 0: times the weights, added to the gradient; adamw keeps it apart from that."""
    schedule: Literal["constant", "step", "cosine", "one_cycle"] = "constant"
    """How the learning rate goes: step falls at milestones, cosine falls to 0, one_cycle rises first (3 tenths)."""
    milestones: list[Epochs] = Field(default=[], max_length=1000)
    """Epochs after which schedule step lowers the learning rate, rising."""
    gamma: OpenFraction | None = None
    """What schedule step multiplies the learning rate by; 0.1 when left out."""
    gradient_clipping: Positive | None = None
    """The longest that a step's gradient may be (L2, all weights together); longer ones are shortened."""
    label_smoothing: OpenFraction | None = None
    """Share of every target that is spread evenly over all classes."""
    ema: OpenFraction | None = None
    """Decay per step of a moving average of the weights, e.g. 0.999; the victim is then that average."""
    precision: Literal[32, "bf16-mixed", "16-mixed"] = 32
    """Bits of a number; the mixed ones, which need a GPU, compute convolutions and matrix products in 16."""
    augmentation: Augmentation | None = None
    """Random changes of the images that are learned from."""
    choose_epoch_by: Literal["loss", "accuracy", "robust_accuracy"] = "loss"
    """What the kept epoch is best in, on validation images; robust: under ten steps of a method that attacks."""
    patience: Epochs | None = None
    """Epochs without a better one after which training stops; left out: 5, but cosine and one_cycle end as planned."""
    validation_fraction: OpenFraction = 0.1
    """Share of the training images held out to choose the best epoch."""

    @property
    def most_idle(self) -> int:
        """Epochs without a better one that are waited for."""
        if self.patience is not None:
            return self.patience
        return self.epochs if self.schedule in WHOLE_SCHEDULES else 5


FITTING = tuple(FittingKeys.model_fields)
"""Their names."""


def contradictions(keys: FittingKeys, *, attacks: bool) -> Iterator[tuple[str, str]]:
    """What is wrong with keys that are right one by one: the name of one, and what is wrong.

    Parameters
    ----------
    keys : FittingKeys
    attacks : bool
        Whether the training method attacks the images that it learns from.
    """
    if keys.optimizer not in ("sgd", "rmsprop") and keys.momentum is not None:
        yield "momentum", f"{keys.optimizer} has none; use optimizer sgd or rmsprop, or leave this key out"
    if keys.nesterov and keys.optimizer != "sgd":
        yield "nesterov", f"{keys.optimizer} has no such momentum; use optimizer sgd, or leave this key out"
    elif keys.nesterov and keys.momentum == 0:
        yield "nesterov", "needs a momentum above 0"
    if keys.schedule == "step":
        if not keys.milestones:
            yield "milestones", "is missing; schedule step needs the epochs after which the learning rate falls"
        elif sorted(set(keys.milestones)) != keys.milestones:
            yield "milestones", f"{keys.milestones} does not rise; list each epoch once, in order"
        elif keys.milestones[-1] >= keys.epochs:
            yield "milestones", f"{keys.milestones[-1]} is never reached; training has {keys.epochs} epochs"
    else:
        for key, value in (("milestones", keys.milestones), ("gamma", keys.gamma)):
            if value:
                yield key, f"schedule {keys.schedule} has none; use schedule step, or leave this key out"
    if keys.schedule in WHOLE_SCHEDULES and keys.patience is not None and keys.patience < keys.epochs:
        yield (
            "patience",
            f"would end schedule {keys.schedule} early, whose last epochs are its best; leave this key out",
        )
    if keys.choose_epoch_by == "robust_accuracy" and not attacks:
        yield "choose_epoch_by", "robust_accuracy needs a method that attacks; use accuracy or loss"
    if keys.precision == "16-mixed" and attacks:
        yield "precision", "16-mixed loses the small gradients that an attack follows; use bf16-mixed"
