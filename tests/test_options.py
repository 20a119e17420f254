"""Commands and plans follow from what stages and methods declare: a new one is one file."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from rivalry import options

ROOT = Path(__file__).parent.parent

DEFENSE = '''
from typing import Annotated, Literal

from rivalry.defenses._defended import defense
from rivalry.types import AttackName, MethodOf, PoisoningName, VictimName


@defense(kind="preprocessor", source="xu2018")
def made_up(
    victim, images, labels, seed, batch_size,
    *,
    teacher: VictimName,
    proxy: AttackName,
    trap: PoisoningName,
    second: VictimName | None = None,
    architecture: Annotated[Literal["mlp512"], MethodOf("architectures")] = "mlp512",
):
    """Made up."""
'''

CONFIG = """
datasets: {digits: {source: digits}}
poisonings: {corner: {method: backdoor}}
victims:
  plain: {method: plain, architecture: lenet5}
  wise: {method: plain, architecture: cnn_mnist}
attacks: {fgsm: {method: fgsm, eps: 0.1}, pgd: {method: pgd, eps: 0.2}}
defenses: {mine: {method: made_up, teacher: wise, proxy: pgd, trap: corner}}
matches:
  - {datasets: [digits], victims: [plain], attacks: [fgsm], defenses: [mine]}
"""

PLAN = """
import json, sys
from pathlib import Path
from rivalry.config import load_config, read_yaml
from rivalry.plan import Plan
plan = Plan(load_config(read_yaml("c.yaml")))
print(json.dumps({
    "victims": plan.victims,
    "poisonings": plan.poisonings,
    "unused": plan.unused(),
    "options": plan.defend_options("digits", "plain", "mine"),
    "inputs": [str(file) for file in plan.defend_inputs("digits", "plain", "mine")],
    "modules": plan.modules("defend", "digits", "plain+mine"),
    "code": [plan.code("defend", "digits", "plain+mine"), plan.code("attack", "digits", "plain+mine", "fgsm")],
}))
"""

STAGE = '''
from __future__ import annotations

from pathlib import Path


def greet(name: str, /, output: Path, *, times: Count = 1, loud: Flag = False, where: Settings):
    """Greet somebody.

    Parameters
    ----------
    times : int
        How often.
    """
    output.write_text(f"{name} {times} {loud} {where}")
'''


@pytest.fixture
def package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy of the package, to which methods and stages can be added; it is what Python finds."""
    shutil.copytree(ROOT / "src" / "rivalry", tmp_path / "rivalry", ignore=shutil.ignore_patterns("__pycache__"))
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    monkeypatch.chdir(tmp_path)
    return tmp_path / "rivalry"


def python(*words: str) -> str:
    done = subprocess.run([sys.executable, *words], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_what_a_new_method_names_is_planned_read_and_hashed(package: Path) -> None:
    (package / "defenses" / "made_up.py").write_text(DEFENSE)
    Path("c.yaml").write_text(CONFIG)
    plan: dict[str, Any] = json.loads(python("-c", PLAN))
    assert plan["victims"] == [["digits", "plain"], ["digits", "wise"]]  # nobody lists the teacher
    assert plan["poisonings"] == [["digits", "corner"]]
    assert plan["unused"] == []
    assert 'teacher="results/victims/digits/wise"' in plan["options"]
    assert 'trap="results/poisoning/digits/corner"' in plan["options"]
    assert 'proxy={"method": "pgd", "norm": "inf", "eps": [0.2]' in plan["options"]
    assert "results/victims/digits/wise/victim.safetensors" in plan["inputs"]
    assert "results/poisoning/digits/corner/trigger.safetensors" in plan["inputs"]
    methods = [
        "architectures.lenet5",
        "defenses.made_up",
        "architectures.mlp512",
        "architectures.cnn_mnist",
        "attacks.pgd",
    ]
    assert set(plan["modules"]) == {"rivalry.stages.defend", *(f"rivalry.{method}" for method in methods)}
    for changed in ("attacks/pgd", "architectures/cnn_mnist", "architectures/mlp512"):
        with open(package / f"{changed}.py", "a") as file:
            file.write("ADDED = 1\n")
        before, plan = plan, json.loads(python("-c", PLAN))
        assert not {*before["code"]} & {*plan["code"]}, changed  # of the defense, and of an attack on what it defends


def test_a_new_stage_is_one_file(package: Path) -> None:
    (package / "stages" / "greet.py").write_text(STAGE)
    python("-m", "rivalry", "greet", "you", "--output", "said", "--times", "2", "--loud", "--where", "a=1", "b=[2]")
    assert Path("said").read_text() == "you 2 True {'a': 1, 'b': [2]}"
    assert "greet a" not in python("-m", "rivalry", "--help")
    assert "greet somebody" in python("-m", "rivalry", "--help")
    assert "How often." in python("-m", "rivalry", "greet", "--help")
    assert subprocess.run([sys.executable, "-m", "rivalry", "greet", "you"], capture_output=True).returncode == 2


@pytest.mark.parametrize(
    "words",
    [["--help"], ["list"], ["describe", "pgd"], ["validate", "config.yaml"], ["schema"], ["verify", "nowhere"]],
    ids=lambda words: words[0],
)
def test_commands_that_compute_nothing_start_without_what_computes(words: list[str]) -> None:
    script = (
        "import contextlib, io, sys; from rivalry.cli import main\n"
        f"with contextlib.suppress(SystemExit), contextlib.redirect_stdout(io.StringIO()): main({words!r})\n"
        "print(sorted({'torch', 'lightning', 'pandas', 'scipy', 'matplotlib'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", script], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


@pytest.mark.parametrize("name", options.names())
def test_every_option_is_described(name: str) -> None:
    stage = options.stage(name)
    assert stage.summary.endswith(".")
    for option in stage.options.values():
        assert option.doc or option.mark(options.Recorded), option.name
