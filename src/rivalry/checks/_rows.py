"""Rows of checks.csv, and what counts as noise in them."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from typing import Any

import pandas as pd
from torch import Tensor

NOTICEABLE = 0.01
"""Shares below this are noise, as far as warnings are concerned."""
SPREADS = 2
"""A count of images is clearly off once it is as many standard deviations of tossed coins away."""

Row = dict[str, Any]


def row(
    check: str,
    subject: str,
    status: str,
    found: str,
    images: Sequence[int] = (),
    *,
    victim: str = "",
    defense: str = "",
    attack: str | Iterable[str] = "",
    eps: float = math.nan,
) -> Row:
    """One row of checks.csv, without its data set.

    Parameters
    ----------
    check, subject, found : str
        What was checked, on what, and what was found.
    status : str
        pass, warn or fail.
    images : sequence of int
        Test images that caused the result; ten are listed.
    victim, defense, attack, eps
        Which numbers the result touches; where one is empty or NaN, those of all victims, defenses ("none" is
        one), attacks or eps. `attack` may be several; the table lists them with spaces between.
    """
    return {
        "check": check,
        "subject": subject,
        "status": status,
        "found": found,
        "images": ", ".join(str(image) for image in images[:10]),
        "victim": victim,
        "defense": defense,
        "attack": attack if isinstance(attack, str) else " ".join(dict.fromkeys(attack)),
        "eps": eps,
    }


def clearly(lost: int, won: int, n: int) -> bool:
    """Whether of two attacks on the same n images one is weaker beyond noise: it lost `lost` and won `won`.

    It is when it is behind by more than a point, and by no less than two standard deviations of tossing a coin for
    each image that only one of them fooled. So a few images that rounding decides are never a failure.
    """
    behind = lost - won
    return behind > NOTICEABLE * n and behind >= SPREADS * math.sqrt(lost + won)


def shared(strong: pd.DataFrame, weak: pd.DataFrame) -> pd.DataFrame:
    """Two sets' rows of the images that both attacked, by image; the weak one's columns end in `_weak`."""
    both = strong.merge(weak, on="index", suffixes=("", "_weak")).set_index("index")
    return both[both["attacked"] & both["attacked_weak"]]


def stronger(check: str, subject: str, strong: pd.DataFrame, weak: pd.DataFrame, **touched: Any) -> Row:
    """Whether what should be stronger is: image by image, but for a share that is noise, or at least in its rate."""
    both = shared(strong, weak)
    if both.empty:
        return row(check, subject, "warn", "no attacked image in common", **touched)
    lost = both.index[both["success_weak"] & ~both["success"]].tolist()
    won = int((both["success"] & ~both["success_weak"]).sum())
    words = f"{len(lost)} of {len(both)} images fall to the weaker one only; "
    words += f"{percent(both['success'])} against {100 * both['success_weak'].mean():.1f} %"
    noise = len(lost) < NOTICEABLE * len(both)
    status = "pass" if noise or not lost else "fail" if clearly(len(lost), won, len(both)) else "warn"
    return row(check, subject, status, words, lost, **touched)


def at_eps(subject: str, eps: float) -> str:
    """A subject with the eps it is about; NaN adds nothing."""
    return subject if math.isnan(eps) else f"{subject}, eps {eps:.4g}"


def where(mask: Tensor) -> list[int]:
    """Rows of a mask (N,) that are set."""
    rows: list[int] = mask.nonzero().squeeze(1).tolist()
    return rows


def percent(mask: Tensor | pd.Series) -> str:
    """The share that is set, as printed."""
    share = mask.float().mean() if isinstance(mask, Tensor) else mask.mean()
    return f"{100 * share:.1f} %"


def some(names: Sequence[str]) -> str:
    """Ten names at most, and how many more."""
    return ", ".join(names[:10]) + (f" and {len(names) - 10} more" if len(names) > 10 else "")
