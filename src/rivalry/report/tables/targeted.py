"""What poisons that aim at single test images achieve."""

from __future__ import annotations

from rivalry.formatting import settings
from rivalry.report.tables._table import Column, Row, Table

RETRAINED = {
    "last_layer": "a new last layer",
    "all_layers": "all layers",
    "from_scratch": "from scratch",
}


def plantings(report: Row, dataset: str) -> Table:
    about = {(f["victim"], f["targeted"]): f for f in report["plantings"] if f["dataset"] == dataset}
    rows = []
    for row in report["planting_rates"]:
        if row["dataset"] == dataset:
            fact = about[row["victim"], row["targeted"]]
            told = {name: value for name, value in fact["parameters"].items() if name not in ("retrain", "poisons")}
            retrain = fact["parameters"].get("retrain", "")
            rows.append(
                row
                | {"source": fact["source"], "settings": settings(told)}
                | {
                    "retrained": RETRAINED.get(retrain, retrain),
                    "poisons": fact["poisons"],
                    "l2": fact.get("l2"),
                    "linf": fact.get("linf"),
                    "target_l2": fact.get("target_l2"),
                    "seconds": fact["seconds"],
                }
            )
    return Table(
        f"{dataset}-plantings",
        "Poisons that aim at one test image",
        "For each of many test images, poisons are made and a network is trained again: without them, and with them. "
        "Counted are test images that it has right without them; the poisons succeed where they are taken for the "
        "wanted class with them. Taken for a third class are others. Sizes are of the change of the images "
        "that poisons were made of, beside the L2 distance of these from their target: a change that is as long makes "
        "an image that looks like another one.",
        [
            Column("targeted", "poisoning", "name"),
            Column("source", "source", "cite", width=0.12),
            Column("victim", "victim", "name"),
            Column("retrained", "trained again"),
            Column("poisons", "poisons", "count"),
            Column("n_counted", "n", "count"),
            Column("success_rate", "success %", "rate", low="low", high="high"),
            Column("others", "others %", "rate"),
            Column("l2", "L2", "number"),
            Column("target_l2", "to the target", "number"),
            Column("linf", "L∞", "number", paper=False),
            Column("seconds", "time", "time", paper=False),
            Column("settings", "parameters", paper=False),
        ],
        rows,
    )
