"""Victims side by side under each attack, and attacks by the change that they need and its price."""

from __future__ import annotations

from rivalry.formatting import MISSING, NORMS, epsilon, listing, missing, percent, settings
from rivalry.report.tables._table import LONG, MARK, Column, Row, Table, mark
from rivalry.statistics import marks
from rivalry.statistics.headlines import MATCH, MISCLASSIFIED, smallest_budgets

MOST_PRINTED = 4
"""Budgets of one attack that the paper has room for."""
MOST_TOLD = 6
"""Attacks that a note names."""


def under_attacks(report: Row, dataset: str) -> list[Table]:
    """One table per attack that several victims met: a victim a row, side by side its numbers at every budget."""
    facts = {fact["victim"]: fact for fact in report["victims"] if fact["dataset"] == dataset}
    scores = [row for row in report["scores"] if row["dataset"] == dataset and row["setting"] == "undefended"]
    tables: list[Table] = []
    for attack in dict.fromkeys(row["attack"] for row in scores):
        met: dict[str, list[Row]] = {}
        for score in scores:
            if score["attack"] == attack:
                met.setdefault(score["victim"], []).append(score)
        if len(met) < 2:
            continue
        told = _what_differs([facts[victim] for victim in met])
        rows = [
            {"victim": victim, "told": words, "n": mine[0]["n"], **_clean(mine[0]), **_numbers(mine)}
            | mark(marks.kinds([one for score in mine for one in marks.of_score(report["checks"], score)]))
            for (victim, mine), words in zip(met.items(), told, strict=True)
        ]
        budgets = sorted({score["eps"] for mine in met.values() for score in mine if not missing(score["eps"])})
        # What a victim did not meet is missing in its row.
        rows = [{key: None for other in rows for key in other} | row for row in rows]
        tables.append(
            Table(
                f"{dataset}-under-{attack}",
                f"Victims under {attack}",
                "Each victim with what tells it from the others, its accuracy and the mean confidence in whatever "
                "class it gives, both over all n images, without the attack and under it. Means have Student's "
                f"intervals. {marks.MEANING}",
                [
                    Column("victim", "victim", "name", width=0.16),
                    MARK,
                    Column("told", "what differs", width=0.2),
                    Column("n", "n", "count", paper=False),
                    *_pair("clean", "clean", len(budgets) < 2),
                    *(
                        column
                        for place, eps in enumerate(budgets or [None])
                        for column in _pair(*_called(attack, eps), len(budgets) < 2, _shown(place, len(budgets)))
                    ),
                ],
                rows,
                folded=bool(tables),
            )
        )
    return tables


def _what_differs(facts: list[Row]) -> list[str]:
    """Of each victim, in words, its architecture, method and parameters, where those that have such a thing differ."""
    parts = [
        [{name: fact[name] for name in ("architecture", "method", "poisoning")} for fact in facts],
        *([fact.get(key) or {} for fact in facts] for key in ("parameters", "architecture_parameters", "fitting")),
    ]
    told: list[Row] = [{} for _ in facts]
    for part in parts:
        for name in dict.fromkeys(name for own in part for name in own):
            values = [own[name] for own in part if name in own]
            if any(value != values[0] for value in values):
                for words, own in zip(told, part, strict=True):
                    words |= {name: own[name]} if name in own else {}
    return [settings(words) for words in told]


def _called(attack: str, eps: float | None) -> tuple[str, str]:
    """The key of a budget's numbers, and what stands above them."""
    return ("attacked", attack) if eps is None else (f"at {eps!r}", f"ε {epsilon(eps)}")


def _clean(score: Row) -> Row:
    return {f"clean {name}": score[column] for name, column in _columns("clean").items()}


def _numbers(scores: list[Row]) -> Row:
    return {
        f"{_called('', None if missing(score['eps']) else score['eps'])[0]} {name}": score[column]
        for score in scores
        for name, column in _columns("adversarial").items()
    }


def _columns(kind: str) -> dict[str, str]:
    """What a pair of columns shows, and the columns of the scores that hold it."""
    confidence = "clean_confidence" if kind == "clean" else "confidence"
    return {
        "accuracy": f"{kind}_accuracy",
        "low": f"{kind}_low",
        "high": f"{kind}_high",
        "confidence": confidence,
        "confidence low": f"{confidence}_low",
        "confidence high": f"{confidence}_high",
    }


