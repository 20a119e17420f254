"""Files that stages hand to each other: tensors in safetensors, tables in Parquet or CSV, facts in JSON.

Every file appears under its name only when it is complete: it is written beside it and renamed. A stage ends by
writing a manifest of its files' SHA-256 and of what they are about; whoever reads a file compares.
"""

from __future__ import annotations

import hashlib
import io
import json
import math
import os
import re
import socket
import tempfile
import time
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from rivalry.errors import RivalryError
from rivalry.layout import MANIFESTS, Place

if TYPE_CHECKING:
    import pandas as pd
    import torch


REPAIR = "`rivalry verify` tells how to make it again"
HOST = re.sub(r"[^A-Za-z0-9-]", "-", socket.gethostname())
UNFINISHED = re.compile(r"\.partial-(?P<writer>\d+)@(?P<host>[A-Za-z0-9-]*)\.\w+(\.\w+)?$")
"""How the name of a temporary file ends: who writes it, and where."""


@contextmanager
def replacing(path: str | Path) -> Iterator[Path]:
    """Yield a temporary path beside `path`; rename it to `path` if the block succeeds, else remove it.

    The temporary name tells the writer's process and machine, so that `sweep` can remove what a killed one left.
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    prefix = f".{path.stem}.partial-{os.getpid()}@{HOST}."
    handle, name = tempfile.mkstemp(prefix=prefix, suffix=path.suffix, dir=path.parent)
    os.close(handle)
    temporary = Path(name)
    try:
        yield temporary
        umask = os.umask(0)
        os.umask(umask)
        temporary.chmod(0o666 & ~umask)
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)


def sweep(folder: str | Path, *, forgotten: float = 24 * 3600) -> list[Path]:
    """Remove the temporary files below `folder` whose writer is gone, and return them.

    On this machine a writer is gone when its process is. Elsewhere nobody can tell, so that a file must not have
    been written to for `forgotten` seconds.
    """
    removed = []
    for file in sorted(Path(folder).rglob(".*.partial-*")):
        found = UNFINISHED.search(file.name)
        try:
            if found is None or not file.is_file() or file.is_symlink():
                continue
            here = found["host"] == HOST
            if not _lives(int(found["writer"])) if here else file.stat().st_mtime < time.time() - forgotten:
                file.unlink()
                removed.append(file)
        except FileNotFoundError:
            continue  # its writer has just finished
    return removed


def _lives(process: int) -> bool:
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except (PermissionError, OverflowError):
        return True
    return True


def write_text(path: str | Path, text: str) -> None:
    with replacing(path) as temporary:
        temporary.write_text(text, encoding="utf-8")


def write_tensors(path: str | Path, tensors: dict[str, torch.Tensor]) -> None:
    """Write named tensors (moved to the CPU, made contiguous) as safetensors.

    One that shares its memory with another, as a network's tied weights do, is written like any other.
    """
    from safetensors.torch import save_file

    apart: dict[str, torch.Tensor] = {}
    memories = set()
    for name, tensor in tensors.items():
        plain = tensor.detach().cpu().contiguous()
        memory = plain.untyped_storage().data_ptr()
        apart[name] = plain.clone() if memory in memories else plain
        memories.add(memory)
    with replacing(path) as temporary:
        save_file(apart, str(temporary))


def read_tensors(path: str | Path) -> dict[str, torch.Tensor]:
    from safetensors.torch import load_file

    check_bytes(path)  # apart: images are not held twice
    try:
        return load_file(str(path))
    except Exception as error:
        raise _unreadable(path, error) from error


@contextmanager
def open_tensors(path: str | Path, framework: Literal["pt", "np"] = "pt") -> Iterator[Any]:
    """A safetensors file from which single tensors, or parts of them, are read."""
    from safetensors import safe_open

    check_bytes(path)
    try:
        file = safe_open(path, framework=framework)
    except Exception as error:
        raise _unreadable(path, error) from error
    with file as tensors:
        yield tensors


def write_json(path: str | Path, facts: object) -> None:
    """Write JSON with sorted keys; NaN and infinities, which JSON lacks, become null."""
    write_text(path, json.dumps(_plain(facts), indent=2, sort_keys=True, ensure_ascii=False) + "\n")


def read_json(path: str | Path) -> Any:
    with reading(path) as data:
        return json.loads(data)


def read_text(path: str | Path) -> str:
    with reading(path) as data:
        return data.decode("utf-8")


def write_table(path: str | Path, table: pd.DataFrame) -> None:
    """Write a table as Parquet or CSV, by the file's suffix."""
    with replacing(path) as temporary:
        if Path(path).suffix == ".parquet":
            table.to_parquet(temporary, index=False)
        else:
            table.to_csv(temporary, index=False, lineterminator="\n")


