"""The report's tables, made from report.json's facts; the page and the paper print the same ones."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass, field
from itertools import groupby
from typing import Any

from rivalry.formatting import (
    MISSING,
    NORMS,
    SEES,
    between,
    between_points,
    count,
    duration,
    epsilon,
    guarded,
    listing,
    missing,
    number,
    percent,
    plain,
    plural,
    points,
    probability,
    settings,
)
from rivalry.report.references import source_of
from rivalry.statistics import marks
from rivalry.statistics.headlines import at_headline
from rivalry.statistics.trust import STATUSES

Row = dict[str, Any]


@dataclass(frozen=True)
class Column:
    """One column.

    Attributes
    ----------
    key, title : str
        Where rows hold the value; what stands above it.
    form : str
        How it is printed: text, name, code, cite, status, mark, measure, rate, points, number, count, eps, p, time.
    low, high : str
        Keys of a rate's or difference's interval.
    width : float
        In the paper, the share of the text width of a column of words; 0 leaves it as wide as it needs.
    paper : bool
        Whether the paper, which is narrower than a page that scrolls, has the column.
    """

    key: str
    title: str
    form: str = "text"
    low: str = ""
    high: str = ""
    width: float = 0.0
    paper: bool = True


@dataclass(frozen=True)
class Table:
    """A table: its identifier on the page, what stands above it, and its rows."""

    name: str
    title: str
    note: str
    columns: list[Column]
    rows: list[Row] = field(default_factory=list)


FORMS = {
    "rate": percent,
    "points": points,
    "number": number,
    "count": count,
    "eps": epsilon,
    "p": probability,
    "time": duration,
}
"""Forms of numbers; all others are words."""


def text(column: Column, row: Row) -> str:
    """What a cell says, without its interval."""
    value = row[column.key]
    if column.form == "measure":
        return percent(value) if row["rate"] else number(value)
    if column.form in FORMS:
        return FORMS[column.form](value)
    if missing(value):
        return "" if column.form == "mark" else MISSING
    return plain(value)


def interval(column: Column, row: Row) -> str:
    """A cell's interval, or '' where the column has none."""
    if not column.low or missing(row[column.low]):
        return ""
    ends = row[column.low], row[column.high]
    return between_points(*ends) if column.form == "points" else between(*ends)


def mark(found: list[Row]) -> Row:
    """A row's mark, and what stands behind it."""
    said = "; ".join(f"{one['status']}: {one['check']}: {one['found']}" for one in found)
    return {"mark": marks.sign(found), "mark_says": said}


MARK = Column("mark", "", "mark")


def accuracy(title: str = "accuracy", prefix: str = "adversarial") -> Column:
    return Column(f"{prefix}_accuracy", title, "rate", low=f"{prefix}_low", high=f"{prefix}_high")


def ranking(place: Row) -> Table:
    """One of the report's rankings: the worst cases of a data set and norm at the budget to compare at."""
    limit = "of any size" if place["eps"] is None else f"ε {epsilon(place['eps'])}"
    norm = NORMS[place["norm"]]
    rows = [_case(row) for row in place["rows"] if not row["reason"]]
    by_size = place["eps"] is None
    reasons: dict[str, list[str]] = {}
    for row in place["rows"]:
        if row["reason"]:
            reasons.setdefault(row["reason"], []).append(guarded(row["victim"], row["defense"]))
    left_out = "; ".join(f"{listing(names)} ({reason})" for reason, names in reasons.items())
    return Table(
        f"{place['dataset']}-ranking-{place['norm']}",
        f"{place['dataset']}: {norm} {limit}",
        "Best first: the share of images that the classifier had right and that no attack turned"
        + (
            ", and the smallest change that the median image needed, by which they stand: over the images that all of "
            "these classifiers had right (“right”)."
            if by_size
            else "."
        )
        + " Places are not verdicts: whether two differ stands under comparisons."
        + (f" Not measured: {left_out}." if left_out else ""),
        [
            Column("classifier", "classifier", "name", width=0.2),
            Column("clean_accuracy", "clean %", "rate"),
            Column("accuracy", "worst case %", "rate", low="low", high="high"),
            Column("n", "n", "count"),
            *([Column("median_distance", "median change", "number")] if by_size else []),
            *([Column("n_right", "right", "count")] if by_size else []),
            Column("strongest", "strongest attack", width=0.2),
            Column("trust", "what touches its trust", width=0.24),
        ],
        rows,
    )


