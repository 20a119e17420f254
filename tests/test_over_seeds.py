"""Victims that were trained several times: their rates, and when two of them differ."""

from __future__ import annotations

import itertools
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from matplotlib.axes import Axes
from matplotlib.collections import PathCollection
from scipy.stats import binom, norm

import synthetic_results
from rivalry import artifacts
from rivalry.errors import RivalryError
from rivalry.figures._figure import all_figures
from rivalry.figures._results import Results
from rivalry.figures._style import plt
from rivalry.formatting import NORMS, guarded
from rivalry.layout import Layout, training
from rivalry.statistics.columns import COMPARISONS, SCORES, SPREADS, TRANSFERS, WORST_CASES
from rivalry.statistics.comparisons import SIZED
from rivalry.statistics.merging import over_seeds
from rivalry.statistics.over_seeds import difference_in_every_training, difference_over_seeds, rate_over_seeds
from rivalry.statistics.paired import mcnemar_exact
from rivalry.statistics.rates import wilson_interval
from rivalry.statistics.scores import undefended_matches
from rivalry.statistics.tables import records

SEEDS = 3


# ---- rates ----


def test_without_a_spread_the_interval_is_that_of_the_images() -> None:
    rate = rate_over_seeds([0.3, 0.3, 0.3], 50)
    assert (rate.mean, rate.deviation, rate.lowest, rate.highest) == (pytest.approx(0.3), pytest.approx(0), 0.3, 0.3)
    assert (rate.low, rate.high) == pytest.approx(wilson_interval(15, 50))


def test_of_many_images_the_interval_is_student_s() -> None:
    """Two trainings, one degree of freedom: 12.7 standard errors."""
    rate = rate_over_seeds([0.49, 0.51], 10**9)
    assert rate.mean == pytest.approx(0.5)
    assert rate.high - rate.mean == pytest.approx(12.706 * 0.01, rel=1e-3)


def test_ends_stay_rates() -> None:
    assert rate_over_seeds([0.0, 0.0], 20).low == 0
    assert rate_over_seeds([1.0, 0.9], 20).high == 1


@pytest.mark.parametrize("rates", [[0.5], [0.5, float("nan")], [[0.1, 0.2]]])
def test_a_rate_is_over_trainings(rates: list[float]) -> None:
    with pytest.raises(RivalryError, match="several trainings"):
        rate_over_seeds(rates, 10)


# ---- two victims ----


ALIKE = (0.45, 0.45)
"""What makes an image hard: the share that is the same in all victims, and that in all trainings of one of them."""


def drawn(
    rng: np.random.Generator,
    rate: float,
    deviation: float,
    common: np.ndarray,
    seeds: int,
    alike: tuple[float, float] = ALIKE,
) -> np.ndarray:
    """Errors of trainings (S,N) whose rates scatter by `deviation` between seeds (a beta distribution)."""
    deviation = min(deviation, 0.5 * np.sqrt(rate * (1 - rate)))
    rates = np.full(seeds, rate)
    if deviation:
        size = rate * (1 - rate) / deviation**2 - 1
        rates = rng.beta(rate * size, (1 - rate) * size, seeds)
    in_all, in_one = alike
    hard = np.sqrt(in_all) * common + np.sqrt(in_one) * rng.standard_normal(len(common))
    answers = hard + np.sqrt(1 - in_all - in_one) * rng.standard_normal((seeds, len(common)))
    return answers > norm.isf(rates)[:, None]


def alarms(
    deviation: float,
    n: int,
    rate: float,
    seeds: int,
    alike: tuple[float, float] = ALIKE,
    *,
    times: int,
    ahead: float = 0.0,
) -> tuple[float, float]:
    """How often two victims are told apart, one of which errs `ahead` more often: over seeds, and by one training."""
    rng = np.random.default_rng([seeds, n, round(1000 * rate), round(1000 * deviation)])
    told = np.zeros(2)
    for _ in range(times):
        common = rng.standard_normal(n)
        a, b = (drawn(rng, mine, deviation, common, seeds, alike) for mine in (rate, rate + ahead))
        told += difference_over_seeds(a, b).p < 0.05, mcnemar_exact(a[0], b[0])[2] < 0.05
    over, single = told / times
    return over, single


