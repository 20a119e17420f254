"""Anybody's own images as NumPy arrays in one .npz file."""

from __future__ import annotations

import math
import zipfile
import zlib
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rivalry.artifacts import checksum
from rivalry.data._dataset import Dataset, source
from rivalry.data._files import MAX_BYTES, MAX_FILES, expanded, readable_file
from rivalry.data._glance import Known, counted
from rivalry.data._roles import WHOLE, check_classes, roles
from rivalry.errors import RivalryError, one_line
from rivalry.types import OpenFraction, UserPath

if TYPE_CHECKING:
    import numpy as np

    from rivalry.data._fetch import Fetch

NAMES = {
    "train": (("x_train", "y_train"), ("train_images", "train_labels")),
    "test": (("x_test", "y_test"), ("test_images", "test_labels")),
    "validation": (("x_val", "y_val"), ("val_images", "val_labels")),
    WHOLE: (("x", "y"), ("images", "labels")),
}
"""How the arrays of a split are called, images and labels; in small or capital letters."""

ADVICE = "add x_test and y_test"
AT_ONCE = 1000
"""Images converted at a time: floats take up to eight times the memory of what becomes of them."""
MAX_EXACT = 2.0**53
"""Floats below this tell all whole numbers apart."""
DARKEST_WHITE = 2.0
"""Floats that lie in [0,255] reach further than this; up to here they are meant to lie in [0,1], and some do not."""


@source(source="", description="arrays x_train, y_train, x_test and y_test in a .npz file", glance="look", chance=False)
def npz(fetch: Fetch, seed: int, *, path: UserPath, test_fraction: OpenFraction | None = None) -> Dataset:
    """Your own images as arrays in a .npz file: `x_train`, `y_train`, `x_test`, `y_test`.

    Images are (N,H,W), (N,H,W,C) or (N,C,H,W) with one channel or three: whole numbers from 0 to 255; or floats, all of
    which lie in [0,1], or all in [0,255], and are rounded to whole numbers. Labels are whole numbers, which number the
    classes by their value, or text, which numbers them by its letters, (N,) or (N,1), or one-hot rows (N,K). The arrays
    may also be called `train_images`, `train_labels` and so on. `x_val` and `y_val` join the training images; without
    test images, they are the test split. Nothing in the file is run: it is read without pickle.

    Parameters
    ----------
    path
        The .npz file.
    test_fraction
        Where there is no test split, but only `x` and `y`, or `x_train` and `y_train`: the share of each class that
        becomes it, chosen by the images' pixels, so that order and the seed change nothing.
    """
    from rivalry.data._users import dataset

    where = expanded(path)
    names = _names(where, _headers(where))
    roles(where, names, test_fraction, ADVICE)
    arrays = _read(where, [name for pair in names.values() for name in pair])
    scale = _scale(where, {name: arrays[name] for name, _ in names.values()})
    return dataset(
        where,
        {
            split: (_pixels(where, images, arrays.pop(images), scale), _classes(where, labels, arrays.pop(labels)))
            for split, (images, labels) in names.items()
        },
        classes=None,
        test_fraction=test_fraction,
        advice=ADVICE,
        labels=next(labels for _, labels in names.values()),
        checksum=checksum(where),
    )


def look(*, path: str, test_fraction: float | None) -> Known:
    """Count images by the arrays' headers, and classes by the labels; pixels are left to the reader."""
    where = expanded(path)
    headers = _headers(where)
    names = _names(where, headers)
    used = roles(where, names, test_fraction, ADVICE)
    labels = _read(where, [name for _, name in names.values()])
    classes = {split: _classes(where, name, labels[name]) for split, (_, name) in names.items()}
    found = check_classes(where, classes, used, test_fraction, labels=names[next(iter(names))][1])
    known = counted({split: len(some) for split, some in classes.items()}, used, len(found), test_fraction)
    first, _ = names[next(iter(names))]
    return replace(known, side=min(_as_nchw(where, first, headers[first][0])[1][2:]))


Header = tuple[tuple[int, ...], "np.dtype[Any]"]


