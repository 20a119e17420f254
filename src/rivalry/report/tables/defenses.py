"""Defended victims under attacks that know the defense and that do not."""

from __future__ import annotations

from rivalry.formatting import between, percent, settings
from rivalry.report.tables._table import MARK, Column, Row, Table, mark
from rivalry.report.tables.literature import broken_by
from rivalry.statistics import marks
from rivalry.statistics.checked import LYING

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
        clean = mine[0]
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
                f"A {fact['kind']} ({settings(fact['parameters'])}). Clean accuracy with it: "
                f"{percent(clean['clean_accuracy'])} % "
                f"[{between(clean['clean_low'], clean['clean_high'])}]. An attacked image counts when it is "
                f"{counted}; one that is lost without an attack is lost under every attack.{flags}"
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


def _gradients(report: Row, fact: Row) -> str:
    """What the self-check of the defense's own gradients found, in sentences."""
    names = ("dataset", "victim", "defense")
    found = [
        row for row in report["checks"] if row["check"] == LYING and all(row[name] == fact[name] for name in names)
    ]
    return "".join(f" Self-check, {row['subject']}: {row['found']}." for row in found)


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
