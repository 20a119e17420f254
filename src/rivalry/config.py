"""The configuration: what it may say, and what is wrong with one that says something else.

The models here are the one source of truth. A method's own keys come from its signature (`rivalry.registry`);
the JSON schema for editors (workflow/schemas) is generated from the models, and every mistake becomes one line.
"""

from __future__ import annotations

import difflib
import math
from collections.abc import Iterator, Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Annotated, Any, Literal, Union

import yaml
from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    StringConstraints,
    ValidationError,
    WithJsonSchema,
    create_model,
)

from rivalry import registry
from rivalry.data._files import expanded
from rivalry.data._glance import Known, exists, glance
from rivalry.errors import RivalryError, nearest, one_line
from rivalry.parameters import checked_value, contradictions, fault_of, shown
from rivalry.types import (
    BatchSize,
    Count,
    Epochs,
    Flag,
    Fraction,
    LearningRate,
    Natural,
    NonNegative,
    OpenFraction,
    ThreadCount,
)

Name = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9][A-Za-z0-9_-]{0,62}$")]
"""Names become folders: letters, digits, _ and - on every file system; + joins a victim and its defense."""

MOST_VALUES = 100_000
"""Values that a configuration may hold; a few lines of YAML can stand for billions."""
MOST_BUDGETS = 100
"""Budgets of one attack: each is a set of images of its own."""

PARAMETERS_ARE = "config/README.md lists every key; `rivalry describe NAME` explains a method's own"


def _listed(value: Any) -> Any:
    return value if isinstance(value, list) else [value]


Budgets = Annotated[
    list[NonNegative],
    BeforeValidator(_listed),
    Field(min_length=1, max_length=MOST_BUDGETS),
    WithJsonSchema(
        {
            "anyOf": [
                {"type": "number", "minimum": 0},
                {
                    "type": "array",
                    "items": {"type": "number", "minimum": 0},
                    "minItems": 1,
                    "maxItems": MOST_BUDGETS,
                },
            ]
        }
    ),
]
"""One eps or several."""


class Strict(BaseModel):
    """A section in which every key is known; text is not taken for numbers."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True, use_attribute_docstrings=True)


class Entry(Strict):
    """A named method with its parameters, some of them different on some data sets."""

    per_dataset: dict[str, dict[str, Any]] = {}
    """Keys that differ on a data set: its name, then the keys."""


class DatasetEntry(Strict):
    images: Count = 500
    """Test images on which attacks and defenses are evaluated, at most; the same ones for all of them."""


class PoisoningEntry(Entry):
    pass


class VictimEntry(Entry):
    architecture: Literal[tuple(registry.names("architectures"))]  # type: ignore[valid-type]
    """The network."""
    architecture_parameters: dict[str, Any] = {}
    """Its own parameters."""
    poisoning: str | None = None
    """The poisoning of its training data."""
    epochs: Epochs = 10
    """Most passes over the training images."""
    batch_size: BatchSize = 128
    """Images per step."""
    learning_rate: LearningRate = 0.001
    """The optimizer's."""
    optimizer: Literal["adam", "sgd"] = "adam"
    """sgd has momentum 0.9."""
    patience: Epochs = 5
    """Epochs without a better validation loss after which training stops."""
    validation_fraction: OpenFraction = 0.1
    """Share of the training images held out to choose the best epoch."""


FITTING = ("epochs", "batch_size", "learning_rate", "optimizer", "patience", "validation_fraction")
"""Keys of a victim that say how it is trained in epochs."""


class AttackEntry(Entry):
    images: Count | None = None
    """Test images to attack, for slow attacks; the data set's `images` when left out."""
    target: Natural | Literal["next", "random", "least_likely"] | None = None
    """For a targeted attack: a class number, next (label + 1), random, or least_likely."""


class DefenseEntry(Entry):
    pass


class FoolingEntry(Entry):
    confidence: Fraction = 0.99
    """The victim's probability of a class from which on it is fooled by an image of nothing."""


