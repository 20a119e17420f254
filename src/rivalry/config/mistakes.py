"""What is wrong with single keys, in one line each."""

from __future__ import annotations

import difflib
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, get_type_hints

from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails
from typing_extensions import is_typeddict

from rivalry import registry
from rivalry.config.models import LISTS, SECTIONS, Threads, entry_models
from rivalry.config.resolving import config_model
from rivalry.errors import RivalryError, nearest, one_line
from rivalry.generative.keys import GeneratorKeys
from rivalry.parameters import fault_of, shown


class Mistakes(RivalryError):
    """Everything that is wrong with a configuration, one line each."""

    def __init__(self, lines: list[str]) -> None:
        self.lines = [one_line(line) for line in lines]
        super().__init__("\n".join(self.lines))


def key_mistakes(content: Mapping[str, Any]) -> Iterator[str]:
    """Every key, name and value that is wrong by itself."""
    halves = list(_half_characters(content))
    if halves:
        yield from halves
        return
    try:
        config_model().model_validate(content)
    except ValidationError as error:
        yield from explained(error)
    known = content.get("datasets")
    datasets = known if isinstance(known, dict) else None
    for section, (key, _, _) in SECTIONS.items():
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


def _half_characters(value: object, path: str = "") -> Iterator[str]:
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
                yield from explained(error, f"{path}.", model, only=overrides)


def explained(
    error: ValidationError,
    prefix: str = "",
    model: type[BaseModel] | None = None,
    only: Mapping[str, Any] | None = None,
) -> Iterator[str]:
    """One line for each value that is wrong."""
    found: dict[tuple[int | str, ...], list[ErrorDetails]] = {}
    for details in error.errors(include_url=False):
        where = _without_members(details["loc"])
        if only is None or (where and where[0] in only):
            found.setdefault(where, []).append(details)
    within = {where[:length] for where in found for length in range(len(where))}
    for where, several in found.items():
        if where in within and all(details["loc"] != where for details in several):
            continue  # it is of a kind of which a part is wrong, so that it is no surprise that it is of no other
        yield _explain(min(several, key=_far_off), prefix, model)


def _far_off(details: ErrorDetails) -> bool:
    """Whether a value that may be of several kinds is told for another than what it looks like: words, or a list."""
    if isinstance(details["input"], str):
        return details["type"] != "literal_error"
    return isinstance(details["input"], list) and details["type"] not in ("too_short", "too_long")


def _without_members(where: Sequence[int | str]) -> tuple[int | str, ...]:
    """A path without pydantic's own names for the kinds that a value may be of."""
    kept = tuple(part for part in where if not (isinstance(part, str) and part.startswith("list[")))
    return kept[:-1] if _is_member(kept) else kept


def _is_member(where: Sequence[object]) -> bool:
    """Whether a path ends with pydantic's own name for one of the kinds that a value may be of."""
    if len(where) < 2 or where[-2] == "per_dataset" or not isinstance(where[-1], str):
        return False
    own = where[-1].startswith(("literal[", "constrained-")) or where[-1] in ("int", "str", "float")
    return own and not (len(where) == 2 and where[0] in SECTIONS)


def _explain(details: ErrorDetails, prefix: str = "", model: type[BaseModel] | None = None) -> str:
    """One line: key path, what was given, what would be right."""
    where, kind = tuple(details["loc"]), details["type"]
    if not prefix and len(where) > 2 and where[0] in SECTIONS:
        section = str(where[0])
        if where[-1] == "[key]":
            return (
                f"{section}.{where[1]}: is no valid name; "
                "use letters, digits, _ and -, starting with a letter or digit, at most 63"
            )
        model = entry_models(section).get(str(where[2]), model)
        where = where[:2] + where[3:]  # pydantic names the union's member; the file does not
    elif not prefix and len(where) > 2 and where[0] == "generators":
        model = GeneratorKeys
    elif not prefix and len(where) > 1 and where[0] in LISTS:
        model = LISTS[where[0]]
    elif not prefix and where[:1] == ("threads",) and len(where) > 1:
        model = Threads
    elif model is None:
        model = config_model()
    where = _without_members(where)
    path = prefix + "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in where).lstrip(".")
    if kind == "extra_forbidden":
        section, *_ = path.split(".")
        outer = where[:-1] if prefix else where[2:-1] if section in SECTIONS else []
        if not outer and section in SECTIONS and where[-1] in SECTIONS[section].entry.model_fields:
            return f"{path}: says how to train, and this network is trained already; leave this key out"
        return f"{path}: unknown key; {nearest_key(str(where[-1]), _keys(model, outer))}"
    if kind == "missing":
        return f"{path}: is missing{_purpose(model, str(where[-1]))}"
    if kind in ("union_tag_not_found", "union_tag_invalid"):
        section = str(details["loc"][0])
        key, method_kind, _ = SECTIONS[section]
        if kind == "union_tag_not_found":
            return f"{path}.{key}: is missing; one of {', '.join(registry.names(method_kind))}"
        wrong = str(details["ctx"]["tag"])
        return f"{path}.{key}: {shown(wrong)} is unknown; {nearest(wrong, registry.names(method_kind))}"
    return f"{path}: {fault_of(details)}"


def _keys(model: type[BaseModel] | None, outer: Sequence[str | int]) -> list[str]:
    """The keys of a model, or of the mapping that one of its keys holds."""
    if model is None:
        return []
    field = model.model_fields.get(str(outer[0])) if outer else None
    mapping = next((part for part in registry.parts(field.annotation) if is_typeddict(part)), None) if field else None
    return [*get_type_hints(mapping)] if mapping else [*model.model_fields]


def nearest_key(given: str, keys: list[str]) -> str:
    """A hint that ends an error line: the closest key, or all of them in their order."""
    close = difflib.get_close_matches(given, keys, n=1, cutoff=0.5)
    return f"did you mean '{close[0]}'?" if close else f"valid: {', '.join(keys)}"


def _purpose(model: type[BaseModel] | None, key: str) -> str:
    field = model.model_fields.get(key) if model else None
    if field is None or not field.description:
        return ""
    return f"; {field.description[0].lower()}{field.description[1:].rstrip('.')}"
