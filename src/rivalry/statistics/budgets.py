"""Perturbation sizes: they are skewed and paired by image, so medians, resampling and ranks."""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal, NamedTuple

import numpy as np
from numpy.typing import ArrayLike
from scipy.stats import bootstrap, wilcoxon

from rivalry.errors import RivalryError

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


def compare_budgets(sizes_a: ArrayLike, sizes_b: ArrayLike, *, confidence: float = 0.95, seed: int) -> BudgetComparison:
    """Compare the perturbation sizes of two attacks on the images that both fooled.

    Wilcoxon's signed-rank test (1945) of the differences, and their median with its bootstrap interval.

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
    low, high = bootstrap_interval(difference, confidence=confidence, seed=seed)
    p = float(wilcoxon(difference).pvalue) if difference.any() else 1.0
    return BudgetComparison(float(np.median(difference)), low, high, p)
