"""Test-time defenses: each wraps a trained victim, or changes it, and is again a classifier.

A method is one function in one file, `name(victim, images, labels, seed, batch_size, *, <configuration>) ->
Defended`. It is given the data set's clean training split, uint8 images (N,C,H,W) and labels int64 (N,), and
may hand the victim `batch_size` images at once. The same file has `restore(victim, facts)`, which builds the
module again without fitting anything: `facts` is what `defense.json` says, and `rivalry.load_victim` then
fills in the weights.

Examples
--------
>>> from rivalry.defenses import spatial_smoothing
>>> defended = spatial_smoothing(victim, training_images, training_labels, seed=0, batch_size=64).module
>>> logits = defended(images)
"""

from rivalry.registry import open_room

open_room(__name__)
