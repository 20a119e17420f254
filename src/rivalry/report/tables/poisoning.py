"""Poisoned training sets, and what their triggers achieve."""

from __future__ import annotations

from rivalry.formatting import settings
from rivalry.report.tables._table import MARK, Column, Row, Table, mark
from rivalry.report.tables.victims import trained_on
from rivalry.statistics import marks


def poisonings(report: Row, dataset: str) -> Table:
    rows = [
        fact | {"settings": settings(fact["parameters"])} for fact in report["poisonings"] if fact["dataset"] == dataset
    ]
    return Table(
        f"{dataset}-poisonings",
        "Poisonings",
        "What was done to the training data. The shares are those of poisoned images among all images of the poisoned "
        "set, and among those that it labels as the target class.",
        [
            Column("poisoning", "poisoning", "name"),
            Column("method", "method", "code"),
            Column("source", "source", "cite", width=0.16),
            Column("settings", "parameters", width=0.3),
            Column("n_poisoned", "poisoned", "count"),
            Column("n_train", "training images", "count"),
            Column("share_of_all", "of all %", "rate"),
            Column("share_of_target", "of the target class %", "rate"),
        ],
        rows,
    )


def triggers(report: Row, dataset: str) -> Table:
    names = {a["attack"] for a in report["attacks"] if a["dataset"] == dataset and "poisoning" in a["parameters"]}
    poisons = {v["victim"]: trained_on(v) for v in report["victims"] if v["dataset"] == dataset}
    rows = [
        row | {"trained_on": poisons[row["victim"]], **mark(marks.of_score(report["checks"], row))}
        for row in report["scores"]
        if row["dataset"] == dataset and row["attack"] in names
    ]
    return Table(
        f"{dataset}-triggers",
        "What the triggers achieve",
        "Success is counted on images of other classes than the target. The rate on a victim that "
        f"was trained on clean data is the control. {marks.MEANING}",
        [
            Column("attack", "trigger", "name"),
            MARK,
            Column("victim", "victim", "name"),
            Column("trained_on", "trained on"),
            Column("defense", "defense"),
            Column("n_attacked", "n", "count"),
            Column("success_rate", "success %", "rate", low="success_low", high="success_high"),
            Column("clean_accuracy", "clean %", "rate", low="clean_low", high="clean_high"),
        ],
        rows,
    ).with_seeds("success_rate")
