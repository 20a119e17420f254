"""CIFAR's binary archives: records of a few label bytes and 3x32x32 pixels."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from rivalry.data._images import iterate_members
from rivalry.data._sampling import ArrayPair
from rivalry.errors import RivalryError

SHAPE = (3, 32, 32)
COUNTS = {"train": 50_000, "test": 10_000}
MOST = 512 << 20
"""Bound on the size of an archive."""


def members(path: Path, names: Sequence[str]) -> dict[str, bytes]:
    """The content of these files, in whatever folder of the archive they lie.

    Raises
    ------
    RivalryError
        The archive is broken, or lacks one.
    """
    found = {Path(name).name: content for name, content in iterate_members(path) if Path(name).name in names}
    if missing := [name for name in names if name not in found]:
        raise RivalryError(f"{path}: has no {missing[0]}; get the archive anew")
    return found


def read_records(path: Path, files: Mapping[str, bytes], batches: Sequence[str], labels: int) -> ArrayPair:
    """The records of an archive's files, one file after the other.

    Parameters
    ----------
    labels : int
        How many labels, of one byte each, stand in front of an image's pixels.

    Returns
    -------
    images : ndarray
        uint8 (N,3,32,32).
    labels : ndarray
        int64 (N, labels).
    """
    size = labels + int(np.prod(SHAPE))
    for name in batches:
        if len(files[name]) % size:
            raise RivalryError(f"{path}: {name} does not hold records of {size} bytes; get the archive anew")
    records = np.frombuffer(b"".join(files[name] for name in batches), np.uint8).reshape(-1, size)
    return records[:, labels:].reshape(-1, *SHAPE), records[:, :labels].astype(np.int64)


def check_counts(path: Path, splits: Mapping[str, ArrayPair]) -> None:
    """Make sure that an archive holds as many images of CIFAR's shape as it should.

    Raises
    ------
    RivalryError
        It holds others.
    """
    for split, count in COUNTS.items():
        if splits[split][0].shape != (count, *SHAPE):
            raise RivalryError(f"{path}: {split} has shape {splits[split][0].shape}, expected {(count, *SHAPE)}")
