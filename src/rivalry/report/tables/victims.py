"""The trained classifiers."""

from __future__ import annotations

from rivalry.formatting import settings
from rivalry.report.tables._table import MARK, Column, Row, Table, mark
from rivalry.statistics import marks


def victims(report: Row, dataset: str) -> Table:
    rows = [
        fact
        | {
            "architecture": fact["architecture"] or fact["parameters"]["model"],
            "settings": settings(fact["parameters"]),
            "trained_on": "elsewhere" if fact["architecture"] is None else fact["poisoning"] or "clean data",
            **mark(marks.of_victim(report["checks"], fact)),
        }
        for fact in report["victims"]
        if fact["dataset"] == dataset
    ]
    return Table(
        f"{dataset}-victims",
        "Victims",
        "Accuracy on the whole test split with its Wilson interval. The epoch that was kept had the best "
        f"result on validation images, which are split off the training images. {marks.MEANING}",
        [
            Column("victim", "victim", "name", width=0.12),
            MARK,
            Column("architecture", "architecture", "code", width=0.14),
            Column("method", "training", "code", width=0.19),
            Column("source", "source", "cite", paper=False),
            Column("trained_on", "trained on", width=0.11),
            Column("settings", "parameters", paper=False),
            Column("parameters_count", "weights", "count"),
            Column("best_epoch", "epoch kept", "count", paper=False),
            Column("epochs_run", "epochs", "count"),
            Column("validation_accuracy", "validation %", "rate", paper=False),
            Column("clean_accuracy", "clean %", "rate", low="clean_low", high="clean_high"),
            Column("n_test", "n", "count", paper=False),
            Column("seconds", "time", "time"),
        ],
        rows,
    )
