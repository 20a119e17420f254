"""Which of a user's files belong to a data set: one rule for who checks, plans and reads."""

from __future__ import annotations

import hashlib
import os
import re
import stat
import zipfile
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path, PurePosixPath
from typing import Any

from rivalry.artifacts import checksum
from rivalry.data._roles import WHOLE, is_text, roles, same_classes, split_named
from rivalry.errors import RivalryError, one_line

SUFFIXES = (".png", ".jpg", ".jpeg", ".jpe", ".jfif")
OTHERS = (".gif", ".webp", ".bmp", ".tif", ".tiff", ".heic", ".avif", ".svg", ".npy")
"""Endings of pictures that are read, and of some that are not."""
MAX_FILES = 1_000_000
"""Bound on the files of a folder and on the members of an archive."""
MAX_DEPTH = 50
"""Bound on folders within folders."""
MAX_MEMBER_BYTES = 256 << 20
"""Bound on one image's file, unpacked."""
MAX_BYTES = 4 << 30
"""Bound on all images of a data set, unpacked."""

SYSTEM_NAMES = {
    *("desktop.ini", "thumbs.db", "ehthumbs.db", "icon\r", "$recycle.bin", "system volume information"),
    *("__macosx", "@eadir", "lost+found"),
}
"""What operating systems leave beside images, in small letters."""

LAYOUT = "lay images out as train/<class>/<image> and test/<class>/<image>"


def expanded(path: str | Path) -> Path:
    """The path with `~` written out.

    Raises
    ------
    RivalryError
        It names the home of somebody whom this machine does not know.
    """
    try:
        return Path(path).expanduser()
    except RuntimeError as error:
        raise RivalryError(f"{path}: this machine knows no such home folder; write the path out") from error


def mirrored(traits: Mapping[str, Any]) -> list[tuple[str, ...]]:
    """The files of a source that a mirror must hold; of each tuple one will do. See `_dataset.source`."""
    return [(file,) if isinstance(file, str) else tuple(file) for file in traits.get("files", ())]


def kind(path: Path) -> str:
    """What a data set lies in: 'folder', 'zip' or 'tar'.

    Raises
    ------
    RivalryError
        It is none of these, or may not be read.
    """
    name = path.name.lower()
    try:
        if path.is_dir():
            return "folder"
        if not path.exists():
            raise RivalryError(f"{path}: no such folder or archive")
        if not path.is_file() or not name.endswith((".zip", ".tar", ".tar.gz", ".tgz")):
            raise RivalryError(f"{path}: is neither a folder nor a .zip, .tar, .tar.gz or .tgz archive")
        if not os.access(path, os.R_OK):
            raise RivalryError(f"{path}: no permission to read it; allow it")
    except (OSError, ValueError) as error:
        raise RivalryError(f"{path}: no such folder or archive") from error
    return "zip" if name.endswith(".zip") else "tar"


def is_system(name: str) -> bool:
    """Whether a file's path, relative to its data set, is hidden or one of a system's own files."""
    return any(part.startswith(".") or part.lower() in SYSTEM_NAMES for part in PurePosixPath(name).parts)


def walk(folder: Path) -> Iterator[tuple[str, Path]]:
    """Every file below a folder, by its name relative to it; links are followed, system files skipped.

    Raises
    ------
    RivalryError
        Something that cannot be read as a file: a link to nothing or in a circle, a pipe or device, no permission, a
        name that is not UTF-8; or more than a million files. The line names it.
    """
    found = _walk(folder, "", (_identity(folder),))
    for count, item in enumerate(found, start=1):
        if count > MAX_FILES:
            raise RivalryError(
                f"{folder}: holds over {MAX_FILES:,} files; give the folder that contains train/ and test/"
            )
        yield item


