"""Methods from users' own files: found, checked, told to jobs, rerun when they change; each mistake is one line."""

from __future__ import annotations

import json
import os
import re
import shlex
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml

import rivalry
import rivalry.attacks
from helpers import linear_problem
from rivalry import registry
from rivalry.cli import main
from rivalry.config import Mistakes, json_schema, load_config, read_files
from rivalry.errors import RivalryError
from rivalry.layout import defended
from rivalry.plan import Plan
from rivalry.references import cite
from rivalry.report import collecting
from rivalry.types import Positive
from rivalry.usermethods import use_plugins
from rivalry.victims import build_classifier

ATTACK = '''
from torch import Tensor

from rivalry.plugins import Goal, Gradients, NonNegative, Random, attack


@attack(sees="gradients", goals=["untargeted"], norms=["inf"], budget="fixed", source="goodfellow2015")
def mine(victim: Gradients, images: Tensor, goal: Goal, random: Random, *, eps: NonNegative = 0.3) -> Tensor:
    """One step.

    Parameters
    ----------
    eps : float
        Linf budget.
    """
    _, _, gradient = victim.loss_gradient(images, goal)
    return (images + eps * gradient.sign()).clamp(0, 1)
'''
IMPORTS, DECORATED = ATTACK.split("\n\n\n")


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


def content(**changes: Any) -> dict[str, Any]:
    return {
        "plugins": ["mine.py"],
        "datasets": {"digits": {"source": "digits", "images": 20}},
        "victims": {"plain": {"method": "plain", "architecture": "lenet5", "epochs": 1}},
        "attacks": {"mine": {"method": "mine", "eps": 0.1}, "fgsm": {"method": "fgsm", "eps": 0.1}},
        "matches": [{"datasets": ["digits"], "victims": ["plain"], "attacks": ["mine", "fgsm"]}],
    } | changes


# ---- what is found ----


def test_a_method_of_a_users_file_is_one_of_ours_until_it_is_left_behind(here: Path) -> None:
    (here / "mine.py").write_text(ATTACK)
    victim, images, labels = linear_problem()
    use_plugins("mine.py")
    assert "mine" in registry.names("attacks")
    assert "mine" in dir(rivalry.attacks)
    method = registry.method("attacks", "mine")
    assert (method.summary, method.file, method.code) == ("One step.", "mine.py", ["mine.py:mine"])
    assert method.parameters["eps"].doc == "Linf budget."
    ours = rivalry.attacks.fgsm(victim, images, labels, eps=0.1)
    assert torch.equal(rivalry.attacks.mine(victim, images, labels, eps=0.1), ours)
    use_plugins()
    assert "mine" not in registry.names("attacks")
    with pytest.raises(AttributeError, match=r"rivalry\.attacks has no 'mine'"):
        _ = rivalry.attacks.mine


def test_an_edited_file_is_read_again(here: Path) -> None:
    for eps in (0.25, 0.125):
        (here / "mine.py").write_text(ATTACK.replace("= 0.3", f"= {eps}"))
        use_plugins("mine.py")
        assert registry.method("attacks", "mine").defaults == {"eps": eps}
        victim, images, labels = linear_problem()
        changed = (rivalry.attacks.mine(victim, images, labels) - images).abs().amax()
        assert changed.item() == pytest.approx(eps, abs=1e-6)


def test_what_is_found_by_reading_is_never_run(here: Path) -> None:
    (here / "mine.py").write_text(f"{ATTACK}\nraise RuntimeError('run')\n")
    use_plugins("mine.py")
    with pytest.raises(RivalryError, match=r"^mine\.py, line \d+: RuntimeError: run$"):
        registry.method("attacks", "mine").load()


@pytest.mark.parametrize(
    ("imports", "decorator", "annotation"),
    [
        ("from rivalry.plugins import attack as a, Positive as P", "a", "P"),
        ("import rivalry.plugins", "rivalry.plugins.attack", "rivalry.plugins.Positive"),
        ("import rivalry.plugins as rp\nfrom rivalry import types", "rp.attack", "types.Positive"),
        ("from rivalry import plugins\nimport rivalry.types as t", "plugins.attack", "'t.Positive'"),
    ],
)
def test_names_are_followed_however_they_are_imported(
    here: Path, imports: str, decorator: str, annotation: str
) -> None:
    text = ATTACK.replace("@attack", f"@{decorator}").replace("NonNegative = 0.3", f"{annotation} = 0.3")
    text = text.replace(", NonNegative, Random, attack", ", Random")
    (here / "mine.py").write_text(f"{imports}\n{text}")
    use_plugins("mine.py")
    assert registry.method("attacks", "mine").parameters["eps"].annotation == Positive
    registry.method("attacks", "mine").load()


