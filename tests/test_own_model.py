"""A network from outside where no configuration names it: on the command line, and in Python."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

import rivalry
from rivalry.artifacts import read_json
from rivalry.cli import main
from rivalry.errors import RivalryError, RivalryWarning

NETWORK = """
from layers import Dense

def build(classes=10):
    return Dense(784, classes)

def soft():
    import warnings
    from torch import nn

    warnings.warn("of the user's own code")
    return build().append(nn.Softmax(dim=1))

def constant():
    import torch
    class Constant(torch.nn.Module):
        def forward(self, images):
            return torch.zeros(len(images), 10)
    return Constant()
"""
LAYERS = """
from torch import nn

class Dense(nn.Sequential):
    def __init__(self, pixels, classes):
        super().__init__(nn.Flatten(), nn.Linear(pixels, classes))
"""


def trained(data: Path) -> nn.Module:
    """The network of NETWORK, which knows digits well: a ridge regression to +1 and -1."""
    split = rivalry.data.load_split(data, "train")
    pixels = torch.cat([split.floats().flatten(1), torch.ones(len(split), 1)], dim=1).double()
    wanted = 2 * nn.functional.one_hot(split.labels, 10).double() - 1
    solved = torch.linalg.solve(pixels.T @ pixels + torch.eye(785).double(), pixels.T @ wanted).float()
    network = nn.Sequential(nn.Flatten(), nn.Linear(784, 10))
    network.load_state_dict({"1.weight": 10 * solved[:-1].T, "1.bias": 10 * solved[-1]})
    return network


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Prepared digits, a user's file with a module beside it, and weights."""
    folder = tmp_path_factory.mktemp("own")
    words = ["--dataset", "digits", "--source", "digits", "--output", str(folder / "data/digits")]
    assert main(["prepare", *words]) == 0
    (folder / "net").mkdir()
    (folder / "net/my_model.py").write_text(NETWORK)
    (folder / "net/layers.py").write_text(LAYERS)
    torch.save(trained(folder / "data/digits").state_dict(), folder / "weights.pth")
    return folder


