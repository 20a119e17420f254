"""What the checks of one data set look at."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import pandas as pd
import torch
from torch import Tensor, nn

from rivalry.adversarial import open_crafted
from rivalry.artifacts import read_json, read_table
from rivalry.data._splits import Split, load_split
from rivalry.devices import moved
from rivalry.layout import Layout, Place, defended
from rivalry.types import SIZES
from rivalry.victims import load_victim

BATCH = 256


@dataclass(frozen=True)
class Crafted:
    """One attack's set of images on disk, all its eps."""

    place: Place
    victim: Place
    facts: dict[str, Any]
    scores: pd.DataFrame

    @property
    def made_on(self) -> str:
        """The victim's name, such as plain or plain+median3."""
        return defended(self.facts["victim"], self.facts["defense"])

    @property
    def subject(self) -> str:
        return f"{self.facts['attack']} on {self.made_on}"

    @property
    def touched(self) -> dict[str, Any]:
        """Whose numbers rest on it, for `_rows.row`."""
        return {name: self.facts[name] for name in ("victim", "defense", "attack")}

    @property
    def single(self) -> bool:
        """Whether it took one step; what was fitted beforehand takes none now, and took many then."""
        return bool(self.scores["iterations"].max() <= 1) and not self.facts.get("fits")

    @property
    def budgets(self) -> list[tuple[float, pd.DataFrame]]:
        """Each eps, ascending, with its scores; one NaN without eps."""
        return [
            (float(rows["eps"].iloc[0]), rows.reset_index(drop=True))
            for _, rows in self.scores.groupby("eps", dropna=False)
        ]

    @property
    def size(self) -> str:
        """The column of the scores that measures changes in the attack's norm."""
        return SIZES[str(self.facts["norm"])]

    def images(self, eps: float) -> Iterator[tuple[slice, Tensor]]:
        """The images made at `eps`, batch by batch, with the rows they belong to."""
        with open_crafted(self.place) as crafted:
            for start in range(0, crafted.count(eps), BATCH):
                rows = slice(start, start + BATCH)
                yield rows, crafted.images(eps, rows)

    def stored(self, eps: float) -> list[int]:
        """Which test images the file holds at `eps`; as many as there are, whatever it says."""
        with open_crafted(self.place) as crafted:
            index, count = crafted.index, crafted.count(eps)
        return index if len(index) == count else [-1] * count

    def same_game(self, other: Crafted) -> bool:
        """Whether two sets differ in nothing but the attack: victim, goal, target and norm agree."""
        agree = all(self.facts[key] == other.facts[key] for key in ("goal", "target", "norm"))
        return self is not other and self.victim == other.victim and agree


@dataclass(frozen=True)
class Model:
    """A victim, or a defended one, on disk."""

    place: Place
    victim: str
    defense: str

    @property
    def subject(self) -> str:
        return defended(self.victim, self.defense)

    @property
    def touched(self) -> dict[str, Any]:
        """Whose numbers rest on it, for `_rows.row`."""
        return {"victim": self.victim, "defense": self.defense}


@dataclass(frozen=True)
class Evidence:
    """The files of one data set of a run.

    Attributes
    ----------
    layout : Layout
        Where the run's files lie.
    dataset : str
    plan : dict
        What belongs to the run; see `rivalry.stages.tabulate`.
    device : torch.device
        Where victims predict again.
    """

    layout: Layout
    dataset: str
    plan: dict[str, Any]
    device: torch.device

    def planned(self, kind: str) -> list[list[str]]:
        """The plan's entries of one kind on this data set, without the data set."""
        return [names for dataset, *names in self.plan[kind] if dataset == self.dataset]

    @cached_property
    def test(self) -> Split:
        return load_split(self.layout.data(self.dataset).folder, "test")

    @cached_property
    def classes(self) -> int:
        return int(read_json(self.layout.data(self.dataset).facts)["classes"])

    @cached_property
    def models(self) -> list[Model]:
        """Victims, then defended ones, in the plan's order."""
        names = [*([name, "none"] for (name,) in self.planned("victims")), *self.planned("evaluations")]
        return [Model(self.classifier(defended(victim, defense)), victim, defense) for victim, defense in names]

    @cached_property
    def crafted(self) -> list[Crafted]:
        """What was crafted on victims, then on defended ones, in the plan's order."""
        names = self.planned("attacks")
        for victim, defense in self.planned("evaluations"):
            evaluated = self.evaluated(victim, defense)
            adaptive = evaluated.loc[evaluated["setting"] == "adaptive", "attack"].unique()
            names += [[defended(victim, defense), attack] for attack in adaptive]
        places = [(self.layout.attack(self.dataset, name, attack), self.classifier(name)) for name, attack in names]
        return [Crafted(place, victim, read_json(place.facts), read_table(place["scores"])) for place, victim in places]

    def classifier(self, name: str) -> Place:
        """Where a victim or a defended one lies."""
        return self.layout.classifier(self.dataset, name)

    def evaluated(self, victim: str, defense: str) -> pd.DataFrame:
        """A defended victim's answers, one row an image, attack, setting and eps."""
        return read_table(self.layout.evaluation(self.dataset, victim, defense)["scores"])

    def load(self, place: Place) -> nn.Module:
        """The victim or defended victim in a place."""
        return moved(load_victim(place.folder), self.device)