def _pair(key: str, title: str, confidence: bool, paper: bool = True) -> list[Column]:
    """Accuracy and confidence; the paper leaves out what it has no room for."""
    return [
        Column(f"{key} accuracy", f"{title} %", "rate", low=f"{key} low", high=f"{key} high", paper=paper),
        Column(
            f"{key} confidence",
            f"{title}: confidence %",
            "rate",
            low=f"{key} confidence low",
            high=f"{key} confidence high",
            paper=paper and confidence,
        ),
    ]


def _shown(place: int, of: int) -> bool:
    """Whether the paper has the budget at a place among so many: at most a few, the smallest and the largest too."""
    if of <= MOST_PRINTED:
        return True
    return place in {round(k * (of - 1) / (MOST_PRINTED - 1)) for k in range(MOST_PRINTED)}


def smallest_changes(report: Row, dataset: str) -> Table:
    """Attacks that look for the smallest change, and the others where they first misclassify nearly all images."""
    scores = [
        row
        for row in report["scores"]
        if row["dataset"] == dataset and row["setting"] == "undefended" and row["goal"] == "untargeted"
    ]
    reached = smallest_budgets(scores)
    rows = [
        row
        | {
            "norm": NORMS[row["norm"]],
            "limit": "none" if row["budget"] == "minimal" else epsilon(row["eps"]),
            "before": _before(row, scores),
            "wrong": 1 - row["adversarial_accuracy"],
            "wrong_low": 1 - row["adversarial_high"],
            "wrong_high": 1 - row["adversarial_low"],
            **mark(marks.of_score(report["checks"], row)),
        }
        for row in scores
        if row["budget"] == "minimal" or any(row is one for one in reached)
    ]
    return Table(
        f"{dataset}-smallest-changes",
        "Sizes of changes and their price",
        "ρ adv is the mean, over the images that an attack turned, of the change's length divided by the image's, both "
        "in L2, as DeepFool's authors define it, with Student's interval. Attacks that look for the smallest change "
        f"stand beside those of a fixed budget, at the smallest ε of this run at which {100 * MISCLASSIFIED:.0f} % of "
        "the n images are misclassified, those that were so before the attack among them; how many were at the ε "
        f"before it says how exact that is.{_missed(scores, reached)} Passes and time are means per attacked image. "
        f"{marks.MEANING}",
        [
            Column("victim", "victim", "name", width=0.14),
            Column("attack", "attack", "name", width=0.14),
            MARK,
            Column("norm", "norm", paper=False),
            Column("limit", "ε"),
            Column("before", "ε before", paper=False),
            Column("n", "n", "count", paper=False),
            Column("wrong", "misclassified %", "rate", low="wrong_low", high="wrong_high"),
            Column("rho_adv", "ρ adv", "number", low="rho_adv_low", high="rho_adv_high"),
            Column("queries", "forward", "count", paper=False),
            Column("gradients", "gradients", "count", paper=False),
            Column("seconds", "time", "time"),
        ],
        rows,
        folded=len(rows) > LONG,
    )


def _before(row: Row, scores: list[Row]) -> str:
    """The budget before that of a row, and the share that it left misclassified."""
    if row["budget"] == "minimal":
        return MISSING
    smaller = [one for one in scores if _match(one) == _match(row) and one["eps"] < row["eps"]]
    if not smaller:
        return "none was run"
    last = max(smaller, key=lambda one: float(one["eps"]))
    return f"{epsilon(last['eps'])}: {percent(1 - last['adversarial_accuracy'])} %"


def _missed(scores: list[Row], reached: list[Row]) -> str:
    """Which attacks of a fixed budget no ε of the run brings that far, and how far they came."""
    there = {_match(row) for row in reached}
    best: dict[tuple[str, ...], Row] = {}
    for row in scores:
        if row["budget"] == "fixed" and row["sees"] != "nothing" and _match(row) not in there:
            known = best.setdefault(_match(row), row)
            if row["adversarial_accuracy"] < known["adversarial_accuracy"]:
                best[_match(row)] = row
    if not best:
        return ""
    told = [
        f"{row['attack']} on {row['victim']} ({percent(1 - row['adversarial_accuracy'])} %)" for row in best.values()
    ]
    left = len(told) - MOST_TOLD
    return f" No ε of this run goes so far with {listing(told[:MOST_TOLD] + ([f'{left} others'] if left > 0 else []))}."


def _match(row: Row) -> tuple[str, ...]:
    return tuple(row[key] for key in MATCH)
