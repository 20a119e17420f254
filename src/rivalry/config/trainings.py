"""What is trained, whatever it is called, and how often: the seeds of trainings follow from it."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

from rivalry import registry
from rivalry.config.models import files_of_architecture, marked
from rivalry.config.resolving import Config
from rivalry.layout import training
from rivalry.seeds import derive_seed
from rivalry.types import UserFile

APART = {
    "datasets": {"images"},
    "attacks": {"images", "target"},
    "victims": {"seeds"},
    "fooling": {"confidence"},
    "filters": {"false_alarms"},
}
"""Keys of entries that change nothing about what is trained with them."""


def leaves_to_chance(config: Config, victim: str, dataset: str) -> bool:
    """Whether another seed gives another victim, by its own training or that of a victim that it names."""
    named = [name for _, target, name in config.references("victims", victim, dataset) if target == "victims"]
    return draws(config, victim, dataset) or any(leaves_to_chance(config, name, dataset) for name in named)


def draws(config: Config, victim: str, dataset: str) -> bool:
    """Whether a victim's own training draws random numbers that matter."""
    if config.method("victims", victim).brings:
        return False
    entry = config.entry("victims", victim, dataset)
    network = registry.method("architectures", entry["architecture"])
    chance = network.traits.get("chance", True)
    if not isinstance(chance, str):
        return bool(chance)
    images = config.entry("datasets", dataset, dataset)["train_images"] or config.about(dataset).train_images
    drawn = (network.defaults | entry["architecture_parameters"])[chance]
    return images is None or bool(drawn < images)


def seeds_of(config: Config, victim: str, dataset: str) -> Sequence[int]:
    """The numbers of a victim's trainings: 1, 2, ...; only 1 where nothing is left to chance."""
    if not leaves_to_chance(config, victim, dataset):
        return [1]
    return range(1, 1 + (config.entry("victims", victim, dataset)["seeds"] or config.seeds))


def beside(config: Config, victim: str, seed: int, dataset: str) -> str:
    """The training of a victim that belongs to another victim's training of this number.

    The one of the same number. Where its entry says that it is trained less often, they take turns: 1, 2, 1, 2, ...
    """
    if not leaves_to_chance(config, victim, dataset):
        return training(victim, 1)
    own = config.entry("victims", victim, dataset)["seeds"] if victim in config.victims else None
    return training(victim, seed if own is None else 1 + (seed - 1) % own)


def training_seed(config: Config, dataset: str, *entries: tuple[str, str], seed: int = 1) -> int:
    """The seed of a training: of a victim, of a generator, of a poisoned training set, or of a defense.

    It follows from the configuration's seed and from what these entries say (`content`), not from their names: an entry
    that is renamed is trained as before, and two that say the same are trained alike.

    Parameters
    ----------
    config : Config
    dataset : str
    *entries : (section, name)
    seed : int
        Which of several trainings. The first is the same whether or not there are others.
    """
    told = [content(config, section, name, dataset) for section, name in (("datasets", dataset), *entries)]
    number = [] if seed == 1 else [str(seed)]
    return derive_seed(config.seed, "training", json.dumps(told, sort_keys=True), *number)


def content(config: Config, section: str, name: str, dataset: str) -> dict[str, Any]:
    """What an entry says on a data set beyond the defaults, and what the entries say that it names.

    Without names, and without the paths of users' files, which may be moved. A key that a later version adds changes
    nothing as long as nobody uses it.
    """
    said = config.entry(section, name, dataset, defaults=False)
    model = type(config.section(section)[name])
    left_out = APART.get(section, set()) | {key for key, _ in marked(model, UserFile)}
    said = {key: value for key, value in said.items() if key not in left_out}
    architecture = said.get("architecture")
    if architecture is not None:
        usual = registry.method("architectures", architecture).defaults
        files = {key for key, _ in files_of_architecture(architecture)}
        given = said.pop("architecture_parameters", {}).items()
        said["architecture"] = [
            architecture,
            {key: value for key, value in given if key not in files and value != usual.get(key)},
        ]
    contents: dict[str, list[dict[str, Any]]] = {}
    for key, target, named in config.references(section, name, dataset):
        contents.setdefault(key, []).append(content(config, target, named, dataset))
    for key in contents.keys() & said.keys():
        said[key] = contents[key] if isinstance(said[key], list) else contents[key][0]
    return said
