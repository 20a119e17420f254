"""What a training method is."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

import torch
from torch import Tensor, nn

from rivalry.architectures._classifier import Classifier
from rivalry.errors import RivalryError

F = TypeVar("F", bound=Callable[..., "Recipe | Direct | Ready"])

Loss = Callable[..., Tensor]
"""(victim in training mode, images (N,C,H,W) in [0,1], targets of these images) -> scalar. Of a recipe with something
auxiliary, that is the fourth argument."""


@dataclass(frozen=True)
class Recipe:
    """How to train.

    Attributes
    ----------
    targets : Tensor
        What each image shall be taken for: classes (N,) or probabilities (N,K).
    loss : Loss
        What to minimise on a batch.
    attacked : function, optional
        Of a method that attacks what it learns from: (victim, images, targets) -> the loss of validation images, and
        these images (N,C,H,W) attacked as robust accuracy is measured.
    learned : Tensor, optional
        bool (N,): which images are learned from; all when left out. Validation takes no notice of it.
    images : Tensor, optional
        Images (N,C,H,W) to learn from and to validate on instead of the training images: uint8, or float of the same
        scale, 0 to 255. They come with `labels` and `sources`.
    labels : Tensor, optional
        Their classes, int64 (N,), by which accuracy is measured.
    sources : Tensor, optional
        int64 (N,): the row of the training image that each was made of; -1: of none. What is made of one training
        image is all learned from or all validated on. So are images of the same number below -1.
    after_step : function, optional
        (victim) -> None, called without gradients after each step of the optimizer: changes the weights in place.
    auxiliary : function, optional
        (victim in evaluation mode, a few images (n,C,H,W) in [0,1]) -> a module whose parameters are learned with the
        victim's and are no part of it, such as class prototypes. Checkpoints hold them. `loss` is given the module.
    auxiliary_rate : float, optional
        Learning rate of these parameters; the victim's when left out. A schedule changes both alike.
    tolerance : float, optional
        Of a method with `attacked`: by how much the accuracy under that attack, on a few training images, may
        fall below that of an earlier epoch. If it falls further, training stops, and an epoch before is kept.
    """

    targets: Tensor
    loss: Loss
    attacked: Callable[[nn.Module, Tensor, Tensor], tuple[Tensor, Tensor]] | None = None
    learned: Tensor | None = None
    images: Tensor | None = None
    labels: Tensor | None = None
    sources: Tensor | None = None
    after_step: Callable[[nn.Module], None] | None = None
    auxiliary: Callable[[nn.Module, Tensor], nn.Module] | None = None
    auxiliary_rate: float | None = None
    tolerance: float | None = None

    def examples(self, images: Tensor, labels: Tensor, sources: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Images, labels and sources to train with: the recipe's own, or those of the training set.

        Parameters
        ----------
        images, labels, sources : Tensor
            Of the training set. Of images that the recipe made of them, the sources follow from theirs.

        Raises
        ------
        RivalryError
            The recipe's tensors do not fit each other or the training set.
        """
        own, classes, made_of = self.images, self.labels, self.sources
        if own is None or classes is None or made_of is None:
            if not (own is classes is made_of is None):
                raise RivalryError("a recipe with images, labels or sources of its own needs all three")
        else:
            if own.shape[1:] != images.shape[1:]:
                raise RivalryError(
                    f"has images {tuple(own.shape[1:])}; those of the data set are {tuple(images.shape[1:])}"
                )
            for name, values in (("labels", classes), ("sources", made_of)):
                if values.shape != (len(own),) or values.dtype != torch.int64:
                    raise RivalryError(
                        f"has {name} {tuple(values.shape)}, {values.dtype}; int64 ({len(own)},) is right"
                    )
            if len(own) and int(made_of.max()) >= len(images):
                raise RivalryError(f"has sources above {len(images) - 1}, the last row of the training images")
            alone = torch.arange(len(own))
            groups = torch.where(made_of == -1, alone, len(own) - made_of)  # both are numbers of no training image
            images, labels = own, classes
            sources = torch.where(made_of < 0, int(sources.max()) + 1 + groups, sources[made_of.clamp_min(0)])
        if len(self.targets) != len(images):
            raise RivalryError(f"has {len(self.targets)} targets for {len(images)} images")
        return images, labels, sources


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
    *,
    source: str = "",
    epochs: bool = True,
    attacks: bool = False,
    architecture: bool = True,
    starts: bool = False,
    refuses: bool = False,
) -> Callable[[F], F]:
    """Register a function (images, labels, *, ...) -> Recipe, Direct or Ready; `source` is its citation key.

    It is given the training images, uint8 (N,C,H,W), and their labels, int64 (N,). Without `epochs` it trains
    directly, and trains only the architectures that have no epochs either. Without `architecture` it brings a network
    that is trained already. One that `attacks` the images that it learns from makes a recipe with `attacked`. One
    that `starts` from a trained victim, which the entry names as `warm_start`, is given it and a seed after the labels.
    The victims of one that `refuses` have one output more than there are classes, K, by which they refuse an image;
    in its recipe, K is a label.
    """
    return lambda function: function
