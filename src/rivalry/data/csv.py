"""Anybody's own images by a CSV file of their paths and labels."""

from __future__ import annotations

import csv as reader
import os
import re
import stat
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from rivalry.data._dataset import Dataset, source
from rivalry.data._files import MAX_FILES, expanded, joint_checksum, table_files, whole
from rivalry.data._glance import Known, counted, refuse_too_many, shorter_side
from rivalry.data._roles import WHOLE, Unfit, check_classes, is_text, roles, split_named
from rivalry.errors import RivalryError, nearest, one_line
from rivalry.types import ImageSize, OpenFraction, UserPath

if TYPE_CHECKING:
    from rivalry.data._fetch import Fetch

SUFFIXES = (".csv", ".tsv", ".txt")
SEPARATORS = (",", ";", "\t", "|")
ADVICE = "add a column of splits: train, test or val"
PIXELS = re.compile(r"(pixel|px|p)?[._ -]?\d+([x_]\d+)?", re.IGNORECASE)
"""How columns are called that hold one pixel each."""
LONGEST_FIELD = 4096
"""Letters of one field: a path, a label."""


@source(source="", description="a CSV file of paths and labels of PNG or JPEG images", glance="look", chance=False)
def csv(
    fetch: Fetch,
    seed: int,
    *,
    path: UserPath,
    image: str = "path",
    label: str = "label",
    split: str | None = None,
    separator: str | None = None,
    size: ImageSize | None = None,
    channels: Literal[1, 3] | None = None,
    test_fraction: OpenFraction | None = None,
) -> Dataset:
    """Your own PNG and JPEG images by a CSV file of their paths and labels; its first line names the columns.

    Paths are relative to the CSV file. Labels are kept as they are written ("007" is not 7); they are numbered by their
    value where all are whole numbers, and else by their letters. A folder of files that are called train*.csv,
    test*.csv or val*.csv works, too. Images for validation join the training images; without test images, they are
    the test split. Images are read as by `image_folder`.

    Parameters
    ----------
    path
        The CSV file, in UTF-8, or a folder of one for each split.
    image
        The column of paths.
    label
        The column of labels.
    split
        The column that says train, test or val; the one called split, where there is one, when left out.
    separator
        What stands between columns; a comma, semicolon, tab or bar is found when left out.
    size
        Resize every image to this many pixels square, or to [height, width]; otherwise all must have one size.
    channels
        Convert every image to gray (1) or RGB (3); otherwise all must be stored as one or the other.
    test_fraction
        Where there is no test split: the share of each class that becomes it, chosen by the images' pixels, so that
        names and the seed change nothing, and copies of one image stay together.
    """
    from rivalry.data._users import Pictures, dataset

    where = expanded(path)
    rows = list(_rows(where, _Columns(image, label, split, separator)))
    roles(where, {row.split for row in rows}, test_fraction, ADVICE)
    pictures = Pictures(where, size, channels)
    for row in rows:
        pictures.add(row.split, row.label, f"{row.where}: {row.name}", whole(row.file))
    return dataset(
        where,
        pictures.splits(),
        classes=None,
        test_fraction=test_fraction,
        advice=ADVICE,
        labels=f"column '{label}'",
        checksum=joint_checksum((row.name, row.file) for row in rows),
    )


def look(
    *,
    path: str,
    image: str,
    label: str,
    split: str | None,
    separator: str | None,
    size: int | list[int] | None,
    channels: int | None,
    test_fraction: float | None,
) -> Known:
    """Count images and classes; every file is looked for, and only the first is opened."""
    where = expanded(path)
    rows = list(_rows(where, _Columns(image, label, split, separator)))
    images = Counter(row.split for row in rows)
    used = roles(where, images, test_fraction, ADVICE)
    labels: dict[str, list[str]] = {}
    for row in rows:
        labels.setdefault(row.split, []).append(row.label)
    classes = check_classes(where, labels, used, test_fraction, labels=f"column '{label}'")
    refuse_too_many(where, len(rows), size)
    known = counted(images, used, len(classes), test_fraction)
    files = {row.name: row.file for row in rows}
    return replace(known, side=shorter_side(size, lambda: rows[0].file.open("rb")), files=files)


@dataclass(frozen=True)
class _Columns:
    """What a configuration says of a CSV file's columns."""

    image: str
    label: str
    split: str | None
    separator: str | None


@dataclass(frozen=True)
class _Row:
    """One image: where it is listed, as messages say it; its path, as it is listed and as it is; class and split."""

    where: str
    name: str
    file: Path
    label: str
    split: str


