"""Training methods: each says what a victim learns from, and by which loss."""

from rivalry.training._recipe import Direct, Recipe, training_method

__all__ = ["Direct", "Recipe", "training_method"]
