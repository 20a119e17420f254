"""Files that stages hand to each other: tensors in safetensors, tables in Parquet or CSV, facts in JSON.

Every file appears under its name only when it is complete: it is written beside it and renamed. A stage ends by
writing a manifest of its files' SHA-256, which `rivalry verify` checks.
"""

from __future__ import annotations

import hashlib
import json
import math
import os
import re
import socket
import tempfile
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rivalry.errors import RivalryError

if TYPE_CHECKING:
    import pandas as pd
    import torch


HOST = re.sub(r"[^A-Za-z0-9-]", "-", socket.gethostname())
UNFINISHED = re.compile(r"\.partial-(?P<writer>\d+)@(?P<host>[A-Za-z0-9-]*)\.\w+(\.\w+)?$")
"""How the name of a temporary file ends: who writes it, and where."""


TEXT = (
    *("dataset", "victim", "attack", "defense", "source", "a", "b", "where", "what", "metric", "subject", "check"),
    *("victim_a", "attack_a", "defense_a", "victim_b", "attack_b", "defense_b", "strongest", "attacks", "reason"),
    *("kind", "setting", "goal", "target", "sees", "norm", "budget", "verdict", "status", "note", "found", "images"),
)
"""Columns of CSV tables whose cells are text: a victim may be called 007 or true, and the norms 2 and inf are names."""


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
    """Write named tensors (moved to the CPU, made contiguous) as safetensors."""
    from safetensors.torch import save_file

    with replacing(path) as temporary:
        save_file({name: t.detach().cpu().contiguous() for name, t in tensors.items()}, str(temporary))


def read_tensors(path: str | Path) -> dict[str, torch.Tensor]:
    from safetensors.torch import load_file

    with _reading(path):
        return load_file(str(path))


def write_json(path: str | Path, facts: Any) -> None:
    """Write JSON with sorted keys; NaN and infinities, which JSON lacks, become null."""
    write_text(path, json.dumps(_plain(facts), indent=2, sort_keys=True, ensure_ascii=False) + "\n")


def read_json(path: str | Path) -> Any:
    with _reading(path):
        return json.loads(Path(path).read_text(encoding="utf-8"))


def write_table(path: str | Path, table: pd.DataFrame) -> None:
    """Write a table as Parquet or CSV, by the file's suffix."""
    with replacing(path) as temporary:
        if Path(path).suffix == ".parquet":
            table.to_parquet(temporary, index=False)
        else:
            table.to_csv(temporary, index=False, lineterminator="\n")


def read_table(path: str | Path) -> pd.DataFrame:
    import pandas as pd

    with _reading(path):
        if Path(path).suffix == ".parquet":
            return pd.read_parquet(path)
        return pd.read_csv(path, keep_default_na=False, na_values=[""], dtype=dict.fromkeys(TEXT, str))


def checksum(path: str | Path) -> str:
    """The file's SHA-256 in hexadecimal."""
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def manifest_path(folder: str | Path, stage: str) -> Path:
    return Path(folder) / f".{stage}.manifest.json"


def write_manifest(folder: str | Path, stage: str, files: Iterable[str | Path]) -> None:
    """Record the checksums of the files that `stage` wrote into `folder`."""
    folder = Path(folder)
    entries = {str(Path(file).relative_to(folder)): checksum(file) for file in files}
    write_json(manifest_path(folder, stage), {"stage": stage, "files": entries})


def verify(results: str | Path) -> tuple[int, list[tuple[Path, str]]]:
    """Check every artifact below `results` against its manifest.

    Returns the number of files checked and a list of (file, what is wrong with it).
    """
    checked, faults = 0, []
    for manifest in sorted(Path(results).rglob(".*.manifest.json")):
        try:
            entries = json.loads(manifest.read_text(encoding="utf-8"))["files"]
        except (ValueError, KeyError, TypeError):
            faults.append((manifest, "manifest is unreadable"))
            continue
        for name, expected in entries.items():
            file = manifest.parent / name
            checked += 1
            if not file.is_file():
                faults.append((file, "is missing"))
            elif checksum(file) != expected:
                faults.append((file, "differs from what was written"))
    return checked, faults


@contextmanager
def _reading(path: str | Path) -> Iterator[None]:
    if not Path(path).is_file():
        raise RivalryError(f"{path}: no such file")
    try:
        yield
    except Exception as error:
        why = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise RivalryError(f"{path}: cannot be read ({why}); delete it and run again") from error


def _plain(value: Any) -> Any:
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
