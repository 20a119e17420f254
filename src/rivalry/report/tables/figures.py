"""The figures that a run does not allow."""

from __future__ import annotations

from rivalry.report.tables._table import Column, Row, Table


def not_drawn(report: Row, dataset: str) -> Table:
    rows = [item | {"figure": item["name"].replace("_", " ")} for item in report["figures"][dataset]["absent"]]
    return Table(
        f"{dataset}-not-drawn",
        "Figures that this run does not allow",
        "What the configuration would have to ask for to get them follows from the reasons.",
        [Column("figure", "figure"), Column("reason", "reason")],
        rows,
        folded=True,
        printed=[],
    )
