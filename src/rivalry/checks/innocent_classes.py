"""Whether a defense that looks for backdoors accuses the right classes."""

from __future__ import annotations

from collections.abc import Iterator

from rivalry.artifacts import read_json
from rivalry.checks._evidence import Evidence
from rivalry.checks._rows import Row, row

CHECK = "only the backdoor's class flagged"


def innocent_classes(evidence: Evidence) -> Iterator[Row]:
    """A defense that looks for backdoors flags the class that the victim's poisoning aims at, and no other.

    A victim without poisoning has no class to flag. What is flagged wrongly is trained away all the same, and a
    trigger that is found in an innocent class is not the backdoor's.
    """
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
        right = bool(flagged) if planted == "next" else flagged == ([] if planted is None else [planted])
        status = "pass" if right else "warn"
        if blind or (indices and all(index is None for index in indices)):
            status, words = "warn", f"{words}: no class could have stood out"
        elif innocent:
            words += f": {_classes(innocent)} innocent"
        elif not right:
            words += ": it is missed"
        yield row(CHECK, model.subject, status, words, **model.touched)


def _backdoor(planted: int | str | None) -> str:
    if planted is None:
        return "no backdoor"
    return "one from each class to the next" if planted == "next" else f"one in class {planted}"


def _classes(labels: list[int]) -> str:
    return f"class{'es' if len(labels) > 1 else ''} {', '.join(map(str, labels))}" if labels else "no class"
