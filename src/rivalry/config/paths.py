"""Users' paths in a configuration: which keys hold one, and where it leads from the folder in which a run works."""

from __future__ import annotations

import os
import string
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from rivalry.config.mistakes import Mistakes
from rivalry.config.models import SECTIONS, entry_models, files_of_architecture, marked
from rivalry.config.resolving import config_model
from rivalry.data._files import expanded
from rivalry.errors import RivalryError
from rivalry.types import UserFile
from rivalry.usercode import packaged_file

Place = tuple[str, ...]
"""The keys that lead to a value."""


def from_here(content: Mapping[str, Any], folder: Path, whole: Mapping[str, Any], said_in: str) -> dict[str, Any]:
    """A copy of a configuration, or of a part of one, whose paths hold from the working directory.

    They are relative where they lead to something below it, so that a folder that is moved is still the same; others
    are absolute.

    Parameters
    ----------
    content : mapping
        What one file says, or the command line.
    folder : Path
        What its relative paths are relative to, but for those of folders that a run writes.
    whole : mapping
        What all files say together: it tells of which methods the entries are, and so which keys hold paths.
    said_in : str
        Who says it, for messages.

    Raises
    ------
    Mistakes
        One line for each path that names a variable or a home that there is not.
    """
    copied: dict[str, Any] = _copied(content)
    mistakes = []
    for place, mark in _user_files(whole):
        holder: Any = copied
        for key in place[:-1]:
            holder = holder.get(key) if isinstance(holder, dict) else None
        if not isinstance(holder, dict) or place[-1] not in holder:
            continue
        given = holder[place[-1]]
        try:
            if isinstance(given, list):
                holder[place[-1]] = [_from_here(one, mark, folder) for one in given]
            else:
                holder[place[-1]] = _from_here(given, mark, folder)
        except RivalryError as error:
            mistakes.append(f"{said_in}: {'.'.join(place)}: {error}")
    if mistakes:
        raise Mistakes(mistakes)
    return copied


def _copied(value: Any) -> Any:
    """A copy in which nothing stands twice, as what * refers to does in YAML."""
    if isinstance(value, dict):
        return {key: _copied(item) for key, item in value.items()}
    return [_copied(item) for item in value] if isinstance(value, list) else value


def _user_files(content: Mapping[str, Any]) -> Iterator[tuple[Place, UserFile]]:
    """Every place that may hold a user's path, whatever else is wrong with the content."""
    yield from (((key,), mark) for key, mark in marked(config_model(), UserFile))
    for section, (key, _, _) in SECTIONS.items():
        for name, entry in _mapping(content.get(section)).items():
            model = entry_models(section).get(str(_mapping(entry).get(key)))
            if model is None:
                continue
            overrides = _mapping(entry.get("per_dataset"))
            for where, keys in [((), entry), *((("per_dataset", one), _mapping(overrides[one])) for one in overrides)]:
                yield from (((section, name, *where, own), mark) for own, mark in marked(model, UserFile))
                network = keys.get("architecture", entry.get("architecture"))
                for own, mark in files_of_architecture(network):
                    yield (section, name, *where, "architecture_parameters", own), mark


def _mapping(value: object) -> Mapping[str, Any]:
    return value if isinstance(value, dict) else {}


def _from_here(value: Any, mark: UserFile, folder: Path) -> Any:
    if not isinstance(value, str):
        return value  # told with the other mistakes
    if not value.strip():
        raise RivalryError("is empty; name a file or folder, or leave this key out")
    path, behind = mark.split(value)
    folder = Path() if mark.written else folder
    if not path:
        return value
    try:
        path = string.Template(path).substitute(os.environ)
    except KeyError as error:
        raise RivalryError(f"${error.args[0]} is not set; set it, or write $$ for a $ in a name") from error
    except ValueError as error:
        raise RivalryError(f"'{value}' has a $ before no variable's name; write $$ for a $ in a name") from error
    whole = packaged_file(path) or Path(os.path.abspath(folder.resolve() / expanded(path)))
    here = Path.cwd()
    return f"{whole.relative_to(here) if whole.is_relative_to(here) else whole}{behind}"


def overlaid(contents: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Several contents in one: mappings are joined, and of anything else that is said twice the last counts."""
    joined: dict[str, Any] = {}
    for content in contents:
        for key, value in content.items():
            before = joined.get(key)
            joined[key] = overlaid([before, value]) if isinstance(before, dict) and isinstance(value, dict) else value
    return joined
