"""One hash for the code that a stage runs, so that a changed algorithm recomputes and a new comment does not.

Of this package whole modules count. Of users' code only what is used counts: their files hold several methods, and an
edit of one shall not run the others again.
"""

from __future__ import annotations

import ast
import hashlib
import importlib.util
import os
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache, cached_property, lru_cache
from pathlib import Path
from typing import Any

from rivalry.errors import RivalryError

PACKAGE = Path(__file__).parent
NO_PART = {__name__, "rivalry.layout"}
"""They change nothing of what a stage computes: how code is hashed, and where files lie, which Snakemake sees."""
LOOKS_UP = {"__name__", "eval", "exec", "globals", "vars"}
"""Who uses these may use any name of its file."""
REGISTERS_NOTHING = {PACKAGE.name, "abc", "contextlib", "dataclasses", "functools", "torch", "typing"}
"""Packages whose decorators do not put what they decorate where it could be found by its name."""


def code_hash(*modules: str) -> str:
    """Hash of the syntax trees of `modules` and of every module that they import of their own, directly or not.

    Comments, docstrings, layout and the folder in which a user's files lie do not count. Imports are followed
    wherever they stand, but only where they are written out: a method that a stage finds by its name must be named
    here beside the stage. A YAML file beside a module of this package and named like it counts as the module's.

    Parameters
    ----------
    *modules : str
        Modules of this package (`rivalry.attacks.fgsm`) and users' code: a file (`my/attacks.py`) or a module of an
        installed package (`package.module`), which is found without importing it. With `:name` behind it, of this
        module only the definition of that name counts, what it uses, and what runs at every import.
        From a user's file, imports lead to the files beside it and to this package; from an installed package to
        its own modules and to this package.

    Returns
    -------
    str
        16 hexadecimal digits.

    Raises
    ------
    RivalryError
        A user's file or package is not there, is no Python, or does not define the name; one line.
    """
    walk = _Walk(modules)
    lines = sorted(f"{module.label} {walk.parsed(module).digest(rows)}\n" for module, rows in walk.counted.items())
    return hashlib.sha256("".join(lines).encode()).hexdigest()[:16]


def modules_behind(*modules: str) -> list[str]:
    """The modules that `code_hash` counts, sorted: dotted names of this package's, paths of users' files."""
    return sorted(module.ours or str(module.file) for module in _Walk(modules).counted)


@dataclass(frozen=True)
class Home:
    """Where modules import their own from: the folders that are searched, and the only package that is followed."""

    folders: tuple[Path, ...]
    package: str = ""

    def find(self, parts: Sequence[str]) -> tuple[Module | None, str]:
        """The module that dotted names lead to, if it is followed, by the longest path that is one; the names left."""
        home = Home((PACKAGE.parent,), PACKAGE.name) if parts[0] == PACKAGE.name else self
        folders = home.folders if home.package in ("", parts[0]) else ()
        return next((found for folder in folders if (found := _below(folder, parts, 1, home))[0]), (None, ""))


@dataclass(frozen=True)
class Module:
    """A file of Python whose code counts."""

    file: Path
    home: Home

    @cached_property
    def ours(self) -> str:
        """Its dotted name, if it is of this package."""
        if self.home.package != PACKAGE.name:
            return ""
        return ".".join(self.file.relative_to(PACKAGE.parent).with_suffix("").parts).removesuffix(".__init__")

    @property
    def label(self) -> str:
        """What it is called wherever its folder lies."""
        folders = [folder for folder in self.home.folders if self.file.is_relative_to(folder)]
        return self.file.relative_to(folders[-1]).as_posix() if folders else self.file.name


def _below(folder: Path, parts: Sequence[str], least: int, home: Home) -> tuple[Module | None, str]:
    """The module that names lead to below a folder, by `least` of them or more, and the names left."""
    for length in range(len(parts), least - 1, -1):
        path = os.path.join(folder, *parts[:length])
        for file in (f"{path}/__init__.py", f"{path}.py"):
            if os.path.isfile(file) and (length or file.endswith("__init__.py")):
                return Module(Path(file), home), ".".join(parts[length:])
    return None, ""


def split(named: str) -> tuple[str, str]:
    """A module and the name in it, or "", of `my_model.py:build`, `package.module:name` or a module alone."""
    module, _, name = named.rpartition(":")
    return (module, name) if module and name.isidentifier() else (named, "")


