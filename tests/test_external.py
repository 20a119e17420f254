"""Networks that users bring: their code, their weights, and what stands around them."""

from __future__ import annotations

import sys
import textwrap
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file
from sklearn.datasets import load_digits

from rivalry import usercode
from rivalry.artifacts import read_table, write_json, write_manifest, write_tensors
from rivalry.errors import RivalryError
from rivalry.layout import Layout
from rivalry.stages.attack import attack
from rivalry.stages.train import train
from rivalry.victims import load_victim


def write(folder: Path, **files: str) -> Path:
    """Files of Python code, by their names; returns the first."""
    folder.mkdir(exist_ok=True, parents=True)
    for name, text in files.items():
        (folder / f"{name}.py").write_text(textwrap.dedent(text), encoding="utf-8")
    return folder / f"{next(iter(files))}.py"


# ---- code ----


def test_two_users_layers_are_kept_apart(tmp_path: Path) -> None:
    found = []
    for user in ("ann", "bob"):
        file = write(
            tmp_path / user,
            net="import layers\nfrom . import more\ndef build(): return layers.WHO, more.WHO",
            layers=f"WHO = '{user}'",
            more=f"WHO = 'more {user}'",
        )
        found.append(usercode.imported(str(file), "build"))
    assert [build() for build in found] == [("ann", "more ann"), ("bob", "more bob")]


def test_a_users_file_hides_no_module_for_others(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write(tmp_path / "others", shared_name="WHO = 'other'")
    monkeypatch.syspath_prepend(str(tmp_path / "others"))
    other = __import__("shared_name")
    file = write(tmp_path / "mine", net="import shared_name\nWHO = shared_name.WHO", shared_name="WHO = 'mine'")
    assert usercode.imported(str(file), "WHO") == "mine"
    assert sys.modules["shared_name"] is other


def test_an_edited_file_is_run_again_and_an_unchanged_one_is_not(tmp_path: Path) -> None:
    file = write(tmp_path, net="import layers\nclass Net: size = layers.SIZE", layers="SIZE = 1")
    first = usercode.imported(str(file), "Net")
    assert usercode.imported(str(file), "Net") is first
    write(tmp_path, layers="SIZE = 22")
    assert getattr(usercode.imported(str(file), "Net"), "size", None) == 22


def test_what_a_function_imports_when_called_is_found(tmp_path: Path) -> None:
    file = write(tmp_path, net="def build():\n    import late_layers\n    return late_layers.X", late_layers="X = 3")
    build = usercode.imported(str(file), "build")
    assert callable(build)
    assert build() == 3


CODE_FAULTS = [
    ({"net": "x = 1\ny = undefined"}, "line 2: NameError: name 'undefined' is not defined"),
    ({"net": "import layers", "layers": "\n1 / 0"}, "layers.py, line 2: ZeroDivisionError: division by zero"),
    ({"net": "def f(:\n"}, "net.py, line 1: SyntaxError: invalid syntax"),
    ({"net": "import sys\nsys.exit(2)"}, "net.py, line 2: SystemExit: 2"),
    ({"net": "import no_such_package"}, "net.py, line 1: ModuleNotFoundError: No module named 'no_such_package'"),
    ({"net": "def build(): pass"}, "net.py: defines no 'buidl'; did you mean 'build'?"),
]


@pytest.mark.parametrize(("files", "line"), CODE_FAULTS, ids=[line for _, line in CODE_FAULTS])
def test_what_is_wrong_in_a_users_code_is_one_line(files: dict[str, str], line: str, tmp_path: Path) -> None:
    with pytest.raises(RivalryError) as caught:
        usercode.imported(str(write(tmp_path, **files)), "buidl")
    assert line in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("text", "names"),
    [
        ("import a.b as c, d.e\nfrom f import g", ["c", "d", "g"]),
        ("if x:\n    def f(): inner = 1\nelse:\n    f = None\nclass K:\n    y = 1", ["f", "K"]),
        ("try:\n    a, (b, *c) = 1\nexcept E:\n    d: int = 2\nwith o as p:\n    q = 1", [*"abcpdq"]),
        ("from f import *", None),
    ],
)
def test_names_are_read_without_running_the_code(text: str, names: list[str] | None, tmp_path: Path) -> None:
    found = usercode.defined_names(usercode.syntax_tree(str(write(tmp_path, net=text))))
    assert found is None if names is None else found is not None and set(names) == set(found)


