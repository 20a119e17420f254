"""Networks that users bring: their code, their weights, and what stands around them."""

from __future__ import annotations

import functools
import hashlib
import subprocess
import sys
import textwrap
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml
from safetensors.torch import load_file, save_file
from sklearn.datasets import load_digits
from torch import Tensor, nn
from torch.nn.functional import interpolate

from rivalry import checks, usercode
from rivalry.adversarial import read_sets
from rivalry.artifacts import read_json, read_table, write_json, write_manifest, write_tensors
from rivalry.checks._evidence import Evidence
from rivalry.codehash import code_hash, modules_behind
from rivalry.config import Mistakes, load_config
from rivalry.data._splits import load_split
from rivalry.errors import RivalryError
from rivalry.external.wrapping import Wrapped, class_order
from rivalry.layout import Layout
from rivalry.plan import Plan
from rivalry.report.limits import limits
from rivalry.report.tables import victims
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


def test_a_users_code_may_import_torchvision(tmp_path: Path) -> None:
    """Also beside a PyTorch that it was not built for, and before anything else has imported it."""
    file = write(tmp_path, net="from torchvision.models import resnet18 as build")
    code = f"from rivalry.usercode import imported; print(imported({str(file)!r}, 'build').__name__)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.stdout.strip() == "resnet18", done.stderr


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
    write_manifest(data, [data[role] for role in ("facts", "train", "test")])
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


def test_two_runs_bring_the_same_bytes_and_record_the_files(run: Path) -> None:
    first, second = (brought(run, name) for name in ("once", "twice"))
    assert (first / "victim.safetensors").read_bytes() == (second / "victim.safetensors").read_bytes()
    facts = read_json(first / "victim.json")
    given = described(run)
    files = [given["model"].removesuffix(":build"), given["weights"]]
    assert facts["files"] == {file: hashlib.sha256(Path(file).read_bytes()).hexdigest() for file in files}
    assert facts["prepared"] == {"shape": [1, 8, 8], "range": [0, 1]} | given["normalize"]
    assert (facts["architecture"], facts["epochs_run"], facts["warnings"]) == (None, None, [])
    assert facts["clean_accuracy"] == read_json(Layout(run).victim("digits", "ours").facts)["clean_accuracy"]


def test_a_victim_whose_code_was_edited_since_is_not_loaded(run: Path) -> None:
    ours = (run.parent / "user" / "my_model.py").read_text()
    file = write(run.parent / "edited", my_model=ours, layers="SIZE = 1")
    folder = brought(run, "edited", model=f"{file}:build")
    write(run.parent / "edited", my_model=f"# a comment\n{ours}")
    load_victim(folder)
    write(run.parent / "edited", my_model=ours.replace("mlp512", "lenet5"))
    with pytest.raises(RivalryError, match=r"my_model.py:build: is not the code that edited was brought with"):
        load_victim(folder)


HEAD = """
import torch
from torch import nn
import rivalry.architectures

class Base(nn.Module):
    def __init__(self):
        super().__init__()
        self.inner = rivalry.architectures.mlp512((1, 8, 8), 10)

    def forward(self, x):
        return self.inner(x)

"""

ALIKE = {
    "a class": "class Net(Base): pass",
    "a network that is ready": "Net = Base()",
    "a function with keyword arguments": "def Net(**anything): return Base()",
    "double precision": "def Net(): return Base().double()",
    "half precision": "def Net(): return Base().half()",
    "in training mode, with dropout": """
class Net(Base):
    def __init__(self):
        super().__init__()
        self.train()
    def forward(self, x):
        return self.inner(nn.functional.dropout(x, 0.5, self.training))
""",
    "writes into its input": "class Net(Base):\n    def forward(self, x): return self.inner(x.mul_(2).div_(2))",
    "prints": "class Net(Base):\n    def forward(self, x):\n        print(x.shape)\n        return self.inner(x)",
    "gives a dictionary": "class Net(Base):\n    def forward(self, x): return {'logits': self.inner(x), 'loss': None}",
    "gives an object": """
import dataclasses
@dataclasses.dataclass
class Output:
    logits: torch.Tensor
class Net(Base):
    def forward(self, x): return Output(self.inner(x))
""",
    "switches gradients off for all": "torch.set_grad_enabled(False)\nNet = Base",
    "sets another precision for all": "torch.set_default_dtype(torch.float64)\nNet = lambda: Base().float()",
    "in a container for several GPUs": "def Net(): return nn.DataParallel(Base())",
    "tied weights": """
class Net(Base):
    def __init__(self):
        super().__init__()
        self.same = self.inner
""",
}


