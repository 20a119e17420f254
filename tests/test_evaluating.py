"""`rivalry evaluate-model`: one command for one model on one data set."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest
import yaml
from PIL import Image

from rivalry import registry
from rivalry.artifacts import write_json
from rivalry.cli import main
from rivalry.config import load_config, read_files
from rivalry.evaluating import Evaluation, outcome
from rivalry.layout import Layout
from rivalry.plan import Plan
from rivalry.statistics.columns import WORST_CASES
from test_own_model import LAYERS, NETWORK, folder, trained  # noqa: F401 (`folder` is a fixture)

GIVEN = ["net/my_model.py:build", "--weights", "weights.pth", "--data", "digits"]
FILE = "evaluations/my_model-build-on-digits/evaluation.yaml"


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A working directory with a user's files."""
    for name, text in (("net/my_model.py", NETWORK), ("net/layers.py", LAYERS), ("weights.pth", ""), ("f.onnx", "")):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(text)
    for number, name in enumerate(
        f"{split}/{label}/{i}.png" for split in ("train", "test") for label in "ab" for i in "12"
    ):
        (tmp_path / "my images" / name).parent.mkdir(parents=True, exist_ok=True)
        Image.new("L", (8, 8), 30 * number).save(tmp_path / "my images" / name)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def evaluate(*words: str) -> int:
    return main(["evaluate-model", *words])


def plan(file: str) -> Plan:
    return Plan(load_config(read_files([file]), file))


