"""CSV tables whose columns have kinds: what is written is what is read back, types too."""

from __future__ import annotations

import csv
import io
import math
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any, Literal

import pandas as pd

from rivalry.artifacts import reading, write_table

Kind = Literal["text", "list", "number", "count", "flag"]

DTYPES: dict[Kind, str] = {"text": "object", "list": "object", "number": "float64", "count": "Int64", "flag": "boolean"}
BETWEEN = "; "
"""Stands between the items of a list in its cell."""

PARSERS: dict[Kind, Callable[[str], Any]] = {
    "text": str,
    "list": lambda cell: cell.split(BETWEEN) if cell else [],
    "number": lambda cell: float(cell) if cell else math.nan,
    "count": lambda cell: int(cell) if cell else None,
    "flag": lambda cell: {"True": True, "False": False, "": None}[cell],
}


class Table:
    """The columns of a CSV table and their kinds.

    Text is one line; "" is a text, and what is missing is "". A victim may be called 007 or true, and the norms 2 and
    inf are names. Lists hold such texts, none of them empty. Missing numbers are NaN, missing counts and flags NA.

    Parameters
    ----------
    *columns : (kind, names)
        Kinds are text, list, number, count (an integer) and flag (true or false); names have spaces between.
    """

    def __init__(self, *columns: tuple[Kind, str]) -> None:
        self.kinds: dict[str, Kind] = {name: kind for kind, names in columns for name in names.split()}

    @property
    def columns(self) -> list[str]:
        return list(self.kinds)

    def frame(self, rows: Iterable[Mapping[str, Any]]) -> pd.DataFrame:
        """Rows as a data frame with this table's columns; what a row does not name is missing."""
        table = pd.DataFrame(list(rows), columns=self.columns)
        texts = table[[name for name, kind in self.kinds.items() if kind == "text"]].astype(object)
        table[texts.columns] = texts.where(texts.notna(), "").map(str)
        return table.astype({name: DTYPES[kind] for name, kind in self.kinds.items()})

    def write(self, path: str | Path, rows: pd.DataFrame | Iterable[Mapping[str, Any]]) -> None:
        table = rows if isinstance(rows, pd.DataFrame) else self.frame(rows)
        lists = [name for name, kind in self.kinds.items() if kind == "list"]
        write_table(path, table[self.columns].assign(**{name: table[name].map(BETWEEN.join) for name in lists}))

    def read(self, path: str | Path) -> pd.DataFrame:
        """The data frame that was written.

        Raises
        ------
        RivalryError
            The file is missing or damaged, or has other columns.
        """
        with reading(path) as data:
            names, *rows = csv.reader(io.StringIO(data.decode("utf-8"), newline=""))
            if names != self.columns:
                raise ValueError(f"its columns are not {', '.join(self.columns)}")
            parsers = [PARSERS[kind] for kind in self.kinds.values()]
            cells = ([parse(cell) for parse, cell in zip(parsers, row, strict=True)] for row in rows)
            return self.frame(dict(zip(names, row, strict=True)) for row in cells)


def records(table: pd.DataFrame) -> list[dict[str, Any]]:
    """The table's rows as dictionaries; what is missing is None."""
    rows: list[Any] = table.astype(object).where(table.notna(), None).to_dict("records")
    return rows
