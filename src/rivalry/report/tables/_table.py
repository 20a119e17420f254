"""What a table is, and what its cells say."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any

from rivalry.formatting import (
    MISSING,
    between,
    between_points,
    count,
    duration,
    epsilon,
    fine_percent,
    listing,
    missing,
    number,
    percent,
    plain,
    plural,
    points,
    probability,
    spread,
)
from rivalry.statistics import marks

Row = dict[str, Any]

FORMS: dict[str, Callable[..., str]] = {
    "rate": percent,
    "share": fine_percent,
    "points": points,
    "number": number,
    "count": count,
    "eps": epsilon,
    "p": probability,
    "time": duration,
    "spread": spread,
}
"""Forms of numbers; all others are words."""


@dataclass(frozen=True)
class Column:
    """One column.

    Attributes
    ----------
    key, title : str
        Where rows hold the value; what stands above it.
    form : str
        How it is printed: text, name, code, cite, status, mark, measure, rate, share, points, number, count, eps, p or
        time.
    low, high : str
        Keys of the interval of a rate, a difference or a mean.
    width : float
        In the paper, the share of the text width of a column of words; 0 leaves it as wide as it needs.
    paper : bool
        Whether the paper, which is narrower than a page that scrolls, has the column.
    """

    key: str
    title: str
    form: str = "text"
    low: str = ""
    high: str = ""
    width: float = 0.0
    paper: bool = True

    @property
    def numeric(self) -> bool:
        return self.form in FORMS or self.form == "measure"


@dataclass(frozen=True)
class Table:
    """A table.

    Attributes
    ----------
    name, title, note : str
        Its identifier on the page; what stands above it, in a few words and in full.
    columns, rows : list
    folded : bool
        Whether the page shows only its title until somebody opens it.
    printed : list of dict, optional
        The rows that the paper has room for; None means all, [] that the paper leaves the table out.
    omitted : str
        What the paper says about the rows that it leaves out, with their number at {}.
    """

    name: str
    title: str
    note: str
    columns: list[Column]
    rows: list[Row] = field(default_factory=list)
    folded: bool = False
    printed: list[Row] | None = None
    omitted: str = ""

    def __post_init__(self) -> None:
        for row in self.rows:
            for column in self.columns:
                if lacking := {column.key, column.low, column.high} - {"", *row}:
                    raise ValueError(f"table {self.name}: a row has no {listing(sorted(lacking))}, which is a column")

    def with_seeds(self, rate: str) -> Table:
        """The table with the spread between seeds beside a rate, where a row is of several trainings."""
        if all(row["seeds"] == 1 for row in self.rows):
            return self
        place = [column.key for column in self.columns].index(rate) + 1
        spread = Column(f"{rate}_seeds", "trainings %", "spread")
        return replace(self, columns=[*self.columns[:place], spread, *self.columns[place:]])

    def in_paper(self) -> Table:
        """The table as the paper has it."""
        rows = self.rows if self.printed is None else self.printed
        left_out = len(self.rows) - len(rows)
        note = f"{self.note} {self.omitted.format(plural(left_out, 'more row'))}" if left_out else self.note
        return replace(self, note=note, columns=[column for column in self.columns if column.paper], rows=rows)


def text(column: Column, row: Row) -> str:
    """What a cell says, without its interval."""
    value = row[column.key]
    if column.form == "measure":
        return percent(value) if row["rate"] else number(value)
    if column.form in FORMS:
        return FORMS[column.form](value)
    if missing(value):
        return "" if column.form == "mark" else MISSING
    return plain(value)


def interval(column: Column, row: Row) -> str:
    """A cell's interval, or '' where the column has none."""
    if not column.low or missing(row[column.low]):
        return ""
    ends = row[column.low], row[column.high]
    if column.form == "points":
        return between_points(*ends)
    if column.form == "number" or (column.form == "measure" and not row["rate"]):
        return f"{number(ends[0])}{' to ' if ends[0] < 0 else '–'}{number(ends[1])}"
    return between(*ends)


def mark(found: list[Row]) -> Row:
    """A row's mark, and what stands behind it."""
    reasons = "; ".join(f"{one['status']}: {one['check']}: {one['found']}" for one in found)
    return {"mark": marks.sign(found), "mark_reasons": reasons}


MARK = Column("mark", "", "mark")
LONG = 12
"""Rows from which on the page folds a table that is one of many."""