@pytest.fixture(scope="module")
def user(run: Path) -> Path:
    """A user's folder with the weights of `Base`."""
    folder = run.parent / "user"
    weights = load_file(folder / "weights.safetensors")
    save_file({f"inner.{name}": tensor for name, tensor in weights.items()}, folder / "base.safetensors")
    return folder


@pytest.mark.parametrize("kind", ALIKE)
def test_networks_of_many_kinds_answer_alike(kind: str, run: Path, user: Path) -> None:
    file = write(user / kind.replace(" ", "_"), net=HEAD + textwrap.dedent(ALIKE[kind]))
    folder = brought(run, "kind", model=f"{file}:Net", weights=str(user / "base.safetensors"), arguments={})
    ours, theirs = (load_victim(Layout(run).victim("digits", name).folder) for name in ("ours", "kind"))
    assert (torch.is_grad_enabled(), torch.get_default_dtype()) == (True, torch.float32)
    images = load_split(Layout(run).data("digits").folder, "test").floats(slice(40)).requires_grad_(True)
    shown = images.detach().clone()
    expected, found = ours(images), theirs(images)
    assert found.dtype == torch.float32
    torch.testing.assert_close(found, expected, **({"rtol": 0.02, "atol": 0.02} if "half" in kind else {}))
    slopes = [torch.autograd.grad(logits.logsumexp(1).sum(), images)[0] for logits in (expected, found)]
    torch.testing.assert_close(slopes[1], slopes[0], **({"rtol": 0.1, "atol": 0.02} if "half" in kind else {}))
    assert torch.equal(images, shown)
    assert read_json(folder / "victim.json")["warnings"] == []


FAULTS = {
    "no module": ("def Net(): return {}", {}, "model: .*net.py:Net gives a dict, not a torch.nn.Module"),
    "a number": ("Net = 3", {}, "model: .*net.py:Net is a int; name a class or function that gives a network"),
    "raises": (
        "def Net():\n    raise ValueError('no such depth')",
        {},
        r"model: .*net.py, line \d+: ValueError: no such",
    ),
    "an unknown argument": (
        *("def Net(width=3): return Base()", {"arguments": {"widht": 3}}),
        "arguments: .*net.py:Net has no 'widht'; did you mean 'width'",
    ),
    "a missing argument": ("def Net(width): return Base()", {}, "arguments.width: is missing; .*net.py:Net needs it"),
    "arguments of a ready network": (
        *("Net = Base()", {"arguments": {"width": 3}}),
        "arguments: .*net.py:Net is a network already, and takes none",
    ),
    "an unknown name": ("def Nett(): return Base()", {}, "model: .*net.py defines no 'Net'; did you mean 'Nett'"),
    "a tuple": (
        *("class Net(Base):\n    def forward(self, x): return self.inner(x), x", {}),
        "model: the network gives a tuple of 2, not one tensor; have it give its logits alone",
    ),
    "classes, not logits": (
        *("class Net(Base):\n    def forward(self, x): return self.inner(x).argmax(1)", {}),
        "model: the network gives torch.int64, not logits; leave out its argmax",
    ),
    "statistics for two channels": (
        *("Net = Base", {"normalize": {"mean": [0.5, 0.5], "std": [1.0, 1.0]}}),
        "normalize.mean: has 2 numbers, and images have 1 channels; give one for each",
    ),
    "two channels": ("Net = Base", {"input": {"channels": 3}}, r"model: it fails when it is given \(16, 3, 8, 8\) .*"),
    "another size": ("Net = Base", {"input": {"size": [8, 9]}}, r"model: it fails when it is given \(16, 1, 8, 9\)"),
    "a sigmoid of ten": (
        "Net = Base",
        {"outputs": "sigmoid"},
        "outputs: sigmoid is one number an image, .* gives Nx10",
    ),
    "classes that are too few": (
        *("Net = Base", {"classes": [0, 1, 2]}),
        "classes: lists no 3; list every class once, in the order of the outputs",
    ),
    "a class twice": ("Net = Base", {"classes": [0, 0]}, r"classes\[1\]: 0 is listed twice"),
    "no such class": (
        "Net = Base",
        {"classes": ["zero"]},
        r"classes\[0\]: 'zero' is no class of the data; valid: 0, 1",
    ),
    "a class too large": (
        "Net = Base",
        {"classes": [10]},
        r"classes\[0\]: 10 is no class of the data; they are 0 to 9",
    ),
    "weights by a name": (
        "Net = Base",
        {"weights": "DEFAULT"},
        "weights: 'DEFAULT' is no file; only networks of torch",
    ),
}


