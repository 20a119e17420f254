"""Perturbation sizes: they are skewed and paired by image, so medians, resampling and ranks."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Literal, NamedTuple

import numpy as np
from numpy.typing import ArrayLike
from scipy.stats import bootstrap, rankdata, wilcoxon

from rivalry.errors import RivalryError
from rivalry.statistics.rates import significance_level

STATISTICS: dict[str, Callable[..., np.ndarray]] = {"median": np.median, "mean": np.mean}


def bootstrap_interval(
    values: ArrayLike,
    *,
    statistic: Literal["median", "mean"] = "median",
    confidence: float = 0.95,
    seed: int,
    resamples: int = 1000,
) -> tuple[float, float]:
    """Percentile bootstrap interval (Efron, 1979) of the median or mean of some perturbation sizes.

    Parameters
    ----------
    values : array of float
        (N,), one size (or difference of sizes) an image, N at least 1.
    statistic : "median" or "mean"
        What the interval is of.
    confidence : float
        Coverage, in (0,1).
    seed : int
        Seed of the resampling.
    resamples : int
        How often to resample.
    """
    values = np.asarray(values, dtype=float)
    if values.ndim != 1 or len(values) == 0 or not np.isfinite(values).all():
        raise RivalryError(f"values: shape {values.shape}; a list of finite numbers is needed")
    if values.min() == values.max():
        return float(values[0]), float(values[0])
    interval = bootstrap(
        (values,),
        STATISTICS[statistic],
        n_resamples=resamples,
        batch=50,
        confidence_level=confidence,
        method="percentile",
        random_state=np.random.default_rng(seed),
    ).confidence_interval
    return float(interval.low), float(interval.high)


class BudgetComparison(NamedTuple):
    """How much more A spends than B, image by image."""

    median_difference: float
    low: float
    high: float
    p: float
    rank_correlation: float


def compare_budgets(sizes_a: ArrayLike, sizes_b: ArrayLike, *, confidence: float = 0.95, seed: int) -> BudgetComparison:
    """Compare the perturbation sizes of two attacks on the images that both fooled.

    The median of the differences with its bootstrap interval, which is NaN for one image: there is nothing to
    resample. The p-value of Wilcoxon's signed-rank test (1945), and what that test sees as one number: the
    matched-pairs rank correlation, the share of the ranks at which A spends more minus the share at which B does, in
    [-1,1]. Few large differences can give it another sign than the median has.

    Parameters
    ----------
    sizes_a, sizes_b : array of float
        (N,), sizes of both perturbations in one unit; the same images in the same order.
    confidence : float
        Coverage of the interval, in (0,1).
    seed : int
        Seed of the bootstrap.
    """
    a, b = np.asarray(sizes_a, dtype=float), np.asarray(sizes_b, dtype=float)
    if a.shape != b.shape:
        raise RivalryError(
            f"sizes_a, sizes_b: shapes {a.shape} and {b.shape}; one entry for each shared image is needed"
        )
    difference = a - b
    interval = bootstrap_interval(difference, confidence=confidence, seed=seed)
    low, high = interval if len(difference) > 1 else (np.nan, np.nan)
    unequal = difference[difference != 0]
    if not len(unequal):
        return BudgetComparison(0.0, low, high, 1.0, 0.0)
    ranks = rankdata(np.abs(unequal))
    correlation = float((ranks * np.sign(unequal)).sum() / ranks.sum())
    return BudgetComparison(float(np.median(difference)), low, high, float(wilcoxon(difference).pvalue), correlation)


def budget_verdict(
    a: str,
    b: str,
    difference: float,
    interval: tuple[float, float],
    p: float,
    ranks: float,
    confidence: float = 0.95,
    larger: str = "changes images more than",
) -> str:
    """What a comparison of the sizes of changes says, in words.

    Parameters
    ----------
    a, b : str
        Names of two attacks, or of two victims of one attack.
    difference, interval, ranks
        From `compare_budgets`: the median difference, its interval, and the rank correlation.
    p : float
        Wilcoxon's p-value, corrected for the family of comparisons. It decides; a direction is named where median,
        interval and ranks agree on it. NaN: not tested.
    confidence : float
        Coverage of the interval; the p-value is held against what is missing to 1.
    larger : str
        What the side with the larger changes does.
    """
    if math.isnan(difference) or math.isnan(p):
        return "not tested"
    named = f"the {100 * confidence:g} % interval of the median difference"
    low, high = interval
    one_image, contains_zero = math.isnan(low), low <= 0 <= high
    if p >= significance_level(confidence):
        if one_image:
            return f"not distinguishable: p = {p:.3g} after Holm's correction"
        if contains_zero:
            return f"not distinguishable: {named} contains 0"
        return f"not distinguishable: p = {p:.3g} after Holm's correction, though {named} excludes 0"
    if contains_zero:
        return f"sizes differ (p = {p:.3g}), but not in one direction: {named} contains 0"
    if ranks * difference <= 0:
        return f"sizes differ (p = {p:.3g}), but not in one direction: ranks and median point to different sides"
    more, less = (a, b) if difference > 0 else (b, a)
    return f"{more} {larger} {less} (median difference {abs(difference):.3g})"
