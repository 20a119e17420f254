"""Several trainings of one victim: its rates over all of them, and differences between victims.

Two things are drawn: seeds, of which there are few, and test images, of which there are many and which all trainings
share. Seeds outer, images inner: what is said of a victim is said of what training it gives, on images like these.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike
from scipy.optimize import brentq
from scipy.special import ndtri, stdtrit

from rivalry.errors import RivalryError
from rivalry.statistics.paired import mcnemar_exact, paired_interval
from rivalry.statistics.rates import wilson_interval

LEAST_P = 1e-16
"""No smaller p is told."""


class Rate(NamedTuple):
    """A rate over trainings: its mean with an interval, and the spread between seeds."""

    mean: float
    low: float
    high: float
    deviation: float
    lowest: float
    highest: float


class Difference(NamedTuple):
    """How much more often A errs than B, over trainings and images."""

    difference: float
    low: float
    high: float
    p: float


class _Part(NamedTuple):
    """The variance of a mean over seeds, and the degrees of freedom that it is estimated with."""

    variance: float
    freedom: float


def rate_over_seeds(rates: ArrayLike, n: float, confidence: float = 0.95) -> Rate:
    """The mean of the rates of several trainings, with what seeds and images leave open.

    On either side the distance to the end of Wilson's interval, for the images, and that to the end of Student's
    interval, for the seeds, are joined like the sides of a right angle (Howe, "Approximate confidence limits on the
    mean of X + Y where X and Y are two tabled independent random variables", Journal of the American Statistical
    Association 69, 1974). All trainings meet the same images, so that more seeds are not more images.

    Parameters
    ----------
    rates : array of float
        (S,), that of each training, in [0,1]; S at least 2.
    n : float
        Images that a rate is of; a mean where trainings differ in that.
    confidence : float
        Coverage, in (0,1).
    """
    values = np.asarray(rates, dtype=float)
    if values.ndim != 1 or len(values) < 2 or not np.isfinite(values).all():
        raise RivalryError(f"rates: {values.tolist()}; one finite rate for each of several trainings is needed")
    mean, deviation = float(values.mean()), float(values.std(ddof=1))
    seeds = _upper(1 - confidence, len(values) - 1) * deviation / math.sqrt(len(values))
    ends = wilson_interval(mean * n, n, confidence)
    low, high = (math.hypot(mean - end, seeds) for end in ends)
    spread = deviation, float(values.min()), float(values.max())
    return Rate(mean, max(0.0, mean - low), min(1.0, mean + high), *spread)


def difference_over_seeds(wrong_a: ArrayLike, wrong_b: ArrayLike, confidence: float = 0.95) -> Difference:
    """The difference of two victims' error rates over independent trainings, with an interval and the test that is its.

    Seeds: the variance of a mean of the trainings' rates, with Welch's degrees of freedom. Images: of every image the
    difference of its two rates over trainings, with the two added disagreements of `paired_interval`. The half widths
    of both are joined like the sides of a right angle (Howe, 1974). What is estimated between trainings holds some of
    what is between images, so that the interval is rather too wide than too narrow; `docs/decisions` has a simulation.

    Parameters
    ----------
    wrong_a, wrong_b : array of bool
        (S,N) and (T,N), whether each training of either victim errs on the image; the same images in the same order.
        One row stands for a victim whose training leaves nothing to chance.
    confidence : float
        Coverage of the interval, in (0,1). It excludes 0 exactly where p is below what is missing to 1.
    """
    a, b = np.asarray(wrong_a, dtype=bool), np.asarray(wrong_b, dtype=bool)
    if not (a.ndim == b.ndim == 2 and a.shape[1] == b.shape[1] > 0 and min(len(a), len(b)) > 0):
        raise RivalryError(f"wrong_a, wrong_b: shapes {a.shape} and {b.shape}; trainings by the same images are needed")
    n: int = a.shape[1]
    image = a.mean(axis=0) - b.mean(axis=0)
    seeds = _sum([_mean_of(side.mean(axis=1)) for side in (a, b) if len(side) > 1])
    centre = float(image.sum()) / (n + 2)
    images = _Part(((float((image**2).sum()) + 2) / (n + 2) - centre**2) / (n + 2), math.inf)

    def half_width(level: float) -> float:
        """Of the interval that misses with this probability."""
        return math.hypot(_half_width(level, seeds), _half_width(level, images))

    def beyond(log_p: float) -> float:
        """How far the interval that misses so rarely reaches beyond 0: negative where it excludes it."""
        return half_width(math.exp(log_p)) - abs(centre)

    p = 1.0
    if centre:
        p = math.exp(float(brentq(beyond, math.log(LEAST_P), 0.0))) if beyond(math.log(LEAST_P)) > 0 else LEAST_P
    width = half_width(1 - confidence)
    return Difference(float(image.mean()), max(-1.0, centre - width), min(1.0, centre + width), p)


def difference_in_every_training(wrong_a: ArrayLike, wrong_b: ArrayLike, confidence: float = 0.95) -> Difference:
    """The mean difference of two error rates on the same trainings, of which each is tested by itself.

    Two attacks on one victim, or a victim with and without a defense: what is said holds for every training. So the
    largest p counts (that of McNemar's exact test; 1 where trainings point to different sides), and the interval holds
    the paired intervals of all (an intersection-union test: Berger, "Multiparameter hypothesis testing and acceptance
    sampling", Technometrics 24, 1982).

    Parameters
    ----------
    wrong_a, wrong_b : array of bool
        (S,N), whether either side errs on the image of each training; the same in the same order.
    confidence : float
        Coverage of the single intervals, in (0,1).
    """
    a, b = np.asarray(wrong_a, dtype=bool), np.asarray(wrong_b, dtype=bool)
    if a.shape != b.shape or a.ndim != 2 or not a.size:
        raise RivalryError(f"wrong_a, wrong_b: shapes {a.shape} and {b.shape}; the same trainings are needed")
    ends = [paired_interval(*rows, confidence) for rows in zip(a, b, strict=True)]
    p = max(mcnemar_exact(*rows)[2] for rows in zip(a, b, strict=True))
    differences = a.mean(axis=1) - b.mean(axis=1)
    one_side = differences.min() > 0 or differences.max() < 0
    low, high = min(low for low, _ in ends), max(high for _, high in ends)
    return Difference(float(differences.mean()), low, high, p if one_side else 1.0)


def _mean_of(values: np.ndarray) -> _Part:
    return _Part(float(values.var(ddof=1)) / len(values), len(values) - 1)


def _sum(parts: Sequence[_Part]) -> _Part:
    """Of independent means, with Welch's (1938) degrees of freedom."""
    variance = math.fsum(part.variance for part in parts)
    if not variance:
        return _Part(0.0, math.inf)
    return _Part(variance, variance**2 / sum(part.variance**2 / part.freedom for part in parts))


def _half_width(level: float, part: _Part) -> float:
    return _upper(level, part.freedom) * math.sqrt(part.variance)


def _upper(level: float, freedom: float) -> float:
    """The quantile that a normal variable (freedom infinite) or Student's is beyond, on either side, this often."""
    return -float(ndtri(level / 2) if math.isinf(freedom) else stdtrit(freedom, level / 2))
