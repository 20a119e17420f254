"""Where everything lies: one place for every path below the results, and for the name of a defended victim."""

from __future__ import annotations

import ast
import json
import re
import shlex
import subprocess
import sys
from collections.abc import Iterable
from itertools import combinations
from pathlib import Path
from typing import Any

import pytest

from rivalry.cli import main
from rivalry.codehash import modules_behind
from rivalry.config import load_config
from rivalry.layout import FILES, Layout, Place, defended, parts
from rivalry.plan import Plan
from rivalry.stages.record import record_run
from rivalry.verification import verify

ROOT = Path(__file__).parent.parent
LAYOUT = Layout()


def places(layout: Layout) -> list[Place]:
    """One of each kind."""
    return [
        layout.plan,
        layout.configuration,
        layout.run,
        layout.data("digits"),
        layout.generator("digits", "gan"),
        layout.poisoning("digits", "patch"),
        layout.victim("digits", "plain"),
        layout.attack("digits", "plain", "pgd"),
        layout.attack("digits", "plain+median3", "pgd"),
        layout.defense("digits", "plain", "median3"),
        layout.evaluation("digits", "plain", "median3"),
        layout.fooling("digits", "plain", "ascent"),
        layout.screening("digits", "plain", "spectral"),
        layout.planting("digits", "plain", "frogs"),
        layout.transfer("digits", "plain"),
        layout.tables,
        layout.checks,
        layout.figures("digits"),
        layout.report,
        layout.page,
        layout.paper,
        layout.pdf,
    ]


@pytest.mark.parametrize(("victim", "defense"), [("plain", ""), ("plain", "median3"), ("a-b", "c_d")])
def test_a_defended_victim_s_name_is_cut_where_it_was_joined(victim: str, defense: str) -> None:
    assert parts(defended(victim, defense)) == (victim, defense)


def test_no_defense_joins_nothing() -> None:
    assert defended("plain", "none") == defended("plain", "") == "plain"
    assert defended("plain", "median3") == "plain+median3"


def test_the_folders_that_the_documentation_names() -> None:
    assert LAYOUT.victim("digits", "plain")["weights"] == Path("results/victims/digits/plain/victim.safetensors")
    assert LAYOUT.attack("digits", "plain+median3", "pgd").facts == Path(
        "results/attacks/digits/plain+median3/pgd/attack.json"
    )
    assert LAYOUT.defense("digits", "plain", "median3").facts == Path(
        "results/defenses/digits/plain/median3/defense.json"
    )
    assert LAYOUT.report.facts == Path("results/report/report.json")
    assert LAYOUT.tables["scores"] == Path("results/tables/scores.csv")
    assert LAYOUT.plan.facts == Path("results/plan.json")


def test_every_stage_has_a_place() -> None:
    assert {place.stage for place in places(LAYOUT)} == set(FILES)


def test_all_of_it_lies_below_the_root_and_nothing_lies_on_another_s_place(tmp_path: Path) -> None:
    found = places(Layout(tmp_path))
    files = [file for place in found for file in (*place.files, place.manifest)]
    assert all(file.is_relative_to(tmp_path) for file in files)
    assert len(set(files)) == len(files)
    for one, other in combinations({place.folder for place in found} - {tmp_path}, 2):
        assert not one.is_relative_to(other)
        assert not other.is_relative_to(one)


def test_an_attack_knows_whom_it_is_made_on() -> None:
    names = {"dataset": "digits", "victim": "plain", "attack": "pgd"}
    assert LAYOUT.attack("digits", "plain", "pgd").about == names | {"defense": "none"}
    assert LAYOUT.attack("digits", "plain+median3", "pgd").about == names | {"defense": "median3"}


def test_a_classifier_is_a_victim_or_what_defends_it() -> None:
    assert LAYOUT.classifier("digits", "plain") == LAYOUT.victim("digits", "plain")
    assert LAYOUT.classifier("digits", "plain+median3") == LAYOUT.defense("digits", "plain", "median3")


