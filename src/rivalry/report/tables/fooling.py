"""Images without any object in which a victim sees one."""

from __future__ import annotations

from rivalry.formatting import MISSING, SEES, missing, number, settings
from rivalry.report.tables._table import MARK, Column, Row, Table, mark
from rivalry.statistics import marks


def fooling(report: Row, dataset: str) -> Table:
    rows = [
        fact
        | {"sees": SEES[fact["sees"]], "settings": settings(fact["parameters"])}
        | {"refused_rate": fact.get("refused_rate")}  # of victims that can refuse
        | mark(marks.of_fooling(report["checks"], fact))
        for fact in report["fooling"]
        if fact["dataset"] == dataset
    ]
    real = number(rows[0]["real_nearest_l2"]) if rows else MISSING
    refusing = any(not missing(row["refused_rate"]) for row in rows)
    return Table(
        f"{dataset}-fooling",
        "Fooling images",
        "One image per class, made from grey, noise or patterns and not from any image of the data. It fools the "
        "victim when it is taken for its class with at least the confidence asked for; median and least are of the "
        "victim's confidence in that class. "
        + ("Refused are images that the victim takes for none of the classes. " if refusing else "")
        + "The distance is the mean over "
        f"the images of the L2 distance to the nearest training image; for real test images its median is {real}. "
        f"Passes are per image. {marks.MEANING}",
        [
            Column("victim", "victim", "name", width=0.1),
            Column("fooling", "method", "name", width=0.15),
            MARK,
            Column("source", "source", "cite", width=0.11),
            Column("sees", "sees", paper=False),
            Column("n", "classes", "count"),
            Column("success_rate", "fooled %", "rate"),
            *([Column("refused_rate", "refused %", "rate")] if refusing else []),
            Column("median_confidence", "median %", "rate"),
            Column("least_confidence", "least %", "rate"),
            Column("mean_nearest_l2", "distance", "number"),
            Column("real_nearest_l2", "real images", "number", paper=False),
            Column("queries", "forward", "count"),
            Column("gradients", "gradients", "count"),
            Column("seconds", "time", "time", paper=False),
            Column("asked_confidence", "asked %", "rate", paper=False),
            Column("method", "registered as", "code", paper=False),
            Column("settings", "parameters", paper=False),
        ],
        rows,
    )
