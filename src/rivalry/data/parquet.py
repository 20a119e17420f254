"""Anybody's own images in Parquet files, as hubs of data sets write them."""

from __future__ import annotations

import io
import json
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from rivalry.artifacts import checksum
from rivalry.data._dataset import Dataset, source
from rivalry.data._files import MAX_BYTES, MAX_FILES, MAX_MEMBER_BYTES, expanded, joint_checksum, table_files, walk
from rivalry.data._glance import Known, counted, refuse_too_many, shorter_side
from rivalry.data._roles import Unfit, is_text, roles
from rivalry.errors import RivalryError, nearest, one_line
from rivalry.types import ImageSize, OpenFraction, UserPath

if TYPE_CHECKING:
    import pyarrow as pa
    import pyarrow.parquet as pq

    from rivalry.data._fetch import Fetch

SUFFIXES = (".parquet",)
ADVICE = "name files train*.parquet and test*.parquet"
ROWS_AT_ONCE = 256
UNLABELLED = -1
"""What hubs write where a label is kept secret."""


@source(
    source="",
    description="Parquet files of image bytes and labels, as hubs of data sets write",
    glance="look",
    chance=False,
)
def parquet(
    fetch: Fetch,
    seed: int,
    *,
    path: UserPath,
    image: str | None = None,
    label: str | None = None,
    size: ImageSize | None = None,
    channels: Literal[1, 3] | None = None,
    test_fraction: OpenFraction | None = None,
) -> Dataset:
    """Images in Parquet files, as hubs of data sets write them: a column of image bytes and one of labels.

    In a folder, the word that a file's name begins with is its split, or else the folder it lies in:
    `train-00000-of-00002.parquet`, `test/0000.parquet`. Splits for validation join the training images; without a test
    split, they are the test split. Labels are whole numbers or text; the names that the file's own metadata has for the
    numbers (ClassLabel) name the classes. Images are PNG or JPEG, read as by `image_folder`.

    Parameters
    ----------
    path
        A Parquet file, or the folder of the files of one data set.
    image
        The column of images; the only one that holds bytes when left out.
    label
        The column of labels; the only one whose classes have names when left out, or else the one called label.
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
    pictures = Pictures(where, size, channels)
    files = table_files(where, SUFFIXES)
    roles(where, files, test_fraction, ADVICE)
    columns: _Columns | None = None
    total = 0
    for split, shards in files.items():
        for shard in shards:
            with _opened(shard) as table:
                columns = _columns(shard, table, image, label, columns)
                for row, content, name in _rows(shard, table, columns):
                    total += len(content)
                    if total > MAX_BYTES:
                        raise RivalryError(
                            f"{shard}: row {row}: images take over {MAX_BYTES >> 30} GiB as they are stored"
                        )
                    pictures.add(split, name, f"{shard}: row {row}: image", content)
    splits = pictures.splits()
    return dataset(
        where,
        splits,
        classes=columns.classes if columns else None,
        test_fraction=test_fraction,
        advice=ADVICE,
        labels=f"column '{columns.label}'" if columns else "label",
        checksum=joint_checksum(walk(where)) if where.is_dir() else checksum(where),
    )


def look(
    *,
    path: str,
    image: str | None,
    label: str | None,
    size: int | list[int] | None,
    channels: int | None,
    test_fraction: float | None,
) -> Known:
    """Count images by the files' ends, where the columns and the names of classes stand, too."""
    where = expanded(path)
    files = table_files(where, SUFFIXES)
    used = roles(where, files, test_fraction, ADVICE)
    images: Counter[str] = Counter()
    columns: _Columns | None = None
    first = b""
    for split, shards in files.items():
        for shard in shards:
            with _opened(shard) as table:
                columns = _columns(shard, table, image, label, columns)
                images[split] += table.metadata.num_rows
                if table.metadata.num_rows:
                    _, content, _ = next(_rows(shard, table, columns))
                    first = first or content
    refuse_too_many(where, images.total(), size)
    classes = len(columns.classes) if columns and columns.classes is not None else None
    return replace(counted(images, used, classes, test_fraction), side=shorter_side(size, lambda: io.BytesIO(first)))


@dataclass(frozen=True)
class _Columns:
    """Which columns hold images and labels, and the names of classes that the file has for numbers."""

    image: str
    label: str
    classes: list[str] | None