class Match(Strict):
    """Who meets whom: every combination of what is listed."""

    datasets: Annotated[list[str], Field(min_length=1)]
    """Names from `datasets`."""
    victims: Annotated[list[str], Field(min_length=1)]
    """Names from `victims`."""
    attacks: Annotated[list[str], Field(min_length=1)]
    """Names from `attacks`."""
    defenses: list[str] = []
    """Names from `defenses`; without a defense the victims stand alone."""
    settings: Annotated[list[Literal["oblivious", "adaptive"]], Field(min_length=1)] = ["oblivious", "adaptive"]
    """Whether attacks on a defended victim know of the defense."""
    fooling: list[str] = []
    """Names from `fooling`: images of nothing, made for the victims without a defense."""


class Transfer(Strict):
    """Whose adversarial images are replayed on whom: every combination of what is listed, and each on its source."""

    datasets: Annotated[list[str], Field(min_length=1)]
    """Names from `datasets`."""
    sources: Annotated[list[str], Field(min_length=1)]
    """Names from `victims`: those that the images are crafted on."""
    victims: Annotated[list[str], Field(min_length=1)]
    """Names from `victims`: those that are shown the images."""
    attacks: Annotated[list[str], Field(min_length=1)]
    """Names from `attacks`; one that needs gradients is left out on a source that has none."""


class Threads(Strict):
    """Processor threads per job. Fixed here, so that results do not depend on --cores."""

    train: ThreadCount = 1
    """Training a victim or fitting a defense."""
    attack: ThreadCount = 1
    """Attacking and evaluating."""


class _Config(Strict):
    title: str = "Adversarial rivalry"
    """The report's title."""
    seed: Natural = 0
    """Every random number comes from it."""
    confidence: OpenFraction = 0.95
    """Of all intervals."""
    data_mirror: str | None = None
    """Folder or URL that holds the data sets' files; the environment's RIVALRY_DATA_MIRROR when left out."""
    accelerator: Literal["auto", "cpu", "gpu"] = "auto"
    """Where to compute."""
    batch_size: BatchSize = 64
    """Images attacked at once; bounds the memory."""
    record_times: Flag = True
    """Whether tables hold run times, the only numbers that differ between two runs."""
    threads: Threads = Threads()


DISCRIMINATORS: dict[str, tuple[str, str, type[Strict]]] = {
    "datasets": ("source", "sources", DatasetEntry),
    "poisonings": ("method", "poisonings", PoisoningEntry),
    "victims": ("method", "training", VictimEntry),
    "attacks": ("method", "attacks", AttackEntry),
    "defenses": ("method", "defenses", DefenseEntry),
    "fooling": ("method", "fooling", FoolingEntry),
}
"""Section -> the key that names an entry's method, the kind of method, what every entry of the section has."""


LISTS: dict[str, type[Strict]] = {"matches": Match, "transfers": Transfer}
"""Sections that are lists, and what their items are."""


@cache
def entry_models(section: str) -> dict[str, type[Strict]]:
    """The model of an entry of `section`, by the method it names."""
    key, kind, base = DISCRIMINATORS[section]
    models: dict[str, type[Strict]] = {}
    for name in registry.names(kind):
        method = registry.method(kind, name)
        fields: dict[str, Any] = {key: (Literal[name], Field(description=method.summary))}
        for parameter in method.parameters.values():
            annotation = parameter.annotation
            if section == "attacks" and parameter.name == "eps":
                annotation = Budgets
            default = ... if parameter.required else parameter.default
            fields[parameter.name] = (annotation, Field(default, description=parameter.doc, validate_default=True))
        models[name] = create_model(f"{section}_{name}", __base__=base, **fields)
    return models


@cache
def config_model() -> type[_Config]:
    """The model of a whole configuration."""
    fields: dict[str, Any] = {}
    for section, (key, _, _) in DISCRIMINATORS.items():
        models = tuple(entry_models(section).values())
        entry = Annotated[Union[models], Field(discriminator=key)]  # type: ignore[valid-type]  # noqa: UP007
        optional = section in ("poisonings", "defenses", "fooling")
        fields[section] = (dict[Name, entry], Field({}) if optional else Field(min_length=1))
    fields["matches"] = (list[Match], Field(min_length=1))
    fields["transfers"] = (list[Transfer], [])
    return create_model("Config", __base__=_Config, **fields)


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


class Mistakes(RivalryError):
    """Everything that is wrong with a configuration, one line each."""

    def __init__(self, lines: list[str]) -> None:
        self.lines = [one_line(line) for line in lines]
        super().__init__("\n".join(self.lines))


