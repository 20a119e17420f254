"""Training methods: each says what a victim learns from, and by which loss.

Examples
--------
>>> from rivalry.training import adversarial_training
>>> recipe = adversarial_training(training_images, training_labels, eps=0.1, step_size=0.05, steps=3)
>>> loss = recipe.loss(victim, images, labels)
"""

from typing import TYPE_CHECKING

from rivalry.registry import open_room

if TYPE_CHECKING:  # what editors read
    from rivalry.training.adversarial_training import adversarial_training as adversarial_training
    from rivalry.training.defensive_distillation import defensive_distillation as defensive_distillation
    from rivalry.training.plain import plain as plain
    from rivalry.training.scikit_learn import scikit_learn as scikit_learn

open_room(__name__)
