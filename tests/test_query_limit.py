"""Facts about a limit of queries, and about what attacks have achieved after so many."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch

from helpers import linear_problem
from rivalry import artifacts, attacks
from rivalry.attacks._goals import Goal
from rivalry.attacks._oracles import Ledger, Scores
from rivalry.attacks._progress import ASKED, Progress
from rivalry.defenses.query_limit import Limited, query_limit, restore
from rivalry.layout import Layout
from rivalry.norms import length
from rivalry.statistics.query_curves import query_curves

BLACK_BOX = {
    "square": {"eps": 0.02, "queries": 60},
    "one_pixel": {"generations": 5, "population": 10},
    "hopskipjump": {"iterations": 3, "initial_trials": 20},
}


@pytest.mark.parametrize("name", BLACK_BOX)
@pytest.mark.parametrize("limit", [1, 7, 40])
def test_no_image_is_asked_about_more_often_than_is_allowed(name: str, limit: int) -> None:
    victim, images, labels = linear_problem()
    asked: list[int] = []
    victim.register_forward_hook(lambda *told: asked.append(len(told[1][0])))
    result = getattr(attacks, name).run(Limited(victim, limit), images, labels, **BLACK_BOX[name])
    assert result.queries.max() <= limit
    # Beside these, what came of each image is classified once.
    assert sum(asked) <= int(result.queries.sum()) + len(images)
    assert torch.isfinite(result.images).all()


@pytest.mark.parametrize("name", BLACK_BOX)
def test_a_limit_that_is_not_met_changes_nothing(name: str) -> None:
    victim, images, labels = linear_problem()
    alone, behind = (
        getattr(attacks, name).run(one, images, labels, **BLACK_BOX[name]) for one in (victim, Limited(victim, 100_000))
    )
    assert torch.equal(alone.images, behind.images)
    assert torch.equal(alone.queries, behind.queries)


def test_who_sees_gradients_holds_a_copy_and_is_not_limited() -> None:
    victim, images, labels = linear_problem()
    alone, behind = (
        attacks.pgd.run(one, images, labels, eps=0.02, step_size=0.005, steps=5) for one in (victim, Limited(victim, 1))
    )
    assert torch.equal(alone.images, behind.images)
    assert behind.queries.max() > 1
    assert behind.progress is None


def test_an_attack_on_its_own_model_of_a_victim_asks_no_more_of_each_training_image_than_is_allowed() -> None:
    victim, images, labels = linear_problem(n=8)
    settings: dict[str, Any] = {"architecture": "mlp512", "training_images": 8, "rounds": 2, "epochs": 1}
    result = attacks.substitute.run(Limited(victim, 1), images, labels, training=(images, labels), **settings)
    assert result.fitted is not None
    assert result.fitted.queries <= 8


def test_questions_are_numbered_image_by_image_within_a_batch_too() -> None:
    victim, images, labels = linear_problem(n=3)
    progress = Progress(images, Goal(labels), "inf")
    ledger = Ledger(3, labels=labels, limit=3, progress=progress)
    oracle = Scores(victim, ledger, torch.arange(3), 64)
    assert oracle.left == 3
    oracle.logits(images)
    rows = torch.tensor([0, 2, 0, 0, 2])
    answers = oracle.on(rows).logits(images[rows])
    told = torch.tensor([True, True, True, False, True])
    assert torch.equal(answers[told], victim(images[rows])[told])
    # What is not answered looks like an image that could not be farther from the goal.
    assert int(answers[3].argmax()) == int(labels[0])
    assert answers[3].max() - answers[3].sort()[0][-2] > 1e5
    assert ledger.queries.tolist() == [3, 1, 3]
    assert (oracle.left, oracle.on(torch.tensor([1])).left) == (0, 2)


def test_progress_is_the_smallest_change_so_far_and_ends_with_what_the_attack_returns() -> None:
    victim, images, labels = linear_problem()
    result = attacks.hopskipjump.run(victim, images, labels, iterations=4)
    assert result.progress is not None
    sizes = result.progress
    assert (sizes[:, 1:] <= sizes[:, :-1]).all()
    assert torch.isinf(sizes[:, 0]).all()  # that is the clean image
    returned = length(result.images - images, 2)
    found = result.success
    assert found.any()
    # It stands a thousandth behind the nearest point that it has met.
    assert torch.allclose(sizes[found, -1], returned[found], rtol=5e-3)
    square = attacks.square.run(victim, images, labels, eps=0.02, queries=60)
    assert square.progress is not None
    first = torch.tensor(ASKED)[(square.progress < torch.inf).int().argmax(dim=1)]
    for row in square.success.nonzero().squeeze(1).tolist():
        # An image stops with its first success.
        assert int(first[row]) == next(asked for asked in ASKED if asked >= int(square.queries[row]))


def test_images_that_are_not_attacked_have_no_progress() -> None:
    victim, images, labels = linear_problem()
    wrong = (labels + 1) % 5
    result = attacks.square.run(victim, images, wrong, eps=0.02, queries=5)
    assert result.progress is not None
    assert torch.isinf(result.progress).all()


def test_a_stored_limit_is_the_same() -> None:
    victim, images, labels = linear_problem()
    made = query_limit(victim, images, labels, 0, 8, queries=12)
    again = restore(victim, {"parameters": {"queries": 12}})
    assert torch.equal(made.module(images), again(images))
    assert again.query_limit == 12
    assert not [name for name in again.state_dict() if not name.startswith("victim.")]


def write(layout: Layout, name: str, facts: dict, sizes: list[list[tuple[int, float]]], queries: int) -> None:
    """An attack on four images, one of them not attacked; of the others, at which query which size was reached."""
    place = layout.attack("digits", name, "ask")
    n = len(sizes)
    scores = pd.DataFrame({"index": range(n + 1), "eps": np.nan, "attacked": [True] * n + [False], "queries": queries})
    rows = [(image, np.nan, asked, size) for image, found in enumerate(sizes) for asked, size in found]
    artifacts.write_table(place["scores"], scores)
    found = pd.DataFrame(rows, columns=["index", "eps", "queries", "size"])
    artifacts.write_table(place["queries"], found.astype({"queries": "int64", "size": "float64", "eps": "float64"}))
    artifacts.write_json(place.facts, {"sees": "decisions", "norm": "inf", "budget": "minimal", "eps": None} | facts)
    artifacts.write_manifest(place, [*place.files[2:3], place["queries"], place.facts])


def test_a_curve_counts_images_that_have_fallen_by_so_many_queries(tmp_path: Path) -> None:
    layout = Layout(tmp_path)
    write(layout, "plain", {}, [[(2, 0.9), (30, 0.2)], [(100, 0.3)], []], 120)
    write(layout, "plain+limit", {}, [[(30, 0.2)], [], []], 40)
    place = layout.defense("digits", "plain", "limit")
    artifacts.write_json(place.facts, {"kind": "access control", "parameters": {"queries": 40}})
    plan = {
        "attacks": [["digits", "plain", "ask"]],
        "evaluations": [["digits", "plain", "limit"]],
        "adaptive": [["digits", "plain+limit", "ask"]],
    }
    case = {"dataset": "digits", "norm": "inf", "headline": True, "eps": 0.3}
    rows = list(query_curves(layout, plan, [case], 0.95))
    free = {row["queries"]: row for row in rows if row["defense"] == "none"}
    assert list(free) == [asked for asked in ASKED if asked <= 150]
    assert [free[asked]["success_rate"] for asked in (1, 20, 30, 70, 100)] == pytest.approx([0, 0, 1 / 3, 1 / 3, 2 / 3])
    assert math.isnan(free[30]["median_change"])
    assert free[150]["median_change"] == pytest.approx(0.3)
    assert all(row["low"] <= row["success_rate"] <= row["high"] and row["n"] == 3 for row in rows)
    limited = [row for row in rows if row["defense"] == "limit"]
    assert [row["queries"] for row in limited] == [*(asked for asked in ASKED if asked < 40), 40]
    assert limited[-1]["success_rate"] == pytest.approx(1 / 3)
    # Without a budget there are sizes alone.
    assert all("success_rate" not in row for row in query_curves(layout, plan, [], 0.95))


def test_no_image_that_was_attacked_makes_no_rate(tmp_path: Path) -> None:
    layout = Layout(tmp_path)
    write(layout, "plain", {}, [], 1)
    plan: dict = {"attacks": [["digits", "plain", "ask"]], "evaluations": [], "adaptive": []}
    case = {"dataset": "digits", "norm": "inf", "headline": True, "eps": 0.3}
    assert [(row["n"], "success_rate" in row) for row in query_curves(layout, plan, [case], 0.95)] == [(0, False)]
