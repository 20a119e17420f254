"""The headline takes every attack, counts it only where it was run, and says when it was not measured."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rivalry import artifacts
from rivalry.layout import Layout
from rivalry.statistics.columns import WORST_CASES
from rivalry.statistics.headlines import Listed, headline_budget, ranking
from rivalry.statistics.tables import records
from rivalry.statistics.worst_case import Case, worst_cases

NONE = float("nan")


class Run:
    """A run on the data set "toy", whose images are 0 to 9; every victim has image 9 wrong unattacked."""

    def __init__(self, results: Path) -> None:
        self.layout = Layout(results)
        self.plan: dict[str, list] = {"victims": [], "attacks": [], "evaluations": [], "transfers": []}

    def attack(
        self,
        victim: str,
        attack: str,
        turned: dict[int, float],
        *,
        eps: float | Sequence[float] = 0.1,
        images: Sequence[int] = range(10),
        **facts: Any,
    ) -> Run:
        """`turned` says of each image that falls how large the change is; with several eps it falls where it fits."""
        rows = [
            {"eps": budget, **row}
            for budget in ([eps] if isinstance(eps, float) else eps)
            for row in self._rows(images, turned, budget)
        ]
        place = self.layout.attack("toy", victim, attack)
        artifacts.write_table(place["scores"], pd.DataFrame(rows))
        smallest = isinstance(eps, float) and np.isnan(eps)
        about = {"norm": "inf", "goal": "untargeted", "sees": "gradients", "method": attack, "parameters": {}}
        about |= {"budget": "minimal" if smallest else "fixed", "eps": None if smallest else eps}
        artifacts.write_json(place.facts, about | facts)
        if "+" not in victim:
            self.plan["attacks"].append(["toy", victim, attack])
            if ["toy", victim] not in self.plan["victims"]:
                self.plan["victims"].append(["toy", victim])
        return self

    def defend(
        self, defense: str, sets: dict[tuple[str, str], dict[int, float]], *, refused: Sequence[int] = ()
    ) -> Run:
        """An evaluation of plain behind a defense that refuses some clean images."""
        rows: list[dict[str, Any]] = [
            {"attack": "", "setting": "clean", "eps": NONE, "index": k, "label": 1, "prediction": 1}
            | dict.fromkeys(("l0", "l2", "linf"), 0.0)
            for k in range(10)
        ]
        for (attack, setting), turned in sets.items():
            if setting == "adaptive":
                self.attack(f"plain+{defense}", attack, {})
            rows += [
                row | {"attack": attack, "setting": setting, "eps": 0.1} for row in self._rows(range(10), turned, 0.1)
            ]
        for row in rows:
            row["clean_handled"] = row["index"] != 9 and row["index"] not in refused
        artifacts.write_table(self.layout.evaluation("toy", "plain", defense)["scores"], pd.DataFrame(rows))
        self.plan["evaluations"].append(["toy", "plain", defense])
        return self

    def replay(self, attack: str, source: str, victim: str, fooled: Sequence[int]) -> Run:
        rows = [
            {
                "attack": attack,
                "eps": 0.1,
                "victim": name,
                "index": k,
                "label": 1,
                "clean_correct": k != 9,
                "prediction": 2 if k in fooled else 1,
            }
            for name in (source, victim)
            for k in range(10)
        ]
        artifacts.write_table(self.layout.transfer("toy", source)["scores"], pd.DataFrame(rows))
        self.plan["transfers"].append(["toy", source])
        if ["toy", victim] not in self.plan["victims"]:
            self.plan["victims"].append(["toy", victim])
        return self

    def cases(self) -> dict[tuple[str, str, str, float | None], Case]:
        found = worst_cases(self.layout, plan=self.plan, confidence=0.95)
        return {(c.row["victim"], c.row["defense"], c.row["norm"], c.row["eps"]): c for c in found}

    @staticmethod
    def _rows(images: Sequence[int], turned: dict[int, float], eps: float) -> list[dict[str, Any]]:
        fits = {k: size for k, size in turned.items() if np.isnan(eps) or size <= eps}
        return [
            {"index": k, "label": 1, "prediction": 2 if k in fits or k == 9 else 1, "clean_correct": k != 9}
            | dict.fromkeys(("l0", "l2", "linf"), fits.get(k, 0.0))
            for k in images
        ]


@pytest.fixture
def run(tmp_path: Path) -> Run:
    return Run(tmp_path)


def test_it_takes_every_attack_image_by_image(run: Run) -> None:
    case = run.attack("plain", "pgd", {0: 0.1, 1: 0.1}).attack("plain", "square", {1: 0.1, 2: 0.1}).cases()
    row = case["plain", "none", "inf", 0.1].row
    assert (row["n"], row["clean_accuracy"], row["accuracy"]) == (10, 0.9, 0.6)
    assert row["low"] < 0.6 < row["high"]
    assert (row["strongest"], row["strongest_accuracy"]) == ("pgd, square", pytest.approx(0.7))


def test_an_attack_counts_only_at_budgets_at_which_it_ran(run: Run) -> None:
    """At 0.05 one attack ran, at 0.15 another one: neither budget has a worst case, although both have numbers."""
    run.attack("plain", "fgsm", {0: 0.01}, eps=[0.05, 0.1, 0.15]).attack("plain", "apgd", {1: 0.1}, eps=0.1)
    cases = run.cases()
    assert cases["plain", "none", "inf", 0.05].row["reason"] == "only fgsm was aimed at it"
    assert cases["plain", "none", "inf", 0.15].row["reason"] == "only fgsm was aimed at it"
    assert cases["plain", "none", "inf", 0.15].row["accuracy"] is None
    assert cases["plain", "none", "inf", 0.1].row["attacks"] == ["fgsm", "apgd"]
    assert cases["plain", "none", "inf", 0.1].row["accuracy"] == 0.7


def test_an_attack_without_budget_counts_by_the_size_of_what_it_needed(run: Run) -> None:
    run.attack("plain", "pgd", {0: 0.1}).attack("plain", "fab", {1: 0.1, 2: 0.11, 3: 5.0}, eps=NONE)
    cases = run.cases()
    assert cases["plain", "none", "inf", 0.1].row["accuracy"] == pytest.approx(0.7)  # image 0 and image 1
    assert cases["plain", "none", "inf", 0.1].row["attacks"] == ["pgd", "fab"]
    assert cases["plain", "none", "inf", None].row["reason"] == "only fab was aimed at it"


def test_a_small_change_counts_at_larger_budgets_too(run: Run) -> None:
    run.attack("plain", "pgd", {0: 0.05}, eps=[0.05, 0.1]).attack("plain", "apgd", {1: 0.05}, eps=[0.05])
    run.attack("plain", "square", {}, eps=[0.05, 0.1])
    cases = run.cases()
    assert cases["plain", "none", "inf", 0.1].row["attacks"] == ["pgd", "square"]
    assert (
        cases["plain", "none", "inf", 0.1].row["accuracy"] == cases["plain", "none", "inf", 0.05].row["accuracy"] == 0.7
    )


@pytest.mark.parametrize(
    ("attacks", "reason"),
    [
        ({"pgd": {}}, "only pgd was aimed at it"),
        ({"pgd": {}, "longer": {"method": "pgd"}}, "only pgd was aimed at it"),
        ({"noise": {"sees": "nothing"}, "other": {"sees": "nothing"}}, "only controls or replayed images were tried"),
        ({"pgd": {}, "noise": {"sees": "nothing"}}, "only pgd was aimed at it"),
        ({"pgd": {"images": range(5)}, "square": {"images": range(5, 10)}}, "no image met all of its attacks"),
    ],
)
def test_what_makes_no_headline(run: Run, attacks: dict[str, dict[str, Any]], reason: str) -> None:
    for name, facts in attacks.items():
        run.attack("plain", name, {}, **facts)
    (case,) = run.cases().values()
    assert case.row["reason"] == reason
    assert not case.measured
    assert not case.row["headline"]
    assert case.held.empty
    assert all(case.row[key] is None for key in ("n", "accuracy", "low", "high", "clean_accuracy", "median_distance"))


def test_targeted_attacks_triggers_and_patches_play_another_game(run: Run) -> None:
    run.attack("plain", "jsma", {0: 40.0}, eps=NONE, norm="0", goal="targeted")
    run.attack("plain", "trigger", {0: 1.0}, eps=NONE, norm="0", parameters={"poisoning": "corner"})
    run.attack("plain", "patch", {0: 1.0}, eps=NONE, norm="0", budget="fixed")
    assert run.cases() == {}


def test_all_attacks_on_the_images_that_all_of_them_met(run: Run) -> None:
    run.attack("plain", "quick", {0: 0.1}).attack("plain", "slow", {0: 0.1, 1: 0.1}, images=range(4))
    row = run.cases()["plain", "none", "inf", 0.1].row
    assert (row["n"], row["accuracy"], row["attacks"]) == (4, 0.5, ["quick", "slow"])


def test_images_replayed_from_another_victim_count_but_do_not_measure(run: Run) -> None:
    for victim in ("plain", "linear"):
        run.attack(victim, "pgd", {0: 0.1}).attack(victim, "square", {})
    cases = run.replay("pgd", "plain", "linear", [4]).replay("pgd", "plain", "knn", [4]).cases()
    assert cases["knn", "none", "inf", 0.1].row["reason"] == "only controls or replayed images were tried"


def test_a_replayed_image_falls(run: Run) -> None:
    run.attack("plain", "pgd", {0: 0.1, 4: 0.1}).attack("linear", "pgd", {0: 0.1}).attack("linear", "square", {})
    row = run.replay("pgd", "plain", "linear", [4]).cases()["linear", "none", "inf", 0.1].row
    assert row["accuracy"] == 0.7
    assert "pgd from plain" in row["attacks"]


def test_a_defense_is_judged_by_those_who_know_it_and_those_who_do_not(run: Run) -> None:
    run.attack("plain", "pgd", {0: 0.1}).attack("plain", "square", {0: 0.1})
    sets = {("pgd", "oblivious"): {0: 0.1}, ("pgd", "adaptive"): {1: 0.1}, ("square", "adaptive"): {2: 0.1}}
    row = run.defend("median", sets).cases()["plain", "median", "inf", 0.1].row
    assert row["accuracy"] == pytest.approx(0.6)
    assert row["attacks"] == ["pgd (oblivious)", "pgd", "square"]


def test_a_defense_that_nobody_who_knows_it_attacked_is_not_measured(run: Run) -> None:
    run.attack("plain", "pgd", {0: 0.1}).attack("plain", "square", {0: 0.1})
    cases = run.defend("median", {("pgd", "oblivious"): {}, ("square", "oblivious"): {}}).cases()
    row = cases["plain", "median", "inf", 0.1].row
    assert row["reason"] == "no attack that knows the defense was run"
    assert row["headline"]  # it stands in the ranking, as not measured


def test_refusing_everything_gains_nothing(run: Run) -> None:
    run.attack("plain", "pgd", {0: 0.1}).attack("plain", "square", {0: 0.1})
    sets = {("pgd", "adaptive"): {}, ("square", "adaptive"): {}}
    row = run.defend("wall", sets, refused=range(10)).cases()["plain", "wall", "inf", 0.1].row
    assert (row["clean_accuracy"], row["accuracy"], row["strongest"]) == (0, 0, "")


def test_every_classifier_stands_in_the_ranking(run: Run) -> None:
    for victim in ("plain", "robust", "weak"):
        run.attack(victim, "pgd", {"robust": {}, "weak": dict.fromkeys(range(9), 0.1)}.get(victim, {0: 0.1}))
        run.attack(victim, "square", {})
    run.attack("new", "pgd", {})
    rows = [case.row for case in run.cases().values()]
    assert [row["victim"] for row in ranking(rows)] == ["robust", "plain", "weak", "new"]
    assert ranking(rows)[-1]["reason"] == "only pgd was aimed at it"


def test_without_any_budget_the_smallest_change_ranks(run: Run) -> None:
    for victim, size in (("weak", 0.5), ("robust", 2.0), ("held", 9.0)):
        turned = dict.fromkeys(range(3 if victim == "held" else 9), size)
        run.attack(victim, "deepfool", turned, eps=NONE, norm="2").attack(victim, "cw", {0: 9.0}, eps=NONE, norm="2")
    rows = ranking([case.row for case in run.cases().values()])
    assert [(row["victim"], row["median_distance"]) for row in rows] == [("held", None), ("robust", 2.0), ("weak", 0.5)]
    assert {row["n_right"] for row in rows} == {9}


def test_sizes_are_ranked_on_the_images_that_all_have_right(run: Run) -> None:
    """On its own images the second looks weaker; on the hard ones, which only it has right, lies the difference."""
    for name in ("deepfool", "cw"):
        run.attack("one", name, {k: 2.0 if k < 3 else 0.1 for k in range(9)}, eps=NONE, norm="2")
        run.attack("two", name, dict.fromkeys(range(3), 2.1), eps=NONE, norm="2", images=range(3))
    rows = ranking([case.row for case in run.cases().values()])
    assert [(row["victim"], row["median_distance"], row["n_right"]) for row in rows] == [
        ("two", 2.1, 3),
        ("one", 2.0, 3),
    ]


def test_without_a_budget_the_strongest_needs_least(run: Run) -> None:
    run.attack("plain", "hopskipjump", dict.fromkeys(range(9), 7.5), eps=NONE, norm="2")
    run.attack("plain", "cw", dict.fromkeys(range(9), 1.5), eps=NONE, norm="2")
    assert run.cases()["plain", "none", "2", None].row["strongest"] == "cw"


def test_nothing_right_is_no_division_by_zero(run: Run) -> None:
    run.attack("plain", "pgd", {}, images=[9]).attack("plain", "square", {}, images=[9])
    row = run.cases()["plain", "none", "inf", 0.1].row
    assert (row["n"], row["clean_accuracy"], row["accuracy"], row["strongest"]) == (1, 0, 0, "")
    assert row["median_distance"] is None


SIZES = st.dictionaries(st.integers(0, 8), st.floats(0.01, 0.5), max_size=9)


@settings(max_examples=10, deadline=None)
@given(SIZES, SIZES, SIZES)
def test_never_above_clean_nor_above_any_attack_and_never_rising_with_the_budget(
    tmp_path_factory: pytest.TempPathFactory, one: dict[int, float], two: dict[int, float], three: dict[int, float]
) -> None:
    budgets = [0.1, 0.2, 0.3]
    run = Run(tmp_path_factory.mktemp("run"))
    run.attack("plain", "pgd", one, eps=budgets).attack("plain", "square", two, eps=budgets)
    run.attack("plain", "fab", three, eps=NONE)
    cases = [run.cases()["plain", "none", "inf", eps] for eps in budgets]
    for case in cases:
        assert case.row["accuracy"] <= case.row["strongest_accuracy"] <= case.row["clean_accuracy"]
        assert case.row["low"] <= case.row["accuracy"] <= case.row["high"]
        assert case.row["accuracy"] == case.held.mean()
    accuracies = [case.row["accuracy"] for case in cases]
    assert accuracies == sorted(accuracies, reverse=True)


def test_the_table_survives_the_file(run: Run) -> None:
    run.attack("007", "pgd", {0: 0.1}).attack("007", "square", {}).attack("inf", "pgd", {})
    cases = worst_cases(run.layout, plan=run.plan, confidence=0.95)
    file = run.layout.tables["worst_cases"]
    WORST_CASES.write(file, [case.row for case in cases])
    assert records(WORST_CASES.read(file)) == [case.row for case in cases]


def test_the_headline_budget_is_the_one_that_most_classifiers_met() -> None:
    assert headline_budget([0.1, 0.3, 0.1, 0.3, 0.5]) == 0.3
    assert headline_budget([0.1, 0.2]) == 0.2


@pytest.mark.parametrize("listed", [Listed("pgd"), Listed("pgd", source="linear"), Listed("pgd", oblivious=True)])
def test_how_an_attack_is_listed_can_be_read_again(listed: Listed) -> None:
    assert Listed.read(str(listed)) == listed
