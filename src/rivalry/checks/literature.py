"""Whether what the literature says of training methods and defenses shows here: the positive controls."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from rivalry.checks._evidence import Evidence
from rivalry.checks._rows import Row, row
from rivalry.formatting import missing
from rivalry.layout import defended, trained
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
    "claim": "it may have been trained otherwise than published",
    "break": "investigate before it is believed: the attacks may be too weak",
    "limit": "investigate before it is believed: the attacks may be too weak",
    "control": "investigate before it is believed: the attacks may be too weak",
}


def literature(evidence: Evidence) -> Iterator[Row]:
    """A method gains what was published, and what is known to break it does break it here.

    A run that cannot break what is known to be broken attacks too weakly. A break that was not tried is a warning,
    unless nobody attacked the defense knowingly, so that nothing is claimed for it; what else was not measured says
    nothing about the numbers that were.
    """
    claims = records(CLAIMS.read(evidence.layout.tables["claims"]))
    groups: dict[tuple[str, str, str, str], list[dict[str, Any]]] = {}
    for one in claims:
        if one["dataset"] == evidence.dataset:
            groups.setdefault((one["victim"], one["defense"], one["role"], one["name"]), []).append(one)
    for (victim, defense, role, name), rows in groups.items():
        result = together(role, [one["outcome"] for one in rows])
        if result == "not measured" and (role != "break" or not _met_knowing(evidence, victim, defense)):
            continue
        words = f"{name}: {result}: {'; '.join(map(found, rows))}"
        passed = result in ("reproduced", "reproduced in part")
        words += "" if passed or result == "not measured" else f": {DOUBTS[role]}"
        held = [one["base_accuracy"] for one in rows if not missing(one["base_accuracy"])]
        words += (
            "; its twin withstands the attack, too"
            if role == "claim" and not passed and held and min(held) > 0.5
            else ""
        )
        status = "pass" if passed else "warn"
        yield row(CHECKS[role], defended(victim, defense), status, words, victim=victim, defense=defense)


def _met_knowing(evidence: Evidence, victim: str, defense: str) -> bool:
    """Whether any attack on a classifier knew of its defense, if it has one."""
    if defense == "none":
        return True
    names = [name for name, other in evidence.planned("evaluations") if trained(name)[0] == victim and other == defense]
    return any("adaptive" in set(evidence.evaluated(name, defense)["setting"]) for name in names)
