"""What the self-checks say: how many of each kind pass, and which of them touch a number."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from typing import Any

from rivalry.statistics.checked import STATUSES

Row = Mapping[str, Any]


def summary(checks: Iterable[Row]) -> list[dict[str, Any]]:
    """How each kind of check came out: rows of check, n, pass, warn, fail, in the order of the checks."""
    kinds: dict[str, dict[str, Any]] = {}
    for row in checks:
        kind = kinds.setdefault(row["check"], {"check": row["check"], "n": 0, **dict.fromkeys(STATUSES, 0)})
        kind["n"] += 1
        kind[row["status"]] += 1
    return list(kinds.values())


def touching(
    checks: Iterable[Row],
    *,
    dataset: str | None = None,
    victim: str | None = None,
    defense: str | None = None,
    attack: str | None = None,
    eps: float | None = None,
    setting: str | None = None,
) -> list[Row]:
    """The warnings and failures that touch a number, failures first.

    A check's empty cell stands for all: one about a victim touches that victim's numbers under every attack. Here
    None stands for any: a number made of several attacks (a worst case) is touched by what touches one of them.

    Parameters
    ----------
    checks : iterable of mappings
        Rows of checks.csv or report.json.
    dataset, victim, attack : str, optional
        What the number is about. A fooling method stands in the place of an attack.
    defense : str, optional
        "none" for an undefended victim.
    eps : float, optional
        NaN for a number of an attack without eps: then checks at one eps do not touch it.
    setting : str, optional
        "oblivious" where the attack was made on the undefended victim, so that checks of this attack there count
        instead of those of the adaptive one. Other settings change nothing.

    Returns
    -------
    list of mappings
        The rows, as given.
    """
    attacked = "none" if setting == "oblivious" else defense

    def touches(row: Row) -> bool:
        if row["status"] == "pass":
            return False
        # What an attack made, it made on the victim it was run on; what a victim answers, it answers defended.
        behind = attacked if _filled(row["attack"]) else defense
        names = {"dataset": dataset, "victim": victim, "defense": behind}
        return (
            all(wanted is None or not _filled(row[key]) or row[key] == wanted for key, wanted in names.items())
            and (attack is None or not _filled(row["attack"]) or attack in row["attack"].split())
            and (eps is None or not _filled(row["eps"]) or math.isclose(row["eps"], eps, rel_tol=1e-9))
        )

    return sorted(filter(touches, checks), key=lambda row: row["status"] != "fail")


def _filled(cell: Any) -> bool:
    """Whether a cell says something: tables write nothing as "", JSON as null, pandas as NaN."""
    return not (cell is None or cell == "" or (isinstance(cell, float) and math.isnan(cell)))
