"""Targeted poisonings: each makes training images that turn single test images, once a victim is trained again.

Examples
--------
>>> from rivalry.targeted_poisoning import feature_collision
>>> outcome = feature_collision(victim, train_images, train_labels, test_images, test_labels, 0, 64, targets=10)
>>> outcome.success
"""

from rivalry.registry import open_room

open_room(__name__)
