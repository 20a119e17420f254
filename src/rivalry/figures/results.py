"""One data set's results, read once for all figures."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import pandas as pd

from rivalry import artifacts


def read_scored(path: Path) -> pd.DataFrame:
    """A table of scores or comparisons, in which a name that is left out is the empty text."""
    table = artifacts.read_table(path)
    names = [name for name in artifacts.TEXT if name in table]
    return table.assign(**{name: table[name].fillna("") for name in names})


def each(table: pd.DataFrame) -> list[Any]:
    """The table's rows, with its columns as attributes."""
    return list(table.itertuples())


@dataclass(frozen=True)
class Results:
    """What the stages before wrote about one data set.

    Attributes
    ----------
    folder : Path
        The folder of all results.
    dataset : str
    plan : dict
        `victims` [[dataset, victim]...], `attacks` [[dataset, victim, attack]...], `evaluations`
        [[dataset, victim, defense]...], `fooling` [[dataset, victim, fooling]...] and `transfers`
        [[dataset, source]...]: what was computed, in the configuration's order.
    confidence : float
        Coverage of intervals, in (0, 1).
    """

    folder: Path
    dataset: str
    plan: dict[str, list]
    confidence: float

    def planned(self, what: str) -> list[tuple[str, ...]]:
        """The plan's entries for this data set, without its name."""
        return [tuple(entry[1:]) for entry in self.plan[what] if entry[0] == self.dataset]

    @cached_property
    def scores(self) -> pd.DataFrame:
        table = read_scored(self.folder / "tables" / "scores.csv")
        return table[table["dataset"] == self.dataset].reset_index(drop=True)

    @cached_property
    def comparisons(self) -> pd.DataFrame:
        table = read_scored(self.folder / "tables" / "comparisons.csv")
        return table[table["dataset"] == self.dataset].reset_index(drop=True)

    @cached_property
    def transfers(self) -> pd.DataFrame:
        table = read_scored(self.folder / "tables" / "transfers.csv")
        return table[table["dataset"] == self.dataset].reset_index(drop=True)

    @cached_property
    def about(self) -> dict[str, Any]:
        return artifacts.read_json(self.folder / "data" / self.dataset / "dataset.json")

    @cached_property
    def victims(self) -> dict[str, dict[str, Any]]:
        """Facts about each victim, in the configuration's order."""
        return {
            victim: artifacts.read_json(self.folder / "victims" / self.dataset / victim / "victim.json")
            for (victim,) in self.planned("victims")
        }

    @cached_property
    def attacks(self) -> dict[tuple[str, str], dict[str, Any]]:
        """Facts about each (victim, attack); a defended victim is called victim+defense."""
        return {
            (victim, attack): artifacts.read_json(
                self.folder / "attacks" / self.dataset / victim / attack / "attack.json"
            )
            for victim, attack in self.planned("attacks")
        }

    @cached_property
    def methods(self) -> dict[str, dict[str, Any]]:
        """Facts about each attack by its name, from the first victim it met."""
        facts: dict[str, dict[str, Any]] = {}
        for (_, attack), fact in self.attacks.items():
            facts.setdefault(attack, fact)
        return facts

    @cached_property
    def defenses(self) -> dict[tuple[str, str], dict[str, Any]]:
        """Facts about each (victim, defense)."""
        return {
            (victim, defense): artifacts.read_json(
                self.folder / "defenses" / self.dataset / victim / defense / "defense.json"
            )
            for victim, defense in self.planned("evaluations")
        }

    @cached_property
    def fooling(self) -> dict[tuple[str, str], dict[str, Any]]:
        """Facts about each (victim, method of making fooling images)."""
        return {
            (victim, fooling): artifacts.read_json(
                self.folder / "fooling" / self.dataset / victim / fooling / "fooling.json"
            )
            for victim, fooling in self.planned("fooling")
        }

    @property
    def undefended(self) -> pd.DataFrame:
        return self.scores[self.scores["setting"] == "undefended"]

    def strongest(self, table: pd.DataFrame) -> pd.DataFrame:
        """Of each match only the row at its largest eps, in the configuration's order of attacks."""
        keys = ["victim", "attack", "defense", "setting"]
        rows = table.sort_values("eps", na_position="first").groupby(keys, sort=False).tail(1)
        order = {attack: place for place, attack in enumerate(self.methods)}
        return rows.sort_values("attack", key=lambda names: names.map(order).fillna(len(order)), kind="stable")

    def curved(self, table: pd.DataFrame) -> pd.DataFrame:
        """Rows of the matches that were run at several eps, eps growing."""
        keys = ["victim", "attack", "defense", "setting"]
        several = table.groupby(keys)["eps"].transform("nunique") > 1
        return table[several].sort_values("eps", kind="stable")
