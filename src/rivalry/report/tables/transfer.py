"""What images crafted on one victim do to others."""

from __future__ import annotations

from rivalry.report.tables._table import LONG, MARK, Column, Row, Table, mark
from rivalry.statistics import marks
from rivalry.statistics.headlines import at_headline


def transfers(report: Row, dataset: str) -> Table:
    rows = [row for row in report["transfers"] if row["dataset"] == dataset]
    cases = [row for row in report["worst_cases"] if row["dataset"] == dataset]
    drawn = [id(row) for row in at_headline(rows, cases)]
    rows = [
        row | mark(marks.of_transfer(report["checks"], row)) | {"figure": "yes" if id(row) in drawn else "no"}
        for row in rows
    ]
    return Table(
        f"{dataset}-transfers",
        "Transfer",
        "Images crafted on the source and shown to the victim. The rate is the share that fools the victim, of the "
        "n images that both classified correctly before and that could be attacked; the last columns give "
        "the same share among those of them that also fooled the source. Where source and victim are the same, the row "
        "is the attack itself. "
        f"{marks.MEANING}",
        [
            Column("attack", "attack", "name", width=0.16),
            MARK,
            Column("eps", "ε", "eps"),
            Column("goal", "goal", paper=False),
            Column("source", "crafted on", "name", width=0.14),
            Column("victim", "shown to", "name", width=0.14),
            Column("n", "n", "count"),
            Column("transfer_rate", "fooled %", "rate", low="low", high="high"),
            Column("n_fooling", "n that fool the source", "count", paper=False),
            Column("rate_fooling", "of those %", "rate", low="low_fooling", high="high_fooling"),
            Column("figure", "in the figure", paper=False),
        ],
        rows,
        folded=len(rows) > LONG,
        printed=[row for row in rows if row["figure"] == "yes"],
        omitted="At the figures' budgets only; {} in transfers.csv.",
    ).with_seeds("transfer_rate")