class _Loader(yaml.SafeLoader):
    """YAML whose keys are text, each defined once; plain loaders drop the first of two and take `no` for false."""

    def construct_scalar(self, node: Any) -> str:
        """The text; two halves that JSON writes for one character are that character."""
        text = str(super().construct_scalar(node))
        try:
            return text.encode("utf-16", "surrogatepass").decode("utf-16")
        except UnicodeDecodeError:
            return text  # one half, which `load_config` refuses


def _mapping_of_names(loader: _Loader, node: yaml.MappingNode) -> dict[Any, Any]:
    seen: set[str] = set()
    for key_node, _ in node.value:
        if key_node.tag == "tag:yaml.org,2002:merge":  # <<: *anchor, which names no key
            continue
        fault = ""
        if not isinstance(key_node, yaml.ScalarNode):
            fault = "a list or mapping is no key; keys are words"
        elif not isinstance(loader.construct_object(key_node), str):
            fault = f"'{key_node.value}' is {_yaml_kind(key_node.tag)} to YAML; write \"{key_node.value}\""
        elif key_node.value in seen:
            fault = f"'{key_node.value}' is defined twice; names must differ"
        if fault:
            raise yaml.constructor.ConstructorError(None, None, fault, key_node.start_mark)
        seen.add(key_node.value)
    return loader.construct_mapping(node, deep=True)


def _yaml_kind(tag: str) -> str:
    kinds = {"bool": "a truth value", "int": "a number", "float": "a number", "timestamp": "a date", "null": "nothing"}
    return kinds.get(tag.rpartition(":")[2], "no text")


_Loader.add_constructor(yaml.resolver.BaseResolver.DEFAULT_MAPPING_TAG, _mapping_of_names)


def read_yaml(path: str | Path) -> dict[str, Any]:
    """A YAML file's mapping.

    Raises
    ------
    Mistakes
        No such file, not YAML, a key that is no text or is defined twice, or no mapping; one line.
    """
    try:
        with open(path, encoding="utf-8-sig") as file:
            content = yaml.load(file, _Loader)  # a SafeLoader
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark
        line = f"{mark.line + 1}:" if mark else ""
        problem = str(error.problem)
        if "'\\t'" in problem:
            problem = "a tab stands where YAML wants spaces"
        raise Mistakes([f"{path}:{line} {problem}"]) from error
    except UnicodeDecodeError as error:
        raise Mistakes([f"{path}: is not UTF-8 text; save it as UTF-8"]) from error
    except RecursionError as error:
        raise Mistakes([f"{path}: is nested too deeply; {PARAMETERS_ARE}"]) from error
    except (OSError, ValueError, yaml.YAMLError) as error:
        raise Mistakes([f"{path}: {getattr(error, 'strerror', None) or str(error).splitlines()[0]}"]) from error
    if not isinstance(content, dict):
        raise Mistakes([f"{path}: is no configuration; {PARAMETERS_ARE}"])
    if _is_larger(content, MOST_VALUES):
        raise Mistakes([f"{path}: holds over {MOST_VALUES:,} values once what * refers to is written out"])
    return content


def _is_larger(content: Any, most: int) -> bool:
    """Whether lists and mappings hold more values than `most`; those that hold themselves do."""
    waiting, count = [content], 0
    while waiting and count <= most:
        value = waiting.pop()
        if isinstance(value, dict | list):
            count += len(value)
            waiting += value.values() if isinstance(value, dict) else value
    return count > most


def load_config(content: Mapping[str, Any], file: str | Path = "config.yaml") -> Config:
    """Check a configuration.

    Parameters
    ----------
    content : mapping
        What the YAML said.
    file : path
        Where it was said, for messages.

    Raises
    ------
    Mistakes
        One line for each mistake.
    """
    lines = [f"{file}: {line}" for line in dict.fromkeys(_mistakes(content))]
    if lines:
        raise Mistakes(lines)
    return Config(config_model().model_validate(content))


def check_machine(config: Config, file: str | Path) -> None:
    """Refuse to compute on a GPU where there is none.

    Raises
    ------
    Mistakes
        PyTorch, which is imported only to ask this, sees no GPU.
    """
    if config.accelerator != "gpu":
        return
    try:
        from rivalry.devices import device
    except ImportError:
        return  # the jobs have an environment of their own
    try:
        device("gpu")
    except RivalryError as error:
        raise Mistakes([f"{file}: {error}"]) from error


