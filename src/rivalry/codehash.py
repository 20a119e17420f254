"""One hash for the code that a stage runs, so that a changed algorithm recomputes and a new comment does not."""

from __future__ import annotations

import ast
import hashlib
from functools import cache
from pathlib import Path

PACKAGE = Path(__file__).parent


def code_hash(*modules: str) -> str:
    """Hash of the syntax trees of `modules` and of every module of this package they import, directly or not.

    Comments, docstrings and layout do not count. Imports are followed wherever they stand, but only where they
    are written out: a method that a stage finds by its name must be named here beside the stage.

    Parameters
    ----------
    *modules : str
        Dotted names, such as `rivalry.attacks.fgsm`.

    Returns
    -------
    str
        16 hexadecimal digits.
    """
    seen: set[str] = set()
    open_modules = list(modules)
    while open_modules:
        module = open_modules.pop()
        if module not in seen and _file(module) is not None:
            seen.add(module)
            open_modules += [module.rpartition(".")[0], *_digest(module)[1]]
    digest = hashlib.sha256("".join(f"{name} {_digest(name)[0]}\n" for name in sorted(seen)).encode())
    return digest.hexdigest()[:16]


def _file(module: str) -> Path | None:
    """The source file of a module of this package; None for anything else."""
    package, *parts = module.split(".")
    if package != PACKAGE.name:
        return None
    path = PACKAGE.joinpath(*parts)
    for file in (path / "__init__.py", path.with_name(f"{path.name}.py")):
        if file.is_file():
            return file
    return None


@cache
def _digest(module: str) -> tuple[str, tuple[str, ...]]:
    """The hash of one module's own code, and what it may import of this package."""
    file = _file(module)
    assert file is not None
    tree = ast.parse(file.read_text(encoding="utf-8"))
    imported: list[str] = []
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            imported += [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and node.module:
            imported += [node.module, *(f"{node.module}.{alias.name}" for alias in node.names)]
        body = getattr(node, "body", None)
        if isinstance(body, list) and body and _is_docstring(body[0]):
            del body[0]
    ours = tuple(name for name in imported if name.split(".")[0] == PACKAGE.name)
    return hashlib.sha256(ast.dump(tree).encode()).hexdigest(), ours


def _is_docstring(node: ast.AST) -> bool:
    return isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant) and isinstance(node.value.value, str)
