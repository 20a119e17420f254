"""Victims that differ in one number alone, so that what it does can be seen."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rivalry import registry
from rivalry.types import Reference

Fact = Mapping[str, Any]

TOLD = ("architecture", "architecture_parameters", "method", "parameters", "fitting", "poisoning", "warm_start")
"""Of the facts about a victim, those that the configuration tells."""
FEWEST = 3
"""Values that make a sweep."""


@dataclass(frozen=True)
class Sweep:
    """Victims that differ in one number.

    Attributes
    ----------
    parameter : str
        What it is called.
    numbers : dict
        Of each victim, the number; ascending.
    """

    parameter: str
    numbers: dict[str, float]


def sweeps(victims: Mapping[str, Fact]) -> list[Sweep]:
    """The sweeps among victims of one data set, given by name with their facts (victim.json).

    Where a victim learned from another one, that one may differ with it in the same number, as a teacher does in its
    student's temperature. Trainings of one victim with several seeds have the same value.
    """
    alike: dict[tuple[str, frozenset[tuple[str, str]]], dict[str, float]] = {}
    for name, facts in victims.items():
        told = dict(_leaves(facts, victims))
        for path, value in _leaves(facts, {}):
            if isinstance(value, int | float) and not isinstance(value, bool):
                key = path[-1]
                rest = frozenset(
                    (".".join(at), "" if at[-1] == key and found == value else repr(found))
                    for at, found in told.items()
                )
                alike.setdefault((key, rest), {})[name] = value
    return [
        Sweep(key, dict(sorted(values.items(), key=lambda item: item[1])))
        for (key, _), values in alike.items()
        if len(set(values.values())) >= FEWEST
    ]


def _leaves(facts: Fact, victims: Mapping[str, Fact]) -> Iterator[tuple[tuple[str, ...], Any]]:
    """What a victim's facts tell, value by value with its path; of one of `victims` that they name, what it tells."""
    named = _named(facts)
    waiting: list[tuple[tuple[str, ...], Any]] = [((key,), facts.get(key)) for key in TOLD]
    while waiting:
        path, value = waiting.pop()
        other = Path(value).name if path in named and isinstance(value, str) else ""
        if other in victims:
            for inner, one in _leaves(victims[other], {}):
                yield (*path, *inner), one
        elif isinstance(value, Mapping):
            waiting += [((*path, key), one) for key, one in value.items()]
        else:
            yield path, value


def _named(facts: Fact) -> set[tuple[str, ...]]:
    """Where facts name another victim."""
    known = facts["method"] in registry.names("training")
    parameters = registry.method("training", facts["method"]).parameters if known else {}
    marks = {name: parameter.mark(Reference) for name, parameter in parameters.items()}
    return {("warm_start",)} | {
        ("parameters", name) for name, mark in marks.items() if mark is not None and mark.section == "victims"
    }
