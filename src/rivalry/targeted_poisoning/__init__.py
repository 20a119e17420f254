"""Targeted poisonings: each makes training images that turn single test images, once a victim is trained again.

Examples
--------
>>> from rivalry.targeted_poisoning import feature_collision
>>> outcome = feature_collision(
...     network, training_images, training_labels, test_images, test_labels, seed=0, batch_size=64, targets=2
... )
>>> rate = outcome.success.double().mean()
"""

from rivalry.registry import open_room

open_room(__name__)
