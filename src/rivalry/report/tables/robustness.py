"""Worst cases per image: the most important numbers."""

from __future__ import annotations

from rivalry.formatting import MISSING, NORMS, epsilon, guarded, listing, tied
from rivalry.report.tables._table import Column, Row, Table
from rivalry.statistics import marks


def rankings(report: Row) -> list[Table]:
    """The worst cases of each data set and norm at the budget to compare at, best first."""
    return [_ranking(place) for place in report["rankings"]]


def _ranking(place: Row) -> Table:
    limit = "of any size" if place["eps"] is None else f"ε {epsilon(place['eps'])}"
    norm = NORMS[place["norm"]]
    rows = [_case(row) for row in place["rows"] if not row["reason"]]
    by_size = place["eps"] is None
    reasons: dict[str, list[str]] = {}
    for row in place["rows"]:
        if row["reason"]:
            reasons.setdefault(row["reason"], []).append(guarded(row["victim"], row["defense"]))
    left_out = "; ".join(f"{listing(names)} ({reason})" for reason, names in reasons.items())
    return Table(
        f"{place['dataset']}-ranking-{place['norm']}",
        f"{place['dataset']}: {norm} {limit}",
        "Best first; but a place is no verdict: whether two classifiers differ is tested under comparisons. The worst "
        "case is the share of images that the classifier had right and that no attack turned."
        + (
            " Classifiers are sorted by the smallest change that the median image needed, over the images that all of "
            "them had right (“right”)."
            if by_size
            else ""
        )
        + (f" Not measured: {left_out}." if left_out else ""),
        [
            Column("classifier", "classifier", "name", width=0.2),
            Column("clean_accuracy", "clean %", "rate"),
            Column("accuracy", "worst case %", "rate", low="low", high="high"),
            Column("n", "n", "count"),
            *([Column("median_distance", "median change", "number")] if by_size else []),
            *([Column("n_right", "right", "count")] if by_size else []),
            Column("strongest", "strongest attack", width=0.2),
            Column("trust", "remarks", width=0.2),
        ],
        rows,
    ).with_seeds("accuracy")


def worst_cases(report: Row, dataset: str) -> Table:
    rows = [
        _case(case)
        | {
            "norm": NORMS[case["norm"]],
            "limit": "none" if case["eps"] is None else epsilon(case["eps"]),
            "tried": ", ".join(case["attacks"]),
        }
        for case in report["worst_cases"]
        if case["dataset"] == dataset
    ]
    return Table(
        f"{dataset}-worst-case",
        "Worst case per image",
        "An image counts only when the classifier has it right and no attack of the norm turned it with a change "
        "within the budget. An attack counts at a budget where it was run with it, or when it looks for the smallest "
        "change; n are the images that all attacks met. A defended classifier is judged by all attacks together, those "
        "that know the defense and those that do not. The median change is that of the smallest changes that any "
        "attack found, over the images that were right (“right”).",
        [
            Column("classifier", "classifier", "name", width=0.19),
            Column("norm", "norm"),
            Column("limit", "budget ε"),
            Column("n", "n", "count"),
            Column("clean_accuracy", "clean %", "rate"),
            Column("accuracy", "worst case %", "rate", low="low", high="high"),
            Column("median_distance", "median change", "number"),
            Column("n_right", "right", "count", paper=False),
            Column("strongest", "strongest attack", width=0.14),
            Column("tried", "attacks", paper=False),
            Column("trust", "remarks", width=0.2),
        ],
        rows,
    ).with_seeds("accuracy")


def _case(case: Row) -> Row:
    """A worst case for readers: what it is called, and what stands in place of a number that was not measured."""
    trust = f"not measured: {case['reason']}" if case["reason"] else marks.words(case["marks"])
    return case | {
        "classifier": guarded(case["victim"], case["defense"]),
        "strongest": MISSING if case["reason"] else tied(case["strongest"]) or "none turned an image",
        "trust": trust,
    }
