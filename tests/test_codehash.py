"""Code hashes: what of this package and of users' own code a job's result depends on, and what it does not."""

from __future__ import annotations

import re
import shutil
from pathlib import Path

import pytest

from rivalry import codehash, registry
from rivalry.codehash import code_hash, modules_behind
from rivalry.errors import RivalryError

ROOT = Path(__file__).parent.parent


# ---- this package ----


@pytest.fixture
def package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy of the package's sources that may be edited."""
    copy = tmp_path / "rivalry"
    shutil.copytree(ROOT / "src/rivalry", copy, ignore=shutil.ignore_patterns("__pycache__"))
    monkeypatch.setattr(codehash, "PACKAGE", copy)
    return copy


FGSM, PGD = ("rivalry.stages.attack", "rivalry.attacks.fgsm"), ("rivalry.stages.attack", "rivalry.attacks.pgd")


def test_comments_docstrings_and_layout_change_no_hash(package: Path) -> None:
    file = package / "attacks/fgsm.py"
    before = code_hash(*FGSM)
    text = file.read_text()
    file.write_text("# a comment\n\n" + text.replace('"""Fast gradient', '"""The fast gradient') + "\n# another\n")
    assert code_hash(*FGSM) == before


def test_changed_code_changes_the_hash_of_its_own_attack_only(package: Path) -> None:
    file = package / "attacks/fgsm.py"
    before = code_hash(*FGSM), code_hash(*PGD)
    file.write_text(file.read_text().replace("images + eps", "images + 0.5 * eps"))
    assert code_hash(*FGSM) != before[0]
    assert code_hash(*PGD) == before[1]


def test_a_shared_piece_changes_all_that_import_it_however_indirectly(package: Path) -> None:
    file = package / "norms.py"
    before = code_hash(*FGSM), code_hash(*PGD), code_hash("rivalry.stages.tabulate")
    file.write_text(file.read_text().replace("gradient.sign()", "gradient.sign().neg()"))
    assert code_hash(*FGSM) != before[0]
    assert code_hash(*PGD) != before[1]
    assert code_hash("rivalry.stages.tabulate") == before[2]


def test_what_jobs_run_is_imported_from_its_own_module() -> None:
    """A package's face hands nothing on: what is imported from it is one of its files, or stands in it."""
    methods = (registry.method(kind, name).module for kind in registry.ROOMS for name in registry.names(kind))
    stages = (f"rivalry.stages.{file.stem}" for file in (ROOT / "src/rivalry/stages").glob("[a-z]*.py"))
    for name in codehash.modules_behind(*stages, *methods):
        module = codehash.find(name)
        for entry, _ in codehash._parsed(module).references:
            found, left = codehash._found(module, entry.level, entry.origin)
            if found and left and found.file.name == "__init__.py":
                face = codehash._parsed(found)
                handed_on = {handed.name for statement in face.statements for handed in statement.imports}
                assert left not in handed_on, (name, entry)


def test_the_command_line_is_in_no_hash(package: Path) -> None:
    before = code_hash(*FGSM)
    (package / "cli.py").write_text("x = 1\n")
    assert code_hash(*FGSM) == before


# ---- users' code ----

METHODS = """
import numpy as np
from rivalry.plugins import attack, defense
from torch.nn import GELU as act

import helper
from helper import soft as gentle
from nets import blocks
from nets.deep import layers as deep

SCALE, UNUSED = 0.5, 1
SHARED = {"steps": 3}
OTHER = 7


class Net:
    \"\"\"A docstring.\"\"\"

    width = OTHER


@attack(source="a")
def first(x):
    \"\"\"A docstring.\"\"\"
    return gentle(x) * SHARED["steps"] + helper.hard(x) + np.sin(x)


@attack(source="b")
def second(x):
    from late import thing  # comes with what uses it
    return Net.width + blocks.block(x) + thing + act(x)


def by_name(x):
    return globals()[x]


if __name__ == "__main__":
    print(first(1))
"""
FILES = {
    "methods.py": METHODS,
    "helper.py": "from deeper import floor\n\n\ndef soft(x):\n    return floor(x)\n\n\n"
    "def hard(x):\n    return 2 * x\n\n\ndef idle(x):\n    return 3\n",
    "deeper.py": "import helper\n\n\ndef floor(x):\n    return x // 1\n",
    "late.py": "thing = 1\n",
    "nets/__init__.py": "",
    "nets/blocks.py": "from . import base\nfrom .. import helper\nfrom .base import size\n\n\n"
    "def block(x):\n    return base.one + size + helper.hard(x)\n",
    "nets/base.py": "one = 1\nsize = 2\nspare = 3\n",
    "nets/deep/layers.py": "depth = 1\n",
}