GRID = [(deviation, n, rate) for deviation in (0.0, 0.01, 0.05) for n in (100, 1000) for rate in (0.02, 0.3)]
TIMES = 150
LIMIT = 0.05 + 3 * np.sqrt(0.05 * 0.95 / TIMES)
"""A test that is wrong in 5 % of trials is wrong in more than this share of so many in one of 700 cells."""


@pytest.mark.parametrize("seeds", [2, 3, 5])
def test_equal_victims_are_told_apart_in_at_most_one_of_twenty_runs(seeds: int) -> None:
    found = {place: alarms(*place, seeds, times=TIMES)[0] for place in GRID}
    assert max(found.values()) <= LIMIT, found
    assert np.mean(list(found.values())) <= 0.05


@pytest.mark.long
@pytest.mark.parametrize("seeds", [2, 3, 5])
def test_equal_victims_are_told_apart_in_one_of_twenty_runs_at_most_wherever_one_looks(seeds: int) -> None:
    """With this limit, a test that is wrong in 5 % of runs fails somewhere in the 324 cells once in ten simulations."""
    places = itertools.product(
        (0.0, 0.005, 0.02, 0.1), (100, 1000, 10_000), (0.5, 0.1, 0.01), ((0.0, 0.0), ALIKE, (0.85, 0.1))
    )
    found = {place: alarms(*place[:3], seeds, place[3], times=TIMES)[0] for place in places}
    assert len(found) == 108
    limit = binom.isf(0.1 / (3 * len(found)), TIMES, 0.05) / TIMES
    assert max(found.values()) <= limit, {place: share for place, share in found.items() if share > limit}
    assert np.mean(list(found.values())) <= 0.05


def test_one_training_each_tells_equal_victims_apart_far_too_often() -> None:
    """Why there are seeds: where rates scatter by five points, McNemar's test of two trainings is often wrong."""
    over, single = alarms(0.05, 1000, 0.3, 5, times=TIMES)
    assert single > 0.4
    assert over <= LIMIT


def test_a_difference_that_exceeds_the_spread_is_found() -> None:
    """Ten points, seeds that scatter by two: five trainings find it nearly always."""
    assert alarms(0.02, 1000, 0.3, 5, times=60, ahead=0.1)[0] > 0.95


@given(st.integers(0, 10**6), st.integers(1, 4), st.integers(2, 4), st.integers(1, 30))
def test_the_interval_excludes_0_where_the_test_says_so(seed: int, s: int, t: int, n: int) -> None:
    rng = np.random.default_rng(seed)
    a, b = rng.random((s, n)) < rng.random(), rng.random((t, n)) < rng.random()
    there, back = difference_over_seeds(a, b), difference_over_seeds(b, a)
    assert (there.p < 0.05) == (not there.low <= 0 <= there.high)
    assert there.difference == pytest.approx(a.mean() - b.mean())
    assert there.p == pytest.approx(back.p)
    assert (there.low, there.high) == pytest.approx((-back.high, -back.low))


def test_what_leaves_nothing_to_chance_adds_no_spread() -> None:
    a, b = np.tile(np.arange(100) < 30, (3, 1)), np.arange(100)[None] < 20
    assert difference_over_seeds(a, b) == pytest.approx(difference_over_seeds(a[:1], b))


# ---- one victim ----


def test_what_is_said_of_one_victim_holds_in_every_training() -> None:
    a, b = np.zeros((2, 40), dtype=bool), np.zeros((2, 40), dtype=bool)
    a[0, :30], a[1, :8] = True, True
    found = difference_in_every_training(a, b)
    assert found.p == mcnemar_exact(a[1], b[1])[2] > mcnemar_exact(a[0], b[0])[2]
    assert found.difference == pytest.approx((30 + 8) / 80)
    assert found.low < 8 / 40 < 30 / 40 < found.high
    a[1], b[1] = False, np.arange(40) < 30  # to the other side
    assert difference_in_every_training(a, b).p == 1


