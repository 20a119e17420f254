from __future__ import annotations

from torch import Tensor, nn
from torch.nn.functional import cross_entropy

from rivalry.training._inner import ascend, measured, random_change
from rivalry.training._recipe import Recipe, training_method
from rivalry.types import Fraction, NonNegative, Positive


@training_method(source="wong2020", attacks=True)
def fast_adversarial_training(
    images: Tensor,
    labels: Tensor,
    *,
    eps: NonNegative = 0.3,
    step_size: Positive | None = None,
    tolerance: Fraction = 0.2,
) -> Recipe:
    """Fast adversarial training: learn from images that one Linf step makes from a random point of the eps ball.

    It costs little more than plain training. At some moment it may begin to withstand that one step and nothing else
    (catastrophic overfitting). So after each epoch, accuracy under ten steps of eps / 4 is measured on 256 training
    images. If it falls below that of an earlier epoch by more than `tolerance`, training stops, and the best
    epoch before is kept.

    Parameters
    ----------
    eps : float
        Linf budget in units of the [0,1] pixel range.
    step_size : float
        Length of the step, same unit; left out: 1.25 eps.
    tolerance : float
        By how much that accuracy may fall; with 1, training never stops for it.
    """
    length = 1.25 * eps if step_size is None else step_size

    def loss(victim: nn.Module, images: Tensor, targets: Tensor) -> Tensor:
        crafted = ascend(
            victim,
            # Not clipped to [0,1] before the step: otherwise every step would end in a corner of the ball.
            images + random_change(images, "inf", eps),
            lambda logits: cross_entropy(logits, targets),
            around=images,
            eps=eps,
            step_size=length,
            steps=1,
        )
        return cross_entropy(victim(crafted), targets)

    def attacked(victim: nn.Module, images: Tensor, targets: Tensor) -> tuple[Tensor, Tensor]:
        crafted = measured(victim, images, targets, eps=eps)
        return cross_entropy(victim(crafted), targets), crafted

    return Recipe(labels, loss, attacked, tolerance=tolerance)
