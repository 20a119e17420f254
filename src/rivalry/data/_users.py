"""What every form of a user's own data becomes: pictures of one shape, numbered classes, two splits."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from rivalry.data._dataset import Dataset
from rivalry.data._files import MAX_BYTES
from rivalry.data._pixels import decode, refuse_bombs
from rivalry.data._roles import Unfit, check_classes, roles
from rivalry.data._sampling import ArrayPair, by_content, digests, divided
from rivalry.errors import RivalryError
from rivalry.types import height_and_width

Split = tuple[np.ndarray, Sequence[str]]
"""Images uint8 (N,C,H,W) and the name of each one's class."""


class Pictures:
    """Encoded pictures of one data set, decoded as they are met.

    Parameters
    ----------
    path : Path
        The data set, for messages.
    size : int, list of int or None
        Resize to these pixels; otherwise all must have one size.
    channels : int or None
        1: gray, 3: RGB; otherwise all must be stored as one or the other.
    """

    def __init__(self, path: Path, size: int | list[int] | None, channels: int | None) -> None:
        if size is not None:
            height, width = height_and_width(size)
            refuse_bombs(f"{path}: with size {size}, each image", width, height)
        self.path, self.size, self.channels = path, size, channels
        self._images: dict[str, list[np.ndarray]] = {}
        self._labels: dict[str, list[str]] = {}
        self._first: tuple[str, tuple[int, ...]] | None = None
        self._bytes = 0

    def add(self, split: str, label: str, where: str, content: bytes) -> None:
        """Decode one picture; a message begins with `where`.

        Raises
        ------
        RivalryError
            It is broken, or of another shape than the first one, or all together are too much.
        """
        image = decode(where, content, self.size, self.channels)
        if self._first is None:
            self._first = where, image.shape
        elif image.shape != self._first[1]:
            first, shape = self._first
            raise RivalryError(
                f"{where} is {_words(image.shape)} but {first.removeprefix(f'{self.path}: ')} is {_words(shape)}; "
                f"give {'channels' if image.shape[1:] == shape[1:] else 'size'} to make them equal"
            )
        self._bytes += image.nbytes
        if self._bytes > MAX_BYTES:
            raise RivalryError(
                f"{self.path}: images take over {MAX_BYTES >> 30} GiB as {_words(image.shape)}; give a size"
            )
        self._images.setdefault(split, []).append(image)
        self._labels.setdefault(split, []).append(label)

    def splits(self) -> dict[str, Split]:
        """All of them, by split; the pictures are given away."""
        return {split: (np.stack(self._images.pop(split)), labels) for split, labels in self._labels.items()}


def dataset(
    path: Path,
    splits: Mapping[str, Split],
    *,
    classes: Sequence[str] | None,
    test_fraction: float | None,
    advice: str,
    labels: str,
    checksum: str,
) -> Dataset:
    """Two splits of a user's own images, each ordered by a hash of the pixels.

    Parameters
    ----------
    path : Path
        The data set.
    splits : mapping
        What was found, by 'train', 'test', 'validation' or WHOLE.
    classes : sequence of str or None
        Their names, in the order of their numbers; None: those of the labels, whole numbers by their value and others
        by their letters.
    test_fraction, advice
        See `roles`.
    labels : str
        What holds the labels, for messages.
    checksum : str
        SHA-256 of the user's files.

    Raises
    ------
    RivalryError
        The images are no data set that a classifier can be trained and tested on.
    """
    used = roles(path, splits, test_fraction, advice)
    found = {split: some for split, (_, some) in splits.items()}
    names = check_classes(path, found, used, test_fraction, labels=labels, names=classes)
    parts = {role: [splits[split] for split in splits if used[split] == role] for role in ("train", "test")}
    train = _joined(parts["train"], names)
    if test_fraction is None:
        test = _joined(parts["test"], names)
    else:
        images, numbers = train
        chosen = divided(images, numbers, len(names), test_fraction)
        train, test = (images[~chosen], numbers[~chosen]), (images[chosen], numbers[chosen])
        if absent := sorted({*test[1].tolist()} - {*train[1].tolist()}):
            few = (test[1] == absent[0]).sum() == 1
            what = (
                f"class '{names[absent[0]]}' has one image"
                if few
                else (f"all images of class '{names[absent[0]]}' are copies of one")
            )
            raise Unfit("test_fraction", f"{path}: {what}; each split needs one of its own")
    train, test = by_content(*train), by_content(*test)
    provenance = {
        "description": _description(used, test_fraction),
        "urls": [],
        "files": {path.resolve().name: f"sha256:{checksum}"},
    }
    known = set(digests(train[0]))
    if shared := sum(content in known for content in digests(test[0])):
        provenance["limit"] = f"{shared:,} of {len(test[1]):,} test images are also training images, pixel by pixel"
    return Dataset(*train, *test, class_names=names, provenance=provenance)


def _joined(parts: Sequence[Split], names: Sequence[str]) -> ArrayPair:
    """Splits as one, its labels as numbers."""
    number = {name: number for number, name in enumerate(names)}
    images = parts[0][0] if len(parts) == 1 else np.concatenate([images for images, _ in parts])
    return images, np.array([number[label] for _, labels in parts for label in labels], dtype=np.int64)


def _description(used: Mapping[str, str], test_fraction: float | None) -> str:
    """Where the images are from, and what was decided about them that the user did not say."""
    if test_fraction is not None:
        return f"the user's own images; the test split is {100 * test_fraction:g} % of each class, chosen by pixels"
    if used.get("validation") == "train":
        return "the user's own images; those for validation are among the training images"
    if used.get("validation") == "test":
        return "the user's own images; those for validation are the test split, since there is no other"
    return "the user's own images"


def _words(shape: tuple[int, ...]) -> str:
    return "x".join(map(str, shape))
