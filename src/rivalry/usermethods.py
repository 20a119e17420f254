"""Methods that users bring in files of their own, read from their source without running it.

A plugin is a file of Python, or a folder of such files, with functions under the decorators of `rivalry.plugins`.
Whatever is wrong with one is a line that names the file and the line in it.
"""

from __future__ import annotations

import ast
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from functools import cache, lru_cache, reduce
from operator import or_
from pathlib import Path
from types import GenericAlias
from typing import Annotated, Any, Literal, get_args, get_origin

import yaml
from pydantic import BaseModel, ConfigDict, Field, StringConstraints, TypeAdapter, ValidationError

from rivalry import registry, types
from rivalry.errors import RivalryError, nearest
from rivalry.parameters import fault_of
from rivalry.references import our_references
from rivalry.registry import Method, Parameter, Plugins
from rivalry.usercode import syntax_tree

FACE = "rivalry.plugins"
WORKS = "references.yaml"
"""Beside a plugin: the works that its methods name as their source."""


@dataclass(frozen=True)
class Decorator:
    """The decorator of a kind of method: its file, what its function is handed, functions that must stand beside it."""

    kind: str
    file: str
    handed: tuple[str, ...]
    beside: tuple[str, ...] = ()


DECORATORS = {
    "attack": Decorator("attacks", "attacks/_attack.py", ("victim", "images", "goal", "random")),
    "defense": Decorator(
        "defenses", "defenses/_defended.py", ("victim", "images", "labels", "seed", "batch_size"), ("restore",)
    ),
    "poisoning": Decorator("poisonings", "poisoning/_poisoning.py", ("images", "labels", "seed")),
    "architecture": Decorator("architectures", "architectures/_classifier.py", ("shape", "classes")),
    "training_method": Decorator("training", "training/_recipe.py", ("images", "labels")),
    "source": Decorator("sources", "data/_dataset.py", ("fetch", "seed")),
    "filtering": Decorator("filters", "filters/_filter.py", ("victim", "images", "labels", "seed", "batch_size")),
    "targeted_poisoning": Decorator(
        "targeted_poisonings",
        "targeted_poisoning/_targeted.py",
        ("victim", "images", "labels", "test_images", "test_labels", "seed", "batch_size"),
    ),
    "fooling": Decorator("fooling", "fooling/_fooling.py", ("victim", "grey", "random")),
}

PLAIN = {"bool": bool, "int": int, "float": float, "str": str}
"""What annotations may name beside the types of `rivalry.types`, `list`, `Literal` and `Annotated`."""


class WrongPlugins(RivalryError):
    """Everything that is wrong with plugins, one line each."""

    def __init__(self, lines: Sequence[str]) -> None:
        self.lines = list(dict.fromkeys(lines))
        super().__init__("\n".join(self.lines))


class _Fault(Exception):
    """What is wrong at a place in a file."""

    def __init__(self, node: ast.AST, what: str) -> None:
        super().__init__(what)
        self.line = getattr(node, "lineno", 1)


def use_plugins(*files: str | Path) -> None:
    """Have the methods of these files found beside our own, and of no others: by name, in configurations and in Python.

    Parameters
    ----------
    *files : path
        Files of Python, or folders of them, relative to the working directory. Without any, plugins are left behind.

    Raises
    ------
    RivalryError
        Something is wrong with a file; one line for each mistake.

    Examples
    --------
    >>> import rivalry.attacks
    >>> rivalry.use_plugins("my_methods.py")
    >>> adversarial = rivalry.attacks.one_step(victim, images, labels, eps=0.1)
    >>> rivalry.use_plugins()
    """
    registry.put_in_use(read(files))


def read(named: Iterable[str | Path]) -> Plugins:
    """The methods of some files, read from their source.

    Raises
    ------
    WrongPlugins
        One line for each mistake.
    """
    told = tuple(dict.fromkeys(str(path) for path in named))
    if not told:
        return registry.NO_PLUGINS
    files: dict[str, str] = {}
    lines = []
    for path in told:
        found = _files(path)
        lines += [] if found else [f"{path}: {_no_plugin(path)}"]
        files |= dict.fromkeys(found, path)
    if lines:
        raise WrongPlugins(lines)
    states = [(file, Path(file).read_bytes()) for file in files]
    works = [Path(file).with_name(WORKS) for file in files]
    known = [(str(path), path.read_bytes()) for path in dict.fromkeys(works) if path.is_file()]
    return _read(told, tuple(states), tuple(known), tuple(files.values()))


def _files(path: str) -> list[str]:
    """The files of a plugin: itself, or those in a folder whose names do not begin with an underscore."""
    if Path(path).is_dir():
        return sorted(str(file) for file in Path(path).glob("*.py") if not file.name.startswith("_"))
    return [path] if path.endswith(".py") and Path(path).is_file() else []