def worst_cases(report: Row, dataset: str) -> Table:
    rows = [
        _case(case)
        | {
            "norm": NORMS[case["norm"]],
            "limit": "none" if case["eps"] is None else epsilon(case["eps"]),
            "tried": ", ".join(case["attacks"]),
        }
        for case in report["worst_cases"]
        if case["dataset"] == dataset
    ]
    return Table(
        f"{dataset}-worst-case",
        "Worst case per image",
        "An image counts only when the classifier has it right and no attack of the norm turned it with a change "
        "within the budget. An attack counts at a budget where it was run with it, or when it looks for the smallest "
        "change; n are the images that all attacks met. Defended classifiers are judged by attacks that know the "
        "defense and those that do not together. The median change is over the images that were right (“right”), "
        "of the smallest change that any attack found.",
        [
            Column("classifier", "classifier", "name", width=0.19),
            Column("norm", "norm"),
            Column("limit", "budget ε"),
            Column("n", "n", "count"),
            Column("clean_accuracy", "clean %", "rate"),
            Column("accuracy", "worst case %", "rate", low="low", high="high"),
            Column("median_distance", "median change", "number"),
            Column("n_right", "right", "count", paper=False),
            Column("strongest", "strongest attack", width=0.14),
            Column("tried", "attacks", paper=False),
            Column("trust", "what touches its trust", width=0.2),
        ],
        rows,
    )


def _case(case: Row) -> Row:
    """A worst case for readers: what it is called, and what stands in place of a number that was not measured."""
    trust = f"not measured: {case['reason']}" if case["reason"] else marks.words(case["marks"])
    first, *others = case["strongest"].split(", ") if case["strongest"] else ["none turned an image"]
    return case | {
        "classifier": guarded(case["victim"], case["defense"]),
        "strongest": MISSING if case["reason"] else f"{first} (and {len(others)} equal)" if others else first,
        "trust": trust,
    }


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


def data(report: Row) -> Table:
    rows = [
        fact
        | {
            "size": "×".join(str(side) for side in fact["shape"]),
            "description": fact["provenance"]["description"],
            "evaluated": max((a["n"] for a in report["attacks"] if a["dataset"] == fact["dataset"]), default=None),
        }
        for fact in report["datasets"]
    ]
    return Table(
        "data-sets",
        "Data sets",
        "Images are stored as 8-bit pixels, channels first. Attacks run on the number of test images under "
        "“attacked”, the same ones for every attack unless an attack is given fewer; accuracy of victims "
        "is measured on all.",
        [
            Column("dataset", "data set", "name", width=0.12),
            Column("source", "source", "code", paper=False),
            Column("size", "shape"),
            Column("classes", "classes", "count"),
            Column("n_train", "training", "count"),
            Column("n_test", "test", "count"),
            Column("evaluated", "attacked", "count"),
            Column("description", "origin", width=0.36),
        ],
        rows,
    )


def victims(report: Row, dataset: str) -> Table:
    rows = [
        fact
        | {
            "settings": settings(fact["parameters"]),
            "trained_on": fact["poisoning"] or "clean data",
            **mark(marks.of_victim(report["checks"], fact)),
            "architecture_source": source_of("architectures", fact["architecture"]),
            "method_source": source_of("training", fact["method"]),
        }
        for fact in report["victims"]
        if fact["dataset"] == dataset
    ]
    return Table(
        f"{dataset}-victims",
        "Victims",
        "Accuracy on the whole test split with its Wilson interval. The epoch that was kept had the best "
        f"result on validation images, which are split off the training images. {marks.MEANING}",
        [
            Column("victim", "victim", "name", width=0.12),
            MARK,
            Column("architecture", "architecture", "code", width=0.14),
            Column("method", "training", "code", width=0.19),
            Column("method_source", "source", "cite", paper=False),
            Column("trained_on", "trained on", width=0.11),
            Column("settings", "parameters", paper=False),
            Column("parameters_count", "weights", "count"),
            Column("best_epoch", "epoch kept", "count", paper=False),
            Column("epochs_run", "epochs", "count"),
            Column("validation_accuracy", "validation %", "rate", paper=False),
            Column("clean_accuracy", "clean %", "rate", low="clean_low", high="clean_high"),
            Column("n_test", "n", "count", paper=False),
            Column("seconds", "time", "time"),
        ],
        rows,
    )


