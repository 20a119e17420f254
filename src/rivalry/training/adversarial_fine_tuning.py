from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy

from rivalry.data._splits import floats
from rivalry.seeds import derive_seed
from rivalry.training._learned_attack import learned_attack
from rivalry.training._recipe import Recipe, training_method
from rivalry.types import AttackName, Flag, Positive


@training_method(source="moosavi2016", starts=True)
def adversarial_fine_tuning(
    images: Tensor,
    labels: Tensor,
    victim: nn.Module,
    seed: int,
    *,
    attack: AttackName,
    scale: Positive = 1.0,
    clean: Flag = False,
) -> Recipe:
    """Adversarial fine-tuning: a trained victim goes on with attacked training images, made once, on itself as it was.

    `warm_start` names that victim. The DeepFool paper goes on for five epochs at half of the learning rate, and finds
    that images of large changes do harm. Validation has attacked images too, of other training images. Nothing is
    attacked again, so the victim may learn no more than to withstand these very images.

    Parameters
    ----------
    attack : str
        The attack that makes the images; of several eps the largest. For use without a configuration: a registered
        attack, or a mapping of `method` and its parameters.
    scale : float
        What its changes are multiplied by.
    clean : bool
        Whether the clean images are learned from, too.
    """
    attacker, settings = learned_attack(attack)
    pixels = floats(images)
    options = {"seed": derive_seed(seed, "attack"), "batch_size": 256, "progress": True}
    attacked = attacker.run(victim, pixels, labels, **options, **settings).images
    learned = (pixels + scale * (attacked - pixels)).clamp(0, 1)
    rows = torch.arange(len(images))
    if clean:
        learned, labels, rows = torch.cat([learned, pixels]), labels.repeat(2), rows.repeat(2)

    def loss(victim: nn.Module, images: Tensor, targets: Tensor) -> Tensor:
        return cross_entropy(victim(images), targets)

    return Recipe(labels, loss, images=learned * 255, labels=labels, sources=rows)
