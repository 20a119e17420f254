"""Filters of training images: each says how suspicious every image of a training set is, in a victim's eyes.

Examples
--------
>>> from rivalry.filters import spectral_signatures
>>> found = spectral_signatures(network, training_images, training_labels, seed=0, batch_size=64)
>>> most_suspicious = found.scores.argsort(descending=True)[:10]
"""

from rivalry.registry import open_room

open_room(__name__)
