from __future__ import annotations

from torch import Tensor, nn
from torch.nn.functional import cross_entropy

from rivalry.answers import classify
from rivalry.training._recipe import Recipe, training_method
from rivalry.types import Positive, VictimName
from rivalry.victims import load_victim


@training_method(source="papernot2016")
def defensive_distillation(
    images: Tensor, labels: Tensor, *, teacher: VictimName, temperature: Positive = 100.0
) -> Recipe:
    """Defensive distillation: learn a teacher's softened probabilities; deployed at temperature 1.

    All labels are replaced by soft ones. The student's logits grow by the temperature, so that its softmax
    saturates and loss gradients vanish: attacks on the loss fail because they have no gradient
    to follow, not because the victim is robust.

    Parameters
    ----------
    teacher : str
        The victim, trained at the same temperature, whose probabilities are learned.
    temperature : float
        Divides the logits of teacher and student while training.
    """
    soft = (classify(load_victim(teacher), images, 256) / temperature).softmax(dim=1)

    def loss(victim: nn.Module, images: Tensor, targets: Tensor) -> Tensor:
        return cross_entropy(victim(images) / temperature, targets)

    return Recipe(soft, loss)