@pytest.mark.parametrize("kind", FAULTS)
def test_what_is_wrong_with_a_network_is_one_line(kind: str, run: Path, user: Path) -> None:
    code, changes, line = FAULTS[kind]
    file = write(user / kind.replace(" ", "_"), net=HEAD + code)
    given = {"model": f"{file}:Net", "weights": str(user / "base.safetensors"), "arguments": {}, "normalize": None}
    with pytest.raises(RivalryError, match=line) as caught:
        brought(run, "kind", **given | changes)
    assert "\n" not in str(caught.value)


# ---- what stands around a network ----


class Keep(nn.Module):
    """Gives what it is given."""

    def forward(self, images: Tensor) -> Tensor:
        return images


def pictures(n: int, channels: int, height: int, width: int) -> Tensor:
    return torch.rand(n, channels, height, width, generator=torch.Generator().manual_seed(1))


PREPARED: dict[str, tuple[dict[str, Any], Callable[[Tensor], Tensor]]] = {
    "as it is": ({}, lambda x: x),
    "range": ({"range_": (-1, 1)}, lambda x: 2 * x - 1),
    "black is white": ({"range_": (255, 0)}, lambda x: 255 * (1 - x)),
    "normalised": (
        {"range_": (0, 255), "mean": [1.0, 2.0, 3.0], "std": [4.0, 5.0, 6.0]},
        lambda x: (255 * x - torch.tensor([1.0, 2.0, 3.0])[:, None, None]) / torch.tensor([4.0, 5, 6])[:, None, None],
    ),
    "one number for all channels": ({"mean": [0.5], "std": [0.25]}, lambda x: (x - 0.5) * 4),
    "grey": (
        {"channels": 1},
        lambda x: 0.299 * x[:, :1] + 0.587 * x[:, 1:2] + 0.114 * x[:, 2:],
    ),
    "larger, not square": (
        {"size": (9, 14)},
        lambda x: interpolate(x, (9, 14), mode="bilinear", antialias=True, align_corners=False),
    ),
    "half as large": ({"size": (3, 2)}, lambda x: interpolate(x, (3, 2), mode="bilinear", antialias=True)),
}


@pytest.mark.parametrize("kind", PREPARED)
def test_a_network_is_given_what_it_wants(kind: str) -> None:
    told, expected = PREPARED[kind]
    images = pictures(2, 3, 6, 5)
    found = Wrapped(Keep(), **told).prepared(images)
    torch.testing.assert_close(found, expected(images))
    assert found is not images


def test_grey_images_are_given_in_three_channels() -> None:
    images = pictures(2, 1, 4, 4)
    assert torch.equal(Wrapped(Keep(), channels=3).prepared(images), torch.cat([images] * 3, dim=1))


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("outputs", ["logits", "probabilities", "sigmoid"])
def test_gradients_lead_through_all_that_stands_around_a_network(channels: int, outputs: str) -> None:
    torch.manual_seed(0)
    ends = {"logits": nn.Linear(35, 4), "probabilities": nn.Sequential(nn.Linear(35, 4), nn.Softmax(1))}
    ends["sigmoid"] = nn.Sequential(nn.Linear(35, 1), nn.Sigmoid())
    network = nn.Sequential(nn.Flatten(), nn.Linear((4 - channels) * 35, 35), nn.Tanh(), ends[outputs]).double()
    victim = Wrapped(
        *(network,),
        size=(7, 5),
        channels=4 - channels,
        range_=(-1, 2),
        mean=[0.1],
        std=[0.7],
        outputs=outputs,
        order=[1, 0] if outputs == "sigmoid" else [2, 0, 3, 1],
    )
    victim.logits = functools.partial(_in_double, victim)  # float32 logits are too coarse for differences
    images = pictures(2, channels, 4, 6).double().requires_grad_(True)
    assert torch.autograd.gradcheck(victim.double(), images)


