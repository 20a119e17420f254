"""The IDX format of MNIST and its relatives: a magic number, big-endian sizes, then unsigned bytes."""

from __future__ import annotations

import gzip
import math
import struct
import zlib
from pathlib import Path

import numpy as np

from rivalry.errors import RivalryError

UNSIGNED_BYTE = 8


def read_idx(path: str | Path, shape: tuple[int, ...]) -> np.ndarray:
    """Read a gzip-compressed IDX file of unsigned bytes that must hold an array of this shape.

    Raises
    ------
    RivalryError
        Not gzip, another type or shape, too few bytes or too many.
    """
    header_size, size = 4 + 4 * len(shape), math.prod(shape)
    try:
        with gzip.open(path) as file:
            content = file.read(header_size + size + 1)
    except (OSError, EOFError, zlib.error) as error:
        raise RivalryError(f"{path}: is not a whole gzip file ({error})") from error
    expected = struct.pack(f">HBB{len(shape)}I", 0, UNSIGNED_BYTE, len(shape), *shape)
    if content[:4] != expected[:4]:
        raise RivalryError(f"{path}: IDX magic number is 0x{content[:4].hex()}, expected 0x{expected[:4].hex()}")
    if content[:header_size] != expected:
        count = len(content[4:header_size]) // 4
        found = struct.unpack(f">{count}I", content[4 : 4 + 4 * count])
        raise RivalryError(f"{path}: IDX sizes are {found}, expected {shape}")
    if len(content) != header_size + size:
        less = "fewer" if len(content) < header_size + size else "more"
        raise RivalryError(f"{path}: has {less} bytes than the {size} that its IDX header announces")
    return np.frombuffer(content, np.uint8, offset=header_size).reshape(shape)
