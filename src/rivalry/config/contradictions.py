"""What is wrong between entries that are right by themselves, one line each.

A contradiction is a function of a configuration that yields lines; a new one is one function in CONTRADICTIONS.
"""

from __future__ import annotations

import json
import os
from collections import Counter
from collections.abc import Iterable, Iterator
from itertools import product
from pathlib import Path
from typing import Any

from rivalry import registry
from rivalry.artifacts import read_json
from rivalry.config.mistakes import nearest_key
from rivalry.config.models import LISTS, SECTIONS, marked
from rivalry.config.resolving import Config
from rivalry.config.trainings import draws
from rivalry.data._files import expanded, is_system, mirrored
from rivalry.data._glance import exists
from rivalry.errors import RivalryError, nearest
from rivalry.external.spec import found
from rivalry.parameters import checked_value, shown
from rivalry.parameters import contradictions as parameter_contradictions
from rivalry.training._fitting import FITTING, FittingKeys
from rivalry.training._fitting import contradictions as fitting_contradictions
from rivalry.types import Reference, UserFile


def contradictions(config: Config) -> Iterator[str]:
    for contradiction in CONTRADICTIONS:
        yield from contradiction(config)


def unknown_names(config: Config) -> Iterator[str]:
    """Names that matches, transfers and entries use, and that nothing has."""
    for path, section, listed in _lists(config):
        known = list(config.section(section))
        for name in listed:
            if name not in known:
                yield f"{path}: '{name}' is not defined; {nearest(name, known)}"
    for section in SECTIONS:
        for dataset, name, _ in _entries(config, section):
            for key, target, named in config.references(section, name, dataset):
                known = list(config.section(target))
                if named not in known:
                    path = _path(config, section, name, dataset, key)
                    yield f"{path}: '{named}' is not in {target}; {nearest(named, known)}"


def names_listed_twice(config: Config) -> Iterator[str]:
    listed = [(path, names) for path, _, names in _lists(config)]
    for section in SECTIONS:
        for dataset, name, entry in _entries(config, section):
            for key, _ in marked(type(config.section(section)[name]), Reference):
                if isinstance(entry[key], list):
                    listed.append((_path(config, section, name, dataset, key), entry[key]))
    for path, names in listed:
        for twice in (one for one, count in Counter(names).items() if count > 1):
            yield f"{path}: '{twice}' is listed twice"


def parameters(config: Config) -> Iterator[str]:
    """What a method's own parameters say against each other."""
    for section in SECTIONS:
        for dataset, name, entry in _entries(config, section):
            for key, fault in parameter_contradictions(config.method(section, name), entry):
                yield f"{_path(config, section, name, dataset, key)}: {fault}"


def architecture_parameters(config: Config) -> Iterator[str]:
    for dataset, name, entry in _entries(config, "victims"):
        if config.method("victims", name).brings:
            continue
        known = registry.method("architectures", entry["architecture"]).parameters
        for key, value in entry["architecture_parameters"].items():
            path = _path(config, "victims", name, dataset, "architecture_parameters") + f".{key}"
            if key not in known:
                yield f"{path}: unknown key of {entry['architecture']}; {nearest_key(key, list(known))}"
                continue
            try:
                checked_value(key, known[key].annotation, value, path.removesuffix(key))
            except RivalryError as error:
                yield str(error)


def training(config: Config) -> Iterator[str]:
    """An architecture that its method cannot train; keys about epochs that say nothing together, or have none."""
    for dataset, name, entry in _entries(config, "victims"):
        if config.method("victims", name).brings:
            continue
        architecture, method = entry["architecture"], entry["method"]
        epochs = _in_epochs("training", method)
        if _in_epochs("architectures", architecture) != epochs:
            path = _path(config, "victims", name, dataset, "architecture")
            if epochs:
                others = [registry.method("training", other) for other in registry.names("training")]
                fit = [other.name for other in others if not (other.in_epochs or other.brings)]
                yield f"{path}: {method} cannot train {architecture}; use method {' or '.join(fit)}"
            else:
                fit = [other for other in registry.names("architectures") if not _in_epochs("architectures", other)]
                yield f"{path}: {method} cannot train {architecture}; it trains {', '.join(fit)}"
            continue
        faults: Iterable[tuple[str, str]]
        if epochs:
            keys = FittingKeys(**{key: entry[key] for key in FITTING})
            attacks = registry.method("training", method).traits.get("attacks", False)
            faults = fitting_contradictions(keys, attacks=attacks)
        else:
            given = [key for key in FITTING if config.is_given("victims", name, dataset, key)]
            faults = [(key, f"{method} trains without epochs; leave this key out") for key in given]
        for key, fault in faults:
            yield f"{_path(config, 'victims', name, dataset, key)}: {fault}"


