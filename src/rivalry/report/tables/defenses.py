"""Defended victims under attacks that know the defense and that do not."""

from __future__ import annotations

from rivalry.formatting import NORMS, between, percent, settings
from rivalry.report.summary import judged_at, paired, standing
from rivalry.report.tables._table import MARK, Column, Row, Table, mark
from rivalry.report.tables.literature import broken_by
from rivalry.statistics import marks
from rivalry.statistics.checked import LYING
from rivalry.statistics.comparisons import seen_from

MEASURED = {
    "accuracy": "adversarial_accuracy",
    "accuracy_seeds": "adversarial_accuracy_seeds",
    "low": "adversarial_low",
    "high": "adversarial_high",
    "success": "success_rate",
    "flagged": "flagged_adversarial",
    "auc": "auc",
    "l2": "mean_l2",
}
"""What stands side by side for the two kinds of attackers, and its column in the scores."""


def defenses(report: Row, dataset: str) -> list[Table]:
    """One table per defended victim: each attack without the defense, oblivious and adaptive, side by side."""
    scores = [row for row in report["scores"] if row["dataset"] == dataset]
    bare = {(s["victim"], s["attack"], s["eps"]): s for s in scores if s["setting"] == "undefended"}
    tables: list[Table] = []
    for fact in (fact for fact in report["defenses"] if fact["dataset"] == dataset):
        mine = [s for s in scores if (s["victim"], s["defense"]) == (fact["victim"], fact["defense"])]
        if not mine:
            continue
        matches = dict.fromkeys((score["attack"], score["eps"]) for score in mine)
        rows = [
            _row(report, [s for s in mine if (s["attack"], s["eps"]) == match], bare.get((fact["victim"], *match), {}))
            for match in matches
        ]
        detector = fact["kind"] == "detector"
        clean = _of_most_images(mine)
        counted = "flagged or classified correctly" if detector else "classified correctly"
        flags = (
            f" It flags {percent(clean['flagged_clean'])} % of clean images by mistake; the last columns "
            "are the share of adversarial images it flags."
            if detector
            else ""
        )
        flagged = [
            Column("oblivious_flagged", "flagged oblivious %", "rate"),
            Column("adaptive_flagged", "flagged adaptive %", "rate"),
            Column("oblivious_auc", "AUC, oblivious", "number", paper=False),
            Column("adaptive_auc", "AUC, adaptive", "number", paper=False),
        ]
        tables.append(
            Table(
                f"{dataset}-defense-{fact['victim']}-{fact['defense']}",
                f"{fact['defense']} on {fact['victim']}",
                f"A {fact['kind']} ({settings(fact['parameters'] | _learned(fact))}). Clean accuracy with it: "
                f"{percent(clean['clean_accuracy'])} % "
                f"[{between(clean['clean_low'], clean['clean_high'])}] of {clean['n']} images. An attacked "
                f"image counts when it is {counted}; one that is lost without an attack is lost under every "
                f"attack.{flags}"
                f"{broken_by(report, fact)}{_gradients(report, fact)} {marks.MEANING}",
                [
                    Column("attack", "attack", "name", width=0.16),
                    MARK,
                    Column("eps", "ε", "eps"),
                    Column("n", "n", "count", paper=False),
                    Column("undefended", "undefended %", "rate"),
                    Column("oblivious_accuracy", "oblivious %", "rate", low="oblivious_low", high="oblivious_high"),
                    Column("adaptive_accuracy", "adaptive %", "rate", low="adaptive_low", high="adaptive_high"),
                    Column("oblivious_success", "success, oblivious %", "rate", paper=False),
                    Column("adaptive_success", "success, adaptive %", "rate", paper=False),
                    Column("adaptive_l2", "L2, adaptive", "number", paper=False),
                    *(flagged if detector else []),
                ],
                rows,
                folded=bool(tables),
            ).with_seeds("adaptive_accuracy")
        )
    return tables


def _learned(fact: Row) -> Row:
    """The attacks that a detector learned from as it ran them: at one eps, where several are configured."""
    return {key: value for key, value in (fact.get("facts") or {}).items() if key == "attack"}


def _gradients(report: Row, fact: Row) -> str:
    """What the self-check of the defense's own gradients found, in sentences."""
    names = ("dataset", "victim", "defense")
    found = [
        row for row in report["checks"] if row["check"] == LYING and all(row[name] == fact[name] for name in names)
    ]
    return "".join(f" Self-check, {row['subject']}: {row['found']}." for row in found)


