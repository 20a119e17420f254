"""Where everything lies: one place for every path below the results, and for the name of a defended victim."""

from __future__ import annotations

import subprocess
import sys
from itertools import combinations
from pathlib import Path

import pytest

from rivalry.codehash import modules_behind
from rivalry.layout import FILES, Layout, Place, defended, parts

LAYOUT = Layout()


def places(layout: Layout) -> list[Place]:
    """One of each kind."""
    return [
        layout.plan,
        layout.configuration,
        layout.run,
        layout.data("digits"),
        layout.poisoning("digits", "patch"),
        layout.victim("digits", "plain"),
        layout.attack("digits", "plain", "pgd"),
        layout.attack("digits", "plain+median3", "pgd"),
        layout.defense("digits", "plain", "median3"),
        layout.evaluation("digits", "plain", "median3"),
        layout.fooling("digits", "plain", "ascent"),
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
