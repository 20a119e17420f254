"""Poisonings: each changes a training set so that a victim trained on it misbehaves on demand."""

from typing import TYPE_CHECKING

from rivalry.registry import open_room

if TYPE_CHECKING:  # what editors read
    from rivalry.poisoning.backdoor import backdoor as backdoor

open_room(__name__)
