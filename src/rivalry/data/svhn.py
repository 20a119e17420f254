"""SVHN: house numbers in street views, the official cropped digits."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from rivalry.data._dataset import Dataset, source
from rivalry.data._fetch import Remote
from rivalry.errors import RivalryError

if TYPE_CHECKING:
    from rivalry.data._fetch import Fetch
    from rivalry.data._sampling import ArrayPair

ADDRESS = "http://ufldl.stanford.edu/housenumbers/"
CHECKSUMS = {
    "train_32x32.mat": "md5:e26dedcc434d2e4c54c9b2d4a06d8373",
    "test_32x32.mat": "md5:eb5a983be6a315427106f1b164d9cef3",
}
COUNTS = {"train_32x32.mat": 73_257, "test_32x32.mat": 26_032}
MOST = 256 << 20
"""Bound on the size of a file."""


@source(
    source="netzer2011",
    description="99,289 digits of house numbers, 3x32x32",
    classes=10,
    train_images=73_257,
    test_images=26_032,
    side=32,
    files=("svhn/train_32x32.mat", "svhn/test_32x32.mat"),
    chance=False,
)
def svhn(fetch: Fetch, seed: int) -> Dataset:
    """The 73,257 training and 26,032 test digits of SVHN (3x32x32), in the official order."""
    splits = [
        _read(fetch(Remote(f"svhn/{name}", checksum, (ADDRESS + name,), most=MOST)), COUNTS[name])
        for name, checksum in CHECKSUMS.items()
    ]
    (train_images, train_labels), (test_images, test_labels) = splits
    return Dataset(
        train_images=train_images,
        train_labels=train_labels,
        test_images=test_images,
        test_labels=test_labels,
        class_names=[str(digit) for digit in range(10)],
        provenance={
            "description": "Y. Netzer and others: Street View House Numbers, cropped digits",
            "urls": [ADDRESS],
            "files": CHECKSUMS,
        },
    )


def _read(path: Path, count: int) -> ArrayPair:
    """The images `X` (32,32,3,N) and labels `y` (N,1) of a MATLAB file."""
    from scipy.io import loadmat

    try:
        found = loadmat(path, variable_names=("X", "y"))
        images, labels = found["X"], found["y"]
    except KeyError as error:
        raise RivalryError(f"{path}: has no variable {error}; get the file anew") from error
    except Exception as error:  # a damaged file may raise anything
        raise RivalryError(f"{path}: is not a whole MATLAB file; get it anew") from error
    if images.dtype != np.uint8 or images.shape != (32, 32, 3, count):
        raise RivalryError(f"{path}: X is {images.dtype} of {images.shape}, expected uint8 of {(32, 32, 3, count)}")
    if labels.dtype != np.uint8 or labels.shape != (count, 1):
        raise RivalryError(f"{path}: y is {labels.dtype} of {labels.shape}, expected uint8 of {(count, 1)}")
    digits = np.where(labels[:, 0] == 10, 0, labels[:, 0])  # the digit 0 is labelled 10, since MATLAB counts from 1
    return np.ascontiguousarray(images.transpose(3, 2, 0, 1)), digits.astype(np.int64)
