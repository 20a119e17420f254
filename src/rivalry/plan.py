"""Which jobs a configuration asks for, and the command line of each.

The Snakefile's rules get their wildcards' values, parameters and code hashes here, so that they can stay thin.
"""

from __future__ import annotations

import hashlib
import json
import shlex
from collections.abc import Sequence
from functools import cache
from typing import Any

from rivalry import registry
from rivalry.codehash import code_hash
from rivalry.config import FITTING, Config
from rivalry.data._files import expanded, walk
from rivalry.layout import Layout, Place, defended, parts
from rivalry.seeds import derive_seed


class Plan:
    """The jobs behind a configuration's matches, in the configuration's order.

    Attributes
    ----------
    layout : Layout
        Where the jobs write.
    datasets : list of str
    poisonings, victims : list of (data set, name)
        Teachers of matched victims come last.
    attacks : list of (data set, victim, attack)
        On undefended victims.
    evaluations : dict
        (data set, victim, defense) -> {"oblivious": [attack, ...], "adaptive": [attack, ...]}.
    foolings : list of (data set, victim, fooling)
    transfers : dict
        (data set, source) -> {"attacks": [attack, ...], "victims": [victim, ...]}: sets crafted on the source and
        whom they are shown to, the source first. Items of the configuration with the same source are joined.
    kept_apart : list of {"what", "reason"}
        Combinations that a match or a transfer lists and that make no sense.
    """

    def __init__(self, config: Config) -> None:
        self.config = config
        self.layout = Layout()
        self.datasets: list[str] = []
        self.poisonings: list[tuple[str, str]] = []
        self.victims: list[tuple[str, str]] = []
        self.attacks: list[tuple[str, str, str]] = []
        self.evaluations: dict[tuple[str, str, str], dict[str, list[str]]] = {}
        self.foolings: list[tuple[str, str, str]] = []
        self.transfers: dict[tuple[str, str], dict[str, list[str]]] = {}
        self.kept_apart: list[dict[str, str]] = []
        for match in config.matches:
            for dataset in match.datasets:
                _add(self.datasets, dataset)
                for victim in match.victims:
                    self._add_victim(dataset, victim)
                    attacks = [attack for attack in match.attacks if self._can_attack(dataset, victim, attack)]
                    for attack in attacks:
                        self._add_attack(dataset, victim, attack)
                    for defense in match.defenses:
                        self._add_evaluation(dataset, victim, defense, attacks, match.settings)
                    for fooling in match.fooling:
                        _add(self.foolings, (dataset, victim, fooling))
        for item in config.transfers:
            for dataset in item.datasets:
                _add(self.datasets, dataset)
                for victim in (*item.victims, *item.sources):
                    self._add_victim(dataset, victim)
                for source in item.sources:
                    self._add_transfer(dataset, source, item.victims, item.attacks)
        for dataset, victim in list(self.victims):  # teachers last
            self._add_teachers(dataset, victim)

    def _add_victim(self, dataset: str, victim: str) -> None:
        entry = self.config.entry("victims", victim, dataset)
        if entry["poisoning"] is not None:
            _add(self.poisonings, (dataset, entry["poisoning"]))
        _add(self.victims, (dataset, victim))

    def _add_teachers(self, dataset: str, victim: str) -> None:
        teacher = self.config.entry("victims", victim, dataset).get("teacher")
        if teacher is not None:
            self._add_victim(dataset, teacher)
            self._add_teachers(dataset, teacher)

    def _add_attack(self, dataset: str, victim: str, attack: str) -> None:
        poisoning = self.config.entry("attacks", attack, dataset).get("poisoning")
        if poisoning is not None:
            _add(self.poisonings, (dataset, poisoning))
        _add(self.attacks, (dataset, victim, attack))

    def _add_evaluation(
        self, dataset: str, victim: str, defense: str, attacks: Sequence[str], settings: Sequence[str]
    ) -> None:
        planned = self.evaluations.setdefault((dataset, victim, defense), {"oblivious": [], "adaptive": []})
        for attack in attacks:
            if "oblivious" in settings:
                _add(planned["oblivious"], attack)
            if "adaptive" not in settings:
                continue
            if self.config.method("attacks", attack).traits["sees"] == "nothing":
                reason = f"{attack} looks at no victim, so knowing the defense changes nothing"
                what = f"{dataset}: adaptive {attack} on {defended(victim, defense)}"
                _add(self.kept_apart, {"what": what, "reason": reason})
            else:
                _add(planned["adaptive"], attack)

    def _add_transfer(self, dataset: str, source: str, victims: Sequence[str], attacks: Sequence[str]) -> None:
        for attack in attacks:
            if not self._can_attack(dataset, source, attack, ", to be replayed"):
                continue
            self._add_attack(dataset, source, attack)
            planned = self.transfers.setdefault((dataset, source), {"attacks": [], "victims": [source]})
            _add(planned["attacks"], attack)
            for victim in victims:
                _add(planned["victims"], victim)

    def _can_attack(self, dataset: str, victim: str, attack: str, purpose: str = "") -> bool:
        if not self.config.follows_nothing(attack, victim, dataset):
            return True
        architecture = self.config.entry("victims", victim, dataset)["architecture"].replace("_", " ")
        reason = f"{attack} follows gradients, and those of a {architecture} are zero"
        _add(self.kept_apart, {"what": f"{dataset}: {attack} on {victim}{purpose}", "reason": reason})
        return False

    @property
    def defenses(self) -> list[tuple[str, str, str]]:
        """(data set, victim, defense) of every defense to fit."""
        return list(self.evaluations)

    def unused(self) -> list[str]:
        """Entries that no match leads to, as section.name."""
        fitted = [self.config.entry("defenses", defense, dataset) for dataset, _, defense in self.defenses]
        taught = {str(entry["attack"]) for entry in fitted if "attack" in entry}
        used: dict[str, set[str]] = {
            "datasets": set(self.datasets),
            "poisonings": {name for _, name in self.poisonings},
            "victims": {name for _, name in self.victims},
            "attacks": {name for _, _, name in self.attacks} | taught,
            "defenses": {name for _, _, name in self.defenses},
            "fooling": {name for _, _, name in self.foolings},
        }
        return [
            f"{section}.{name}"
            for section, names in used.items()
            for name in self.config.section(section)
            if name not in names
        ]

    def tables(self) -> dict[str, Any]:
        """What tables, checks and figures are made of; anything else below results/ is left over and ignored."""
        return {
            "datasets": self.datasets,
            "poisonings": [list(item) for item in self.poisonings],
            "victims": [list(item) for item in self.victims],
            "attacks": [list(item) for item in self.attacks],
            "evaluations": [list(item) for item in self.evaluations],
            "adaptive": [
                [dataset, defended(victim, defense), attack]
                for (dataset, victim, defense), planned in self.evaluations.items()
                for attack in planned["adaptive"]
            ],
            "fooling": [list(item) for item in self.foolings],
            "transfers": [list(item) for item in self.transfers],
            "kept_apart": self.kept_apart,
        }

    def prepare_options(self, dataset: str) -> str:
        source, parameters = self.config.parameters("datasets", dataset, dataset)
        # Two data sets of one source are the same data: the seed is the source's, not the name's.
        seed = derive_seed(self.config.seed, "data", source)
        output = self.layout.data(dataset)
        return _options(source=source, dataset=dataset, seed=seed, set=parameters, output=output)

    def poison_options(self, dataset: str, poisoning: str) -> str:
        method, parameters = self.config.parameters("poisonings", poisoning, dataset)
        seed = derive_seed(self.config.seed, "poison", dataset, poisoning)
        return _options(
            dataset=dataset,
            poisoning=poisoning,
            method=method,
            seed=seed,
            set=parameters,
            data=self.layout.data(dataset),
            output=self.layout.poisoning(dataset, poisoning),
        )

    def train_options(self, dataset: str, victim: str) -> str:
        method, parameters = self.config.parameters("victims", victim, dataset)
        entry = self.config.entry("victims", victim, dataset)
        epochs = registry.method("training", method).traits.get("epochs", True)
        if "teacher" in parameters:
            parameters["teacher"] = str(self.layout.victim(dataset, parameters["teacher"]).folder)
        poisoning = entry["poisoning"]
        return _options(
            dataset=dataset,
            victim=victim,
            architecture=entry["architecture"],
            architecture_set=entry["architecture_parameters"],
            method=method,
            set=parameters,
            fit={key: entry[key] for key in FITTING} if epochs else None,
            poisoning=self.layout.poisoning(dataset, poisoning) if poisoning else None,
            seed=derive_seed(self.config.seed, "train", dataset, victim),
            threads=self.config.threads.train,
            accelerator=self.config.accelerator,
            data=self.layout.data(dataset),
            output=self.layout.victim(dataset, victim),
        )

    def attack_options(self, dataset: str, victim: str, attack: str) -> str:
        method, parameters = self.config.parameters("attacks", attack, dataset)
        if "poisoning" in parameters:
            parameters["poisoning"] = str(self.layout.poisoning(dataset, parameters["poisoning"]).folder)
        return _options(
            dataset=dataset,
            attack=attack,
            method=method,
            set=parameters,
            target=self.config.target(attack, dataset),
            victim=self.layout.classifier(dataset, victim),
            victim_name=victim,
            images=self.config.images(attack, dataset),
            data_seed=self._data_seed(dataset),
            seed=derive_seed(self.config.seed, "attack", dataset, attack),
            **self._computing(),
            data=self.layout.data(dataset),
            output=self.layout.attack(dataset, victim, attack),
        )

    def defend_options(self, dataset: str, victim: str, defense: str) -> str:
        method, parameters = self.config.parameters("defenses", defense, dataset)
        if "attack" in parameters:
            attack, settings = self.config.parameters("attacks", parameters["attack"], dataset)
            parameters["attack"] = {"method": attack, **settings}
        return _options(
            dataset=dataset,
            defense=defense,
            method=method,
            set=parameters,
            victim=self.layout.victim(dataset, victim),
            victim_name=victim,
            seed=derive_seed(self.config.seed, "defend", dataset, victim, defense),
            **self._computing() | {"threads": self.config.threads.train},
            data=self.layout.data(dataset),
            output=self.layout.defense(dataset, victim, defense),
        )

    def fool_options(self, dataset: str, victim: str, fooling: str) -> str:
        method, parameters = self.config.parameters("fooling", fooling, dataset)
        return _options(
            dataset=dataset,
            fooling=fooling,
            method=method,
            set=parameters,
            confidence=self.config.entry("fooling", fooling, dataset)["confidence"],
            victim=self.layout.victim(dataset, victim),
            victim_name=victim,
            data_seed=self._data_seed(dataset),
            seed=derive_seed(self.config.seed, "fool", dataset, fooling),
            **self._computing(),
            data=self.layout.data(dataset),
            output=self.layout.fooling(dataset, victim, fooling),
        )

    def evaluate_options(self, dataset: str, victim: str, defense: str) -> str:
        return _options(
            dataset=dataset,
            victim_name=defended(victim, defense),
            images=self.config.images_of(dataset),
            data_seed=self._data_seed(dataset),
            **self._computing(),
            data=self.layout.data(dataset),
            defended=self.layout.defense(dataset, victim, defense),
            output=self.layout.evaluation(dataset, victim, defense),
            **self._evaluated(dataset, victim, defense),
        )

    def _evaluated(self, dataset: str, victim: str, defense: str) -> dict[str, list[Place]]:
        """The attacks that a defense is evaluated on, by their setting."""
        made_on = {"oblivious": victim, "adaptive": defended(victim, defense)}
        planned = self.evaluations[dataset, victim, defense]
        return {
            setting: [self.layout.attack(dataset, name, attack) for attack in planned[setting]]
            for setting, name in made_on.items()
        }

    def tabulate_options(self) -> str:
        times = "--record-times" if self.config.record_times else "--no-record-times"
        options = _options(
            confidence=self.config.confidence,
            seed=self.config.seed,
            results=self.layout.root,
            output=self.layout.tables,
        )
        return f"{options} {times}"

    def check_options(self) -> str:
        return _options(
            threads=self.config.threads.attack,
            accelerator=self.config.accelerator,
            results=self.layout.root,
            output=self.layout.checks,
        )

    def draw_options(self, dataset: str) -> str:
        return _options(dataset=dataset, results=self.layout.root, output=self.layout.figures(dataset))

    def collect_options(self) -> str:
        return _options(results=self.layout.root, output=self.layout.report.facts)

    def transfer_options(self, dataset: str, source: str) -> str:
        attacks, victims = self._transferred(dataset, source)
        return _options(
            dataset=dataset,
            attacks=attacks,
            victims=victims,
            **self._computing(),
            data=self.layout.data(dataset),
            output=self.layout.transfer(dataset, source),
        )

    def _transferred(self, dataset: str, source: str) -> tuple[list[Place], list[Place]]:
        """The sets that are replayed, and the victims that are shown them."""
        planned = self.transfers[dataset, source]
        return (
            [self.layout.attack(dataset, source, attack) for attack in planned["attacks"]],
            [self.layout.victim(dataset, victim) for victim in planned["victims"]],
        )

    def _data_seed(self, dataset: str) -> int:
        return derive_seed(self.config.seed, "images", dataset)

    def _computing(self) -> dict[str, Any]:
        config = self.config
        return {"batch_size": config.batch_size, "threads": config.threads.attack, "accelerator": config.accelerator}

    def source_state(self, dataset: str) -> str:
        """A hash of names, sizes and times of the user's own files behind a data set.

        It stands for them among a rule's parameters. As an input, a path would be a pattern to Snakemake, in which
        braces and more have a meaning, and of a folder Snakemake sees only the folder's own time.
        """
        entry = self.config.entry("datasets", dataset, dataset)
        if "path" not in entry:
            return ""
        path = expanded(entry["path"])
        files = walk(path) if path.is_dir() else [(path.name, path)]
        found = sorted((name, file.stat()) for name, file in files)
        state = "".join(f"{name} {stat.st_size} {stat.st_mtime_ns}\n" for name, stat in found)
        return hashlib.sha256(state.encode(errors="surrogateescape")).hexdigest()[:16]

    def train_inputs(self, dataset: str, victim: str) -> list[Path]:
        entry = self.config.entry("victims", victim, dataset)
        files = []
        if entry["poisoning"]:
            files.append(self.layout.poisoning(dataset, entry["poisoning"])["train"])
        if "teacher" in entry:
            files.append(self.layout.victim(dataset, entry["teacher"])["weights"])
        return files

    def attack_inputs(self, dataset: str, victim: str, attack: str) -> list[Path]:
        plain, defense = parts(victim)
        places = [self.layout.victim(dataset, plain)]
        if defense:
            places.append(self.layout.defense(dataset, plain, defense))
        files = [place[role] for place in places for role in ("facts", "weights")]
        poisoning = self.config.entry("attacks", attack, dataset).get("poisoning")
        if poisoning:
            files.append(self.layout.poisoning(dataset, poisoning)["trigger"])
        return files

    def evaluate_inputs(self, dataset: str, victim: str, defense: str) -> list[Path]:
        places = self._evaluated(dataset, victim, defense).values()
        return [place.facts for setting in places for place in setting]

    def transfer_inputs(self, dataset: str, source: str) -> list[Path]:
        return [place.facts for places in self._transferred(dataset, source) for place in places]

    def code(self, stage: str, dataset: str = "", victim: str = "", attack: str = "", fooling: str = "") -> str:
        """Hash of the code that a job runs: its stage and the methods that it finds by name."""
        return _code(stage, *self._methods(stage, dataset, victim, attack, fooling))

    def _methods(self, stage: str, dataset: str, victim: str, attack: str, fooling: str) -> list[str]:
        config = self.config
        plain, defense = parts(victim)
        modules: list[str] = []
        if stage == "prepare":
            modules.append(f"data.{config.method('datasets', dataset).name}")
        if stage == "poison":
            modules.append(f"poisoning.{config.method('poisonings', victim).name}")
        if stage in ("train", "attack", "defend", "evaluate", "fool"):
            entry = config.entry("victims", plain, dataset)
            modules.append(f"architectures.{entry['architecture']}")
            if stage == "train":
                modules.append(f"training.{entry['method']}")
                if registry.method("training", entry["method"]).traits.get("epochs", True):
                    modules.append("training._fit")
        if stage == "transfer":
            shown = self.transfers[dataset, plain]["victims"]
            modules += [f"architectures.{config.entry('victims', name, dataset)['architecture']}" for name in shown]
        if defense:
            method, parameters = config.parameters("defenses", defense, dataset)
            modules.append(f"defenses.{method}")
            if "architecture" in parameters:
                modules.append(f"architectures.{parameters['architecture']}")
            if "attack" in parameters:
                modules.append(f"attacks.{config.method('attacks', parameters['attack']).name}")
        if attack:
            method, parameters = config.parameters("attacks", attack, dataset)
            modules.append(f"attacks.{method}")
            if "architecture" in parameters:
                modules.append(f"architectures.{parameters['architecture']}")
        if fooling:
            modules.append(f"fooling.{config.method('fooling', fooling).name}")
        if stage == "draw":
            modules += [f"figures.{name}" for name in registry.modules("figures")]
        return modules


@cache
def _code(stage: str, *modules: str) -> str:
    return code_hash(f"rivalry.stages.{stage}", *(f"rivalry.{module}" for module in modules))


def _add(items: list[Any], item: Any) -> None:
    if item not in items:
        items.append(item)


def _options(**options: Any) -> str:
    """Command-line options; mappings become key=value words, with JSON for values; what is None is left out."""
    words: list[str] = []
    for name, value in options.items():
        if value is None or value == {}:
            continue
        words.append(f"--{name.replace('_', '-')}")
        if isinstance(value, dict):
            words += [f"{key}={json.dumps(item)}" for key, item in value.items()]
        else:
            words += [_word(item) for item in (value if isinstance(value, list) else [value])]
    return shlex.join(words)


def _word(value: Any) -> str:
    return str(value.folder if isinstance(value, Place) else value)
