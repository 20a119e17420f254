"""What a training method is."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

from torch import Tensor, nn

from rivalry.architectures._classifier import Classifier

F = TypeVar("F", bound=Callable[..., "Recipe | Direct | Ready"])

Loss = Callable[[nn.Module, Tensor, Tensor], Tensor]
"""(victim in training mode, images (N,C,H,W) in [0,1], targets of these images) -> scalar."""


@dataclass(frozen=True)
class Recipe:
    """How to train.

    Attributes
    ----------
    targets : Tensor
        What each training image shall be taken for: classes (N,) or probabilities (N,K).
    loss : Loss
        What to minimise on a batch.
    attacked : function, optional
        Of a method that attacks what it learns from: (victim, images, targets) -> the same loss, and the images
        (N,C,H,W) that it attacked for it. Robust accuracy is measured on them.
    learned : Tensor, optional
        bool (N,): which images are learned from; all when left out. Validation takes no notice of it.
    """

    targets: Tensor
    loss: Loss
    attacked: Callable[[nn.Module, Tensor, Tensor], tuple[Tensor, Tensor]] | None = None
    learned: Tensor | None = None


@dataclass(frozen=True)
class Direct:
    """How to train without epochs.

    Attributes
    ----------
    fit : function
        (victim, seed) -> None; leaves the victim trained.
    """

    fit: Callable[[Classifier, int], None]


@dataclass(frozen=True)
class Ready:
    """What needs no training.

    Attributes
    ----------
    bring : function
        (names of the classes) -> the victim, trained already, and facts about it, which are stored with it. The module
        that defines the method also has a function `restore(facts)`: the victim again, to be given its tensors.
    """

    bring: Callable[[Sequence[str]], tuple[nn.Module, dict[str, Any]]]


def training_method(
    *, source: str = "", epochs: bool = True, attacks: bool = False, architecture: bool = True
) -> Callable[[F], F]:
    """Register a function (images, labels, *, ...) -> Recipe, Direct or Ready; `source` is its citation key.

    It is given the training images, uint8 (N,C,H,W), and their labels, int64 (N,). Without `epochs` it trains
    directly, and trains only the architectures that have no epochs either. Without `architecture` it brings a network
    that is trained already. One that `attacks` the images that it learns from makes a recipe with `attacked`.
    """
    return lambda function: function