@pytest.mark.parametrize(
    ("annotation", "right", "wrong"),
    [
        ("Literal['a', 'b']", "a", "c"),
        ("list[Share]", [0.5, 1], [2.0]),
        ("Annotated[int, Field(ge=3)]", 3, 2),
        ("VictimName | None", "plain", 3),
        ("bool", True, 1),
        ("float", 2, "2"),
    ],
)
def test_a_parameter_is_what_its_annotation_says(here: Path, annotation: str, right: object, wrong: object) -> None:
    imports = (
        "from typing import Annotated, Literal\nfrom pydantic import Field\nfrom rivalry.types import Share, VictimName"
    )
    own = ATTACK.replace("eps: NonNegative", f"how: {annotation}, eps: NonNegative")
    (here / "mine.py").write_text(imports + own)
    load_config(content(attacks={"mine": {"method": "mine", "how": right}, "fgsm": {"method": "fgsm"}}))
    with pytest.raises(Mistakes, match=r"attacks\.mine\.how"):
        load_config(content(attacks={"mine": {"method": "mine", "how": wrong}, "fgsm": {"method": "fgsm"}}))


def test_lists_descriptions_and_schemas_show_plugins(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (here / "mine.py").write_text(ATTACK)
    assert main(["list", "attacks", "--plugins", "mine.py"]) == 0
    assert "mine               One step. (mine.py)" in capsys.readouterr().out
    assert main(["describe", "mine", "--plugins", "mine.py"]) == 0
    told = capsys.readouterr().out
    assert told.startswith("mine (attack, in mine.py)\n\nOne step.\n")
    assert "source: Goodfellow I. J." in told
    assert main(["schema", "--plugins", "mine.py"]) == 0
    assert "attacks_mine" in json.loads(capsys.readouterr().out)["$defs"]
    assert "attacks_mine" not in json_schema()["$defs"]
    assert main(["describe", "mine"]) == 1


def test_a_folder_brings_the_methods_of_its_files(here: Path) -> None:
    folder = here / "mine und ähnliches"
    folder.mkdir()
    (folder / "one.py").write_text(ATTACK.replace("def mine", "def one"))
    two = ATTACK.replace("def mine", "def two").replace("eps *", "half(eps) *")
    (folder / "two.py").write_text(f"from ._shared import half\nimport _shared\n{two}")
    (folder / "_shared.py").write_text("def half(x):\n    return x / 2\n")
    config = content(plugins=["mine und ähnliches"], attacks={n: {"method": n, "eps": 0.1} for n in ("one", "two")})
    config["matches"][0]["attacks"] = ["one", "two"]
    (here / "c.yaml").write_text(yaml.safe_dump(config), encoding="utf-8")
    plan = Plan(load_config(read_files(["c.yaml"])))
    assert "'mine und ähnliches/two.py'" in plan.attack_options("digits", "plain", "two")
    victim, images, labels = linear_problem()
    changed = (rivalry.attacks.two(victim, images, labels, eps=0.2) - images).abs().amax()
    assert changed.item() == pytest.approx(0.1, abs=1e-6)


def test_works_that_plugins_bring_are_cited(here: Path) -> None:
    (here / "mine.py").write_text(ATTACK.replace("goodfellow2015", "doe2026"))
    work = {"authors": ["Doe J."], "year": 2026, "title": "On doors", "venue": "Doors"}
    (here / "references.yaml").write_text(yaml.safe_dump({"doe2026": work}))
    use_plugins("mine.py")
    assert cite("doe2026") == "Doe J. (2026). On doors. Doors."
    assert json.loads(Plan(load_config(content())).works()) == {"doe2026": work}


# ---- mistakes ----

DECORATOR = ATTACK[ATTACK.index("@attack") : ATTACK.index("\ndef")]
DOC = DECORATED[DECORATED.index('    """') : DECORATED.index("    _,")]
DEFENSE = """
from rivalry.plugins import defense


@defense(kind="preprocessor")
def mine(victim, images, labels, seed, batch_size):
    '''A defense.'''
"""
FITTED = DECORATOR.replace("budget", "fitted=True, budget")
FITTED_ATTACK = ATTACK.replace(DECORATOR, FITTED).replace("random: Random", "random: Random, made: dict")


@pytest.mark.parametrize(
    ("old", "new", "line"),
    [
        ("", None, "mine.py: does not exist"),
        ("def mine(", "def mine(:", "mine.py, line 8: SyntaxError: invalid syntax"),
        (f"{DECORATOR}\n", "", "mine.py: registers no method; put a decorator of rivalry.plugins before a function: "),
        ("def mine", "def fgsm", "line 8: there is an attack 'fgsm' in rivalry already; choose another name"),
        (DECORATED, f"{DECORATED}\n\n{DECORATED}", "line 21: attack 'mine' is defined in mine.py, line 8 already; "),
        ('"fixed"', "BUDGET", "line 7: @attack: budget is 'BUDGET'; write the value itself, since it is read without "),
        ("budget=", "buget=", "line 7: @attack knows no 'buget'; did you mean 'budget'?"),
        ('budget="fixed", ', "", "line 7: @attack: budget is missing; fixed or minimal"),
        ('goals=["untargeted"], ', "", "line 7: @attack: goals is missing; untargeted or targeted"),
        ('sees="gradients"', 'sees="gradient"', "line 7: @attack: sees: 'gradient' is unknown; did you mean "),
        ('["inf"]', '["infinity"]', "line 7: @attack: norms: 'infinity' is unknown; did you mean 'inf'?"),
        ('["inf"]', "[]", "line 7: @attack: norms: [] is wrong: "),
        (DECORATOR, "@attack", "line 7: write @attack(sees=..., goals=..., norms=..., budget=...)"),
        ("sees=", "", "line 7: @attack is told by name: @attack(sees=..., goals=..., norms=..., budget=...)"),
        ("def mine", "async def mine", "line 7: @attack belongs before a function (def)"),
        (": NonNegative", ": Image", "line 8: mine: eps: a configuration holds no 'Image'; import a type from rivalry"),
        (": NonNegative", ": NonNegativ", "from rivalry.plugins: did you mean 'NonNegative'?"),
        (": NonNegative", "", "line 8: mine: eps has no type; annotate it with one of rivalry.types, such as "),
        ("= 0.3", "= 2 * 0.15", "line 8: mine: eps: its default is '2 * 0.15'; write the value itself, since it is "),
        ("= 0.3", "= -0.3", "line 8: mine: eps: -0.3 is wrong: should be greater than or equal to 0"),
        ("*, eps", "eps", "line 8: mine: an attack is handed (victim, images, goal, random); parameters of its own "),
        ("= 0.3)", "= 0.3, **more)", "line 8: mine: * and ** say nothing of its parameters; write each of them out"),
        ("goodfellow2015", "goodfelow2015", "'goodfelow2015' is on file nowhere; did you mean 'goodfellow2015'? Or "),
        ("goodfellow2015", "me", "line 7: mine: source 'me' is on file nowhere; write authors, year, title and venue "),
        (DOC, "", "line 8: mine: has no docstring; its first line is what `rivalry list` says of it"),
        (DECORATOR, FITTED, "line 8: mine: an attack is handed (victim, images, goal, random, made); "),
        (ATTACK, FITTED_ATTACK, "line 8: mine: needs a function fit_mine, or fit, in its file"),
        (
            ATTACK,
            f"{FITTED_ATTACK}\n\ndef fit(): pass",
            "line 8: mine: is fitted, and so needs a parameter training_images",
        ),
        (ATTACK, DEFENSE, "line 6: mine: needs a function restore_mine, or restore, in its file"),
        ("eps: NonNegative", "images: float", "mine.py: mine: images is a key of every entry of attacks; give "),
    ],
)
def test_a_mistake_in_a_plugin_is_one_line(
    here: Path, capsys: pytest.CaptureFixture[str], old: str, new: str | None, line: str
) -> None:
    if new is not None:
        assert old in ATTACK
        (here / "mine.py").write_text(ATTACK.replace(old, new))
    (here / "c.yaml").write_text(yaml.safe_dump(content()))
    assert main(["validate", "c.yaml"]) == 1
    told = capsys.readouterr().err.splitlines()
    assert len(told) == 1
    assert told[0].startswith("c.yaml: plugins: mine.py")
    assert line in told[0]
    if "key of every entry" not in line:
        assert main(["list", "--plugins", "mine.py"]) == 1
        assert line in capsys.readouterr().err


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("doe: [1", "references.yaml: line 1: is no YAML"),
        ("doe: {authors: [Doe J.], title: On doors, venue: Doors}", "references.yaml: doe.year: "),
        ("- doe", "references.yaml: the file: "),
        ("Doe-2026: {authors: [Doe J.], year: 2026, title: On doors, venue: Doors}", "references.yaml: Doe-2026: "),
    ],
)
def test_a_mistake_in_a_file_of_references_is_one_line(here: Path, text: str, line: str) -> None:
    (here / "mine.py").write_text(ATTACK)
    (here / "references.yaml").write_text(text)
    with pytest.raises(RivalryError) as caught:
        use_plugins("mine.py")
    assert str(caught.value).startswith(line)
    assert len(str(caught.value).splitlines()) == 1


