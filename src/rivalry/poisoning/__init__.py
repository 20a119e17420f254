"""Poisonings: each changes a training set so that a victim trained on it misbehaves on demand.

Examples
--------
>>> from rivalry.poisoning import backdoor
>>> poisoned = backdoor(training_images, training_labels, seed=0, target=1)
>>> stamped = poisoned.trigger.stamp(images)
"""

from rivalry.registry import open_room

open_room(__name__)
