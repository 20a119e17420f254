"""The figures that were not drawn, and why."""

from __future__ import annotations

from rivalry.report.tables._table import Column, Row, Table


def absent(report: Row, dataset: str) -> Table:
    rows = [item | {"figure": item["name"].replace("_", " ")} for item in report["figures"][dataset]["absent"]]
    return Table(
        f"{dataset}-absent",
        "Figures that were not drawn",
        "A figure is drawn when the configuration asks for what it shows.",
        [Column("figure", "figure"), Column("reason", "reason")],
        rows,
        folded=True,
        printed=[],
    )