def smoothed_for_sources(config: Config) -> Iterator[str]:
    """A victim that attacks images on others, by smoothed labels that one of them has no output for."""
    for dataset, name, entry in _entries(config, "victims"):
        if entry.get("label_smoothing") is None or not config.method("victims", name).traits.get("attacks", False):
            continue
        for key, section, other in config.references("victims", name, dataset):
            if section != "victims" or key == "warm_start" or other not in config.victims:
                continue
            if config.method("victims", other).refuses:
                path = _path(config, "victims", name, dataset, "label_smoothing")
                yield (
                    f"{path}: '{other}' in {key} may refuse an image, so that it has one output more than smoothed "
                    "labels have; leave this key out, or name another victim"
                )


def repeated_trainings(config: Config) -> Iterator[str]:
    """A victim that is to be trained several times, and would be the same each time."""
    for dataset, name, entry in _entries(config, "victims"):
        named = [other for _, section, other in config.references("victims", name, dataset) if section == "victims"]
        if (entry.get("seeds") or 1) > 1 and not named and not draws(config, name, dataset):
            path = _path(config, "victims", name, dataset, "seeds")
            yield f"{path}: {entry['architecture']} leaves nothing to chance here; leave this key out"


def brought_models(config: Config) -> Iterator[str]:
    """A network from outside that is not there, and what its kind does not take."""
    for dataset, name, entry in _entries(config, "victims"):
        if not config.method("victims", name).brings:
            continue
        files = {key: path for key, _, path in config.user_files("victims", name, dataset)}
        for key, text in config.user_code("victims", name, dataset):
            if key in files and not exists(files[key]):
                continue  # which `files` tells
            try:
                spec = found(text)
            except RivalryError as error:
                yield f"{_path(config, 'victims', name, dataset, key)}: {error}"
                continue
            for other in ("weights", "arguments") if spec.stored else ():
                if entry.get(other):
                    path = _path(config, "victims", name, dataset, other)
                    yield f"{path}: {shown(text)} is a file that has its own; leave this key out"
            weights, path = entry.get("weights"), _path(config, "victims", name, dataset, "weights")
            if spec.of_library and not weights:
                yield f"{path}: is missing; DEFAULT, or another name of published weights, or a file"
            elif weights and "weights" not in files and not spec.of_library and not spec.stored:
                yield f"{path}: {shown(weights)} is no file; only networks of torchvision and timm have weights by name"


def attacked_images(config: Config) -> Iterator[str]:
    for dataset, name, entry in _entries(config, "attacks"):
        most = config.images_of(dataset)
        if (entry["images"] or 0) > most:
            path = _path(config, "attacks", name, dataset, "images")
            yield f"{path}: {entry['images']} is more than datasets.{dataset}.images, {most}"


def attacks_to_learn_from(config: Config) -> Iterator[str]:
    """A defense or victim learns from examples that an attack makes one by one, whatever they are taken for."""
    entries = [(section, *entry[:2]) for section in ("defenses", "victims") for entry in _entries(config, section)]
    for learner, dataset, name in entries:
        for key, section, named in config.references(learner, name, dataset):
            if section == "attacks" and named in config.attacks:
                traits = config.method("attacks", named).traits
                if "untargeted" not in traits["goals"] or traits.get("fitted"):
                    yield (
                        f"{_path(config, learner, name, dataset, key)}: '{named}' cannot make examples to learn "
                        "from; use an untargeted attack that makes them one by one"
                    )


def files(config: Config) -> Iterator[str]:
    """Paths that lead nowhere."""
    for section in SECTIONS:
        for dataset, name, _ in _entries(config, section):
            for key, _, path in config.user_files(section, name, dataset):
                if not exists(path):
                    outer, dot, inner = key.partition(".")
                    yield f"{_path(config, section, name, dataset, outer)}{dot}{inner}: {shown(path)} does not exist"