def find(module: str) -> Module:
    """The file of a module that is named as `code_hash` says, without `:name`.

    Raises
    ------
    RivalryError
        There is none.
    """
    if module.endswith(".py"):
        file = Path(module).absolute()
        if not file.is_file():
            raise RivalryError(f"{module}: there is no such file")
        root = file.parent
        while (root / "__init__.py").is_file() and root != root.parent:
            root = root.parent
        # What lies beside it can be imported with and without the names of the packages that it is in.
        return Module(file, Home(tuple(dict.fromkeys((file.parent, root)))))
    package = module.split(".")[0]
    if package == PACKAGE.name:
        home = Home((PACKAGE.parent,), package)
    else:
        try:
            spec = importlib.util.find_spec(package)
        except (ImportError, ValueError):
            spec = None
        if spec is None:
            raise RivalryError(f"{module}: no package '{package}' is installed")
        inside = spec.submodule_search_locations or [spec.origin or ""]
        home = Home(tuple(Path(place).parent for place in inside), package)
    found, rest = home.find(module.split("."))
    if found is None or rest:
        raise RivalryError(f"{module}: package '{package}' has no such module written in Python")
    return found


@dataclass(frozen=True)
class Import:
    """One name that an import brings in.

    Attributes
    ----------
    name : str
        What it is called here; "*" for all that there is.
    level : int
        How many dots stand before `origin`.
    origin : str
        What the name stands for: a module, or a name in one.
    loads : str
        What is loaded for it, where that is more: `import a.b` defines `a`, and loads `a.b`.
    """

    name: str
    level: int
    origin: str
    loads: str = ""


@dataclass(frozen=True)
class Statement:
    """A statement at the top level of a module; one name of an import is a statement of its own.

    Attributes
    ----------
    digest : str
        Hash of its syntax tree.
    binds : frozenset of str
        The names that it defines.
    runs : bool
        Whether it does more than that, so that it counts whichever name of its file is used.
    uses : frozenset of str
        Names that stand in it, with their attributes: `helper.soft.step`.
    imports : tuple of Import
        What it imports itself.
    """

    digest: str
    binds: frozenset[str]
    runs: bool
    uses: frozenset[str]
    imports: tuple[Import, ...]


@dataclass(frozen=True)
class Parsed:
    """A module's statements; what it imports for type checkers only; the hash of what lies beside it and counts."""

    statements: tuple[Statement, ...]
    for_checkers: tuple[Import, ...]
    beside: str

    def digest(self, rows: set[int]) -> str:
        """Hash of some of the statements."""
        text = "".join(self.statements[row].digest for row in sorted(rows)) + self.beside
        return hashlib.sha256(text.encode()).hexdigest()

    @cached_property
    def rows_of(self) -> dict[str, list[int]]:
        """By name, the statements that define it."""
        found: dict[str, list[int]] = defaultdict(list)
        for row, statement in enumerate(self.statements):
            for name in statement.binds:
                found[name].append(row)
        return dict(found)

    @cached_property
    def references(self) -> list[tuple[Import, str]]:
        """What a module imports, wherever that stands, and how it is used: by its name, with attributes."""
        uses = {use for statement in self.statements for use in statement.uses}
        by_name: dict[str, list[str]] = defaultdict(list)
        for use in uses:
            by_name[_root(use)].append(use)
        imported = dict.fromkeys(entry for statement in self.statements for entry in statement.imports)
        return [(entry, use) for entry in imported for use in by_name.get(entry.name, [entry.name])]


