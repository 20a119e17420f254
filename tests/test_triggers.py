"""Facts about what triggers are credited with: overall, by class, and against the poisoned share."""

from __future__ import annotations

import math
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest
import torch

from rivalry.artifacts import write_json, write_table, write_tensors
from rivalry.checks.constant_victim import constant_victim
from rivalry.data._splits import load_split
from rivalry.errors import RivalryError
from rivalry.figures._figure import Absent
from rivalry.figures._style import facets, use_style
from rivalry.figures.poisoning import poisoned_share
from rivalry.layout import Layout
from rivalry.poisoning._trigger import drawn
from rivalry.stages.poison import poison
from rivalry.statistics.columns import TRIGGERS
from rivalry.statistics.rates import wilson_interval
from rivalry.statistics.triggers import Curve, curves, trigger_rates

LABELS = np.array([0, 0, 1, 1, 1, 1, 2, 2, 2, 2])


class Game:
    """Victims of clean and poisoned data under one trigger, whose target is class 0."""

    def __init__(self, results: Path) -> None:
        self.layout = Layout(results)
        self.plan: dict[str, Any] = {"attacks": []}
        self.victims: dict[str, dict[str, Any]] = {}
        self.poisonings: dict[str, dict[str, Any]] = {}

    def poisoning(self, name: str, fraction: float, **parameters: Any) -> None:
        told = {"fraction": fraction, "target": 0} | parameters
        shares = {"n_poisoned": round(1000 * fraction), "share_of_all": fraction / 10, "share_of_target": fraction}
        self.poisonings[name] = {"method": "clean_label", "parameters": told} | shares
        write_json(self.layout.poisoning("toy", name).facts, self.poisonings[name])

    def victim(
        self, name: str, hits: set[int], poisoning: str | None = None, wrong: int | None = None, **fact: Any
    ) -> None:
        """A victim that the trigger turns on images `hits`, and that has one image wrong without it."""
        self.victims[name] = {"architecture": "lenet5", "method": "plain", "poisoning": poisoning} | fact
        write_json(self.layout.victim("toy", name).facts, self.victims[name])
        place = self.layout.attack("toy", name, "stamp")
        write_json(place.facts, {"parameters": {"poisoning": "somewhere/low"}})
        right = np.arange(len(LABELS)) != wrong
        table = {
            "label": LABELS,
            "target": 0,
            "clean_prediction": np.where(right, LABELS, 0),
            "attacked": right & (LABELS != 0),
            # A careless reader counts stamped images of the target class, and those that were wrong before.
            "success": [row in hits or not right[row] or LABELS[row] == 0 for row in range(len(LABELS))],
        }
        write_table(place["scores"], pd.DataFrame(table))
        self.plan["attacks"].append(["toy", name, "stamp"])

    def rows(self) -> list[dict[str, Any]]:
        return trigger_rates(self.layout, self.plan, 0.95)


@pytest.fixture
def game(tmp_path: Path) -> Game:
    made = Game(tmp_path)
    for name, fraction in (("low", 0.1), ("high", 0.5)):
        made.poisoning(name, fraction)
    made.victim("other", {3}, architecture="mlp512")
    made.victim("clean", {2, 6})
    made.victim("some", {2, 3, 6}, "low", wrong=7)
    made.victim("most", {2, 3, 4, 5, 6, 7, 8}, "high")
    return made


def only(rows: list[dict[str, Any]], **wanted: Any) -> dict[str, Any]:
    (found,) = [row for row in rows if all(row[key] == value for key, value in wanted.items())]
    return found


def test_only_images_of_other_classes_that_were_right_count(game: Game):
    row = only(game.rows(), victim="some", **{"class": ""})
    assert (row["n"], row["success_rate"]) == (7, 3 / 7)
    assert (row["low"], row["high"]) == wilson_interval(3, 7, 0.95)
    classes = {row["class"]: (row["n"], row["success_rate"]) for row in game.rows() if row["victim"] == "some"}
    assert classes == {"": (7, 3 / 7), "1": (4, 2 / 4), "2": (3, 1 / 3)}


