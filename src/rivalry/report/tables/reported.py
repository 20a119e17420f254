"""Numbers that the source documents print."""

from __future__ import annotations

from collections import Counter

from rivalry.report.tables._table import Column, Row, Table

MARKS = ("agrees", "differs", "not comparable", "no interval", "not measured")
SIZES = ("rho_adv", "auc", "seconds")
"""Metrics that are no rates, beside means and medians."""


def counts(report: Row) -> Table:
    """How many numbers of each document there are on the run's data sets, and what became of them."""
    met: dict[str, Counter[str]] = {}
    for row in report["reported"]:
        met.setdefault(row["source"], Counter())[row["mark"]] += 1
    return Table(
        "reported-counts",
        "How many numbers agree",
        "Rows of the table below, by the document that prints the number. A number that several victims of this run "
        "answer to has a row for each of them.",
        [
            Column("source", "source"),
            Column("rows", "rows", "count"),
            *(Column(mark, mark, "count") for mark in MARKS),
        ],
        [
            {"source": source, "rows": found.total(), **{mark: found[mark] for mark in MARKS}}
            for source, found in sorted(met.items())
        ],
    )


def reported(report: Row) -> Table:
    rows = [
        row
        | {
            "rate": row["metric"] not in SIZES and not row["metric"].startswith(("mean_", "median_")),
            "metric": row["metric"].replace("_", " "),
        }
        for row in report["reported"]
    ]
    return Table(
        "reported-numbers",
        "Reported against measured",
        "Numbers that the source documents print beside what this run measured, with its interval. The two agree where "
        "the interval holds the printed number. The interval is that of the test images alone: another training "
        "would move the measured number, too. Differences in architecture, training and test images remain; nothing "
        "was tuned to meet a number. Rates are in percent, times in seconds an image.",
        [
            Column("source", "source", width=0.07),
            Column("where", "where", width=0.12),
            Column("dataset", "data set", "name", width=0.1),
            Column("what", "what", width=0.19),
            Column("metric", "metric", width=0.14),
            Column("reported", "reported", "measure"),
            Column("measured", "measured", "measure", low="low", high="high"),
            Column("mark", "mark", width=0.1),
            Column("note", "note", paper=False),
        ],
        rows,
        printed=[row for row in rows if row["mark"] != "not measured"],
        omitted="What this run did not measure is left out; {} in reported.csv.",
    )
