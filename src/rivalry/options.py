"""What a stage may be told on the command line: its parameters, read from its source without importing it.

A stage is one function in one file of `stages/`, named like the file and like its command. Each of its parameters is
an option; those before a `/` are given without a name. Annotations, from here and from `rivalry.types`, say how an
option is read and what it may be; the docstring says what it means. The command line and the planner, which writes
command lines, both follow them.

`data` is always the folder of a prepared data set, `results` that of a whole run. Options in BESIDE are of the command
line alone: they come with a parameter of the stage, and tell whose its files must be and how many processors there are.
Every stage is told the PLUGINS whose methods it finds by name.
"""

from __future__ import annotations

import ast
import importlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from typing import Annotated, Any, Literal

from rivalry import registry, types
from rivalry.layout import COMPUTED  # noqa: F401 (annotations of stages name them)
from rivalry.registry import Parameter


@dataclass(frozen=True)
class ParametersOf:
    """Marks the parameters of a method, of a kind, that the option `named` names."""

    kind: str
    named: str = "method"


@dataclass(frozen=True)
class Fitting:
    """Marks the keys of a victim's entry that say how it is trained in epochs."""


@dataclass(frozen=True)
class WrittenBy:
    """Marks a folder, or several, that a stage wrote; `called` is the name in its manifest that is the folder's too."""

    stage: str
    called: str


@dataclass(frozen=True)
class NamedVictim:
    """Marks the folder of the victim, defended or not, that --victim-name names.

    Attributes
    ----------
    brought : bool
        It may name a network from outside instead; the options in BROUGHT say what it is given.
    """

    brought: bool = False


@dataclass(frozen=True)
class After:
    """Marks the folder of a run in which these stages have done all that the plan asks of them."""

    stages: tuple[str, ...]


@dataclass(frozen=True)
class Recorded:
    """Marks what is no option, but read from the folder of the run: its plan or its configuration."""

    what: str


INSIDE = (*types.RUN, "defenses")
"""Sections whose entries the job of an entry that names them runs itself, and is told in full."""


@dataclass(frozen=True)
class Generating:
    """Marks the keys of an entry of `generators`."""


REFERENCES = {
    "generators": WrittenBy("generate", "generator"),
    "victims": WrittenBy("train", "victim"),
    "poisonings": WrittenBy("poison", "poisoning"),
}
"""Sections of a configuration whose entries methods know by their folders."""

Settings = dict[str, Any]
"""Words like key=value."""
Accelerator = Literal["auto", "cpu", "gpu"]
Victim = Annotated[Path, NamedVictim(brought=True)]
Defended = Annotated[Path, NamedVictim()]
Victims = Annotated[Sequence[Path], REFERENCES["victims"]]
Trained = Annotated[Path, REFERENCES["victims"]]
Poisoning = Annotated[Path, REFERENCES["poisonings"]]
Attacks = Annotated[Sequence[Path], WrittenBy("attack", "attack")]
Plan = Annotated[dict[str, Any], Recorded("plan")]
Configuration = Annotated[dict[str, Any], Recorded("configuration")]


_THREADS = Parameter("threads", types.ThreadCount, False, 0, "processor threads (default: all)")
BESIDE = {
    "data": Parameter(
        "dataset", str | None, False, None, "name of the data set that --data and all other folders must belong to"
    ),
    "defended": Parameter("victim_name", str | None, False, None, "e.g. plain+median3"),
    "accelerator": _THREADS,
    "poisoning": _THREADS,
}
BROUGHT = {
    name: replace(parameter, required=False, default=None, doc=f"of a network from outside: {parameter.doc}")
    for name, parameter in registry.method("training", "external").parameters.items()
    if name != "model"
}
"""Options that come with a victim that may be brought: what the training method `external` takes."""
PLUGINS = Parameter("plugins", Sequence[Path], False, (), "your own files of methods, or folders of them")


@dataclass(frozen=True)
class Stage:
    """A stage as its source declares it.

    Attributes
    ----------
    name, summary : str
    options : dict
        Its function's parameters.
    beside : dict
        Options of its command that the function is not told.
    positional : tuple of str
        Options that are given without a name.
    """

    name: str
    summary: str
    options: dict[str, Parameter]
    beside: dict[str, Parameter]
    positional: tuple[str, ...]

    def load(self) -> Callable[..., object]:
        """Import the stage's module and return its function."""
        function: Callable[..., object] = getattr(importlib.import_module(f"rivalry.stages.{self.name}"), self.name)
        return function


def names() -> list[str]:
    """Names of all stages, sorted."""
    return registry.modules("stages")


@cache
def stage(name: str) -> Stage:
    """The stage called `name`."""
    node = registry.function(registry.PACKAGE / "stages" / f"{name}.py")
    doc, given = ast.get_docstring(node) or "", node.args
    plain = [*given.posonlyargs, *given.args]
    required: list[ast.expr | None] = [None] * (len(plain) - len(given.defaults))
    arguments = [
        *zip(plain, [*required, *given.defaults], strict=True),
        *zip(given.kwonlyargs, given.kw_defaults, strict=True),
    ]
    options = registry.parameters(arguments, doc, vars(types) | globals())
    beside = {option.name: option for beside, option in BESIDE.items() if beside in options}
    if any(mark.brought for option in options.values() if (mark := option.mark(NamedVictim))):
        beside |= BROUGHT
    beside[PLUGINS.name] = PLUGINS
    return Stage(name, registry.summary(doc), options, beside, tuple(argument.arg for argument in given.posonlyargs))


def word(option: str) -> str:
    """An option as it is written on the command line."""
    return f"--{option.replace('parameters', 'set').replace('_', '-')}"
