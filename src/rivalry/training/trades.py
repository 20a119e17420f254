from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy, kl_div

from rivalry.training._inner import ascend, evaluating, measured
from rivalry.training._recipe import Recipe, training_method
from rivalry.types import Count, NonNegative, Positive

START = 0.001
"""Standard deviation of the noise from which the attack begins: at the image itself, the divergence has no slope."""


@training_method(source="zhang2019", attacks=True)
def trades(
    images: Tensor,
    labels: Tensor,
    *,
    beta: NonNegative = 6.0,
    eps: NonNegative = 0.3,
    step_size: Positive = 0.01,
    steps: Count = 40,
) -> Recipe:
    """TRADES: be right on clean images, and answer alike all around them.

    The loss is the cross-entropy of the clean images plus beta times the Kullback-Leibler divergence from what is
    answered to them to what is answered to attacked ones, its mean over the images. The attack raises that
    divergence inside the Linf ball. Epochs are chosen on validation images under ten steps of eps / 4 that raise the
    cross-entropy.

    Parameters
    ----------
    beta : float
        Price of answering otherwise: accuracy is traded for robustness. The paper takes 1 and 6.
    eps : float
        Linf budget in units of the [0,1] pixel range.
    step_size : float
        Length of one step, same unit.
    steps : int
        Steps of the attack.
    """

    def divergence(logits: Tensor, clean: Tensor) -> Tensor:
        return kl_div(logits.log_softmax(1), clean.log_softmax(1), reduction="batchmean", log_target=True)

    def both(victim: nn.Module, images: Tensor, crafted: Tensor, targets: Tensor) -> Tensor:
        clean = victim(images)
        return cross_entropy(clean, targets) + beta * divergence(victim(crafted), clean)

    def loss(victim: nn.Module, images: Tensor, targets: Tensor) -> Tensor:
        with evaluating(victim), torch.no_grad():
            clean = victim(images)
        crafted = ascend(
            victim,
            (images + START * torch.randn_like(images)).clamp(0, 1),
            lambda logits: divergence(logits, clean),
            around=images,
            eps=eps,
            step_size=step_size,
            steps=steps,
        )
        return both(victim, images, crafted, targets)

    def attacked(victim: nn.Module, images: Tensor, targets: Tensor) -> tuple[Tensor, Tensor]:
        crafted = measured(victim, images, targets, eps=eps)
        return both(victim, images, crafted, targets), crafted

    return Recipe(labels, loss, attacked)