def data(config: Config) -> Iterator[str]:
    """Images and classes that a data set lacks."""
    for _, name, entry in _entries(config, "datasets"):
        if not all(exists(path) for _, _, path in config.user_files("datasets", name, name)):
            continue
        about = config.about(name)
        if about.fault is not None:
            yield f"datasets.{name}.{about.key}: {about.fault}"
        if about.classes is not None and about.classes < 2:
            yield f"datasets.{name}: has {about.classes} class; a classifier needs at least 2"
        if about.test_images is not None and about.test_images < (about.classes or 0):
            yield (
                f"datasets.{name}: has {about.test_images} test images of {about.classes} classes; "
                "every class needs one in both splits"
            )
        given = "images" in config.datasets[name].model_fields_set
        if given and about.test_images is not None and entry["images"] > about.test_images:
            yield f"datasets.{name}.images: {entry['images']} is more than its {about.test_images} test images"
        kept = entry["train_images"]
        if kept is not None and about.train_images is not None and kept > about.train_images:
            yield f"datasets.{name}.train_images: {kept} is more than its {about.train_images} training images"
        if kept is not None and about.classes is not None and kept < about.classes:
            yield f"datasets.{name}.train_images: {kept} is less than one of each of its {about.classes} classes"


def small_images(config: Config) -> Iterator[str]:
    """What needs larger images than the data set's: a network, a trigger, a window, a margin."""
    for section, dataset, name in sorted(_met(config)):
        side, entry = config.about(dataset).side, config.entry(section, name, dataset)
        for key, needs, least in _least_sides(config, section, name, dataset):
            if side is not None and side < least:
                yield (
                    f"{_path(config, section, name, dataset, key)}: {needs} needs images of at least "
                    f"{least}x{least} pixels; those of {dataset} are {side} wide or high"
                )
        for key in ("crop", "cutout"):
            length = (entry.get("augmentation") or {}).get(key, 0)
            if side is not None and length >= side:
                yield (
                    f"{_path(config, section, name, dataset, 'augmentation')}.{key}: {length} is as much as a whole "
                    f"image; those of {dataset} are {side} pixels wide or high"
                )


def _least_sides(config: Config, section: str, name: str, dataset: str) -> Iterator[tuple[str, str, int]]:
    """The keys of an entry that make demands on the size of images: the key, what demands, and the shorter side."""
    entry = config.entry(section, name, dataset)
    for key, method in config.methods(section, name, dataset):
        if method.kind == "sources":
            continue  # their `side` is that of their images
        least = method.traits.get("side", 1)
        if isinstance(least, int):
            yield key, method.name, least
        else:
            yield from ((own, str(entry[own]), sides.get(entry[own], 1)) for own, sides in least.items())


def folders(config: Config) -> Iterator[str]:
    """Folders that a run cannot write into."""
    for key, mark in marked(type(config), UserFile):
        path = getattr(config, key)
        if not mark.written or path is None:
            continue
        folder = Path(path)
        if {*"{}"} & {*path} or not path.isprintable():
            yield f"{key}: {shown(path)} has a brace or a character that cannot be printed; name it otherwise"
        elif Path.cwd().is_relative_to(os.path.abspath(folder)):
            yield f"{key}: {shown(path)} holds the folder in which the run works; name a folder of its own"
        elif folder.exists() and not folder.is_dir():
            yield f"{key}: {shown(path)} is a file; name a folder"
        for name in config.datasets:
            for own, _, data in config.user_files("datasets", name, name):
                # What a run writes would be read as images, and would be a change of the data, by the next one.
                inner = os.path.relpath(folder, data) if os.path.isdir(data) else ".."
                if not is_system(inner) or inner == ".":
                    yield (
                        f"{key}: {shown(path)} lies in the folder of datasets.{name}.{own}, {shown(data)}; name a "
                        "folder outside of it, or give the images a folder of their own"
                    )
    if config.prepared == config.results:
        yield f"prepared: {shown(config.prepared)} is also the folder of results; name another, or leave this key out"


def shared_data(config: Config) -> Iterator[str]:
    """A data set in a folder that runs share, which is another one than this configuration's of the same name."""
    layout = config.layout
    for name in config.datasets if config.prepared is not None else ():
        try:
            found = read_json(layout.data(name).facts)
        except RivalryError:
            continue  # not there, or damaged, which the run notices
        source, parameters = config.parameters("datasets", name, name)
        kept = config.datasets[name].train_images
        made = {"source": source, "parameters": parameters, "train_images": kept, "seed": config.data_seed(name)}
        for key, own in made.items():
            if found.get(key) != json.loads(json.dumps(own)):
                what = f"other {key}" if key.endswith("s") else f"another {key}"
                folder = layout.data(name).folder
                yield (
                    f"datasets.{name}: {folder} was prepared with {what}, and other runs may use it; "
                    f"choose another name, or delete that folder"
                )
                break


