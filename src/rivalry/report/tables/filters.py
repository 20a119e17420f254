"""What filters find in poisoned training sets."""

from __future__ import annotations

from rivalry.report.tables._table import Column, Row, Table


def screenings(report: Row, dataset: str) -> Table:
    sources = {fact["filter"]: fact["source"] for fact in report["screenings"] if fact["dataset"] == dataset}
    rows = [row | {"source": sources[row["filter"]]} for row in report["screening_rates"] if row["dataset"] == dataset]
    return Table(
        f"{dataset}-screenings",
        "How poisoning is noticed",
        "Each filter says how suspicious every training image of a victim is. Found are poisoned images that are more "
        "suspicious than all but the given share of the clean ones: so many would be found by chance. AUC is the "
        "chance that a poisoned image is more suspicious than a clean one. The last two columns are what the method "
        "itself takes out, by its own rule.",
        [
            Column("filter", "filter", "name"),
            Column("source", "source", "cite", width=0.13),
            Column("victim", "victim", "name"),
            Column("poisoning", "poisoning", "name"),
            Column("n_poisoned", "poisoned", "count"),
            Column("n", "training images", "count", paper=False),
            Column("asked", "by chance %", "rate"),
            Column("found", "found %", "rate", low="found_low", high="found_high"),
            Column("auc", "AUC", "number"),
            Column("flagged", "taken out: poisoned %", "rate", low="flagged_low", high="flagged_high"),
            Column("flagged_clean", "clean %", "rate", low="flagged_clean_low", high="flagged_clean_high"),
        ],
        rows,
    )
