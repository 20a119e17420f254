"""Single rates and means, and differences of two rates: their intervals, and what they say in words."""

from __future__ import annotations

import math
from collections.abc import Iterable

import numpy as np
from scipy.optimize import brentq
from scipy.stats import norm
from statsmodels.stats.proportion import proportion_confint
from statsmodels.stats.weightstats import DescrStatsW

from rivalry.errors import RivalryError


def normal_quantile(confidence: float) -> float:
    """The two-sided normal quantile; for 95 % it is 1.96 exactly, as the course rounds it."""
    if not 0 < confidence < 1:
        raise RivalryError(f"confidence: {confidence:g} is not between 0 and 1")
    return 1.96 if confidence == 0.95 else float(norm.ppf((1 + confidence) / 2))


def difference_of_error_rates(
    error_a: float, error_b: float, n_a: int, n_b: int, confidence: float = 0.95
) -> tuple[float, float]:
    """Interval of the difference of two error rates that were measured on independent test sets.

    The course's interval: the difference, give or take z standard errors of two independent proportions
    (Mitchell, Machine Learning, 1997, section 5.5). z is 1.96 at 95 %, the rounding the course computes
    with, and the unrounded normal quantile at any other confidence. Where both rates come from the same
    images, this interval is too wide or too narrow; `paired_interval` is the right one.

    Parameters
    ----------
    error_a, error_b : float
        Error rates, fractions in [0,1].
    n_a, n_b : int
        Images behind each rate.
    confidence : float
        Coverage, in (0,1).

    Returns
    -------
    low, high : float
        Limits of `error_a - error_b`, not clipped to [-1,1].

    Raises
    ------
    RivalryError
        A rate, a count or the confidence is out of range.
    """
    for name, rate in (("error_a", error_a), ("error_b", error_b)):
        if not 0 <= rate <= 1:
            raise RivalryError(f"{name}: {rate:g} is not a fraction between 0 and 1")
    for name, n in (("n_a", n_a), ("n_b", n_b)):
        if n < 1:
            raise RivalryError(f"{name}: {n} images; at least 1 is needed")
    spread = math.sqrt(error_a * (1 - error_a) / n_a + error_b * (1 - error_b) / n_b)
    half = normal_quantile(confidence) * spread
    return error_a - error_b - half, error_a - error_b + half


def wilson_interval(successes: float, n: float, confidence: float = 0.95) -> tuple[float, float]:
    """Wilson's score interval of one rate (1927): keeps its coverage near 0 and 1, where robustness lives.

    Parameters
    ----------
    successes, n : float
        So many of so many images; `n` at least 1. No whole numbers where they are means.
    confidence : float
        Coverage, in (0,1).

    Returns
    -------
    low, high : float
        Limits of the rate, within [0,1]: `low` is 0 exactly where nothing succeeded, `high` is 1 exactly where all did.
    """
    if not 0 <= successes <= n or n < 1:
        raise RivalryError(f"successes: {successes} of {n} is not a rate")
    if not 0 < confidence < 1:
        raise RivalryError(f"confidence: {confidence:g} is not between 0 and 1")
    low, high = proportion_confint(successes, n, alpha=1 - confidence, method="wilson")
    # Computed, these two ends are off by a rounding, and then do not hold the rate itself.
    return 0.0 if successes == 0 else float(low), 1.0 if successes == n else float(high)


def auc_interval(auc: float, n_clean: int, n_attacked: int, confidence: float = 0.95) -> tuple[float, float]:
    """Interval of the area under a ROC curve: the areas from which this one is no more than z standard errors away.

    The standard error is Hanley and McNeil's (1982) at the area that is tried, as Newcombe proposes ("Confidence
    intervals for an effect size measure based on the Mann-Whitney statistic. Part 2", Statistics in Medicine 25, 2006,
    method 5). So an area of 1 has an interval that ends below it. Clean and attacked images count as independent; as
    they are copies of the same images, the interval is rather too wide.

    Parameters
    ----------
    auc : float
        In [0,1]: the share of pairs of a clean and an attacked image in which the attacked one has the higher score.
    n_clean, n_attacked : int
        Images of each kind, at least 1.
    confidence : float
        Coverage, in (0,1).

    Returns
    -------
    low, high : float
        Limits of the area, within [0,1].
    """
    if not 0 <= auc <= 1 or min(n_clean, n_attacked) < 1:
        raise RivalryError(f"auc: {auc} of {n_clean} and {n_attacked} images is no area under a ROC curve")
    quantile, pairs = normal_quantile(confidence), n_clean * n_attacked
    others = (n_clean + n_attacked) / 2 - 1

    def lower(found: float) -> float:
        def excess(area: float) -> float:
            spread = area * (1 - area) * (1 + others * ((1 - area) / (2 - area) + area / (1 + area))) / pairs
            return found - area - quantile * math.sqrt(spread)

        return 0.0 if found == 0 else float(brentq(excess, 0.0, min(found, 1 - 1e-12)))

    return lower(auc), 1 - lower(1 - auc)


def mean_interval(values: Iterable[float], confidence: float = 0.95) -> tuple[float, float]:
    """Student's interval of a mean over images, such as that of their confidences.

    Parameters
    ----------
    values : iterable of float
        One number for each image.
    confidence : float
        Coverage, in (0,1).

    Returns
    -------
    low, high : float
        Limits of the mean; NaN of fewer than two values, or where one is missing.
    """
    numbers = np.asarray(list(values), dtype=float)
    if len(numbers) < 2 or np.isnan(numbers).any():
        return math.nan, math.nan
    low, high = DescrStatsW(numbers).tconfint_mean(alpha=1 - confidence)
    return float(low), float(high)


def significance_level(confidence: float) -> float:
    """What is missing to 1, without the rounding of floating point: a p-value below it is significant."""
    return round(1 - confidence, 12)


def verdict(
    a: str,
    b: str,
    error_a: float,
    error_b: float,
    interval: tuple[float, float],
    p: float,
    confidence: float = 0.95,
    errs: str = "errs more than",
    interval_of: str = "paired",
) -> str:
    """What a comparison of two error rates on the same images says, in words.

    Parameters
    ----------
    a, b : str
        Names of the two sides.
    error_a, error_b : float
        Their rates, in [0,1].
    interval : tuple of float
        Limits of the difference of the rates, from `paired_interval` or `difference_over_seeds`.
    p : float
        The p-value of the test that belongs to the interval, corrected for the family of comparisons. It decides; where
        the interval says otherwise, the words say so too. NaN: not tested.
    confidence : float
        Coverage of the interval; the p-value is held against what is missing to 1.
    errs : str
        What the side of the higher rate does to the other.
    interval_of : str
        What the words call the interval.
    """
    if any(math.isnan(value) for value in (error_a, error_b, *interval, p)):
        return "not tested"
    named = f"the {interval_of} {100 * confidence:g} % interval"
    contains_zero = interval[0] <= 0 <= interval[1]
    if p >= significance_level(confidence) or error_a == error_b:
        if contains_zero:
            return f"not distinguishable: {named} contains 0"
        return f"not distinguishable: p = {p:.3g} after Holm's correction, though {named} excludes 0"
    if error_a < error_b:
        a, b, error_a, error_b = b, a, error_b, error_a
    words = f"{a} {errs} {b} ({100 * error_a:.2f} % against {100 * error_b:.2f} %"
    return f"{words}; p = {p:.3g}, though {named} contains 0)" if contains_zero else f"{words})"
