from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy

from rivalry.training._recipe import Recipe, training_method
from rivalry.types import Count, Fraction, NonNegative, Positive


@training_method(source="madry2018", attacks=True)
def adversarial_training(
    images: Tensor,
    labels: Tensor,
    *,
    attack: Literal["pgd", "fgsm"] = "pgd",
    eps: NonNegative = 0.3,
    step_size: Positive = 0.01,
    steps: Count = 40,
    alpha: Fraction = 0.0,
) -> Recipe:
    """Adversarial training: learn from images that an Linf attack crafts against the victim as it is now.

    The loss is alpha times that of the clean images plus (1 - alpha) times that of the attacked ones. With pgd
    and alpha 0 it is the saddle-point training of Madry et al.; with fgsm and alpha 0.5 Goodfellow et al.'s.

    Large inner steps can teach a victim to withstand exactly those steps and nothing else. Epochs are therefore
    chosen on validation images under ten steps of eps / 4, whatever the attack inside.

    Parameters
    ----------
    attack : "pgd" or "fgsm"
        pgd: `steps` steps of `step_size` from a random start. fgsm: one step of eps.
    eps : float
        Linf budget in units of the [0,1] pixel range.
    step_size : float
        Length of one pgd step, same unit.
    steps : int
        pgd steps.
    alpha : float
        Share of the clean loss.
    """

    def craft(victim: nn.Module, images: Tensor, targets: Tensor) -> Tensor:
        training = victim.training
        # Dropout off while attacking, so that the attacked and the deployed network are the same.
        victim.eval()
        current = images
        if not training:
            length, rounds = eps / 4, 10
        elif attack == "fgsm":
            length, rounds = eps, 1
        else:
            current = (images + torch.empty_like(images).uniform_(-eps, eps)).clamp(0, 1)
            length, rounds = step_size, steps
        for _ in range(rounds):
            with torch.enable_grad():
                current = current.detach().requires_grad_(True)
                (gradient,) = torch.autograd.grad(cross_entropy(victim(current), targets), current)
            change = (current.detach() + length * gradient.sign() - images).clamp(-eps, eps)
            current = (images + change).clamp(0, 1)
        victim.train(training)
        return current.detach()

    def attacked(victim: nn.Module, images: Tensor, targets: Tensor) -> tuple[Tensor, Tensor]:
        crafted = craft(victim, images, targets)
        loss = cross_entropy(victim(crafted), targets)
        if alpha > 0:
            loss = alpha * cross_entropy(victim(images), targets) + (1 - alpha) * loss
        return loss, crafted

    def loss(victim: nn.Module, images: Tensor, targets: Tensor) -> Tensor:
        return attacked(victim, images, targets)[0]

    return Recipe(labels, loss, attacked)