def _headers(path: Path) -> dict[str, Header]:
    """Shape and type of each array in the file, which is none of those that are refused.

    Raises
    ------
    RivalryError
        It is no .npz file, is broken, holds Python objects, or what would not fit in memory.
    """
    import numpy as np

    if path.name.lower().endswith(".npy") and path.is_file():
        raise RivalryError(
            f"{path}: holds one array; save all in one file: numpy.savez('data.npz', x_train=..., y_train=..., "
            "x_test=..., y_test=...)"
        )
    readable_file(path, (".npz",))
    headers: dict[str, Header] = {}
    total = 0
    with _opened(path) as archive:
        members = archive.infolist()
        if len(members) > MAX_FILES:
            raise RivalryError(f"{path}: holds over {MAX_FILES:,} arrays")
        for info in members:
            if not info.filename.endswith(".npy"):
                continue  # no array
            name = one_line(info.filename.removesuffix(".npy"))
            if info.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED) or info.flag_bits & 0x1:
                raise RivalryError(f"{path}: {name} is packed in a way that NumPy does not write")
            with archive.open(info) as file:
                version = np.lib.format.read_magic(file)
                read = {
                    (1, 0): np.lib.format.read_array_header_1_0,
                    (2, 0): np.lib.format.read_array_header_2_0,
                }.get(version)
                if read is None:
                    raise ValueError(f"{name} has format {version}")
                shape, _, dtype = read(file)
            if dtype.hasobject:
                images = name.lower() in {images for pairs in NAMES.values() for images, _ in pairs}
                right = f"numpy.stack({name}), of images of one size"
                raise RivalryError(
                    f"{path}: {name} holds Python objects, which are not read, because reading them can run code; save "
                    + (right if images else f"numbers or text: {name}.astype(int) or {name}.astype(str)")
                )
            total += math.prod(shape) * dtype.itemsize
            if total > MAX_BYTES:
                raise RivalryError(f"{path}: {name} is too much; at most {MAX_BYTES >> 30} GiB of arrays are read")
            headers[name] = shape, dtype
    return headers


@contextmanager
def _opened(path: Path) -> Iterator[zipfile.ZipFile]:
    """The file as the zip archive that it is; what is wrong with it inside becomes one line."""
    try:
        with zipfile.ZipFile(path) as archive:
            yield archive
    except RivalryError:
        raise
    except (zipfile.BadZipFile, zlib.error, NotImplementedError, EOFError, OSError, ValueError, SyntaxError) as error:
        raise RivalryError(f"{path}: is not a whole .npz file ({one_line(str(error))[:200]})") from error


def _read(path: Path, names: list[str]) -> dict[str, np.ndarray]:
    """Arrays whose headers were looked at."""
    import numpy as np

    arrays = {}
    with _opened(path) as archive:
        for name in names:
            with archive.open(f"{name}.npy") as file:
                arrays[name] = np.lib.format.read_array(file, allow_pickle=False)
    return arrays


def _names(path: Path, headers: Mapping[str, Header]) -> dict[str, tuple[str, str]]:
    """The names of the images' and the labels' array of each split.

    Raises
    ------
    RivalryError
        No known name is there, or one without the other, or they differ in length.
    """
    actual = {name.lower(): name for name in headers}
    found = {}
    for split, pairs in NAMES.items():
        for images, labels in pairs:
            if images in actual and labels in actual:
                pair = found[split] = actual[images], actual[labels]
                shapes = [headers[name][0] or (0,) for name in pair]
                if shapes[0][0] != shapes[1][0]:
                    counts = " but ".join(
                        f"{shape[0]} {what}" for shape, what in zip(shapes, ("images", "labels"), strict=True)
                    )
                    raise RivalryError(f"{path}: {pair[0]} and {pair[1]} do not fit: {counts}")
                if not math.prod(shapes[0]):
                    raise RivalryError(f"{path}: {pair[0]} is empty: {shapes[0]}")
                break
            if images in actual or labels in actual:
                there, missing = (images, labels) if images in actual else (labels, images)
                raise RivalryError(f"{path}: has {actual[there]} but no {missing}")
    if not found:
        listed = ", ".join(list(headers)[:8]) or "nothing"
        raise RivalryError(f"{path}: holds {listed}; its arrays must be called x_train, y_train, x_test and y_test")
    return found


def _as_nchw(path: Path, name: str, shape: tuple[int, ...]) -> tuple[tuple[int, ...] | None, tuple[int, ...]]:
    """How to turn an array's axes for channels first, None: add one for the only channel; and its shape then.

    Raises
    ------
    RivalryError
        It is no array of images; the line says how to make it one.
    """
    if len(shape) == 2:
        side = math.isqrt(shape[1])
        sides = f"{side}, {side}" if side * side == shape[1] else "height, width"
        raise RivalryError(f"{path}: {name} is {shape}, pixels in a row; reshape it: {name}.reshape(-1, {sides})")
    if len(shape) == 3:
        return None, (shape[0], 1, *shape[1:])
    if len(shape) == 4:
        first, last = shape[1] in (1, 3), shape[3] in (1, 3)
        if first and last:
            raise RivalryError(
                f"{path}: {name} is {shape}, so that channels may be first or last; give images of 4 pixels or more"
            )
        if first:
            return (0, 1, 2, 3), shape
        if last:
            return (0, 3, 1, 2), (shape[0], shape[3], *shape[1:3])
        if shape[3] == 4:
            raise RivalryError(f"{path}: {name} is {shape}, with a fourth channel; leave it out: {name}[..., :3]")
    raise RivalryError(f"{path}: {name} is {shape}; images are (N,H,W), (N,H,W,C) or (N,C,H,W) with 1 or 3 channels")


