"""Training methods: each says what a victim learns from, and by which loss.

Examples
--------
>>> from rivalry.training import adversarial_training
>>> recipe = adversarial_training(training_images, training_labels, eps=0.1, step_size=0.05, steps=3)
>>> loss = recipe.loss(victim, images, labels)
"""

from rivalry.registry import open_room

open_room(__name__)
