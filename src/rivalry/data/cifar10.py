"""CIFAR-10, from the official binary archive or an archive of lossless PNGs; never from the pickled one."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from rivalry.data._dataset import Dataset, source
from rivalry.data._fetch import Remote
from rivalry.data._images import ArrayPair, by_content, iterate_members, read_splits
from rivalry.errors import RivalryError

if TYPE_CHECKING:
    from rivalry.data._fetch import Fetch

PNG_ARCHIVE = Remote(
    "cifar10/cifar10-png.zip", "sha256:439273f8a2c2f90fbfb1e8356e7a74f9d6fd80fef4e6a1f712ef999730034844", most=512 << 20
)
BINARY_ARCHIVE = Remote(
    "cifar10/cifar-10-binary.tar.gz",
    "md5:c32a1d4ab5d03f1284b67883e8d87530",
    ("https://www.cs.toronto.edu/~kriz/cifar-10-binary.tar.gz",),
    most=512 << 20,
)
CLASSES = ["airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck"]
SHAPE = (3, 32, 32)


@source(
    source="krizhevsky2009",
    description="60,000 small colour photographs of ten classes, 3x32x32",
    classes=10,
    test_images=10_000,
    side=32,
)
def cifar10(fetch: Fetch, seed: int) -> Dataset:
    """The 50,000 training and 10,000 test images of CIFAR-10 (3x32x32).

    Images are ordered by a hash of their pixels: classes are mixed, and both archives give the same data set.
    """
    path = fetch(PNG_ARCHIVE, BINARY_ARCHIVE)
    archive = PNG_ARCHIVE if path.name == Path(PNG_ARCHIVE.name).name else BINARY_ARCHIVE
    splits = _read_pngs(path) if archive is PNG_ARCHIVE else _read_binary(path)
    for split, count in ("train", 50_000), ("test", 10_000):
        if splits[split][0].shape != (count, *SHAPE):
            raise RivalryError(f"{path}: {split} has shape {splits[split][0].shape}, expected {(count, *SHAPE)}")
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
    splits, classes = read_splits(path)
    if classes != CLASSES:
        raise RivalryError(f"{path}: classes are {', '.join(classes)}, expected {', '.join(CLASSES)}")
    return splits


def _read_binary(path: Path) -> dict[str, ArrayPair]:
    """Records of one label and 3x32x32 pixels, in five training files and a test file."""
    files = {Path(name).name: content for name, content in iterate_members(path) if name.endswith(".bin")}
    batches = {"train": [f"data_batch_{i}.bin" for i in range(1, 6)], "test": ["test_batch.bin"]}
    splits = {}
    for split, names in batches.items():
        if missing := [name for name in names if name not in files]:
            raise RivalryError(f"{path}: has no {missing[0]}")
        records = np.frombuffer(b"".join(files[name] for name in names), np.uint8)
        if len(records) % (1 + np.prod(SHAPE)):
            raise RivalryError(f"{path}: {split} records are not of {1 + np.prod(SHAPE)} bytes each")
        records = records.reshape(-1, 1 + np.prod(SHAPE))
        splits[split] = records[:, 1:].reshape(-1, *SHAPE), records[:, 0].astype(np.int64)
    return splits
