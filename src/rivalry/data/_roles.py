"""Which images train and which test: what users call their splits, and what is missing or too much.

Checker and reader both ask here, so nothing heavy is imported.
"""

from __future__ import annotations

import math
import unicodedata
from collections.abc import Collection, Iterable, Mapping, Sequence
from pathlib import Path

from rivalry.errors import RivalryError

SPLITS = {
    **dict.fromkeys(("train", "training"), "train"),
    **dict.fromkeys(("test", "testing"), "test"),
    **dict.fromkeys(("val", "valid", "validation", "dev"), "validation"),
}
"""What users call a split, in small letters, and what it is."""
MAX_NAME = 200
"""Letters of a class's name."""
WHOLE = "whole"
"""The split of images that are in none."""


class Unfit(RivalryError):
    """A source's parameter does not fit the data that it finds.

    Attributes
    ----------
    key : str
        The parameter to change.
    """

    def __init__(self, key: str, message: str) -> None:
        self.key = key
        super().__init__(message)


def split_named(word: str) -> str | None:
    """'train', 'test' or 'validation'; None: no split is called so."""
    return SPLITS.get(word.lower())


def roles(where: Path, found: Collection[str], test_fraction: float | None, advice: str) -> dict[str, str]:
    """What each split that was found is used as: 'train' or 'test'; where a fraction divides them, all are 'train'.

    Images for validation join the training images, of which a victim's training holds out its own; where there is no
    test split, they are the test split.

    Parameters
    ----------
    where : Path
        The data set.
    found : collection of str
        'train', 'test', 'validation', WHOLE.
    test_fraction : float or None
        The share of the images that is to become the test split.
    advice : str
        How a data set of this form says which images are test images.

    Raises
    ------
    Unfit
        There is no training or no test split, or a test split beside `test_fraction`.
    """
    splits = {split for split in found if split != WHOLE}
    if not found:
        raise Unfit("path", f"{where}: has no images")
    if splits and WHOLE in found:
        raise Unfit("path", f"{where}: has images in {min(splits)} and others in no split; {advice}")
    if splits and "train" not in splits:
        raise Unfit("path", f"{where}: has {min(splits)} but no train split; {advice}")
    tests = splits & {"test", "validation"}
    if test_fraction is not None:
        if tests:
            raise Unfit("test_fraction", f"{where} has a test split ({max(tests)}); leave test_fraction out")
        return dict.fromkeys(found, "train")
    if not tests:
        raise Unfit("path", f"{where}: has no test split; {advice}, or give test_fraction, such as 0.2")
    return {split: "test" if split == min(tests) else "train" for split in splits}


def held_out(images: int, classes: int, test_fraction: float) -> int:
    """How many of a number of images a fraction makes test images.

    Raises
    ------
    Unfit
        A split would be too small to hold an image of each class.
    """
    count = math.ceil(images * test_fraction)
    if not classes <= count <= images - classes:
        advice = f"give {classes / images:.4f} to {1 - classes / images:.4f}" if images >= 2 * classes else "add images"
        raise Unfit(
            "test_fraction",
            f"{test_fraction:g} makes {count} of {images} images test images; each split needs at least one of each of "
            f"the {classes} classes, so {advice}",
        )
    return count


def same_classes(where: Path, classes: Mapping[str, Collection[str]]) -> None:
    """Refuse a class that one of the splits, 'train' and 'test', lacks.

    Raises
    ------
    Unfit
        The line names the class.
    """
    for split, other in (("train", "test"), ("test", "train")):
        if only := sorted(set(classes.get(split, ())) - set(classes.get(other, ()))):
            raise Unfit("path", f"{where}: class '{only[0]}' has images in {split} but none in {other}")


def is_text(name: str) -> bool:
    """Whether a name is UTF-8, on one line and without control characters.

    Spaces that do not break, joiners of letters and emoji and the like are text, though Python calls them unprintable;
    macOS writes one into the name of every screenshot.
    """
    return name.isprintable() or all(unicodedata.category(letter) not in ("Cc", "Cs", "Zl", "Zp") for letter in name)


def in_order(labels: Iterable[str]) -> list[str]:
    """Names of classes as they are numbered: whole numbers by their value, others by their letters."""
    names = set(labels)
    if all(name.isascii() and name.removeprefix("-").isdecimal() and len(name) < 20 for name in names):
        return sorted(names, key=lambda name: (int(name), name))
    return sorted(names)


def check_classes(
    where: Path,
    found: Mapping[str, Collection[str]],
    used: Mapping[str, str],
    test_fraction: float | None,
    *,
    labels: str,
    names: Sequence[str] | None = None,
) -> list[str]:
    """The classes in the order of their numbers.

    Parameters
    ----------
    where : Path
        The data set.
    found : mapping
        The class of each image, by split.
    used : mapping
        What each split is used as; see `roles`.
    test_fraction : float or None
        Whether one divides the images.
    labels : str
        What holds the labels, for messages: a column, an array.
    names : sequence of str, optional
        The classes, where more is known of them than the labels: whose order is told.

    Raises
    ------
    Unfit
        A class has no name that can be printed, or no image for each split.
    """
    images = sum(map(len, found.values()))
    classes = in_order(label for some in found.values() for label in some) if names is None else list(names)
    for name in classes:
        if not name.strip() or not is_text(name) or len(name) > MAX_NAME:
            raise Unfit("path", f"{where}: {labels} calls a class {name[:60]!r}; give it a name of plain text")
    if images < 2 * len(classes):
        raise Unfit(
            "path",
            f"{where}: {labels} has {len(classes)} different values for {images} images; each class needs an image in "
            "both splits: are these the labels?",
        )
    if test_fraction is None:
        merged: dict[str, set[str]] = {"train": set(), "test": set()}
        for split, some in found.items():
            merged[used[split]] |= set(some)
        same_classes(where, merged)
    return classes
