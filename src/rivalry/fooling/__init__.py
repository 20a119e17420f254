"""Fooling images: each method makes, from nothing, one image per class that a victim takes for that class.

`fool` runs one of them by its name.

Examples
--------
>>> from rivalry.fooling import fool
>>> fooled = fool("gradient_ascent", victim, shape=(1, 12, 12), classes=5, steps=10)
>>> fooled.images.shape
torch.Size([5, 1, 12, 12])
"""

from typing import TYPE_CHECKING

from rivalry.registry import open_room

if TYPE_CHECKING:  # what editors read
    from rivalry.fooling._fooling import fool as fool
    from rivalry.fooling.gradient_ascent import gradient_ascent as gradient_ascent
    from rivalry.fooling.map_elites_cppn import map_elites_cppn as map_elites_cppn
    from rivalry.fooling.map_elites_direct import map_elites_direct as map_elites_direct

open_room(__name__, fool="_fooling")
