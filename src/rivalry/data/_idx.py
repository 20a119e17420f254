"""The IDX format of MNIST and its relatives, as torchvision reads it, from files that are looked at first."""

from __future__ import annotations

import gzip
import math
import tempfile
import zlib
from pathlib import Path

import numpy as np

from rivalry import _torchvision
from rivalry.errors import RivalryError


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