class _Walk:
    """Follows imports and names from some modules to all that they use.

    Attributes
    ----------
    counted : dict
        The modules, and which statements of each count.
    """

    def __init__(self, modules: Sequence[str]) -> None:
        self.counted: dict[Module, set[int]] = {}
        self.parsed = cache(_parsed)
        self._found = cache(_found)
        self._waiting: list[tuple[Module, int | None]] = []
        self._whole: set[Module] = set()
        self._needed: set[tuple[Module, str]] = set()
        for named in modules:
            path, name = split(named)
            module = find(path)
            if name and not {name, "*", "__getattr__"} & self.parsed(module).rows_of.keys():
                raise RivalryError(f"{path}: defines no '{name}'")
            self._enter(module, name)
        while self._waiting:
            self._read(*self._waiting.pop())

    def _enter(self, module: Module, use: str) -> None:
        """A module of which a name is used, with its attributes; "" for all of it."""
        name, parsed = _root(use), self.parsed(module)
        if module.ours in NO_PART:
            return
        handed_on = [entry for entry in parsed.for_checkers if entry.name == name]
        if module.ours and handed_on:  # by a face of this package, which imports on demand
            for entry in handed_on:
                self._follow(module, entry, use)
        elif module.ours or name not in parsed.rows_of:
            self._take_whole(module)
        else:
            self._take_running(module)
            self._need(module, use)

    def _take_whole(self, module: Module) -> None:
        if module not in self._whole:
            self._whole.add(module)
            self.counted[module] = {*range(len(self.parsed(module).statements))}
            self._waiting.append((module, None))

    def _take_running(self, module: Module) -> None:
        """What runs whichever name of a user's file is used; in what it imports, too."""
        if module in self.counted:
            return
        self._take(module)
        for row, statement in enumerate(self.parsed(module).statements):
            if statement.runs:
                self._take(module, row)
            for entry in statement.imports if statement.binds else ():
                found, _ = self._found(module, entry.level, entry.loads or entry.origin)
                if found and not found.ours:
                    self._take_running(found)

    def _take(self, module: Module, *rows: int) -> None:
        counted = self.counted.setdefault(module, set())
        self._waiting += [(module, row) for row in rows if row not in counted]
        counted |= {*rows}

    def _need(self, module: Module, use: str) -> None:
        """A name in a module that is used there, with its attributes."""
        if (module, use) in self._needed:  # modules may import one another
            return
        self._needed.add((module, use))
        parsed = self.parsed(module)
        for row in parsed.rows_of.get(_root(use), ()):
            self._take(module, row)
            for entry in parsed.statements[row].imports:
                if entry.name == _root(use):
                    self._follow(module, entry, use)

    def _read(self, module: Module, row: int | None) -> None:
        """What a statement uses, or a whole module."""
        if row is None:
            for entry, use in self.parsed(module).references:
                self._follow(module, entry, use)
            return
        statement = self.parsed(module).statements[row]
        if statement.uses & LOOKS_UP:
            self._take_whole(module)
        for use in statement.uses:
            self._need(module, use)
            for entry in statement.imports:
                if entry.name == _root(use):
                    self._follow(module, entry, use)
        for entry in statement.imports if statement.runs else ():
            self._follow(module, entry, entry.name)

    def _follow(self, module: Module, entry: Import, use: str) -> None:
        """Where an imported name leads, as it is used: `helper.soft` may be a module, or a name in one."""
        attributes = use[len(entry.name) :]
        origin = entry.loads if entry.loads and not attributes else entry.origin + attributes
        found, name = self._found(module, entry.level, origin)
        if found:
            self._enter(found, "" if entry.name == "*" else name)


def _found(module: Module, level: int, origin: str) -> tuple[Module | None, str]:
    """The module that an import leads to, and the name in it."""
    parts = origin.split(".") if origin else []
    if not level:
        return module.home.find(parts)
    folder = module.file.parents[min(level, len(module.file.parents)) - 1]
    return _below(folder, parts, 0, module.home)


def _root(use: str) -> str:
    return use.partition(".")[0]


def _parsed(module: Module) -> Parsed:
    """A file as it is now.

    Raises
    ------
    RivalryError
        It cannot be read, or is no Python.
    """
    try:
        content = module.file.read_bytes()
    except OSError as error:
        raise RivalryError(f"{module.file}: {error.strerror}") from error
    data = module.file.with_suffix(".yaml")
    return _read(module.file, content, data.read_bytes() if module.ours and data.is_file() else b"")


@lru_cache(maxsize=4096)
def _read(file: Path, content: bytes, beside: bytes) -> Parsed:
    tree = parse(file, content)
    for_checkers = [
        entry
        for node in tree.body
        if isinstance(node, ast.If) and _is_for_checkers(node)
        for inner in node.body
        for entry in _imports(inner)
    ]
    body = _Bare().visit(tree).body
    known = {entry.name: entry.origin for node in body for entry in _imports(node) if not entry.level}
    statements = [statement for node in body for statement in _statements(node, known)]
    return Parsed(tuple(statements), tuple(for_checkers), hashlib.sha256(beside).hexdigest() if beside else "")