def mirror(config: Config) -> Iterator[str]:
    """A mirror that is no folder, or lacks a file of a data set."""
    where = config.data_mirror
    if not where or "://" in where:
        return
    if not (exists(where) and expanded(where).is_dir()):
        yield f"data_mirror: {shown(where)} is no folder; give a folder, a URL, or leave it out to download"
        return
    for name in config.datasets:
        for alternatives in mirrored(config.method("datasets", name).traits):
            if not any(exists(str(expanded(where) / file)) for file in alternatives):
                yield (
                    f"datasets.{name}.source: data_mirror {shown(where)} lacks {' or '.join(alternatives)}; "
                    "add it, or leave data_mirror out to download"
                )


def circles(config: Config) -> Iterator[str]:
    """Entries that wait for each other."""
    for section in SECTIONS:
        for dataset, name, _ in _entries(config, section):
            circle = _circle(config, dataset, [(section, name)])
            for key, target, named in config.references(section, name, dataset):
                if circle[1:2] == [(target, named)]:
                    names = " -> ".join(name for _, name in circle)
                    path = _path(config, section, name, dataset, key)
                    yield f"{path}: goes in a circle: {names}; one must be trained before the other"


def temperatures(config: Config) -> Iterator[str]:
    """A teacher that was trained at another temperature than its student."""
    for dataset, name, entry in _entries(config, "victims"):
        for key, section, teacher in config.references("victims", name, dataset):
            own = key in config.method("victims", name).parameters and "temperature" in entry
            if section != "victims" or teacher not in {*config.victims} - {name} or not own:
                continue
            taught = config.entry("victims", teacher, dataset).get("temperature")
            if taught not in (None, entry["temperature"]):
                yield (
                    f"{_path(config, 'victims', name, dataset, key)}: '{teacher}' is trained at temperature "
                    f"{taught:g}; a teacher needs its student's, {entry['temperature']:g}"
                )


WITHOUT_WEIGHTS = ("dropout",)
"""Parameters of architectures on which no weight depends."""


def warm_starts(config: Config) -> Iterator[str]:
    """Weights to begin with that do not fit."""
    for dataset, name, entry in _entries(config, "victims"):
        first = entry.get("warm_start")
        if first is None and config.method("victims", name).traits.get("starts"):
            yield f"victims.{name}.warm_start: is missing; {entry['method']} goes on with a trained victim"
        if first not in {*config.victims} - {name}:
            continue
        path = _path(config, "victims", name, dataset, "warm_start")
        other, wanted = config.entry("victims", first, dataset), entry["architecture"]
        if not _in_epochs("training", entry["method"]):
            yield f"{path}: {entry['method']} begins with no weights; leave this key out"
        elif other.get("architecture") != wanted:
            found = other.get("architecture", "a network from outside")
            yield f"{path}: '{first}' is {found}; its weights fit {wanted} only if it is one, too"
        elif config.method("victims", first).refuses != config.method("victims", name).refuses:
            refusing, other_one = (name, first) if config.method("victims", name).refuses else (first, name)
            yield (
                f"{path}: '{refusing}' may refuse an image, for which its network has one output more than that of "
                f"'{other_one}'; name another victim"
            )
        else:
            known = registry.method("architectures", wanted).defaults
            one, two = (known | given["architecture_parameters"] for given in (entry, other))
            for key in (key for key in one if key not in WITHOUT_WEIGHTS and one[key] != two.get(key)):
                yield f"{path}: '{first}' has {key} {two.get(key)}, and this victim {one[key]}; make them the same"


def targets(config: Config) -> Iterator[str]:
    """A target that the data set, the method or the poisoning does not allow."""
    met = _met(config)
    for section in ("attacks", "poisonings"):
        for dataset, name, entry in _entries(config, section):
            target, path = entry.get("target"), _path(config, section, name, dataset, "target")
            classes = config.about(dataset).classes if (section, dataset, name) in met else None
            if isinstance(target, int) and classes is not None and target >= classes:
                source = config.method("datasets", dataset).name
                yield f"{path}: {target} is no class of {dataset} ({source}); its classes are 0 to {classes - 1}"
            if section == "attacks":
                fault = _unfit_target(config, dataset, name, target)
                yield from [f"{path}: {fault}"] if fault else []


