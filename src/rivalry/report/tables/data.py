"""The data sets."""

from __future__ import annotations

from rivalry.report.tables._table import Column, Row, Table

MOST_PRINTED = 20
"""Classes that the paper lists."""


def data_sets(report: Row) -> Table:
    rows = [
        fact
        | {
            "size": "×".join(str(side) for side in fact["shape"]),
            "work": fact["provenance"]["citation"],
            "description": fact["provenance"]["description"],
            "evaluated": max((a["n"] for a in report["attacks"] if a["dataset"] == fact["dataset"]), default=None),
        }
        for fact in report["datasets"]
    ]
    return Table(
        "data-sets",
        "Data sets",
        "Images are stored as 8-bit pixels, channels first. “attacked” is how many test images the attacks run on: the "
        "same ones for every attack, unless an attack is given fewer. Test accuracy of victims is measured on all.",
        [
            Column("dataset", "data set", "name", width=0.12),
            Column("source", "source", "code", paper=False),
            Column("size", "shape"),
            Column("classes", "classes", "count"),
            Column("n_train", "training", "count"),
            Column("n_test", "test", "count"),
            Column("evaluated", "attacked", "count"),
            Column("description", "origin", width=0.3),
            Column("work", "described in", "cite", width=0.12),
        ],
        rows,
    )


def classes(report: Row, dataset: str) -> Table:
    (fact,) = [fact for fact in report["datasets"] if fact["dataset"] == dataset]
    rows = [
        {"label": label, "name": name, "train": train, "test": test}
        for label, (name, train, test) in enumerate(
            zip(fact["class_names"], fact["train_counts"], fact["test_counts"], strict=True)
        )
    ]
    return Table(
        f"{dataset}-classes",
        "Classes",
        "How many images of each class there are in each split.",
        [
            Column("label", "label", "count"),
            Column("name", "class", "name", width=0.3),
            Column("train", "training", "count"),
            Column("test", "test", "count"),
        ],
        rows,
        folded=len(rows) > MOST_PRINTED,
        printed=rows[:MOST_PRINTED],
        omitted="{} on the page.",
    )