def _mistakes(content: Mapping[str, Any]) -> Iterator[str]:
    """First what is wrong with single keys; only when nothing is, what is wrong between entries."""
    found = False
    for line in _key_mistakes(content):
        found = True
        yield line
    if not found:
        yield from Config(config_model().model_validate(content)).contradictions()


def _key_mistakes(content: Mapping[str, Any]) -> Iterator[str]:
    halves = list(_half_characters(content))
    if halves:
        yield from halves
        return
    try:
        config_model().model_validate(content)
    except ValidationError as error:
        yield from _explained(error)
    known = content.get("datasets")
    datasets = known if isinstance(known, dict) else None
    for section, (key, _, _) in DISCRIMINATORS.items():
        entries = content.get(section)
        if not isinstance(entries, dict):
            continue
        folded: dict[str, str] = {}
        for name, entry in entries.items():
            if other := folded.setdefault(str(name).lower(), str(name)) != str(name):
                yield f"{section}.{name}: differs from another name only in case, and some file systems ignore case"
            if not isinstance(entry, dict) or not isinstance(entry.get("per_dataset"), dict) or other:
                continue
            if datasets:  # else they are what is wrong
                yield from _override_mistakes(section, key, name, entry, datasets)


def _half_characters(value: Any, path: str = "") -> Iterator[str]:
    """Text with one half of a pair that stands for one character: no file can hold it."""
    if isinstance(value, str) and any("\ud800" <= letter <= "\udfff" for letter in value):
        yield f"{path.lstrip('.')}: {shown(value)} holds half a character; write the whole character, or leave it out"
    elif isinstance(value, dict):
        for key, item in value.items():
            yield from _half_characters(str(key), f"{path}.{ascii(key)[1:-1] if isinstance(key, str) else key}")
            yield from _half_characters(item, f"{path}.{key}")
    elif isinstance(value, list):
        for number, item in enumerate(value):
            yield from _half_characters(item, f"{path}[{number}]")


def _override_mistakes(
    section: str, key: str, name: str, entry: dict[str, Any], datasets: Mapping[str, Any]
) -> Iterator[str]:
    base = {k: v for k, v in entry.items() if k != "per_dataset"}
    model = entry_models(section).get(str(entry.get(key)))
    for dataset, overrides in entry["per_dataset"].items():
        path = f"{section}.{name}.per_dataset.{dataset}"
        if dataset not in datasets:
            yield f"{path}: no such data set; {nearest(str(dataset), list(map(str, datasets)))}"
        elif isinstance(overrides, dict) and model is not None:
            fixed = [own for own in (key, "per_dataset") if own in overrides]
            if fixed:
                yield f"{path}.{fixed[0]}: cannot differ between data sets; make it an entry of its own"
                continue
            try:
                model.model_validate(base | overrides)
            except ValidationError as error:
                yield from _explained(error, f"{path}.", model, only=overrides)


def _explained(
    error: ValidationError,
    prefix: str = "",
    model: type[BaseModel] | None = None,
    only: Mapping[str, Any] | None = None,
) -> Iterator[str]:
    """One line for each value that is wrong."""
    found: dict[tuple[Any, ...], list[Any]] = {}
    for details in error.errors(include_url=False):
        where = details["loc"]
        if only is None or (where and where[0] in only):
            found.setdefault(where[:-1] if _is_member(where) else where, []).append(details)
    for several in found.values():
        # A value that may be of several kinds is told for each; words are compared with words.
        several.sort(key=lambda details: isinstance(details["input"], str) and details["type"] != "literal_error")
        yield _explain(several[0], prefix, model)


def _is_member(where: Sequence[Any]) -> bool:
    """Whether a path ends with pydantic's own name for one of the kinds that a value may be of."""
    if len(where) < 2 or where[-2] == "per_dataset" or not isinstance(where[-1], str):
        return False
    own = where[-1].startswith(("literal[", "constrained-")) or where[-1] in ("int", "str", "float")
    return own and not (len(where) == 2 and where[0] in DISCRIMINATORS)


