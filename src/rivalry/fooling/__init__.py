"""Fooling images: each method makes, from nothing, one image per class that a victim takes for that class."""

from typing import TYPE_CHECKING

from rivalry.registry import open_room

if TYPE_CHECKING:  # what editors read
    from rivalry.fooling.gradient_ascent import gradient_ascent as gradient_ascent
    from rivalry.fooling.map_elites_cppn import map_elites_cppn as map_elites_cppn
    from rivalry.fooling.map_elites_direct import map_elites_direct as map_elites_direct

open_room(__name__)