@pytest.mark.parametrize(
    ("source", "line"),
    [
        ("no/file.py", "no/file.py does not exist"),
        ("no_such_package.nets", "there is no module no_such_package here"),
        ("yaml.nets", "there is no Python module nets in yaml"),
    ],
)
def test_code_that_is_not_there_is_told(source: str, line: str) -> None:
    with pytest.raises(RivalryError, match=line):
        usercode.source_file(source)


def test_an_installed_module_is_found_without_running_it() -> None:
    assert usercode.source_file("yaml.loader").name == "loader.py"
    assert usercode.source_file("yaml").name == "__init__.py"


# ---- a victim from outside, through the chain ----

CLASSES = 10
OURS = """
import rivalry.architectures

def build(classes, hidden=0):
    return rivalry.architectures.mlp512((1, 8, 8), classes)
"""


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A results folder with small digits, a victim that we trained, and the same as its user would bring it."""
    results = tmp_path_factory.mktemp("external") / "results"
    digits = load_digits()
    images = torch.from_numpy((digits.images * 255 / 16).round()).to(torch.uint8)[:, None]
    labels = torch.from_numpy(digits.target).long()
    data = Layout(results).data("digits")
    for name, rows in (("train", slice(0, 1400)), ("test", slice(1400, None))):
        write_tensors(data[name], {"images": images[rows], "labels": labels[rows]})
    facts = {"dataset": "digits", "shape": [1, 8, 8], "classes": CLASSES, "class_names": [*"0123456789"]}
    write_json(data.facts, facts | {"sha256": {"train": "a", "test": "b"}, "source": "digits"})
    write_manifest(data)
    fit = {"epochs": 3, "batch_size": 64, "learning_rate": 0.003, "optimizer": "adam", "patience": 3}
    train(
        *("ours", "mlp512", {}, "plain", {"temperature": 1.0}, fit | {"validation_fraction": 0.1}),
        *(data.folder, Layout(results).victim("digits", "ours").folder),
        accelerator="cpu",
    )
    ours = load_victim(Layout(results).victim("digits", "ours").folder)
    user = results.parent / "user"
    write(user, my_model=OURS)
    save_file(ours.network.state_dict(), user / "weights.safetensors")
    torch.save(ours.network.state_dict(), user / "weights.pth")
    return results


def described(run: Path, **changes: Any) -> dict[str, Any]:
    """The keys of a victim that is brought."""
    ours = load_victim(Layout(run).victim("digits", "ours").folder)
    user = run.parent / "user"
    return {
        "model": f"{user / 'my_model.py'}:build",
        "weights": str(user / "weights.safetensors"),
        "arguments": {"classes": CLASSES},
        "normalize": {"mean": ours.mean.tolist(), "std": ours.std.tolist()},
        "input": None,
        "outputs": "logits",
        "classes": None,
    } | changes


def brought(run: Path, name: str, **changes: Any) -> Path:
    folder = Layout(run).victim("digits", name).folder
    data = Layout(run).data("digits").folder
    train(name, None, {}, "external", described(run, **changes), {}, data, folder, accelerator="cpu")
    return folder


def test_a_network_of_ours_brought_from_outside_is_attacked_to_the_same_bytes(run: Path) -> None:
    brought(run, "theirs")
    made = {}
    for name in ("ours", "theirs"):
        place = Layout(run).attack("digits", name, "pgd")
        attack(
            *("pgd", "pgd", {"eps": [0.1], "steps": 5, "step_size": 0.05}, Layout(run).data("digits").folder),
            *(Layout(run).victim("digits", name).folder, place.folder),
            victim_name=name,
            images=60,
            seed=1,
            accelerator="cpu",
        )
        scores = read_table(place["scores"])
        made[name] = place["images"].read_bytes(), scores.drop(columns="seconds").to_csv()
    assert made["ours"] == made["theirs"]
    assert 0.1 < scores["success"].mean() < 1