def _no_plugin(path: str) -> str:
    if Path(path).is_dir():
        return "holds no file of Python, such as my_methods.py"
    return "is no file of Python; name a .py file or a folder of them" if Path(path).exists() else "does not exist"


@lru_cache(maxsize=16)
def _read(
    told: tuple[str, ...],
    files: tuple[tuple[str, bytes], ...],
    works: tuple[tuple[str, bytes], ...],
    named: tuple[str, ...],
) -> Plugins:
    """The same, of files as they are now; an edited file is read again."""
    lines: list[str] = []
    brought: dict[str, dict[str, Any]] = {}
    for file, content in works:
        try:
            brought |= _works(content)
        except RivalryError as error:
            lines.append(f"{file}: {error}")
    methods: dict[str, dict[str, Method]] = {kind: {} for kind in registry.ROOMS}
    places: dict[tuple[str, str], str] = {}
    found = dict.fromkeys(named, 0)
    for (file, _), plugin in zip(files, named, strict=True):
        try:
            tree = syntax_tree(file)
        except RivalryError as error:
            lines.append(str(error))
            found[plugin] += 1
            continue
        for node, decorator in _decorated(tree):
            found[plugin] += 1
            try:
                method = _method(file, tree, node, decorator, {*our_references(), *brought})
                _new(method, places, node, f"{file}, line {node.lineno}")
            except _Fault as fault:
                lines.append(f"{file}, line {fault.line}: {fault}")
            else:
                methods[method.kind][method.name] = method
    decorators = ", ".join(DECORATORS)
    lines += [
        f"{plugin}: registers no method; put a decorator of {FACE} before a function: {decorators}"
        for plugin, count in found.items()
        if not count
    ]
    if lines:
        raise WrongPlugins(lines)
    return Plugins(told, methods, {key: work for key, work in brought.items() if key not in our_references()})


def _new(method: Method, places: dict[tuple[str, str], str], node: ast.AST, place: str) -> None:
    """Refuse a name that is taken; note that this one is."""
    one, key = registry.singular(method.kind), (method.kind, method.name)
    if method.name in registry.modules(registry.ROOMS[method.kind]):
        raise _Fault(node, f"there is {_a(one)} '{method.name}' in rivalry already; choose another name")
    if key in places:
        raise _Fault(node, f"{one} '{method.name}' is defined in {places[key]} already; names must differ")
    places[key] = place


def _decorated(tree: ast.Module) -> Iterator[tuple[ast.stmt, ast.expr]]:
    """Every definition at the top level under one of our decorators, and the decorator."""
    imports = _imports(tree)
    for node in tree.body:
        for decorator in getattr(node, "decorator_list", ()):
            called = decorator.func if isinstance(decorator, ast.Call) else decorator
            if _ours(_origin(called, imports)) in DECORATORS:
                yield node, decorator


def _imports(tree: ast.Module) -> dict[str, str]:
    """What the names stand for that a file imports on its top level."""
    found: dict[str, str] = {}
    for node in tree.body:
        if isinstance(node, ast.Import):
            found |= {alias.asname or alias.name.split(".")[0]: alias.name for alias in node.names if alias.asname}
            found |= {(top := alias.name.split(".")[0]): top for alias in node.names if not alias.asname}
        elif isinstance(node, ast.ImportFrom) and not node.level:
            found |= {alias.asname or alias.name: f"{node.module}.{alias.name}" for alias in node.names}
    return found


def _origin(node: ast.AST, imports: Mapping[str, str]) -> str:
    """The dotted name that an expression stands for; "" for anything else."""
    if isinstance(node, ast.Name):
        return imports.get(node.id, node.id)
    if isinstance(node, ast.Attribute) and (outer := _origin(node.value, imports)):
        return f"{outer}.{node.attr}"
    return ""


def _ours(origin: str) -> str:
    """The name in `rivalry.plugins` or `rivalry.types` that a dotted name is."""
    module, _, name = origin.rpartition(".")
    return name if module in (FACE, types.__name__) else ""


