from __future__ import annotations

from torch import Tensor, nn
from torch.nn.functional import cross_entropy

from rivalry.training._recipe import Recipe, training_method
from rivalry.types import Positive


@training_method(source="goodfellow2016")
def plain(images: Tensor, labels: Tensor, *, temperature: Positive = 1.0) -> Recipe:
    """Plain training: cross-entropy on the labels.

    Parameters
    ----------
    temperature : float
        Divides the logits while training. A teacher for defensive distillation needs the student's.
    """

    def loss(victim: nn.Module, images: Tensor, targets: Tensor) -> Tensor:
        return cross_entropy(victim(images) / temperature, targets)

    return Recipe(labels, loss)
