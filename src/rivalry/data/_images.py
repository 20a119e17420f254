"""Images that are files of a folder, or of an archive that nobody vouches for.

Archives are read in memory, member by member; nothing is ever extracted, so names cannot escape. They are
refused all the same when they hold what no data set needs: links, devices, absolute paths, `..`, or far more
data than their own size can account for.
"""

from __future__ import annotations

import gzip
import stat
import tarfile
import zipfile
import zlib
from collections.abc import Iterator
from pathlib import Path, PurePosixPath
from typing import BinaryIO, Self, cast

from rivalry.data._files import MAX_BYTES, MAX_FILES, MAX_MEMBER_BYTES, Layout, kind, walk, whole, zip_name
from rivalry.data._roles import is_text
from rivalry.data._users import Pictures, Split
from rivalry.errors import RivalryError

MAX_RATIO = 100
"""Bound on uncompressed over compressed size of an archive."""


def read_pictures(
    path: Path, layout: Layout, *, size: int | list[int] | None = None, channels: int | None = None
) -> dict[str, Split]:
    """The images of a folder or archive that its layout places in splits and classes.

    Raises
    ------
    RivalryError
        The line names the image or archive member at fault.
    """
    pictures = Pictures(path, size, channels)
    for name, content in iterate_members(path):
        place = layout.place(name)
        if place is not None:
            pictures.add(*place, f"{path}: {name}", content)
    return pictures.splits()


def iterate_members(path: Path) -> Iterator[tuple[str, bytes]]:
    """Name and content of each file in a folder (sorted) or .zip, .tar, .tar.gz or .tgz archive (as stored).

    Raises
    ------
    RivalryError
        The archive is broken or hostile; the line names the member.
    """
    what = kind(path)
    if what == "folder":
        return ((name, whole(file)) for name, file in walk(path))
    return _iterate_zip(path) if what == "zip" else _iterate_tar(path)


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
                    name = zip_name(path, info)
                    with archive.open(info) as file:
                        # no more than announced, however much it would unpack to
                        yield name, file.read(info.file_size)
    except (zipfile.BadZipFile, NotImplementedError, EOFError, OSError, ValueError, zlib.error) as error:
        raise RivalryError(f"{path}: is not a whole zip archive ({error})") from error


def _iterate_tar(path: Path) -> Iterator[tuple[str, bytes]]:
    limits = _Limits(path)
    with open(path, "rb") as file:
        compressed = file.read(2) == b"\x1f\x8b"
    try:
        with (
            gzip.open(path) if compressed else path.open("rb") as stream,
            tarfile.open(fileobj=cast(BinaryIO, _Counted(stream, limits)), mode="r|", tarinfo=_Header) as archive,
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


class _Header(tarfile.TarInfo):
    """A member's header. Where one should be and is not, tarfile takes this for the archive's end; it was cut there."""

    @classmethod
    def frombuf(cls, buf: bytes | bytearray, encoding: str, errors: str) -> Self:
        try:
            return super().frombuf(buf, encoding, errors)
        except tarfile.HeaderError as error:
            if len(buf) == tarfile.BLOCKSIZE and not any(buf):
                raise  # the mark that ends an archive
            raise ValueError("it is cut short or damaged between members") from error


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
        if leads_out or not is_text(name) or (is_file and not plain.parts):
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