def written(folder: Path) -> Path:
    for name, text in FILES.items():
        file = folder / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)
    return folder / "methods.py"


FIRST, SECOND, BOTH, NEITHER = {"first"}, {"second"}, {"first", "second"}, set()


@pytest.mark.parametrize(
    ("name", "old", "new", "changed"),
    [
        ("methods.py", "gentle(x) *", "gentle(x) +", FIRST),
        ("methods.py", "Net.width +", "Net.width -", SECOND),
        ("methods.py", "A docstring.", "Another.  # and a comment", NEITHER),
        ("methods.py", '"steps": 3', '"steps": 4', FIRST),
        ("methods.py", "OTHER = 7", "OTHER = 8", SECOND),  # through the class
        ("methods.py", "width = OTHER", "width = 1", SECOND),
        ("methods.py", 'source="b"', 'source="c"', SECOND),
        ("methods.py", "import attack, defense", "import attack", NEITHER),
        ("methods.py", "GELU as act", "ReLU as act", SECOND),
        ("methods.py", "return globals", "return  vars", NEITHER),
        ("methods.py", "print(first(1))", "print(2)", NEITHER),  # only where the file is a script
        ("methods.py", "SCALE, UNUSED = 0.5, 1", "SCALE, UNUSED = 0.5, 2", BOTH),  # does more than define one name
        ("methods.py", "SHARED = {", "np.seterr(all='raise')\nSHARED = {", BOTH),  # runs at every import
        ("methods.py", "\n\nclass Net", "\n@helper.hard\nclass Third:\n    pass\n\n\nclass Net", BOTH),  # may register
        ("helper.py", "floor(x)", "floor(x) + 1", FIRST),
        ("helper.py", "2 * x", "4 * x", BOTH),
        ("helper.py", "return 3", "return 4", NEITHER),
        ("deeper.py", "x // 1", "x // 2", FIRST),
        ("late.py", "thing = 1", "thing = 2", SECOND),
        ("nets/base.py", "one = 1", "one = 2", SECOND),
        ("nets/base.py", "size = 2", "size = 3", SECOND),
        ("nets/base.py", "spare = 3", "spare = 4", NEITHER),
        ("nets/deep/layers.py", "depth = 1", "depth = 2", NEITHER),  # nobody uses it
        ("nets/deep/layers.py", "depth = 1", "print(1)\ndepth = 1", BOTH),  # but it is imported
    ],
)
def test_an_edit_counts_for_what_uses_it(tmp_path: Path, name: str, old: str, new: str, changed: set[str]) -> None:
    file = written(tmp_path)
    before = {method: code_hash(f"{file}:{method}") for method in BOTH}
    whole = code_hash(str(file))
    text = (tmp_path / name).read_text()
    assert old in text
    (tmp_path / name).write_text(text.replace(old, new))
    assert {method for method in BOTH if code_hash(f"{file}:{method}") != before[method]} == changed
    assert changed <= BOTH if code_hash(str(file)) != whole else not changed


def test_who_looks_names_up_uses_the_whole_file(tmp_path: Path) -> None:
    file = written(tmp_path)
    before = code_hash(f"{file}:by_name")
    file.write_text(METHODS.replace("gentle(x) *", "gentle(x) +"))
    assert code_hash(f"{file}:by_name") != before


def test_a_plugin_depends_on_what_it_imports_of_this_package(tmp_path: Path) -> None:
    file = tmp_path / "mine.py"
    file.write_text("import rivalry.attacks\n\n\ndef mine(x):\n    return rivalry.attacks.fgsm(x)\n")
    behind = modules_behind(f"{file}:mine")
    assert {str(file), "rivalry.attacks.fgsm", "rivalry.attacks._attack"} <= {*behind}
    assert not {"rivalry.attacks.pgd", "rivalry.attacks"} & {*behind}


