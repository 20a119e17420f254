"""What a person sees who calls attacks from Python: signatures, help, results, the ensemble."""

from __future__ import annotations

import doctest
import importlib
import inspect
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import matplotlib as mpl
import nbformat
import pytest
import torch
from nbclient import NotebookClient
from torch import Tensor, nn

import rivalry
import rivalry.attacks
import rivalry.data
from helpers import distances, linear_problem, small_cnn
from rivalry import registry
from rivalry.artifacts import write_json, write_tensors
from rivalry.attacks._attack import Attack, Result
from rivalry.attacks._goals import Goal
from rivalry.attacks._oracles import Gradients, Ledger
from rivalry.errors import WrongArgument
from rivalry.layout import Layout
from rivalry.norms import length
from rivalry.poisoning._trigger import Trigger
from rivalry.victims import build_classifier

ATTACKS = registry.names("attacks")
DOCS = Path(__file__).parent.parent / "docs"


def attack(name: str) -> Attack[...]:
    found: Attack[...] = getattr(rivalry.attacks, name)
    return found


# ---- signatures ----


@pytest.mark.parametrize("name", ATTACKS)
def test_a_signature_is_what_can_be_called(name: str) -> None:
    """The three things that every attack needs, then by name the attack's own parameters and the options."""
    own = registry.method("attacks", name).parameters
    options = {"targets", "training", "seed", "batch_size", "progress"}
    for signature in (inspect.signature(attack(name)), inspect.signature(attack(name).run)):
        kinds = {parameter.name: parameter.kind for parameter in signature.parameters.values()}
        assert [*kinds][:3] == ["victim", "images", "labels"]
        assert {key for key, kind in kinds.items() if kind is inspect.Parameter.KEYWORD_ONLY} == {*own} | options
        for parameter in own.values():
            shown = signature.parameters[parameter.name]
            assert shown.default == (inspect.Parameter.empty if parameter.required else parameter.default)
            assert not isinstance(shown.annotation, str)
    assert inspect.signature(attack(name)).return_annotation is Tensor
    assert inspect.signature(attack(name).run).return_annotation is Result


@pytest.mark.parametrize("name", ATTACKS)
def test_the_live_function_is_the_method_that_its_source_declares(name: str) -> None:
    read, live = registry.method("attacks", name), attack(name).method
    assert live.parameters == read.parameters
    assert live.doc == read.doc
    assert read.traits.items() <= live.traits.items()


@pytest.mark.parametrize("given", [(0.1,), (1,), (None, None, None, 0, 64, 0.1)])
def test_a_budget_without_its_name_is_refused(given: tuple[Any, ...]) -> None:
    """Not taken for a target, say."""
    victim, images, labels = linear_problem()
    with pytest.raises(WrongArgument, match="by name"):
        rivalry.attacks.fgsm(victim, images, labels, *given)


def test_an_attack_may_be_written_anywhere() -> None:
    """In a notebook, say: its parameters are checked, and its passes counted, like those of the package's own."""

    @rivalry.attacks._attack.attack(
        sees="gradients", goals=["untargeted"], norms=["inf"], budget="fixed", source="goodfellow2015"
    )
    def mine(victim: Gradients, images: Tensor, goal: Any, random: Any, *, eps: float = 0.3) -> Tensor:
        """One step."""
        return (images + eps * victim.loss_gradient(images, goal)[2].sign()).clamp(0, 1)

    victim, images, labels = linear_problem()
    result = mine.run(victim, images, labels, eps=0.1)
    assert torch.equal(result.images, rivalry.attacks.fgsm(victim, images, labels, eps=0.1))
    assert result.gradients.eq(1).all()
    with pytest.raises(WrongArgument, match="mine has no such parameter; did you mean 'eps'"):
        mine(victim, images, labels, ep=0.1)  # type: ignore[call-arg]


# ---- help ----


