"""Which of a user's files belong to a data set: one rule for who checks, plans and reads."""

from __future__ import annotations

import os
import stat
import unicodedata
import zipfile
from collections.abc import Iterator, Mapping
from pathlib import Path, PurePosixPath
from typing import Any

from rivalry.errors import RivalryError, one_line

SPLITS = ("train", "test")
SUFFIXES = (".png", ".jpg", ".jpeg", ".jpe", ".jfif")
MAX_FILES = 1_000_000
"""Bound on the files of a folder and on the members of an archive."""
MAX_DEPTH = 50
"""Bound on folders within folders."""
MAX_BYTES = 4 << 30
"""Bound on all images of a data set, unpacked."""

SYSTEM_NAMES = {
    *("desktop.ini", "thumbs.db", "ehthumbs.db", "icon\r", "$recycle.bin", "system volume information"),
    *("__macosx", "@eadir", "lost+found"),
}
"""What operating systems leave beside images, in small letters."""

VALIDATION = {"val", "valid", "validation", "dev"}
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


def is_text(name: str) -> bool:
    """Whether a name is UTF-8, on one line and without control characters.

    Spaces that do not break, joiners of letters and emoji and the like are text, though Python calls them unprintable;
    macOS writes one into the name of every screenshot.
    """
    return name.isprintable() or all(unicodedata.category(letter) not in ("Cc", "Cs", "Zl", "Zp") for letter in name)


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

    Attributes
    ----------
    classes : dict of set of str
        The classes met so far, by split.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.classes: dict[str, set[str]] = {split: set() for split in SPLITS}
        self.prefix: tuple[str, ...] | None = None

    def place(self, name: str) -> tuple[str, str] | None:
        """Split and class of a file; None: it is no part of the data set.

        Raises
        ------
        RivalryError
            An image, or a file among images, that is nowhere in train/ or test/, or in another data set's.
        """
        parts = PurePosixPath(name).parts
        if not parts or is_system(name):
            return None
        where = f"{self.path}: {name}"
        if len(parts) < 3 or parts[-3] not in SPLITS:
            if parts[-1].lower().endswith(SUFFIXES):
                if len(parts) >= 3 and parts[-3].lower() in VALIDATION:
                    raise RivalryError(
                        f"{where} is in {parts[-3]}/, which is neither train/ nor test/; images to validate on "
                        f"are taken from train/, so move {parts[-3]}/ into it or away"
                    )
                raise RivalryError(f"{where} is not in train/<class>/ or test/<class>/")
            return None  # a README or the like
        *before, split, label, _ = parts
        if self.prefix is None:
            self.prefix = tuple(before)
        elif self.prefix != tuple(before):
            others = "/".join(self.prefix) or "train/ and test/"
            raise RivalryError(f"{where} belongs to another data set than {others}")
        if not name.lower().endswith(SUFFIXES):
            raise RivalryError(f"{where} does not end in .png, .jpg or .jpeg; convert, rename or remove it")
        self.classes[split].add(label)
        return split, label

    def finish(self) -> list[str]:
        """The classes, sorted, once all files are placed.

        Raises
        ------
        RivalryError
            A split has no images, or lacks a class that the other has.
        """
        for split, other in (SPLITS, SPLITS[::-1]):
            if not self.classes[split]:
                has = f"has {other}/ but no {split}/" if self.classes[other] else "has no images"
                raise RivalryError(f"{self.path}: {has}; {LAYOUT}")
        for split, other in (SPLITS, SPLITS[::-1]):
            if only := sorted(self.classes[split] - self.classes[other]):
                raise RivalryError(f"{self.path}: class '{only[0]}' has images in {split}/ but none in {other}/")
        return sorted(self.classes["train"])