def test_files_of_the_same_name_are_not_mixed_up(tmp_path: Path) -> None:
    one, other = (tmp_path / folder / "m.py" for folder in ("one", "other"))
    for file, value in ((one, 1), (other, 2)):
        file.parent.mkdir()
        file.write_text("from helper import x\n\n\ndef f():\n    return x\n")
        (file.parent / "helper.py").write_text(f"x = {value}\n")
    assert code_hash(f"{one}:f") != code_hash(f"{other}:f")
    assert modules_behind(f"{one}:f", f"{other}:f") == sorted(
        str(file.parent / name) for file in (one, other) for name in ("m.py", "helper.py")
    )


def test_a_moved_folder_changes_no_hash(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = written(tmp_path / "hier")
    before = code_hash(f"{file}:second")
    (tmp_path / "hier").rename(tmp_path / "dört drüben")
    assert code_hash(f"{tmp_path}/dört drüben/methods.py:second") == before
    monkeypatch.chdir(tmp_path / "dört drüben")
    assert code_hash("methods.py:second") == before


def test_files_of_a_package_import_each_other_by_either_name(tmp_path: Path) -> None:
    package = tmp_path / "project"
    package.mkdir()
    (package / "__init__.py").write_text("")
    (package / "one.py").write_text("import two\nfrom project import three\n\n\ndef f():\n    return two.x + three.x\n")
    for name in ("two", "three"):
        (package / f"{name}.py").write_text("x = 1\n")
    assert [Path(file).name for file in modules_behind(f"{package}/one.py:f")] == ["one.py", "three.py", "two.py"]


def test_an_installed_package_is_found_without_importing_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    package = tmp_path / "somebodys"
    package.mkdir()
    (package / "__init__.py").write_text("raise RuntimeError('imported')\n")
    (package / "model.py").write_text(
        "import numpy\nfrom somebodys.parts import block\n\n\ndef build():\n    return block\n"
    )
    (package / "parts.py").write_text("from .other import block\n")
    (package / "other.py").write_text("block = 1\n")
    monkeypatch.syspath_prepend(tmp_path)
    before = code_hash("somebodys.model:build")
    assert [Path(file).name for file in modules_behind("somebodys.model:build")] == ["model.py", "other.py", "parts.py"]
    (package / "other.py").write_text("block = 2\n")
    assert code_hash("somebodys.model:build") != before


def test_a_name_that_a_star_brings_is_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(tmp_path)
    package = tmp_path / "starry"
    package.mkdir()
    (package / "__init__.py").write_text("import starry\nfrom .model import *\n\nwhere = starry.model\n")
    (package / "model.py").write_text("import starry\n\n\ndef build():\n    return starry.where\n")
    before = code_hash("starry:build")
    assert [Path(file).name for file in modules_behind("starry:build")] == ["__init__.py", "model.py"]
    (package / "model.py").write_text("import starry\n\n\ndef build():\n    return starry.here\n")
    assert code_hash("starry:build") != before


@pytest.mark.parametrize(
    ("named", "text", "line"),
    [
        ("gone.py", None, r"gone.py: there is no such file"),
        ("m.py", "x = 1\ndef f(:\n", r"\S*/m.py:2: is no Python: invalid syntax"),
        ("m.py", "x = '\0'\n", r"\S*/m.py\S* is no Python: .*null bytes"),
        ("m.py:build", "x = 1\n", r"m.py: defines no 'build'"),
        ("no_such_package.model:build", None, r"no_such_package.model: no package 'no_such_package' is installed"),
        ("yaml.no_such_module", None, r"yaml.no_such_module: package 'yaml' has no such module written in Python"),
    ],
)
def test_what_cannot_be_hashed_is_said_in_one_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, named: str, text: str | None, line: str
) -> None:
    monkeypatch.chdir(tmp_path)
    if text is not None:
        Path("m.py").write_text(text)
    with pytest.raises(RivalryError) as caught:
        code_hash(named)
    assert re.fullmatch(line, str(caught.value)), caught.value
