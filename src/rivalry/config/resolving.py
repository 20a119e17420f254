"""A whole configuration, and its entries as they are on a data set."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping
from contextlib import nullcontext
from copy import copy
from functools import lru_cache
from pathlib import Path
from typing import Annotated, Any, Literal, Union

from pydantic import Field, PrivateAttr, create_model

from rivalry import registry
from rivalry.config.models import (
    SECTIONS,
    AttackEntry,
    DatasetEntry,
    Entry,
    FilterEntry,
    FoolingEntry,
    Match,
    Name,
    Seeds,
    Threads,
    Transfer,
    described,
    entry_models,
    files_of_architecture,
    marked,
)
from rivalry.data._glance import Known
from rivalry.errors import RivalryError
from rivalry.external.spec import has_gradients
from rivalry.generative.keys import GeneratorKeys
from rivalry.layout import RESULTS, Layout
from rivalry.parameters import shown
from rivalry.seeds import derive_seed
from rivalry.types import (
    BatchSize,
    Flag,
    MethodOf,
    Natural,
    OpenFraction,
    OutputFolder,
    Reference,
    Strict,
    UserFile,
    UserPath,
)
from rivalry.usercode import running


class Config(Strict):
    """A configuration whose keys are right."""

    title: str = "Adversarial rivalry"
    """The report's title."""
    plugins: list[UserPath] = Field([])
    """Your own files of methods, or folders of them; their methods stand beside the others."""
    seed: Natural = 0
    """Every random number comes from it."""
    seeds: Seeds = 1
    """Times every victim is trained, each with a seed of its own, and then attacked and defended. With several, the
    report shows the spread between seeds and tells victims apart only where they differ by more."""
    results: OutputFolder = RESULTS
    """Folder of all that the run writes, relative to the folder in which Snakemake runs. Each configuration needs its
    own."""
    prepared: OutputFolder | None = None
    """Folder of prepared data sets, relative like `results`. Configurations that name the same one share them; when
    left out, they lie with the results."""
    confidence: OpenFraction = 0.95
    """Of all intervals."""
    data_mirror: UserPath | None = None
    """Folder or URL that holds the data sets' files; the environment's RIVALRY_DATA_MIRROR when left out."""
    accelerator: Literal["auto", "cpu", "gpu"] = "auto"
    """Where to compute."""
    batch_size: BatchSize = 64
    """Images attacked at once; bounds the memory."""
    record_times: Flag = True
    """Whether tables hold run times, the only numbers that differ between two runs."""
    threads: Threads = Threads()
    datasets: Annotated[dict[Name, DatasetEntry], Field(min_length=1)]
    generators: dict[Name, GeneratorKeys] = Field({})
    """Networks that learn to make images like a data set's, for the defenses and poisonings that name one."""
    poisonings: dict[Name, Entry] = Field({})
    victims: Annotated[dict[Name, Entry], Field(min_length=1)]
    attacks: Annotated[dict[Name, AttackEntry], Field(min_length=1)]
    attack_sets: dict[Name, Annotated[list[str], Field(min_length=1)]] = Field({})
    """Names for several attacks together, e.g. strong: [apgd_ce, fab]; matches and transfers may list them."""
    defenses: dict[Name, Entry] = Field({})
    filters: dict[Name, FilterEntry] = Field({})
    targeted_poisonings: dict[Name, Entry] = Field({})
    fooling: dict[Name, FoolingEntry] = Field({})
    matches: Annotated[list[Match], Field(min_length=1)]
    transfers: list[Transfer] = Field([])

    _known: dict[str, Known] = PrivateAttr(default_factory=dict)

    @property
    def layout(self) -> Layout:
        """Where the run writes."""
        return Layout(Path(self.results), None if self.prepared is None else Path(self.prepared))

    def data_seed(self, dataset: str) -> int:
        """Seeds what a data set's source draws. Two data sets of one source are the same data, whatever their names."""
        source = self.method("datasets", dataset)
        return derive_seed(self.seed if source.traits.get("chance", True) else 0, "data", source.name)

    def section(self, name: str) -> Mapping[str, Strict]:
        """The entries of one of SECTIONS, or of generators."""
        entries: Mapping[str, Strict] = getattr(self, name)
        return entries

    def method(self, section: str, name: str) -> registry.Method:
        """The method that an entry names."""
        key, kind, _ = SECTIONS[section]
        return registry.method(kind, getattr(self.section(section)[name], key))

    def entry(self, section: str, name: str, dataset: str, *, defaults: bool = True) -> dict[str, Any]:
        """An entry's keys as they are on a data set; `defaults` are the values that they have when left out."""
        entry = self.section(section)[name]
        given = entry.model_dump(exclude_unset=True, exclude={"per_dataset"})
        overrides = getattr(entry, "per_dataset", {}).get(dataset, {})
        whole = type(entry).model_validate(given | overrides)
        return whole.model_dump(exclude={"per_dataset"}, exclude_defaults=not defaults)

    def is_given(self, section: str, name: str, dataset: str, key: str) -> bool:
        """Whether an entry says a key, on all data sets or on this one."""
        entry = self.section(section)[name]
        return key in entry.model_fields_set or key in getattr(entry, "per_dataset", {}).get(dataset, {})

    def references(self, section: str, name: str, dataset: str) -> Iterator[tuple[str, str, str]]:
        """The entries that an entry names on a data set: the key, the section and the name."""
        entry = self.entry(section, name, dataset)
        for key, mark in marked(type(self.section(section)[name]), Reference):
            named = entry[key]
            for one in named if isinstance(named, list) else [named] if named is not None else []:
                yield key, mark.section, one

    def reached(self, entries: Iterable[tuple[str, str, str]]) -> set[tuple[str, str, str]]:
        """These entries, those that they name on their data set, and so on: (section, data set, name) that exist."""
        waiting, reached = list(entries), set()
        while waiting:
            section, dataset, name = entry = waiting.pop()
            if entry not in reached and name in self.section(section):
                reached.add(entry)
                waiting += [(target, dataset, named) for _, target, named in self.references(section, name, dataset)]
        return reached

    def methods(self, section: str, name: str, dataset: str) -> Iterator[tuple[str, registry.Method]]:
        """The methods that an entry names on a data set, its own and others: the key and the method."""
        entry = self.entry(section, name, dataset)
        for key, mark in marked(type(self.section(section)[name]), MethodOf):
            yield key, registry.method(mark.kind, entry[key])

    def user_files(self, section: str, name: str, dataset: str) -> Iterator[tuple[str, UserFile, str]]:
        """The user's files and folders that an entry names on a data set: the key, its mark and the path."""
        entry = self.entry(section, name, dataset)
        named = [(key, mark, entry[key]) for key, mark in marked(type(self.section(section)[name]), UserFile)]
        own = entry.get("architecture_parameters", {})
        for key, mark in files_of_architecture(entry.get("architecture")):
            named.append((f"architecture_parameters.{key}", mark, own.get(key)))
        for key, mark, value in named:
            for one in value if isinstance(value, list) else [value]:
                if isinstance(one, str) and (path := mark.split(one)[0]):
                    yield key, mark, path

    def parameters(self, section: str, name: str, dataset: str) -> tuple[str, dict[str, Any]]:
        """The method an entry names and the parameters that are the method's own."""
        method, entry = self.method(section, name), self.entry(section, name, dataset)
        return method.name, {parameter: entry[parameter] for parameter in method.parameters}

    def images(self, attack: str, dataset: str) -> int:
        """How many test images an attack is given."""
        return self.entry("attacks", attack, dataset)["images"] or self.images_of(dataset)

    def follows_nothing(self, attack: str, victim: str, dataset: str) -> bool:
        """Whether the attack needs gradients where the victim has none, or none but zero."""
        return self.method("attacks", attack).traits["sees"] == "gradients" and not self.differentiable(victim, dataset)

    def differentiable(self, victim: str, dataset: str) -> bool:
        """Whether a victim's logits have gradients that an attack could follow."""
        built = all(method.traits.get("gradients", True) for _, method in self.methods("victims", victim, dataset))
        return built and all(has_gradients(code) for _, code in self.user_code("victims", victim, dataset))

    def user_code(self, section: str, name: str, dataset: str) -> Iterator[tuple[str, str]]:
        """What an entry names of the user's code on a data set: the key, and the text that names it."""
        entry = self.entry(section, name, dataset)
        for key, mark in marked(type(self.section(section)[name]), UserFile):
            if mark.code and entry[key] is not None:
                yield key, entry[key]

    def images_of(self, dataset: str) -> int:
        """How many test images a data set's attacks and defenses meet: never more than it is known to have."""
        asked, available = self.datasets[dataset].images, self.about(dataset).test_images
        return asked if available is None else min(asked, available)

    def recorded(self) -> dict[str, Any]:
        """The configuration with all defaults; of `images`, how many are used."""
        content = self.model_dump()
        for dataset, entry in content["datasets"].items():
            entry["images"] = self.images_of(dataset)
        return content

    def about(self, dataset: str) -> Known:
        """What is known of a data set before it is prepared."""
        if dataset not in self._known:
            self._known[dataset] = self._glance(dataset)
        return self._known[dataset]

    def _glance(self, dataset: str) -> Known:
        method, (_, parameters) = self.method("datasets", dataset), self.parameters("datasets", dataset, dataset)
        traits = method.traits
        if traits.get("glance"):
            try:
                with running(method.file) if method.file else nullcontext():
                    known = method.load(traits["glance"])(**parameters)
                if not isinstance(known, Known):
                    raise RivalryError(f"{method.file}: {traits['glance']} gives {shown(known)}; it must give a Known")
            except RivalryError as error:
                key = getattr(error, "key", "path")
                return Known(fault=str(error), key=key if key in parameters else "source")
            return known
        total, share, classes = traits.get("images"), parameters.get("test_fraction"), traits.get("classes")
        test_images = math.ceil(total * share) if total and share else parameters.get("n_test")
        train_images = total - test_images if total and test_images else parameters.get("n_train")
        return Known(
            classes=classes[parameters["labels"]] if isinstance(classes, dict) else classes,
            train_images=traits.get("train_images", train_images),
            test_images=traits.get("test_images", test_images),
            side=traits.get("side"),
        )

    def target(self, attack: str, dataset: str) -> int | str | None:
        """The target that an attack is configured with, or its method's own rule; None for an untargeted one."""
        entry = self.entry("attacks", attack, dataset)
        own: str | None = self.method("attacks", attack).traits.get("target")
        return own if entry["target"] is None else entry["target"]


