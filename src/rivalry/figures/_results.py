"""One data set's results, read once for all figures."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import pandas as pd

from rivalry import artifacts
from rivalry.figures._looks import Dash, Look, Marker, looks
from rivalry.formatting import epsilon, missing
from rivalry.layout import Layout, parts, trained
from rivalry.statistics import marks
from rivalry.statistics.checked import CHECKED
from rivalry.statistics.columns import (
    CERTIFIED,
    COMPARISONS,
    QUERIES,
    SCORES,
    SCREENINGS,
    SIZE_CORRELATIONS,
    SIZES,
    SPREADS,
    TRANSFERS,
    TRIGGERS,
    WORST_CASES,
)
from rivalry.statistics.merging import KINDS, over_seeds
from rivalry.statistics.tables import Table, records

Fact = dict[str, Any]


OF_SEEDS = {
    "dots": "values are means over trainings, intervals cover seeds and images, and small dots are single trainings",
    "lines": "curves are means over trainings, bands cover seeds and images, and thin lines are single trainings",
    "curves": "the first training has markers, and thin lines are the validation of the others",
    "cells": "values are means over trainings, with the lowest and the highest below",
    "tests": "differences are means over trainings, and a pair differs if McNemar's test says so in each",
    "first": "the first training is shown",
}
"""How figures show several trainings of a victim."""


def each(table: pd.DataFrame) -> list[Any]:
    """The table's rows, with its columns as attributes."""
    return list(table.itertuples())


def label(attack: str, eps: float | None) -> str:
    """An attack's name, with its budget where it has one."""
    return attack if missing(eps) else f"{attack}  ε {epsilon(eps)}"


