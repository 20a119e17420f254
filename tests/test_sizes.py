"""Facts about rank correlations of the size of a change with whether a defense catches it."""

from __future__ import annotations

import math

import numpy as np
import pandas as pd
import pytest
from scipy.stats import spearmanr

from rivalry.statistics.sizes import SIZES, bootstrapped, correlations, points, rank_interval, said, spearman

NAMES = ("digits", "plain", "median3")


def made(n: int, slope: float, attacks: int = 5, seed: int = 0) -> pd.DataFrame:
    """Images under several attacks; the larger a change, the more likely it is caught, for a slope above 0."""
    rng = np.random.default_rng(seed)
    size = rng.uniform(0, 1, n * attacks)
    table = pd.DataFrame({name: size * (place + 1) for place, name in enumerate(SIZES)})
    table["caught"] = rng.uniform(size=len(size)) < 0.5 + slope * (size - 0.5)
    table["index"] = np.tile(np.arange(n), attacks)
    table["attack"] = np.repeat([f"attack{k}" for k in range(attacks)], n)
    table["eps"] = math.nan
    return table


@pytest.mark.parametrize(
    ("low", "high", "verdict"),
    [
        (0.015, 0.042, "hardly related"),  # far from 0 by its interval, and of no use
        (-0.09, 0.09, "hardly related"),
        (0.05, 0.2, "larger ones more"),
        (-0.2, -0.05, "larger ones less"),
        (-0.2, 0.05, "not shown"),
        (-1.0, 1.0, "not shown"),
        (math.nan, math.nan, "not measured"),
    ],
)
def test_a_correlation_of_no_use_is_none(low: float, high: float, verdict: str) -> None:
    assert said(low, high) == verdict


@pytest.mark.parametrize(
    ("slope", "verdict"), [(0.9, "larger ones more"), (-0.9, "larger ones less"), (0.0, "not shown")]
)
def test_the_verdict_is_that_of_the_interval(slope: float, verdict: str) -> None:
    rows = list(correlations({NAMES: made(60, slope)}, 0.95, 0))
    assert [(row["size"], row["over"]) for row in rows] == [(s, o) for s in SIZES for o in ("images", "attacks")]
    for row in rows[::2]:
        assert row["low"] <= row["rho"] <= row["high"]
        assert row["verdict"] == verdict
        assert row["n"] == 300
    # All measures rank the changes alike here.
    assert len({row["rho"] for row in rows[::2]}) == 1


def test_correlations_are_those_of_scipy() -> None:
    table = made(40, 0.5)
    first = next(iter(correlations({NAMES: table}, 0.95, 0)))
    assert first["rho"] == pytest.approx(spearmanr(table["l2"], table["caught"]).statistic)


def test_copies_of_the_same_images_make_no_interval_narrower() -> None:
    table = made(40, 0.5, attacks=1)
    many = pd.concat([table] * 10)
    widths = []
    for one in (table, many):
        rng = np.random.default_rng(0)
        low, high = bootstrapped(one["l2"], one["caught"], one["index"], 0.95, rng)
        widths.append(high - low)
    assert widths[1] == pytest.approx(widths[0], rel=0.15)


def test_the_interval_over_few_pairs_is_that_of_fishers_transformation() -> None:
    low, high = rank_interval(0.5, 12, 0.95)
    assert math.atanh(0.5) - math.atanh(low) == pytest.approx(1.96 * math.sqrt((1 + 0.125) / 9))
    assert math.atanh(high) - math.atanh(0.5) == pytest.approx(1.96 * math.sqrt((1 + 0.125) / 9))
    for rho, n in ((0.5, 3), (1.0, 20), (-1.0, 20), (math.nan, 20)):
        assert all(map(math.isnan, rank_interval(rho, n, 0.95)))
    assert said(math.nan, math.nan) == "not measured"


@pytest.mark.parametrize(("caught", "told"), [(9, False), (10, True), (90, True), (91, False)])
def test_a_correlation_that_hangs_on_a_few_images_is_not_told(caught: int, told: bool) -> None:
    table = made(20, 0.5)
    table["caught"] = table["l2"].rank() > len(table) - caught  # the largest ones
    (first, *_) = (row for row in correlations({NAMES: table}, 0.95, 0) if row["over"] == "images")
    assert first["verdict"] == ("larger ones more" if told else "not measured")
    assert math.isnan(first["low"]) != told


@pytest.mark.parametrize("caught", [True, False])
def test_where_all_or_none_are_caught_there_is_no_correlation(caught: bool) -> None:
    table = made(20, 0.5).assign(caught=caught)
    rows = list(correlations({NAMES: table}, 0.95, 0))
    assert all(math.isnan(row["rho"]) and row["verdict"] == "not measured" for row in rows)
    (first, *_) = points({NAMES: table}, 0.95)
    assert (first["caught"], first["n"]) == (float(caught), 20)
    assert math.isnan(spearman([1, 1, 1], [0, 1, 0]))
    assert math.isnan(spearman([1, 2], [0, 1]))


def test_points_are_means_of_each_attack() -> None:
    table = made(30, 0.5)
    for row in points({NAMES: table}, 0.95):
        mine = table[table["attack"] == row["attack"]]
        assert row["mean_linf_channels"] == pytest.approx(mine["linf_channels"].mean())
        assert row["caught"] == pytest.approx(mine["caught"].mean())
        assert row["low"] <= row["caught"] <= row["high"]