def test_a_complete_configuration_is_written(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert evaluate(*GIVEN, "--dry-run", "--images", "30", "--normalize", "mean=[0.5]", "std=[0.5]") == 0
    assert capsys.readouterr().out == f"configuration: {FILE}\n"
    planned = plan(FILE)
    assert planned.victims == [("digits", "my_model-build")]
    met = [attack for _, _, attack in planned.attacks]
    assert met == ["random_noise", "fgsm", "pgd", "apgd_ce", "apgd_targeted", "fab", "square"]
    assert planned.unused() == []
    entry = planned.config.entry("victims", "my_model-build", "digits")
    assert (entry["model"], entry["weights"]) == ("net/my_model.py:build", "weights.pth")
    assert entry["normalize"] == {"mean": [0.5], "std": [0.5]}
    assert planned.config.entry("attacks", "square", "digits")["eps"] == [0.3]
    assert planned.config.images_of("digits") == 30
    assert str(planned.layout.root) == "evaluations/my_model-build-on-digits"
    assert Path(FILE).read_text().count("#") > 6


def test_an_evaluation_is_replaced_until_it_is_edited_or_has_a_report(
    here: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    refused = f"rivalry: --results: {FILE} is of another evaluation; name another folder"
    assert evaluate(*GIVEN, "--dry-run") == 0
    assert evaluate(*GIVEN, "--dry-run", "--eps", "0.1") == 0  # nothing was made of the first one
    assert plan(FILE).config.entry("attacks", "pgd", "digits")["eps"] == [0.1]
    written = Path(FILE).read_text()
    Path(FILE).write_text(written.replace("pgd", "pgd ", 1))
    assert evaluate(*GIVEN, "--dry-run", "--eps", "0.1") == 1
    assert refused in capsys.readouterr().err
    Path(FILE).write_text(written)
    page = Layout(Path(FILE).parent).page.target
    page.parent.mkdir()
    page.touch()
    assert evaluate(*GIVEN, "--dry-run", "--eps", "0.1") == 0  # the same one goes on
    assert evaluate(*GIVEN, "--dry-run") == 1
    assert refused in capsys.readouterr().err
    assert Path(FILE).read_text() == written


def test_an_evaluation_needs_a_folder_of_its_own(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert evaluate(*GIVEN, "--dry-run", "--eps", "0.1", "--results", "net") == 1
    assert "rivalry: --results: net holds something else; name another folder" in capsys.readouterr().err
    assert evaluate(*GIVEN, "--dry-run", "--eps", "0.1", "8/255", "--results", "other $") == 0
    assert plan("other $/evaluation.yaml").config.entry("attacks", "pgd", "digits")["eps"] == [0.1, 8 / 255]
    assert str(plan("other $/evaluation.yaml").layout.root) == "other $"


@pytest.mark.parametrize(
    ("words", "attacks", "eps"),
    [
        (["net/my_model.py:build", "--data", "cifar10"], "apgd_targeted", 0.0313725),
        (["net/my_model.py:build", "--data", "fashion_mnist"], "apgd_targeted", 0.1),
        (["net/my_model.py:build", "--data", "cifar10", "--norm", "2"], "apgd_targeted", 0.5),
        (["net/my_model.py:build", "--data", "my images", "--with", "size=16"], "apgd_dlr", 0.0313725),
        (["f.onnx", "--data", "digits"], "hopskipjump", 0.3),
    ],
)
def test_attacks_and_budgets_follow_from_model_and_data(
    words: list[str], attacks: str, eps: float, here: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert evaluate(*words, "--dry-run", "--results", "out") == 0
    planned = plan("out/evaluation.yaml")
    assert attacks in planned.config.attacks
    assert all(not hasattr(entry, "eps") or entry.eps == [eps] for entry in planned.config.attacks.values())
    assert ("fgsm" in planned.config.attacks) == ("--norm" not in words and "f.onnx" not in words)


MISTAKES = [
    (["--data", "cifar-10"], "--data: there is no 'cifar-10'; give a path, or did you mean 'cifar10'?"),
    (["--data", "nowhere.npz"], "--data: 'nowhere.npz' does not exist"),
    (["--weights", "nowhere.pth"], "--weights: 'nowhere.pth' does not exist"),
    (["--eps", "8"], "--eps: 8 is out of range; pixels lie in [0,1], so at most 1 (8/255 is 0.03137)"),
    (["--norm", "2"], "--eps: no budget in L2 is usual for digits; give one"),
    (["--images", "451"], "--images: 451 is more than its 450 test images"),
    (["--with", "test_fractoin=0.2"], "--with test_fractoin: unknown key; did you mean 'test_fraction'?"),
    (["--normalize", "mean=[0.5]"], "--normalize.std: is missing"),
    (["--input", "size=0"], "--input.size: 0 is wrong"),
    (["--results", "."], "--results: '.' holds the folder in which the run works"),
    (["--with", "source=shapes"], "--with source: is said by --data"),
    (["--with", "images=10"], "--with images: is said by --images"),
    (["--with", "path=x"], "--with path: is said by --data"),
    (["--results", "weights.pth"], "--results: 'weights.pth' is a file; name a folder"),
    (["--results", "/dev/null/x"], "--results: /dev/null/x cannot be written into (Not a directory)"),
    (["--weights", ""], "--weights: is empty; name a file or folder, or leave this key out"),
    (["--results", "a{b}"], "--results: 'a{b}' has a brace"),
]


@pytest.mark.parametrize(("words", "line"), MISTAKES, ids=[line for _, line in MISTAKES])
def test_a_mistake_is_one_line_before_anything_is_written(
    words: list[str], line: str, here: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert evaluate(*GIVEN, *words) == 1
    printed = capsys.readouterr()
    assert [one for one in printed.err.splitlines() if not one.startswith(f"rivalry: {line}")] == []
    assert printed.out == ""
    assert not list(here.rglob("evaluation.yaml"))


@pytest.mark.parametrize(
    ("model", "line"),
    [
        ("net/my_model.py:biuld", "MODEL: net/my_model.py defines no 'biuld'; did you mean 'build'?"),
        ("net/my_modle.py:build", "MODEL: 'net/my_modle.py' does not exist"),
        ("weights.safetensors", "MODEL: 'weights.safetensors' holds weights and no network"),
    ],
)
def test_a_model_that_is_not_there_is_told(
    model: str, line: str, here: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert evaluate(model, *GIVEN[1:]) == 1
    assert capsys.readouterr().err.startswith(f"rivalry: {line}")


def test_without_a_checkout_the_workflow_is_said_to_be_missing(
    here: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(registry, "PACKAGE", here / "site-packages/rivalry")
    from rivalry.evaluating import run

    with pytest.raises(Exception, match=r"the workflow is not installed with the package: run c\.yaml in a checkout"):
        run(Path("c.yaml"), "1")


def test_an_edit_reruns_what_used_the_file_and_nothing_else(here: Path) -> None:
    """By the parameters of rules: the state of files, and the hash of code."""
    for name, text in (("net/other.py", NETWORK), ("other.pth", "")):
        (here / name).write_text(text)
    attacks = {"noise": {"method": "random_noise", "eps": 0.1}}
    victims = {
        "mine": {"method": "external", "model": "net/my_model.py:build", "weights": "weights.pth"},
        "other": {"method": "external", "model": "net/other.py:constant", "weights": "other.pth"},
    }
    matches = [{"datasets": ["digits"], "victims": [*victims], "attacks": ["noise"]}]
    content = {"datasets": {"digits": {"source": "digits"}}, "victims": victims, "attacks": attacks, "matches": matches}
    (here / "c.yaml").write_text(yaml.safe_dump(content))

    def parameters() -> dict[str, tuple[str, ...]]:
        planned = plan("c.yaml")
        found = {}
        for victim in victims:
            files = planned.files_state("victims", victim, "digits")
            found[f"train {victim}"] = (
                planned.train_options("digits", victim),
                files,
                planned.code("train", "digits", victim),
            )
            own = planned.attack_options("digits", victim, "noise"), planned.files_state("attacks", "noise", "digits")
            found[f"attack {victim}"] = (*own, planned.code("attack", "digits", victim, "noise"))
        return found

    def changed(name: str, text: str) -> set[str]:
        before = parameters()
        (here / name).write_text(text)
        after = parameters()
        return {job for job in before if before[job] != after[job]}

    assert changed("weights.pth", "another") == {"train mine"}  # its attack follows from what it writes
    assert changed("net/my_model.py", NETWORK + "\n# a comment\n") == set()
    assert changed("net/my_model.py", NETWORK.replace("classes=10", "classes=11")) == {"train mine", "attack mine"}
    assert changed("net/layers.py", LAYERS + "\n# a comment\n") == set()
    assert changed("net/layers.py", LAYERS.replace("nn.Flatten()", "nn.Flatten(1)")) == {"train mine", "attack mine"}
    assert changed("net/other.py", NETWORK.replace("zeros", "ones")) == {"train other", "attack other"}
    before = parameters()
    os.utime(here / "other.pth", (1, 1))
    assert parameters()["train other"] != before["train other"]  # a file that was touched counts as another
    os.utime(here / "net/other.py", (1, 1))
    assert parameters()["attack other"] == before["attack other"]  # code counts by what it says


def test_what_was_remarked_on_the_model_is_said_again_at_the_end(tmp_path: Path) -> None:
    told: dict[str, Any] = {"network": {}, "settings": {}, "norm": "inf", "budgets": [], "images": 20, "seed": 0}
    evaluation = Evaluation(model="net/my_model.py:build", data="digits", results=tmp_path, **told)
    layout = Layout(tmp_path)
    write_json(layout.victim("digits", "my_model-build").facts, {"warnings": ["35% are right", "zero gradients"]})
    WORST_CASES.write(layout.tables["worst_cases"], [])
    page = layout.page.target
    assert list(outcome(evaluation)) == ["warning: 35% are right", "warning: zero gradients", f"report: {page}"]


@pytest.mark.long
@pytest.mark.workflow
def test_out_comes_the_report_and_its_worst_case(
    folder: Path,  # noqa: F811
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(folder)
    words = [*GIVEN, "--images", "20", "--cores", "2"]
    assert evaluate(*words) == 0
    printed = capfd.readouterr()
    lines = printed.out.splitlines()
    assert lines[-3].startswith("my_model-build on digits: 9")
    assert lines[-2].startswith("worst case within Linf 0.3: 0.0 % (95 % interval 0.0")
    assert lines[-1] == "report: evaluations/my_model-build-on-digits/report/report.html"
    assert Path(lines[-1].removeprefix("report: ")).stat().st_size > 5000
    assert yaml.safe_load(Path(FILE).read_text())["victims"]["my_model-build"]["weights"] == "../../weights.pth"
    assert evaluate(*words) == 0
    assert "Nothing to be done" in capfd.readouterr().err
    # A network that is wrong is told by the first job that meets it, and nothing is attacked.
    assert evaluate("net/my_model.py:constant", "--data", "digits", "--results", "wrong", "--cores", "2") == 1
    told = capfd.readouterr().err
    assert "cause: model: no gradient leads from its answer to the images" in told or "it answers the same" in told
    assert not Path("wrong/attacks").exists()


@pytest.mark.parametrize("cores", ["0", "-1", "two", "1.5"])
def test_a_run_needs_a_core(cores: str, here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        evaluate(*GIVEN, f"--cores={cores}")
    assert f"'{cores}' is no number of cores; write 1 or more, or all" in capsys.readouterr().err
