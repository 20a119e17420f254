"""CIFAR-10, from the official binary archive or an archive of lossless PNGs; never from the pickled one."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from rivalry.data._cifar import MOST, check_counts, members, read_records
from rivalry.data._dataset import Dataset, source
from rivalry.data._fetch import Remote
from rivalry.data._files import Layout
from rivalry.data._images import read_pictures
from rivalry.data._sampling import ArrayPair, by_content
from rivalry.errors import RivalryError

if TYPE_CHECKING:
    from rivalry.data._fetch import Fetch

PNG_ARCHIVE = Remote(
    "cifar10/cifar10-png.zip", "sha256:439273f8a2c2f90fbfb1e8356e7a74f9d6fd80fef4e6a1f712ef999730034844", most=MOST
)
BINARY_ARCHIVE = Remote(
    "cifar10/cifar-10-binary.tar.gz",
    "md5:c32a1d4ab5d03f1284b67883e8d87530",
    ("https://www.cs.toronto.edu/~kriz/cifar-10-binary.tar.gz",),
    most=MOST,
)
CLASSES = ["airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck"]
BATCHES = {"train": [f"data_batch_{i}.bin" for i in range(1, 6)], "test": ["test_batch.bin"]}


@source(
    source="krizhevsky2009",
    description="60,000 small colour photographs of ten classes, 3x32x32",
    classes=10,
    train_images=50_000,
    test_images=10_000,
    side=32,
    files=(("cifar10/cifar10-png.zip", "cifar10/cifar-10-binary.tar.gz"),),
    chance=False,
)
def cifar10(fetch: Fetch, seed: int) -> Dataset:
    """The 50,000 training and 10,000 test images of CIFAR-10 (3x32x32).

    Images are ordered by a hash of their pixels: classes are mixed, and both archives give the same data set.
    """
    path = fetch(PNG_ARCHIVE, BINARY_ARCHIVE)
    archive = PNG_ARCHIVE if path.name == Path(PNG_ARCHIVE.name).name else BINARY_ARCHIVE
    splits = _read_pngs(path) if archive is PNG_ARCHIVE else _read_binary(path)
    check_counts(path, splits)
    train_images, train_labels = by_content(*splits["train"])
    test_images, test_labels = by_content(*splits["test"])
    return Dataset(
        train_images=train_images,
        train_labels=train_labels,
        test_images=test_images,
        test_labels=test_labels,
        class_names=CLASSES,
        provenance={
            "description": "A. Krizhevsky: Learning Multiple Layers of Features from Tiny Images, 2009",
            "urls": ["https://www.cs.toronto.edu/~kriz/cifar.html"],
            "files": {archive.name: archive.hash},
        },
    )


def _read_pngs(path: Path) -> dict[str, ArrayPair]:
    layout = Layout(path)
    pictures = read_pictures(path, layout)
    classes, _ = layout.finish()
    if classes != CLASSES:
        raise RivalryError(f"{path}: classes are {', '.join(classes)}, expected {', '.join(CLASSES)}")
    return {
        split: (images, np.array([CLASSES.index(name) for name in names]))
        for split, (images, names) in pictures.items()
    }


def _read_binary(path: Path) -> dict[str, ArrayPair]:
    files = members(path, [name for names in BATCHES.values() for name in names])
    records = {split: read_records(path, files, names, labels=1) for split, names in BATCHES.items()}
    return {split: (images, labels[:, 0]) for split, (images, labels) in records.items()}
