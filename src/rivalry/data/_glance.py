"""What can be said of a user's images before they are read: names and one image's header, so that a configuration
that asks for what is not there is refused before anything runs. The reader (`rivalry.data`) has the last word."""

from __future__ import annotations

import io
import zipfile
from collections.abc import Callable
from dataclasses import dataclass
from typing import IO

from rivalry.data._files import MAX_BYTES, Layout, expanded, kind, walk, zip_name
from rivalry.errors import RivalryError

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
    fault : str or None
        Why its reader will refuse it, in one line.
    """

    classes: int | None = None
    test_images: int | None = None
    side: int | None = None
    fault: str | None = None


def exists(path: str) -> bool:
    """Whether there is such a file or folder; one that no file system could hold is not there."""
    try:
        return expanded(path).exists()
    except (OSError, ValueError, RivalryError):
        return False


def glance(path: str, size: int | None) -> Known:
    """Count classes and test images by their names, and look at one image's header unless all are resized to `size`.

    A tar archive would have to be unpacked for this; it is left to its reader, as is whatever looks odd.
    """
    try:
        where = expanded(path)
        what = kind(where)
        if what == "folder":
            files = dict(walk(where))
            return _known(Layout(where), list(files), size, lambda name: files[name].open("rb"))
        if what == "zip":
            with zipfile.ZipFile(where) as archive:
                names = {zip_name(where, info): info for info in archive.infolist() if not info.is_dir()}
                return _known(Layout(where), list(names), size, lambda name: archive.open(names[name]))
    except RivalryError as error:
        return Known(side=size, fault=str(error))
    except (OSError, ValueError, RuntimeError, NotImplementedError, zipfile.BadZipFile):
        pass  # its reader says what is wrong, and where
    return Known(side=size)


def _known(layout: Layout, names: list[str], size: int | None, opened: Callable[[str], IO[bytes]]) -> Known:
    placed = {name: place for name in names if (place := layout.place(name)) is not None}
    classes = layout.finish()
    if size is not None and len(placed) * size * size > MAX_BYTES:
        raise RivalryError(
            f"{layout.path}: {len(placed)} images of {size}x{size} pixels take over {MAX_BYTES >> 30} GiB; "
            "give a smaller size"
        )
    side = size
    if side is None:
        from PIL import Image

        with opened(next(iter(placed))) as file:
            header = io.BytesIO(file.read(HEADER))
        try:
            with Image.open(header, formats=["PNG", "JPEG"]) as image:
                side = min(image.size)
        except Exception:  # a damaged file may raise anything; its reader says so
            side = None
    test_images = sum(split == "test" for split, _ in placed.values())
    return Known(classes=len(classes), test_images=test_images, side=side)
