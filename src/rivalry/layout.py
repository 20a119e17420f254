"""Where everything lies below a run's folder of results, and how a defended victim and one of its trainings are called.

Both are written here and nowhere else.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

RESULTS = "results"
"""The usual folder of a run's results, seen from the folder in which Snakemake runs."""
EVALUATIONS = "evaluations"
"""The folder below which `rivalry evaluate-model` makes one of results for each model and data set."""

NAME = r"[A-Za-z0-9][A-Za-z0-9_-]*"
"""A name in the configuration, as a regular expression; it holds nothing that separates names or folders."""
TRAINING = rf"{NAME}(@[1-9][0-9]*)?"
"""The name of one training of a victim: the first is called as the victim is, the second `victim@2`."""
JOINED = rf"{TRAINING}(\+{NAME})?"
"""The name of a victim, defended or not."""

FILES: dict[str, dict[str, str]] = {
    "record_plan": {"facts": "plan.json"},
    "record_configuration": {"facts": "configuration.json"},
    "record_run": {"facts": "run.json"},
    "prepare": {
        "facts": "dataset.json",
        "train": "train.safetensors",
        "test": "test.safetensors",
        "croissant": "croissant.json",
    },
    "generate": {"facts": "generator.json", "weights": "generator.safetensors", "curve": "training.csv"},
    "poison": {"facts": "poisoning.json", "train": "train.safetensors", "trigger": "trigger.safetensors"},
    "train": {
        "facts": "victim.json",
        "weights": "victim.safetensors",
        "predictions": "predictions.parquet",
        "curve": "training.csv",
    },
    "attack": {
        "facts": "attack.json",
        "images": "adversarial.safetensors",
        "scores": "scores.parquet",
        "queries": "queries.parquet",
    },
    "defend": {"facts": "defense.json", "weights": "defense.safetensors", "triggers": "triggers.safetensors"},
    "evaluate": {"scores": "scores.parquet", "certificates": "certificates.parquet", "costs": "costs.json"},
    "fool": {"facts": "fooling.json", "images": "images.safetensors", "scores": "scores.parquet"},
    "screen": {"facts": "screening.json", "scores": "scores.parquet"},
    "plant": {"facts": "planting.json", "scores": "scores.parquet", "images": "poisons.safetensors"},
    "transfer": {"scores": "scores.parquet"},
    "tabulate": {
        "scores": "scores.csv",
        "worst_cases": "worst_cases.csv",
        "comparisons": "comparisons.csv",
        "transfers": "transfers.csv",
        "triggers": "triggers.csv",
        "screening_rates": "screenings.csv",
        "planting_rates": "plantings.csv",
        "claims": "claims.csv",
        "spreads": "spreads.csv",
        "queries": "queries.csv",
        "certified": "certified.csv",
        "sizes": "sizes.csv",
        "size_correlations": "size_correlations.csv",
        "flags": "flags.csv",
        "reported": "reported.csv",
        "kept_apart": "kept_apart.json",
    },
    "check": {"checks": "checks.csv"},
    "draw": {"facts": "figures.json"},
    "collect": {"facts": "report.json"},
    "html": {"page": "report.html"},
    "latex": {"paper": "report.tex"},
    "pdf": {"pdf": "report.pdf"},
}
"""The files that a stage writes into its folder, by their roles."""

SOMETIMES = {("defend", "triggers"), ("attack", "queries"), ("evaluate", "certificates")}
"""Files that not every job of their stage writes."""

COMPUTED = (
    "prepare",
    "generate",
    "poison",
    "train",
    "attack",
    "defend",
    "evaluate",
    "transfer",
    "fool",
    "screen",
    "plant",
)
"""Stages before tables, checks, figures and report."""

MANIFESTS = ".*.manifest.json"
"""Pattern of all manifests' names."""


def defended(victim: str, defense: str) -> str:
    """How a victim behind a defense is called; an undefended one ("" or "none") keeps its name."""
    return victim if defense in ("", "none") else f"{victim}+{defense}"


def parts(name: str) -> tuple[str, str]:
    """The victim and the defense that `defended` joined; the defense of an undefended one is ""."""
    victim, _, defense = name.partition("+")
    return victim, defense


def training(victim: str, seed: int) -> str:
    """How a victim's training with one of several seeds is called; the first keeps the victim's name."""
    return victim if seed == 1 else f"{victim}@{seed}"


def trained(name: str) -> tuple[str, int]:
    """The victim and the seed that `training` joined."""
    victim, _, seed = name.partition("@")
    return victim, int(seed or 1)


@dataclass(frozen=True)
class Place:
    """What one job writes, or wrote, into a folder.

    `place["scores"]` is the path of the file with that role; see `FILES`.

    Attributes
    ----------
    stage : str
        Who writes it.
    folder : Path
    about : dict
        The names that its manifest must hold: dataset, victim, defense ("none" is one), attack, ...
    """

    stage: str
    folder: Path
    about: dict[str, str] = field(default_factory=dict)

    def __getitem__(self, role: str) -> Path:
        return self.folder / FILES[self.stage][role]

    @property
    def facts(self) -> Path:
        """The JSON file that says what this is and how it was made."""
        return self["facts"]

    @property
    def files(self) -> list[Path]:
        """The files that are always there; others may be."""
        return [self[role] for role in FILES[self.stage] if (self.stage, role) not in SOMETIMES]

    @property
    def target(self) -> Path:
        """What Snakemake knows the job by: a file, or the folder where nobody knows how many there will be."""
        return self.folder if self.stage == "draw" else self.files[0]

    @property
    def manifest(self) -> Path:
        return self.folder / f".{self.stage}.manifest.json"

    def at(self, folder: str | Path) -> Place:
        """The same, in a folder of the caller's choice."""
        return replace(self, folder=Path(folder))