def _rows(path: Path, columns: _Columns) -> Iterator[_Row]:
    """All rows of a CSV file, or of a folder's.

    Raises
    ------
    RivalryError
        A column, a file or a field is missing; the line names the row.
    """
    listed: dict[str, str] = {}
    for split, tables in table_files(path, SUFFIXES).items():
        for table in tables:
            for row in _table(table, split, columns):
                real = os.path.abspath(row.file)
                if real in listed:
                    raise RivalryError(f"{row.where}: {row.name} is listed already ({listed[real]}); list it once")
                listed[real] = row.where
                if len(listed) > MAX_FILES:
                    raise RivalryError(f"{row.where}: is one too many; at most {MAX_FILES:,} images are read")
                yield row
    if not listed:
        raise RivalryError(f"{path}: lists no images")


def _table(table: Path, split: str, columns: _Columns) -> Iterator[_Row]:
    try:
        with table.open(encoding="utf-8-sig", newline="") as file:
            before, first = 0, file.readline(1 << 16)
            while first and not first.strip():
                before, first = before + 1, file.readline(1 << 16)
            if not first:
                raise RivalryError(f"{table}: is empty; its first line names the columns, such as path,label")
            separator = columns.separator or max(SEPARATORS, key=first.count)
            if len(separator) != 1:
                raise Unfit("separator", f"{separator!r} is no separator; give one character, such as ';'")
            header = [name.strip() for name in next(reader.reader([first], delimiter=separator), [])]
            places = _places(table, header, columns)
            lines = reader.reader(file, delimiter=separator, strict=True)
            for fields in lines:
                where = f"{table}: line {before + lines.line_num + 1}"
                if any(field.strip() for field in fields):
                    yield _row(table, where, fields, places, len(header), split)
    except UnicodeDecodeError as error:
        raise RivalryError(f"{table}: is not UTF-8; save it as 'CSV UTF-8'") from error
    except reader.Error as error:
        raise RivalryError(f"{table}: is no CSV file ({error})") from error
    except OSError as error:
        raise RivalryError(f"{table}: cannot be read ({error.strerror})") from error


def _places(table: Path, header: list[str], columns: _Columns) -> dict[str, int]:
    """Where a row has its image, its label and perhaps its split."""
    pixels = sum(PIXELS.fullmatch(name) is not None for name in header)
    if pixels > 20:
        raise RivalryError(
            f"{table}: has {pixels} columns of pixels, not paths of images; save the pixels as arrays in a .npz file "
            "and use source: npz"
        )
    named = {"image": columns.image, "label": columns.label}
    if columns.split is not None or "split" in header:
        named["split"] = columns.split or "split"
    for key, name in named.items():
        if name not in header:
            shown = [one_line(column)[:40] for column in header[:12]]
            hint = nearest(name, shown)
            if hint.startswith("valid: "):  # which the line shows already
                hint = f"give {key}: one of them"
            raise Unfit(key, f"{table}: has no column {name!r}; its first line is {', '.join(shown)}; {hint}")
        if header.count(name) > 1:
            raise Unfit(key, f"{table}: has two columns '{name}'; rename one")
    return {key: header.index(name) for key, name in named.items()}


def _row(table: Path, where: str, fields: list[str], places: dict[str, int], width: int, split: str) -> _Row:
    if len(fields) != width:
        raise RivalryError(
            f"{where}: has {len(fields)} fields, the first line has {width}; quote fields that contain the separator"
        )
    found = {key: fields[place].strip() for key, place in places.items()}
    name, label = found["image"], found["label"]
    if not name or not label:
        raise RivalryError(f"{where}: has no {'label' if name else 'path'}")
    if len(name) > LONGEST_FIELD or not is_text(name):
        raise RivalryError(f"{where}: {name[:60]!r} is no path")
    if "split" in found:
        given = split_named(found["split"])
        if given is None or split not in (WHOLE, given):
            raise Unfit("split", f"{where}: {one_line(found['split'])[:60]!r} is no split; write train, test or val")
        split = given
    if re.match(r"[a-z][a-z0-9+]+://", name, re.IGNORECASE):
        raise RivalryError(f"{where}: {name[:100]} is an address; only files are read, so download it first")
    file = table.parent / name
    try:
        is_file = stat.S_ISREG(file.stat().st_mode)
    except (OSError, ValueError):
        hint = "; write / for \\" if "\\" in name else f" beside {table.name}" if not Path(name).is_absolute() else ""
        raise RivalryError(f"{where}: there is no {name}{hint}") from None
    if not is_file:
        raise RivalryError(f"{where}: {name} is a folder or device, not an image")
    if not os.access(file, os.R_OK):
        raise RivalryError(f"{where}: no permission to read {name}; allow it")
    return _Row(where, name, file, label, split)