@contextmanager
def _opened(file: Path) -> Iterator[pq.ParquetFile]:
    """The file; what is wrong with it inside becomes one line."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        with pq.ParquetFile(file) as table:
            if table.metadata.num_rows > MAX_FILES:
                raise RivalryError(f"{file}: holds over {MAX_FILES:,} rows")
            yield table
    except RivalryError:
        raise
    except (pa.ArrowException, OSError, ValueError, OverflowError) as error:
        reason = (one_line(str(error).strip()) or type(error).__name__)[:150]
        raise RivalryError(f"{file}: is not a whole Parquet file ({reason})") from error


def _columns(
    file: Path, table: pq.ParquetFile, image: str | None, label: str | None, before: _Columns | None
) -> _Columns:
    """The columns of a file.

    Raises
    ------
    Unfit
        There is no such column, or there are several, or they differ from those of the file before.
    """
    import pyarrow as pa

    schema = table.schema_arrow
    named = _named_classes(schema)

    if twice := next((name for name, count in Counter(schema.names).items() if count > 1), None):
        raise RivalryError(f"{file}: has two columns {twice!r}; rename one")

    def holds_bytes(name: str) -> bool:
        kind = schema.field(name).type
        if pa.types.is_struct(kind) and kind.get_field_index("bytes") >= 0:
            kind = kind.field("bytes").type
        return bool(pa.types.is_binary(kind) or pa.types.is_large_binary(kind))

    names = [name for name in schema.names if is_text(name)]
    image = _chosen(file, "image", image, [name for name in names if holds_bytes(name)], names, "holds image bytes")
    if not holds_bytes(image):
        raise Unfit("image", f"{file}: column '{image}' holds {one_line(str(schema.field(image).type))}, not images")
    unnamed = [name for name in names if name in ("label", "labels")]
    label = _chosen(file, "label", label, list(named) or unnamed, names, "is called label")
    kind = schema.field(label).type
    if pa.types.is_dictionary(kind):
        kind = kind.value_type  # as pandas writes categories
    if not (pa.types.is_integer(kind) or pa.types.is_string(kind) or pa.types.is_large_string(kind)):
        raise Unfit("label", f"{file}: column '{label}' holds {one_line(str(kind))}; labels are whole numbers or text")
    found = _Columns(image, label, named.get(label) if pa.types.is_integer(kind) else None)
    if before is not None and found != before:
        raise RivalryError(f"{file}: its columns or classes differ from those of the files before it")
    return found


def _chosen(file: Path, key: str, given: str | None, fit: list[str], names: list[str], what: str) -> str:
    """The column that is given, or the only one that fits."""
    if given is not None:
        if given not in names:
            raise Unfit(key, f"{file}: has no column {given!r}; {nearest(given, names)}")
        return given
    if len(fit) == 1:
        return fit[0]
    if fit:
        raise Unfit(key, f"{file}: columns {' and '.join(fit)} could be the {key}; give {key}: {fit[0]}, for example")
    shown = f"{', '.join(names[:12])}{', ...' if len(names) > 12 else ''}"
    right = (
        "for pixels use a .npz file and source: npz, for paths a CSV and source: csv"
        if key == "image"
        else f"give {key}: one of them"
    )
    raise Unfit(key, f"{file}: no column {what}; its columns are {shown}; {right}")


def _named_classes(schema: pa.Schema) -> dict[str, list[str]]:
    """The names of classes by column, as the writer noted them beside the schema."""
    try:
        features = json.loads((schema.metadata or {}).get(b"huggingface", b"{}"))["info"]["features"]
        return {
            str(column): [str(name) for name in feature["names"]]
            for column, feature in features.items()
            if isinstance(feature, dict) and feature.get("_type") == "ClassLabel" and column in schema.names
        }
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
        return {}  # notes of another kind


def _rows(file: Path, table: pq.ParquetFile, columns: _Columns) -> Iterator[tuple[int, bytes, str]]:
    """Number, image and class of each row, counted from 0.

    Raises
    ------
    RivalryError
        A row lacks its image or label; the line names the row.
    """
    largest = max((_unpacked(table.metadata.row_group(i)) for i in range(table.metadata.num_row_groups)), default=1)
    if largest > MAX_BYTES:
        raise RivalryError(f"{file}: a group of rows unpacks to over {MAX_BYTES >> 30} GiB")
    # Each value may be the same one of the file's dictionary, as large as all of them together are said to be.
    at_once = max(1, min(ROWS_AT_ONCE, MAX_MEMBER_BYTES // max(largest, 1)))
    row = 0
    for batch in table.iter_batches(at_once, columns=[columns.image, columns.label]):
        images, labels = batch.column(columns.image), batch.column(columns.label)
        for image, label in zip(images, labels.to_pylist(), strict=True):
            content: Any = image.as_py()
            if isinstance(content, dict):
                if content.get("bytes") is None and content.get("path"):
                    raise RivalryError(
                        f"{file}: row {row}: has the path of an image and not its bytes; save the images in the file, "
                        "or give a CSV of paths"
                    )
                content = content.get("bytes")
            if content is None:
                raise RivalryError(f"{file}: row {row}: has no image")
            if len(content) > MAX_MEMBER_BYTES:
                raise RivalryError(f"{file}: row {row}: the image is larger than {MAX_MEMBER_BYTES >> 20} MiB")
            yield row, content, _class(file, row, label, columns)
            row += 1


def _unpacked(group: pq.RowGroupMetaData) -> int:
    return max(int(group.column(i).total_uncompressed_size) for i in range(group.num_columns))


def _class(file: Path, row: int, label: int | str | None, columns: _Columns) -> str:
    if label is None:
        raise Unfit("label", f"{file}: row {row}: has no label in column '{columns.label}'")
    if columns.classes is None or isinstance(label, str):
        return str(label)
    if label == UNLABELLED:
        raise Unfit("label", f"{file}: row {row}: has label -1, which means unknown; leave this split out")
    if not 0 <= label < len(columns.classes):
        raise Unfit("label", f"{file}: row {row}: label {label} is none of the {len(columns.classes)} named classes")
    return columns.classes[label]
