"""From a file to a checked configuration."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml

from rivalry.config.attack_sets import written_out, wrong_sets
from rivalry.config.contradictions import contradictions
from rivalry.config.mistakes import Mistakes, key_mistakes
from rivalry.config.models import names_taken
from rivalry.config.paths import from_here, overlaid
from rivalry.config.resolving import Config, config_model
from rivalry.errors import RivalryError
from rivalry.usermethods import WrongPlugins, use_plugins

MOST_VALUES = 100_000
"""Values that a configuration may hold; a few lines of YAML can stand for billions."""
PARAMETERS_ARE = "config/README.md lists every key; `rivalry describe NAME` explains a method's own"


class _Loader(yaml.SafeLoader):
    """YAML whose keys are text, each defined once; plain loaders drop the first of two and take `no` for false."""

    def construct_scalar(self, node: yaml.ScalarNode | yaml.MappingNode) -> str:
        """The text; two halves that JSON writes for one character are that character."""
        text = str(super().construct_scalar(node))
        try:
            return text.encode("utf-16", "surrogatepass").decode("utf-16")
        except UnicodeDecodeError:
            return text  # one half, which `load_config` refuses


def _mapping_of_names(loader: _Loader, node: yaml.MappingNode) -> dict[object, object]:
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


def _is_larger(content: object, most: int) -> bool:
    """Whether lists and mappings hold more values than `most`; those that hold themselves do."""
    waiting, count = [content], 0
    while waiting and count <= most:
        value = waiting.pop()
        if isinstance(value, dict | list):
            count += len(value)
            waiting += value.values() if isinstance(value, dict) else value
    return count > most


def read_files(files: Sequence[str | Path], given: Mapping[str, Any] | None = None) -> dict[str, Any]:
    """What configuration files say together; of what several say, the last counts.

    Users' paths in it hold from the working directory. In a file they are relative to the file.

    Parameters
    ----------
    files : sequence of path
    given : mapping, optional
        What counts over all files, as Snakemake's `--config` does; its paths are relative to the working directory.

    Raises
    ------
    Mistakes
        A file cannot be read, or a path names a variable that is not set or a home that nobody has.
    """
    said = [(read_yaml(file), Path(file).parent, str(file)) for file in files]
    said.append((dict(given or {}), Path(), "--config"))
    whole = overlaid([content for content, _, _ in said])
    # Which keys hold paths, the methods tell; so those of plugins must be known first.
    told = [one for one in said if "plugins" in one[0]]
    content, folder, said_in = told[-1] if told else said[-1]
    _use_plugins(from_here({"plugins": content.get("plugins", [])}, folder, {}, said_in), said_in)
    return overlaid([from_here(content, folder, whole, said_in) for content, folder, said_in in said])


def _use_plugins(content: Mapping[str, Any], file: str | Path) -> None:
    """Have the methods of the plugins that a configuration names found, and of no others."""
    named = content.get("plugins", [])
    files = named if isinstance(named, list) and all(isinstance(path, str) for path in named) else []
    try:
        use_plugins(*files)
    except WrongPlugins as error:
        raise Mistakes([f"{file}: plugins: {line}" for line in error.lines]) from error
    if lines := list(names_taken()):
        raise Mistakes([f"{file}: plugins: {line}" for line in lines])


def load_config(content: Mapping[str, Any], file: str | Path = "config.yaml") -> Config:
    """Check a configuration. The plugins that it names are in use from then on, and no others.

    Parameters
    ----------
    content : mapping
        What the YAML said, its paths as `read_files` has them.
    file : path
        Where it was said, for messages.

    Raises
    ------
    Mistakes
        One line for each mistake.
    """
    _use_plugins(content, file)
    # Only when nothing is wrong with single keys, what is wrong between entries.
    lines = list(key_mistakes(content)) or list(wrong_sets(content))
    if not lines:
        config = config_model().model_validate(written_out(content))
        lines = list(contradictions(config))
    if lines:
        raise Mistakes([f"{file}: {line}" for line in dict.fromkeys(lines)])
    return config


def check_machine(config: Config, file: str | Path) -> None:
    """Refuse to compute on a GPU where there is none.

    Raises
    ------
    Mistakes
        PyTorch, which is imported only to ask this, sees no GPU.
    """
    halves = [
        (f"victims.{name}.precision", entry["precision"])
        for dataset in config.datasets
        for name in config.victims
        if (entry := config.entry("victims", name, dataset)).get("precision", 32) != 32
    ]
    if config.accelerator != "gpu" and not halves:
        return
    try:
        from rivalry.devices import device
    except ImportError:
        return  # the jobs have an environment of their own
    try:
        found = device(config.accelerator).type
    except RivalryError as error:
        raise Mistakes([f"{file}: {error}"]) from error
    if found == "cpu":
        lines = [f"{file}: {path}: {precision} needs a GPU; use 32" for path, precision in halves]
        raise Mistakes(list(dict.fromkeys(lines)))
