"""The sections of a configuration: what an entry may say.

The models here are the one source of truth. A method's own keys come from its signature (`rivalry.registry`).
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import cache, lru_cache
from types import new_class
from typing import Annotated, Any, Literal, NamedTuple, TypeVar

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, StringConstraints, WithJsonSchema, create_model

from rivalry import registry
from rivalry.training._fitting import FittingKeys
from rivalry.types import (
    Count,
    Fraction,
    MethodOf,
    Natural,
    NonNegative,
    OpenFraction,
    Reference,
    Strict,
    ThreadCount,
    UserFile,
)

Name = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9][A-Za-z0-9_-]{0,62}$")]
"""Names become folders: letters, digits, _ and - on every file system; + joins a victim and its defense."""

MOST_BUDGETS = 100
"""Budgets of one attack: each is a set of images of its own."""


def _listed(value: object) -> object:
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


class Entry(Strict):
    """A named method with its parameters, some of them different on some data sets."""

    per_dataset: dict[str, dict[str, Any]] = Field({})
    """Keys that differ on a data set: its name, then the keys."""


Seeds = Annotated[int, Field(ge=1, le=20)]


class DatasetEntry(Strict):
    images: Count = 500
    """Test images on which attacks and defenses are evaluated, at most; the same ones for all of them."""
    train_images: Count | None = None
    """Training images to keep, at most, for a quick trial: of each class its share, the same ones whatever the seed."""


class VictimEntry(FittingKeys, Entry):
    architecture: Annotated[str, MethodOf("architectures")]
    """The network."""
    architecture_parameters: dict[str, Any] = Field({})
    """Its own parameters."""
    poisoning: Annotated[str | None, Reference("poisonings")] = None
    """The poisoning of its training data."""
    seeds: Seeds | None = None
    """Times it is trained, each with a seed of its own; the configuration's `seeds` when left out, and as often as
    victims are trained that name it."""
    warm_start: Annotated[str | None, Reference("victims")] = None
    """The victim, of the same architecture, whose weights it begins with; `learning_rate` is its own."""


class AttackEntry(Entry):
    images: Count | None = None
    """Test images to attack, for slow attacks; the data set's `images` when left out."""
    target: Natural | Literal["next", "random", "least_likely"] | None = None
    """For a targeted attack: a class number, next (label + 1), random, or least_likely."""


class FoolingEntry(Entry):
    confidence: Fraction = 0.99
    """An image fools the victim when the victim gives its class at least this probability."""


class FilterEntry(Entry):
    false_alarms: OpenFraction = 0.05
    """Share of the clean training images whose flagging is put up with; so many poisoned ones are found then."""


class Match(Strict):
    """Who meets whom: every combination of what is listed."""

    datasets: Annotated[list[str], Field(min_length=1)]
    """Names from `datasets`."""
    victims: Annotated[list[str], Field(min_length=1)]
    """Names from `victims`."""
    attacks: Annotated[list[str], Field(min_length=1)]
    """Names from `attacks`."""
    defenses: list[str] = Field([])
    """Names from `defenses`; without a defense the victims stand alone."""
    settings: Annotated[list[Literal["oblivious", "adaptive"]], Field(min_length=1)] = Field(["oblivious", "adaptive"])
    """Whether attacks on a defended victim know of the defense."""
    filters: list[str] = Field([])
    """Names from `filters`: they look for poisoned images in what the victims without a defense learned from."""
    targeted_poisonings: list[str] = Field([])
    """Names from `targeted_poisonings`: they turn single test images of the victims without a defense."""
    fooling: list[str] = Field([])
    """Names from `fooling`: images that show no object, made for the victims without a defense."""


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


class Section(NamedTuple):
    """A section of named entries: the key that names an entry's method, its kind, what every entry has."""

    key: str
    kind: str
    entry: type[Strict]


SECTIONS = {
    "datasets": Section("source", "sources", DatasetEntry),
    "poisonings": Section("method", "poisonings", Entry),
    "victims": Section("method", "training", VictimEntry),
    "attacks": Section("method", "attacks", AttackEntry),
    "defenses": Section("method", "defenses", Entry),
    "filters": Section("method", "filters", FilterEntry),
    "targeted_poisonings": Section("method", "targeted_poisonings", Entry),
    "fooling": Section("method", "fooling", FoolingEntry),
}

LISTS: dict[str, type[Strict]] = {"matches": Match, "transfers": Transfer}
"""Sections that are lists, and what their items are."""


def entry_models(section: str) -> dict[str, type[Strict]]:
    """The model of an entry of `section`, by the method it names."""
    return _entry_models(section, registry.in_use())


@lru_cache(maxsize=64)
def _entry_models(section: str, plugins: registry.Plugins) -> dict[str, type[Strict]]:
    """The same, with the methods of these plugins, which are in use."""
    key, kind, base = SECTIONS[section]
    models: dict[str, type[Strict]] = {}
    chosen: dict[str, Any] = {}
    for named, mark in marked(base, MethodOf):
        one_of = Annotated[Literal[tuple(registry.names(mark.kind))], mark]  # type: ignore[valid-type]
        chosen[named] = (one_of, Field(description=base.model_fields[named].description))
    for name in registry.names(kind):
        method = registry.method(kind, name)
        # A network that comes from outside, trained already, has none of the keys that say how to train one.
        own = Entry if method.brings else base
        fields: dict[str, Any] = {key: (Annotated[Literal[name], MethodOf(kind)], Field(description=method.summary))}
        fields |= chosen if own is base else {}
        for parameter in method.parameters.values():
            annotation = parameter.annotation
            if section == "attacks" and parameter.name == "eps":
                annotation = Budgets
            default = ... if parameter.required else parameter.default
            fields[parameter.name] = (annotation, Field(default, description=parameter.doc, validate_default=True))
        models[name] = create_model(f"{section}_{name}", __base__=described(own), **fields)
    return models


Model = TypeVar("Model", bound=BaseModel)


@cache
def described(model: type[Model]) -> type[Model]:
    """A model to derive others from that have no source text, so that pydantic does not look for it."""
    settings = {"model_config": ConfigDict(use_attribute_docstrings=False)}
    return new_class(model.__name__, (model,), exec_body=lambda body: body.update(settings))


Mark = TypeVar("Mark")


def marked(model: type[BaseModel], kind: type[Mark]) -> Iterator[tuple[str, Mark]]:
    """The keys of a model whose annotations hold a mark of a kind of `rivalry.types`, each with its mark."""
    for key, field in model.model_fields.items():
        for mark in (*field.metadata, *registry.parts(field.annotation)):
            if isinstance(mark, kind):
                yield key, mark


def names_taken() -> Iterator[str]:
    """Parameters of the plugins in use that are called like a key which every entry has; one line each."""
    for section, (key, kind, base) in SECTIONS.items():
        for method in registry.in_use().methods.get(kind, {}).values():
            for name in sorted({key, *base.model_fields} & {*method.parameters}):
                what = f"{method.name}: {name} is a key of every entry of {section}"
                yield f"{method.file}: {what}; give the parameter another name"


def files_of_architecture(name: object) -> Iterator[tuple[str, UserFile]]:
    """The parameters of an architecture that hold users' paths; none where there is no such architecture."""
    if name in registry.names("architectures"):
        for parameter in registry.method("architectures", str(name)).parameters.values():
            if mark := parameter.mark(UserFile):
                yield parameter.name, mark