def _statements(node: ast.stmt, known: Mapping[str, str]) -> Iterator[Statement]:
    """The statements that one statement counts as; `known` says what names stand for that the file imports."""
    if isinstance(node, ast.Import | ast.ImportFrom):
        for entry in _imports(node):
            digest = hashlib.sha256(f"import {entry}".encode()).hexdigest()
            yield Statement(digest, frozenset({entry.name}), entry.name == "*", frozenset(), (entry,))
        return
    uses, binds = frozenset(_uses(node)), frozenset(_binds(node))
    imports = tuple(entry for inner in ast.walk(node) for entry in _imports(inner))
    runs = not isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef)
    if isinstance(node, ast.Assign | ast.AnnAssign):
        targets = node.targets if isinstance(node, ast.Assign) else [node.target]
        runs = not all(isinstance(target, ast.Name) for target in targets)
    for decorator in getattr(node, "decorator_list", ()):
        named = decorator.func if isinstance(decorator, ast.Call) else decorator
        used = _root(next(_uses(named), ""))
        runs |= _root(known.get(used, used)) not in REGISTERS_NOTHING | {"property"}
    yield Statement(hashlib.sha256(ast.dump(node).encode()).hexdigest(), binds, runs, uses, imports)


def parse(file: Path | str, content: bytes) -> ast.Module:
    """A file's syntax tree.

    Raises
    ------
    RivalryError
        It is no Python; one line that names file and line.
    """
    try:
        return ast.parse(content, filename=str(file))
    except SyntaxError as error:
        place = f"{file}:{error.lineno}" if error.lineno else f"{file}"
        raise RivalryError(f"{place}: is no Python: {error.msg}") from error
    except (ValueError, RecursionError, MemoryError) as error:
        raise RivalryError(f"{file}: is no Python: {error}") from error


def _imports(node: ast.AST) -> Iterator[Import]:
    if isinstance(node, ast.Import):
        for alias in node.names:
            name = alias.asname or _root(alias.name)
            origin = alias.name if alias.asname else name
            yield Import(name, 0, origin, "" if origin == alias.name else alias.name)
    elif isinstance(node, ast.ImportFrom):
        for alias in node.names:
            origin = "" if alias.name == "*" else alias.name
            yield Import(alias.asname or alias.name, node.level, f"{node.module or ''}.{origin}".strip("."))


def _binds(node: ast.stmt) -> Iterator[str]:
    """The names that a statement defines."""
    waiting: list[ast.AST] = [node]
    while waiting:
        inner = waiting.pop()
        if isinstance(inner, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            yield inner.name
            continue
        if isinstance(inner, ast.Name) and isinstance(inner.ctx, ast.Store):
            yield inner.id
        yield from (entry.name for entry in _imports(inner))
        waiting += ast.iter_child_nodes(inner)


def _uses(node: ast.AST) -> Iterator[str]:
    """The names in a statement, each with its attributes."""
    waiting: list[ast.AST] = [node]
    while waiting:
        inner = waiting.pop()
        attributes: list[str] = []
        value = inner
        while isinstance(value, ast.Attribute):
            attributes.insert(0, value.attr)
            value = value.value
        if isinstance(value, ast.Name):
            yield ".".join([value.id, *attributes])
        else:
            waiting += ast.iter_child_nodes(value)


class _Bare(ast.NodeTransformer):
    """Leaves out docstrings, what only a type checker reads, and what runs only where a file is a script."""

    def visit(self, node: ast.AST) -> Any:
        if isinstance(node, ast.If) and (_is_for_checkers(node) or _is_for_scripts(node)):
            return None
        body = getattr(node, "body", None)
        if isinstance(body, list) and body and _is_docstring(body[0]):
            del body[0]
        return self.generic_visit(node)


def _is_for_checkers(node: ast.If) -> bool:
    return isinstance(node.test, ast.Name) and node.test.id == "TYPE_CHECKING"


def _is_for_scripts(node: ast.If) -> bool:
    return ast.unparse(node.test) in ("__name__ == '__main__'", "'__main__' == __name__")


def _is_docstring(node: ast.AST) -> bool:
    return isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant) and isinstance(node.value.value, str)