# ---- tables ----


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return synthetic_results.make(tmp_path_factory.mktemp("run") / "results", SEEDS)


def table(run: Path, name: str) -> list[dict]:
    columns = {"scores": SCORES, "transfers": TRANSFERS, "worst_cases": WORST_CASES, "comparisons": COMPARISONS}
    return records((columns | {"spreads": SPREADS})[name].read(run / "tables" / f"{name}.csv"))


def test_spreads_are_those_of_the_scores_of_single_images(run: Path) -> None:
    """Recomputed from the images, for one attack."""
    rates = []
    for seed in range(1, SEEDS + 1):
        scores = artifacts.read_table(Layout(run).attack("digits", training("plain", seed), "fgsm")["scores"])
        scores = scores[scores["eps"] == 0.2]
        rates.append(float((scores["prediction"] == scores["label"]).mean()))
    (row,) = (
        row
        for row in table(run, "spreads")
        if (row["dataset"], row["victim"], row["attack"], row["eps"]) == ("digits", "plain", "fgsm", 0.2)
        and (row["setting"], row["rate"]) == ("undefended", "adversarial_accuracy")
    )
    expected = rate_over_seeds(rates, synthetic_results.N)
    assert len(set(rates)) > 1
    assert [row[name] for name in expected._fields] == pytest.approx(list(expected))
    assert row["seeds"] == SEEDS


@pytest.mark.parametrize("name", ["scores", "transfers", "worst_cases"])
def test_rows_of_trainings_become_one(run: Path, name: str) -> None:
    rows = table(run, name)
    merged = over_seeds(name, rows, table(run, "spreads"))
    assert len(rows) > 2 * len(merged)
    for row in merged:
        alone = [row["victim"], row["dataset"]] == ["poisoned", "digits"] and name != "transfers"
        assert row["seeds"] == (1 if alone else SEEDS)
    one = synthetic_results.PLAN["victims"][0][1]
    kept = [row for row in rows if row["victim"] == one and row["seed"] == 1]
    same = over_seeds(name, kept, [])
    assert [{key: row[key] for key in kept[0]} for row in same] == kept


def test_one_comparison_stands_for_all_trainings(run: Path) -> None:
    rows = table(run, "comparisons")
    assert not any("@" in row[side] for row in rows for side in ("a", "b", "victim_a", "victim_b"))
    once = table(synthetic_results.make(run.parent / "once"), "comparisons")
    assert {(row["dataset"], row["kind"], row["a"], row["b"]) for row in rows if row["kind"] not in SIZED} == {
        (row["dataset"], row["kind"], row["a"], row["b"]) for row in once if row["kind"] not in SIZED
    }
    for family in ("primary", "secondary"):
        assert 0 < sum(row["family"] == family for row in rows) <= sum(row["family"] == family for row in once)


def test_sizes_that_two_victims_need_are_compared_only_where_one_was_trained_once(run: Path) -> None:
    """How sizes spread between trainings is not measured, so two victims of several trainings are not told apart."""
    rows = [row for row in table(run, "comparisons") if row["kind"] == "needed"]
    assert rows
    for row in rows:
        assert "poisoned" in (row["a"], row["b"])
        other = row["b"] if row["a"] == "poisoned" else row["a"]
        assert f"poisoned was trained once, so only the first training of {other} is compared" in row["note"]
        assert (row["seeds_a"], row["seeds_b"]) == (1, 1)