def _explain(details: Any, prefix: str = "", model: type[BaseModel] | None = None) -> str:
    """One line: key path, what was given, what would be right."""
    where, kind = list(details["loc"]), details["type"]
    if not prefix and len(where) > 2 and where[0] in DISCRIMINATORS:
        section = str(where[0])
        if where[-1] == "[key]":
            return (
                f"{section}.{where[1]}: is no valid name; "
                "use letters, digits, _ and -, starting with a letter or digit, at most 63"
            )
        model = entry_models(section).get(str(where[2]), model)
        where = where[:2] + where[3:]  # pydantic names the union's member; the file does not
    elif not prefix and len(where) > 1 and where[0] in LISTS:
        model = LISTS[where[0]]
    elif not prefix and where[:1] == ["threads"] and len(where) > 1:
        model = Threads
    elif model is None:
        model = config_model()
    if _is_member(where):
        where = where[:-1]
    path = prefix + "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in where).lstrip(".")
    if kind == "extra_forbidden":
        keys = [*(model.model_fields if model else [])]
        return f"{path}: unknown key; {_nearest_key(str(where[-1]), keys)}"
    if kind == "missing":
        return f"{path}: is missing{_purpose(model, str(where[-1]))}"
    if kind in ("union_tag_not_found", "union_tag_invalid"):
        section = str(details["loc"][0])
        key, method_kind, _ = DISCRIMINATORS[section]
        if kind == "union_tag_not_found":
            return f"{path}.{key}: is missing; one of {', '.join(registry.names(method_kind))}"
        wrong = str(details["ctx"]["tag"])
        return f"{path}.{key}: {shown(wrong)} is unknown; {nearest(wrong, registry.names(method_kind))}"
    return f"{path}: {fault_of(details)}"


def _nearest_key(given: str, keys: list[str]) -> str:
    close = difflib.get_close_matches(given, keys, n=1, cutoff=0.5)
    return f"did you mean '{close[0]}'?" if close else f"valid: {', '.join(keys)}"


def _purpose(model: type[BaseModel] | None, key: str) -> str:
    field = model.model_fields.get(key) if model else None
    if field is None or not field.description:
        return ""
    return f"; {field.description[0].lower()}{field.description[1:].rstrip('.')}"


def _in_epochs(kind: str, name: str) -> bool:
    """Whether an architecture is trained in epochs, or a training method trains in them."""
    return bool(registry.method(kind, name).traits.get("epochs", True))


