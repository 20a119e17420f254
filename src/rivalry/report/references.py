"""The works that methods name as their source."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import Any

import yaml

from rivalry import registry
from rivalry.errors import RivalryError


@cache
def all_references() -> dict[str, dict[str, Any]]:
    """Citation key -> authors, year, title, venue and, where there is one, url."""
    return yaml.safe_load((Path(__file__).parent / "references.yaml").read_text(encoding="utf-8"))


def cite(key: str) -> str:
    """A work in one line: authors (three at most), year, title, venue, address.

    Raises
    ------
    RivalryError
        No work is on file under this key.
    """
    try:
        work = all_references()[key]
    except KeyError:
        raise RivalryError(f"source '{key}' is not in report/references.yaml; add the work there") from None
    names = work["authors"]
    authors = ", ".join(names) if len(names) <= 3 else f"{names[0]} et al."
    return f"{authors} ({work['year']}). {work['title']}. {work['venue']}. {work.get('url', '')}".strip()


def source_of(kind: str, method: str) -> str:
    """The citation key that a registered method names, or ''."""
    return registry.method(kind, method).traits.get("source", "") if method in registry.names(kind) else ""
