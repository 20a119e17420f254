"""Whether a defense that looks for backdoors accuses the right classes."""

from __future__ import annotations

from collections.abc import Iterator

from rivalry.artifacts import read_json
from rivalry.checks._evidence import Evidence
from rivalry.checks._rows import Row, row
from rivalry.formatting import percent
from rivalry.statistics.columns import TRIGGERS
from rivalry.statistics.tables import records

CHECK = "only the backdoor's class flagged"


def innocent_classes(evidence: Evidence) -> Iterator[Row]:
    """A defense that looks for backdoors flags the class that the victim's poisoning aims at, and no other.

    A victim without poisoning has no class to flag, nor has one whose trigger does no more than it does to a clean
    victim. What is flagged wrongly is trained away all the same, and a trigger that is found in an innocent class is
    not the backdoor's.
    """
    weak = _without_effect(evidence)
    for model in evidence.models:
        if model.defense == "none":
            continue
        about = read_json(model.place.facts)
        facts, planted = about.get("facts", {}), about.get("backdoor_target")
        if "flagged" not in facts:
            continue
        flagged, indices, largest = (facts.get(name) for name in ("flagged", "anomaly_index", "largest_index"))
        innocent = about["innocent_flagged"]
        words = f"flags {_classes(flagged)}; the victim has {_backdoor(planted)}"
        blind = largest is not None and largest <= about["parameters"]["anomaly"]
        learned = planted if model.victim not in weak else None
        words += f", which does not work ({weak[model.victim]})" if planted is not None and learned is None else ""
        right = bool(flagged) if learned == "next" else flagged == ([] if learned is None else [learned])
        status = "pass" if right else "warn"
        if blind or (indices and all(index is None for index in indices)):
            status, words = "warn", f"{words}: no class could have stood out"
        elif innocent:
            words += f": {_classes(innocent)} innocent"
        elif not right:
            words += ": it is missed"
        yield row(CHECK, model.subject, status, words, **model.touched)


def _without_effect(evidence: Evidence) -> dict[str, str]:
    """The poisoned victims on which no trigger does more than on a clean one, and what it does there, in words."""
    rows = [
        one
        for one in records(TRIGGERS.read(evidence.layout.tables["triggers"]))
        if one["dataset"] == evidence.dataset and one["poisoning"] and not one["class"] and one["n"]
    ]
    works = {one["victim"] for one in rows if one["control"] and one["low"] > one["control_high"]}
    return {
        one["victim"]: f"{percent(one['success_rate'])} % of {one['n']} images; on a clean victim "
        f"{percent(one['control_rate'])} %"
        for one in rows
        if one["control"] and one["victim"] not in works
    }


def _backdoor(planted: int | str | None) -> str:
    if planted is None:
        return "no backdoor"
    return "one from each class to the next" if planted == "next" else f"one in class {planted}"


def _classes(labels: list[int]) -> str:
    return f"class{'es' if len(labels) > 1 else ''} {', '.join(map(str, labels))}" if labels else "no class"
