"""What smoothed victims are certified to keep."""

from __future__ import annotations

from rivalry.formatting import number
from rivalry.report.tables._table import Column, Row, Table


def certificates(report: Row, dataset: str) -> list[Table]:
    """One table per smoothed victim: certified accuracy by radius, beside what attacks leave."""
    tables = []
    rows = [row for row in report["certified"] if row["dataset"] == dataset and row["n"]]
    for victim, defense in dict.fromkeys((row["victim"], row["defense"]) for row in rows):
        mine = [row for row in rows if (row["victim"], row["defense"]) == (victim, defense)]
        first, half = mine[0], mine[0]["sigma"] / 2
        # Halves of the noise's deviation, as far as anything is certified.
        shown = [row for row in mine if abs(row["radius"] / half - round(row["radius"] / half)) < 1e-6]
        under = f"Attacks that knew the defense: {', '.join(first['attacks'])}." if first["attacks"] else ""
        tables.append(
            Table(
                f"{dataset}-certified-{victim}-{defense}",
                f"Certified: {defense} on {victim}",
                f"Noise of deviation {number(first['sigma'])}, {first['samples']} copies of an image. Certified: "
                "the share of images whose class is right and is proved to stay under any change shorter than the "
                f"radius (L2), with the exact interval; a radius is too large with a probability of "
                f"{number(first['alpha'])} at most. Where there is no radius the classifier abstains, which counts as "
                "wrong. Under attack: the share that no change shorter than the radius turned; it bounds the certified "
                "share from above. "
                f"{under}".rstrip(),
                [
                    Column("radius", "radius", "number"),
                    Column("certified", "certified %", "rate", low="certified_low", high="certified_high"),
                    Column("accuracy", "under attack %", "rate", low="low", high="high"),
                    Column("abstained", "abstains %", "rate"),
                    Column("n", "n", "count"),
                ],
                shown,
            )
        )
    return tables