def _in_double(victim: Wrapped, output: Tensor) -> Tensor:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Tensor, "float", lambda tensor: tensor)
        return Wrapped.logits(victim, output)


LOGITS: dict[str, tuple[dict[str, Any], list[float], list[float]]] = {
    "as they are": ({}, [2.0, -1.0, 0.0], [2.0, -1.0, 0.0]),
    "of the second class": ({}, [1.5], [0.0, 1.5]),
    "probabilities": ({"outputs": "probabilities"}, [0.5, 0.25, 0.25], [-0.6931472, -1.3862944, -1.3862944]),
    "a probability of nothing": ({"outputs": "probabilities"}, [1.0, 0.0], [0.0, -87.33655]),
    "a sigmoid": ({"outputs": "sigmoid"}, [0.75], [-1.3862944, -0.2876821]),
    "in another order": ({"order": [2, 0, 1]}, [5.0, 6.0, 7.0], [6.0, 7.0, 5.0]),
    "a sigmoid of the first class": ({"outputs": "sigmoid", "order": [1, 0]}, [0.75], [-0.2876821, -1.3862944]),
}


@pytest.mark.parametrize("kind", LOGITS)
def test_what_a_network_gives_becomes_logits(kind: str) -> None:
    told, given, logits = LOGITS[kind]
    victim = Wrapped(Keep(), **told)
    torch.testing.assert_close(victim.logits(torch.tensor([given, given])), torch.tensor([logits, logits]))
    if len(given) == 1:
        torch.testing.assert_close(victim.logits(torch.tensor(given)), torch.tensor([logits]))


def test_the_order_of_classes_is_that_of_the_outputs() -> None:
    names = ["cat", "dog", "cow"]
    assert class_order(["cow", "cat", "dog"], names) == class_order([2, 0, 1], names) == [2, 0, 1]
    victim = Wrapped(Keep(), order=class_order(["cow", "cat", "dog"], names))
    cow, cat, dog = torch.eye(3)
    assert [names[int(victim.logits(output[None]).argmax())] for output in (cow, cat, dog)] == ["cow", "cat", "dog"]


def test_budgets_hold_in_the_data_sets_pixels(run: Path, user: Path) -> None:
    code = HEAD + "class Net(Base):\n    def forward(self, x): return self.inner(x[:, :1, ::2, ::2] / 255)"
    file = write(user / "wide", net=code)
    changes = {"arguments": {}, "input": {"size": 16, "channels": 3, "range": [0, 255]}, "normalize": None}
    brought(run, "wide", model=f"{file}:Net", weights=str(user / "base.safetensors"), **changes)
    place = Layout(run).attack("digits", "wide", "pgd")
    attack(
        *("pgd", "pgd", {"eps": [0.1], "steps": 5, "step_size": 0.05}, Layout(run).data("digits").folder),
        *(Layout(run).victim("digits", "wide").folder, place.folder),
        victim_name="wide",
        images=30,
        accelerator="cpu",
    )
    ((images, rows),) = read_sets(place)
    clean = load_split(Layout(run).data("digits").folder, "test").floats(torch.tensor(rows["index"].to_numpy()))
    assert images.shape == clean.shape
    assert 0.099 < float((images - clean).abs().max()) <= 0.1 + 1e-6
    assert rows["success"].any()


# ---- configuration and plan ----

