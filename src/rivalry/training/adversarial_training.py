from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy

from rivalry.training._inner import ascend, measured, random_change
from rivalry.training._recipe import Recipe, training_method
from rivalry.types import Count, Flag, Fraction, NonNegative, Norm, Positive


@training_method(source="madry2018", attacks=True)
def adversarial_training(
    images: Tensor,
    labels: Tensor,
    *,
    attack: Literal["pgd", "fgsm"] = "pgd",
    norm: Norm = "inf",
    eps: NonNegative = 0.3,
    step_size: Positive = 0.01,
    steps: Count = 40,
    random_start: Flag | None = None,
    mix: Literal["losses", "images"] = "losses",
    alpha: Fraction = 0.0,
) -> Recipe:
    """Adversarial training: learn from images that an attack crafts against the victim as it is now.

    With `mix: losses`, the loss is alpha times that of the clean images plus (1 - alpha) times that of the attacked
    ones. With pgd and alpha 0 it is the saddle-point training of Madry et al.; with fgsm and alpha 0.5 Goodfellow et
    al.'s. With `mix: images` it is data augmentation: of every batch, a share alpha is learned from as it is and
    the rest attacked, in one pass; another share in each epoch.

    Large inner steps can teach a victim to withstand exactly those steps and nothing else. Epochs are therefore
    chosen on validation images under ten steps of eps / 4, whatever the attack inside.

    Parameters
    ----------
    attack : "pgd" or "fgsm"
        pgd: `steps` steps of `step_size`. fgsm: one step of eps.
    norm : "inf" or 2
        Norm of the budget.
    eps : float
        Budget in units of the [0,1] pixel range.
    step_size : float
        Length of one pgd step, same unit and norm.
    steps : int
        pgd steps.
    random_start : bool
        Whether the attack begins at a random point of the ball; left out: pgd does, and fgsm does not.
    mix : "losses" or "images"
        Whether each image is learned from twice, clean and attacked, or once.
    alpha : float
        Share of the clean loss, or of the images that stay clean.
    """
    starts = attack == "pgd" if random_start is None else random_start
    length, rounds = (eps, 1) if attack == "fgsm" else (step_size, steps)

    def craft(victim: nn.Module, images: Tensor, targets: Tensor) -> Tensor:
        start = (images + random_change(images, norm, eps)).clamp(0, 1) if starts else images
        return ascend(
            victim,
            start,
            lambda logits: cross_entropy(logits, targets),
            around=images,
            norm=norm,
            eps=eps,
            step_size=length,
            steps=rounds,
        )

    def both(victim: nn.Module, images: Tensor, crafted: Tensor, targets: Tensor) -> Tensor:
        loss = cross_entropy(victim(crafted), targets)
        return alpha * cross_entropy(victim(images), targets) + (1 - alpha) * loss if alpha > 0 else loss

    def loss(victim: nn.Module, images: Tensor, targets: Tensor) -> Tensor:
        if mix == "losses":
            return both(victim, images, craft(victim, images, targets), targets)
        kept = round(alpha * len(images))
        crafted = craft(victim, images[kept:], targets[kept:])
        return cross_entropy(victim(torch.cat([images[:kept], crafted])), targets)

    def attacked(victim: nn.Module, images: Tensor, targets: Tensor) -> tuple[Tensor, Tensor]:
        crafted = measured(victim, images, targets, norm=norm, eps=eps)
        return both(victim, images, crafted, targets), crafted

    return Recipe(labels, loss, attacked)
