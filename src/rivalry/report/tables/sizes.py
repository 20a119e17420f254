"""How large changes behind defenses are, and whether larger ones are caught more easily."""

from __future__ import annotations

from rivalry.report.tables._table import Column, Row, Table

NAMES = {"l2": "L2", "linf": "L∞", "l2_channels": "L2, channels", "linf_channels": "L∞, channels"}
"""What measures of size are called."""


def behind(report: Row, dataset: str) -> Table:
    """Mean sizes of adversarial images, and the share that each defense catches."""
    return Table(
        f"{dataset}-sizes",
        "Sizes of changes, and what defenses catch",
        "Adversarial images that fool the undefended victim and were made without knowing the defense, of those that "
        "the defended one has right, and does not flag, when they are unchanged: the mean size of their changes in L2 "
        "and L∞, and the mean sum over channels of each channel's norm; and the share of them that a detector flags, "
        "or that another defense brings back to its class, with Wilson's interval.",
        [
            Column("defense", "defense", "name", width=0.14),
            Column("victim", "victim", "name", paper=False),
            Column("attack", "attack", "name", width=0.14),
            Column("eps", "ε", "eps"),
            Column("n", "n", "count"),
            *(Column(f"mean_{size}", title, "number") for size, title in NAMES.items()),
            Column("caught", "caught %", "rate", low="low", high="high"),
        ],
        [row for row in report["sizes"] if row["dataset"] == dataset],
        folded=True,
        printed=[],
    )


def correlations(report: Row, dataset: str) -> Table:
    """Rank correlations of the size of a change with whether it is caught."""
    rows = [row for row in report["size_correlations"] if row["dataset"] == dataset]
    return Table(
        f"{dataset}-size-correlations",
        "Are larger changes caught more easily?",
        "Spearman's rank correlation of the size of a change with whether the defense catches it, of the images of "
        "the next table. Over images: all attacks together, the interval by a bootstrap over images. Over attacks: of "
        "each, its mean size and the share that is caught, with the interval of Bonett and Wright; attacks differ in "
        "more than size, and are few. Where fewer than ten images are caught, or fewer than ten are not, images say "
        "nothing.",
        [
            Column("defense", "defense", "name", width=0.16),
            Column("victim", "victim", "name", paper=False),
            Column("measure", "size in"),
            Column("over", "over"),
            Column("n", "n", "count"),
            Column("rho", "correlation", "number", low="low", high="high"),
            Column("verdict", "caught", width=0.16),
        ],
        [row | {"measure": NAMES[row["size"]]} for row in rows],
        folded=True,
        printed=[row | {"measure": NAMES[row["size"]]} for row in rows if row["size"] in ("l2", "linf")],
        omitted="The page has {}.",
    )
