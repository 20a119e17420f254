"""Training methods: each says what a victim learns from, and by which loss."""

from rivalry.registry import open_room

open_room(__name__)
