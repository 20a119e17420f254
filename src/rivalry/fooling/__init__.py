"""Fooling images: each method makes, from nothing, one image per class that a victim takes for that class."""

from rivalry.fooling._fooling import Fooled, fool, fooling

__all__ = ["Fooled", "fool", "fooling"]
