"""Whether what the literature says of training methods and defenses shows here: the positive controls."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from rivalry.checks._evidence import Evidence
from rivalry.checks._rows import Row, row
from rivalry.layout import defended
from rivalry.statistics.columns import CLAIMS
from rivalry.statistics.literature import found, together
from rivalry.statistics.tables import records

CHECKS = {
    "claim": "published claims hold",
    "break": "broken defenses break",
    "limit": "known limits hold",
    "control": "controls gain nothing",
}
DOUBTS = {
    "claim": "either it was not trained as published, or the attack fails on its twin too",
    "break": "investigate before it is believed: the attacks may be too weak",
    "limit": "investigate before it is believed: the attacks may be too weak",
    "control": "investigate before it is believed: the attacks may be too weak",
}


def literature(evidence: Evidence) -> Iterator[Row]:
    """A method gains what was published, and what is known to break it does break it here.

    A run that cannot break what is known to be broken attacks too weakly. A break that was not tried is a warning; what
    else was not measured says nothing about the numbers that were.
    """
    claims = records(CLAIMS.read(evidence.layout.tables["claims"]))
    groups: dict[tuple[str, str, str, str], list[dict[str, Any]]] = {}
    for one in claims:
        if one["dataset"] == evidence.dataset:
            groups.setdefault((one["victim"], one["defense"], one["role"], one["name"]), []).append(one)
    for (victim, defense, role, name), rows in groups.items():
        result = together(role, [one["outcome"] for one in rows])
        if role != "break" and result == "not measured":
            continue
        words = f"{name}: {result}: {'; '.join(map(found, rows))}"
        passed = result in ("reproduced", "reproduced in part")
        words += "" if passed or result == "not measured" else f": {DOUBTS[role]}"
        status = "pass" if passed else "warn"
        yield row(CHECKS[role], defended(victim, defense), status, words, victim=victim, defense=defense)