CONFIGURED = """
datasets: {digits: {source: digits, images: 50}, shapes: {source: shapes}}
victims:
  plain: {method: plain, architecture: lenet5}
  mine: {method: external, model: "net.py:build", weights: w.safetensors, arguments: {width: 3}}
  forest: {method: external, model: forest.skops}
  student: {method: defensive_distillation, architecture: lenet5, teacher: mine, temperature: 20.0}
  known: {method: external, model: "torchvision:resnet18", weights: DEFAULT, input: {size: 32}}
attacks:
  noise: {method: random_noise, eps: 0.3}
  fgsm: {method: fgsm, eps: 0.3}
  square: {method: square, eps: 0.3}
defenses:
  median: {method: spatial_smoothing}
  detector: {method: binary_input_detector, attack: fgsm}
  cleanse: {method: neural_cleanse}
fooling: {ascent: {method: gradient_ascent}}
matches:
  - {datasets: [digits], victims: [mine], attacks: [noise, fgsm], defenses: [median, detector], fooling: [ascent]}
  - {datasets: [digits], victims: [forest, student, known], attacks: [noise, fgsm, square], defenses: [median]}
transfers:
  - {datasets: [digits], sources: [plain, forest], victims: [mine, forest], attacks: [fgsm, square]}
"""