def attack_tables(report: Row, dataset: str) -> list[Table]:
    """One table per undefended victim, and one of what attacks were fitted to beforehand."""
    rows = [
        row | mark(marks.of_score(report["checks"], row))
        for row in report["scores"]
        if row["dataset"] == dataset and row["setting"] == "undefended"
    ]
    return [
        Table(
            f"{dataset}-attacks-{victim}",
            f"Attacks on {victim}",
            "Accuracy over all n images, success over those that were classified correctly and could be "
            "attacked. Sizes of changes are of successful images. Iterations, passes and time are means per image; "
            f"what an attack was fitted to beforehand is not in them but below the table. {marks.MEANING}",
            [
                Column("attack", "attack", "name", width=0.16),
                MARK,
                Column("eps", "ε", "eps"),
                Column("goal", "goal", paper=False),
                Column("n", "n", "count"),
                Column("n_attacked", "attacked", "count", paper=False),
                accuracy("accuracy %"),
                Column("success_rate", "success %", "rate", low="success_low", high="success_high"),
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
            list(part),
        )
        for victim, part in groupby(rows, key=lambda row: row["victim"])
    ] + _fits(report, dataset)


def _fits(report: Row, dataset: str) -> list[Table]:
    rows = [
        {"victim": fact["victim"], "attack": fact["attack"], "eps": eps, **fit}
        for fact in report["attacks"]
        if fact["dataset"] == dataset
        for eps, fit in zip(fact["eps"] or [None], fact.get("fits") or [], strict=False)
    ]
    if not rows:
        return []
    return [
        Table(
            f"{dataset}-fits",
            "Fitted beforehand",
            "What attacks that make one thing for all images (a perturbation, a patch, a copy of the victim) asked "
            "of the victim to make it, all training images together. They are measured on test images.",
            [
                Column("attack", "attack", "name", width=0.24),
                Column("victim", "victim", "name", width=0.2),
                Column("eps", "ε", "eps"),
                Column("images", "training images", "count"),
                Column("queries", "forward", "count"),
                Column("gradients", "gradients", "count"),
            ],
            rows,
        )
    ]


def transfer_tables(report: Row, dataset: str) -> list[Table]:
    """What images crafted on one victim do to others; none where nothing was replayed."""
    rows = [row for row in report["transfers"] if row["dataset"] == dataset]
    if not rows:
        return []
    drawn = [id(row) for row in at_headline(rows)]
    return [
        Table(
            f"{dataset}-transfers",
            "Transfer",
            "Images crafted on the source and shown to the victim. The rate is the share that fools the victim, of the "
            "n images that both classified correctly before and that could be attacked; the last columns are the "
            "same among those of them that fooled the source. Where the source is the victim, it is the attack itself. "
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
            [
                row | mark(marks.of_transfer(report["checks"], row)) | {"figure": "yes" if id(row) in drawn else "no"}
                for row in rows
            ],
        )
    ]


def defense_tables(report: Row, dataset: str) -> list[Table]:
    """One table per defended victim: each attack without the defense, oblivious and adaptive, side by side."""
    scores = [row for row in report["scores"] if row["dataset"] == dataset]
    bare = {(s["victim"], s["attack"], s["eps"]): s for s in scores if s["setting"] == "undefended"}
    tables = []
    for fact in (fact for fact in report["defenses"] if fact["dataset"] == dataset):
        mine = [s for s in scores if (s["victim"], s["defense"]) == (fact["victim"], fact["defense"])]
        merged: dict[tuple, Row] = {}
        met: dict[tuple, list[Row]] = defaultdict(list)
        for score in mine:
            key = (score["attack"], score["eps"])
            before = bare.get((score["victim"], *key))
            row = merged.setdefault(
                key,
                {
                    "attack": score["attack"],
                    "eps": score["eps"],
                    "n": score["n"],
                    "goal": score["goal"],
                    "undefended": before["adversarial_accuracy"] if before else None,
                    "undefended_success": before["success_rate"] if before else None,
                }
                | {
                    f"{setting}_{end}": None
                    for setting in ("oblivious", "adaptive")
                    for end in (
                        "accuracy",
                        "low",
                        "high",
                        "success",
                        "success_low",
                        "success_high",
                        "flagged",
                        "auc",
                        "l2",
                    )
                },
            )
            row |= {f"{score['setting']}_{end}": score[f"adversarial_{end}"] for end in ("accuracy", "low", "high")}
            row |= {f"{score['setting']}_success_{end}": score[f"success_{end}"] for end in ("low", "high")}
            met[key] += marks.of_score(report["checks"], score)
            row |= mark(marks.kinds(met[key]))
            row |= {
                f"{score['setting']}_success": score["success_rate"],
                f"{score['setting']}_flagged": score["flagged_adversarial"],
                f"{score['setting']}_auc": score["auc"],
                f"{score['setting']}_l2": score["mean_l2"],
            }
        if not mine:
            continue
        detector = fact["kind"] == "detector"
        clean = mine[0]
        counted = "flagged or classified correctly" if detector else "classified correctly"
        flags = (
            f" It flags {percent(clean['flagged_clean'])} % of clean images by mistake; the last columns "
            "are the share of adversarial images it flags."
            if detector
            else ""
        )
        tables.append(
            Table(
                f"{dataset}-defense-{fact['victim']}-{fact['defense']}",
                f"{fact['defense']} on {fact['victim']}",
                f"A {fact['kind']} ({settings(fact['parameters'])}). Clean accuracy with it: "
                f"{percent(clean['clean_accuracy'])} % "
                f"[{between(clean['clean_low'], clean['clean_high'])}]. An attacked image counts when it is "
                f"{counted}; one that is lost without an attack is lost under every attack.{flags} {marks.MEANING}",
                [
                    Column("attack", "attack", "name", width=0.16),
                    MARK,
                    Column("eps", "ε", "eps"),
                    Column("n", "n", "count", paper=False),
                    Column("undefended", "undefended %", "rate"),
                    Column(
                        "oblivious_accuracy",
                        "oblivious %",
                        "rate",
                        low="oblivious_low",
                        high="oblivious_high",
                    ),
                    Column("adaptive_accuracy", "adaptive %", "rate", low="adaptive_low", high="adaptive_high"),
                    Column("oblivious_success", "success, oblivious %", "rate", paper=False),
                    Column("adaptive_success", "success, adaptive %", "rate", paper=False),
                    Column("adaptive_l2", "L2, adaptive", "number", paper=False),
                ]
                + (
                    [
                        Column("oblivious_flagged", "flagged oblivious %", "rate"),
                        Column("adaptive_flagged", "flagged adaptive %", "rate"),
                        Column("oblivious_auc", "AUC, oblivious", "number", paper=False),
                        Column("adaptive_auc", "AUC, adaptive", "number", paper=False),
                    ]
                    if detector
                    else []
                ),
                list(merged.values()),
            )
        )
    return tables


def fooling_table(report: Row, dataset: str) -> Table:
    rows = [
        fact
        | {"sees": SEES[fact["sees"]], "settings": settings(fact["parameters"])}
        | mark(marks.of_fooling(report["checks"], fact))
        for fact in report["fooling"]
        if fact["dataset"] == dataset
    ]
    real = number(rows[0]["real_nearest_l2"]) if rows else MISSING
    return Table(
        f"{dataset}-fooling",
        "Fooling images",
        "One image per class, made from grey, noise or patterns and not from any image of the data. It fools the "
        "victim when it is taken for its class with at least the confidence asked for; median and least are of the "
        "victim's confidence in the class meant. The distance is the mean over "
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


def poisoning_tables(report: Row, dataset: str) -> list[Table]:
    """The poisonings, and what their triggers achieve."""
    made = [
        fact | {"share": fact["n_poisoned"] / fact["n_train"], "settings": settings(fact["parameters"])}
        for fact in report["poisonings"]
        if fact["dataset"] == dataset
    ]
    if not made:
        return []
    triggers = {a["attack"] for a in report["attacks"] if a["dataset"] == dataset and "poisoning" in a["parameters"]}
    poisons = {v["victim"]: v["poisoning"] or "clean data" for v in report["victims"] if v["dataset"] == dataset}
    rows = [
        row
        | {
            "trained_on": poisons[row["victim"]],
            "repair": "none" if row["defense"] == "none" else row["defense"],
            **mark(marks.of_score(report["checks"], row)),
        }
        for row in report["scores"]
        if row["dataset"] == dataset and row["attack"] in triggers
    ]
    tables = [
        Table(
            f"{dataset}-poisonings",
            "Poisonings",
            "What was done to the training data.",
            [
                Column("poisoning", "poisoning", "name"),
                Column("method", "method", "code"),
                Column("source", "source", "cite", width=0.16),
                Column("settings", "parameters", width=0.3),
                Column("n_poisoned", "poisoned", "count"),
                Column("n_train", "training images", "count"),
                Column("share", "share %", "rate"),
            ],
            made,
        )
    ]
    if rows:
        tables.append(
            Table(
                f"{dataset}-triggers",
                "What the triggers achieve",
                "Success is counted on images of other classes than the target. The rate on a victim that "
                f"was trained on clean data is the control. {marks.MEANING}",
                [
                    Column("attack", "trigger", "name"),
                    MARK,
                    Column("victim", "victim", "name"),
                    Column("trained_on", "trained on"),
                    Column("repair", "defense"),
                    Column("n_attacked", "n", "count"),
                    Column("success_rate", "success %", "rate", low="success_low", high="success_high"),
                    Column("clean_accuracy", "clean %", "rate", low="clean_low", high="clean_high"),
                ],
                rows,
            )
        )
    return tables


KINDS = {
    "worst case": (
        "Worst cases against each other",
        "Two classifiers under all attacks that were aimed at both, image by image.",
    ),
    "attack": ("Attacks against each other", "Two attacks on one victim, each at its largest budget."),
    "victim": ("Victims against each other", "Two victims under the same attack."),
    "defense": (
        "Defenses",
        "A defended victim and the same one without the defense, or with another, under one attack.",
    ),
    "clean": ("Without any attack", "What a victim or a defense costs on clean images."),
    "budget": (
        "Sizes of changes",
        "L2 of two attacks on the images that both fooled: the median of the differences, image by image, with its "
        "bootstrap interval.",
    ),
}


def comparison_tables(report: Row, dataset: str) -> list[Table]:
    """One table per kind of comparison."""
    tables = []
    family = sum(not missing(row["holm_p"]) for row in report["comparisons"])
    tested = (
        f" Verdicts speak of the interval beside them and of p, which Holm corrected for the "
        f"{plural(family, 'like-for-like comparison')} of this report; the others are not tested."
    )
    for kind, (title, note) in KINDS.items():
        rows = [
            row
            | {
                "under": _under(row),
                "like": "yes" if str(row["like_for_like"]).lower() in ("true", "1") else "no",
            }
            | mark(_touched(report, row))
            for row in report["comparisons"]
            if row["dataset"] == dataset and row["kind"] == kind
        ]
        if not rows:
            continue
        sides = [
            Column("a", "a", width=0.18),
            MARK,
            Column("b", "b", width=0.14),
            *(
                [Column("under", "on" if kind in ("attack", "budget") else "under", width=0.12)]
                if kind != "clean"
                else []
            ),
            Column("n_a", "n", "count", paper=False),
        ]
        if kind == "budget":
            measured = [
                Column("median_l2_a", "median L2 of a", "number", paper=False),
                Column("median_l2_b", "median L2 of b", "number", paper=False),
                Column("median_difference", "median difference", "number"),
                Column("low", "low", "number"),
                Column("high", "high", "number"),
                Column("rank_correlation", "rank correlation", "number", paper=False),
            ]
        else:
            measured = [
                Column("error_a", "error a %", "rate", paper=False),
                Column("error_b", "error b %", "rate", paper=False),
                Column("difference", "difference (paired)", "points", low="paired_low", high="paired_high"),
                Column("low", "course low", "points", paper=False),
                Column("high", "course high", "points", paper=False),
                Column("discordant_a", "only a errs", "count", paper=False),
                Column("discordant_b", "only b errs", "count", paper=False),
            ]
        tables.append(
            Table(
                f"{dataset}-comparisons-{kind.replace(' ', '-')}",
                title,
                f"{note}{tested} {marks.MEANING}",
                [
                    *sides,
                    *measured,
                    Column("holm_p", "p (Holm)", "p"),
                    Column("like", "like for like", paper=False),
                    Column("verdict", "verdict", width=0.2 if kind == "budget" else 0.235),
                    Column("note", "note", paper=False),
                ],
                rows,
            )
        )
    return tables


def _touched(report: Row, row: Row) -> list[Row]:
    """The kinds of self-checks that touch either side of a comparison."""
    found: list[Row] = []
    for side in "ab":
        who = {"dataset": row["dataset"], "victim": row[f"victim_{side}"], "defense": row[f"defense_{side}"]}
        if row["kind"] == "worst case":
            about = who | {"norm": row["norm"], "eps": row[f"eps_{side}"]}
            cases = (case for case in report["worst_cases"] if all(case[key] == about[key] for key in about))
            found += [one for case in cases for one in case["marks"]]
        elif row["kind"] == "clean":
            found += marks.of_victim(report["checks"], who)
        else:
            setting = row["setting"] if who["defense"] != "none" else "undefended"
            match = who | {"attack": row[f"attack_{side}"], "eps": row[f"eps_{side}"], "setting": setting}
            found += marks.of_score(report["checks"], match)
    return marks.kinds(found)


def _under(row: Row) -> str:
    if row["kind"] in ("attack", "budget"):
        return row["victim"]
    if row["kind"] == "worst case":
        return NORMS[row["norm"]] if missing(row["eps_a"]) else f"{NORMS[row['norm']]} ε {epsilon(row['eps_a'])}"
    return row["attack"] if missing(row["eps_a"]) else f"{row['attack']} (eps {epsilon(row['eps_a'])})"


def check_kinds(report: Row) -> Table:
    return Table(
        "self-check-kinds",
        "Self-checks by kind",
        "How often each check was made, and how it came out.",
        [
            Column("check", "check", width=0.4),
            Column("n", "made", "count"),
            *(Column(status, status, "count") for status in STATUSES),
        ],
        report["check_summary"],
    )


def checks(report: Row) -> Table:
    rows = [row for status in ("fail", "warn") for row in report["checks"] if row["status"] == status]
    return Table(
        "self-checks",
        "Self-checks that failed or warned",
        "Failures first; checks that passed are in checks.csv. The last column names up to ten test images that caused "
        "the result.",
        [
            Column("status", "result", "status"),
            Column("check", "check", width=0.19),
            Column("dataset", "data set", "name", width=0.09),
            Column("subject", "subject", width=0.22),
            Column("found", "found", width=0.28),
            Column("images", "images", width=0.1),
        ],
        rows,
    )


def reported(report: Row) -> Table:
    rows = [
        row
        | {
            "agrees": MISSING if row["within"] is None else "yes" if str(row["within"]).lower() == "true" else "no",
            "rate": row["metric"] not in ("rho_adv", "auc") and not row["metric"].startswith(("mean_", "median_")),
            "metric": row["metric"].replace("_", " "),
        }
        for row in report["reported"]
    ]
    return Table(
        "reported",
        "Reported against measured",
        "Numbers that the source documents print beside what this run measured, with its interval. "
        "Differences in architecture, training and test images remain; nothing was tuned to meet a number. "
        "Rates are in percent.",
        [
            Column("source", "source", width=0.07),
            Column("where", "where", width=0.12),
            Column("dataset", "data set", "name", width=0.1),
            Column("what", "what", width=0.19),
            Column("metric", "metric", width=0.14),
            Column("reported", "reported", "measure"),
            Column("measured", "measured", "measure", low="low", high="high"),
            Column("agrees", "within"),
            Column("note", "note", paper=False),
        ],
        rows,
    )


def kept_apart(report: Row) -> Table:
    return Table(
        "kept-apart",
        "Kept apart",
        "What meets in one place and is still not compared or not run, and why.",
        [Column("what", "what", width=0.5), Column("reason", "reason", width=0.42)],
        report["kept_apart"],
    )


def seeds(report: Row) -> Table:
    return Table(
        "seeds",
        "Seeds",
        "Each job's seed is derived from the configuration's one seed and the job's own name.",
        [Column("stage", "stage"), Column("what", "job", width=0.55), Column("seed", "seed", "code")],
        report["seeds"],
    )


def run_times(report: Row) -> Table:
    return Table(
        "run-times",
        "Run times",
        "Wall time of the jobs that made these results, per rule; cached results count with the time they once took.",
        [
            Column("rule", "rule", "code"),
            Column("jobs", "jobs", "count"),
            Column("seconds", "all jobs", "time"),
            Column("longest", "longest job", "time"),
        ],
        report["run_times"],
    )


def hashes(report: Row) -> Table:
    return Table(
        "hashes",
        "Checksums",
        "SHA-256 of every file that the numbers rest on, as recorded when it was written.",
        [Column("file", "file", "code", width=0.45), Column("sha256", "SHA-256", "code", width=0.5)],
        report["hashes"],
    )


def versions(report: Row) -> Table:
    facts = report["environment"]
    rows = [{"what": "Python", "version": facts["python"]}]
    rows += [{"what": name, "version": version} for name, version in facts["packages"].items()]
    rows += [
        {"what": "platform", "version": facts["platform"]},
        {"what": "processor", "version": facts["processor"]},
    ]
    return Table(
        "versions",
        "Environment",
        "What the report was collected with.",
        [Column("what", "what", "code"), Column("version", "version", width=0.6)],
        rows,
    )
