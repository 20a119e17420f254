from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy, one_hot

from rivalry.answers import classify, reject_class
from rivalry.errors import RivalryError
from rivalry.training._recipe import Recipe, training_method
from rivalry.types import Positive, VictimName
from rivalry.victims import load_victim


@training_method(source="papernot2016")
def defensive_distillation(
    images: Tensor,
    labels: Tensor,
    *,
    teacher: VictimName,
    temperature: Positive = 100.0,
    labels_from: Literal["teacher", "teacher_where_right", "truth_where_wrong"] = "teacher",
) -> Recipe:
    """Defensive distillation: learn a teacher's softened probabilities; deployed at temperature 1.

    The student's logits grow by the temperature, so that its softmax saturates and loss gradients vanish: attacks on
    the loss fail because they have no gradient to follow, not because the victim is robust.

    Parameters
    ----------
    teacher : str
        The victim, trained at the same temperature, whose probabilities are learned.
    temperature : float
        Divides the logits of teacher and student while training.
    labels_from : "teacher", "teacher_where_right" or "truth_where_wrong"
        teacher: all labels are its soft ones. teacher_where_right: images that it misclassifies are left out.
        truth_where_wrong: they keep their hard labels.
    """
    taught_by = load_victim(teacher)
    if reject_class(taught_by) is not None:
        raise RivalryError(f"teacher: {teacher} may refuse images, which a student cannot learn; name another victim")
    soft = (classify(taught_by, images, 256) / temperature).softmax(dim=1)
    right = soft.argmax(dim=1) == labels

    def loss(victim: nn.Module, images: Tensor, targets: Tensor) -> Tensor:
        return cross_entropy(victim(images) / temperature, targets)

    if labels_from == "truth_where_wrong":
        hard = one_hot(labels, soft.shape[1]).to(soft.dtype)
        return Recipe(torch.where(right[:, None], soft, hard), loss)
    if labels_from == "teacher_where_right":
        if not right.any():
            raise RivalryError(f"teacher: {teacher} misclassifies every training image; none is left to learn from")
        return Recipe(soft, loss, learned=right)
    return Recipe(soft, loss)