def worth(report: Row, dataset: str) -> Table:
    """One row for each defended victim and norm: what the defense costs, and what it gains."""
    rows = []
    for fact in (fact for fact in report["defenses"] if fact["dataset"] == dataset):
        names = fact["victim"], fact["defense"]
        about = {"victim": names[0], "defense": names[1], "kind": fact["kind"], **_clean(report, dataset, names)}
        for side, end in (("defended", ""), ("undefended", "_bare")):
            cost = fact["cost"][side]
            about[f"time{end}"] = None if cost["seconds"] is None else 1000 * cost["seconds"]
            about |= {f"{key}{end}": cost[key] / 1e6 for key in ("memory", "stored")}
        measured = [row for row in (_worst(report, place, fact) for place in judged_at(report, fact)) if row]
        rows += [about | row for row in measured or [dict.fromkeys(WORTH)]]
    return Table(
        f"{dataset}-worth",
        "What defenses cost and gain",
        "Clean accuracy with the defense and by how much it changes, in percentage points, with the paired interval. "
        "The accuracies are worst cases over all attacks of the norm, of a certificate at the largest budget within "
        "the radius that it can certify: without the defense, under attacks that do not "
        "know it, and under all of them. The verdict is that of the paired test of victims with and without it: a "
        "defense is broken where no gain is shown and there is no room for five points, although it gains them while "
        "attackers do not know it; without that, it gains nothing. What mends a poisoned victim was not made against "
        "changed images, and is not judged by them. What "
        "classifying takes is measured on clean images, with the defense and without: milliseconds an image in "
        "batches, and megabytes that tensors hold meanwhile, an image, and in weights and other stored numbers.",
        [
            Column("defense", "defense", "name", width=0.12),
            Column("victim", "victim", "name", width=0.11),
            Column("kind", "kind", paper=False),
            Column("clean", "clean %", "rate"),
            Column("change", "change", "points", low="change_low", high="change_high", paper=False),
            Column("norm", "norm"),
            Column("eps", "ε", "eps"),
            Column("undefended", "undefended %", "rate"),
            Column("oblivious", "unknown %", "rate"),
            Column("accuracy", "known %", "rate", low="low", high="high"),
            Column("verdict", "verdict", width=0.14),
            Column("time", "ms", "number"),
            Column("time_bare", "ms without", "number", paper=False),
            Column("memory", "MB", "number", paper=False),
            Column("memory_bare", "MB without", "number", paper=False),
            Column("stored", "MB stored", "number", paper=False),
            Column("stored_bare", "MB stored without", "number", paper=False),
        ],
        rows,
    )


WORTH = ("norm", "eps", "undefended", "oblivious", "accuracy", "low", "high", "verdict")


def _clean(report: Row, dataset: str, names: tuple[str, str]) -> Row:
    """The clean accuracy of a defended victim, and by how much it is above that of the undefended one."""
    scores = [s for s in report["scores"] if (s["dataset"], s["victim"], s["defense"]) == (dataset, *names)]
    row: Row = {"clean": _of_most_images(scores)["clean_accuracy"] if scores else None}
    row |= dict.fromkeys(("change", "change_low", "change_high"))
    for test in report["comparisons"]:
        sides = [(test[f"victim_{side}"], test[f"defense_{side}"]) for side in "ab"]
        if (test["dataset"], test["kind"]) == (dataset, "clean") and sorted(sides) == sorted(
            [names, (names[0], "none")]
        ):
            seen = seen_from(test, names)
            if seen["holm_p"] is not None:
                row |= {"change": seen["ahead"], "change_low": seen["low"], "change_high": seen["high"]}
    return row


def _of_most_images(scores: list[Row]) -> Row:
    """The match of the most images: attacks on fewer say less of what all have in common, as clean accuracy."""
    return max(scores, key=lambda score: int(score["n"]))


def _worst(report: Row, place: Row, fact: Row) -> Row | None:
    """The worst cases of a norm with and without a defense, and what their test says."""
    rows = {(row["victim"], row["defense"]): row for row in place["rows"]}
    mine, bare = (rows.get((fact["victim"], defense)) for defense in (fact["defense"], "none"))
    if mine is None or mine["reason"]:
        return None
    test = paired(report, place, mine, bare) if bare and not bare["reason"] else None
    told = test is not None and test["holm_p"] is not None
    return {
        "norm": NORMS[place["norm"]],
        "eps": place["eps"],
        "undefended": bare["accuracy"] if bare else None,
        "oblivious": mine["oblivious_accuracy"],
        **{key: mine[key] for key in ("accuracy", "low", "high")},
        "verdict": standing(test, fact, mine, bare) if bare and test and told else "not compared",
    }


def _row(report: Row, scores: list[Row], bare: Row) -> Row:
    """The scores of one match, by whether the attacker knew of the defense; `bare` is the one without it."""
    by_setting = {score["setting"]: score for score in scores}
    touched = [one for score in scores for one in marks.of_score(report["checks"], score)]
    return (
        {name: scores[0][name] for name in ("attack", "eps", "n", "seeds")}
        | {"undefended": bare.get("adversarial_accuracy"), **mark(marks.kinds(touched))}
        | {
            f"{setting}_{name}": by_setting.get(setting, {}).get(column)
            for setting in ("oblivious", "adaptive")
            for name, column in MEASURED.items()
        }
    )
