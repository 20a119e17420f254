"""What attacks that ask the victim achieve, by the number of queries that are answered."""

from __future__ import annotations

from itertools import groupby

from rivalry.formatting import NORMS, count
from rivalry.report.tables._table import Column, Row, Table

SHOWN = (10, 30, 100, 300, 1000, 3000, 10_000)
"""Numbers of queries that the table shows; the figure and report.json have more."""
PRINTED = 3
"""Of those, for how many the paper has room, beside the narrow columns."""


def query_limits(report: Row, dataset: str) -> Table:
    """One row for each black-box attack on a victim alone, at its largest budget, and behind each limit of queries."""
    rows = [
        row for row in report["queries"] if row["dataset"] == dataset and row["success_rate"] is not None and row["n"]
    ]
    curves = [list(part) for _, part in groupby(rows, key=lambda row: [row[key] for key in (*NAMES, "eps")])]
    largest: dict[tuple[str, ...], list[Row]] = {}
    for curve in curves:
        name = tuple(str(curve[0][key]) for key in NAMES)
        if name not in largest or (curve[0]["eps"] or 0) > (largest[name][0]["eps"] or 0):
            largest[name] = curve
    met = sorted({row["limit"] for row in rows if row["limit"] is not None})
    columns = [asked for asked in SHOWN if any(curve[-1]["queries"] >= asked for curve in curves)]
    columns = sorted({*columns, *met})
    # The limits that there are, then powers of ten, the largest first.
    worth = sorted(columns, key=lambda asked: (asked not in met, str(asked).rstrip("0") != "1", -asked))
    printed = worth[:PRINTED]
    return Table(
        f"{dataset}-query-limits",
        "Success by the number of queries",
        "Attacks that see decisions or scores: the share of attacked images that had fallen by so many queries about "
        "them, in percent, with Wilson intervals; the query about the clean image counts. Without a limit, an attack "
        "does not know after how many it will be asked to stop; behind a limit it does, and plans for it, which need "
        "not do more: what a limit is worth is the larger of the two rates at that number. An attack that ended "
        "earlier keeps its rate. The limit is perfect: it recognises every query about an image and its copies. "
        "It does nothing against an attack that holds a copy of the victim or asks another one. An attack that looks "
        "for the smallest change is held against the budget of the others in its norm.",
        [
            Column("attack", "attack", "name", width=0.16),
            Column("victim", "victim", "name"),
            Column("limit", "limit", "count"),
            Column("norm", "norm"),
            Column("within", "ε", "eps"),
            Column("n", "n", "count", paper=False),
            *(
                Column(
                    f"at_{asked}",
                    f"{count(asked)} %",
                    "rate",
                    low=f"low_{asked}",
                    high=f"high_{asked}",
                    paper=asked in printed,
                )
                for asked in columns
            ),
        ],
        [_row(curve, columns) for curve in largest.values()] if columns else [],
    )


NAMES = ("victim", "defense", "attack")


def _row(curve: list[Row], columns: list[int]) -> Row:
    """One attack's curve as a row; after its last query nothing changes, and beyond a limit there is nothing."""
    first, last = curve[0], curve[-1]
    row = {key: first[key] for key in ("attack", "victim", "limit", "within", "n")}
    row["norm"] = NORMS[first["norm"]]
    for asked in columns:
        at = next((one for one in reversed(curve) if one["queries"] <= asked), None)
        if at is None or (last["limit"] is not None and asked > last["limit"]):
            at = {"success_rate": None, "low": None, "high": None}
        row |= {f"at_{asked}": at["success_rate"], f"low_{asked}": at["low"], f"high_{asked}": at["high"]}
    return row
