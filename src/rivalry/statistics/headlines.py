"""Which budgets a report looks at: where it compares, who leads there, which replayed sets it shows, and from which
budget on an attack misclassifies nearly all; and how attacks are listed."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

import pandas as pd

Row = dict[str, Any]

MATCH = ("dataset", "victim", "attack", "defense", "setting")
"""What the scores of one match have in common, whatever their budget."""


class Listed(NamedTuple):
    """An attack as a worst case lists it: pgd, pgd from VICTIM (replayed), or pgd (oblivious)."""

    attack: str
    source: str = ""
    oblivious: bool = False

    def __str__(self) -> str:
        return self.attack + (f" from {self.source}" if self.source else " (oblivious)" if self.oblivious else "")

    @classmethod
    def read(cls, text: str) -> Listed:
        attack, _, rest = text.partition(" ")
        return cls(attack, rest.removeprefix("from ") if rest != "(oblivious)" else "", rest == "(oblivious)")


def headline_budget(budgets: Iterable[float]) -> float:
    """The budget to compare classifiers at, given that of each of their cases: the one that most of them met.

    Of several such, the largest. A budget that only one victim met compares nothing.
    """
    met = Counter(budgets)
    return max(met, key=lambda eps: (met[eps], eps))


MISCLASSIFIED = 0.9
"""The share of images by which DeepFool's authors choose the budget of an attack that does not look for one."""


def smallest_budgets(scores: Iterable[Row], share: float = MISCLASSIFIED) -> list[Row]:
    """Of each match, the row at the smallest of its budgets at which `share` of all n images are misclassified.

    Images that are misclassified without an attack count. A match that none of its budgets brings there has no row,
    and neither has an attack without budgets.
    """
    first: dict[tuple[str, ...], Row] = {}
    for row in sorted((row for row in scores if pd.notna(row["eps"])), key=lambda row: float(row["eps"])):
        held = round(row["adversarial_accuracy"] * row["n"])
        if row["goal"] == "untargeted" and row["n"] - held >= share * row["n"] - 1e-9:
            first.setdefault(tuple(row[key] for key in MATCH), row)
    return list(first.values())


def ranking(rows: Sequence[Row]) -> list[Row]:
    """The headline rows of one data set and norm, best first; what was not measured comes last.

    Where no budget was set, by the smallest change that the median image needed.
    """

    def place(row: Row) -> tuple[float, ...]:
        if row["reason"]:
            return (1, 0, 0)
        needed = math.inf if row["median_distance"] is None else row["median_distance"]
        return (0, -needed, -row["accuracy"]) if row["eps"] is None else (0, -row["accuracy"], -needed)

    return sorted((row for row in rows if row["headline"]), key=place)


def at_headline(transfers: Sequence[Row], cases: Sequence[Row]) -> list[Row]:
    """One data set's replayed sets at the budget that its worst cases compare at.

    Of each attack the rows at its largest eps up to its norm's headline budget, or at its smallest where it only met
    larger ones; all of an attack without eps.
    """
    headline = {case["norm"]: case["eps"] for case in cases if case["headline"] and case["eps"] is not None}
    limited = [row for row in transfers if pd.notna(row["eps"])]
    chosen: dict[str, float] = {}
    for attack, norm in dict.fromkeys((row["attack"], row["norm"]) for row in limited):
        met = [row["eps"] for row in limited if row["attack"] == attack]
        chosen[attack] = max((eps for eps in met if eps <= headline.get(norm, math.inf)), default=min(met))
    return [row for row in transfers if pd.isna(row["eps"]) or row["eps"] == chosen[row["attack"]]]