@pytest.fixture
def names(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[dict[str, Any]]:
    """What examples find: a victim and images, and a folder of results as the working directory."""
    victim, images, labels = linear_problem(n=2, side=12)  # the smallest that the copy of `substitute` takes
    _, other_images, other_labels = linear_problem(n=8, side=12, seed=1)
    mask = torch.zeros(1, 12, 12)
    mask[:, 11:, 11:] = 1
    Trigger(mask, mask.clone(), 0).save(tmp_path)
    pixels = (other_images * 255).round().to(torch.uint8)
    layout = Layout(tmp_path / "results")
    write_tensors(layout.data("digits")["test"], {"images": pixels, "labels": other_labels})
    facts = {"architecture": "linear", "architecture_parameters": {}, "shape": [1, 12, 12], "classes": 5}
    write_json(layout.victim("digits", "plain").facts, facts)
    write_tensors(layout.victim("digits", "plain")["weights"], build_classifier(facts).state_dict())
    (tmp_path / "my_model.py").write_text(
        "from torch import nn\ndef build(): return nn.Sequential(nn.Flatten(), nn.Linear(144, 5))\n"
    )
    own = {"1.weight": torch.zeros(5, 144), "1.bias": torch.zeros(5)}
    write_tensors(tmp_path / "weights.safetensors", own)
    monkeypatch.chdir(tmp_path)
    with mpl.rc_context({"backend": "agg"}):
        yield {
            "victim": victim,
            "images": images,
            "labels": labels,
            "other_images": other_images,
            "other_labels": other_labels,
            "network": nn.Sequential(nn.Flatten(), nn.Linear(144, 8), nn.Tanh(), nn.Linear(8, 5)),
            "training_images": pixels,
            "training_labels": other_labels,
            "test_images": pixels,
            "test_labels": other_labels,
            "poisoning": str(tmp_path),
        }


def run_examples(text: str, names: dict[str, Any], where: str) -> int:
    """How many examples there are; all of them print what they say."""
    test = doctest.DocTestParser().get_doctest(text, dict(names), where, where, 0)
    said: list[str] = []
    failed, tried = doctest.DocTestRunner(optionflags=doctest.ELLIPSIS).run(test, out=said.append)
    assert not failed, "".join(said)
    return tried


@pytest.mark.parametrize("name", ATTACKS)
def test_every_attacks_help_has_an_example_that_runs(name: str, names: dict[str, Any]) -> None:
    assert run_examples(inspect.getdoc(attack(name)) or "", names, name) == 3


@pytest.mark.parametrize(
    "explained",
    [
        *(importlib.import_module(f"rivalry.{room}") for room in registry.ROOMS.values() if room != "data"),
        rivalry.attacks.autoattack,
        rivalry.data.load_split,
        rivalry.load_victim,
        Result,
    ],
    ids=lambda explained: explained.__name__,
)
def test_what_people_call_has_an_example_that_runs(explained: object, names: dict[str, Any]) -> None:
    assert run_examples(inspect.getdoc(explained) or "", names, "example")


def test_the_page_about_methods_holds_code_that_runs(names: dict[str, Any]) -> None:
    blocks = re.findall(r"^```python\n(.*?)^```", (DOCS / "writing-a-method.md").read_text(), re.MULTILINE | re.DOTALL)
    scope = {**names, "__name__": "page"}
    for block in blocks:
        exec(block, scope)
    result = scope["one_step"].run(names["victim"], names["images"], names["labels"], eps=0.1)
    assert result.gradients.eq(1).all()  # counted for each image
    assert result.success.all()
    oracle = Gradients(names["victim"], Ledger(2), torch.arange(2), 64)
    assert scope["stubborn"](oracle, names["images"], Goal(names["labels"])).tolist() == [0, 1]


def test_the_notebook_runs_and_stores_nothing() -> None:
    """Outputs would differ from machine to machine; what a cell shows is made where it is read."""
    notebook = nbformat.read(DOCS / "notebook.ipynb", as_version=4)
    cells = [cell for cell in notebook.cells if cell.cell_type == "code"]
    assert not any(cell.outputs or cell.execution_count for cell in cells)
    NotebookClient(notebook, timeout=300, resources={"metadata": {"path": str(DOCS)}}).execute()
    shown = [output for cell in cells for output in cell.outputs]
    assert any("image/png" in output.get("data", {}) for output in shown)
    assert any(
        "<autoattack, Linf, eps 0.1: 100 images" in output.get("data", {}).get("text/plain", "") for output in shown
    )
    assert not any(output.get("name") == "stderr" for output in shown)


# ---- results ----


def test_a_result_is_printed_in_a_line() -> None:
    victim, images, labels = linear_problem(n=12)
    labels[:2] = (labels[:2] + 1) % 5
    result = rivalry.attacks.fgsm.run(victim, images, labels, eps=0.1)
    assert repr(result) == "<fgsm, Linf, eps 0.1: 12 images, 10 attacked, 10 turned (100.0%)>"
    result = rivalry.attacks.deepfool.run(victim, images[:2], labels[:2])
    assert repr(result) == "<deepfool, L2: 2 images, 0 attacked, 0 turned>"
    assert len(result) == 2


def test_a_results_table_has_a_row_an_image() -> None:
    victim, images, labels = linear_problem(n=12)
    targets = (labels + 1) % 5
    result = rivalry.attacks.pgd.run(victim, images, labels, eps=0.1, targets=targets)
    table = result.to_frame(torch.arange(12) + 100)
    assert list(table["index"]) == list(range(100, 112))
    assert list(table["target"]) == targets.tolist()
    assert (table["eps"] == 0.1).all()
    assert list(table["linf"]) == length(result.images - images, "inf").tolist()
    assert list(table["success"]) == result.success.tolist()


@pytest.mark.parametrize("channels", [1, 3])
def test_a_results_plot_shows_images_that_were_turned_first(channels: int) -> None:
    images = torch.rand(6, channels, 4, 4, generator=torch.Generator().manual_seed(0))
    victim = nn.Sequential(nn.Flatten(), nn.Linear(channels * 16, 3))
    labels = victim(images).argmax(dim=1)
    labels[0] = (labels[0] + 1) % 3
    result = rivalry.attacks.fgsm.run(victim, images, labels, eps=1.0)
    with mpl.rc_context(mpl.rcParamsDefault):  # whatever style earlier tests have set
        figure = result.plot(2)
    assert len(figure.axes) == 6
    first = int(result.success.nonzero()[0])
    assert figure.axes[0].get_title() == str(int(labels[first]))
    with pytest.raises(ValueError, match="no images"):
        rivalry.attacks.fgsm.run(victim, images[:0], labels[:0]).plot()


# ---- the ensemble ----


@pytest.mark.parametrize("norm", ["inf", 2])
def test_autoattack_is_the_four_attacks_by_hand_each_on_the_images_that_are_left(norm: Any) -> None:
    victim = small_cnn()
    images = torch.rand(40, 1, 8, 8, generator=torch.Generator().manual_seed(3))
    labels = victim(images).argmax(dim=1)
    labels[:3] = (labels[:3] + 1) % 4
    eps = float(length(rivalry.attacks.fab(victim, images, labels, norm=norm, steps=20) - images, norm)[3:].median())
    worst = rivalry.attacks.autoattack(victim, images, labels, eps=eps, norm=norm, steps=4, queries=20, seed=5)

    left = torch.arange(40)
    queries = torch.zeros(40, dtype=torch.int64)
    turned = torch.zeros(40, dtype=torch.bool)
    for name, options in {
        "apgd_ce": {"eps": eps, "steps": 4},
        "apgd_targeted": {"eps": eps, "steps": 4},
        "fab": {"steps": 4},
        "square": {"eps": eps, "queries": 20},
    }.items():
        part = attack(name).run(victim, images[left], labels[left], norm=norm, seed=5, **options)
        within = part.success & (length(part.images - images[left], norm) <= eps * (1 + 1e-6))
        queries[left] += part.queries
        assert torch.equal(part.images, worst.parts[name].images)
        assert torch.equal(within, worst.parts[name].success)
        assert torch.equal(part.images[within], worst.images[left[within]])
        turned[left[within]] = True
        left = left[part.attacked & ~within]
    assert torch.equal(turned, worst.success)
    assert torch.equal(queries, worst.queries)
    assert 0 < turned.sum() < 37
    assert len(worst.parts["square"]) < len(worst.parts["apgd_ce"]) == 40
    assert not worst.attacked[:3].any()
    assert torch.equal(worst.predictions, victim(worst.images).argmax(dim=1))
    assert (length(worst.images - images, norm) <= eps * (1 + 1e-5)).all()


def test_autoattack_turns_exactly_what_lies_within_the_budget() -> None:
    victim, images, labels = linear_problem(n=40)
    exact = distances(victim, images, labels, "inf")
    eps = float(exact.median()) * 1.01
    worst = rivalry.attacks.autoattack(victim, images, labels, eps=eps)
    clear = (exact - eps).abs() > 1e-6
    assert torch.equal(worst.success[clear], (exact < eps)[clear])
    assert repr(worst).startswith("<autoattack, Linf, eps")
    assert sum(int(part.success.sum()) for part in worst.parts.values()) == int(worst.success.sum())