def test_every_mistake_is_told_at_once(here: Path) -> None:
    (here / "mine.py").write_text(ATTACK.replace("def mine", "def fgsm"))
    (here / "other.py").write_text(ATTACK.replace("= 0.3", "= X"))
    with pytest.raises(Mistakes) as caught:
        load_config(content(plugins=["mine.py", "other.py"]))
    assert [line.split(":")[2].strip() for line in caught.value.lines] == ["mine.py, line 8", "other.py, line 8"]


# ---- jobs ----

PAGE = (Path(__file__).parent.parent / "docs/writing-a-method.md").read_text(encoding="utf-8")


def blocks(language: str) -> list[str]:
    """What stands on the page about methods in this language."""
    return re.findall(rf"^```{language}\n(.*?)^```", PAGE, re.MULTILINE | re.DOTALL)


METHODS, CONFIG = "\n\n".join(blocks("python")), blocks("yaml")[-1]


def told(folder: Path, configuration: str = CONFIG) -> dict[tuple[str, ...], tuple[str, str]]:
    """The command line and the hash of the code of every job, as the workflow's rules have them."""
    (folder / "c.yaml").write_text(configuration, encoding="utf-8")
    plan = Plan(load_config(read_files([folder / "c.yaml"])))
    jobs: list[tuple[str, tuple[str, ...]]] = [("prepare", (name,)) for name in plan.datasets]
    jobs += [("poison", job) for job in plan.poisonings]
    jobs += [("train", job) for job in plan.victims]
    jobs += [("defend", job) for job in plan.defenses]
    jobs += [("fool", job) for job in plan.foolings]
    jobs += [("screen", job) for job in plan.screenings]
    jobs += [("plant", job) for job in plan.plantings]
    jobs += [("attack", job) for job in plan.attacks]
    found = {}
    for stage, job in jobs:
        options = getattr(plan, f"{stage}_options")(*job)
        if stage == "poison":
            code = plan.code(stage, job[0], poisoning=job[1])
        elif stage in (third := {"fool": "fooling", "screen": "filter", "plant": "targeted"}):
            code = plan.code(stage, *job[:2], **{third[stage]: job[2]})
        elif stage == "defend":
            code = plan.code(stage, job[0], defended(*job[1:]))
        else:
            code = plan.code(stage, *job)
        found[(stage, *(job[1:] or job))] = (options, code)
    return found


