"""Two error rates on the same images: what matters is on which images they disagree."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike
from statsmodels.stats.contingency_tables import mcnemar
from statsmodels.stats.multitest import multipletests

from rivalry.errors import RivalryError
from rivalry.statistics.rates import normal_quantile


def discordant(wrong_a: ArrayLike, wrong_b: ArrayLike) -> tuple[int, int, int]:
    """How many images only A gets wrong, how many only B does, and how many there are."""
    a, b = np.asarray(wrong_a, dtype=bool), np.asarray(wrong_b, dtype=bool)
    if a.ndim != 1 or a.shape != b.shape or len(a) == 0:
        raise RivalryError(
            f"wrong_a, wrong_b: shapes {a.shape} and {b.shape}; one entry for each shared image is needed"
        )
    return int((a & ~b).sum()), int((b & ~a).sum()), len(a)


def mcnemar_exact(wrong_a: ArrayLike, wrong_b: ArrayLike) -> tuple[int, int, float]:
    """McNemar's test (1947) that A and B err equally often, exact: a fair coin for each disagreement.

    Parameters
    ----------
    wrong_a, wrong_b : array of bool
        (N,), whether each side errs on the image; the same images in the same order.

    Returns
    -------
    b, c : int
        Images that only A gets wrong, and that only B does.
    p : float
        Two-sided p-value.
    """
    b, c, n = discordant(wrong_a, wrong_b)
    return b, c, float(mcnemar([[n - b - c, b], [c, 0]], exact=True).pvalue)


def paired_interval(wrong_a: ArrayLike, wrong_b: ArrayLike, confidence: float = 0.95) -> tuple[float, float]:
    """Interval of the difference of two error rates on the same images: the adjusted Wald interval.

    Adds one image to each kind of disagreement, which keeps the coverage for few or no disagreements
    (Bonett and Price, "Adjusted Wald confidence interval for a difference of binomial proportions based on
    paired data", Journal of Educational and Behavioral Statistics 37, 2012).

    Parameters
    ----------
    wrong_a, wrong_b : array of bool
        (N,), whether each side errs on the image; the same images in the same order.
    confidence : float
        Coverage, in (0,1).

    Returns
    -------
    low, high : float
        Limits of error rate A minus error rate B, within [-1,1].
    """
    b, c, n = discordant(wrong_a, wrong_b)
    only_a, only_b = (b + 1) / (n + 2), (c + 1) / (n + 2)
    centre = only_a - only_b
    half = normal_quantile(confidence) * math.sqrt((only_a + only_b - centre**2) / (n + 2))
    return max(-1.0, centre - half), min(1.0, centre + half)


def holm(p_values: Sequence[float]) -> list[float]:
    """Holm's step-down correction (1979): p-values that may be read as if each were the only one.

    Parameters
    ----------
    p_values : sequence of float
        All p-values of the family, in [0,1].
    """
    if not all(0 <= p <= 1 for p in p_values):
        raise RivalryError("p_values: not all are between 0 and 1")
    return [float(p) for p in multipletests(p_values, method="holm")[1]] if len(p_values) else []
