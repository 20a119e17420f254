"""Poisonings: each changes a training set so that a victim trained on it misbehaves on demand.

Examples
--------
>>> from rivalry.poisoning import backdoor
>>> poisoned = backdoor(training_images, training_labels, seed=0, target=1)
>>> stamped = poisoned.trigger.stamp(images)
"""

from typing import TYPE_CHECKING

from rivalry.registry import open_room

if TYPE_CHECKING:  # what editors read
    from rivalry.poisoning.backdoor import backdoor as backdoor

open_room(__name__)