class Config:
    """A configuration whose keys are right, resolved per data set."""

    def __init__(self, model: Any) -> None:
        self.model = model
        self.matches: list[Match] = model.matches
        self.transfers: list[Transfer] = model.transfers
        self._known: dict[str, Known] = {}

    def __getattr__(self, name: str) -> Any:
        return getattr(self.model, name)

    def entry(self, section: str, name: str, dataset: str) -> dict[str, Any]:
        """An entry's keys as they are on a data set, defaults included."""
        entry = getattr(self.model, section)[name]
        given = entry.model_dump(exclude_unset=True, exclude={"per_dataset"})
        overrides = getattr(entry, "per_dataset", {}).get(dataset, {})
        return type(entry).model_validate(given | overrides).model_dump(exclude={"per_dataset"})

    def parameters(self, section: str, name: str, dataset: str) -> tuple[str, dict[str, Any]]:
        """The method an entry names and the parameters that are the method's own."""
        key, kind, _ = DISCRIMINATORS[section]
        entry = self.entry(section, name, dataset)
        method = registry.method(kind, entry[key])
        return method.name, {parameter: entry[parameter] for parameter in method.parameters}

    def images(self, attack: str, dataset: str) -> int:
        """How many test images an attack is given."""
        return self.entry("attacks", attack, dataset)["images"] or self.images_of(dataset)

    def follows_nothing(self, attack: str, victim: str, dataset: str) -> bool:
        """Whether the attack needs gradients where the victim's are zero everywhere."""
        architecture = self.entry("victims", victim, dataset)["architecture"]
        blind = not registry.method("architectures", architecture).traits.get("gradients", True)
        return blind and registry.method("attacks", self.attacks[attack].method).traits["sees"] == "gradients"

    def images_of(self, dataset: str) -> int:
        """How many test images a data set's attacks and defenses meet: never more than it is known to have."""
        asked: int = self.datasets[dataset].images
        available = self.about(dataset).test_images
        return asked if available is None else min(asked, available)

    def recorded(self) -> dict[str, Any]:
        """The configuration with all defaults; of `images`, how many are used."""
        content: dict[str, Any] = self.model.model_dump()
        for dataset, entry in content["datasets"].items():
            entry["images"] = self.images_of(dataset)
        return content

    def about(self, dataset: str) -> Known:
        """What is known of a data set before it is prepared."""
        if dataset not in self._known:
            entry = self.datasets[dataset]
            traits = registry.method("sources", entry.source).traits
            if hasattr(entry, "path"):
                self._known[dataset] = glance(entry.path, entry.size)
            else:
                total, share = traits.get("images"), getattr(entry, "test_fraction", None)
                test_images = math.ceil(total * share) if total and share else getattr(entry, "n_test", None)
                self._known[dataset] = Known(
                    classes=traits.get("classes"),
                    test_images=traits.get("test_images", test_images),
                    side=traits.get("side"),
                )
        return self._known[dataset]

    def target(self, attack: str, dataset: str) -> int | str | None:
        """The target that an attack is configured with, or its method's own rule; None for an untargeted one."""
        entry = self.entry("attacks", attack, dataset)
        own: str | None = registry.method("attacks", entry["method"]).traits.get("target")
        return own if entry["target"] is None else entry["target"]

    def contradictions(self) -> Iterator[str]:
        """What is wrong between entries that are right by themselves, one line each."""
        yield from self._unknown_names()
        yield from self._unfit_parameters()
        yield from self._unfit_teachers()
        yield from self._unfit_targets()
        yield from self._unfit_matches()

    def _unknown_names(self) -> Iterator[str]:
        for path, section, listed in self._lists():
            known = list(getattr(self.model, section))
            for name in listed:
                if name not in known:
                    yield f"{path}: '{name}' is not defined; {nearest(name, known)}"
        for section, dataset, name, entry in self._entries():
            kind = DISCRIMINATORS[section][1]
            method = registry.method(kind, entry[DISCRIMINATORS[section][0]])
            references = {p.name: p.reference for p in method.parameters.values() if p.reference}
            if section == "victims" and entry["poisoning"] is not None:
                references["poisoning"] = "poisonings"
            for key, target in references.items():
                known = list(getattr(self.model, target))
                if entry[key] not in known:
                    path = self._path(section, name, dataset, key)
                    yield f"{path}: '{entry[key]}' is not in {target}; {nearest(str(entry[key]), known)}"

    def _unfit_parameters(self) -> Iterator[str]:
        for section, dataset, name, entry in self._entries():
            if section == "victims":
                yield from self._unfit_architecture(dataset, name, entry)
                yield from self._unfit_training(dataset, name, entry)
            discriminator, kind, _ = DISCRIMINATORS[section]
            for key, fault in contradictions(registry.method(kind, entry[discriminator]), entry):
                yield f"{self._path(section, name, dataset, key)}: {fault}"
            if section == "attacks":
                most = self.images_of(dataset)
                if (entry["images"] or 0) > most:
                    path = self._path(section, name, dataset, "images")
                    yield f"{path}: {entry['images']} is more than datasets.{dataset}.images, {most}"
            if section == "defenses" and "attack" in entry and entry["attack"] in self.attacks:
                traits = registry.method("attacks", self.attacks[entry["attack"]].method).traits
                if "untargeted" not in traits["goals"] or traits.get("fitted"):
                    path = self._path(section, name, dataset, "attack")
                    yield (
                        f"{path}: '{entry['attack']}' cannot make examples to learn from; "
                        "use an untargeted attack that makes them one by one"
                    )
            if section == "datasets":
                yield from self._unfit_data(name, entry)
        mirror = self.data_mirror
        if mirror and "://" not in mirror and not (exists(mirror) and expanded(mirror).is_dir()):
            yield f"data_mirror: {shown(mirror)} is no folder; give a folder, a URL, or leave it out to download"

    def _unfit_data(self, name: str, entry: dict[str, Any]) -> Iterator[str]:
        """A path that leads nowhere; images, classes and pixels that the data set lacks."""
        if "path" in entry and not exists(entry["path"]):
            yield f"datasets.{name}.path: {shown(entry['path'])} does not exist"
            return
        about = self.about(name)
        if about.fault is not None:
            yield f"datasets.{name}.path: {about.fault}"
        if about.classes is not None and about.classes < 2:
            yield f"datasets.{name}: has {about.classes} class; a classifier needs at least 2"
        if about.test_images is not None and about.test_images < (about.classes or 0):
            yield (
                f"datasets.{name}: has {about.test_images} test images of {about.classes} classes; "
                "every class needs one in both splits"
            )
        given = "images" in self.datasets[name].model_fields_set
        if given and about.test_images is not None and entry["images"] > about.test_images:
            yield f"datasets.{name}.images: {entry['images']} is more than its {about.test_images} test images"
        for section, dataset, user in sorted(self._met()):
            entry = self.entry(section, user, dataset) if dataset == name and section != "attacks" else {}
            if about.side is None or "architecture" not in entry or entry["architecture"] is None:
                continue
            least = registry.method("architectures", entry["architecture"]).traits.get("side", 1)
            if about.side < least:
                path = self._path(section, user, dataset, "architecture")
                yield (
                    f"{path}: {entry['architecture']} needs images of at least {least}x{least} pixels; those of "
                    f"{name} are {about.side} wide or high"
                )

    def _met(self) -> set[tuple[str, str, str]]:
        """(section, data set, name) of what matches and transfers name for a data set; names that exist."""
        met = {
            (section, dataset, name)
            for part in LISTS
            for item in getattr(self.model, part)
            for dataset in item.datasets
            for key in ("sources", "victims", "attacks", "defenses", "fooling")
            for section in ["victims" if key == "sources" else key]
            for name in getattr(item, key, [])
            if dataset in self.datasets and name in getattr(self.model, section)
        }
        for section, dataset, name in sorted(met):
            poisoning = self.entry(section, name, dataset).get("poisoning")
            if poisoning in self.poisonings:
                met.add(("poisonings", dataset, poisoning))
        return met

    def _unfit_architecture(self, dataset: str, name: str, entry: dict[str, Any]) -> Iterator[str]:
        known = registry.method("architectures", entry["architecture"]).parameters
        for key, value in entry["architecture_parameters"].items():
            path = self._path("victims", name, dataset, "architecture_parameters") + f".{key}"
            if key not in known:
                yield f"{path}: unknown key of {entry['architecture']}; {_nearest_key(key, list(known))}"
                continue
            try:
                checked_value(key, known[key].annotation, value, path.removesuffix(key))
            except RivalryError as error:
                yield str(error)

    def _unfit_training(self, dataset: str, name: str, entry: dict[str, Any]) -> Iterator[str]:
        """An architecture that its method cannot train; keys about epochs where there are none."""
        architecture, method = entry["architecture"], entry["method"]
        epochs = _in_epochs("training", method)
        if _in_epochs("architectures", architecture) != epochs:
            path = self._path("victims", name, dataset, "architecture")
            if epochs:
                fit = [other for other in registry.names("training") if not _in_epochs("training", other)]
                yield f"{path}: {method} cannot train {architecture}; use method {' or '.join(fit)}"
            else:
                fit = [other for other in registry.names("architectures") if not _in_epochs("architectures", other)]
                yield f"{path}: {method} cannot train {architecture}; it trains {', '.join(fit)}"
        elif not epochs:
            given = self.victims[name]
            for key in FITTING:
                if key in given.model_fields_set or key in given.per_dataset.get(dataset, {}):
                    path = self._path("victims", name, dataset, key)
                    yield f"{path}: {method} trains without epochs; leave this key out"

    def _unfit_teachers(self) -> Iterator[str]:
        for section, dataset, name, entry in self._entries():
            if section != "victims" or "teacher" not in entry:
                continue
            chain = [name]
            while (teacher := self.entry("victims", chain[-1], dataset).get("teacher")) in self.victims:
                chain.append(str(teacher))
                if teacher in chain[:-1]:
                    break
            path = self._path(section, name, dataset, "teacher")
            if chain[-1] in chain[:-1]:
                yield f"{path}: goes in a circle: {' -> '.join(chain)}; a teacher must be trained before its student"
            elif len(chain) > 1:
                taught = self.entry("victims", chain[1], dataset).get("temperature")
                if taught is not None and taught != entry["temperature"]:
                    yield (
                        f"{path}: '{chain[1]}' is trained at temperature {taught:g}; "
                        f"a teacher needs its student's, {entry['temperature']:g}"
                    )

    def _unfit_targets(self) -> Iterator[str]:
        met = self._met()
        for section, dataset, name, entry in self._entries():
            if section not in ("attacks", "poisonings"):
                continue
            target, path = entry.get("target"), self._path(section, name, dataset, "target")
            source = self.datasets[dataset].source
            classes = self.about(dataset).classes if (section, dataset, name) in met else None
            if isinstance(target, int) and classes is not None and target >= classes:
                yield f"{path}: {target} is no class of {dataset} ({source}); its classes are 0 to {classes - 1}"
            if section == "poisonings":
                continue
            method = registry.method("attacks", entry["method"])
            if "poisoning" in method.parameters:
                if target is not None:
                    yield f"{path}: the trigger's target is its poisoning's; leave this key out"
            elif target is not None and "targeted" not in method.traits["goals"]:
                yield f"{path}: {method.name} has no targeted form; leave this key out"
            elif (own := method.traits.get("target")) is not None:
                if target not in (None, own):
                    yield f"{path}: {method.name} has a target of its own ({own}); leave this key out"
            elif isinstance(target, str) and method.traits.get("fitted"):
                yield f"{path}: {method.name} makes one thing for all images and needs one target: a class number"
            elif target is None and "untargeted" not in method.traits["goals"]:
                yield f"{path}: is missing; {method.name} needs a class number, next, random or least_likely"

    def _unfit_matches(self) -> Iterator[str]:
        for path, _, listed in self._lists():
            for name in {n for n in listed if listed.count(n) > 1}:
                yield f"{path}: '{name}' is listed twice"
        for number, match in enumerate(self.matches):
            for victim in match.victims:
                met = [(attack, dataset) for attack in match.attacks for dataset in match.datasets]
                known = (
                    victim in self.victims
                    and {*match.attacks} <= {*self.attacks}
                    and {*match.datasets} <= {*self.datasets}
                )
                if known and all(self.follows_nothing(attack, victim, dataset) for attack, dataset in met):
                    yield (
                        f"matches[{number}].attacks: all follow gradients, and those of '{victim}' are zero; "
                        "add one that needs only scores or decisions, or leave the victim out"
                    )
            for defense in match.defenses:
                if defense not in self.defenses or self.defenses[defense].method != "neural_cleanse":
                    continue
                for victim in match.victims:
                    poisoned = victim not in self.victims or self.victims[victim].poisoning is not None
                    if not poisoned:
                        yield (
                            f"matches[{number}].defenses: '{defense}' removes backdoors, "
                            f"but victim '{victim}' has no poisoning; name a poisoned victim"
                        )
                    elif victim in self.victims and not _in_epochs("training", self.victims[victim].method):
                        yield (
                            f"matches[{number}].defenses: '{defense}' retrains its victim in epochs, "
                            f"which {self.victims[victim].method} does not; leave '{victim}' out"
                        )

    def _lists(self) -> Iterator[tuple[str, str, list[str]]]:
        """Every list of names in matches and transfers: its path, the section that its names are from, the names."""
        for part in LISTS:
            for number, item in enumerate(getattr(self.model, part)):
                for key in ("datasets", "sources", "victims", "attacks", "defenses", "fooling"):
                    if hasattr(item, key):
                        section = "victims" if key == "sources" else key
                        yield f"{part}[{number}].{key}", section, getattr(item, key)

    def _entries(self) -> Iterator[tuple[str, str, str, dict[str, Any]]]:
        """Every entry as it is on every data set: section, data set, name, keys."""
        for name, entry in self.datasets.items():
            yield "datasets", name, name, entry.model_dump()
        for section in ("poisonings", "victims", "attacks", "defenses", "fooling"):
            for name in getattr(self.model, section):
                for dataset in self.datasets:
                    yield section, dataset, name, self.entry(section, name, dataset)

    def _path(self, section: str, name: str, dataset: str, key: str) -> str:
        """Where a key's value stands in the file."""
        overrides = getattr(getattr(self.model, section)[name], "per_dataset", {})
        inner = f".per_dataset.{dataset}" if key in overrides.get(dataset, {}) else ""
        return f"{section}.{name}{inner}.{key}"
