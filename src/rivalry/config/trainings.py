"""What is trained, whatever it is called: the seed of a training follows from it."""

from __future__ import annotations

import json
from typing import Any

from rivalry import registry
from rivalry.config.models import files_of_architecture, marked
from rivalry.config.resolving import Config
from rivalry.seeds import derive_seed
from rivalry.types import UserFile

APART = {"datasets": {"images"}, "attacks": {"images", "target"}}
"""Keys of entries that change nothing about what is trained with them."""


def training_seed(config: Config, dataset: str, *entries: tuple[str, str]) -> int:
    """The seed of a training: of a victim, of a poisoned training set, or of a defense around its victim.

    It follows from the configuration's seed and from what these entries say (`content`), not from their names: an entry
    that is renamed is trained as before, and two that say the same are trained alike.

    Parameters
    ----------
    config : Config
    dataset : str
    *entries : (section, name)
    """
    told = [content(config, section, name, dataset) for section, name in (("datasets", dataset), *entries)]
    return derive_seed(config.seed, "training", json.dumps(told, sort_keys=True))


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
    for key, target, named in config.references(section, name, dataset):
        if key in said:
            said[key] = content(config, target, named, dataset)
    return said