def _scale(path: Path, arrays: Mapping[str, np.ndarray]) -> int:
    """What all arrays are multiplied with to lie in [0,255].

    Raises
    ------
    RivalryError
        One does not hold pixels, or they differ.
    """
    scales = {name: _scale_of(path, name, array) for name, array in arrays.items()}
    (first, scale), *others = scales.items()
    for name, other in others:
        if other != scale:
            low, high = (first, name) if scale > other else (name, first)
            raise RivalryError(f"{path}: {low} lies in [0,1] and {high} in [0,255]; scale both alike")
    return scale


def _scale_of(path: Path, name: str, array: np.ndarray) -> int:
    kind = array.dtype.kind
    if kind not in "buif":
        raise RivalryError(
            f"{path}: {name} holds {array.dtype}, not numbers; pixels are whole numbers from 0 to 255 or in [0,1]"
        )
    if kind == "b":
        return 255
    low, high = array.min(), array.max()
    span = f"{path}: {name} has values from {low:g} to {high:g}"
    if not (low >= 0 and high <= 255):  # true of NaN, too
        if low != low or high != high:
            raise RivalryError(
                f"{path}: {name} has values that are no numbers (NaN); replace them or leave these images out"
            )
        hint = "they were normalised: save the pixels as they were before" if low < 0 and high < 255 else "scale them"
        raise RivalryError(f"{span}; pixels lie in [0,1] or [0,255], so {hint}")
    if kind == "f":
        if high <= 1:
            return 255
        if high < DARKEST_WHITE:
            raise RivalryError(f"{span}; pixels lie in [0,1] or [0,255], so clip them to [0,1]")
    elif high <= 1:
        raise RivalryError(f"{span}, whole numbers, of which 255 is white; save {name} * 255")
    return 1


def _pixels(path: Path, name: str, array: np.ndarray, scale: int) -> np.ndarray:
    """The images, uint8 (N,C,H,W)."""
    import numpy as np

    axes, shape = _as_nchw(path, name, array.shape)
    pixels = np.empty(shape, np.uint8)
    for start in range(0, len(array), AT_ONCE):
        some = array[start : start + AT_ONCE]
        if scale != 1 or some.dtype.kind == "f":
            some = np.rint(some.astype(np.float64) * scale)
        pixels[start : start + AT_ONCE] = some[:, None] if axes is None else some.transpose(axes)
    return pixels


def _classes(path: Path, name: str, array: np.ndarray) -> list[str]:
    """The name of each image's class.

    Raises
    ------
    RivalryError
        These are no labels; the line says how to make them labels.
    """
    if array.ndim == 2 and array.shape[1] == 1:
        array = array[:, 0]
    kind = array.dtype.kind
    if array.ndim == 2 and kind in "buif":
        if not (((array == 0) | (array == 1)).all() and (array.sum(axis=1) == 1).all()):
            raise RivalryError(
                f"{path}: {name} is {array.shape} and not one-hot; each image has one class: save {name}.argmax(axis=1)"
            )
        array = array.argmax(axis=1)
    elif array.ndim != 1:
        raise RivalryError(f"{path}: {name} is {array.shape}; labels are (N,), a whole number or a word for each image")
    if kind == "f" and array.dtype.kind == "f":
        if not (array == array.round()).all():
            wrong = array[array != array.round()][0]
            raise RivalryError(f"{path}: {name} has {wrong:g}, which is no whole number; labels number the classes")
        if not (abs(array) < MAX_EXACT).all():
            wrong = array[~(abs(array) < MAX_EXACT)][0]
            raise RivalryError(f"{path}: {name} has {wrong:g}; labels of floats are whole numbers below 2**53")
        array = array.astype("int64")
    if array.dtype.kind == "b":
        array = array.astype("int64")
    if array.dtype.kind in "ui":
        return [str(label) for label in array.tolist()]
    if array.dtype.kind == "S":
        try:
            return [label.decode() for label in array.tolist()]
        except UnicodeDecodeError as error:
            raise RivalryError(
                f"{path}: {name} holds bytes that are no UTF-8; save it as text: numpy's 'U' type"
            ) from error
    if array.dtype.kind == "U":
        return list(map(str, array.tolist()))
    raise RivalryError(f"{path}: {name} holds {array.dtype}; labels are whole numbers or words")
