"""Anybody's own images: a folder or archive laid out as split/class/image."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from rivalry.artifacts import checksum
from rivalry.data._dataset import Dataset, source
from rivalry.data._files import expanded
from rivalry.data._images import by_content, folder_checksum, read_splits
from rivalry.types import Side, UserPath

if TYPE_CHECKING:
    from rivalry.data._fetch import Fetch


@source(source="", description="any PNG or JPEG images laid out as split/class/image, in a folder or archive")
def image_folder(
    fetch: Fetch,
    seed: int,
    *,
    path: UserPath,
    size: Side | None = None,
    channels: Literal[1, 3] | None = None,
) -> Dataset:
    """Your own PNG and JPEG images, `train/<class>/<image>` and `test/<class>/<image>`.

    Classes are numbered in alphabetical order; images are ordered by a hash of their pixels. They are read as a viewer
    shows them: turned as their EXIF data says, transparent pixels over white, palettes by their colours (RGB), 16 bits
    scaled to 8, CMYK as RGB; colour profiles are not applied, and animations are refused. Links are followed; hidden
    files and those of systems (desktop.ini, Thumbs.db, __MACOSX and the like) are skipped.

    Parameters
    ----------
    path
        The folder that contains train/ and test/, or a .zip, .tar, .tar.gz or .tgz archive of it.
    size
        Resize every image to this many pixels square; otherwise all must have one size.
    channels
        Convert every image to gray (1) or RGB (3); otherwise all must be stored as one or the other.
    """
    where = expanded(path)
    splits, classes = read_splits(where, size=size, channels=channels)
    train_images, train_labels = by_content(*splits["train"])
    test_images, test_labels = by_content(*splits["test"])
    digest = folder_checksum(where) if where.is_dir() else checksum(where)
    return Dataset(
        train_images=train_images,
        train_labels=train_labels,
        test_images=test_images,
        test_labels=test_labels,
        class_names=classes,
        provenance={
            "description": "the user's own images",
            "urls": [],
            "files": {where.name: f"sha256:{digest}"},
        },
    )
