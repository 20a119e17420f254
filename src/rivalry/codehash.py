"""One hash for the code that a stage runs, so that a changed algorithm recomputes and a new comment does not."""

from __future__ import annotations

import ast
import hashlib
from functools import cache
from pathlib import Path
from typing import Any

PACKAGE = Path(__file__).parent
NO_PART = {__name__, "rivalry.layout"}
"""They change nothing of what a stage computes: how code is hashed, and where files lie, which Snakemake sees."""


def code_hash(*modules: str) -> str:
    """Hash of the syntax trees of `modules` and of every module of this package they import, directly or not.

    Comments, docstrings and layout do not count. Imports are followed wherever they stand, but only where they
    are written out: a method that a stage finds by its name must be named here beside the stage. A YAML file
    beside a module and named like it counts as the module's.

    Parameters
    ----------
    *modules : str
        Dotted names, such as `rivalry.attacks.fgsm`.

    Returns
    -------
    str
        16 hexadecimal digits.
    """
    digest = hashlib.sha256("".join(f"{name} {_digest(name)[0]}\n" for name in modules_behind(*modules)).encode())
    return digest.hexdigest()[:16]


def modules_behind(*modules: str) -> list[str]:
    """The modules that `code_hash` counts, sorted."""
    seen = set(NO_PART)
    waiting: list[tuple[str, str | None]] = [(module, None) for module in modules]
    while waiting:
        module, name = waiting.pop()
        if name and _file(f"{module}.{name}"):
            module = f"{module}.{name}"
        if module not in seen and _file(module):
            seen.add(module)
            waiting += _digest(module)[1]
    return sorted(seen - NO_PART)


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
def _digest(module: str) -> tuple[str, tuple[tuple[str, str | None], ...]]:
    """The hash of one module's own code, and what it imports of this package: (module, name in it or None)."""
    file = _file(module)
    assert file is not None
    tree = _Bare().visit(ast.parse(file.read_text(encoding="utf-8")))
    imported: list[tuple[str, str | None]] = []
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            imported += [(alias.name, None) for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and node.module:
            imported += [(node.module, alias.name) for alias in node.names]
    ours = tuple(entry for entry in imported if entry[0].split(".")[0] == PACKAGE.name)
    data = file.with_suffix(".yaml")
    content = ast.dump(tree).encode() + (data.read_bytes() if data.is_file() else b"")
    return hashlib.sha256(content).hexdigest(), ours


class _Bare(ast.NodeTransformer):
    """Leaves out docstrings, and what only a type checker reads."""

    def visit(self, node: ast.AST) -> Any:
        if isinstance(node, ast.If) and isinstance(node.test, ast.Name) and node.test.id == "TYPE_CHECKING":
            return None
        body = getattr(node, "body", None)
        if isinstance(body, list) and body and _is_docstring(body[0]):
            del body[0]
        return self.generic_visit(node)


def _is_docstring(node: ast.AST) -> bool:
    return isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant) and isinstance(node.value.value, str)
