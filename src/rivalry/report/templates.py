"""The templates, and what those of the page and of the paper have in common."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jinja2

from rivalry import formatting
from rivalry.errors import RivalryError

FOLDER = (Path(__file__).parent / "templates").resolve()
"""The checkout's report/, which is linked here; in an installed package a copy of it."""


def environment(kind: str, **options: Any) -> jinja2.Environment:
    """The templates of a kind (html or latex); a name that is missing in report.json is an error."""
    made = jinja2.Environment(
        loader=jinja2.FileSystemLoader(FOLDER / kind),
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
        **options,
    )
    made.globals["formatting"] = formatting
    return made


def render(made: jinja2.Environment, name: str, **facts: Any) -> str:
    """Fill a template.

    Raises
    ------
    RivalryError
        It, or one that it includes, is missing or cannot be read; the line names the file.
    """
    folder = made.loader.searchpath[0] if isinstance(made.loader, jinja2.FileSystemLoader) else ""
    try:
        return made.get_template(name).render(**facts)
    except jinja2.TemplateNotFound as missing:
        raise RivalryError(f"{Path(folder) / str(missing.name)}: no such template") from None
    except jinja2.TemplateSyntaxError as fault:
        raise RivalryError(f"{fault.filename}, line {fault.lineno}: {fault.message}") from None


def pieces(words: str) -> Iterator[tuple[str, str]]:
    """The pieces of a section's words: ("text", ...), ("strong", ...), and ("cite", "athalye2018,tramer2020")."""
    for piece in re.split(r"(\{cite:[a-z0-9,]+\}|\*\*.+?\*\*)", words):
        if piece.startswith("{cite:"):
            yield "cite", piece[6:-1]
        elif piece.startswith("**"):
            yield "strong", piece[2:-2]
        elif piece:
            yield "text", piece
