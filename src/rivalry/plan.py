"""Which jobs a configuration asks for, and the command line of each.

The Snakefile's rules get their wildcards' values, parameters and code hashes here, so that they can stay thin.
"""

from __future__ import annotations

import hashlib
import json
import shlex
from collections.abc import Iterator, Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Any, TypeVar

from rivalry import options, registry
from rivalry.codehash import code_hash, split
from rivalry.config.models import SECTIONS
from rivalry.config.resolving import Config
from rivalry.config.trainings import beside, leaves_to_chance, seeds_of, training_seed
from rivalry.data._files import expanded, walk
from rivalry.external.spec import code_in
from rivalry.layout import Place, defended, parts, trained, training
from rivalry.seeds import derive_seed
from rivalry.training._fitting import FITTING


class Plan:
    """The jobs behind a configuration's matches, in the configuration's order.

    Attributes
    ----------
    layout : Layout
        Where the jobs write.
    datasets : list of str
    generators, poisonings, victims : list of (data set, name)
        A victim that is trained several times stands here, and below, as plain, plain@2, ...; see `layout.training`.
        Teachers of matched victims come last.
    attacks : list of (data set, victim, attack)
        On undefended victims.
    evaluations : dict
        (data set, victim, defense) -> {"oblivious": [attack, ...], "adaptive": [attack, ...]}.
    foolings : list of (data set, victim, fooling)
    screenings : list of (data set, victim, filter)
    plantings : list of (data set, victim, targeted poisoning)
    transfers : dict
        (data set, source) -> {"attacks": [attack, ...], "victims": [victim, ...]}: sets crafted on the source and
        whom they are shown to, the source first. Items of the configuration with the same source are joined.
    kept_apart : list of {"what", "reason"}
        Combinations that a match or a transfer lists and that make no sense.
    """

    def __init__(self, config: Config) -> None:
        self.config = config
        self.layout = config.layout
        self._code = cache(code_hash)
        self.datasets: list[str] = []
        self.generators: list[tuple[str, str]] = []
        self.poisonings: list[tuple[str, str]] = []
        self.victims: list[tuple[str, str]] = []
        self.attacks: list[tuple[str, str, str]] = []
        self.evaluations: dict[tuple[str, str, str], dict[str, list[str]]] = {}
        self.foolings: list[tuple[str, str, str]] = []
        self.screenings: list[tuple[str, str, str]] = []
        self.plantings: list[tuple[str, str, str]] = []
        self.transfers: dict[tuple[str, str], dict[str, list[str]]] = {}
        self.kept_apart: list[dict[str, str]] = []
        for match in config.matches:
            for dataset in match.datasets:
                _add(self.datasets, dataset)
                for name in match.victims:
                    attacks = [attack for attack in match.attacks if self._can_attack(dataset, name, attack)]
                    for fooling in match.fooling:
                        _add(self.foolings, (dataset, name, fooling))
                    for targeted in match.targeted_poisonings:
                        if self._can_plant(dataset, name, targeted):
                            _add(self.plantings, (dataset, name, targeted))
                    for filter in match.filters:
                        if self._can_screen(dataset, name, filter):
                            _add(self.screenings, (dataset, name, filter))
                    for seed in seeds_of(config, name, dataset):
                        victim = training(name, seed)
                        self._add_victim(dataset, victim)
                        for attack in attacks:
                            self._add_attack(dataset, victim, attack)
                        for defense in match.defenses:
                            self._add_evaluation(dataset, victim, defense, attacks, match.settings)
        for item in config.transfers:
            for dataset in item.datasets:
                _add(self.datasets, dataset)
                for name in (*item.victims, *item.sources):
                    for seed in seeds_of(config, name, dataset):
                        self._add_victim(dataset, training(name, seed))
                for name in item.sources:
                    for seed in seeds_of(config, name, dataset):
                        shown = [victim for other in item.victims for victim in self._shown(dataset, name, seed, other)]
                        self._add_transfer(dataset, training(name, seed), shown, item.attacks)
        named = [("victims", victim, dataset, trained(victim)[1]) for dataset, victim in self.victims]
        named += [("attacks", attack, dataset, trained(victim)[1]) for dataset, victim, attack in self.attacks]
        named += [("defenses", defense, dataset, trained(victim)[1]) for dataset, victim, defense in self.evaluations]
        named += [("fooling", fooling, dataset, 1) for dataset, _, fooling in self.foolings]
        named += [("filters", filter, dataset, 1) for dataset, _, filter in self.screenings]
        named += [("targeted_poisonings", targeted, dataset, 1) for dataset, _, targeted in self.plantings]
        for entry in named:  # teachers last
            self._add_teachers(*entry)

    def _shown(self, dataset: str, source: str, seed: int, victim: str) -> Iterator[str]:
        """The trainings of a victim that are shown what is crafted on a source's: those of the same seed.

        What leaves nothing to chance is the same beside all seeds.
        """
        alone = not leaves_to_chance(self.config, source, dataset)
        for number in seeds_of(self.config, victim, dataset):
            if alone or number == seed or not leaves_to_chance(self.config, victim, dataset):
                yield training(victim, number)

    def _add_victim(self, dataset: str, victim: str) -> None:
        self._add_made("victims", victim, dataset)
        _add(self.victims, (dataset, victim))

    def _add_attack(self, dataset: str, victim: str, attack: str) -> None:
        self._add_made("attacks", attack, dataset)
        _add(self.attacks, (dataset, victim, attack))

    def _add_made(self, section: str, name: str, dataset: str) -> None:
        """The poisonings and generators that an entry names, itself or through others."""
        for _, target, named in self._references(section, name, dataset):
            if target in ("generators", "poisonings"):
                _add(self.generators if target == "generators" else self.poisonings, (dataset, named))
            if target in (*options.INSIDE, "poisonings"):
                self._add_made(target, named, dataset)

    def _add_teachers(self, section: str, name: str, dataset: str, seed: int) -> None:
        """Victims that an entry names, itself or through others: of each the training of this number."""
        for _, target, named in self._references(section, name, dataset, seed):
            if target == "victims":
                self._add_victim(dataset, named)
            self._add_teachers(target, named, dataset, seed)

    def _references(self, section: str, name: str, dataset: str, seed: int = 1) -> Iterator[tuple[str, str, str]]:
        """The entries that an entry names: key, section and name; of a victim, the training that belongs to a seed."""
        for key, target, named in self.config.references(section, trained(name)[0], dataset):
            yield key, target, beside(self.config, named, seed, dataset) if target == "victims" else named

    def _add_evaluation(
        self, dataset: str, victim: str, defense: str, attacks: Sequence[str], settings: Sequence[str]
    ) -> None:
        self._add_made("defenses", defense, dataset)
        planned = self.evaluations.setdefault((dataset, victim, defense), {"oblivious": [], "adaptive": []})
        limits = self.config.method("defenses", defense).traits["kind"] == "access control"
        for attack in attacks:
            if "oblivious" in settings and limits:
                reason = f"{defense} limits questions; who has asked {trained(victim)[0]} without it was not limited"
                what = f"{dataset}: oblivious {attack} on {defended(trained(victim)[0], defense)}"
                _add(self.kept_apart, {"what": what, "reason": reason})
            elif "oblivious" in settings:
                _add(planned["oblivious"], attack)
            if "adaptive" not in settings:
                continue
            if self.config.method("attacks", attack).traits["sees"] == "nothing":
                reason = f"{attack} looks at no victim, so knowing the defense changes nothing"
                what = f"{dataset}: adaptive {attack} on {defended(trained(victim)[0], defense)}"
                _add(self.kept_apart, {"what": what, "reason": reason})
            else:
                _add(planned["adaptive"], attack)

    def _add_transfer(self, dataset: str, source: str, victims: Sequence[str], attacks: Sequence[str]) -> None:
        for attack in attacks:
            if not self._can_attack(dataset, trained(source)[0], attack, ", to be replayed"):
                continue
            self._add_attack(dataset, source, attack)
            planned = self.transfers.setdefault((dataset, source), {"attacks": [], "victims": [source]})
            _add(planned["attacks"], attack)
            for victim in victims:
                _add(planned["victims"], victim)

    def _can_attack(self, dataset: str, victim: str, attack: str, purpose: str = "") -> bool:
        if not self.config.follows_nothing(attack, victim, dataset):
            return True
        entry = self.config.entry("victims", victim, dataset)
        if "architecture" in entry:
            reason = f"{attack} follows gradients, and those of a {entry['architecture'].replace('_', ' ')} are zero"
        else:
            reason = f"{attack} follows gradients, and {victim} has none"
        _add(self.kept_apart, {"what": f"{dataset}: {attack} on {victim}{purpose}", "reason": reason})
        return False

    def _can_screen(self, dataset: str, victim: str, filter: str) -> bool:
        if not self.config.method("victims", victim).brings:
            return True
        reason = f"{victim} was not trained here, so that there is no training set to look at"
        _add(self.kept_apart, {"what": f"{dataset}: {filter} on {victim}", "reason": reason})
        return False

    def _can_plant(self, dataset: str, victim: str, targeted: str) -> bool:
        if self.config.method("victims", victim).in_epochs and self.config.differentiable(victim, dataset):
            return True
        reason = f"{victim} is not trained in epochs, so that it cannot be trained again on poisons"
        _add(self.kept_apart, {"what": f"{dataset}: {targeted} on {victim}", "reason": reason})
        return False

    @property
    def brought(self) -> list[str]:
        """The victims that come from outside, trained already."""
        names = dict.fromkeys(trained(name)[0] for _, name in self.victims)
        return [name for name in names if self.config.method("victims", name).brings]

    @property
    def defenses(self) -> list[tuple[str, str, str]]:
        """(data set, victim, defense) of every defense to fit."""
        return list(self.evaluations)

    def unused(self) -> list[str]:
        """Entries that no match and no transfer leads to, as section.name."""
        named = [
            (section, dataset, name)
            for match in self.config.matches
            for dataset in match.datasets
            for section in ("victims", "attacks", "defenses", "filters", "targeted_poisonings", "fooling")
            for name in getattr(match, section)
        ]
        named += [
            (section, dataset, name)
            for item in self.config.transfers
            for dataset in item.datasets
            for section, names in (("victims", [*item.sources, *item.victims]), ("attacks", item.attacks))
            for name in names
        ]
        named += [("datasets", dataset, dataset) for dataset in self.datasets]
        used = {(section, name) for section, _, name in self.config.reached(named)}
        return [
            f"{section}.{name}"
            for section in (*SECTIONS, "generators")
            for name in self.config.section(section)
            if (section, name) not in used
        ]

    def tables(self) -> dict[str, Any]:
        """What tables, checks and figures are made of; anything else below results/ is left over and ignored."""
        return {
            "prepared": self.layout.seen_from_results(),
            "datasets": self.datasets,
            "generators": [list(item) for item in self.generators],
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
            "screenings": [list(item) for item in self.screenings],
            "plantings": [list(item) for item in self.plantings],
            "transfers": [list(item) for item in self.transfers],
            "without_chance": [
                [dataset, victim]
                for dataset, victim in self.victims
                if not leaves_to_chance(self.config, trained(victim)[0], dataset)
            ],
            "kept_apart": self.kept_apart,
        }

    def prepare_options(self, dataset: str) -> str:
        source, parameters = self.config.parameters("datasets", dataset, dataset)
        return self._command(
            "prepare",
            dataset,
            self.layout.data(dataset),
            source=source,
            parameters=parameters,
            train_images=self.config.entry("datasets", dataset, dataset)["train_images"],
            plugins=self._plugins("prepare", dataset),
            seed=self.config.data_seed(dataset),
        )

    def generate_options(self, dataset: str, generator: str) -> str:
        parameters = self.config.entry("generators", generator, dataset)
        return self._command(
            "generate",
            dataset,
            self.layout.generator(dataset, generator),
            generator=generator,
            parameters=parameters,
            seed=training_seed(self.config, dataset, ("generators", generator)),
            threads=self.config.threads.train,
        )

    def poison_options(self, dataset: str, poisoning: str) -> str:
        return self._command(
            "poison",
            dataset,
            self.layout.poisoning(dataset, poisoning),
            poisoning=poisoning,
            plugins=self._plugins("poison", dataset, poisoning=poisoning),
            seed=training_seed(self.config, dataset, ("poisonings", poisoning)),
            **self._method("poisonings", poisoning, dataset),
        )

    def train_options(self, dataset: str, victim: str) -> str:
        name, seed = trained(victim)
        entry = self.config.entry("victims", name, dataset)
        epochs = self.config.method("victims", name).in_epochs
        poisoning, started = entry.get("poisoning"), entry.get("warm_start")
        return self._command(
            "train",
            dataset,
            self.layout.victim(dataset, victim),
            victim=victim,
            architecture=entry.get("architecture"),
            architecture_parameters=entry.get("architecture_parameters"),
            fit={key: entry[key] for key in FITTING if entry[key] is not None} if epochs else None,
            poisoning=self.layout.poisoning(dataset, poisoning) if poisoning else None,
            warm_start=self.layout.victim(dataset, beside(self.config, started, seed, dataset)) if started else None,
            plugins=self._plugins("train", dataset, victim),
            seed=training_seed(self.config, dataset, ("victims", name), seed=seed),
            threads=self.config.threads.train,
            **self._method("victims", name, dataset, seed),
        )

    def attack_options(self, dataset: str, victim: str, attack: str) -> str:
        return self._command(
            "attack",
            dataset,
            self.layout.attack(dataset, victim, attack),
            attack=attack,
            target=self.config.target(attack, dataset),
            victim=self.layout.classifier(dataset, victim),
            victim_name=victim,
            images=self.config.images(attack, dataset),
            plugins=self._plugins("attack", dataset, victim, attack),
            seed=derive_seed(self.config.seed, "attack", dataset, attack),
            **self._method("attacks", attack, dataset, trained(parts(victim)[0])[1]),
        )

    def defend_options(self, dataset: str, victim: str, defense: str) -> str:
        name, seed = trained(victim)
        return self._command(
            "defend",
            dataset,
            self.layout.defense(dataset, victim, defense),
            defense=defense,
            plugins=self._plugins("defend", dataset, defended(victim, defense)),
            victim=self.layout.victim(dataset, victim),
            victim_name=victim,
            seed=training_seed(self.config, dataset, ("victims", name), ("defenses", defense), seed=seed),
            threads=self.config.threads.train,
            **self._method("defenses", defense, dataset, seed),
        )

    def fool_options(self, dataset: str, victim: str, fooling: str) -> str:
        return self._command(
            "fool",
            dataset,
            self.layout.fooling(dataset, victim, fooling),
            fooling=fooling,
            plugins=self._plugins("fool", dataset, victim, fooling=fooling),
            confidence=self.config.entry("fooling", fooling, dataset)["confidence"],
            victim=self.layout.victim(dataset, victim),
            victim_name=victim,
            seed=derive_seed(self.config.seed, "fool", dataset, fooling),
            **self._method("fooling", fooling, dataset),
        )

    def screen_options(self, dataset: str, victim: str, filter: str) -> str:
        poisoning = self.config.entry("victims", victim, dataset).get("poisoning")
        return self._command(
            "screen",
            dataset,
            self.layout.screening(dataset, victim, filter),
            filter=filter,
            plugins=self._plugins("screen", dataset, victim, filter=filter),
            false_alarms=self.config.entry("filters", filter, dataset)["false_alarms"],
            poisoning=self.layout.poisoning(dataset, poisoning) if poisoning else None,
            victim=self.layout.victim(dataset, victim),
            victim_name=victim,
            seed=derive_seed(self.config.seed, "screen", dataset, filter),
            **self._method("filters", filter, dataset),
        )

    def plant_options(self, dataset: str, victim: str, targeted: str) -> str:
        return self._command(
            "plant",
            dataset,
            self.layout.planting(dataset, victim, targeted),
            targeted=targeted,
            plugins=self._plugins("plant", dataset, victim, targeted=targeted),
            victim=self.layout.victim(dataset, victim),
            victim_name=victim,
            seed=derive_seed(self.config.seed, "plant", dataset, targeted),
            threads=self.config.threads.train,
            **self._method("targeted_poisonings", targeted, dataset),
        )

    def evaluate_options(self, dataset: str, victim: str, defense: str) -> str:
        return self._command(
            "evaluate",
            dataset,
            self.layout.evaluation(dataset, victim, defense),
            victim_name=defended(victim, defense),
            plugins=self._plugins("evaluate", dataset, defended(victim, defense)),
            images=self.config.images_of(dataset),
            defended=self.layout.defense(dataset, victim, defense),
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
        config = self.config
        own = {"confidence": config.confidence, "seed": config.seed, "record_times": config.record_times}
        return self._command("tabulate", "", self.layout.tables, **own)

    def check_options(self) -> str:
        return self._command("check", "", self.layout.checks, plugins=self.config.plugins)

    def draw_options(self, dataset: str) -> str:
        return self._command("draw", dataset, self.layout.figures(dataset))

    def collect_options(self) -> str:
        return self._command("collect", "", self.layout.report.facts, plugins=self.config.plugins)

    def transfer_options(self, dataset: str, source: str) -> str:
        attacks, victims = self._transferred(dataset, source)
        output = self.layout.transfer(dataset, source)
        plugins = self._plugins("transfer", dataset, source)
        return self._command("transfer", dataset, output, attacks=attacks, victims=victims, plugins=plugins)

    def _transferred(self, dataset: str, source: str) -> tuple[list[Place], list[Place]]:
        """The sets that are replayed, and the victims that are shown them."""
        planned = self.transfers[dataset, source]
        return (
            [self.layout.attack(dataset, source, attack) for attack in planned["attacks"]],
            [self.layout.victim(dataset, victim) for victim in planned["victims"]],
        )

    def _command(self, stage: str, dataset: str, output: Place | Path, **own: object) -> str:
        """The options that a stage declares, with a job's own values and those that all jobs share."""
        config, declared = self.config, options.stage(stage)
        shared = {
            "dataset": dataset,
            "data": self.layout.data(dataset),
            "data_seed": derive_seed(config.seed, "images", dataset),
            "results": self.layout.root,
            "output": output,
            "batch_size": config.batch_size,
            "threads": config.threads.attack,
            "accelerator": config.accelerator,
        }
        values = {name: (shared | own).get(name) for name in declared.options | declared.beside}
        if unknown := own.keys() - values.keys():
            raise KeyError(f"{stage} has no option {unknown}")
        return _words(values)

    def _method(self, section: str, name: str, dataset: str, seed: int = 1) -> dict[str, Any]:
        """The method of an entry and its parameters, as a job about a training of this number is told them.

        Another entry that it names is told by its folder; but one that the job itself runs, in full.
        """
        method, parameters = self.config.parameters(section, name, dataset)
        told: dict[str, list[Any]] = {}
        for key, target, named in self._references(section, name, dataset, seed):
            if target in options.INSIDE:
                run = self._method(target, named, dataset, seed)
                told.setdefault(key, []).append({"method": run["method"], **run["parameters"]})
            else:
                told.setdefault(key, []).append(str(self._place(target, named, dataset).folder))
        for key in told.keys() & parameters.keys():
            parameters[key] = told[key] if isinstance(parameters[key], list) else told[key][0]
        return {"method": method, "parameters": parameters}

    def _place(self, section: str, name: str, dataset: str) -> Place:
        """Where the job of an entry that others name writes."""
        of = {"generators": self.layout.generator, "poisonings": self.layout.poisoning}
        return of.get(section, self.layout.victim)(dataset, name)

    def files_state(self, section: str, name: str, dataset: str) -> str:
        """A hash of names, sizes and times of the user's own files that an entry names, itself or through others.

        It stands for them among a rule's parameters. As an input, a path would be a pattern to Snakemake, in which
        braces and more have a meaning, and of a folder Snakemake sees only the folder's own time. Code is not in it:
        that counts by what it says, among the modules of a job. "" where there are no such files.
        """
        entries = sorted(self.config.reached([(section, dataset, trained(name)[0])]))
        found = {
            f"{of} {called} {key} {state}\n"
            for of, _, called in entries
            for key, mark, path in self.config.user_files(of, called, dataset)
            if not (mark.code and path.endswith(".py"))
            for state in _file_states(path)
        }
        for of, _, called in entries:
            if of == "datasets":
                files = self.config.about(called).files
                found |= {f"{of} {called} {name} {_file_state(file)}\n" for name, file in files.items()}
        return hashlib.sha256("".join(sorted(found)).encode(errors="surrogateescape")).hexdigest()[:16] if found else ""

    def inputs(self, section: str, name: str, dataset: str, victim: str) -> list[Path]:
        """The files that a job about a victim reads because an entry names others, itself or through what the job
        runs."""
        files: list[Path] = []
        for _, target, named in self._references(section, name, dataset, trained(victim)[1]):
            if target in options.INSIDE:
                files += self.inputs(target, named, dataset, victim)
            else:
                files += self._place(target, named, dataset).files
        return files

    def poison_inputs(self, dataset: str, poisoning: str) -> list[Path]:
        return self.inputs("poisonings", poisoning, dataset, "")

    def train_inputs(self, dataset: str, victim: str) -> list[Path]:
        return self.inputs("victims", victim, dataset, victim)

    def attack_inputs(self, dataset: str, victim: str, attack: str) -> list[Path]:
        plain, defense = parts(victim)
        places = [self.layout.victim(dataset, plain)]
        files = self.inputs("attacks", attack, dataset, plain)
        if defense:
            places.append(self.layout.defense(dataset, plain, defense))
            files += self.inputs("defenses", defense, dataset, plain)
        return [place[role] for place in places for role in ("facts", "weights")] + files

    def defend_inputs(self, dataset: str, victim: str, defense: str) -> list[Path]:
        return self.inputs("defenses", defense, dataset, victim)

    def fool_inputs(self, dataset: str, victim: str, fooling: str) -> list[Path]:
        return self.inputs("fooling", fooling, dataset, victim)

    def screen_inputs(self, dataset: str, victim: str, filter: str) -> list[Path]:
        poisoning = self.config.entry("victims", victim, dataset).get("poisoning")
        learned = self.layout.poisoning(dataset, poisoning).files if poisoning else []
        return [*learned, *self.inputs("filters", filter, dataset, victim)]

    def plant_inputs(self, dataset: str, victim: str, targeted: str) -> list[Path]:
        return self.inputs("targeted_poisonings", targeted, dataset, victim)

    def evaluate_inputs(self, dataset: str, victim: str, defense: str) -> list[Path]:
        places = self._evaluated(dataset, victim, defense).values()
        attacks = [place.facts for setting in places for place in setting]
        return [*attacks, *self.inputs("defenses", defense, dataset, victim)]

    def transfer_inputs(self, dataset: str, source: str) -> list[Path]:
        return [place.facts for places in self._transferred(dataset, source) for place in places]

    def code(self, stage: str, *names: str, **others: str) -> str:
        """Hash of the code that a job runs; see `modules`."""
        return self._code(*self.modules(stage, *names, **others))

    def modules(
        self,
        stage: str,
        dataset: str = "",
        victim: str = "",
        attack: str = "",
        *,
        poisoning: str = "",
        fooling: str = "",
        filter: str = "",
        targeted: str = "",
    ) -> list[str]:
        """The modules that a job runs: its stage, and the methods that it finds by name.

        Parameters
        ----------
        stage : str
        dataset, victim, attack, poisoning, fooling, filter, targeted : str
            What the job is about; the victim may be a defended one.
        """
        modules = [f"rivalry.stages.{stage}"]
        victim, defense = parts(victim)
        if stage == "prepare":
            modules += self._makes("datasets", dataset, dataset)
        elif stage == "train":
            modules += self._makes("victims", victim, dataset)
            if self.config.method("victims", trained(victim)[0]).in_epochs:
                modules.append("rivalry.training._fit")
            if self.config.method("victims", trained(victim)[0]).traits.get("starts"):
                modules.append("rivalry.victims")
        elif stage == "draw":
            modules += [f"rivalry.figures.{name}" for name in registry.modules("figures")]
        elif victim:
            shown = self.transfers[dataset, victim]["victims"] if stage == "transfer" else [victim]
            modules += [module for name in shown for module in self._loads("victims", name, dataset)]
        for section, name in (
            ("poisonings", poisoning),
            ("defenses", defense),
            ("attacks", attack),
            ("fooling", fooling),
            ("filters", filter),
            ("targeted_poisonings", targeted),
        ):
            modules += self._makes(section, name, dataset) if name else []
        return modules

    def _plugins(self, stage: str, *names: str, **others: str) -> list[str]:
        """The files of plugins whose methods a job finds by name: those that it must be told, and no others."""
        brought = {one.file for methods in registry.in_use().methods.values() for one in methods.values()}
        files = [split(code)[0] for code in self.modules(stage, *names, **others)]
        return list(dict.fromkeys(file for file in files if file in brought))

    def works(self) -> str:
        """The works that plugins bring for the report to cite, as JSON."""
        return json.dumps(registry.in_use().works, sort_keys=True)

    def _makes(self, section: str, name: str, dataset: str) -> list[str]:
        """The modules that an entry's job finds by name: of the methods that it names, and of entries that it names."""
        name, _ = trained(name)
        modules = [code for _, method in self.config.methods(section, name, dataset) for code in method.code]
        modules += self._user_code(section, name, dataset)
        for _, target, named in self.config.references(section, name, dataset):
            modules += (self._makes if target in options.INSIDE else self._loads)(target, named, dataset)
        return modules

    def _loads(self, section: str, name: str, dataset: str) -> list[str]:
        """The modules that a job finds by name when it loads what an entry's own job made: a victim's network."""
        name, _ = trained(name)
        methods = self.config.methods(section, name, dataset)
        own = [method for _, method in methods if method.kind == "architectures" or method.brings]
        return [code for method in own for code in method.code] + self._user_code(section, name, dataset)

    def _user_code(self, section: str, name: str, dataset: str) -> list[str]:
        """The user's code that an entry names, as `code_hash` takes it."""
        return [code for _, text in self.config.user_code(section, name, dataset) if (code := code_in(text))]


def _file_states(path: str) -> Iterator[str]:
    """Name, size and time of a file, or of every file in a folder."""
    root = expanded(path)
    for name, file in walk(root) if root.is_dir() else [(root.name, root)]:
        yield f"{name} {_file_state(file)}"


def _file_state(file: Path) -> str:
    stat = file.stat()
    return f"{stat.st_size} {stat.st_mtime_ns}"


T = TypeVar("T")


def _add(items: list[T], item: T) -> None:
    if item not in items:
        items.append(item)


def _words(values: Mapping[str, object]) -> str:
    """Options as words; mappings become key=value, with JSON for values; what is None or empty is left out."""
    words: list[str] = []
    for name, value in values.items():
        word = options.word(name)
        if isinstance(value, bool):
            words.append(word if value else word.replace("--", "--no-", 1))
        elif isinstance(value, dict):
            words += [word, *(f"{key}={json.dumps(item)}" for key, item in value.items())] if value else []
        elif value is not None:
            listed = value if isinstance(value, list) else [value]
            told = [str(one.folder if isinstance(one, Place) else one) for one in listed]
            words += [word, *told] if told else []
    return shlex.join(words)
