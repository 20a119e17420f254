"""What methods exist and how they are configured, read from their source without importing it.

A method is one function in one file of a room, named like the file: `attacks/fgsm.py` defines `fgsm`. It is
registered by the room's decorator, whose keyword arguments (literals) say what the method is. Its keyword-only
parameters are its configuration: annotation (names from `rivalry.types`), default and docstring are all there
is to know. Reading them from the syntax tree keeps validation of a configuration free of PyTorch's import time.

Beside these stand the methods of the user's own files, the plugins that are in use (`rivalry.usermethods` reads them).
"""

from __future__ import annotations

import ast
import importlib
import inspect
import re
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from types import ModuleType
from typing import Any, TypeVar, get_args, get_type_hints

from rivalry import types
from rivalry.errors import RivalryError, nearest
from rivalry.usercode import imported

PACKAGE = Path(__file__).parent

ROOMS = {
    "sources": "data",
    "architectures": "architectures",
    "training": "training",
    "poisonings": "poisoning",
    "attacks": "attacks",
    "defenses": "defenses",
    "fooling": "fooling",
    "filters": "filters",
    "targeted_poisonings": "targeted_poisoning",
}
"""Kinds of method and the room (folder of the package) that holds them."""


Mark = TypeVar("Mark")


def parts(annotation: Any) -> list[Any]:
    """An annotation and all that it is made of, its marks among them."""
    found = [annotation]
    for part in found:
        found += get_args(part)
    return found


@dataclass(frozen=True)
class Parameter:
    """One configurable parameter of a method."""

    name: str
    annotation: Any
    required: bool
    default: Any
    doc: str

    def mark(self, kind: type[Mark]) -> Mark | None:
        """The mark of a kind that the annotation holds, such as `types.Reference`."""
        return next((part for part in parts(self.annotation) if isinstance(part, kind)), None)


@dataclass(frozen=True)
class Method:
    """A method as its source declares it.

    Attributes
    ----------
    kind, name, summary, doc : str
    traits : dict
        What its decorator says of it.
    parameters : dict
    file : str
        The user's file that defines it; "" for a method of this package.
    beside : dict
        By its role, the name of a function of the user's file that belongs to it: `fit`, `restore`.
    """

    kind: str
    name: str
    summary: str
    doc: str
    traits: dict[str, Any]
    parameters: dict[str, Parameter]
    file: str = ""
    beside: Mapping[str, str] = field(default_factory=dict)

    @property
    def module(self) -> str:
        """The module that defines it: its dotted name, or the user's file."""
        return self.file or f"rivalry.{ROOMS[self.kind]}.{self.name}"

    @property
    def code(self) -> list[str]:
        """What of all code is this method's, as `codehash` knows it."""
        return [f"{self.file}:{name}" for name in (self.name, *self.beside.values())] if self.file else [self.module]

    @property
    def in_epochs(self) -> bool:
        """Whether it trains in epochs, or is trained so; what scikit-learn fits is not."""
        return bool(self.traits.get("epochs", True))

    @property
    def brings(self) -> bool:
        """Whether it is a training method that brings networks which are trained already, and trains none."""
        return not self.traits.get("architecture", True)

    @property
    def refuses(self) -> bool:
        """Whether victims that it trains may refuse an image."""
        return bool(self.traits.get("refuses", False))

    @property
    def defaults(self) -> dict[str, Any]:
        return {name: parameter.default for name, parameter in self.parameters.items() if not parameter.required}

    def load(self, role: str = "") -> Any:
        """Import the method's module and return its function; or the one beside it that has a role or this name.

        Raises
        ------
        RivalryError
            It is of a user's file, and that cannot be imported.
        """
        if self.file:
            return imported(self.file, self.beside.get(role, role) if role else self.name)
        return getattr(importlib.import_module(self.module), role or self.name)

    def kept(self, made: object, *kinds: type[Any]) -> None:
        """Refuse what the method's function returned, if it is of none of the kinds that it must return.

        Raises
        ------
        RivalryError
            The line names the method.
        """
        if not isinstance(made, kinds):
            right = " or ".join(kind.__name__ for kind in kinds)
            raise RivalryError(f"{self.name}: returns a {type(made).__name__}; it must return a {right}")


@dataclass(frozen=True, eq=False)
class Plugins:
    """Methods that the user brings.

    Attributes
    ----------
    files : tuple of str
        Files and folders, as the user named them.
    methods : dict
        By kind and name.
    works : dict
        By citation key, the works that stand in their files of references and not in ours.
    """

    files: tuple[str, ...] = ()
    methods: Mapping[str, Mapping[str, Method]] = field(default_factory=dict)
    works: Mapping[str, dict[str, Any]] = field(default_factory=dict)


NO_PLUGINS = Plugins()
_in_use = NO_PLUGINS


def in_use() -> Plugins:
    """The plugins whose methods are found beside our own; what is made of them may be kept under this object."""
    return _in_use


def put_in_use(plugins: Plugins) -> None:
    """From now on find the methods of these plugins, and of no others, beside our own."""
    global _in_use
    _in_use = plugins


@contextmanager
def using(plugins: Plugins) -> Iterator[None]:
    """The same in a block; afterwards, what was in use before is so again."""
    before = _in_use
    put_in_use(plugins)
    try:
        yield
    finally:
        put_in_use(before)


@cache
def modules(room: str) -> list[str]:
    """Names of a room's modules without its machinery (names that begin with an underscore), sorted."""
    return sorted(file.stem for file in (PACKAGE / room).glob("*.py") if not file.stem.startswith("_"))


def names(kind: str) -> list[str]:
    """Names of all methods of a kind, sorted."""
    return sorted([*modules(ROOMS[kind]), *_in_use.methods.get(kind, ())])


