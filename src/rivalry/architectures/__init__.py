"""Architectures: functions from an input shape and a number of classes to an untrained network.

Examples
--------
>>> from rivalry.architectures import lenet5
>>> victim = lenet5((1, 28, 28), 10)
"""

from rivalry.registry import open_room

open_room(__name__)
