"""Poisonings: each changes a training set so that a victim trained on it misbehaves on demand."""

from rivalry.registry import open_room

open_room(__name__)