@dataclass(frozen=True)
class Results:
    """What the stages before wrote about one data set.

    Of victims that were trained several times, facts, images and tables of single images are those of the first
    training; scores, transfers and worst cases are over all of them (`rivalry.statistics.merging`), with RATE_seeds,
    the values of each.

    Attributes
    ----------
    folder : Path
        The folder of all results.
    dataset : str
    plan : dict
        See `rivalry.plan.Plan.tables`; `victims` [[dataset, victim]...], `attacks` [[dataset, victim,
        attack]...], `evaluations` [[dataset, victim, defense]...], `adaptive` [[dataset, defended victim,
        attack]...], `fooling` [[dataset, victim, fooling]...] and `transfers` [[dataset, source]...]: what was
        computed, in the configuration's order.
    """

    folder: Path
    dataset: str
    plan: dict[str, list[Any]]

    @property
    def layout(self) -> Layout:
        return Layout.of(self.folder, self.plan)

    def planned(self, what: str) -> list[tuple[str, ...]]:
        """The plan's entries for this data set, without its name: of victims, the first training."""
        own = [tuple(entry[1:]) for entry in self.plan.get(what, []) if entry[0] == self.dataset]
        return [names for names in own if trained(parts(names[0])[0])[1] == 1]

    def trainings(self, victim: str) -> list[str]:
        """What the trainings of a victim are called, in the order of seeds."""
        return [name for dataset, name in self.plan["victims"] if (dataset, trained(name)[0]) == (self.dataset, victim)]

    @cached_property
    def scores(self) -> pd.DataFrame:
        return self._over_seeds("scores", SCORES)

    @cached_property
    def comparisons(self) -> pd.DataFrame:
        return self._own(COMPARISONS, self.layout.tables["comparisons"])

    @cached_property
    def transfers(self) -> pd.DataFrame:
        return self._over_seeds("transfers", TRANSFERS)

    @cached_property
    def triggers(self) -> pd.DataFrame:
        return self._own(TRIGGERS, self.layout.tables["triggers"])

    @cached_property
    def screenings(self) -> pd.DataFrame:
        return self._own(SCREENINGS, self.layout.tables["screening_rates"])

    @cached_property
    def query_curves(self) -> pd.DataFrame:
        return self._own(QUERIES, self.layout.tables["queries"])

    @cached_property
    def sizes(self) -> pd.DataFrame:
        return self._own(SIZES, self.layout.tables["sizes"])

    @cached_property
    def size_correlations(self) -> pd.DataFrame:
        return self._own(SIZE_CORRELATIONS, self.layout.tables["size_correlations"])

    @cached_property
    def certified(self) -> pd.DataFrame:
        return self._own(CERTIFIED, self.layout.tables["certified"])

    @cached_property
    def worst_cases(self) -> list[Fact]:
        return over_seeds(
            "worst_cases", records(self._own(WORST_CASES, self.layout.tables["worst_cases"])), self._spreads
        )

    @cached_property
    def _spreads(self) -> list[Fact]:
        return records(self._own(SPREADS, self.layout.tables["spreads"]))

    def _over_seeds(self, name: str, table: Table) -> pd.DataFrame:
        """A table of matches, one row for all trainings of a victim."""
        rows = over_seeds(name, records(self._own(table, self.layout.tables[name])), self._spreads)
        frame = table.frame(rows)
        columns = ("seeds", *(f"{key}_seeds" for key in KINDS[name].shown))
        return frame.assign(**{column: [row[column] for row in rows] for column in columns})

    def of_seeds(self, how: str) -> str:
        """What a caption says of victims that were trained several times, by how their trainings are shown; else ""."""
        several = any(len(self.trainings(victim)) > 1 for victim in self.victims)
        return f" Of victims that were trained several times, {OF_SEEDS[how]}." if several else ""

    @cached_property
    def checks(self) -> list[Fact]:
        return records(self._own(CHECKED, self.layout.checks["checks"]))

    def _own(self, table: Table, file: Path) -> pd.DataFrame:
        """This data set's rows of a table."""
        rows = table.read(file)
        return rows[rows["dataset"] == self.dataset].reset_index(drop=True)

    def label(self, *scores: Fact) -> str:
        """What scores of one attack are called beside their numbers: attack, budget, and a sign where a check warns."""
        sign = marks.sign(marks.kinds([one for score in scores for one in marks.of_score(self.checks, score)]))
        return f"{label(scores[0]['attack'], scores[0]['eps'])}  {sign}".rstrip()

    def labels(self, table: pd.DataFrame) -> list[str]:
        """What each row of a table of scores is called."""
        scores: list[Any] = table.to_dict("records")
        return [self.label(score) for score in scores]

    @cached_property
    def about(self) -> Fact:
        return dict(artifacts.read_json(self.layout.data(self.dataset).facts))

    @cached_property
    def victims(self) -> dict[str, Fact]:
        """Facts about each victim, in the configuration's order."""
        return {
            victim: artifacts.read_json(self.layout.victim(self.dataset, victim).facts)
            for (victim,) in self.planned("victims")
        }

    @cached_property
    def poisonings(self) -> dict[str, Fact]:
        """Facts about each poisoning."""
        return {
            name: artifacts.read_json(self.layout.poisoning(dataset, name).facts)
            for dataset, name in self.plan["poisonings"]
            if dataset == self.dataset
        }

    @cached_property
    def attacks(self) -> dict[tuple[str, str], Fact]:
        """Facts about each (victim, attack), on undefended victims."""
        return {
            (victim, attack): artifacts.read_json(self.layout.attack(self.dataset, victim, attack).facts)
            for victim, attack in self.planned("attacks")
        }

    @cached_property
    def methods(self) -> dict[str, Fact]:
        """Facts about each attack by its name, from the first victim it met, defended or not."""
        return self._first_met(self.dataset)

    @cached_property
    def defenses(self) -> dict[tuple[str, str], Fact]:
        """Facts about each (victim, defense)."""
        return {
            (victim, defense): artifacts.read_json(self.layout.defense(self.dataset, victim, defense).facts)
            for victim, defense in self.planned("evaluations")
        }

    @cached_property
    def fooling(self) -> dict[tuple[str, str], Fact]:
        """Facts about each (victim, method of making fooling images)."""
        return {
            (victim, fooling): artifacts.read_json(self.layout.fooling(self.dataset, victim, fooling).facts)
            for victim, fooling in self.planned("fooling")
        }

    @cached_property
    def looks(self) -> dict[str, Look]:
        """How each attack of the run is drawn, on all data sets."""
        return looks({attack: (fact["method"], fact["goal"]) for attack, fact in self._first_met().items()})

    @property
    def palette(self) -> dict[str, str]:
        return {attack: look.color for attack, look in self.looks.items()}

    @property
    def markers(self) -> dict[str, Marker]:
        return {attack: look.marker for attack, look in self.looks.items()}

    @property
    def dashes(self) -> dict[str, Dash]:
        return {attack: look.dash for attack, look in self.looks.items()}

    def _first_met(self, only: str | None = None) -> dict[str, Fact]:
        """Facts about each attack from where the plan first lists it, in one data set or all of them."""
        met: dict[str, tuple[str, str, str]] = {}
        for dataset, victim, attack in (*self.plan["attacks"], *self.plan["adaptive"]):
            if only in (None, dataset):
                met.setdefault(attack, (dataset, victim, attack))
        return {attack: artifacts.read_json(self.layout.attack(*names).facts) for attack, names in met.items()}

    @property
    def undefended(self) -> pd.DataFrame:
        return self.scores[self.scores["setting"] == "undefended"]

    def strongest(self, table: pd.DataFrame) -> pd.DataFrame:
        """Of each match only the row at its largest eps, in the configuration's order of attacks."""
        keys = ["victim", "attack", "defense", "setting"]
        rows = table.sort_values("eps", na_position="first").groupby(keys, sort=False).tail(1)
        order = {attack: place for place, attack in enumerate(self.methods)}
        return rows.sort_values("attack", key=lambda names: names.map(order).fillna(len(order)), kind="stable")

    def budgeted(self, table: pd.DataFrame) -> pd.DataFrame:
        """Rows of the matches that were run at an eps, eps growing."""
        return table[table["eps"].notna()].sort_values("eps", kind="stable")

    def met(self, table: pd.DataFrame) -> tuple[list[str], dict[str, Look]]:
        """The victims of a table of scores, and the looks of its attacks, in the configuration's order."""
        victims = [victim for victim in self.victims if victim in set(table["victim"])]
        return victims, {name: self.looks[name] for name in self.methods if name in set(table["attack"])}
