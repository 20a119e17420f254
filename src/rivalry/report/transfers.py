"""Which of the sets that were replayed on other victims the report shows."""

from __future__ import annotations

from typing import Any

from rivalry.formatting import missing
from rivalry.statistics.worst_case import headline_budget

Row = dict[str, Any]


def at_headline(rows: list[Row]) -> list[Row]:
    """The rows of each attack at its largest eps up to its norm's headline budget; all of an attack without eps.

    An attack that only met larger budgets is shown at its smallest.
    """
    limited = [row for row in rows if not missing(row["eps"])]
    headline = {
        norm: headline_budget(row["eps"] for row in limited if row["norm"] == norm)
        for norm in dict.fromkeys(row["norm"] for row in limited)
    }
    chosen: dict[str, float] = {}
    for attack in dict.fromkeys(row["attack"] for row in limited):
        met = [row["eps"] for row in limited if row["attack"] == attack]
        norm = next(row["norm"] for row in limited if row["attack"] == attack)
        chosen[attack] = max((eps for eps in met if eps <= headline[norm]), default=min(met))
    return [row for row in rows if missing(row["eps"]) or row["eps"] == chosen[row["attack"]]]
