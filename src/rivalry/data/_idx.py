"""MNIST and its relatives: four IDX files of gray 28x28 images, as torchvision reads them, looked at first."""

from __future__ import annotations

import gzip
import math
import tempfile
import zlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from rivalry import _torchvision
from rivalry.data._dataset import Dataset
from rivalry.data._fetch import Remote
from rivalry.errors import RivalryError

if TYPE_CHECKING:
    from rivalry.data._fetch import Fetch

SIDE = 28
COUNTS = {"train": 60_000, "t10k": 10_000}
MOST = 64 << 20
"""Bound on the size of a file."""


def read_family(
    fetch: Fetch,
    folder: str,
    addresses: Sequence[str],
    checksums: Mapping[str, str],
    class_names: Sequence[str],
    provenance: Mapping[str, str],
) -> Dataset:
    """A data set in the four files of MNIST, in the official order.

    Parameters
    ----------
    folder : str
        Where the files lie in a mirror.
    addresses : sequence of str
        Where they can be downloaded; a file's address begins with one of these.
    checksums : mapping
        Name of a file -> 'algorithm:checksum': images and labels of `train`, then of `t10k`.
    provenance : mapping
        What `Dataset.provenance` holds besides addresses and files.
    """
    arrays = []
    for name, checksum in checksums.items():
        remote = Remote(f"{folder}/{name}", checksum, tuple(address + name for address in addresses), most=MOST)
        count = COUNTS[name.split("-")[0]]
        arrays.append(read_idx(fetch(remote), (count, SIDE, SIDE) if "images" in name else (count,)))
    train_images, train_labels, test_images, test_labels = arrays
    return Dataset(
        train_images=train_images[:, None],
        train_labels=train_labels.astype(np.int64),
        test_images=test_images[:, None],
        test_labels=test_labels.astype(np.int64),
        class_names=list(class_names),
        provenance={**provenance, "urls": list(addresses), "files": dict(checksums)},
    )


def read_idx(path: str | Path, shape: tuple[int, ...]) -> np.ndarray:
    """Read a gzip-compressed IDX file of unsigned bytes that must hold an array of this shape.

    Raises
    ------
    RivalryError
        Not gzip, another type or shape, too few bytes or too many.
    """
    _torchvision.ensure()
    from torchvision.datasets.mnist import read_sn3_pascalvincent_tensor

    size = 4 + 4 * len(shape) + math.prod(shape)
    try:
        with gzip.open(path) as file:
            content = file.read(size + 1)  # a few bytes of gzip can stand for billions
    except (OSError, EOFError, zlib.error) as error:
        raise RivalryError(f"{path}: is not a whole gzip file ({error})") from error
    if len(content) != size:
        raise RivalryError(f"{path}: has {'fewer' if len(content) < size else 'more'} bytes than IDX of {shape} needs")
    try:
        with tempfile.TemporaryDirectory() as folder:
            plain = Path(folder) / "idx"
            plain.write_bytes(content)
            array: np.ndarray = read_sn3_pascalvincent_tensor(str(plain)).numpy()
    except (AssertionError, KeyError, ValueError, RuntimeError) as error:
        raise RivalryError(f"{path}: is no IDX file of {shape} unsigned bytes") from error
    if array.dtype != np.uint8 or array.shape != shape:
        raise RivalryError(f"{path}: holds {array.dtype} of {array.shape}, expected uint8 of {shape}")
    return array
