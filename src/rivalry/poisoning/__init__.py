"""Poisonings: each changes a training set so that a victim trained on it misbehaves on demand."""

from rivalry.poisoning._poisoning import poisoning

__all__ = ["poisoning"]
