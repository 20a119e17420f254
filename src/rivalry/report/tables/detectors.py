"""What detectors find: at stated false alarms, of attacks that they learned from and of others, and differences."""

from __future__ import annotations

from rivalry.formatting import listing, missing
from rivalry.report.tables._table import LONG, MARK, Column, Row, Table, mark
from rivalry.statistics import marks
from rivalry.statistics.detection import OWN, learned, saw


def found(report: Row, dataset: str) -> Table:
    """Each detector under each attack: area under the ROC curve, and what it flags at 1 % and 5 % false alarms."""
    rows = [
        {
            **score,
            "learned": _learned(report, fact),
            "seen": "yes" if saw(fact, attack, score["eps"]) else "no",
            **mark(marks.of_score(report["checks"], score)),
        }
        for fact, attack, score in _scores(report, dataset)
    ]
    return Table(
        f"{dataset}-detected",
        "What detectors find",
        "AUC is the area under the ROC curve, of attacked images and the same ones unchanged: the share of pairs of "
        "one of either in which the attacked one is the more suspicious (half is chance), with Newcombe's interval. "
        "Thresholds are those which 1 % and 5 % of held-out clean training images exceed, whatever the detector's "
        "own; beside what is flagged there of attacked images stands the share of clean test images that is flagged, "
        "too. An adaptive attack was "
        f"made against the detector's own threshold. {marks.MEANING}",
        [
            Column("defense", "detector", "name", width=0.15),
            Column("learned", "learned from", width=0.15),
            Column("attack", "attack", "name", width=0.13),
            MARK,
            Column("seen", "seen", paper=False),
            Column("setting", "setting"),
            Column("eps", "ε", "eps"),
            Column("n_crafted", "n", "count", paper=False),
            Column("auc", "AUC", "number", low="auc_low", high="auc_high"),
            Column("flagged_at_1", "flagged at 1 %", "rate", low="flagged_at_1_low", high="flagged_at_1_high"),
            Column("false_alarms_at_1", "false alarms at 1 %", "rate", paper=False),
            Column("flagged_at_5", "flagged at 5 %", "rate", low="flagged_at_5_low", high="flagged_at_5_high"),
            Column("false_alarms_at_5", "false alarms at 5 %", "rate", paper=False),
        ],
        rows,
        folded=len(rows) > LONG,
        printed=[row for row in rows if row["setting"] == "oblivious"][:LONG],
        omitted="{} in scores.csv.",
    )


def unseen(report: Row, dataset: str) -> list[Table]:
    """Trained on one attack, or on all but one, flagged on another: a detector a row, an attack a column."""
    tables: list[Table] = []
    scores = [one for one in _scores(report, dataset) if one[2]["setting"] == "oblivious"]
    for victim in dict.fromkeys(score["victim"] for _, _, score in scores):
        mine = _at_largest([one for one in scores if one[2]["victim"] == victim])
        attacks = list(dict.fromkeys(score["attack"] for _, _, score in mine))
        rows: dict[str, Row] = {}
        for fact, attack, score in mine:
            row = rows.setdefault(score["defense"], {"defense": score["defense"], "learned": _learned(report, fact)})
            row["flagged_clean"] = score["flagged_clean"]
            row[f"of {score['attack']}"] = score["flagged_adversarial"]
            if attack["sees"] != "nothing":
                kind = "seen" if saw(fact, attack, score["eps"]) else "unseen"
                row.setdefault(kind, []).append(score["flagged_adversarial"])
        if len(rows) < 2 or len(attacks) < 2:
            continue
        table: list[Row] = []
        for row in rows.values():
            least = {kind: _least(row.get(kind, [])) for kind in ("seen", "unseen")}
            table.append(dict.fromkeys(f"of {attack}" for attack in attacks) | row | least)
        tables.append(
            Table(
                f"{dataset}-unseen-{victim}",
                f"Trained on, flagged on: {victim}",
                "The share of attacked images that each detector flags at its own threshold, by attack at its largest "
                "ε, made without knowing the detector; and the least of these rates over the attacks that it learned "
                "from and over those that it never saw. Controls that look at no victim, such as noise, are neither.",
                [
                    Column("defense", "detector", "name", width=0.17),
                    Column("learned", "learned from", width=0.2),
                    Column("flagged_clean", "clean %", "rate"),
                    *(Column(f"of {attack}", f"{attack} %", "rate") for attack in attacks),
                    Column("seen", "least, seen %", "rate"),
                    Column("unseen", "least, unseen %", "rate"),
                ],
                table,
                folded=len(table) > LONG,
            )
        )
    return tables


