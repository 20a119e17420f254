"""A method explained in text, from its source."""

from __future__ import annotations

import textwrap
from importlib import import_module
from types import UnionType
from typing import Annotated, Any, Literal, Union, get_args, get_origin, get_type_hints

from pydantic import TypeAdapter
from typing_extensions import is_typeddict

from rivalry.config import LISTS, SECTIONS, Match, Threads, Transfer, config_model, entry_models
from rivalry.data._files import mirrored
from rivalry.generative.keys import GeneratorKeys
from rivalry.references import cite
from rivalry.registry import Method, method, names, parts
from rivalry.types import Reference

GOALS = {"untargeted": "misclassification as anything", "targeted": "misclassification as one class"}
SIGHTS = {
    "nothing": "nothing of the victim",
    "decisions": "the victim's decisions",
    "scores": "the victim's scores",
    "gradients": "the victim's gradients (white box)",
}


def describe(method: Method) -> str:
    """What a method is, sees and minimises, its parameters with defaults and meaning, and its source."""
    doc = method.doc.split("\nParameters\n")[0].strip()
    place = f", in {method.file}" if method.file else ""
    lines = [f"{method.name} ({method.kind.rstrip('s')}{place})", "", *_paragraphs(doc)]
    traits = method.traits
    if "budget" in traits:
        verb = "minimises" if traits["budget"] == "minimal" else "bounds"
        norms = " or ".join(f"L{norm}" for norm in traits["norms"])
        lines += [
            "",
            f"goal: {' or '.join(GOALS[goal] for goal in traits['goals'])}",
            f"sees: {SIGHTS[traits['sees']]}",
            f"{verb}: the perturbation in {norms}",
        ]
    elif "sees" in traits:
        lines += ["", f"sees: {SIGHTS[traits['sees']]}"]
    elif "kind" in traits:
        lines += ["", f"kind: {traits['kind']}"]
    lines += ["", "parameters:" if method.parameters else "no parameters"]
    for parameter in method.parameters.values():
        default = "required" if parameter.required else f"default {_default(parameter.default)}"
        lines.append(f"  {parameter.name}: {type_in_words(parameter.annotation)}, {default}")
        lines += textwrap.wrap(parameter.doc, 90, initial_indent="      ", subsequent_indent="      ")
    if files := mirrored(traits):
        lines += ["", "files that a mirror holds:", *(f"  {' or '.join(alternatives)}" for alternatives in files)]
    if traits.get("source"):
        lines += ["", *textwrap.wrap(f"source: {cite(traits['source'])}", 96)]
    return "\n".join(lines) + "\n"


def room_for_editors(room: str) -> str:
    """What a package of methods shows, as lines that editors and type checkers read (`__init__.pyi`)."""
    files = import_module(f"rivalry.{room}").__files__
    shown = sorted((file, name) for name, file in files.items())
    lines = [f"from rivalry.{room}.{file} import {name} as {name}" for file, name in shown]
    lines = [line if len(line) <= 120 else line.replace("import ", "import (\n    ") + ",\n)" for line in lines]
    return "\n".join(["# Generated: make generated", *lines, ""])