TRANSFORMER = {
    *(("attack", "transformer", "mine"), ("attack", "transformer", "control"), ("fool", "transformer", "lucky")),
    *(("defend", "transformer", "levels"), ("defend", "transformer", "rough")),
}


@pytest.mark.parametrize(
    ("old", "new", "rerun"),
    [
        (
            "eps / 2 * gradient",
            "eps * gradient",
            {("attack", name, "mine") for name in ("transformer", "poisoned", "twice")},
        ),
        ("    start = (", "    # a comment\n    start = (", set()),
        ("One step along", "A step along", set()),
        ("mask[:, :3, :3] = 1", "mask[:, :2, :2] = 1", {("poison", "corner")}),
        ("norm(dim=1)\n    return Screened", "norm(dim=1, p=1)\n    return Screened", {("screen", "poisoned", "far")}),
        ("< distances.amin", "<= distances.amin", {("plant", "twice", "blend")}),
        ("noise * torch", "2 * noise * torch", {("train", "transformer")}),
        (") * 255 * noise", ") * 255", {("train", "twice")}),
        ("0.02 * torch.randn", "0.03 * torch.randn", {("train", "transformer")} | TRANSFORMER),
        ("100 * rough", "90 * rough", {("defend", "transformer", "rough")}),
        ("torch.zeros(())", "torch.ones(())", {("defend", "transformer", "rough")}),  # in the function beside it
        ("uniform(0, 0.2,", "uniform(0, 0.1,", {("prepare", "bars")}),
        ("torch.maximum(score, new)", "score.maximum(new)", {("fool", "transformer", "lucky")}),
        ("from rivalry.plugins import Scores, fooling", "from rivalry.plugins import Scores, Side, fooling", set()),
        ("import numpy as np", "import numpy as np\n\nfrom rivalry.plugins import Share", set()),
    ],
)
def test_an_edit_runs_again_what_used_it(here: Path, old: str, new: str, rerun: set[tuple[str, ...]]) -> None:
    (here / "my_methods.py").write_text(METHODS)
    before = told(here)
    assert METHODS.count(old) == 1
    (here / "my_methods.py").write_text(METHODS.replace(old, new))
    after = told(here)
    assert {job for job in before if before[job] != after[job]} == rerun