def config_model() -> type[Config]:
    """The configuration whose entries have the keys of the methods that they name."""
    return _config_model(registry.in_use())


@lru_cache(maxsize=8)
def _config_model(plugins: registry.Plugins) -> type[Config]:
    """The same, with the methods of these plugins, which are in use."""
    fields: dict[str, Any] = {}
    for section, (key, _, _) in SECTIONS.items():
        models = tuple(entry_models(section).values())
        entry = Annotated[Union[models], Field(discriminator=key)]  # type: ignore[valid-type]  # noqa: UP007
        fields[section] = (dict[Name, entry], copy(Config.model_fields[section]))
    return create_model("Config", __base__=described(Config), **fields)


def json_schema() -> dict[str, Any]:
    """The JSON schema that editors use; `per_dataset` takes the entry's keys, all of them optional."""
    schema = config_model().model_json_schema()
    for definition in schema["$defs"].values():
        properties = definition.get("properties", {})
        if "per_dataset" in properties:
            keys = {name: value for name, value in properties.items() if name not in ("per_dataset", "method")}
            properties["per_dataset"]["additionalProperties"] = {
                "type": "object",
                "properties": keys,
                "additionalProperties": False,
            }
    return {"$schema": "https://json-schema.org/draft/2020-12/schema"} | schema