def _unfit_target(config: Config, dataset: str, attack: str, target: int | str | None) -> str:
    method = config.method("attacks", attack)
    goals, own = method.traits["goals"], method.traits.get("target")
    if any(section == "poisonings" for _, section, _ in config.references("attacks", attack, dataset)):
        return "" if target is None else "the trigger's target is its poisoning's; leave this key out"
    if target is not None and "targeted" not in goals:
        return f"{method.name} has no targeted form; leave this key out"
    if own is not None:
        return "" if target in (None, own) else f"{method.name} has a target of its own ({own}); leave this key out"
    if isinstance(target, str) and method.traits.get("fitted"):
        return f"{method.name} makes one thing for all images and needs one target: a class number"
    if target is None and "untargeted" not in goals:
        return f"is missing; {method.name} needs a class number, next, random or least_likely"
    return ""


def attacks_without_gradients(config: Config) -> Iterator[str]:
    """A victim that no attack of its match can be run on."""
    for number, match in enumerate(config.matches):
        for victim in match.victims:
            met = [(attack, dataset) for attack in match.attacks for dataset in match.datasets]
            known = (
                victim in config.victims
                and {*match.attacks} <= {*config.attacks}
                and {*match.datasets} <= {*config.datasets}
            )
            if known and all(config.follows_nothing(attack, victim, dataset) for attack, dataset in met):
                yield (
                    f"matches[{number}].attacks: all follow gradients, and those of '{victim}' are zero; "
                    "add one that needs only scores or decisions, or leave the victim out"
                )


def sources_without_gradients(config: Config) -> Iterator[str]:
    """Victims on which a training method makes images by their gradients, and which have none."""
    for dataset, name, entry in _entries(config, "victims"):
        for source in entry.get("sources", ()) if config.method("victims", name).traits.get("attacks") else ():
            if source in config.victims and not config.differentiable(source, dataset):
                path = _path(config, "victims", name, dataset, "sources")
                yield f"{path}: '{source}' has no gradients to attack it by; leave it out"


def defenses_without_gradients(config: Config) -> Iterator[str]:
    """A defense that learns from an attack which follows gradients, around a victim that has none."""
    for number, match in enumerate(config.matches):
        for defense, victim, dataset in product(match.defenses, match.victims, match.datasets):
            if defense not in config.defenses or victim not in config.victims or dataset not in config.datasets:
                continue
            for _, section, attack in config.references("defenses", defense, dataset):
                known = section == "attacks" and attack in config.attacks
                if known and config.follows_nothing(attack, victim, dataset):
                    yield (
                        f"matches[{number}].defenses: '{defense}' learns from '{attack}', which follows gradients, and "
                        f"those of '{victim}' are zero; leave '{victim}' out"
                    )


def harder_by_nothing(config: Config) -> Iterator[str]:
    """A clean-label poisoning whose variant needs what its entry does not name."""
    needed = {"adversarial": ("proxy", "a victim"), "gan": ("generator", "a generator")}
    for dataset, name, entry in _entries(config, "poisonings"):
        if config.method("poisonings", name).name == "clean_label" and entry["variant"] in needed:
            key, what = needed[entry["variant"]]
            if entry[key] is None:
                path = _path(config, "poisonings", name, dataset, key)
                yield f"{path}: is missing; the {entry['variant']} variant makes images harder by {what}: name one"


def judges(config: Config) -> Iterator[str]:
    """A filter whose judge learned from poisoned images."""
    for dataset, name, entry in _entries(config, "filters"):
        judge = entry.get("judge")
        if judge in config.victims and config.entry("victims", judge, dataset).get("poisoning"):
            path = _path(config, "filters", name, dataset, "judge")
            yield f"{path}: '{judge}' learned from poisoned images; name a victim of clean data"


