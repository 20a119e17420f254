"""What attackers may do, and what they did to each victim."""

from __future__ import annotations

from itertools import groupby

from rivalry.formatting import NORMS, SEES, epsilon, missing, plain, settings
from rivalry.report.tables._table import MARK, Column, Row, Table, mark
from rivalry.statistics import marks


def threat_models(report: Row) -> Table:
    merged: dict[tuple[str, ...], Row] = {}
    for fact in report["attacks"]:
        parameters = {name: value for name, value in fact["parameters"].items() if name != "eps"}
        row = {
            "attack": fact["attack"],
            "method": fact["method"],
            "source": fact["source"],
            "goal": fact["goal"] if missing(fact["target"]) else f"{fact['goal']}: {plain(fact['target'])}",
            "sees": SEES[fact["sees"]],
            "norm": NORMS.get(str(fact["norm"]), str(fact["norm"])),
            "budget": "smallest found" if fact["budget"] == "minimal" else "fixed",
            "eps": ", ".join(epsilon(eps) for eps in fact["eps"] or []),
            "parameters": settings(parameters),
        }
        known = merged.setdefault(tuple(map(str, row.values())), row | {"datasets": []})
        if fact["dataset"] not in known["datasets"]:
            known["datasets"].append(fact["dataset"])
    rows = [row | {"datasets": ", ".join(row["datasets"])} for row in merged.values()]
    return Table(
        "threat-models",
        "Threat models",
        "What each attacker wants, what it sees of the victim, and how much it may change, with pixel "
        "values in [0, 1].",
        [
            Column("attack", "attack", "name", width=0.14),
            Column("method", "method", "code", paper=False),
            Column("source", "source", "cite", width=0.15),
            Column("goal", "goal", width=0.12),
            Column("sees", "sees", width=0.09),
            Column("norm", "norm"),
            Column("budget", "budget", width=0.09),
            Column("eps", "ε", width=0.09),
            Column("parameters", "parameters", width=0.14),
            Column("datasets", "data sets", paper=False),
        ],
        rows,
    )


def attacks(report: Row, dataset: str) -> list[Table]:
    """One table per undefended victim."""
    rows = [
        row | mark(marks.of_score(report["checks"], row))
        for row in report["scores"]
        if row["dataset"] == dataset and row["setting"] == "undefended"
    ]
    parts = [(victim, list(part)) for victim, part in groupby(rows, key=lambda row: row["victim"])]
    return [
        Table(
            f"{dataset}-attacks-{victim}",
            f"Attacks on {victim}",
            "Accuracy over all n images, success over those that were classified correctly and could be attacked. "
            + (REFUSALS if refuses(part) else "")
            + "Sizes of changes are of successful images. Iterations, passes and time are means per image; "
            f"what fitting an attack beforehand cost is not in them but in a table below. {marks.MEANING}",
            [
                Column("attack", "attack", "name", width=0.16),
                MARK,
                Column("eps", "ε", "eps"),
                Column("goal", "goal", paper=False),
                Column("n", "n", "count"),
                Column("n_attacked", "attacked", "count", paper=False),
                Column("adversarial_accuracy", "accuracy %", "rate", low="adversarial_low", high="adversarial_high"),
                Column("success_rate", "success %", "rate", low="success_low", high="success_high"),
                *([Column("flagged_adversarial", "refused %", "rate")] if refuses(part) else []),
                Column("mean_l2", "L2", "number"),
                Column("median_l2", "median L2", "number", paper=False),
                Column("mean_linf", "L∞", "number"),
                Column("median_linf", "median L∞", "number", paper=False),
                Column("mean_l0", "L0", "count", paper=False),
                Column("median_l0", "median L0", "count", paper=False),
                Column("rho_adv", "ρ adv", "number", paper=False),
                Column("confidence", "confidence %", "rate", paper=False),
                Column("iterations", "iterations", "count", paper=False),
                Column("queries", "forward", "count"),
                Column("gradients", "gradients", "count"),
                Column("zero_gradient_share", "zero gradients %", "rate", paper=False),
                Column("seconds", "time", "time", paper=False),
            ],
            part,
            folded=place > 0,
        ).with_seeds("adversarial_accuracy")
        for place, (victim, part) in enumerate(parts)
    ]


REFUSALS = (
    "This victim may refuse an image: an attacked image that is refused counts as held, a clean one that is refused "
    "as lost. "
)


def refuses(scores: list[Row]) -> bool:
    """Whether the victim of these scores may refuse an image."""
    return any(not missing(score["flagged_clean"]) for score in scores)


def fitted(report: Row, dataset: str) -> Table:
    rows = [
        {"victim": fact["victim"], "attack": fact["attack"], "eps": eps, **fit}
        for fact in report["attacks"]
        if fact["dataset"] == dataset
        for eps, fit in zip(fact["eps"] or [None], fact.get("fits") or [], strict=False)
    ]
    return Table(
        f"{dataset}-fits",
        "Fitted beforehand",
        "Some attacks make one thing for all images: a perturbation, a patch, a copy of the victim. This is what they "
        "asked of the victim to make it, in total over all training images. Success is measured on test images.",
        [
            Column("attack", "attack", "name", width=0.24),
            Column("victim", "victim", "name", width=0.2),
            Column("eps", "ε", "eps"),
            Column("images", "training images", "count"),
            Column("queries", "forward", "count"),
            Column("gradients", "gradients", "count"),
        ],
        rows,
        folded=True,
    )