def read_table(path: str | Path) -> pd.DataFrame:
    """A Parquet table, or a CSV one of numbers; CSV tables with names in them are `rivalry.statistics.tables`'s."""
    import pandas as pd

    with reading(path) as data:
        if Path(path).suffix == ".parquet":
            return pd.read_parquet(io.BytesIO(data))
        return pd.read_csv(io.BytesIO(data))


def checksum(path: str | Path) -> str:
    """The file's SHA-256 in hexadecimal."""
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def write_manifest(place: Place, files: Iterable[Path] | None = None) -> None:
    """Record the checksums of what a stage wrote, and what it is about.

    Parameters
    ----------
    place : Place
    files : iterable of Path, optional
        Files in its folder; by default those that are always there.
    """
    listed = {str(file.relative_to(place.folder)): checksum(file) for file in (place.files if files is None else files)}
    content = {"stage": place.stage, "about": place.about, "files": listed}
    write_json(place.manifest, content | {"sha256": _own_checksum(content)})


def _own_checksum(content: Mapping[str, object]) -> str:
    """A manifest's checksum of itself: what guards all other files must not change unnoticed."""
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()


def read_manifest(path: str | Path) -> dict[str, Any]:
    """A manifest's `stage`, `about` (names) and `files` (name to SHA-256).

    Raises
    ------
    RivalryError
        It is not what was written.
    """
    try:
        content = json.loads(Path(path).read_bytes())
        if content.pop("sha256") != _own_checksum(content):
            raise ValueError("its checksum differs")
        return {key: content[key] for key in ("stage", "about", "files")}
    except FileNotFoundError:
        raise RivalryError(f"{path}: no such file; {REPAIR}") from None
    except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise RivalryError(f"{path}: is not what was written; {REPAIR}") from error


def identify(place: Place) -> dict[str, str]:
    """Make sure that its stage wrote a place, about what is meant: another attack's folder is whole, and wrong.

    Returns
    -------
    dict
        All names that its manifest holds.

    Raises
    ------
    RivalryError
        There is no manifest, or it names something else.
    """
    found: dict[str, str] = read_manifest(place.manifest)["about"]
    for key, name in place.about.items():
        if found.get(key) != name:
            raise RivalryError(f"{place.folder}: holds {key} {found.get(key)}, not {name}; {REPAIR}")
    return found


_demanding = False


@contextmanager
def manifests_demanded() -> Iterator[None]:
    """Read only files that a manifest lists. The command line does so: what it reads, it wrote.

    In Python, files that users wrote themselves are read as well, as long as no manifest says that they are others.
    """
    global _demanding
    before, _demanding = _demanding, True
    try:
        yield
    finally:
        _demanding = before


def check_bytes(path: str | Path, data: bytes | None = None) -> None:
    """Compare a file, or the bytes that were read from it, with its manifest's checksum.

    Raises
    ------
    RivalryError
        The file is missing, or is not what was written.
    """
    path = Path(path)
    if not path.is_file():
        raise RivalryError(f"{path}: no such file")
    expected, damaged = [], None
    for manifest in sorted(path.parent.glob(MANIFESTS)):
        try:
            files = read_manifest(manifest)["files"]
        except RivalryError as error:
            damaged = error
            continue
        expected += [files[path.name]] if path.name in files else []
    if not expected and damaged:
        raise damaged
    if not expected and _demanding:
        raise RivalryError(f"{path}: no manifest (.STAGE.manifest.json) beside it lists it; {REPAIR}")
    if expected:
        found = _checksum_once(path, *_state(path)) if data is None else hashlib.sha256(data).hexdigest()
        if found not in expected:
            raise RivalryError(f"{path}: is not what was written; {REPAIR}")


def _state(path: Path) -> tuple[int, ...]:
    stat = path.stat()
    return stat.st_ino, stat.st_size, stat.st_mtime_ns, stat.st_ctime_ns


@cache
def _checksum_once(path: Path, *state: int) -> str:
    return checksum(path)


@contextmanager
def reading(path: str | Path) -> Iterator[bytes]:
    """A file's bytes, which are those that were written, and one line for whatever cannot be made of them."""
    if not Path(path).is_file():
        raise RivalryError(f"{path}: no such file")
    try:
        data = Path(path).read_bytes()
    except OSError as error:
        raise _unreadable(path, error) from error
    check_bytes(path, data)
    try:
        yield data
    except Exception as error:
        raise _unreadable(path, error) from error


def _unreadable(path: str | Path, error: Exception) -> RivalryError:
    why = str(error).splitlines()[0] if str(error) else type(error).__name__
    return RivalryError(f"{path}: cannot be read ({why}); {REPAIR}")


def _plain(value: object) -> object:
    """The value in JSON's types: NumPy scalars unwrapped, non-finite numbers null, paths and keys strings."""
    if isinstance(value, dict):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple | set | frozenset):
        return [_plain(item) for item in (sorted(value) if isinstance(value, set | frozenset) else value)]
    if isinstance(value, bool | str | int) or value is None:
        return value
    if hasattr(value, "item"):
        return _plain(value.item())
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    return str(value)
