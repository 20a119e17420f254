"""Self-checks at the numbers that they touch: a mark beside a number says that one of them warns or fails."""

from __future__ import annotations

from typing import Any

from rivalry.formatting import missing
from rivalry.statistics.headlines import Listed
from rivalry.statistics.trust import touching

Fact = dict[str, Any]

SIGNS = {"fail": "!", "warn": "?"}
"""What stands beside a number that a check of this status touches."""

MEANING = "“?” marks what a self-check warns about, “!” what one fails about; see the self-checks."


def of_score(checks: list[Fact], score: Fact) -> list[Fact]:
    """The kinds of checks that touch one match of data set, victim, attack and defense at one eps."""
    found = touching(
        checks,
        **{name: score[name] for name in ("dataset", "victim", "defense", "attack", "setting")},
        eps=float("nan") if missing(score["eps"]) else score["eps"],
    )
    return kinds(found)


def of_case(checks: list[Fact], case: Fact) -> list[Fact]:
    """The kinds of checks that touch a worst case: those about its classifier, and about its attacks at its budget."""
    found: list[Any] = []
    for name in case["attacks"]:
        listed = Listed.read(name)
        if listed.source:  # replayed: made on another victim, and judged by what it does to this one
            continue
        found += touching(
            checks,
            **{key: case[key] for key in ("dataset", "victim", "defense")},
            attack=listed.attack,
            eps=case["eps"],
            setting="oblivious" if listed.oblivious else None,
        )
    return kinds(found)


def of_victim(checks: list[Fact], fact: Fact) -> list[Fact]:
    """The kinds of checks that touch all that a victim, or a defended one, answers, whatever attacks it."""
    rows = touching(checks, dataset=fact["dataset"], victim=fact["victim"], defense=fact.get("defense", "none"))
    return kinds([row for row in rows if not row["attack"]])


def of_transfer(checks: list[Fact], row: Fact) -> list[Fact]:
    """The kinds of checks that touch a replayed set: those about the set on its source, and about the other victim."""
    crafted = row | {"victim": row["source"], "defense": "none", "setting": "undefended"}
    return kinds([*of_score(checks, crafted), *of_victim(checks, row)])


def of_fooling(checks: list[Fact], fact: Fact) -> list[Fact]:
    """The kinds of checks that touch the fooling images that a method made for a victim."""
    names = {name: fact[name] for name in ("dataset", "victim")}
    return kinds(touching(checks, **names, defense="none", attack=fact["fooling"], eps=float("nan")))


def kinds(rows: list[Any]) -> list[Fact]:
    """Each kind of check once, with the worst of its statuses and what it found then; failures first."""
    found: dict[str, Fact] = {}
    for row in sorted(rows, key=lambda row: row["status"] != "fail"):
        found.setdefault(row["check"], {"status": row["status"], "check": row["check"], "found": row["found"]})
    return list(found.values())


def sign(marks: list[Fact]) -> str:
    """The sign of the worst of some marks: '!', '?' or ''."""
    return SIGNS[marks[0]["status"]] if marks else ""


def words(marks: list[Fact]) -> str:
    """'fail: same images; warn: converged'."""
    return "; ".join(f"{mark['status']}: {mark['check']}" for mark in marks)
