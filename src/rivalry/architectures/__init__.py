"""Architectures: functions from an input shape and a number of classes to an untrained network."""

from rivalry.registry import open_room

open_room(__name__)
