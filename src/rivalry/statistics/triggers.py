"""What the triggers of poisoned training sets achieve: overall, by class, and against the share that was poisoned.

Success is counted on images of other classes than the target, which the victim classifies correctly without the
trigger. Beside each rate stands that of a victim of clean data under the same trigger, the control.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from rivalry.artifacts import read_json, read_table
from rivalry.layout import Layout, trained
from rivalry.statistics.over_seeds import rate_over_seeds
from rivalry.statistics.rates import wilson_interval
from rivalry.statistics.sweeps import TOLD

Row = dict[str, Any]
Fact = Mapping[str, Any]

FEWEST = 2
"""Different shares that make a curve."""
SHARES = ("n_poisoned", "share_of_all", "share_of_target")
"""Of the facts about a poisoning: how much was poisoned."""


def trigger_rates(layout: Layout, plan: Mapping[str, Any], confidence: float) -> list[Row]:
    """The rows of triggers.csv: each victim under each trigger, over all its trainings; of all classes and of each.

    Parameters
    ----------
    layout : Layout
        Of the run.
    plan : dict
        Its `attacks` (data set, victim, attack), of which those count that stamp the trigger of a poisoning.
    confidence : float
        Coverage of the intervals, in (0,1).

    Returns
    -------
    list of dict
        As `columns.TRIGGERS` has it. `class` is the true class of the stamped images, or "" for all of them. The
        control is the first victim of clean data under this trigger that is trained like the victim otherwise, or else
        the first of clean data.
    """
    groups: dict[tuple[str, str, str], list[str]] = {}
    for dataset, victim, attack in plan["attacks"]:
        groups.setdefault((dataset, trained(victim)[0], attack), []).append(victim)
    rows: list[Row] = []
    facts: dict[tuple[str, str], Fact] = {}
    for (dataset, victim, attack), trainings in groups.items():
        places = [layout.attack(dataset, name, attack) for name in trainings]
        planted = read_json(places[0].facts)["parameters"].get("poisoning")
        if planted is None:
            continue
        fact = read_json(layout.victim(dataset, victim).facts)
        facts[dataset, victim] = fact
        own = fact.get("poisoning") or ""
        shares = read_json(layout.poisoning(dataset, own).facts) if own else {}
        about = {"dataset": dataset, "attack": attack, "victim": victim, "poisoning": own}
        about |= {"trigger_of": Path(planted).name, "seeds": len(trainings)}
        about |= {name: shares.get(name, 0 if not own else None) for name in SHARES}
        for name, hits in _by_class([read_table(place["scores"]) for place in places]):
            rows.append(about | {"class": name} | _rate(hits, confidence))
    for row in rows:
        row |= _control(row, rows, facts)
    return rows


def _by_class(trainings: Sequence[pd.DataFrame]) -> Iterator[tuple[str, list[pd.Series]]]:
    """Of all images and of each class: in each training, whether the trigger succeeds on those that count."""
    counted = [scores[counts(scores)] for scores in trainings]
    yield "", [scores["success"] for scores in counted]
    for label in sorted({int(label) for scores in counted for label in scores["label"]}):
        yield str(label), [scores.loc[scores["label"] == label, "success"] for scores in counted]


def counts(scores: pd.DataFrame) -> pd.Series:
    """Images that are of another class than the target, classified correctly, and stamped."""
    right = (scores["clean_prediction"] == scores["label"]) & (scores["label"] != scores["target"])
    return right & scores["attacked"].astype(bool)


def _rate(hits: Sequence[pd.Series], confidence: float) -> Row:
    """The share of hits over trainings, with its interval."""
    some = [one for one in hits if len(one)]
    if not some:
        return {"n": 0, "success_rate": math.nan, "low": math.nan, "high": math.nan}
    n = float(np.mean([len(one) for one in some]))
    if len(some) > 1:
        found = rate_over_seeds([one.mean() for one in some], n, confidence)
        return {"n": round(n), "success_rate": found.mean, "low": found.low, "high": found.high}
    low, high = wilson_interval(int(some[0].sum()), len(some[0]), confidence)
    return {"n": len(some[0]), "success_rate": some[0].mean(), "low": low, "high": high}


def _control(row: Row, rows: Sequence[Row], facts: Mapping[tuple[str, str], Fact]) -> Row:
    """The rate of the control beside a row; nothing beside a victim of clean data."""
    same = ("dataset", "attack", "class")
    clean = [one for one in rows if not one["poisoning"] and all(one[key] == row[key] for key in same)]
    if not row["poisoning"] or not clean:
        return {"control": "", "control_rate": math.nan, "control_low": math.nan, "control_high": math.nan}
    wanted = _training(facts[row["dataset"], row["victim"]])
    twins = [one for one in clean if _training(facts[one["dataset"], one["victim"]]) == wanted]
    control = (twins or clean)[0]
    rates = {
        f"control_{name}": control[key] for name, key in (("rate", "success_rate"), ("low", "low"), ("high", "high"))
    }
    return {"control": control["victim"]} | rates


def _training(fact: Fact) -> str:
    """How a victim was trained, but for its poisoning."""
    return json.dumps({key: fact.get(key) for key in TOLD if key != "poisoning"}, sort_keys=True)


@dataclass(frozen=True)
class Curve:
    """Victims whose poisonings differ in nothing but how much is poisoned.

    Attributes
    ----------
    attack, method : str
        What stamps the trigger, and the method of the poisonings.
    settings : dict
        Their parameters, but for the fraction.
    victims : tuple of str
        The more was poisoned, the later.
    """

    attack: str
    method: str
    settings: dict[str, Any]
    victims: tuple[str, ...]

    def told_apart(self, others: Iterable[Curve]) -> str:
        """What tells it from others, but for its target: method, variant, and no more settings than that takes.

        Settings that belong to another variant say nothing of this one.
        """
        alike = [one for one in others if one.method == self.method]
        words = [self.method.replace("_", " ")]
        if len({one.settings.get("variant") for one in alike}) > 1:
            words.append(str(self.settings["variant"]))
            alike = [one for one in alike if one.settings["variant"] == self.settings["variant"]]
        differ = [name for name in self.settings if len({str(one.settings.get(name)) for one in alike}) > 1]
        return ", ".join(words + [f"{name} {self.settings[name]}" for name in differ if name != "target"])


def curves(rows: Iterable[Row], victims: Mapping[str, Fact], poisonings: Mapping[str, Fact]) -> list[Curve]:
    """The curves of success against the poisoned share, on one data set.

    Parameters
    ----------
    rows : iterable of dict
        Of triggers.csv.
    victims, poisonings : dict
        The facts of each, by name.
    """
    alike: dict[str, dict[str, float]] = {}
    about: dict[str, tuple[str, str, dict[str, Any]]] = {}
    for row in rows:
        if row["class"] or not row["poisoning"]:
            continue
        made, planted = poisonings[row["poisoning"]], poisonings[row["trigger_of"]]
        settings = {key: value for key, value in made["parameters"].items() if key != "fraction"}
        others = {key: value for key, value in planted["parameters"].items() if key != "fraction"}
        # A trigger of another poisoning tells nothing of how much of this one is needed.
        if "fraction" not in made["parameters"] or (made["method"], settings) != (planted["method"], others):
            continue
        key = json.dumps([row["attack"], made["method"], settings, _training(victims[row["victim"]])], sort_keys=True)
        alike.setdefault(key, {})[row["victim"]] = made["share_of_all"]
        about[key] = row["attack"], made["method"], settings
    return [
        Curve(*about[key], tuple(sorted(shares, key=lambda victim: shares[victim])))
        for key, shares in alike.items()
        if len(set(shares.values())) >= FEWEST
    ]
