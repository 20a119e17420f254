"""What the checks of one data set look at."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import pandas as pd
import torch
from torch import Tensor, nn

from rivalry.artifacts import open_tensors, read_json, read_table
from rivalry.data._splits import Split, load_split
from rivalry.devices import moved
from rivalry.victims import load_victim

BATCH = 256


@dataclass(frozen=True)
class Crafted:
    """One attack's set of images on disk, all its eps."""

    folder: Path
    victim: Path
    facts: dict[str, Any]
    scores: pd.DataFrame

    @property
    def subject(self) -> str:
        return f"{self.facts['attack']} on {self.folder.parent.name}"

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
        return {"inf": "linf", "2": "l2", "0": "l0"}[str(self.facts["norm"])]

    def images(self, eps: float) -> Iterator[tuple[slice, Tensor]]:
        """The images made at `eps`, batch by batch, with the rows they belong to."""
        with open_tensors(self.folder / "adversarial.safetensors") as tensors:
            images = tensors.get_slice(self._key(tensors, eps))
            for start in range(0, images.get_shape()[0], BATCH):
                rows = slice(start, start + BATCH)
                yield rows, images[rows]

    def stored(self, eps: float) -> list[int]:
        """Which test images the file holds at `eps`; as many as there are, whatever it says."""
        with open_tensors(self.folder / "adversarial.safetensors") as tensors:
            count = tensors.get_slice(self._key(tensors, eps)).get_shape()[0]
            index: list[int] = tensors.get_tensor("index").tolist()
        return index if len(index) == count else [-1] * count

    def _key(self, tensors: Any, eps: float) -> str:
        return "images" if "images" in tensors.keys() else f"images_eps_{eps:g}"  # noqa: SIM118 (no mapping)

    def same_game(self, other: Crafted) -> bool:
        """Whether two sets differ in nothing but the attack: victim, goal, target and norm agree."""
        agree = all(self.facts[key] == other.facts[key] for key in ("goal", "target", "norm"))
        return self is not other and self.victim == other.victim and agree


@dataclass(frozen=True)
class Model:
    """A victim, or a defended one, on disk."""

    folder: Path
    victim: str
    defense: str

    @property
    def subject(self) -> str:
        return self.victim if self.defense == "none" else f"{self.victim}+{self.defense}"

    @property
    def touched(self) -> dict[str, Any]:
        """Whose numbers rest on it, for `_rows.row`."""
        return {"victim": self.victim, "defense": self.defense}


@dataclass(frozen=True)
class Evidence:
    """The files of one data set of a run.

    Attributes
    ----------
    results : Path
        Folder of the run.
    dataset : str
    plan : dict
        What belongs to the run; see `rivalry.stages.tabulate`.
    place : torch.device
        Where victims predict again.
    """

    results: Path
    dataset: str
    plan: dict[str, Any]
    place: torch.device

    def planned(self, kind: str) -> list[list[str]]:
        """The plan's entries of one kind on this data set, without the data set."""
        return [names for dataset, *names in self.plan[kind] if dataset == self.dataset]

    @cached_property
    def test(self) -> Split:
        return load_split(self.results / "data" / self.dataset, "test")

    @cached_property
    def classes(self) -> int:
        return int(read_json(self.results / "data" / self.dataset / "dataset.json")["classes"])

    @cached_property
    def models(self) -> list[Model]:
        """Victims, then defended ones, in the plan's order."""
        plain = [Model(self.victim_folder(name), name, "none") for (name,) in self.planned("victims")]
        defenses = self.results / "defenses" / self.dataset
        return plain + [Model(defenses / name / by, name, by) for name, by in self.planned("evaluations")]

    @cached_property
    def crafted(self) -> list[Crafted]:
        """What was crafted on victims, then on defended ones, in the plan's order."""
        attacks = self.results / "attacks" / self.dataset
        folders = [
            (attacks / victim / attack, self.victim_folder(victim)) for victim, attack in self.planned("attacks")
        ]
        for victim, defense in self.planned("evaluations"):
            evaluated = self.evaluated(victim, defense)
            defended = self.results / "defenses" / self.dataset / victim / defense
            for name in evaluated.loc[evaluated["setting"] == "adaptive", "attack"].unique():
                folders.append((attacks / f"{victim}+{defense}" / name, defended))
        return [
            Crafted(folder, attacked, read_json(folder / "attack.json"), read_table(folder / "scores.parquet"))
            for folder, attacked in folders
        ]

    def victim_folder(self, victim: str) -> Path:
        return self.results / "victims" / self.dataset / victim

    def evaluated(self, victim: str, defense: str) -> pd.DataFrame:
        """A defended victim's answers, one row an image, attack, setting and eps."""
        return read_table(self.results / "evaluations" / self.dataset / victim / defense / "scores.parquet")

    def load(self, folder: Path) -> nn.Module:
        """The victim or defended victim in a folder."""
        return moved(load_victim(folder), self.place)
