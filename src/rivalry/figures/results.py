"""One data set's results, read once for all figures."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import pandas as pd

from rivalry import artifacts
from rivalry.figures.style import Look, label, looks
from rivalry.statistics import marks
from rivalry.statistics.checked import CHECKED
from rivalry.statistics.columns import COMPARISONS, SCORES, TRANSFERS, WORST_CASES
from rivalry.statistics.tables import Table, records


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
    """

    folder: Path
    dataset: str
    plan: dict[str, list]

    def planned(self, what: str) -> list[tuple[str, ...]]:
        """The plan's entries for this data set, without its name."""
        return [tuple(entry[1:]) for entry in self.plan[what] if entry[0] == self.dataset]

    def _table(self, table: Table, name: str) -> pd.DataFrame:
        """This data set's rows of a table."""
        rows = table.read(self.folder / "tables" / name)
        return rows[rows["dataset"] == self.dataset].reset_index(drop=True)

    @cached_property
    def scores(self) -> pd.DataFrame:
        return self._table(SCORES, "scores.csv")

    @cached_property
    def worst_cases(self) -> list[dict[str, Any]]:
        return records(self._table(WORST_CASES, "worst_cases.csv"))

    @cached_property
    def checks(self) -> list[dict[str, Any]]:
        return records(self._table(CHECKED, "checks.csv"))

    def label(self, *scores: dict[str, Any]) -> str:
        """What scores of one attack are called beside their numbers: attack, budget, and a sign where a check warns."""
        sign = marks.sign(marks.kinds([one for score in scores for one in marks.of_score(self.checks, score)]))
        return f"{label(scores[0]['attack'], scores[0]['eps'])}  {sign}".rstrip()

    def labels(self, table: pd.DataFrame) -> list[str]:
        """What each row of a table of scores is called."""
        scores: list[Any] = table.to_dict("records")
        return [self.label(score) for score in scores]

    @cached_property
    def comparisons(self) -> pd.DataFrame:
        return self._table(COMPARISONS, "comparisons.csv")

    @cached_property
    def transfers(self) -> pd.DataFrame:
        return self._table(TRANSFERS, "transfers.csv")

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
        """Facts about each attack by its name, from the first victim it met, defended or not."""
        facts: dict[str, dict[str, Any]] = {}
        for (_, attack), fact in self.attacks.items():
            facts.setdefault(attack, fact)
        for dataset, victim, attack in self.plan.get("adaptive", []):
            if dataset == self.dataset and attack not in facts:
                facts[attack] = artifacts.read_json(self.folder / "attacks" / dataset / victim / attack / "attack.json")
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

    @cached_property
    def looks(self) -> dict[str, Look]:
        """How each attack of the run is drawn."""
        methods: dict[str, tuple[str, str]] = {}
        for dataset, victim, attack in (*self.plan["attacks"], *self.plan.get("adaptive", [])):
            if attack not in methods:
                fact = artifacts.read_json(self.folder / "attacks" / dataset / victim / attack / "attack.json")
                methods[attack] = fact["method"], fact["goal"]
        return looks(methods)

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
