"""Code that users bring: a file such as `my_model.py`, or a module of an installed package.

Looking at it reads its source only. Importing it runs it, and whatever goes wrong then is one line.
"""

from __future__ import annotations

import ast
import importlib
import importlib.util
import re
import sys
import traceback
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from functools import cache
from hashlib import sha256
from importlib.machinery import ModuleSpec
from pathlib import Path
from types import ModuleType

from rivalry import _torchvision
from rivalry.errors import RivalryError, nearest

OURS = __name__.split(".")[0]
OUR_FOLDER = Path(__file__).resolve().parent
LIBRARIES = {"site-packages", "dist-packages"}
PACKAGED = "package:"
"""What stands before the path of a file that came with an installed package."""


def source_file(source: str) -> Path:
    """The file of a user's code, found without running any of it.

    Parameters
    ----------
    source : str
        A path that ends in .py, or the dotted name of an installed module.

    Raises
    ------
    RivalryError
        There is no such file or module, or the module is not written in Python.
    """
    if source.endswith(".py"):
        path = Path(source)
        if not path.is_file():
            raise RivalryError(f"{source} {'is no file' if path.exists() else 'does not exist'}")
        return path
    top, *inner = source.split(".")
    found = _installed(top)
    if found is None:
        raise RivalryError(f"there is no module {top} here; install it, or name a file such as my_model.py")
    if not inner and found.origin:
        candidates = [Path(found.origin)]
    else:
        places = [Path(place).joinpath(*inner) for place in found.submodule_search_locations or ()]
        candidates = [file for place in places for file in (place / "__init__.py", place.with_suffix(".py"))]
    for file in candidates:
        if file.is_file() and file.suffix == ".py":
            return file
    raise RivalryError(f"there is no Python module {'.'.join(inner) or top} in {top}")


def packaged_file(text: str) -> Path | None:
    """The file of an installed package that a text names, such as `package:digits/models/cnn.pth`; else None.

    Raises
    ------
    RivalryError
        There is no such package, or it has no such file.
    """
    if not text.startswith(PACKAGED):
        return None
    top, _, inner = text.removeprefix(PACKAGED).partition("/")
    if not (top.isidentifier() and inner):
        raise RivalryError(f"'{text}' names no file of a package; write {PACKAGED}NAME/path/in/it")
    found = _installed(top)
    if found is None:
        raise RivalryError(f"'{text}': there is no package {top} here; install it")
    for place in found.submodule_search_locations or ():
        if (file := Path(place) / inner).exists():
            return file
    raise RivalryError(f"'{text}': there is no {inner} in {top}")


def _installed(package: str) -> ModuleSpec | None:
    try:
        return importlib.util.find_spec(package)
    except (ImportError, ValueError):
        return None


def syntax_tree(source: str) -> ast.Module:
    """What a user's code says, without running it.

    Raises
    ------
    RivalryError
        It cannot be found or read, or it is no Python.
    """
    file = source_file(source)
    try:
        return ast.parse(file.read_bytes(), filename=str(file))
    except (SyntaxError, ValueError, OSError) as error:
        raise RivalryError(_told(error, source, file)) from error


def defined_names(tree: ast.Module) -> list[str] | None:
    """The names that a module defines or imports on its top level; None where only running it would tell."""
    names: dict[str, None] = {}
    waiting: list[ast.AST] = list(tree.body)
    for node in waiting:
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            names[node.name] = None
        elif isinstance(node, ast.Import | ast.ImportFrom):
            names |= {(alias.asname or alias.name).split(".")[0]: None for alias in node.names}
        elif isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
            names[node.id] = None
        else:
            waiting += ast.iter_child_nodes(node)
    return None if {"*", "__getattr__"} & names.keys() else list(names)


def imported(source: str, name: str) -> object:
    """What a user's code calls `name`. The code is run, unless it was and its files have not changed since.

    Raises
    ------
    RivalryError
        The code cannot be run, or has nothing of this name.
    """
    with running(source):
        module = _module(source)
    try:
        found: object = getattr(module, name)
    except AttributeError:
        raise RivalryError(f"{source}: defines no '{name}'; {nearest(name, _public(module))}") from None
    return found


def _public(module: ModuleType) -> list[str]:
    return [name for name, value in vars(module).items() if not name.startswith("_") and callable(value)]


@contextmanager
def running(source: str) -> Iterator[None]:
    """Run a user's code in this block: modules beside its file can be imported, and an exception becomes one line.

    Raises
    ------
    RivalryError
        What the code raised, with its file and line.
    """
    file = source_file(source)
    _torchvision.ensure()  # the code may import it
    try:
        if source.endswith(".py"):
            with _importable(file.resolve().parent):
                yield
        else:
            yield
    except (RivalryError, KeyboardInterrupt):
        raise
    except (Exception, SystemExit) as error:  # whatever the user's code does
        raise RivalryError(_told(error, source, file)) from error