def test_files_beside_a_plugin_count_and_a_second_plugin_does_not(here: Path) -> None:
    text = METHODS.replace("    start = (", "    from pace import half\n\n    eps = half(eps)\n    start = (")
    (here / "my_methods.py").write_text(text)
    (here / "pace.py").write_text("def half(x):\n    return x / 2\n")
    before = told(here)
    (here / "other.py").write_text(ATTACK.replace("def mine", "def another"))
    with_another = told(here, CONFIG.replace("[my_methods.py]", "[my_methods.py, other.py]"))
    assert with_another == before
    (here / "pace.py").write_text("def half(x):\n    return x / 3\n")
    after = told(here)
    changed = {job for job in before if before[job] != after[job]}
    assert changed == {("attack", name, "mine") for name in ("transformer", "poisoned", "twice")}


def test_a_job_is_told_the_files_that_it_needs(here: Path) -> None:
    (here / "my_methods.py").write_text(METHODS)
    jobs = told(here)
    assert "--plugins my_methods.py" in jobs["attack", "transformer", "control"][0]  # its victim's network
    assert "--plugins" not in jobs["attack", "poisoned", "control"][0]
    assert "--plugins my_methods.py" in jobs["attack", "poisoned", "mine"][0]


def test_a_job_elsewhere_needs_its_command_line_only(here: Path) -> None:
    """As on the node of a cluster; the plugin's folder has blanks and letters that are not ASCII."""
    folder = here / "meine Übungen"
    folder.mkdir()
    (folder / "my_methods.py").write_text(METHODS.replace("import numpy as np", "import numpy as np\nimport size"))
    (folder / "size.py").write_text("N = 300\n")
    own = f"results: einmal\n{CONFIG}"
    jobs = told(here, own.replace("[my_methods.py]", "['meine Übungen/my_methods.py']"))
    source = str(Path(rivalry.__file__).parent.parent)
    command = [sys.executable, "-m", "rivalry", "prepare", *shlex.split(jobs["prepare", "bars"][0])]
    environment = {"PYTHONPATH": source, "PATH": os.environ["PATH"], "HOME": str(here), "OMP_NUM_THREADS": "1"}
    done = subprocess.run(command, cwd=here, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    facts = json.loads((here / "einmal/data/bars/dataset.json").read_text())
    assert facts["class_names"] == ["lying", "standing"]


def test_what_a_plugin_raises_is_one_line(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (here / "my_methods.py").write_text(METHODS.replace("import numpy as np", "import no_such_package"))
    jobs = told(here)
    assert main(["prepare", *shlex.split(jobs["prepare", "bars"][0])]) == 1
    lines = capsys.readouterr().err.splitlines()
    assert len(lines) == 1
    assert re.fullmatch(r"rivalry: my_methods\.py, line \d+: ModuleNotFoundError: No module named '\w+'", lines[0])


def test_victims_of_plugins_say_what_they_need() -> None:
    with pytest.raises(RivalryError, match=r"no architecture 'small_transformer' here; if a file of yours defines it"):
        build_classifier({"architecture": "small_transformer"})


def test_what_readme_shows_is_a_plugin(here: Path) -> None:
    readme = (Path(__file__).parent.parent / "README.md").read_text(encoding="utf-8")
    shown = re.findall(r"^```python\n(.*?)^```", readme, re.MULTILINE | re.DOTALL)
    (here / "my_methods.py").write_text(next(text for text in shown if "rivalry.plugins" in text))
    use_plugins("my_methods.py")
    victim, images, labels = linear_problem()
    ours = rivalry.attacks.fgsm(victim, images, labels, eps=0.1)
    assert torch.equal(rivalry.attacks.one_step(victim, images, labels, eps=0.1), ours)


# ---- methods that do not keep their word ----

HEAD = "import torch\n\nfrom rivalry.plugins import Dataset, Known, NonNegative, attack, source\n\n\n"
BODY = """@attack(sees="scores", goals=["untargeted"], norms=["inf"], budget="fixed")
def mine(victim, images, goal, random, *, eps: NonNegative = 0.1):
    '''Mine.'''
    {}
"""
IMAGES = "it must return images like those that it is given, float32 (12, 1, 6, 6) on cpu"


@pytest.mark.parametrize(
    ("does", "line"),
    [
        ("return images + 20 * eps", "returns pixels from 2.46846 to 2.53403; end it with .clamp(0, 1)"),
        ("return (images + 2 * eps).clamp(0, 1)", "changes an image by 0.2 in norm inf, and eps is 0.1; keep to it"),
        ("return images[:, :, 1:]", f"returns shape (12, 1, 5, 6); {IMAGES}"),
        ("return images[1:]", f"returns shape (11, 1, 6, 6); {IMAGES}"),
        ("return images.double()", f"returns float64; {IMAGES}"),
        ("return (images * 255).byte()", f"returns uint8; {IMAGES}"),
        ("return images.to('meta')", f"returns a tensor on meta; {IMAGES}"),
        ("return images.to_sparse()", f"returns layout sparse_coo; {IMAGES}"),
        ("return images.numpy()", f"returns a ndarray; {IMAGES}"),
        ("pass", f"returns a NoneType; {IMAGES}"),
        ("images += eps; return images", "writes into the images that it is given; have it work on a copy"),
    ],
)
def test_an_attack_that_does_not_keep_its_word_is_refused(here: Path, does: str, line: str) -> None:
    (here / "mine.py").write_text(HEAD + BODY.format(does))
    use_plugins("mine.py")
    victim, images, labels = linear_problem()
    with pytest.raises(RivalryError) as caught:
        rivalry.attacks.mine(victim, images, labels, eps=0.1)
    assert str(caught.value) == f"mine: {line}"


def test_images_that_are_no_numbers_are_no_success(here: Path) -> None:
    (here / "mine.py").write_text(HEAD + BODY.format("return images * torch.nan"))
    use_plugins("mine.py")
    result = rivalry.attacks.mine.run(*linear_problem(), eps=0.1)
    assert not result.success.any()
    assert torch.equal(result.finite, ~result.attacked)
    assert torch.equal(result.images, result.clean)


SOURCE = """@source(description="x", glance="look")
def data(fetch, seed, *, n: NonNegative = 3) -> Dataset:
    '''Data.'''
    {}


def look(*, n):
    {}
"""


@pytest.mark.parametrize(
    ("looks", "line"),
    [
        ("raise KeyError('x')", "mine.py, line 13: KeyError: 'x'"),
        ("raise SystemExit", "mine.py, line 13: SystemExit"),
        ("return None", "mine.py: look gives nothing; it must give a Known"),
        ("return Known(classes='2')", "mine.py, line 13: ValueError: Known: classes is '2'; give a whole number, or "),
        ("return Known(classes=1, test_images=-1)", "mine.py, line 13: ValueError: Known: test_images is -1; give a "),
    ],
)
def test_what_a_look_at_data_raises_is_one_line(here: Path, looks: str, line: str) -> None:
    (here / "mine.py").write_text(HEAD + SOURCE.format("pass", looks))
    config = content(datasets={"digits": {"source": "data"}}, attacks={"noise": {"method": "random_noise", "eps": 0.1}})
    config["matches"][0]["attacks"] = ["noise"]
    with pytest.raises(Mistakes) as caught:
        load_config(config)
    (told,) = caught.value.lines
    assert told.startswith(f"config.yaml: datasets.digits.source: {line}")


@pytest.mark.parametrize("raised", ["ValueError('two\\nlines')", "SystemExit('two')", "KeyError('two')"])
def test_what_a_method_raises_ends_with_its_line(
    here: Path, capsys: pytest.CaptureFixture[str], raised: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also where the environment lies in the folder of the user's file, as it often does."""
    (here / "mine.py").write_text(HEAD + SOURCE.format(f"__import__('falling').fall({raised})", "pass"))
    library = here / "venv" / "site-packages"
    library.mkdir(parents=True)
    (library / "falling.py").write_text("def fall(error):\n    raise error\n")
    monkeypatch.syspath_prepend(str(library))
    words = ["prepare", "--dataset", "d", "--source", "data", "--output", "out", "--plugins", "mine.py"]
    assert main(words) == 1
    told = capsys.readouterr().err.splitlines()
    assert told[0] == "Traceback (most recent call last):"
    assert re.fullmatch(r"rivalry: mine\.py, line 9: (ValueError|SystemExit|KeyError): '?two'?", told[-1])


def test_the_report_says_which_methods_are_the_user_s(here: Path) -> None:
    (here / "my_methods.py").write_text(METHODS)
    use_plugins("my_methods.py")
    facts: dict[str, list[dict[str, object]]] = {entry: [] for entry in collecting.FACTS}
    facts["victims"] = [
        {"method": "noisy", "architecture": "small_transformer"},
        {"method": "external", "architecture": None},
    ]
    facts["attacks"] = [{"method": "one_step"}, {"method": "pgd"}]
    assert collecting._plugins(facts) == [
        {"kind": "training method", "name": "noisy", "file": "my_methods.py"},
        {"kind": "architecture", "name": "small_transformer", "file": "my_methods.py"},
        {"kind": "attack", "name": "one_step", "file": "my_methods.py"},
    ]


# ---- what methods of the other kinds return ----

KINDS = '''
import numpy as np
import torch
from torch import nn
from torch.nn.functional import cross_entropy

from rivalry.plugins import (
    Dataset, Defended, Natural, Poisoned, Recipe, Trigger, architecture, defense, floats, poisoning, source,
    training_method,
)


def data(**changes):
    labels = np.arange(40) % 2
    images = np.random.default_rng(0).integers(0, 256, (40, 1, 8, 8), dtype=np.uint8)
    facts = {"description": "x", "urls": [], "files": {}}
    parts = {"train_images": images, "train_labels": labels, "test_images": images, "test_labels": labels}
    return Dataset(**(parts | {"class_names": ["a", "b"], "provenance": facts} | changes))


def poisoned(images, labels, **changes):
    mask = torch.ones(images.shape[1:])
    parts = {"images": images, "labels": labels, "poisoned": labels > 0, "sources": torch.arange(len(images))}
    return Poisoned(**(parts | {"trigger": Trigger(mask, mask, 0)} | changes))


@source()
def plain_data(fetch, seed):
    """Data."""
    return data()


@source()
def own_source(fetch, seed):
    """Data."""
    return SOURCES


@poisoning()
def own_poisoning(images, labels, seed, *, target: Natural = 0):
    """A poisoning."""
    return POISONINGS


@architecture()
def own_network(shape, classes):
    """A network."""
    return ARCHITECTURES


@training_method()
def own_training(images, labels):
    """Training."""
    return TRAINING


@defense(kind="transformer")
def own_defense(victim, images, labels, seed, batch_size):
    """A defense."""
    return DEFENSES


def restore(victim, facts):
    return victim
'''
RIGHT = {
    "SOURCES": "data()",
    "POISONINGS": "poisoned(images, labels)",
    "ARCHITECTURES": "nn.Sequential(nn.Flatten(), nn.Linear(64, classes))",
    "TRAINING": "Recipe(labels, lambda victim, images, targets: cross_entropy(victim(images), targets))",
    "DEFENSES": "Defended(victim, {})",
}
TOLD = ["--plugins", "mine.py"]
DATA = ["--data", "data", "--output", "out"]
NETWORK = ["--method", "own_training", "--architecture", "own_network", "--fit", "epochs=1", "batch_size=20"]
COMMANDS = {
    "SOURCES": ["prepare", "--dataset", "data", "--source", "own_source", "--output", "out"],
    "POISONINGS": ["poison", "--poisoning", "p", "--method", "own_poisoning", *DATA],
    "ARCHITECTURES": ["train", "--victim", "v", *NETWORK, *DATA],
    "TRAINING": ["train", "--victim", "v", *NETWORK, *DATA],
    "DEFENSES": ["defend", "--defense", "d", "--method", "own_defense", "--victim", "v", "--victim-name", "v", *DATA],
}
LOGITS = "it must give logits, a float tensor (2, 2) for 2 images"


def run_command(here: Path, kind: str, returns: str) -> int:
    text = KINDS
    for other, right in (RIGHT | {kind: returns}).items():
        text = text.replace(f"return {other}", f"return {right}")
    (here / "mine.py").write_text(text)
    return main([*COMMANDS[kind], *TOLD])


@pytest.fixture(scope="module")
def victim(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("kinds")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        for kind, name in (("SOURCES", "data"), ("TRAINING", "v")):
            assert run_command(folder, kind, RIGHT[kind]) == 0
            (folder / "out").rename(name)
    return folder


@pytest.mark.parametrize(
    ("kind", "returns", "line"),
    [
        ("SOURCES", "None", "own_source: returns a NoneType; it must return a Dataset"),
        ("SOURCES", "data(class_names=['a', 'a'])", "datasets.data: class_names are ['a', 'a']; each class needs a "),
        ("SOURCES", "data(class_names=[0, 1])", "datasets.data: class_names are [0, 1]; each class needs a text of "),
        ("SOURCES", "data(provenance={'urls': []})", "datasets.data: provenance lacks description, files; "),
        ("SOURCES", "data(test_images=torch.zeros(40, 1, 8, 8))", "datasets.data: test_images is a Tensor; it must "),
        ("POISONINGS", "images", "own_poisoning: returns a Tensor; it must return a Poisoned"),
        ("POISONINGS", "poisoned(floats(images), labels)", "own_poisoning: images are float32 (40, 1, 8, 8); they "),
        ("POISONINGS", "poisoned(images, labels[1:])", "own_poisoning: labels are int64 (39,); they must be int64 (40"),
        ("POISONINGS", "poisoned(images, labels + 1)", "own_poisoning: labels are 1 to 2; they must be 0 to 1"),
        ("POISONINGS", "poisoned(images, labels, poisoned=labels)", "own_poisoning: poisoned are int64 (40,); they "),
        ("POISONINGS", "poisoned(images, labels, sources=labels - 1)", "own_poisoning: sources are -1 to 0; they "),
        ("POISONINGS", "poisoned(images, labels, trigger=None)", "own_poisoning: trigger must be a Trigger whose "),
        ("ARCHITECTURES", "3", "own_network: returns a int; it must return a Module"),
        ("ARCHITECTURES", "nn.Flatten()", "own_network: the network has no parameters to train"),
        (
            "ARCHITECTURES",
            "nn.Sequential(nn.Flatten(), nn.Linear(64, 3))",
            f"own_network: the classifier gives (2, 3), torch.float32; {LOGITS}",
        ),
        (
            "ARCHITECTURES",
            "nn.Sequential(nn.Flatten(), nn.Linear(9, 2))",
            "own_network: the classifier fails on (2, 1, 8, 8) images: mat1 and mat2",
        ),
        ("TRAINING", "labels", "own_training: returns a Tensor; it must return a Recipe or Direct or Ready"),
        ("TRAINING", "Recipe(labels[1:], None)", "own_training: has 39 targets for 40 images"),
        ("TRAINING", "Recipe(labels, lambda v, x, y: v(x))", "the method's loss is (20, 2); it must be one number "),
        ("TRAINING", "Recipe(labels, lambda v, x, y: 1.0)", "the method's loss is a float; it must be one number "),
        ("DEFENSES", "victim", "own_defense: returns a Classifier; it must return a Defended"),
        (
            "DEFENSES",
            "Defended(nn.Sequential(victim, nn.Linear(2, 5)), {})",
            f"own_defense: the classifier gives (2, 5), torch.float32; {LOGITS}",
        ),
    ],
)
def test_what_a_method_returns_is_looked_at(
    victim: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    kind: str,
    returns: str,
    line: str,
) -> None:
    monkeypatch.chdir(victim)
    assert run_command(victim, kind, returns) == 1
    assert capsys.readouterr().err.splitlines()[-1].startswith(f"rivalry: {line}")


@pytest.mark.long
def test_the_page_s_methods_go_the_whole_way(here: Path) -> None:
    """From the configuration to the report, each job a process of its own."""
    (here / "my_methods.py").write_text(METHODS)
    (here / "c.yaml").write_text(CONFIG)
    root = Path(__file__).parent.parent
    run = [sys.executable, "-m", "snakemake", "-s", str(root / "Snakefile"), "--configfile", "c.yaml", "--cores", "2"]
    done = subprocess.run(run, cwd=here, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
    report = json.loads((here / "results/report/report.json").read_text())
    assert {fact["method"] for fact in report["attacks"]} == {"one_step", "random_noise"}
    assert {fact["method"] for fact in report["defenses"]} == {"few_levels", "too_rough"}
    assert {"goodfellow2015", "xu2018", "gu2017", "dosovitskiy2021"} <= {*report["references"]}
    page = (here / "results/report/report.html").read_text(encoding="utf-8")
    assert "Written by the user (my_methods.py), and not covered by the tests of rivalry: data source bars" in page
    assert all(name in page for name in ("one_step", "few_levels", "too_rough", "bright_corner", "small_transformer"))
