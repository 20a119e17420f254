"""Victims that differ in one number alone: which they are, and the figure of what it does to them."""

from __future__ import annotations

import re
from typing import Any

import pandas as pd
import pytest

import synthetic_results
from rivalry import artifacts
from rivalry.figures._figure import Absent
from rivalry.figures._results import Results
from rivalry.figures.sweeps import sweeps as drawings
from rivalry.layout import Layout
from rivalry.statistics.columns import SCORES
from rivalry.statistics.sweeps import sweeps


def victim(method: str = "plain", *, fitting: dict[str, Any] | None = None, **parameters: Any) -> dict[str, Any]:
    return {
        "architecture": "lenet5",
        "architecture_parameters": {},
        "method": method,
        "parameters": parameters,
        "fitting": {"epochs": 10, "nesterov": False} | (fitting or {}),
        "poisoning": None,
        "warm_start": None,
        "seed": 1,
    }


def found(**victims: dict[str, Any]) -> list[tuple[str, dict[str, float]]]:
    return [(sweep.parameter, sweep.numbers) for sweep in sweeps(victims)]


def test_three_that_differ_in_one_number_are_a_sweep_in_ascending_order() -> None:
    three = {
        "c": victim("l1_l2", l1=0.0, l2=0.1),
        "a": victim("l1_l2", l1=0.0, l2=0.0),
        "b": victim("l1_l2", l1=0.0, l2=0.01),
    }
    assert found(**three, other=victim()) == [("l2", {"a": 0.0, "b": 0.01, "c": 0.1})]
    assert found(a=three["a"], b=three["b"]) == []
    deep = {
        name: victim(fitting={"augmentation": {"noise": noise}}) for name, noise in (("a", 0.1), ("b", 0.2), ("c", 0.3))
    }
    assert found(**deep) == [("noise", {"a": 0.1, "b": 0.2, "c": 0.3})]


def test_what_differs_in_more_or_in_no_number_is_none() -> None:
    grid = {f"v{i}": victim("l1_l2", l1=l1, l2=l2) for i, (l1, l2) in enumerate([(0.0, 0.0), (0.1, 0.1), (0.2, 0.2)])}
    assert found(**grid) == []
    assert found(a=victim(fitting={"nesterov": True}), b=victim(), c=victim(fitting={"nesterov": None})) == []
    assert found(a=victim(kind="x"), b=victim(kind="y"), c=victim(kind="z")) == []
    others = [victim("l1_l2", l2=value) for value in (0.0, 0.1, 0.2)]
    others[2]["poisoning"] = "corner"
    assert found(**dict(zip("abc", others, strict=True))) == []


def test_a_grid_holds_a_sweep_for_each_row_and_column() -> None:
    grid = {f"{l1}_{l2}": victim("l1_l2", l1=l1, l2=l2) for l1 in (0, 1, 2) for l2 in (0, 1, 2)}
    made = sweeps(grid)
    assert sorted(sweep.parameter for sweep in made) == ["l1"] * 3 + ["l2"] * 3
    assert all(len(sweep.numbers) == 3 for sweep in made)


def test_teachers_may_differ_with_their_students_in_the_same_number_only() -> None:
    def taught(temperature: float, epochs: int = 10) -> dict[str, dict[str, Any]]:
        teacher = victim("plain", temperature=temperature, fitting={"epochs": epochs})
        told = {"teacher": f"results/victims/mnist/teacher{temperature:g}", "temperature": temperature}
        return {
            f"teacher{temperature:g}": teacher,
            f"student{temperature:g}": victim("defensive_distillation", labels_from="teacher", **told),
        }

    three = taught(1.0) | taught(10.0) | taught(100.0)
    assert found(**three) == [
        ("temperature", {"teacher1": 1.0, "teacher10": 10.0, "teacher100": 100.0}),
        ("temperature", {"student1": 1.0, "student10": 10.0, "student100": 100.0}),
    ]
    assert found(**three | taught(100.0, epochs=20)) == []
    # Other teachers with the same settings, of the same temperature throughout.
    same = {name: facts for name, facts in three.items() if name.startswith("student")}
    assert found(**same) == []  # unknown teachers are different teachers


