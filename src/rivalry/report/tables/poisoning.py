"""Poisoned training sets, and what their triggers achieve."""

from __future__ import annotations

import statistics

from rivalry.formatting import settings
from rivalry.report.tables._table import MARK, Column, Row, Table, mark
from rivalry.report.tables.victims import trained_on
from rivalry.statistics import marks


def poisonings(report: Row, dataset: str) -> Table:
    rows = [
        fact | {"settings": settings(fact["parameters"]), "proxy_right": fact["facts"].get("proxy_right")}
        for fact in report["poisonings"]
        if fact["dataset"] == dataset
    ]
    return Table(
        f"{dataset}-poisonings",
        "Poisonings",
        "What was done to the training data. The shares are those of poisoned images among all images of the poisoned "
        "set, and among those that it labels as the target class. Images that a proxy still has right were not made "
        "harder for it.",
        [
            Column("poisoning", "poisoning", "name"),
            Column("method", "method", "code"),
            Column("source", "source", "cite", width=0.16),
            Column("settings", "parameters", width=0.3),
            Column("n_poisoned", "poisoned", "count"),
            Column("n_train", "training images", "count"),
            Column("share_of_all", "of all %", "share"),
            Column("share_of_target", "of the target class %", "share"),
            Column("proxy_right", "proxy still right %", "rate", paper=False),
        ],
        rows,
    )


def triggers(report: Row, dataset: str) -> Table:
    names = {a["attack"] for a in report["attacks"] if a["dataset"] == dataset and "poisoning" in a["parameters"]}
    poisons = {v["victim"]: v for v in report["victims"] if v["dataset"] == dataset}
    whole = {
        (row["attack"], row["victim"]): row
        for row in report["triggers"]
        if row["dataset"] == dataset and not row["class"]
    }
    rows = [
        row
        | _shares(whole[row["attack"], row["victim"]])
        | (_control(whole[row["attack"], row["victim"]]) if row["setting"] == "undefended" else _control({}))
        | {"trained_on": trained_on(poisons[row["victim"]]), **mark(marks.of_score(report["checks"], row))}
        for row in report["scores"]
        if row["dataset"] == dataset and row["attack"] in names and (row["attack"], row["victim"]) in whole
    ]
    return Table(
        f"{dataset}-triggers",
        "What the triggers achieve",
        "Success is counted on images of other classes than the target. Beside it stand what was poisoned of the "
        "victim's training images, of all and of those that are labelled as the target class, and the control: the "
        f"same trigger on a victim of clean data. {marks.MEANING}",
        [
            Column("attack", "trigger", "name"),
            MARK,
            Column("victim", "victim", "name"),
            Column("trained_on", "trained on"),
            Column("n_poisoned", "poisoned", "count", paper=False),
            Column("share_of_all", "of all %", "share"),
            Column("share_of_target", "of the target class %", "share"),
            Column("defense", "defense"),
            Column("n_attacked", "n", "count"),
            Column("success_rate", "success %", "rate", low="success_low", high="success_high"),
            Column("control_rate", "control %", "rate", low="control_low", high="control_high"),
            Column("control", "control is", "name", paper=False),
            Column("clean_accuracy", "clean %", "rate", low="clean_low", high="clean_high"),
        ],
        rows,
    ).with_seeds("success_rate")


def triggers_by_class(report: Row, dataset: str) -> Table:
    """The same for each true class of the stamped images."""
    names = next(fact["class_names"] for fact in report["datasets"] if fact["dataset"] == dataset)
    rows = [
        row | {"of": str(names[int(row["class"])])}
        for row in report["triggers"]
        if row["dataset"] == dataset and row["class"] and row["poisoning"]
    ]
    return Table(
        f"{dataset}-triggers-by-class",
        "What the triggers achieve, class by class",
        "Success by the class that images show without the trigger; the target class is not among them.",
        [
            Column("attack", "trigger", "name"),
            Column("victim", "victim", "name"),
            Column("of", "class", "name"),
            Column("share_of_all", "of all %", "share"),
            Column("share_of_target", "of the target class %", "share"),
            Column("n", "n", "count"),
            Column("success_rate", "success %", "rate", low="low", high="high"),
            Column("control_rate", "control %", "rate", low="control_low", high="control_high"),
        ],
        rows,
        folded=True,
        printed=[],
    )


