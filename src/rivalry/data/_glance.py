"""What can be said of a user's images before they are read: names and one image's header, so that a configuration
that asks for what is not there is refused before anything runs. The reader (`rivalry.data`) has the last word."""

from __future__ import annotations

import io
import os
import zipfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import IO

HEADER = 1 << 20
"""Bytes of an image that hold its size."""


@dataclass(frozen=True)
class Known:
    """What is known of a data set before it is prepared; None: only its reader will tell.

    Attributes
    ----------
    classes, test_images : int or None
        How many.
    side : int or None
        The shorter side of its images, in pixels.
    """

    classes: int | None = None
    test_images: int | None = None
    side: int | None = None


def exists(path: str) -> bool:
    """Whether there is such a file or folder; one that no file system could hold is not there."""
    try:
        return Path(path).expanduser().exists()
    except (OSError, ValueError, RuntimeError):
        return False


def glance(path: str, size: int | None) -> Known:
    """Count classes and test images by their names, and look at one image's header unless all are resized to `size`.

    A tar archive would have to be unpacked for this; it is left to its reader, as is whatever looks odd.
    """
    where = Path(path).expanduser()
    try:
        if where.is_dir():
            names = [
                (Path(folder) / file).relative_to(where)
                for folder, _, files in os.walk(where, followlinks=True)
                for file in files
            ]
            return _known([name.as_posix() for name in names], size, lambda name: (where / name).open("rb"))
        if where.suffix.lower() == ".zip":
            with zipfile.ZipFile(where) as archive:
                return _known(archive.namelist(), size, archive.open)
    except (OSError, ValueError, RuntimeError, NotImplementedError, zipfile.BadZipFile):
        pass  # its reader says what is wrong, and where
    return Known(side=size)


def _known(names: list[str], size: int | None, opened: Callable[[str], IO[bytes]]) -> Known:
    classes: dict[str, set[str]] = {"train": set(), "test": set()}
    test_images, first = 0, ""
    for name in names:
        parts = PurePosixPath(name).parts
        plain = len(parts) >= 3 and not any(part.startswith((".", "__")) for part in parts)
        if plain and parts[-3] in classes and name.lower().endswith((".png", ".jpg", ".jpeg")):
            classes[parts[-3]].add(parts[-2])
            test_images += parts[-3] == "test"
            first = first or name
    if not classes["train"] or classes["train"] != classes["test"]:
        return Known(side=size)
    side = size
    if side is None:
        from PIL import Image

        with opened(first) as file, Image.open(io.BytesIO(file.read(HEADER))) as image:
            side = min(image.size)
    return Known(classes=len(classes["train"]), test_images=test_images, side=side)
