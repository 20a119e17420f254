"""Names for several attacks together, and what they stand for."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from rivalry.config.models import LISTS
from rivalry.errors import nearest


def written_out(content: Mapping[str, Any]) -> dict[str, Any]:
    """A configuration, whose keys are right, in which matches and transfers list attacks, each once, and no sets."""
    sets: Mapping[str, Sequence[str]] = content.get("attack_sets", {})
    lists = {part: [_listed(item, sets) for item in content[part]] for part in LISTS if part in content}
    return {**content, **lists}


def _listed(item: Mapping[str, Any], sets: Mapping[str, Sequence[str]]) -> dict[str, Any]:
    named = (attack for name in item["attacks"] for attack in sets.get(name, [name]))
    return {**item, "attacks": list(dict.fromkeys(named))}


def wrong_sets(content: Mapping[str, Any]) -> Iterator[str]:
    """What is wrong between sets and attacks, one line each."""
    attacks = content.get("attacks", {})
    for name, listed in content.get("attack_sets", {}).items():
        if name in attacks:
            yield f"attack_sets.{name}: an attack is called so, too; give the set another name"
        for attack in listed:
            if attack not in attacks:
                yield f"attack_sets.{name}: '{attack}' is not in attacks; {nearest(attack, [*attacks])}"