def _method(file: str, tree: ast.Module, node: ast.stmt, decorator: ast.expr, works: set[str]) -> Method:
    """The method that a definition is."""
    imports = _imports(tree)
    called = decorator.func if isinstance(decorator, ast.Call) else decorator
    name = _ours(_origin(called, imports))
    about = DECORATORS[name]
    if not isinstance(node, ast.FunctionDef):
        raise _Fault(decorator, f"@{name} belongs before a function (def)")
    traits = _traits(name, decorator)
    doc = ast.get_docstring(node) or ""
    if not doc.strip():
        raise _Fault(node, f"{node.name}: has no docstring; its first line is what `rivalry list` says of it")
    handed = about.handed + (("made",) if traits.get("fitted") else ())
    handed += ("victim", "seed") if traits.get("starts") else ()
    _check_signature(node, handed, registry.singular(about.kind))
    described = registry.parameter_docs(doc)
    parameters = {
        argument.arg: _parameter(node.name, argument, default, described.get(argument.arg, ""), imports)
        for argument, default in zip(node.args.kwonlyargs, node.args.kw_defaults, strict=True)
    }
    defined = {other.name for other in tree.body if isinstance(other, ast.FunctionDef)}
    beside = {}
    brings = about.kind == "training" and not traits["architecture"]
    for role in about.beside + ("fit",) * bool(traits.get("fitted")) + ("restore",) * brings:
        found = [candidate for candidate in (f"{role}_{node.name}", role) if candidate in defined]
        if not found:
            raise _Fault(node, f"{node.name}: needs a function {role}_{node.name}, or {role}, in its file")
        beside[role] = found[0]
    if traits.get("fitted") and "training_images" not in parameters:
        raise _Fault(
            node, f"{node.name}: is fitted, and so needs a parameter training_images: how many it is fitted to"
        )
    if traits["source"] and traits["source"] not in works:
        meant = get_close_matches(traits["source"], works, n=1)
        hint = f"did you mean '{meant[0]}'? Or " if meant else ""
        raise _Fault(
            decorator,
            f"{node.name}: source '{traits['source']}' is on file nowhere; {hint}write authors, year, title and venue "
            f"of it into {Path(file).with_name(WORKS)}, or leave source out",
        )
    return Method(about.kind, node.name, registry.summary(doc), doc, traits, parameters, file, beside)


def _check_signature(node: ast.FunctionDef, handed: Sequence[str], one: str) -> None:
    given = node.args
    positional = [*given.posonlyargs, *given.args]
    if given.vararg or given.kwarg:
        raise _Fault(node, f"{node.name}: * and ** say nothing of its parameters; write each of them out")
    if len(positional) != len(handed) or given.defaults:
        raise _Fault(
            node,
            f"{node.name}: {_a(one)} is handed ({', '.join(handed)}); parameters of its own stand behind a *, by name",
        )


def _traits(name: str, decorator: ast.expr) -> dict[str, Any]:
    """What a decorator says, and what it says if nothing is said."""
    declared = _declared(name)
    told = ", ".join(f"{key}=..." for key, one in declared.items() if one.required)
    if not isinstance(decorator, ast.Call):
        raise _Fault(decorator, f"write @{name}({told})")
    if decorator.args or any(word.arg is None for word in decorator.keywords):
        raise _Fault(decorator, f"@{name} is told by name: @{name}({told})")
    # What is None by default counts as not said.
    traits = {key: one.default for key, one in declared.items() if not one.required and one.default is not None}
    for word in decorator.keywords:
        key = str(word.arg)
        if key not in declared:
            raise _Fault(word, f"@{name} knows no '{key}'; {nearest(key, list(declared))}")
        value = _literal(word.value, f"@{name}: {key}")
        traits[key] = _checked(word, f"@{name}: {key}", declared[key].annotation, value)
    for key, one in declared.items():
        if one.required and key not in traits:
            raise _Fault(decorator, f"@{name}: {key} is missing; {_choices(one)}")
    return traits


@cache
def _declared(name: str) -> dict[str, Parameter]:
    """What a decorator of ours may be told, by its signature."""
    tree = ast.parse((registry.PACKAGE / DECORATORS[name].file).read_text(encoding="utf-8"))
    defined = [node for node in tree.body if isinstance(node, ast.FunctionDef) and node.name == name]
    node = defined[-1]  # behind its overloads
    arguments = zip(node.args.kwonlyargs, node.args.kw_defaults, strict=True)
    return registry.parameters(arguments, ast.get_docstring(node) or "", vars(types))


def _choices(one: Parameter) -> str:
    return " or ".join(str(value) for part in registry.parts(one.annotation) for value in _values(part))


def _values(annotation: Any) -> tuple[Any, ...]:
    return get_args(annotation) if get_origin(annotation) is Literal else ()


def _literal(node: ast.expr, what: str) -> Any:
    try:
        return ast.literal_eval(node)
    except (ValueError, TypeError, SyntaxError, MemoryError, RecursionError):
        raise _Fault(
            node, f"{what} is '{_shown(node)}'; write the value itself, since it is read without running the file"
        ) from None


