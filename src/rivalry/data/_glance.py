"""What can be said of a data set before it is read, so that a configuration that asks for what is not there is refused
before anything runs. The reader (`rivalry.data`) has the last word."""

from __future__ import annotations

import io
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO

from rivalry.data._files import MAX_BYTES, expanded
from rivalry.data._roles import held_out
from rivalry.errors import RivalryError
from rivalry.types import height_and_width

HEADER = 1 << 20
"""Bytes of an image that hold its size."""


@dataclass(frozen=True)
class Known:
    """What is known of a data set before it is prepared; None: only its reader will tell.

    Attributes
    ----------
    classes, train_images, test_images : int or None
        How many.
    side : int or None
        The shorter side of its images, in pixels.
    fault : str or None
        Why its reader will refuse it, in one line.
    key : str
        The key of its entry that the fault is about.
    files : dict of Path
        The user's files that it is made of beside those that its entry names, by what it calls them.
    """

    classes: int | None = None
    train_images: int | None = None
    test_images: int | None = None
    side: int | None = None
    fault: str | None = None
    key: str = "path"
    files: dict[str, Path] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for name in ("classes", "train_images", "test_images", "side"):
            value = getattr(self, name)
            if value is not None and (type(value) is not int or value < 0):
                raise ValueError(f"Known: {name} is {value!r}; give a whole number, or None where only reading tells")


def exists(path: str) -> bool:
    """Whether there is such a file or folder; one that no file system could hold is not there."""
    try:
        return expanded(path).exists()
    except (OSError, ValueError, RivalryError):
        return False


def counted(
    images: Mapping[str, int], used: Mapping[str, str], classes: int | None, test_fraction: float | None
) -> Known:
    """What the numbers of images in each split say, once it is known what each is used as (`roles`)."""
    total = {role: sum(n for split, n in images.items() if used[split] == role) for role in ("train", "test")}
    if test_fraction is not None:
        held = held_out(total["train"], classes or 1, test_fraction)
        total = {"train": total["train"] - held, "test": held}
    return Known(classes=classes, train_images=total["train"], test_images=total["test"])


def shorter_side(size: int | list[int] | None, first: Callable[[], IO[bytes]]) -> int | None:
    """The shorter side of a data set's images: of the size that all get, or else of the first one, by its header."""
    if size is not None:
        return min(height_and_width(size))
    from PIL import Image

    with first() as file:
        header = io.BytesIO(file.read(HEADER))
    try:
        with Image.open(header, formats=["PNG", "JPEG"]) as image:
            return min(image.size)
    except Exception:  # a damaged file may raise anything; its reader says so
        return None


def refuse_too_many(path: Path, images: int, size: int | list[int] | None) -> None:
    """Refuse a number of images that would not fit in memory at the size that all get.

    Raises
    ------
    RivalryError
        It names the size.
    """
    if size is not None:
        height, width = height_and_width(size)
        if images * height * width > MAX_BYTES:
            raise RivalryError(
                f"{path}: {images} images of {height}x{width} pixels take over {MAX_BYTES >> 30} GiB; "
                "give a smaller size"
            )