def test_the_control_is_the_twin_of_clean_data(game: Game):
    row = only(game.rows(), victim="most", **{"class": ""})
    assert (row["control"], row["control_rate"]) == ("clean", 2 / 8)
    by_class = only(game.rows(), victim="most", **{"class": "1"})
    assert by_class["control_rate"] == 1 / 4
    alone = only(game.rows(), victim="clean", **{"class": ""})
    assert alone["control"] == ""
    assert (alone["share_of_all"], alone["n_poisoned"]) == (0, 0)
    assert math.isnan(alone["control_rate"])


def test_where_no_image_counts_there_is_no_rate(tmp_path: Path):
    game = Game(tmp_path)
    game.poisoning("low", 0.1)
    game.victim("some", set(), "low")
    place = game.layout.attack("toy", "some", "stamp")
    table = pd.DataFrame({"label": LABELS, "target": LABELS, "clean_prediction": LABELS})
    write_table(place["scores"], table.assign(attacked=False, success=True))
    (row,) = game.rows()
    assert row["n"] == 0
    assert math.isnan(row["success_rate"])
    TRIGGERS.frame([row])


def test_trainings_are_one_row_with_the_spread_between_them(game: Game):
    game.victims["some@2"] = game.victims["some"]
    game.victim("some@2", set(), "low")
    row = only(game.rows(), victim="some", **{"class": ""})
    assert (row["seeds"], row["success_rate"]) == (2, pytest.approx((3 / 7 + 0) / 2))
    assert row["low"] == 0
    assert row["high"] > 3 / 7


def test_a_curve_joins_what_differs_in_the_fraction_alone(game: Game):
    game.poisoning("aside", 0.2, target=1)
    game.victim("aside", {2}, "aside")
    (curve,) = curves(game.rows(), game.victims, game.poisonings)
    assert curve.victims == ("some", "most")
    assert curve.settings == {"target": 0}
    game.victim("alone", {2}, "high", architecture="mlp512")
    assert len(curves(game.rows(), game.victims, game.poisonings)) == 1


HARD = {"variant": "adversarial", "eps": 5, "norm": 2, "proxy": "robust", "target": 0}
PLAIN = {"variant": "plain", "eps": 0.3, "norm": "inf", "proxy": None, "target": 0}


@pytest.mark.parametrize(
    ("method", "settings", "words"),
    [
        ("backdoor", [{"trigger": "pixel", "target": 0}], ["backdoor"]),
        ("backdoor", [{"trigger": "pixel", "target": 0}, {"trigger": "pixel", "target": 1}], ["backdoor", "backdoor"]),
        (
            "backdoor",
            [{"trigger": kind} for kind in ("pixel", "image")],
            ["backdoor, trigger pixel", "backdoor, trigger image"],
        ),
        ("clean_label", [HARD], ["clean label"]),
        # What differs between variants is not told: the plain one changes nothing by 0.3.
        ("clean_label", [HARD, PLAIN], ["clean label, adversarial", "clean label, plain"]),
        (
            "clean_label",
            [HARD, HARD | {"eps": 2}, PLAIN],
            ["clean label, adversarial, eps 5", "clean label, adversarial, eps 2", "clean label, plain"],
        ),
        (
            "clean_label",
            [HARD, HARD | {"proxy": "plain"}],
            ["clean label, proxy robust", "clean label, proxy plain"],
        ),
    ],
)
def test_curves_are_told_apart_by_no_more_than_it_takes(
    method: str, settings: list[dict[str, Any]], words: list[str]
) -> None:
    found = [Curve("trigger", method, one, ("a", "b")) for one in settings]
    assert [curve.told_apart(found) for curve in found] == words