def test_two_victims_are_compared_over_seeds_and_one_in_every_training(run: Path) -> None:
    """Recomputed from the images of all trainings."""

    def wrong(victim: str, attack: str, seeds: int = SEEDS) -> np.ndarray:
        found = []
        for seed in range(1, seeds + 1):
            matches = undefended_matches(Layout(run), ("digits", training(victim, seed), attack), 0.95)
            found.append(next(one for one in matches if one.row["eps"] == 0.3).images["wrong"].sort_index())
        return pd.concat(found, axis=1).to_numpy(dtype=bool).T

    rows = [row for row in table(run, "comparisons") if row["dataset"] == "digits"]
    (between,) = (
        row
        for row in rows
        if (row["kind"], row["a"], row["b"], row["attack"], row["eps_a"])
        == ("victim", "adversarial", "poisoned", "fgsm", 0.3)
    )
    expected = difference_over_seeds(wrong("adversarial", "fgsm"), wrong("poisoned", "fgsm", 1))
    assert [between[name] for name in ("difference", "paired_low", "paired_high", "seeds_p")] == pytest.approx(
        list(expected)
    )
    assert (between["seeds_a"], between["seeds_b"], between["mcnemar_p"]) == (SEEDS, 1, None)
    (within,) = (
        row
        for row in rows
        if (row["kind"], row["victim"], row["attack_a"], row["attack_b"]) == ("attack", "adversarial", "fgsm", "pgd")
    )
    expected = difference_in_every_training(wrong("adversarial", "fgsm"), wrong("adversarial", "pgd"))
    assert within["seeds_p"] == pytest.approx(expected.p)
    assert "every training" in within["note"]


def test_figures_read_means_and_single_trainings(run: Path) -> None:
    data = Results(run, "digits", synthetic_results.plan_of(SEEDS))
    assert list(data.victims) == ["plain", "adversarial", "poisoned"]
    assert data.trainings("plain") == ["plain", "plain@2", "plain@3"]
    scores = data.scores[(data.scores["victim"] == "plain") & (data.scores["setting"] == "undefended")]
    assert not scores.duplicated(["attack", "eps"]).any()
    for row in scores.itertuples():
        assert row.adversarial_accuracy == pytest.approx(np.mean(row.adversarial_accuracy_seeds))
        assert row.adversarial_low <= min(row.adversarial_accuracy_seeds)


def title(axes: Axes) -> str:
    """Wherever it stands: the style of figures, which earlier tests may have set, has it on the left."""
    return axes.get_title() or axes.get_title(loc="left")


def small_dots(axes: Axes) -> set[tuple[float, float]]:
    """Where single trainings stand: x, rounded, and row."""
    parts = [part for part in axes.collections if isinstance(part, PathCollection) and part.get_sizes()[0] < 10]
    return {(round(x, 6), y) for part in parts for x, y in part.get_offsets()}


def test_the_worst_case_of_every_training_is_a_small_dot(run: Path) -> None:
    (figure,) = all_figures()["worst_case"](Results(run, "digits", synthetic_results.plan_of(SEEDS)))
    cases = [row for row in table(run, "worst_cases") if row["dataset"] == "digits" and row["headline"]]
    several = {row["victim"] for row in cases if row["seed"] > 1}
    shown = 0
    for axes in figure.figure.axes:
        names = [name.get_text().partition("  ")[0] for name in axes.get_yticklabels()]
        rows = dict(zip(names, axes.get_yticks(), strict=True))
        measured = [
            case
            for case in cases
            if case["victim"] in several and not case["reason"] and title(axes).startswith(NORMS[case["norm"]])
        ]
        assert small_dots(axes) == {
            (round(case[rate], 6), rows[guarded(case["victim"], case["defense"])])
            for case in measured
            for rate in ("accuracy", "clean_accuracy")
        }
        shown += len(measured)
    assert shown >= 2 * SEEDS
    plt.close("all")


def test_the_accuracy_of_every_training_is_a_small_dot(run: Path) -> None:
    scores = [row for row in table(run, "scores") if (row["dataset"], row["setting"]) == ("digits", "undefended")]
    several = {row["victim"] for row in scores if row["seed"] > 1}
    for page in all_figures()["accuracy"](Results(run, "digits", synthetic_results.plan_of(SEEDS))):
        for axes in page.figure.axes:
            victim, found = title(axes).partition("  ")[0], small_dots(axes)
            mine = [row for row in scores if row["victim"] == victim and victim in several]
            assert {x for x, row in found if row == 0} == {round(row["clean_accuracy"], 6) for row in mine}
            assert {x for x, row in found if row} <= {round(row["adversarial_accuracy"], 6) for row in mine}
            assert len({row for _, row in found if row}) == len({row["attack"] for row in mine})
    plt.close("all")
