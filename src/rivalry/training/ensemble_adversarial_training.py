from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy

from rivalry.devices import lay_out
from rivalry.training._inner import ascend, measured
from rivalry.training._recipe import Recipe, training_method
from rivalry.types import Fraction, NonNegative, VictimNames
from rivalry.victims import load_victim


@training_method(source="tramer2018", attacks=True)
def ensemble_adversarial_training(
    images: Tensor,
    labels: Tensor,
    *,
    sources: VictimNames,
    attack: Literal["fgsm", "rand_fgsm"] = "fgsm",
    eps: NonNegative = 0.3,
    alpha: Fraction = 0.5,
) -> Recipe:
    """Ensemble adversarial training: learn from one-step images of other victims, and of the victim as it is now.

    Each batch is attacked on one of them, drawn at random. The other victims do not change, so that the victim cannot
    learn to weaken the attack instead of withstanding it. It is meant against images from elsewhere; iterative
    attacks on the victim itself break it.

    The loss is alpha times that of the clean images plus (1 - alpha) times that of the attacked ones. Robust accuracy
    is measured under ten steps of eps / 4 on the victim itself.

    Parameters
    ----------
    sources : list of str
        The other victims, trained already.
    attack : "fgsm" or "rand_fgsm"
        One step of eps; or a random sign step of eps / 2 first, and a step of eps / 2.
    eps : float
        Linf budget in units of the [0,1] pixel range.
    alpha : float
        Share of the clean loss.
    """
    static = [load_victim(source).requires_grad_(False) for source in sources]
    for victim in static:
        lay_out(victim, grey_gradients=images.shape[1] == 1)

    def craft(source: nn.Module, images: Tensor, targets: Tensor) -> Tensor:
        start, length = images, eps
        if attack == "rand_fgsm":
            start, length = (images + eps / 2 * torch.randn_like(images).sign()).clamp(0, 1), eps / 2
        return ascend(
            source.to(images.device),
            start,
            lambda logits: cross_entropy(logits, targets),
            around=images,
            eps=eps,
            step_size=length,
            steps=1,
        )

    def both(victim: nn.Module, images: Tensor, crafted: Tensor, targets: Tensor) -> Tensor:
        return alpha * cross_entropy(victim(images), targets) + (1 - alpha) * cross_entropy(victim(crafted), targets)

    def loss(victim: nn.Module, images: Tensor, targets: Tensor) -> Tensor:
        source = [*static, victim][int(torch.randint(len(static) + 1, ()))]
        return both(victim, images, craft(source, images, targets), targets)

    def attacked(victim: nn.Module, images: Tensor, targets: Tensor) -> tuple[Tensor, Tensor]:
        # Each validation image on one of them, the same one in every epoch.
        crafted = images.clone()
        for place, source in enumerate((*static, victim)):
            rows = slice(place, None, len(static) + 1)
            crafted[rows] = craft(source, images[rows], targets[rows])
        return both(victim, images, crafted, targets), measured(victim, images, targets, eps=eps)

    return Recipe(labels, loss, attacked)