@pytest.fixture
def content(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """A right configuration with victims from outside, whose files lie in the working directory."""
    monkeypatch.chdir(tmp_path)
    write(tmp_path, net="import layers\n\ndef build(width): return layers.Net(width)", layers="class Net: pass")
    for name in ("w.safetensors", "forest.skops", "net.onnx"):
        (tmp_path / name).write_bytes(b"")
    configured: dict[str, Any] = yaml.safe_load(CONFIGURED)
    return configured


MISTAKES: list[tuple[str, Any, str]] = [
    (
        "mine.architecture",
        "lenet5",
        "victims.mine.architecture: says how to train, and this network is trained already",
    ),
    (
        "mine.epochs",
        3,
        "victims.mine.epochs: says how to train, and this network is trained already; leave this key out",
    ),
    (
        "mine.per_dataset",
        {"digits": {"poisoning": "x"}},
        "victims.mine.per_dataset.digits.poisoning: says how to train",
    ),
    ("mine.wieghts", "w", "victims.mine.wieghts: unknown key; did you mean 'weights'?"),
    ("mine.model", "net.py:buidl", "victims.mine.model: net.py defines no 'buidl'; did you mean 'build'?"),
    (
        "mine.model",
        "net.py",
        "victims.mine.model: 'net.py' names a file and nothing in it; write net.py:",
    ),
    ("mine.model", "ent.py:build", "victims.mine.model: 'ent.py' does not exist"),
    ("mine.model", "w.safetensors", "victims.mine.model: 'w.safetensors' holds weights and no network"),
    ("mine.model", "forest.pkl", "victims.mine.model: 'forest.pkl' is a pickle, which runs code"),
    ("mine.model", "resnet50", "victims.mine.model: 'resnet50' names no network; write my_model.py:build"),
    (
        "mine.model",
        "torchvison:resnet50",
        "victims.mine.model: 'torchvison:resnet50' is unknown; did you mean 'torchvision:",
    ),
    ("mine.model", "torchvision:", "victims.mine.model: 'torchvision:' names no network; write torchvision:resnet18"),
    ("mine.model", "no_such_package.nets:build", "victims.mine.model: there is no module no_such_package here"),
    ("mine.model", 3, "victims.mine.model: 3 is a number to YAML; write it in quotes"),
    ("mine.weights", "v.safetensors", "victims.mine.weights: 'v.safetensors' does not exist"),
    ("mine.weights", "DEFAULT", "victims.mine.weights: 'DEFAULT' is no file; only networks of torchvision and timm"),
    ("known.weights", None, "victims.known.weights: is missing; DEFAULT, or another name of published weights"),
    ("forest.weights", "w.safetensors", "victims.forest.weights: 'forest.skops' is a file that has its own"),
    ("forest.arguments", {"n": 3}, "victims.forest.arguments: 'forest.skops' is a file that has its own"),
    ("mine.normalize", {"mean": [0.5]}, "victims.mine.normalize.std: is missing"),
    (
        "mine.normalize",
        {"mean": [0.5], "std": [0]},
        "victims.mine.normalize.std[0]: 0 is wrong: should be greater than 0",
    ),
    ("mine.normalize", {"mean": [0.5], "sdt": [1]}, "victims.mine.normalize.sdt: unknown key; did you mean 'std'?"),
    (
        "mine.normalize",
        {"mean": [0, 0, 0], "std": [1]},
        "victims.mine.normalize: a mapping is wrong: mean has 3 numbers",
    ),
    ("mine.input", {"sise": 3}, "victims.mine.input.sise: unknown key; did you mean 'size'?"),
    ("mine.input", {"size": 0}, "victims.mine.input.size: 0 is wrong: should be greater than or equal to 1"),
    ("mine.input", {"size": [0, 3]}, "victims.mine.input.size[0]: 0 is wrong: should be greater than or equal to 1"),
    ("mine.input", {"size": [3]}, "victims.mine.input.size: [3] is wrong: list should have at least 2 items"),
    ("mine.input", {"size": "3"}, "victims.mine.input.size: '3' is text to YAML; write 3"),
    ("mine.input", {"channels": 2}, "victims.mine.input.channels: 2 is unknown; valid: 1, 3"),
    (
        "mine.input",
        {"range": [1, 1]},
        "victims.mine.input.range: [1, 1] is wrong: black and white should not be the same",
    ),
    ("mine.input", {"range": [0, 1, 2]}, "victims.mine.input.range: [0, 1, 2] is wrong: list should have at most 2"),
    ("mine.outputs", "logit", "victims.mine.outputs: 'logit' is unknown; did you mean 'logits'?"),
    ("mine.classes", ["a"], "victims.mine.classes: ['a'] is wrong: list should have at least 2 items"),
    ("forest.model", "tree.onnx", "victims.forest.model: 'tree.onnx' does not exist"),
]


@pytest.mark.parametrize(("path", "value", "line"), MISTAKES, ids=[f"{path} {value}" for path, value, _ in MISTAKES])
def test_every_mistake_is_one_line(path: str, value: Any, line: str, content: dict[str, Any]) -> None:
    victim, key = path.split(".")
    content["victims"][victim][key] = value
    with pytest.raises(Mistakes) as caught:
        load_config(content, "my.yaml")
    lines = caught.value.lines
    assert [found for found in lines if found.startswith(f"my.yaml: {line}")], lines
    assert len(lines) <= 1 + ("is missing" in lines[0]), lines


UNFIT = [
    (
        1,
        "defenses",
        ["detector"],
        "matches[1].defenses: 'detector' learns from 'fgsm', which follows gradients, and those",
    ),
    (0, "defenses", ["cleanse"], "matches[0].defenses: 'cleanse' retrains its victim, and 'mine' is external; leave"),
    (1, "attacks", ["fgsm"], "matches[1].attacks: all follow gradients, and those of 'forest' are zero"),
]


@pytest.mark.parametrize(("number", "key", "value", "line"), UNFIT, ids=[line for *_, line in UNFIT])
def test_what_makes_no_sense_with_a_network_from_outside_is_told(
    number: int, key: str, value: list[str], line: str, content: dict[str, Any]
) -> None:
    content["matches"][number][key] = value
    with pytest.raises(Mistakes) as caught:
        load_config(content, "my.yaml")
    assert [found for found in caught.value.lines if found.startswith(f"my.yaml: {line}")], caught.value.lines


def test_a_plan_runs_the_users_code_wherever_the_victim_is_loaded(content: dict[str, Any]) -> None:
    plan = Plan(load_config(content))
    assert plan.brought == ["mine", "forest", "known"]
    jobs = {
        "train": plan.modules("train", "digits", "mine"),
        "attack": plan.modules("attack", "digits", "mine", "fgsm"),
        "adaptive": plan.modules("attack", "digits", "mine+median", "fgsm"),
        "defend": plan.modules("defend", "digits", "mine+median"),
        "fool": plan.modules("fool", "digits", "mine", fooling="ascent"),
        "evaluate": plan.modules("evaluate", "digits", "mine+median"),
        "transfer": plan.modules("transfer", "digits", "plain"),
        "its student": plan.modules("train", "digits", "student"),
    }
    for job, modules in jobs.items():
        assert {"net.py:build", "rivalry.training.external"} <= {*modules}, job
        Path("layers.py").write_text("class Net: pass")
        before = code_hash(*modules)
        Path("layers.py").write_text("class Net: size = 3")
        assert code_hash(*modules) != before, job
    others = [*plan.modules("attack", "digits", "plain", "fgsm"), *plan.modules("attack", "digits", "student", "fgsm")]
    assert not [module for module in others if "net.py" in module or "external" in module]
    assert "external" not in " ".join(modules_behind("rivalry.victims", "rivalry.stages.attack"))


def test_a_plan_keeps_what_follows_gradients_from_a_forest(content: dict[str, Any]) -> None:
    plan = Plan(load_config(content))
    assert {attack for _, victim, attack in plan.attacks if victim == "forest"} == {"noise", "square"}
    reason = "fgsm follows gradients, and forest has none"
    assert {"what": "digits: fgsm on forest", "reason": reason} in plan.kept_apart
    options = plan.train_options("digits", "mine")
    assert "--architecture" not in options
    assert "--fit" not in options


def test_planning_imports_no_users_code(content: dict[str, Any], tmp_path: Path) -> None:
    write(tmp_path, net="raise SystemExit('was run')\n\ndef build(width): pass")
    plan = Plan(load_config(content))
    assert plan.code("attack", "digits", "mine", "fgsm")


# ---- in the report ----


def test_the_report_tells_what_was_brought(run: Path) -> None:
    softmax = "class Net(Base):\n    def forward(self, x): return self.inner(x).softmax(1)"
    file = write(run.parent / "user" / "soft", net=HEAD + softmax)
    weights = run.parent / "user" / "soft.safetensors"
    tensors = load_file(run.parent / "user" / "weights.safetensors")
    save_file({f"inner.{name}": tensor for name, tensor in tensors.items()}, weights)
    changes = {"arguments": {}, "outputs": "probabilities"}
    facts = read_json(brought(run, "soft", model=f"{file}:Net", weights=str(weights), **changes) / "victim.json")
    assert ["probabilities" in warning for warning in facts["warnings"]] == [True]
    report = {
        "victims": [facts | {"clean_low": 0, "clean_high": 1, "n_test": 1, "seeds": 1, "chance": False}],
        "checks": [],
        "datasets": [],
    }
    (row,) = victims.brought(report, "digits").rows
    digits = hashlib.sha256(weights.read_bytes()).hexdigest()[: victims.DIGITS]
    assert row["model"] == "net.py:Net"
    assert f"soft.safetensors {digits}" in row["files"].split("; ")
    assert row["given"].startswith("1x8x8 numbers from 0 to 1, less 0.3")
    assert row["outputs"].startswith("probabilities")
    (row,) = victims.victims(report, "digits").rows
    assert (row["architecture"], row["trained_on"], row["seconds"]) == ("net.py:Net", "not trained here", None)
    part = {"dataset": "digits", "provenance": {}, "n_train": 1, "n_train_available": 2, "n_test": 1}
    said = limits(report | {"attacks": [], "datasets": [part], "plugins": []})
    assert [sentence.partition(".")[0] for sentence in said if "train" in sentence] == ["Not trained here: soft"]
    ours = [fact | {"architecture": "cnn", "chance": True} for fact in report["victims"]]
    told = limits(report | {"victims": ours, "attacks": [], "plugins": []})
    assert not [sentence for sentence in told if "trained here" in sentence]
    evidence = Evidence(
        Layout(run), "digits", {"victims": [["digits", "soft"], ["digits", "ours"]]}, torch.device("cpu")
    )
    (remarked,) = checks.brought(evidence)
    assert (remarked["status"], remarked["victim"], remarked["defense"]) == ("warn", "soft", "")


def test_a_student_learns_from_a_network_from_outside(run: Path) -> None:
    teacher = brought(run, "teacher")
    folder = Layout(run).victim("digits", "student").folder
    given = {"teacher": str(teacher), "temperature": 10.0}
    fit = {"epochs": 2, "batch_size": 64, "learning_rate": 0.003}
    data = Layout(run).data("digits").folder
    train("student", "mlp512", {}, "defensive_distillation", given, fit, data, folder, accelerator="cpu")
    assert read_json(folder / "victim.json")["clean_accuracy"] > 0.8