def cleansed(report: Row, dataset: str) -> Table:
    """What defenses that look for backdoors suspect, in victims with and without one: every training of each."""
    found = [
        fact
        for fact in (*report["defenses"], *report["trainings"]["defenses"])
        if fact["dataset"] == dataset and "anomaly_index" in fact["facts"]
    ]
    clean = [fact for fact in found if fact["backdoor_target"] is None]
    alarms = sum(bool(fact["facts"]["flagged"]) for fact in clean)
    told = f"False alarms: {alarms} of {len(clean)} clean victims." if clean else "No clean victim was looked at."
    rows = [
        {
            "victim": fact["victim"],
            "training": fact.get("training", 1),
            "defense": fact["defense"],
            "planted": "none" if fact["backdoor_target"] is None else str(fact["backdoor_target"]),
            "index": _of_target(fact, "anomaly_index"),
            "largest": _of_small_masks(fact["facts"]),
            "flagged": ", ".join(map(str, fact["facts"]["flagged"])) or "none",
            "innocent": ", ".join(map(str, fact["innocent_flagged"])) or "none",
            "mask": _of_target(fact, "mask_l1"),
            "usual": statistics.median_high(fact["facts"]["mask_l1"]),
        }
        for fact in found
    ]
    return Table(
        f"{dataset}-cleansed",
        "Backdoors that were looked for",
        "For each class the smallest trigger is found that brings other images into it; a class whose trigger is far "
        "smaller than the others' is suspected, and one whose trigger is far larger is not. Victims of clean data show "
        f"false alarms. {told}",
        [
            Column("victim", "victim", "name"),
            Column("training", "training", "count"),
            Column("defense", "defense", "name"),
            Column("planted", "planted in class"),
            Column("flagged", "suspected classes"),
            Column("innocent", "of these innocent"),
            Column("index", "index of the planted class", "number"),
            Column("largest", "largest index of a small mask", "number"),
            Column("mask", "pixels of its trigger", "number", paper=False),
            Column("usual", "median over classes", "number", paper=False),
        ],
        rows,
    )


def pruned(report: Row, dataset: str) -> Table:
    """How many units defenses took out of networks, and what that took of the accuracy on the defender's images."""
    rows = [
        {
            "victim": fact["victim"],
            "training": fact.get("training", 1),
            "defense": fact["defense"],
            "units": fact["facts"]["units"],
            "pruned": fact["facts"]["pruned"],
            "share": fact["facts"]["pruned"] / fact["facts"]["units"],
        }
        | _before_and_after(fact["facts"])
        for fact in (*report["defenses"], *report["trainings"]["defenses"])
        if fact["dataset"] == dataset and "units" in fact["facts"]
    ]
    return Table(
        f"{dataset}-pruned",
        "Units that were taken out",
        "Of a layer's channels or outputs, how many a defense took out; and the accuracy on clean images of the "
        "defender before and right after that, where the defense looks at it, without any training in between. What "
        "the triggers achieve afterwards stands in their table.",
        [
            Column("victim", "victim", "name"),
            Column("training", "training", "count"),
            Column("defense", "defense", "name"),
            Column("units", "units", "count"),
            Column("pruned", "taken out", "count"),
            Column("share", "of all %", "rate"),
            Column("before", "accuracy before %", "rate"),
            Column("after", "after %", "rate"),
        ],
        rows,
    )


def _before_and_after(facts: Row) -> Row:
    kept = {point["pruned"]: point["accuracy"] for point in facts.get("curve", [])}
    return {"before": kept.get(0), "after": kept.get(facts["pruned"])}


def _of_small_masks(facts: Row) -> float | None:
    """The largest anomaly index of a class whose mask is smaller than the median, which alone is suspected."""
    median = statistics.median(facts["mask_l1"])
    pairs = zip(facts["anomaly_index"], facts["mask_l1"], strict=True)
    return max((index for index, mask in pairs if index is not None and mask < median), default=None)


def _of_target(fact: Row, name: str) -> float | None:
    """What a defense found of the class that a backdoor aims at, where there is one such class."""
    target = fact["backdoor_target"]
    return fact["facts"][name][target] if isinstance(target, int) else None


def _shares(row: Row) -> Row:
    """What was poisoned; nothing of clean data."""
    return {name: row[name] for name in ("n_poisoned", "share_of_all", "share_of_target")}


def _control(row: Row) -> Row:
    """The control's rate; nothing where there is none."""
    return {name: row.get(name) for name in ("control", "control_rate", "control_low", "control_high")}
