"""The works that methods name as their source, and that the report's words cite: ours, and those of users' plugins."""

from __future__ import annotations

import re
from collections.abc import Iterable
from functools import cache
from pathlib import Path
from typing import Any

import yaml

from rivalry import registry
from rivalry.errors import RivalryError

Work = dict[str, Any]


@cache
def our_references() -> dict[str, Work]:
    """Citation key -> authors, year, title, venue and, where there is one, url."""
    works: dict[str, Work] = yaml.safe_load((Path(__file__).parent / "references.yaml").read_text(encoding="utf-8"))
    return works


def all_references() -> dict[str, Work]:
    """The same, with the works that the plugins in use bring."""
    return {**our_references(), **registry.in_use().works}


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
        raise RivalryError(f"source '{key}' is not in references.yaml; add the work there") from None
    names = work["authors"]
    authors = ", ".join(names) if len(names) <= 3 else f"{names[0]} et al."
    return f"{authors} ({work['year']}). {work['title']}. {work['venue']}. {work.get('url', '')}".strip()


def named(key: str) -> str:
    """A work on file as a sentence names it: 'Carlini and Wagner 2017'."""
    work = all_references()[key]
    return f"{authors(work)} {work['year']}"


def source_of(kind: str, method: str) -> str:
    """The citation key that a registered method names, or ''."""
    return registry.method(kind, method).traits.get("source", "") if method in registry.names(kind) else ""


def works(keys: Iterable[str]) -> dict[str, Work]:
    """The works on file under these keys, sorted by author."""
    known = all_references()
    return {key: known[key] for key in sorted(known.keys() & set(keys), key=lambda key: (known[key]["authors"], key))}


def authors(work: Work) -> str:
    """The authors as a citation names them: one, two, or the first and others."""
    families = surnames(work)
    return f"{families[0]} et al." if len(families) > 2 else " and ".join(families)


def surnames(work: Work) -> list[str]:
    """The authors' names in 'Family I. J.' form without the initials."""
    return [re.sub(r"( \S+\.)+$", "", name) for name in work["authors"]]
