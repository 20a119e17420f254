"""Fooling images: each method makes, from nothing, one image per class that a victim takes for that class.

`fool` runs one of them by its name.

Examples
--------
>>> from rivalry.fooling import fool
>>> fooled = fool("gradient_ascent", victim, shape=(1, 12, 12), classes=5, steps=10)
>>> fooled.images.shape
torch.Size([5, 1, 12, 12])
"""

from rivalry.registry import open_room

open_room(__name__, fool="_fooling")