@dataclass(frozen=True)
class Layout:
    """Everything that a run writes.

    Names may be wildcards of Snakemake, such as "{dataset}".

    Attributes
    ----------
    root : Path
        The folder of the run's results.
    prepared : Path or None
        The folder of prepared data sets, where runs share one; None: it is below `root`.
    """

    root: Path = Path(RESULTS)
    prepared: Path | None = None

    @classmethod
    def of(cls, results: str | Path, plan: Mapping[str, Any]) -> Layout:
        """That of a run, whose plan tells where its prepared data sets lie (`seen_from_results`)."""
        shared = plan.get("prepared")
        return cls(Path(results), Path(os.path.normpath(Path(results) / shared)) if shared else None)

    def seen_from_results(self) -> str | None:
        """The folder that runs share, as the folder of results sees it: both may be moved together."""
        if self.prepared is None:
            return None
        if self.root.is_absolute() or self.prepared.is_absolute():
            return os.path.abspath(self.prepared)
        return os.path.relpath(self.prepared, self.root)

    @property
    def data_sets(self) -> Path:
        """The folder of all prepared data sets."""
        return self.prepared or self._place("prepare", "data").folder

    def _place(self, stage: str, folder: str, **names: str) -> Place:
        return Place(stage, self.root.joinpath(folder, *names.values()), names)

    def data(self, dataset: str) -> Place:
        return self._place("prepare", "data", dataset=dataset).at(self.data_sets / dataset)

    def generator(self, dataset: str, generator: str) -> Place:
        return self._place("generate", "generators", dataset=dataset, generator=generator)

    def poisoning(self, dataset: str, poisoning: str) -> Place:
        return self._place("poison", "poisoning", dataset=dataset, poisoning=poisoning)

    def victim(self, dataset: str, victim: str) -> Place:
        return self._place("train", "victims", dataset=dataset, victim=victim)

    def attack(self, dataset: str, victim: str, attack: str) -> Place:
        """An attack on a victim, which may be a defended one."""
        plain, defense = parts(victim)
        about = {"dataset": dataset, "victim": plain, "defense": defense or "none", "attack": attack}
        return replace(self._place("attack", "attacks", dataset=dataset, victim=victim, attack=attack), about=about)

    def defense(self, dataset: str, victim: str, defense: str) -> Place:
        return self._place("defend", "defenses", dataset=dataset, victim=victim, defense=defense)

    def classifier(self, dataset: str, name: str) -> Place:
        """A victim, or a defended one: what an attack is pointed at."""
        victim, defense = parts(name)
        return self.defense(dataset, victim, defense) if defense else self.victim(dataset, victim)

    def evaluation(self, dataset: str, victim: str, defense: str) -> Place:
        return self._place("evaluate", "evaluations", dataset=dataset, victim=victim, defense=defense)

    def fooling(self, dataset: str, victim: str, fooling: str) -> Place:
        return self._place("fool", "fooling", dataset=dataset, victim=victim, fooling=fooling)

    def screening(self, dataset: str, victim: str, filter: str) -> Place:
        return self._place("screen", "screenings", dataset=dataset, victim=victim, filter=filter)

    def planting(self, dataset: str, victim: str, targeted: str) -> Place:
        return self._place("plant", "plantings", dataset=dataset, victim=victim, targeted=targeted)

    def transfer(self, dataset: str, source: str) -> Place:
        return self._place("transfer", "transfers", dataset=dataset, source=source)

    @property
    def tables(self) -> Place:
        return self._place("tabulate", "tables")

    @property
    def checks(self) -> Place:
        return self._place("check", "tables")

    def figures(self, dataset: str) -> Place:
        return self._place("draw", "figures", dataset=dataset)

    @property
    def report(self) -> Place:
        return self._place("collect", "report")

    @property
    def page(self) -> Place:
        return self._place("html", "report")

    @property
    def paper(self) -> Place:
        return self._place("latex", "report")

    @property
    def pdf(self) -> Place:
        return self._place("pdf", "report")

    @property
    def plan(self) -> Place:
        return self._place("record_plan", "")

    @property
    def configuration(self) -> Place:
        return self._place("record_configuration", "")

    @property
    def run(self) -> Place:
        return self._place("record_run", "")

    def log(self, rule: str, place: Place) -> Path:
        """What the job of a rule says that makes a place."""
        return self._beside("logs", rule, place, ".log")

    def benchmark(self, rule: str, place: Place) -> Path:
        """How long the job of a rule took that made a place."""
        return self._beside("benchmarks", rule, place, ".tsv")

    def _beside(self, folder: str, rule: str, place: Place, suffix: str) -> Path:
        own = place.stage == "prepare"
        names = place.folder.relative_to(self.data_sets if own else self.root).parts[0 if own else 1 :]
        return self.root / folder / f"{'/'.join((rule, *names))}{suffix}"

    def benchmarks(self) -> list[tuple[str, Path]]:
        """Each job that was timed: its rule and its file."""
        folder = self.root / "benchmarks"
        files = sorted(folder.rglob("*.tsv"))
        return [(file.relative_to(folder).parts[0].removesuffix(".tsv"), file) for file in files]