def test_trainings_with_several_seeds_share_a_value() -> None:
    seeds = {
        f"{name}{at}": victim("l1_l2", l2=value) | {"seed": at}
        for name, value in (("a", 0.1), ("b", 0.2), ("c", 0.3))
        for at in ("", "@2")
    }
    assert found(**seeds) == [("l2", {"a": 0.1, "a@2": 0.1, "b": 0.2, "b@2": 0.2, "c": 0.3, "c@2": 0.3})]
    assert found(**{name: facts for name, facts in seeds.items() if name[0] in "ab"}) == []


NUMBERS = {"plain": 1.0, "adversarial": 10.0, "poisoned": 100.0}


@pytest.fixture(scope="module")
def results(tmp_path_factory: pytest.TempPathFactory) -> Results:
    """The synthetic run, whose victims differ in one number."""
    folder = synthetic_results.make(tmp_path_factory.mktemp("run") / "results")
    for name, number in NUMBERS.items():
        place = Layout(folder).victim("digits", name)
        told = {"method": "plain", "parameters": {"temperature": number}, "poisoning": None}
        artifacts.write_json(place.facts, artifacts.read_json(place.facts) | told)
        artifacts.write_manifest(place)
    return Results(folder, "digits", synthetic_results.PLAN)


def test_the_figure_shows_the_table_s_numbers(results: Results) -> None:
    (drawn,) = drawings(results)
    assert drawn.name == "sweep_1_temperature"
    scores = SCORES.read(results.layout.tables["scores"])
    scores = scores[(scores["dataset"] == "digits") & (scores["setting"] == "undefended")]
    for attack in ("fgsm", "pgd", "deepfool"):
        rows = scores[scores["attack"] == attack].sort_values("eps").groupby("victim").tail(1).set_index("victim")
        for name, value in NUMBERS.items():
            rate = f"{100 * rows.loc[name, 'adversarial_accuracy']:.1f}"
            assert re.search(rf"{attack}[^;]* {re.escape(rate)} % at {value:g}\b", drawn.alt), (attack, name, drawn.alt)
    lines = [line for line in drawn.figure.axes[0].get_lines() if len(line.get_xdata()) == 3]
    plotted = sorted(tuple(map(float, line.get_ydata())) for line in lines)
    assert len(plotted) == 1 + scores[scores["victim"] == "plain"]["attack"].nunique() - 1  # clean; no trigger
    assert drawn.figure.axes[0].get_xscale() == "log"


def test_an_attack_that_few_of_them_met_or_at_other_budgets_is_left_out(
    results: Results, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = results.scores
    few = whole[~((whole["attack"] == "pgd") & whole["victim"].isin(["plain", "poisoned"]))]
    other = few.assign(eps=few["eps"].mask((few["attack"] == "fgsm") & (few["victim"] == "plain"), 0.9))
    monkeypatch.setitem(vars(results), "scores", other)
    (drawn,) = drawings(results)
    assert "pgd" not in drawn.alt
    assert not re.search(r"\bfgsm\b ", drawn.alt)
    assert "deepfool" in drawn.alt


def test_no_gradients_are_shown_only_where_there_are_some_to_show(
    results: Results, monkeypatch: pytest.MonkeyPatch
) -> None:
    scores: pd.DataFrame = results.scores
    for share, axes in ((0.0, 1), (0.6, 2)):
        monkeypatch.setitem(vars(results), "scores", scores.assign(zero_gradient_share=share))
        (drawn,) = drawings(results)
        assert len(drawn.figure.axes) == axes
        assert ("no gradient in fgsm 60.0 % at 1" in drawn.alt) == (share > 0)


def test_without_a_sweep_it_is_absent(results: Results) -> None:
    two = [names for names in synthetic_results.PLAN["victims"] if names[1] != "poisoned"]
    with pytest.raises(Absent, match="no 3 victims that differ in one number alone met the same attack"):
        drawings(Results(results.folder, "digits", synthetic_results.PLAN | {"victims": two}))