def configuration_page() -> str:
    """Every key of the configuration as a Markdown page, from the models and the methods' signatures."""
    top = config_model().model_fields
    sections = [*SECTIONS, *LISTS, "threads", "generators"]
    lines = [
        "# Every key of a configuration",
        "",
        "This page is generated (`rivalry schema --page`). These configurations are complete examples:",
        "[config.yaml](../config.yaml), the default, which needs no download; [course.yaml](course.yaml), MNIST and",
        "CIFAR-10; [training.yaml](training.yaml), defenses at training time; [smoke.yaml](smoke.yaml), everything",
        "once and tiny; those in [seeds](seeds), the experiments of the source documents, one a file, whose reports",
        "set our numbers beside the printed ones. `rivalry validate FILE` checks one, `rivalry describe NAME`",
        "explains a method and names its source.",
        "",
        "Names are yours: letters, digits, `_` and `-`. Each entry of `datasets` names a `source`, each entry of",
        "the other sections a `method`; its parameters stand beside it. Under `per_dataset`, keys can differ on a",
        "data set.",
        "Pixels lie in [0,1], so 8/255 is 0.0314.",
        "",
        "Paths of your own files are relative to the configuration's file; those that Snakemake's `--config` sets, to",
        "the folder in which Snakemake runs. `~` and environment variables (`$NAME` or `${NAME}`) are expanded; write",
        "`$$` for a `$` in a name. `package:NAME/path/in/it` is a file of an installed package. A file that changed,",
        "by its size or time, reruns what used it.",
        "",
        "## Top level",
        "",
        *_table((key, field) for key, field in top.items() if key not in sections),
        "",
        "## threads",
        "",
        *_table(Threads.model_fields.items()),
        "",
        "## matches",
        "",
        "A list: who meets whom. Every combination of what an item lists is run.",
        "",
        *_table(Match.model_fields.items()),
        "",
        "## transfers",
        "",
        "An optional list: images crafted on one victim are replayed on others. Every combination of what an item",
        "lists is run, and every set is also shown to the victim that it was crafted on.",
        "",
        *_table(Transfer.model_fields.items()),
        "",
        "## generators",
        "",
        "Each entry is a Wasserstein GAN with gradient penalty, trained on a data set's images without their labels.",
        "",
        *_table(GeneratorKeys.model_fields.items()),
    ]
    for section, (key, kind, base) in SECTIONS.items():
        lines += ["", f"## {section}", ""]
        common = [(name, field) for name, field in base.model_fields.items()]
        lines += ["For every entry:", "", *_table([(key, None), *common])]
        for name in names(kind):
            parameters = method(kind, name).parameters
            lines += ["", f"### {key}: {name}", "", method(kind, name).summary]
            if method(kind, name).brings:
                lines += ["Of the keys above, such an entry has only `method` and `per_dataset`."]
            if files := mirrored(method(kind, name).traits):
                named = [" or ".join(f"`{file}`" for file in alternatives) for alternatives in files]
                lines += ["", f"A mirror holds {', '.join(named)}."]
            fields = entry_models(section)[name].model_fields
            if parameters:
                lines += ["", *_table((p, fields[p]) for p in parameters)]
    return "\n".join(lines) + "\n"


def _table(fields: Any) -> list[str]:
    rows = ["| key | value | default | meaning |", "| --- | --- | --- | --- |"]
    for key, field in fields:
        if field is None:
            rows.append(f"| `{key}` | one of those below | required | What it is. |")
            continue
        words = type_in_words(Annotated[(field.annotation, *field.metadata)] if field.metadata else field.annotation)
        default = "required" if field.is_required() else _default(field.get_default(call_default_factory=True))
        meaning = (field.description or "").strip()
        rows.append(f"| `{key}` | {words} | {default} | {meaning} |")
        for mapping in filter(is_typeddict, parts(field.annotation)):
            rows += _keys_of_mapping(key, mapping)
    return rows


def _keys_of_mapping(key: str, mapping: Any) -> list[str]:
    """A row for each key of a mapping that says what it means."""
    told = TypeAdapter(mapping).json_schema()["properties"]
    rows = []
    for inner, annotation in get_type_hints(mapping, include_extras=True).items():
        if "description" in told[inner]:
            default = "required" if inner in mapping.__required_keys__ else "none"
            rows.append(f"| `{key}.{inner}` | {type_in_words(annotation)} | {default} | {told[inner]['description']} |")
    return rows


def _default(value: object) -> str:
    if value is None:
        return "none"
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, list):
        return ", ".join(map(str, value)) or "none"
    return "none" if value == {} else str(value)


def _paragraphs(doc: str) -> list[str]:
    wrapped = ["\n".join(textwrap.wrap(paragraph, 96)) for paragraph in doc.split("\n\n")]
    return ["\n\n".join(wrapped)]


def type_in_words(annotation: Any) -> str:
    """A parameter's type and bounds as a user would say them."""
    origin = get_origin(annotation)
    if origin is Annotated:
        base, *marks = get_args(annotation)
        for mark in marks:
            if isinstance(mark, Reference):
                return f"a name from {mark.section}"
        words = type_in_words(base)
        for bound in [b for mark in marks for b in (mark, *getattr(mark, "metadata", []))]:
            for name, sign in (("ge", "≥"), ("gt", ">"), ("le", "≤"), ("lt", "<")):
                # Bounds that only catch slips of the keyboard tell a reader nothing.
                if hasattr(bound, name) and abs(getattr(bound, name)) < 10_000:
                    words += f" {sign} {getattr(bound, name)}"
        return words
    if origin is Literal:
        return " or ".join(str(value) for value in get_args(annotation))
    if origin is list:
        return f"list of {type_in_words(get_args(annotation)[0])}"
    if origin is dict or is_typeddict(annotation):
        return "mapping"
    if origin in (Union, UnionType):
        return ", ".join(type_in_words(member) for member in get_args(annotation) if member is not type(None))
    return {float: "number", int: "whole number", str: "text", bool: "true or false"}.get(annotation, str(annotation))
