"""Anybody's own images: a folder or archive of class folders."""

from __future__ import annotations

import io
import zipfile
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import IO, TYPE_CHECKING, Literal

from rivalry.artifacts import checksum
from rivalry.data._dataset import Dataset, source
from rivalry.data._files import LAYOUT, Layout, expanded, joint_checksum, kind, walk, zip_name
from rivalry.data._glance import Known, counted, refuse_too_many, shorter_side
from rivalry.types import ImageSize, OpenFraction, UserPath, height_and_width

if TYPE_CHECKING:
    from rivalry.data._fetch import Fetch

Opened = Callable[[], IO[bytes]]
"""Opens an image."""


@source(
    source="",
    description="any PNG or JPEG images in class folders, or an archive of these",
    glance="look",
    chance=False,
)
def image_folder(
    fetch: Fetch,
    seed: int,
    *,
    path: UserPath,
    size: ImageSize | None = None,
    channels: Literal[1, 3] | None = None,
    test_fraction: OpenFraction | None = None,
) -> Dataset:
    """Your own PNG and JPEG images, `train/<class>/<image>` and `test/<class>/<image>`, or `<class>/<image>` alone.

    Classes are numbered in alphabetical order; images are ordered by a hash of their pixels. Images in val/ join those
    in train/, of which training holds out its own; without a test/, they are the test split. Images are read as a
    viewer shows them: turned as their EXIF data says, transparent pixels over white, palettes by their colours (RGB),
    16 bits scaled to 8, CMYK as RGB; colour profiles are not applied, and animations are refused. Links are followed;
    hidden files and those of systems (desktop.ini, Thumbs.db, __MACOSX and the like) are skipped.

    Parameters
    ----------
    path
        The folder that contains train/ and test/, or the class folders, or a .zip, .tar, .tar.gz or .tgz archive of it.
    size
        Resize every image to this many pixels square, or to [height, width]; otherwise all must have one size.
    channels
        Convert every image to gray (1) or RGB (3); otherwise all must be stored as one or the other.
    test_fraction
        Where there is no test split: the share of each class that becomes it, chosen by the images' pixels, so that
        names and the seed change nothing, and copies of one image stay together.
    """
    from rivalry.data._images import read_pictures
    from rivalry.data._users import dataset

    where = expanded(path)
    layout = Layout(where, test_fraction)
    splits = read_pictures(where, layout, size=size, channels=channels)
    classes, _ = layout.finish()
    return dataset(
        where,
        splits,
        classes=classes,
        test_fraction=test_fraction,
        advice=LAYOUT,
        labels="the folder",
        checksum=joint_checksum(walk(where)) if where.is_dir() else checksum(where),
    )


MOST_UNPACKED = 64 << 20
MOST_MEMBERS = 20_000
"""Bounds on what is read of a tar archive, which has no list of its members, before its reader reads it: a second."""


class _Long(Exception):
    """To know more would take long."""


def look(
    *, path: str, size: int | list[int] | None, channels: int | None = None, test_fraction: float | None = None
) -> Known:
    """Count classes and images by their names, and look at one image's header unless all are resized.

    A large tar archive is left to its reader, as is whatever looks odd.
    """
    where = expanded(path)
    what = kind(where)
    layout = Layout(where, test_fraction)
    try:
        if what == "folder":
            return _known(layout, ((name, _opening(file)) for name, file in walk(where)), size)
        if what == "tar":
            return _known(layout, _tar_members(where), size)
        with zipfile.ZipFile(where) as archive:
            members = {zip_name(where, info): info for info in archive.infolist() if not info.is_dir()}
            return _known(layout, ((name, partial(archive.open, info)) for name, info in members.items()), size)
    except (_Long, OSError, ValueError, RuntimeError, NotImplementedError, zipfile.BadZipFile):
        pass  # its reader says what is wrong, and where
    return Known(side=None if size is None else min(height_and_width(size)))


def _opening(file: Path) -> Opened:
    return lambda: file.open("rb")


def _tar_members(path: Path) -> Iterator[tuple[str, Opened]]:
    """The members of a tar archive, as its reader meets them.

    Raises
    ------
    _Long
        There are many, or large ones.
    RivalryError
        As its reader.
    """
    from rivalry.data._images import iterate_members

    if path.stat().st_size > MOST_UNPACKED:
        raise _Long
    unpacked = 0
    for number, (name, content) in enumerate(iterate_members(path), start=1):
        unpacked += len(content)
        if unpacked > MOST_UNPACKED or number > MOST_MEMBERS:
            raise _Long
        yield name, partial(io.BytesIO, content)


def _known(layout: Layout, members: Iterable[tuple[str, Opened]], size: int | list[int] | None) -> Known:
    images: Counter[str] = Counter()
    side = None
    for name, opened in members:
        place = layout.place(name)
        if place is not None:
            side = side if images else shorter_side(size, opened)
            images[place[0]] += 1
    classes, used = layout.finish()
    refuse_too_many(layout.path, images.total(), size)
    return replace(counted(images, used, len(classes), layout.test_fraction), side=side)