def _walk(folder: Path, prefix: str, above: tuple[tuple[int, int], ...]) -> Iterator[tuple[str, Path]]:
    try:
        names = sorted(os.listdir(folder))
    except OSError as error:
        raise RivalryError(f"{folder}: {_reason(error)}; allow reading it, or move it away") from error
    for name in names:
        relative, path = f"{prefix}{name}", folder / name
        if is_system(relative):
            continue
        if not is_text(name):
            shown = one_line(os.fsencode(name).decode(errors="backslashreplace"))
            raise RivalryError(f"{folder}/{shown}: has a name that is not UTF-8, or has control characters; rename it")
        try:
            kind = path.stat().st_mode
        except OSError as error:
            what = "is a link that leads nowhere" if path.is_symlink() else _reason(error)
            raise RivalryError(f"{path}: {what}; remove it or move it away") from error
        if not (stat.S_ISDIR(kind) or stat.S_ISREG(kind)):
            raise RivalryError(f"{path}: is a pipe, socket or device, not a file; move it away")
        if not os.access(path, os.R_OK):
            raise RivalryError(f"{path}: no permission to read it; allow it, or move it away")
        if stat.S_ISREG(kind):
            yield relative, path
            continue
        identity = _identity(path)
        if identity in above:
            raise RivalryError(f"{path}: is a link to a folder around it; remove it")
        if len(above) > MAX_DEPTH:
            raise RivalryError(f"{path}: lies more than {MAX_DEPTH} folders deep; move it away")
        yield from _walk(path, f"{relative}/", (*above, identity))


def _identity(folder: Path) -> tuple[int, int]:
    try:
        found = folder.stat()
    except OSError as error:
        raise RivalryError(f"{folder}: {_reason(error)}") from error
    return found.st_dev, found.st_ino


def _reason(error: OSError) -> str:
    return (error.strerror or type(error).__name__).lower()


UTF8_NAME = 0x800
"""A zip member's flag: its name is UTF-8. Without it the code page is the packer's own, and is not recorded."""


def zip_name(path: Path, info: zipfile.ZipInfo) -> str:
    """A zip member's name; names without the flag for UTF-8 are taken if they are UTF-8 all the same.

    Raises
    ------
    RivalryError
        The name is in a code page that nothing tells.
    """
    if info.flag_bits & UTF8_NAME:
        return info.filename
    try:
        return info.filename.encode("cp437").decode()
    except UnicodeError as error:
        raise RivalryError(
            f"{path}: member name {info.filename!r} is in an old code page that a zip does not record; "
            "pack it again with names in UTF-8, or give the unpacked folder"
        ) from error


class Layout:
    """Sorts the files of one data set, `[prefix/]split/class/image`, as they are met.

    Parameters
    ----------
    path : Path
        The folder or archive.
    test_fraction : float or None
        Where it is given, there need be no splits: `[prefix/]class/image`.

    Attributes
    ----------
    classes : dict of set of str
        The classes met so far, by split.
    """

    def __init__(self, path: Path, test_fraction: float | None = None) -> None:
        self.path, self.test_fraction = path, test_fraction
        self.classes: dict[str, set[str]] = {}
        self.prefix: tuple[str, ...] | None = None

    def place(self, name: str) -> tuple[str, str] | None:
        """Split and class of a file; None: it is no part of the data set.

        Raises
        ------
        RivalryError
            An image, or a file among images, that is in no split and class, or in another data set's.
        """
        parts = PurePosixPath(name).parts
        if not parts or is_system(name):
            return None
        where = f"{self.path}: {name}"
        split = split_named(parts[-3]) if len(parts) >= 3 else None
        is_image = parts[-1].lower().endswith(SUFFIXES)
        if split is not None:
            before = parts[:-3]
        elif self.test_fraction is not None and len(parts) >= 2 and parts[-1].lower().endswith((*SUFFIXES, *OTHERS)):
            split, before = WHOLE, parts[:-2]
        elif is_image and self.test_fraction is not None:
            raise RivalryError(f"{where} is not in the folder of a class")
        elif is_image:
            raise RivalryError(
                f"{where} is not in train/<class>/ or test/<class>/; move it there, or give test_fraction, such as "
                "0.2, to divide the images of <class>/"
            )
        else:
            return None  # a README or the like
        if self.prefix is None:
            self.prefix = before
        elif self.prefix != before:
            others = "/".join(self.prefix) or "the folders beside it"
            raise RivalryError(f"{where} belongs to another data set than {others}")
        if not is_image:
            raise RivalryError(f"{where} does not end in .png, .jpg or .jpeg; convert, rename or remove it")
        self.classes.setdefault(split, set()).add(parts[-2])
        return split, parts[-2]

    def finish(self) -> tuple[list[str], dict[str, str]]:
        """The classes, sorted, and what each split is used as, once all files are placed.

        Raises
        ------
        RivalryError
            A split has no images, or lacks a class that the other has.
        """
        used = roles(self.path, self.classes, self.test_fraction, LAYOUT)
        flat = self.classes.get(WHOLE)
        if flat and all(split_named(label) for label in flat):
            raise RivalryError(f"{self.path}: has images in {min(flat)}/ that are in the folder of no class; {LAYOUT}")
        merged: dict[str, set[str]] = {"train": set(), "test": set()}
        for split, names in self.classes.items():
            merged[used[split]] |= names
        if self.test_fraction is None:
            same_classes(self.path, merged)
        return sorted(merged["train"]), used


