"""Numbers that the source documents print."""

from __future__ import annotations

from rivalry.formatting import MISSING
from rivalry.report.tables._table import Column, Row, Table


def reported(report: Row) -> Table:
    rows = [
        row
        | {
            "agrees": MISSING if row["within"] is None else "yes" if row["within"] else "no",
            "rate": row["metric"] not in ("rho_adv", "auc") and not row["metric"].startswith(("mean_", "median_")),
            "metric": row["metric"].replace("_", " "),
        }
        for row in report["reported"]
    ]
    return Table(
        "reported-numbers",
        "Reported against measured",
        "Numbers that the source documents print beside what this run measured, with its interval. "
        "Differences in architecture, training and test images remain; nothing was tuned to meet a number. "
        "Rates are in percent.",
        [
            Column("source", "source", width=0.07),
            Column("where", "where", width=0.12),
            Column("dataset", "data set", "name", width=0.1),
            Column("what", "what", width=0.19),
            Column("metric", "metric", width=0.14),
            Column("reported", "reported", "measure"),
            Column("measured", "measured", "measure", low="low", high="high"),
            Column("agrees", "within"),
            Column("note", "note", paper=False),
        ],
        rows,
    )