def _told(error: BaseException, source: str, file: Path) -> str:
    """An exception in one line, with the line of the user's code that it came from."""
    what = str(error).strip().splitlines() or [""]
    if isinstance(error, SyntaxError) and error.filename:
        place: tuple[str, int | None] = error.filename, error.lineno
        what = [error.msg]
    else:
        top = source.split(".")[0]
        root = next((folder for folder in file.resolve().parents if folder.name == top), file.resolve().parent)
        place = _last_line(error, [root]) or (source, None)
    shown = source if Path(place[0]).resolve() == file.resolve() else place[0]
    where = f"{shown}, line {place[1]}" if place[1] else shown
    return f"{where}: {type(error).__name__}: {what[0]}".rstrip(": ")


def _last_line(error: BaseException, roots: Iterable[Path]) -> tuple[str, int | None] | None:
    """The file and line in the user's folders that an exception came from last; None: it came from nowhere there."""
    for frame in reversed(traceback.extract_tb(error.__traceback__)):
        file = Path(frame.filename).resolve()
        # A user's folder may hold the environment, and this package, too.
        inner = [file.relative_to(root) for root in roots if file.is_relative_to(root)]
        if file.is_file() and not file.is_relative_to(OUR_FOLDER) and any(LIBRARIES.isdisjoint(p.parts) for p in inner):
            return frame.filename, frame.lineno
    return None


def blamed(error: BaseException) -> str | None:
    """What a user's code raised while a job ran it, in one line with its file and line; None: no such code did."""
    place = _last_line(error, _taken)
    if place is None:
        return None
    file = Path(place[0]).resolve()
    shown = file.relative_to(Path.cwd()) if file.is_relative_to(Path.cwd()) else file
    what = (str(error).strip().splitlines() or [""])[0]
    return f"{shown}, line {place[1]}: {type(error).__name__}: {what}".rstrip(": ")


def _module(source: str) -> ModuleType:
    if not source.endswith(".py"):
        return importlib.import_module(source)
    # In a package of our own, so that `from .layers import Block` is found beside the file, too.
    file = Path(source).resolve()
    stem = re.sub(r"\W", "_", file.stem)
    name = f"{_package(file.parent).__name__}.{stem}"
    if name not in sys.modules:
        spec = importlib.util.spec_from_file_location(name, file)
        assert spec is not None
        assert spec.loader is not None
        module = sys.modules[name] = importlib.util.module_from_spec(spec)
        try:
            spec.loader.exec_module(module)
        except BaseException:
            del sys.modules[name]
            raise
    return sys.modules[name]


@cache
def _package(folder: Path) -> ModuleType:
    """A package whose modules are the files of a folder, whatever the folder is called."""
    name = f"{OURS}_user_{sha256(str(folder).encode(errors='surrogateescape')).hexdigest()[:12]}"
    package = ModuleType(name)
    package.__path__ = [str(folder)]
    sys.modules[name] = package
    return package


_taken: dict[Path, dict[str, ModuleType]] = {}
"""By the user's folder: the modules of its files that were imported."""
_states: dict[Path, dict[str, tuple[int, int]]] = {}
"""By the user's folder: what its files were like when they were imported."""


@contextmanager
def _importable(folder: Path) -> Iterator[None]:
    """Have modules in a folder found before all others, but not before those of Python itself.

    A module of the same name that was imported from elsewhere, such as another user's `layers`, is put aside
    meanwhile and is back afterwards. Modules whose files have changed are imported anew.
    """
    beside = {file.stem for file in folder.glob("*.py")} | {init.parent.name for init in folder.glob("*/__init__.py")}
    beside -= {OURS, *sys.stdlib_module_names}
    own = _package(folder).__name__

    def here() -> dict[str, ModuleType]:
        return {
            name: module
            for name, module in list(sys.modules.items())
            if name.split(".")[0] in beside or name.startswith(f"{own}.")
        }

    taken, found = _taken.get(folder, {}), here()
    aside = {name: module for name, module in found.items() if module is not taken.get(name)}
    for name in found:
        del sys.modules[name]
    if _states.get(folder) == _state(taken):
        sys.modules.update(taken)
    importlib.invalidate_caches()
    written, sys.dont_write_bytecode = sys.dont_write_bytecode, True
    sys.path.insert(0, str(folder))
    try:
        yield
    finally:
        sys.path.remove(str(folder))
        sys.dont_write_bytecode = written
        _taken[folder] = here()
        _states[folder] = _state(_taken[folder])
        sys.modules.update(aside)
        if str(folder) not in sys.path:  # for what a function imports when it is called
            sys.path.append(str(folder))


def _state(modules: dict[str, ModuleType]) -> dict[str, tuple[int, int]]:
    """Time and size of each module's file."""
    states = {}
    for name, module in modules.items():
        file = Path(getattr(module, "__file__", None) or "")
        if file.is_file():
            stat = file.stat()
            states[name] = stat.st_mtime_ns, stat.st_size
    return states