def differences(report: Row, dataset: str) -> Table:
    """Differences of flag rates between attacks, with both intervals."""
    several = any(row["seed"] != 1 for row in report["flags"] if row["dataset"] == dataset)
    rows = [row | _sides(row) for row in report["flags"] if row["dataset"] == dataset]
    rows.sort(key=lambda row: row["kind"] != OWN)
    return Table(
        f"{dataset}-flags",
        "Flag rates: differences between attacks",
        "Each attack at its largest ε; behind its own detector, which learned from it alone, as the course compares "
        "them (then clean images, too), or both behind one detector. Differences are A less B in percentage points, "
        "with the course's interval for independent images and with the one for the images that both attacks changed. "
        "The course's has no width where both rates are 0 or 100 %, and may pass 100 points; the paired one is meant "
        "for these. "
        "An interval that holds zero shows no difference; none of these pairs is tested, and with many of them some "
        "intervals miss zero by chance.",
        [
            Column("victim", "victim", "name", paper=False),
            *([Column("seed", "training", "count", paper=False)] if several else []),
            Column("flagged", "images"),
            Column("setting", "setting", paper=False),
            Column("a", "A", width=0.2),
            Column("b", "B", width=0.2),
            Column("rate_a", "A %", "rate", low="low_a", high="high_a", paper=False),
            Column("rate_b", "B %", "rate", low="low_b", high="high_b", paper=False),
            Column("difference", "independent", "points", low="low", high="high"),
            Column("paired", "paired", "points", low="paired_low", high="paired_high"),
            Column("n_shared", "n, paired", "count", paper=False),
        ],
        rows,
        folded=len(rows) > LONG,
        printed=[row for row in rows if row["kind"] == OWN and row["setting"] == "oblivious"][: 2 * LONG],
        omitted="{} in flags.csv.",
    )


def _sides(row: Row) -> Row:
    """What both sides are called."""
    return {side: f"{row[f'attack_{side}']} behind {row[f'detector_{side}']}" for side in "ab"}


def _scores(report: Row, dataset: str) -> list[tuple[Row, Row, Row]]:
    """The facts of each detector, those of each attack that it met, and the scores."""
    facts = {
        (fact["victim"], fact["defense"]): fact
        for fact in report["defenses"]
        if fact["dataset"] == dataset and fact["kind"] == "detector"
    }
    return [
        (facts[score["victim"], score["defense"]], _attack(report, score), score)
        for score in report["scores"]
        if score["dataset"] == dataset and (score["victim"], score["defense"]) in facts and not missing(score["auc"])
    ]


def _attack(report: Row, score: Row) -> Row:
    """The facts of the attack of a score; its method and parameters are the same whomever it is aimed at."""
    named = [one for one in report["attacks"] if (one["dataset"], one["attack"]) == (score["dataset"], score["attack"])]
    return named[0] if named else {"method": "", "parameters": {}, "sees": "gradients"}


def _learned(report: Row, fact: Row) -> str:
    """What a detector learned from, in the words of the configuration where it has some for that."""
    told = []
    for one in learned(fact):
        called = [
            attack["attack"]
            for attack in report["attacks"]
            if attack["dataset"] == fact["dataset"] and saw({"facts": {"attack": one}}, attack, one.get("eps"))
        ]
        told.append(called[0] if called else one["method"])
    return listing(list(dict.fromkeys(told))) if told else "clean images"


def _at_largest(scores: list[tuple[Row, Row, Row]]) -> list[tuple[Row, Row, Row]]:
    """Of each detector and attack the scores at the largest eps."""
    best: dict[tuple[str, str], tuple[Row, Row, Row]] = {}
    for one in scores:
        score = one[2]
        known = best.get((score["defense"], score["attack"]))
        if known is None or (not missing(score["eps"]) and score["eps"] > known[2]["eps"]):
            best[score["defense"], score["attack"]] = one
    return list(best.values())


def _least(rates: list[float]) -> float | None:
    return min((rate for rate in rates if not missing(rate)), default=None)