def test_wildcards_may_stand_for_names() -> None:
    pattern = LAYOUT.evaluation("{dataset}", "{victim}", "{defense}")
    assert str(pattern["scores"]) == "results/evaluations/{dataset}/{victim}/{defense}/scores.parquet"


def test_a_place_may_be_anywhere() -> None:
    place = LAYOUT.victim("digits", "plain").at("elsewhere")
    assert place.facts == Path("elsewhere/victim.json")
    assert place.about == {"dataset": "digits", "victim": "plain"}


def test_what_is_there_only_sometimes_is_not_asked_for() -> None:
    place = LAYOUT.defense("digits", "plain", "cleanse")
    assert place["triggers"] == place.folder / "triggers.safetensors"
    assert place["triggers"] not in place.files


def test_a_folder_stands_for_files_that_nobody_knows_before() -> None:
    assert LAYOUT.figures("digits").target == Path("results/figures/digits")
    assert LAYOUT.attack("digits", "plain", "pgd").target == Path("results/attacks/digits/plain/pgd/attack.json")


def test_benchmarks_are_found_by_their_rule(tmp_path: Path) -> None:
    layout = Layout(tmp_path)
    victim = layout.victim("digits", "plain")
    written = {
        "train_victim": layout.benchmark("train_victim", victim),
        "check_results": layout.benchmark("check_results", layout.checks),
    }
    for file in written.values():
        file.parent.mkdir(parents=True, exist_ok=True)
        file.touch()
    assert dict(layout.benchmarks()) == written
    assert layout.log("train_victim", victim) == tmp_path / "logs/train_victim/digits/plain.log"


def test_a_new_place_makes_no_stage_run_again() -> None:
    assert modules_behind("rivalry.layout") == []


