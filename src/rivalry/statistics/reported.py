"""Numbers that the seed documents print, set against what this run measured."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import yaml

from rivalry import registry
from rivalry.artifacts import read_json, read_table
from rivalry.layout import Layout, trained
from rivalry.statistics.columns import REPORTED
from rivalry.statistics.headlines import smallest_budgets
from rivalry.statistics.over_seeds import rate_over_seeds
from rivalry.statistics.rates import mean_interval, wilson_interval
from rivalry.statistics.scores import ScoredMatch, macro_measures

COUNTED = {
    "clean_accuracy": "n",
    "adversarial_accuracy": "n",
    "success_rate": "n_attacked",
    "flagged_clean": "n",
    "flagged_adversarial": "n_crafted",
}
"""Metrics that are rates, and what they are rates of."""
MEANS = ("confidence", "rho_adv")
"""Metrics that are means over images, beside whose column in the scores stand its limits; others get no interval."""


def set_against_reported(
    layout: Layout, matches: Sequence[ScoredMatch], victims: Sequence[Sequence[str]], *, confidence: float
) -> pd.DataFrame:
    """One row for each printed number and each victim or match of this run that it speaks of.

    Entries are matched by method and parameters, never by the names that a configuration gives. A number on
    a data set of this run that nothing here corresponds to keeps its row, with nothing measured.

    `mark` says how the two compare: agrees (the measured number's interval holds the printed one), differs, no
    interval, not comparable (the note says why), not measured.

    Parameters
    ----------
    layout : Layout
        Of the run, for the facts of victims and data sets.
    matches : sequence of ScoredMatch
        All matches of the run, those of several trainings `joined`.
    victims : sequence of (data set, victim)
        All victims of the run. What was trained several times counts once, with the mean over its trainings.
    confidence : float
        Coverage of the interval of each measured rate or mean; `within` says whether it holds the printed number.
    """
    sources = {name: read_json(layout.data(name).facts)["source"] for name, _ in victims}
    trainings: dict[tuple[str, str], list[str]] = {}
    for dataset, name in victims:
        trainings.setdefault((dataset, trained(name)[0]), []).append(name)
    facts = {
        (dataset, victim): _victim_facts(layout, dataset, names[0]) for (dataset, victim), names in trainings.items()
    }
    rows = []
    for entry in reported_numbers():
        names = [name for name, source in sources.items() if source == entry["dataset"]]
        found = [
            {"dataset": name, **measured}
            for name in names
            for measured in _measured(entry, name, layout, facts, trainings, matches, confidence)
        ]
        if names and not found:
            unknown = unregistered(entry)
            why = f"there is no {', '.join(unknown)} here" if unknown else "not in this configuration"
            absent = {"mark": "not comparable" if unknown else "not measured", "note": why}
            found = [{"dataset": names[0], "what": _describe(entry), **absent}]
        for measured in found:
            row = {name: entry[name] for name in ("source", "where", "metric")} | measured
            notes = [entry.get("note", ""), measured.get("note", ""), entry.get("not_comparable", "")]
            row |= {"reported": entry["value"], "note": "; ".join(note for note in notes if note)}
            rows.append(_marked(entry, row))
    return REPORTED.frame(rows)


def _marked(entry: dict[str, Any], row: dict[str, Any]) -> dict[str, Any]:
    """A row with what its numbers say about the printed one."""
    if math.isnan(row.get("measured", math.nan)):
        return {"mark": "not measured"} | row
    if "not_comparable" in entry:
        return row | {"mark": "not comparable"}
    if math.isnan(row.get("low", math.nan)):
        return row | {"mark": "no interval"}
    within = row["low"] <= entry["value"] <= row["high"]
    return row | {"within": within, "mark": "agrees" if within else "differs"}


def reported_numbers() -> list[dict[str, Any]]:
    """All entries of `reported.yaml`, those that wait for a method among them."""
    text = Path(__file__).with_name("reported.yaml").read_text(encoding="utf-8")
    content = yaml.safe_load(text)
    return [*content["numbers"], *content["waiting"]]


def unregistered(entry: dict[str, Any]) -> list[str]:
    """What an entry names and the registry does not have: data source, methods, networks, and their parameters."""
    victim, attack, defense = entry["victim"], entry.get("attack", {}), entry.get("defense", {})
    poisoning = victim.get("poisoning") or {}
    named = [
        ("sources", entry["dataset"], {}),
        ("training", victim.get("method"), victim.get("parameters", {})),
        ("training", victim.get("method"), {key: victim[key] for key in ("temperature", "labels") if key in victim}),
        ("architectures", victim.get("architecture"), {}),
        ("poisonings", poisoning.get("method"), poisoning.get("parameters", {})),
        *(("attacks", name, attack.get("parameters", {})) for name in _listed(attack.get("method"))),
        ("defenses", defense.get("method"), defense.get("parameters", {})),
        *(("architectures", name, {}) for name in _listed(defense.get("parameters", {}).get("architecture"))),
    ]
    lacking = []
    for kind, name, parameters in named:
        if name is None:
            continue
        if name not in registry.names(kind):
            lacking.append(name)
            continue
        known = registry.method(kind, name).parameters
        lacking += [f"{name} with {key} {value}" for key, value in parameters.items() if key not in known]
    return list(dict.fromkeys(lacking))


def _measured(
    entry: dict[str, Any],
    dataset: str,
    layout: Layout,
    facts: dict[tuple[str, str], dict[str, Any]],
    trainings: dict[tuple[str, str], list[str]],
    matches: Sequence[ScoredMatch],
    confidence: float,
) -> Iterator[dict[str, Any]]:
    metric = entry["metric"]
    fitting = [name for (place, name), own in facts.items() if place == dataset and fits(entry["victim"], own)]
    if "attack" not in entry and "defense" not in entry:
        for name in fitting:
            tables = [read_table(layout.victim(dataset, one)["predictions"]) for one in trainings[dataset, name]]
            yield {"what": name, **_clean_measure(tables, metric, confidence)}
        return
    met = [match for match in matches if match.row["dataset"] == dataset and match.row["victim"] in fitting]
    defense, attack = entry.get("defense"), dict(entry.get("attack", {}))
    share = attack.pop("misclassified", None)
    met = [match for match in met if match.row["setting"] == ("oblivious" if defense else "undefended")]
    if defense:
        met = [match for match in met if fits(defense, match.defense or {})]
    met = [match for match in met if fits(attack, match.attack | {"eps": match.row["eps"]})]
    if share is not None and met:
        first = smallest_budgets([match.row for match in met], share)
        what = ", ".join(dict.fromkeys(f"{match.row['victim']} under {match.row['attack']}" for match in met))
        met = [match for match in met if any(match.row is row for row in first)]
        if not met:
            why = f"{100 * share:.0f} % are misclassified at none of the budgets"
            yield {"what": what, "note": why, "mark": "not measured"}
    seen = set()
    for match in met:
        row = match.row
        what = row["victim"] + (f" behind {row['defense']}" if defense else "")
        what += f" under {match.name}" if "attack" in entry else ""
        if what in seen:
            continue
        seen.add(what)
        rows = [one.row for one in match.trainings]
        if metric in MEANS and len(rows) == 1:
            yield {"what": what, "measured": row[metric], "low": row[f"{metric}_low"], "high": row[f"{metric}_high"]}
        else:
            counts = [one[COUNTED[metric]] for one in rows] if metric in COUNTED else None
            yield {"what": what, **_with_interval([one[metric] for one in rows], counts, confidence)}


def _clean_measure(trainings: Sequence[pd.DataFrame], metric: str, confidence: float) -> dict[str, float]:
    """A measure of the clean test images, from the predictions of each training."""
    right = [table["label"] == table["prediction"] for table in trainings]
    if metric == "clean_accuracy":
        return _with_interval([float(one.mean()) for one in right], [len(one) for one in right], confidence)
    if metric == "confidence":
        if len(trainings) > 1:
            return _with_interval([table["confidence"].mean() for table in trainings], None, confidence)
        low, high = mean_interval(trainings[0]["confidence"], confidence)
        return {"measured": trainings[0]["confidence"].mean(), "low": low, "high": high}
    macro = [macro_measures(table["label"], table["prediction"]) for table in trainings]
    return _with_interval([both[metric != "macro_precision"] for both in macro], None, confidence)


def _with_interval(values: Sequence[float], counts: Sequence[int] | None, confidence: float) -> dict[str, float]:
    """What was measured, a value a training, with an interval if these are shares of so many images."""
    measured = float(np.mean(values))
    if not counts or not all(counts) or math.isnan(measured):
        return {"measured": measured}
    if len(values) > 1:
        over = rate_over_seeds(values, float(np.mean(counts)), confidence)
        return {"measured": over.mean, "low": over.low, "high": over.high}
    low, high = wilson_interval(round(measured * counts[0]), counts[0], confidence)
    return {"measured": measured, "low": low, "high": high}


def _listed(value: Any) -> list[Any]:
    return value if isinstance(value, list) else [value]


def _victim_facts(layout: Layout, dataset: str, victim: str) -> dict[str, Any]:
    """A victim's facts, the name of its poisoning replaced by that poisoning's own facts."""
    facts: dict[str, Any] = read_json(layout.victim(dataset, victim).facts)
    name = facts.get("poisoning")
    if name is not None:
        facts["poisoning"] = read_json(layout.poisoning(dataset, name).facts)
    return facts


def fits(wanted: Mapping[str, Any], facts: dict[str, Any]) -> bool:
    """Whether all wanted facts hold; each is looked up among the facts and then among the parameters.

    A list means any of its values; a mapping is matched in the same way; numbers may differ by their
    rounding.
    """
    known = facts.get("parameters", {}) | facts
    return all(_agrees(value, known.get(key)) for key, value in wanted.items())


def _agrees(wanted: Any, found: Any) -> bool:
    if isinstance(wanted, list):
        return any(_agrees(value, found) for value in wanted)
    if isinstance(wanted, dict):
        return isinstance(found, dict) and fits(wanted, found)
    if isinstance(wanted, int | float) and not isinstance(wanted, bool):
        return isinstance(found, int | float) and bool(np.isclose(wanted, found, rtol=0.01, atol=0))
    return bool(wanted == found)


def _describe(entry: dict[str, Any]) -> str:
    """An entry's victim, defense and attack, from its own facts."""

    def words(facts: dict[str, Any]) -> str:
        return " ".join(
            value if isinstance(value, str) else f"({name} {value:g})"
            for name, value in facts.items()
            if isinstance(value, str | int | float)
        )

    parts = [words(entry["victim"])]
    parts += [f"behind {words(entry['defense'])}"] if "defense" in entry else []
    parts += [f"under {words(entry['attack'])}"] if "attack" in entry else []
    return " ".join(parts)