def method(kind: str, name: str) -> Method:
    """The method called `name`.

    Raises
    ------
    RivalryError
        No such method; the message names the nearest one.
    """
    if name in (own := _in_use.methods.get(kind, {})):
        return own[name]
    if name not in modules(ROOMS[kind]):
        raise RivalryError(f"unknown {singular(kind)} '{name}'; {nearest(name, names(kind))}")
    return _ours(kind, name)


@cache
def _ours(kind: str, name: str) -> Method:
    node = function(PACKAGE / ROOMS[kind] / f"{name}.py")
    doc = ast.get_docstring(node) or ""
    traits: dict[str, Any] = {}
    for decorator in node.decorator_list:
        if isinstance(decorator, ast.Call):
            traits |= {word.arg: ast.literal_eval(word.value) for word in decorator.keywords if word.arg}
    arguments = zip(node.args.kwonlyargs, node.args.kw_defaults, strict=True)
    return Method(kind, name, summary(doc), doc, traits, parameters(arguments, doc, vars(types)))


def function(file: Path) -> ast.FunctionDef:
    """The function that is named like its file, as source.

    Raises
    ------
    RivalryError
        The file defines none.
    """
    tree = ast.parse(file.read_text(encoding="utf-8"), filename=str(file))
    for node in tree.body:
        if isinstance(node, ast.FunctionDef) and node.name == file.stem:
            return node
    raise RivalryError(f"{file}: defines no function named '{file.stem}'")


def summary(doc: str) -> str:
    """The first line of a docstring."""
    return doc.split("\n")[0].strip()


def singular(kind: str) -> str:
    """What one method of a kind is called."""
    return {"sources": "data source", "training": "training method", "fooling": "fooling method"}.get(
        kind, kind.rstrip("s")
    )


def parameters(
    arguments: Iterable[tuple[ast.arg, ast.expr | None]], doc: str, names: Mapping[str, Any]
) -> dict[str, Parameter]:
    """A function's arguments, each with its default, as its docstring `doc` describes them.

    Parameters
    ----------
    names : mapping
        What the annotations may name.
    """
    described = parameter_docs(doc)
    read = {}
    for argument, default in arguments:
        annotation = ast.unparse(argument.annotation) if argument.annotation else "object"
        read[argument.arg] = Parameter(
            name=argument.arg,
            annotation=eval(annotation, dict(names)),  # our own source, never user input
            required=default is None,
            default=None if default is None else ast.literal_eval(default),
            doc=described.get(argument.arg, ""),
        )
    return read


def described(kind: str, function: Callable[..., Any], traits: dict[str, Any]) -> Method:
    """The method that a function is, wherever it was written: what `method` reads from a room's file."""
    doc = inspect.getdoc(function) or ""
    docs, annotations = parameter_docs(doc), get_type_hints(function, include_extras=True)
    parameters = {
        name: Parameter(
            name=name,
            annotation=annotations.get(name, object),
            required=parameter.default is parameter.empty,
            default=None if parameter.default is parameter.empty else parameter.default,
            doc=docs.get(name, ""),
        )
        for name, parameter in inspect.signature(function).parameters.items()
        if parameter.kind is parameter.KEYWORD_ONLY
    }
    return Method(kind, function.__name__, doc.split("\n")[0].strip(), doc, traits, parameters)


def parameter_docs(doc: str) -> dict[str, str]:
    """Descriptions from the Parameters section of a NumPy docstring, one line each."""
    section = re.search(r"^Parameters\n-+\n(.*?)(?=^\S[^\n]*\n-{3,}|\Z)", doc, re.MULTILINE | re.DOTALL)
    described: dict[str, str] = {}
    current: list[str] = []
    for line in section[1].splitlines() if section else []:
        if re.match(r"\S", line):
            current = [name.strip() for name in line.split(":")[0].split(",")]
        elif line.strip():
            for name in current:
                described[name] = f"{described.get(name, '')} {line.strip()}".strip()
    return described


class _Room(ModuleType):
    """A room's package. Its attributes are the room's methods, and a method's file is imported when one asks for it.

    `rivalry.attacks.fgsm` is the attack, not the file of this name, whoever has imported the file before.
    """

    __all__: list[str]
    __files__: dict[str, str]

    def __dir__(self) -> list[str]:
        return sorted([*self.__all__, *self._plugged()])

    def _plugged(self) -> Mapping[str, Method]:
        """The methods of the plugins in use that belong here."""
        return _in_use.methods.get(_kind(self.__name__), {})

    def __getattr__(self, name: str) -> Any:
        if name in self._plugged():
            return self._plugged()[name].load()  # each time: other plugins may be in use then
        if name not in self.__all__:
            raise AttributeError(f"{self.__name__} has no '{name}'; {nearest(name, dir(self))}")
        found = getattr(importlib.import_module(f"{self.__name__}.{self.__files__[name]}"), name)
        super().__setattr__(name, found)
        return found

    def __setattr__(self, name: str, value: object) -> None:
        # Python calls this with a file that it has just imported.
        is_file = isinstance(value, ModuleType) and name in self.__files__
        super().__setattr__(name, getattr(value, name) if is_file else value)


def open_room(package: str, **others: str) -> None:
    """Have the package of a room show the room's methods, and nothing else but `others`: functions and their files."""
    room = sys.modules[package]
    room.__dict__["__files__"] = {name: name for name in modules(ROOMS[_kind(package)])} | others
    room.__dict__["__all__"] = sorted(room.__dict__["__files__"])
    room.__class__ = _Room


def _kind(package: str) -> str:
    """The kind of method that a room's package holds."""
    return next(kind for kind, folder in ROOMS.items() if package == f"{__package__}.{folder}")