def table_files(path: Path, suffixes: tuple[str, ...]) -> dict[str, list[Path]]:
    """The files of a data set that is a table: one file, or those of a folder, by their splits.

    In a folder, a split is the word that a file's name begins with (`test-00000-of-00002.parquet`), or else the folder
    that the file lies in.

    Raises
    ------
    RivalryError
        There are none, some belong to another data set or to no split, or one of several parts is missing.
    """
    if not path.is_dir():
        readable_file(path, suffixes)
        return {WHOLE: [path]}
    found: dict[str, list[Path]] = {}
    folder: PurePosixPath | None = None
    for name, file in walk(path):
        plain = PurePosixPath(name)
        if not name.lower().endswith(suffixes):
            continue
        split = split_named(re.split("[^A-Za-z]", plain.name)[0])
        within = plain.parent
        if split is None and split_named(within.name):
            split, within = split_named(within.name), within.parent
        if folder is None:
            folder = within
        elif folder != within:
            raise RivalryError(f"{path}: {name} lies in another folder than {folder}/; give the folder of one data set")
        found.setdefault(split or WHOLE, []).append(file)
    if not found:
        raise RivalryError(f"{path}: has no file that ends in {' or '.join(suffixes)}")
    if WHOLE in found and len(found) > 1:
        raise RivalryError(
            f"{path}: {found[WHOLE][0].name} does not begin with train, test or val, as others do; rename it, or move "
            "it away"
        )
    for files in found.values():
        _all_parts(path, files)
    return found


def _all_parts(path: Path, files: list[Path]) -> None:
    """Refuse files that call themselves parts of more than there are."""
    names = {file.name for file in files}
    for name in sorted(names):
        part = re.fullmatch(r"(.*)-(\d{1,6})-of-(\d{1,6})(\..*)", name)
        for number in range(int(part[3]) if part else 0):
            assert part is not None
            wanted = f"{part[1]}-{number:0{len(part[2])}}-of-{part[3]}{part[4]}"
            if wanted not in names:
                raise RivalryError(f"{path}: has {name} but not {wanted}; add what is missing")


def readable_file(path: Path, suffixes: tuple[str, ...]) -> None:
    """Refuse what is no file with one of these endings that may be read.

    Raises
    ------
    RivalryError
        The line names it.
    """
    try:
        if path.is_dir():
            raise RivalryError(f"{path}: is a folder; give a file that ends in {' or '.join(suffixes)}")
        if not path.exists():
            raise RivalryError(f"{path}: no such file")
        if not path.is_file() or not path.name.lower().endswith(suffixes):
            raise RivalryError(f"{path}: is no file that ends in {' or '.join(suffixes)}")
        if not os.access(path, os.R_OK):
            raise RivalryError(f"{path}: no permission to read it; allow it")
    except (OSError, ValueError) as error:
        raise RivalryError(f"{path}: no such file") from error


def joint_checksum(files: Iterable[tuple[str, Path]]) -> str:
    """SHA-256 over names and contents of files."""
    content = "".join(f"{name}\0{checksum(file)}\n" for name, file in files)
    return hashlib.sha256(content.encode(errors="surrogateescape")).hexdigest()


def whole(file: Path) -> bytes:
    """The content of an image's file.

    Raises
    ------
    RivalryError
        It is too large or cannot be read; the line names it.
    """
    try:
        if file.stat().st_size > MAX_MEMBER_BYTES:
            raise RivalryError(f"{file}: is larger than {MAX_MEMBER_BYTES >> 20} MiB; move it away")
        return file.read_bytes()
    except OSError as error:
        raise RivalryError(f"{file}: cannot be read ({error.strerror})") from error
