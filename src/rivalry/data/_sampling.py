"""Orders and shares of images that depend on their pixels alone: not on names, files, or the seed."""

from __future__ import annotations

import hashlib
from collections import Counter

import numpy as np

from rivalry.data._roles import held_out

ArrayPair = tuple[np.ndarray, np.ndarray]
"""Images (N,C,H,W) and labels (N,)."""


def digests(images: np.ndarray) -> list[bytes]:
    """The SHA-256 of each image's pixels."""
    return [hashlib.sha256(image.tobytes()).digest() for image in images]


def by_content(images: np.ndarray, labels: np.ndarray) -> ArrayPair:
    """Order images by their pixels' SHA-256: classes mixed, whatever the files' names and order."""
    order = _by_digest(digests(images), labels)
    return images[order], labels[order]


def divided(images: np.ndarray, labels: np.ndarray, classes: int, test_fraction: float) -> np.ndarray:
    """Which images become the test split: bool (N,).

    The share holds within each class. Copies of one image, under whatever label, are all on the same side, so there may
    be a few more test images than the fraction says.

    Raises
    ------
    Unfit
        The fraction leaves a split without an image of each class.
    """
    wanted = held_out(len(labels), classes, test_fraction)
    contents = digests(images)
    copies, taken, count = Counter(contents), set(), 0
    for row, pace in _evenly(contents, labels):
        if count >= wanted and pace > 0:
            break
        if contents[row] not in taken:
            taken.add(contents[row])
            count += copies[contents[row]]
    return np.array([content in taken for content in contents])


def sample(images: np.ndarray, labels: np.ndarray, count: int) -> np.ndarray:
    """Rows of `count` images, ascending, int64: of each class its share, and at least one where `count` allows it.

    A smaller sample is part of a larger one.
    """
    rows = [row for row, _ in _evenly(digests(images), labels)]
    return np.sort(np.array(rows[:count], dtype=np.int64))


def _by_digest(contents: list[bytes], labels: np.ndarray) -> list[int]:
    return sorted(range(len(contents)), key=lambda row: (contents[row], labels[row]))


def _evenly(contents: list[bytes], labels: np.ndarray) -> list[tuple[int, float]]:
    """All rows, so that any number of the first ones has of each class its share, and which share that is: an image of
    each class at 0, then each class at its own even pace."""
    counts, seen, paced = Counter(labels.tolist()), Counter[int](), []
    for row in _by_digest(contents, labels):
        label = int(labels[row])
        paced.append((row, seen[label] / counts[label]))
        seen[label] += 1
    return sorted(paced, key=lambda item: item[1])