@pytest.mark.parametrize("variants", [["adversarial"], ["adversarial", "plain"]])
def test_the_figure_says_every_rate_with_its_share(variants: list[str], tmp_path: Path):
    game = Game(tmp_path)
    game.victim("clean", {2})
    for variant in variants:
        for name, fraction in (("low", 0.1), ("high", 0.5)):
            game.poisoning(name if variant == "adversarial" else f"{name}_plain", fraction, variant=variant)
    game.victim("some", {2, 3}, "low")
    game.victim("most", {2, 3, 4, 5, 6, 7, 8, 9}, "high")
    data: Any = SimpleNamespace(
        triggers=TRIGGERS.frame(game.rows()),
        victims=game.victims,
        poisonings=game.poisonings,
        of_seeds=lambda how: "",
    )
    (drawn_,) = poisoned_share(data)
    assert "clean label: 25.0 % at 1.0 %, 100.0 % at 5.0 %" in drawn_.alt
    (axes,) = drawn_.figure.axes
    assert [list(line.get_xdata()) for line in axes.lines if line.get_marker() == "o"] == [[1.0, 5.0]]
    plt.close(drawn_.figure)
    data.triggers = data.triggers[data.triggers["victim"] != "most"]
    with pytest.raises(Absent):
        poisoned_share(data)


@pytest.fixture
def data(tmp_path: Path) -> Path:
    images = torch.arange(100 * 36).view(100, 1, 6, 6).remainder(250).to(torch.uint8)
    write_tensors(tmp_path / "train.safetensors", {"images": images, "labels": torch.arange(100) % 5})
    write_json(tmp_path / "dataset.json", {"dataset": "noise", "shape": [1, 6, 6], "classes": 5})
    return tmp_path


def test_a_trigger_that_changes_nothing_is_told(data: Path):
    parameters = {"target": 0, "fraction": 0.5, "variant": "plain"}
    with pytest.raises(
        RivalryError, match="clean_label: its trigger changes no pixel of the first 100 training images"
    ):
        poison("weak", "clean_label", parameters | {"amplitude": 0.001}, data, data / "weak")
    with pytest.warns(match="every training image of class 0 is poisoned"):
        poison("whole", "clean_label", parameters | {"fraction": 1.0}, data, data / "whole")


@pytest.mark.parametrize("target", [0, "next"])
def test_whatever_a_constant_classifier_answers_is_no_success(target: Any, tmp_path: Path):
    layout = Layout(tmp_path)
    drawn("pattern", (1, 8, 8), target).save(layout.poisoning("toy", "low").folder)
    labels = torch.arange(30) % 3
    images = torch.randint(0, 255, (30, 1, 8, 8), dtype=torch.uint8)
    write_tensors(layout.data("toy")["test"], {"images": images, "labels": labels})
    targets = torch.zeros(30, dtype=torch.int64) if target == 0 else (labels + 1) % 3
    facts = {"attack": "stamp", "method": "backdoor_trigger", "parameters": {"poisoning": "gone/low"}}
    scores = pd.DataFrame({"index": np.arange(30), "target": targets.numpy()})
    evidence: Any = SimpleNamespace(
        crafted=[SimpleNamespace(facts=facts, scores=scores)] * 2,
        test=load_split(layout.data("toy").folder, "test"),
        layout=layout,
        dataset="toy",
        classes=3,
    )
    (row,) = constant_victim(evidence)
    assert (row["status"], row["attack"]) == ("pass", "stamp")


@pytest.mark.parametrize("count", [1, 2, 3])
def test_long_titles_leave_panels_their_room(count: int) -> None:
    """A title in one line would push its panel's sides together until it fits."""
    use_style()
    names = [f"clean label, variant {number}, eps 0.3, norm inf, step_size 0.02, steps 40" for number in range(count)]
    figure, axes = facets(names, keys=["one class"])
    figure.draw_without_rendering()
    width = figure.get_size_inches()[0]
    assert all(one.get_position().width * width > 0.7 * width / min(2, count) for one in axes)
    assert [one.get_title(loc="left").replace("\n", " ") for one in axes] == names
    plt.close(figure)
