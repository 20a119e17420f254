"""Images laid out as split/class/image, from a folder or from an archive that nobody vouches for.

Archives are read in memory, member by member; nothing is ever extracted, so names cannot escape. They are
refused all the same when they hold what no data set needs: links, devices, absolute paths, `..`, or far more
data than their own size can account for.
"""

from __future__ import annotations

import gzip
import hashlib
import io
import os
import stat
import struct
import tarfile
import zipfile
import zlib
from collections.abc import Iterator
from pathlib import Path, PurePosixPath
from typing import Any, BinaryIO, cast

import numpy as np
from PIL import Image

from rivalry.errors import RivalryError

ArrayPair = tuple[np.ndarray, np.ndarray]

SPLITS = ("train", "test")
SUFFIXES = (".png", ".jpg", ".jpeg")
MAX_FILES = 1_000_000
MAX_BYTES = 4 << 30
MAX_MEMBER_BYTES = 256 << 20
MAX_RATIO = 100
"""Bounds on an archive: members, bytes of all and of one uncompressed, uncompressed over compressed size."""

MAX_PIXELS = 4096 * 4096
"""Bound on one image."""


def read_splits(
    path: str | Path, *, size: int | None = None, channels: int | None = None
) -> tuple[dict[str, ArrayPair], list[str]]:
    """Read `[prefix/]split/class/image` from a folder or archive.

    Returns
    -------
    splits
        'train' and 'test': images uint8 (N,C,H,W) and labels int64 (N,).
    classes
        Names of the classes, sorted; labels index them.

    Raises
    ------
    RivalryError
        The line names the image or archive member at fault.
    """
    path = Path(path)
    found: dict[str, dict[str, list[np.ndarray]]] = {split: {} for split in SPLITS}
    prefix: tuple[str, ...] | None = None
    first: tuple[str, tuple[int, ...]] | None = None
    total = 0
    for name, content in iterate_members(path):
        parts = PurePosixPath(name).parts
        if any(part.startswith(".") for part in parts) or "__MACOSX" in parts or parts[-1] == "Thumbs.db":
            continue
        where = f"{path}: {name}"
        if len(parts) < 3 or parts[-3] not in SPLITS:
            if parts[-1].lower().endswith(SUFFIXES):
                raise RivalryError(f"{where} is not in train/<class>/ or test/<class>/")
            continue  # a README or the like
        *before, split, label, _ = parts
        if prefix is None:
            prefix = tuple(before)
        elif prefix != tuple(before):
            raise RivalryError(f"{where} belongs to another data set than {'/'.join(prefix) or 'train/ and test/'}")
        image = _decode(where, content, size, channels)
        if first is None:
            first = name, image.shape
        elif image.shape != first[1]:
            raise RivalryError(
                f"{where} is {_words(image.shape)} but {first[0]} is {_words(first[1])}; "
                f"give {'channels' if image.shape[1:] == first[1][1:] else 'size'} to make them equal"
            )
        total += image.nbytes
        if total > MAX_BYTES:
            raise RivalryError(f"{path}: images take over {MAX_BYTES >> 30} GiB as {_words(image.shape)}; give a size")
        found[split].setdefault(label, []).append(image)
    for split, other in (SPLITS, SPLITS[::-1]):
        if not found[split]:
            has = f"has {other}/ but no {split}/" if found[other] else "has no images"
            raise RivalryError(f"{path}: {has}; lay images out as train/<class>/<image> and test/<class>/<image>")
    for split, other in (SPLITS, SPLITS[::-1]):
        if only := sorted(found[split].keys() - found[other].keys()):
            raise RivalryError(f"{path}: class '{only[0]}' has images in {split}/ but none in {other}/")
    classes = sorted(found["train"])
    splits = {}
    for split in SPLITS:
        counts = [len(found[split][name]) for name in classes]
        images = [image for name in classes for image in found[split].pop(name)]
        splits[split] = np.stack(images), np.repeat(np.arange(len(classes)), counts)
    return splits, classes


def by_content(images: np.ndarray, labels: np.ndarray) -> ArrayPair:
    """Order images by their pixels' SHA-256: classes mixed, whatever the files' names and order."""
    keys = [(hashlib.sha256(image.tobytes()).digest(), label) for image, label in zip(images, labels, strict=True)]
    order = sorted(range(len(keys)), key=keys.__getitem__)
    return images[order], labels[order]


def folder_checksum(path: Path) -> str:
    """SHA-256 over names and contents of a folder's files."""
    digest = hashlib.sha256()
    for name, content in iterate_members(path):
        digest.update(f"{name}\0{len(content)}\0".encode() + content)
    return digest.hexdigest()


def iterate_members(path: Path) -> Iterator[tuple[str, bytes]]:
    """Name and content of each file in a folder (sorted) or .zip, .tar, .tar.gz or .tgz archive (as stored).

    Raises
    ------
    RivalryError
        The archive is broken or hostile; the line names the member.
    """
    name = path.name.lower()
    if path.is_dir():
        return ((file.relative_to(path).as_posix(), file.read_bytes()) for file in _files(path))
    if not path.is_file():
        raise RivalryError(f"{path}: no such folder or archive")
    if name.endswith(".zip"):
        return _iterate_zip(path)
    if name.endswith((".tar", ".tar.gz", ".tgz")):
        return _iterate_tar(path)
    raise RivalryError(f"{path}: is neither a folder nor a .zip, .tar, .tar.gz or .tgz archive")


def _files(path: Path) -> Iterator[Path]:
    for folder, subfolders, names in os.walk(path, followlinks=True):
        subfolders.sort()
        yield from (Path(folder, name) for name in sorted(names))