def removed_backdoors(config: Config) -> Iterator[str]:
    """A defense that removes backdoors, around a victim that it cannot retrain."""
    for number, match in enumerate(config.matches):
        for defense in match.defenses:
            if defense not in config.defenses or not config.method("defenses", defense).traits.get("backdoors"):
                continue
            for victim in match.victims:
                if victim not in config.victims:
                    continue
                path, method = f"matches[{number}].defenses: '{defense}'", config.method("victims", victim)
                if method.brings:
                    yield f"{path} retrains its victim, and '{victim}' is {method.name}; leave '{victim}' out"
                elif not method.in_epochs:
                    yield f"{path} retrains its victim in epochs, which {method.name} does not; leave '{victim}' out"


def defenses_of_refusing_victims(config: Config) -> Iterator[str]:
    """A defense that needs a victim's classes, around a victim that may also refuse."""
    for number, match in enumerate(config.matches):
        for defense, victim in product(match.defenses, match.victims):
            if defense not in config.defenses or victim not in config.victims:
                continue
            kind = config.method("defenses", defense).traits["kind"]
            if config.method("victims", victim).refuses and kind != "preprocessor":
                yield (
                    f"matches[{number}].defenses: '{defense}' cannot stand around '{victim}', which may refuse an "
                    "image by itself; only preprocessors can"
                )


def chains(config: Config) -> Iterator[str]:
    """A chain of other defenses than preprocessors."""
    for dataset, name, _ in _entries(config, "defenses"):
        for key, section, step in config.references("defenses", name, dataset):
            if section == "defenses" and step in config.defenses:
                kind = config.method("defenses", step).traits["kind"]
                if kind != "preprocessor":
                    path = _path(config, "defenses", name, dataset, key)
                    yield f"{path}: '{step}' is a {kind}; a chain is of preprocessors"


CONTRADICTIONS = (
    *(unknown_names, names_listed_twice, parameters, architecture_parameters, training),
    *(smoothed_for_sources, repeated_trainings, brought_models),
    *(
        attacked_images,
        attacks_to_learn_from,
        folders,
        shared_data,
        files,
        data,
        small_images,
        mirror,
        circles,
        temperatures,
        warm_starts,
    ),
    *(targets, attacks_without_gradients, sources_without_gradients, defenses_without_gradients),
    *(removed_backdoors, judges, harder_by_nothing, defenses_of_refusing_victims, chains),
)


def _lists(config: Config) -> Iterator[tuple[str, str, list[str]]]:
    """Every list of names in matches and transfers: its path, the section that its names are from, the names."""
    for part in LISTS:
        for number, item in enumerate(getattr(config, part)):
            for key in (
                "datasets",
                "sources",
                "victims",
                "attacks",
                "defenses",
                "filters",
                "targeted_poisonings",
                "fooling",
            ):
                if hasattr(item, key):
                    yield f"{part}[{number}].{key}", "victims" if key == "sources" else key, getattr(item, key)


def _entries(config: Config, section: str) -> Iterator[tuple[str, str, dict[str, Any]]]:
    """Every entry of a section as it is on every data set: data set, name, keys."""
    for name in config.section(section):
        for dataset in [name] if section == "datasets" else config.datasets:
            yield dataset, name, config.entry(section, name, dataset)


def _met(config: Config) -> set[tuple[str, str, str]]:
    """(section, data set, name) of what matches and transfers lead to on a data set; names that exist."""
    named = [
        (section, dataset, name)
        for part in LISTS
        for item in getattr(config, part)
        for dataset in item.datasets
        for key in ("sources", "victims", "attacks", "defenses", "filters", "targeted_poisonings", "fooling")
        for section in ["victims" if key == "sources" else key]
        for name in getattr(item, key, [])
        if dataset in config.datasets
    ]
    return config.reached(named)


def _circle(config: Config, dataset: str, chain: list[tuple[str, str]]) -> list[tuple[str, str]]:
    """A way from an entry to one that it names that begins like `chain` and comes back to where it was; else empty."""
    for _, section, name in config.references(*chain[-1], dataset):
        if name in config.section(section):
            longer = [*chain, (section, name)]
            if found := longer if longer[-1] in chain else _circle(config, dataset, longer):
                return found
    return []


def _in_epochs(kind: str, name: str) -> bool:
    return registry.method(kind, name).in_epochs


def _path(config: Config, section: str, name: str, dataset: str, key: str) -> str:
    """Where a key's value stands in the file."""
    overrides = getattr(config.section(section)[name], "per_dataset", {})
    inner = f".per_dataset.{dataset}" if key in overrides.get(dataset, {}) else ""
    return f"{section}.{name}{inner}.{key}"