@pytest.fixture
def here(folder: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(folder)
    return folder


GIVEN = [
    "--data",
    "data/digits",
    "--victim",
    "net/my_model.py:build",
    "--weights",
    "weights.pth",
    "--victim-name",
    "mine",
]


def test_stages_are_run_on_a_network_from_outside(here: Path, tmp_path: Path) -> None:
    output = tmp_path / "fgsm"
    words = ["--attack", "fgsm", "--method", "fgsm", "--set", "eps=0.2", "--images", "40", "--output", str(output)]
    assert main(["attack", *words, *GIVEN]) == 0
    attacked = read_json(output / "attack.json")
    assert (attacked["victim"], attacked["defense"], attacked["n"]) == ("mine", "none", 40)
    about = read_json(output / "victim/victim.json")
    assert about["clean_accuracy"] > 0.85
    assert about["parameters"]["weights"] == "weights.pth"
    words = ["--defense", "median", "--method", "spatial_smoothing", "--output", str(tmp_path / "median")]
    assert main(["defend", *words, *GIVEN]) == 0
    defended = rivalry.load_victim(tmp_path / "median")
    assert defended(rivalry.data.load_split("data/digits", "test").floats()[:3]).shape == (3, 10)
    words = ["--fooling", "ascent", "--method", "gradient_ascent", "--output", str(tmp_path / "fooled")]
    assert main(["fool", *words, *GIVEN, "--set", "steps=20"]) == 0
    assert read_json(tmp_path / "fooled/fooling.json")["victim"] == "mine"


def test_a_warning_on_the_command_line_is_one_line(
    here: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Another's warning is printed as Python does: it is not what the terminal of a run shows."""
    words = ["--data", "data/digits", "--victim", "net/my_model.py:soft", "--weights", "weights.pth"]
    words += ["--outputs", "probabilities", "--victim-name", "soft", "--attack", "fgsm", "--method", "fgsm"]
    with pytest.warns(UserWarning, match="of the user's own code") as others:
        assert main(["attack", *words, "--images", "4", "--output", str(tmp_path / "fgsm")]) == 0
    ours = [line for line in capsys.readouterr().err.splitlines() if line.startswith("rivalry:")]
    found = read_json(tmp_path / "fgsm/victim/victim.json")["warnings"]
    assert ours == [f"rivalry: warning: {remark}" for remark in found]
    assert found[0].startswith("the network gives probabilities, which are less precise than logits")
    assert not any(issubclass(one.category, RivalryWarning) for one in others)


def test_python_loads_what_the_command_line_brings(here: Path, tmp_path: Path) -> None:
    images = rivalry.data.load_split("data/digits", "test").floats()[:50]
    order = [*range(9, -1, -1)]
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        plain = rivalry.load_victim("net/my_model.py:build", weights=Path("weights.pth"), data="data/digits")
    named = rivalry.load_victim(
        "net/my_model.py:build", weights="weights.pth", arguments={"classes": 10}, classes=tuple(order)
    )
    expected = trained(here / "data/digits")(images)
    assert torch.equal(plain(images), expected)
    assert torch.equal(named(images), expected[:, order])
    assert not plain.training


MISTAKES: list[tuple[list[str], str]] = [
    (["--victim", "net/my_model.py:biuld"], "model: net/my_model.py defines no 'biuld'; did you mean 'build'?"),
    (["--victim", "net/my_modle.py:build"], "model: net/my_modle.py does not exist"),
    (["--victim", "net/my_model.py"], "model: 'net/my_model.py' names a file and nothing in it; write"),
    (["--victim", "weights.safetensors"], "model: 'weights.safetensors' holds weights and no network"),
    (["--weights", "nowhere.pth"], "weights: nowhere.pth"),
    (["--arguments", "class=3"], "arguments: net/my_model.py:build has no 'class'; did you mean 'classes'?"),
    (["--normalize", "mean=[0.5]"], "--normalize"),
    (["--input", "size=0"], "--input"),
    (["--classes", "1", "2"], "classes"),
    (["--outputs", "probabilities"], "outputs: it gives numbers from"),
    (["--outputs", "probabilities"], "outputs: it gives numbers from"),
    (["--victim-name", "mine+median"], "--victim-name: mine+median is defended, and net/my_model.py:build is not"),
    (
        ["--victim", "net"],
        "--weights: is about a network that --victim names, such as my_model.py:build; net is a folder",
    ),
    (["--victim", "net/my_model.py:constant", "--weights", ""], "model: "),
]


@pytest.mark.parametrize(("words", "line"), MISTAKES, ids=[line for _, line in MISTAKES])
def test_a_mistake_on_the_command_line_is_one_line(
    words: list[str], line: str, here: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    given = [*GIVEN, "--attack", "fgsm", "--method", "fgsm", "--set", "eps=0.2", "--output", str(tmp_path / "out")]
    assert main(["attack", *given, *words]) == 1
    printed = capsys.readouterr().err.splitlines()
    assert len(printed) == 1
    assert printed[0].startswith(f"rivalry: {line}")


@pytest.mark.parametrize(
    ("given", "line"),
    [
        ({"victim": "net/my_model.py:build", "weight": "x"}, "unexpected keyword argument 'weight'"),
        ({"victim": "net", "weights": "weights.pth"}, "load_victim: weights: is about a network such as"),
        ({"victim": "net", "data": "data/digits"}, "load_victim: data: is about a network such as"),
        ({"victim": "net/my_model.py:build", "classes": ["a", "b"]}, "load_victim: classes: names need data="),
        ({"victim": "net/my_model.py:build", "outputs": "logit"}, "load_victim: outputs: 'logit' is unknown"),
        ({"victim": "net/my_model.py:build", "normalize": {"mean": 0.5}}, "load_victim: normalize"),
        ({"victim": "nowhere"}, "nowhere/victim.json: no such file"),
        ({"victim": "net/my_model.py:constant", "data": "data/digits"}, "model: "),
    ],
)
def test_a_mistake_in_python_is_one_line(given: dict[str, Any], line: str, here: Path) -> None:
    with pytest.raises((RivalryError, TypeError), match=line) as caught:
        rivalry.load_victim(**given)
    assert "\n" not in str(caught.value)
