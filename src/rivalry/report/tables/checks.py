"""The run's checks of its own results."""

from __future__ import annotations

from rivalry.report.tables._table import Column, Row, Table
from rivalry.statistics.checked import STATUSES


def kinds(report: Row) -> Table:
    return Table(
        "self-check-kinds",
        "Self-checks by kind",
        "How often each check was made, and how it came out.",
        [
            Column("check", "check", width=0.4),
            Column("n", "made", "count"),
            *(Column(status, status, "count") for status in STATUSES),
        ],
        report["check_summary"],
    )


def doubts(report: Row) -> Table:
    rows = [row for status in ("fail", "warn") for row in report["checks"] if row["status"] == status]
    return Table(
        "self-checks",
        "Self-checks that failed or warned",
        "Failures first; checks that passed are in checks.csv. The last column names up to ten test images that caused "
        "the result.",
        [
            Column("status", "result", "status"),
            Column("check", "check", width=0.19),
            Column("dataset", "data set", "name", width=0.09),
            Column("subject", "subject", width=0.22),
            Column("found", "found", width=0.28),
            Column("images", "images", width=0.1),
        ],
        rows,
    )
