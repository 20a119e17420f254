"""Which room may know which: imports lead downward only."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest

import rivalry

PACKAGE = Path(rivalry.__file__).parent
LAYERS = (
    ("errors", "types", "seeds", "layout", "formatting", "environment", "norms", "_torchvision"),
    ("randomness",),
    ("usercode",),
    ("artifacts", "registry", "devices", "codehash"),
    ("parameters", "options", "data", "architectures", "references"),
    ("usermethods",),
    ("answers",),
    ("external",),
    ("victims",),
    ("training", "loading"),
    ("generative",),
    ("poisoning",),
    ("attacks", "defenses"),
    ("filters", "targeted_poisoning", "fooling", "verification", "config", "adversarial"),
    ("plan", "statistics", "plugins"),
    ("checks",),
    ("figures", "report"),
    ("stages",),
    ("__init__", "describe", "commands", "evaluating"),
    ("cli",),
    ("forking",),
    ("__main__",),
)
"""Rooms and modules of the package. Each imports from the lines above its own only, and so not from its neighbours."""


def imports(package: Path) -> Iterator[tuple[str, str, str]]:
    """Every import of a package from itself, in functions and for type checkers too: module, imported module, place."""
    files = {_name(file, package): file for file in sorted(package.rglob("*.py"))}
    for module, file in files.items():
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Import):
                named = [alias.name for alias in node.names]
            elif isinstance(node, ast.ImportFrom):
                inside = module.split(".") if file.name == "__init__.py" else module.split(".")[:-1]
                above = inside[: len(inside) - node.level + 1] if node.level else []
                source = ".".join([*above, *filter(None, [node.module])])
                named = [f"{source}.{alias.name}" for alias in node.names]
            else:
                continue
            for name in named:
                found = next((known for known in (name, name.rpartition(".")[0]) if known in files), None)
                if found is not None and found != module:
                    yield module, found, f"{file.relative_to(package)}:{node.lineno}"


def _name(file: Path, package: Path) -> str:
    parts = file.relative_to(package.parent).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def room(module: str) -> str:
    """The room that a module belongs to; the package's own face is one."""
    return [*module.split("."), "__init__"][1]


def upward(package: Path, layers: tuple[tuple[str, ...], ...]) -> list[str]:
    """The imports that do not lead to a lower layer, each as one line."""
    height = {name: number for number, names in enumerate(layers) for name in names}
    return [
        f"{place}: {room(module)} imports {room(found)}"
        for module, found, place in imports(package)
        if room(module) != room(found) and height[room(module)] <= height[room(found)]
    ]


def test_rooms_import_only_from_below() -> None:
    assert upward(PACKAGE, LAYERS) == []


def test_every_room_has_its_layer() -> None:
    rooms = {file.stem for file in PACKAGE.glob("*.py")} | {file.parent.name for file in PACKAGE.glob("*/__init__.py")}
    assert sorted(name for names in LAYERS for name in names) == sorted(rooms)


def test_the_page_on_architecture_shows_these_layers() -> None:
    page = (Path(__file__).parents[1] / "docs" / "architecture.md").read_text(encoding="utf-8")
    assert "\n".join(", ".join(names) for names in LAYERS) in page


def test_no_modules_import_each_other_in_a_circle() -> None:
    graph: dict[str, set[str]] = {}
    for module, found, _ in imports(PACKAGE):
        graph.setdefault(module, set()).add(found)
    try:
        TopologicalSorter(graph).prepare()
    except CycleError as error:
        pytest.fail(" imports ".join(error.args[1]))


def test_whoever_warns_says_that_users_shall_read_it() -> None:
    """The command line and the terminal of a run show warnings of one kind."""
    for file in sorted(PACKAGE.rglob("*.py")):
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Call) and ast.unparse(node.func) == "warnings.warn":
                assert "RivalryWarning" in map(ast.unparse, node.args), f"{file.name}:{node.lineno}"


@pytest.mark.parametrize(
    "planted",
    [
        "from house.attic import Box",
        "from house import attic",
        "import house.attic.box",
        "from ..attic import Box",
        "def later():\n    from house.attic.box import Box",
        "from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    from house.attic import Box",
        "from house.pantry import shelf",
    ],
)
def test_an_import_that_leads_upward_is_found(planted: str, tmp_path: Path) -> None:
    layers = (("cellar", "pantry"), ("attic",))
    files = {
        "__init__.py": "",
        "cellar/__init__.py": "import os\nfrom .wine import bottle",
        "cellar/wine.py": planted,
        "pantry.py": "shelf = 1",
        "attic/__init__.py": "from house.attic.box import Box",
        "attic/box.py": "from house.cellar.wine import bottle\nfrom house.pantry import shelf",
    }
    for name, text in files.items():
        (tmp_path / "house" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "house" / name).write_text(text)
    (found,) = upward(tmp_path / "house", layers)
    assert found.startswith("cellar/wine.py:")
    (tmp_path / "house/cellar/wine.py").write_text("bottle = 1")
    assert upward(tmp_path / "house", layers) == []