def _checked(node: ast.AST, what: str, annotation: Any, value: Any) -> Any:
    try:
        return TypeAdapter(annotation).validate_python(value, strict=True)
    except ValidationError as error:
        raise _Fault(node, f"{what}: {fault_of(error.errors()[0])}") from None


def _parameter(
    method: str, argument: ast.arg, default: ast.expr | None, doc: str, imports: Mapping[str, str]
) -> Parameter:
    what = f"{method}: {argument.arg}"
    if argument.annotation is None:
        raise _Fault(
            argument, f"{what} has no type; annotate it with one of rivalry.types, such as NonNegative or Count"
        )
    annotation = _annotation(argument.annotation, what, imports)
    value = None
    if default is not None:
        value = _checked(default, what, annotation, _literal(default, f"{what}: its default"))
    return Parameter(argument.arg, annotation, default is None, value, doc)


def _annotation(node: ast.expr, what: str, imports: Mapping[str, str]) -> Any:
    """The type that an annotation is, of those that a configuration can hold; nothing of the file is run."""
    if isinstance(node, ast.Constant) and node.value is None:
        return None
    if isinstance(node, ast.Constant) and isinstance(node.value, str):
        return _annotation(ast.parse(node.value, mode="eval").body, what, imports)
    if isinstance(node, ast.BinOp) and isinstance(node.op, ast.BitOr):
        return reduce(or_, [_annotation(side, what, imports) for side in (node.left, node.right)])
    if isinstance(node, ast.Name | ast.Attribute):
        origin = _origin(node, imports)
        found = vars(types).get(_ours(origin), PLAIN.get(origin))
        if found is not None:
            return found
    if isinstance(node, ast.Subscript):
        origin = _origin(node.value, imports).removeprefix("typing.")
        inner = node.slice.elts if isinstance(node.slice, ast.Tuple) else [node.slice]
        if origin == "Literal":
            return Literal[tuple(_literal(one, what) for one in inner)]
        if origin == "Annotated":
            marks = [_mark(one, what, imports) for one in inner[1:]]
            return Annotated[(_annotation(inner[0], what, imports), *marks)]
        if origin == "list" and len(inner) == 1:
            return GenericAlias(list, (_annotation(inner[0], what, imports),))
    known = [name for name in vars(types) if name[0].isupper() and not isinstance(vars(types)[name], type)]
    shown = _shown(node)
    raise _Fault(
        node,
        f"{what}: a configuration holds no '{shown}'; import a type from {FACE}: {nearest(shown, known)}",
    )


def _mark(node: ast.expr, what: str, imports: Mapping[str, str]) -> Any:
    """What stands beside a type in Annotated: a mark of `rivalry.types`, or bounds."""
    if isinstance(node, ast.Call) and not node.args[1:]:
        origin = _origin(node.func, imports)
        mark = Field if origin == "pydantic.Field" else vars(types).get(_ours(origin))
        if mark in (Field, types.Reference, types.MethodOf, types.UserFile):
            words = {str(word.arg): _literal(word.value, what) for word in node.keywords}
            try:
                return mark(*(_literal(one, what) for one in node.args), **words)
            except TypeError as error:
                raise _Fault(node, f"{what}: {error}") from None
    raise _Fault(node, f"{what}: '{_shown(node)}' says nothing to a configuration; give Field, MethodOf or Reference")


def _shown(node: ast.AST) -> str:
    text = " ".join(ast.unparse(node).split())
    return text if len(text) <= 60 else f"{text[:57]}..."


def _a(word: str) -> str:
    return f"an {word}" if word[0] in "aeiou" else f"a {word}"


_Key = Annotated[str, StringConstraints(pattern="^[a-z0-9]+$")]


class _Work(BaseModel):
    """A work as references.yaml has it; authors in the form 'Family I. J.'."""

    model_config = ConfigDict(extra="forbid", strict=True)

    authors: Annotated[list[str], Field(min_length=1)]
    year: int
    title: str
    venue: str
    url: str | None = None


def _works(content: bytes) -> dict[str, dict[str, Any]]:
    """The works of a plugin's file of references.

    Raises
    ------
    RivalryError
        It is no such file.
    """
    try:
        found = TypeAdapter(dict[_Key, _Work]).validate_python(yaml.safe_load(content))
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        raise RivalryError(f"{f'line {mark.line + 1}: ' if mark else ''}is no YAML") from error
    except ValidationError as error:
        details = error.errors()[0]
        place = ".".join(str(part) for part in details["loc"] if part != "[key]") or "the file"
        right = "a key is letters a to z and digits, and needs authors (a list), year, title and venue"
        raise RivalryError(f"{place}: {fault_of(details)}; {right}") from error
    return {key: work.model_dump(exclude_none=True) for key, work in found.items()}
