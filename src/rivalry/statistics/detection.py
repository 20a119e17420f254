"""What detectors learned from, and differences of what they flag between attacks."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from itertools import combinations
from typing import Any

from rivalry.statistics.paired import discordant, paired_interval
from rivalry.statistics.rates import difference_of_error_rates
from rivalry.statistics.scores import ScoredMatch, rate

OWN, SAME = "own detectors", "one detector"
"""Two attacks, each behind the detector that learned from it alone, as the course compares them; or both behind one."""


def learned(defense: Mapping[str, Any]) -> list[dict[str, Any]]:
    """The attacks that a defense learned from, by its facts: `method` and parameters of each; none for most."""
    told = defense.get("facts", {}).get("attack", [])
    return list(told) if isinstance(told, list) else [told]


def saw(defense: Mapping[str, Any], attack: Mapping[str, Any], eps: float | None) -> bool:
    """Whether a defense learned from an attack, given the facts of both and a budget of the attack's.

    The method and all that it was told must agree.
    """
    without = eps is None or math.isnan(eps)
    for one in learned(defense):
        same = one["method"] == attack["method"]
        for key, value in one.items():
            if key == "eps":
                same &= without or value == eps
            elif key != "method":
                same &= attack["parameters"].get(key) == value
        if same:
            return True
    return False


def flag_differences(matches: Sequence[ScoredMatch], confidence: float) -> list[dict[str, Any]]:
    """Differences between what is flagged of two attacks, each at its largest eps, behind detectors of one victim.

    Behind detectors of their own, alike in all but what they learned from (and from how many images), clean images are
    compared, too. `low` and `high` are the course's interval, for independent images; the paired one is of the
    `n_shared` images that both attacks changed. No pair is tested: this is no family of comparisons.

    Parameters
    ----------
    matches : sequence of ScoredMatch
        Of single trainings.
    confidence : float
        Coverage of the intervals, in (0,1).
    """
    groups: dict[tuple[Any, ...], dict[tuple[str, str], ScoredMatch]] = {}
    for match in matches:
        if match.flags is None or match.defense is None or match.defense["kind"] != "detector":
            continue
        row = match.row
        group = groups.setdefault(tuple(row[key] for key in ("dataset", "victim", "seed", "setting")), {})
        known = group.get((row["defense"], row["attack"]))
        if known is None or row["eps"] > known.row["eps"]:
            group[row["defense"], row["attack"]] = match
    return [
        found
        for group in groups.values()
        for a, b in combinations(group.values(), 2)
        for found in _differences(a, b, confidence)
    ]


def _differences(a: ScoredMatch, b: ScoredMatch, confidence: float) -> Iterator[dict[str, Any]]:
    kind = _kind(a, b)
    for flagged in ("adversarial", "clean") if kind == OWN else ("adversarial",) if kind else ():
        row: dict[str, Any] = {key: a.row[key] for key in ("dataset", "victim", "seed", "setting")}
        row |= {"kind": kind, "flagged": flagged}
        sides = []
        for side, match in (("a", a), ("b", b)):
            assert match.flags is not None
            flags = match.flags[flagged].dropna().astype(bool)
            names = (f"rate_{side}", f"low_{side}", f"high_{side}")
            row |= {f"detector_{side}": match.row["defense"], f"attack_{side}": match.row["attack"]}
            row |= {f"eps_{side}": match.row["eps"], f"n_{side}": len(flags)} | rate(names, flags, confidence)
            sides.append(flags)
        if any(flags.empty for flags in sides):
            continue
        row["difference"] = row["rate_a"] - row["rate_b"]
        row["low"], row["high"] = difference_of_error_rates(
            row["rate_a"], row["rate_b"], row["n_a"], row["n_b"], confidence
        )
        shared = sides[0].index.intersection(sides[1].index)
        row["n_shared"] = len(shared)
        if len(shared):
            first, second = (flags.loc[shared].to_numpy() for flags in sides)
            row["paired_low"], row["paired_high"] = paired_interval(first, second, confidence)
            row["discordant_a"], row["discordant_b"], n = discordant(first, second)
            row["paired"] = (row["discordant_a"] - row["discordant_b"]) / n
        yield row


def _kind(a: ScoredMatch, b: ScoredMatch) -> str:
    """How two matches of one victim and setting may be compared; "" where they may not."""
    if a.row["defense"] == b.row["defense"]:
        return SAME
    sides = [(match.defense or {}, match.attack, match.row["eps"]) for match in (a, b)]
    own = all(len(learned(defense)) == 1 and saw(defense, attack, eps) for defense, attack, eps in sides)
    return OWN if own and _alike(sides[0][0]) == _alike(sides[1][0]) else ""


def _alike(defense: Mapping[str, Any]) -> tuple[str, dict[str, Any]]:
    """A detector's method and parameters, without what it learned from and from how many images."""
    parameters = {key: value for key, value in defense["parameters"].items() if key not in ("attack", "sample")}
    return defense["method"], parameters