def test_layout_imports_nothing_of_this_package() -> None:
    text = "import sys, rivalry.layout; print({m for m in sys.modules if m.startswith('rivalry.')})"
    done = subprocess.run([sys.executable, "-c", text], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "{'rivalry.layout'}"


# ---- written here and nowhere else ----

FILE_NAMES = {name for roles in FILES.values() for name in roles.values()}
FOLDERS = {place.folder.relative_to(LAYOUT.root).parts[0] for place in places(LAYOUT) if place.folder != LAYOUT.root}
FOLDERS |= {str(LAYOUT.root), LAYOUT.log("rule", LAYOUT.tables).parent.name}
FOLDERS |= {LAYOUT.benchmark("rule", LAYOUT.tables).parent.name}


def writes(node: ast.AST) -> bool:
    """Whether a node is a path below the results, or joins or cuts a defended victim's name."""

    def constants(parts: Iterable[ast.AST]) -> set[Any]:
        return {part.value for part in parts if isinstance(part, ast.Constant)}

    match node:
        case ast.Constant(value=str(text)):
            return text in FILE_NAMES or f"{LAYOUT.root}/" in text
        case ast.BinOp(op=ast.Div(), right=right):
            return bool(constants([right]) & FOLDERS)
        case ast.Call(func=ast.Name(id="Path") | ast.Attribute(attr="joinpath"), args=words):
            return bool(constants(words) & FOLDERS)
        case ast.Call(func=ast.Attribute(attr="partition" | "rpartition" | "split" | "rsplit"), args=words):
            return "+" in constants(words)
        case ast.JoinedStr(values=parts):
            return "+" in constants(parts)
    return False


def for_readers(tree: ast.AST) -> set[ast.AST]:
    """Docstrings, and those beneath constants, which may name folders."""
    return {node.value for node in ast.walk(tree) if isinstance(node, ast.Expr)}


def test_no_other_module_writes_a_path_or_joins_a_name() -> None:
    found = []
    for file in sorted((ROOT / "src").rglob("*.py")):
        if file.name == "layout.py":
            continue
        tree = ast.parse(file.read_text(encoding="utf-8"))
        nodes = set(ast.walk(tree)) - for_readers(tree)
        found += [f"{file.name}: {ast.unparse(node)}" for node in nodes if writes(node)]
    assert not found


def test_no_rule_writes_a_path() -> None:
    names = "|".join(re.escape(name) for name in FILE_NAMES)
    for file in (ROOT / "Snakefile", *(ROOT / "workflow").rglob("*.smk")):
        text = re.sub("#.*", "", file.read_text(encoding="utf-8"))
        assert not re.findall(rf"results/|{names}|dirname", text), file.name


# ---- and so everything may be called otherwise ----

CONFIG = {
    "datasets": {"digits": {"source": "digits", "images": 20}},
    "generators": {"gan": {"latent": 2, "width": 1, "epochs": 1, "batch_size": 256}},
    "poisonings": {"corner": {"method": "backdoor", "target": 3}},
    "victims": {
        "plain": {"method": "scikit_learn", "architecture": "linear"},
        "backdoored": {"method": "scikit_learn", "architecture": "linear", "poisoning": "corner"},
    },
    "attacks": {"fgsm": {"method": "fgsm", "eps": 0.2}},
    "defenses": {
        "median": {"method": "spatial_smoothing", "kind": "median"},
        "gan": {"method": "defense_gan", "generator": "gan", "steps": 1, "restarts": 1},
    },
    "fooling": {"ascent": {"method": "gradient_ascent", "steps": 2}},
    "matches": [
        {"datasets": ["digits"], "victims": ["plain"], "attacks": ["fgsm"], "defenses": ["median", "gan"]},
        {"datasets": ["digits"], "victims": ["backdoored"], "attacks": ["fgsm"], "fooling": ["ascent"]},
    ],
    "transfers": [
        {"datasets": ["digits"], "sources": ["plain"], "victims": ["plain", "backdoored"], "attacks": ["fgsm"]}
    ],
}


def test_a_run_whose_folders_and_files_are_all_called_otherwise_is_whole(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    files = {stage: {role: f"new_{name}" for role, name in roles.items()} for stage, roles in FILES.items()}
    place = Layout._place
    monkeypatch.setattr("rivalry.layout.FILES", files)
    monkeypatch.setattr(
        Layout, "_place", lambda self, stage, folder, **names: place(self, stage, folder and f"new_{folder}", **names)
    )
    monkeypatch.setattr("rivalry.cli._limit_threads", lambda threads: None)
    monkeypatch.setattr("rivalry.stages.draw.all_figures", dict)
    monkeypatch.chdir(tmp_path)
    plan = Plan(load_config(CONFIG, "config.yaml"))
    layout = plan.layout

    def run(stage: str, options: str) -> None:
        assert main([stage, *shlex.split(options)]) == 0, stage

    Path("config.json").write_text(json.dumps(CONFIG))
    run("record", f"plan config.json --output {layout.plan.facts}")
    run("record", f"configuration config.json --output {layout.configuration.facts}")
    record_run(layout.run.facts, snakefile="Snakefile", configfiles=[], config={})
    run("prepare", plan.prepare_options("digits"))
    run("generate", plan.generate_options("digits", "gan"))
    run("poison", plan.poison_options("digits", "corner"))
    for names in plan.victims:
        run("train", plan.train_options(*names))
    for names in plan.attacks:
        run("attack", plan.attack_options(*names))
    for defense in ("median", "gan"):
        run("defend", plan.defend_options("digits", "plain", defense))
        run("attack", plan.attack_options("digits", f"plain+{defense}", "fgsm"))
        run("evaluate", plan.evaluate_options("digits", "plain", defense))
    run("fool", plan.fool_options("digits", "backdoored", "ascent"))
    run("transfer", plan.transfer_options("digits", "plain"))
    run("tabulate", plan.tabulate_options())
    run("check", plan.check_options())
    run("draw", plan.draw_options("digits"))
    run("collect", plan.collect_options())
    for form, made in (("html", layout.page), ("latex", layout.paper)):
        run("report", f"{form} --input {layout.report.facts} --output {made.target}")

    assert verify(layout.root)[1:] == ([], [])
    written = [path.relative_to(layout.root) for path in layout.root.rglob("*") if path.is_file()]
    assert all(path.parts[0].startswith("new_") for path in written if len(path.parts) > 1)
    assert {path.name for path in written if not path.name.startswith(("new_", "."))} == set()