def _iterate_zip(path: Path) -> Iterator[tuple[str, bytes]]:
    limits = _Limits(path)
    try:
        with zipfile.ZipFile(path) as archive:
            for info in archive.infolist():
                # orig_filename keeps what filename loses: anything behind a NUL, backslashes on Windows
                limits.admit(info.orig_filename, info.file_size, is_file=not info.is_dir())
                if info.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
                    raise RivalryError(f"{path}: {info.filename} is neither stored nor deflated; use plain zip")
                kind = stat.S_IFMT(info.external_attr >> 16)
                if info.flag_bits & 0x1:
                    raise RivalryError(f"{path}: {info.filename} is encrypted; store it without a password")
                if kind not in (0, stat.S_IFREG, stat.S_IFDIR):
                    raise RivalryError(f"{path}: {info.filename} is a link or device; only files may be in it")
                if not info.is_dir():
                    with archive.open(info) as file:
                        # no more than announced, however much it would unpack to
                        yield info.filename, file.read(info.file_size)
    except (zipfile.BadZipFile, NotImplementedError, EOFError, OSError, ValueError, zlib.error) as error:
        raise RivalryError(f"{path}: is not a whole zip archive ({error})") from error


def _iterate_tar(path: Path) -> Iterator[tuple[str, bytes]]:
    limits = _Limits(path)
    with open(path, "rb") as file:
        compressed = file.read(2) == b"\x1f\x8b"
    try:
        with (
            gzip.open(path) if compressed else path.open("rb") as stream,
            tarfile.open(fileobj=cast(BinaryIO, _Counted(stream, limits)), mode="r|") as archive,
        ):
            for member in archive:
                limits.admit(member.name, member.size, is_file=member.isfile())
                if not (member.isfile() or member.isdir()) or member.issparse():
                    raise RivalryError(f"{path}: {member.name} is a link or device; only files may be in it")
                if member.isfile():
                    content = archive.extractfile(member)
                    assert content is not None  # it is a file
                    yield member.name, content.read()
    except (tarfile.TarError, EOFError, OSError, ValueError, zlib.error) as error:
        raise RivalryError(f"{path}: is not a whole tar archive ({error})") from error


class _Limits:
    """Admits an archive's members one by one, before they are read."""

    def __init__(self, path: Path) -> None:
        self.path = path
        # small archives of repetitive images may be squeezed hard without harm
        self.max_bytes = min(MAX_BYTES, max(MAX_RATIO * path.stat().st_size, 1 << 20))
        self.names: set[str] = set()
        self.bytes = 0

    def admit(self, name: str, size: int, *, is_file: bool) -> None:
        plain = PurePosixPath(name)
        leads_out = plain.is_absolute() or ".." in plain.parts or name[1:2] == ":" or "\\" in name
        if leads_out or not name.isprintable():
            raise RivalryError(f"{self.path}: member name {name!r} is not a plain relative path")
        if is_file and str(plain) in self.names:
            raise RivalryError(f"{self.path}: {name} is in it twice")
        self.names.add(str(plain))
        if len(self.names) > MAX_FILES:
            raise RivalryError(f"{self.path}: {name} is one too many; at most {MAX_FILES} members are read")
        self.bytes += size
        if not 0 <= size <= MAX_MEMBER_BYTES or self.bytes > self.max_bytes:
            raise self.bomb(name)

    def bomb(self, name: str) -> RivalryError:
        return RivalryError(
            f"{self.path}: {name} unpacks to too much; at most {MAX_MEMBER_BYTES >> 20} MiB a file, "
            f"{MAX_BYTES >> 30} GiB and {MAX_RATIO} times the archive's size in all are read"
        )


class _Counted:
    """A stream that stops tarfile from unpacking a bomb that it reads by itself (headers, long names)."""

    def __init__(self, stream: BinaryIO | gzip.GzipFile, limits: _Limits) -> None:
        self.stream = stream
        self.limits = limits
        self.bytes = 0

    def read(self, size: int) -> bytes:
        content = self.stream.read(size)
        self.bytes += len(content)
        # each member costs headers and padding beside its content
        if self.bytes > self.limits.max_bytes + 2048 * (len(self.limits.names) + 16):
            raise self.limits.bomb("its content")
        return content


def _decode(where: str, content: bytes, size: int | None, channels: int | None) -> np.ndarray:
    """One image, uint8 (C,H,W)."""
    if not where.lower().endswith(SUFFIXES):
        raise RivalryError(f"{where} is not a PNG or JPEG image; convert or remove it")
    try:
        with Image.open(io.BytesIO(content), formats=["PNG", "JPEG"]) as image:
            if image.width * image.height > MAX_PIXELS:
                raise RivalryError(f"{where} has {image.width}x{image.height} pixels; at most {MAX_PIXELS} are read")
            if image.mode.startswith(("I", "F")):
                raise RivalryError(f"{where} has more than 8 bits per channel; save it with 8")
            if channels is not None:
                picture: Any = image.convert({1: "L", 3: "RGB"}[channels])
            elif image.mode in ("L", "RGB"):
                picture = image
            else:
                raise RivalryError(f"{where} is of mode {image.mode}; give channels (1 gray, 3 RGB) to convert it")
            if size is not None:
                picture = picture.resize((size, size), Image.Resampling.BICUBIC)
            pixels = np.asarray(picture)
    except (OSError, ValueError, SyntaxError, struct.error, Image.DecompressionBombError) as error:
        raise RivalryError(f"{where} is a broken image; replace or remove it") from error
    return np.atleast_3d(pixels).transpose(2, 0, 1)


def _words(shape: tuple[int, ...]) -> str:
    return "x".join(map(str, shape))
