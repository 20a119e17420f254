"""Whether attacks tried long enough."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

import numpy as np
import pandas as pd

from rivalry.checks._evidence import Crafted, Evidence
from rivalry.checks._rows import NOTICEABLE, Row, at_eps, row, shared

EFFORT = {"steps", "restarts", "iterations", "generations", "queries", "search_steps"}
"""Parameters that say how long an attack tries."""
STILL_FALLS = 0.05
"""A median distance that twice the effort shrinks by less than this share has converged."""


def converged(evidence: Evidence) -> Iterator[Row]:
    """Twice the effort changes little: success moves by less than a point, the smallest change by less than 5 %.

    Where two entries of one attack differ only in steps, restarts, iterations, generations or queries, one of
    them at least twice the other's.
    """
    for short in evidence.crafted:
        for long in evidence.crafted:
            key = _effort(short, long)
            if not key:
                continue
            a, b = short.facts["parameters"], long.facts["parameters"]
            touched = long.touched | {"attack": f"{short.facts['attack']} {long.facts['attack']}"}
            for eps, few in short.budgets:
                for at, many in long.budgets:
                    if eps != at and not (np.isnan(eps) and np.isnan(at)):
                        continue
                    subject = at_eps(f"{long.subject} against {short.facts['attack']}", eps)
                    both = shared(many, few)
                    if both.empty:
                        yield row("converged", subject, "warn", "no attacked image in common", **touched, eps=eps)
                        continue
                    gain = both["success"].mean() - both["success_weak"].mean()
                    words = f"from {a[key]} to {b[key]} {key} success moves by {100 * gain:+.1f} points"
                    won = both.index[both["success"] & ~both["success_weak"]].tolist()
                    status = "pass" if abs(gain) < NOTICEABLE else "warn"
                    yield row("converged", subject, status, words, won, **touched, eps=eps)
                    if long.facts["budget"] == "minimal":
                        words = f"from {a[key]} to {b[key]} {key}"
                        yield _distance(subject, words, few, many, long.size, touched)


def beside_gradients(evidence: Evidence) -> Iterator[Row]:
    """Attacks that see decisions only come near the smallest change that gradients find on the same images.

    For those that no longer run stands beside: where gradients find a change that is much smaller, theirs is not the
    smallest.
    """
    minimal = [one for one in evidence.crafted if one.facts["budget"] == "minimal"]
    for one in minimal:
        if one.facts["sees"] != "decisions" or any(_effort(one, other) or _effort(other, one) for other in minimal):
            continue
        rivals = [other for other in minimal if other.facts["sees"] == "gradients" and other.same_game(one)]
        fooled = [other.scores[other.scores["success"]] for other in rivals]
        if rivals:
            smallest = pd.concat(fooled).groupby("index", as_index=False)[one.size].min()
            names = " and ".join(other.facts["attack"] for other in rivals)
            smallest = smallest.assign(success=True, attacked=True)
            subject, words = f"{one.subject} beside {names}", f"with {names} instead"
            yield _distance(subject, words, one.scores, smallest, one.size, one.touched)


def _distance(
    subject: str, words: str, before: pd.DataFrame, after: pd.DataFrame, size: str, touched: dict[str, Any]
) -> Row:
    """Whether the median size of the changes falls much from `before` to `after`, on images that both fooled."""
    both = shared(after, before)
    both = both[both["success"] & both["success_weak"]]
    if both.empty:
        return row("distance converged", subject, "warn", "no image that both fooled", **touched)
    found, was = both[size].median(), both[f"{size}_weak"].median()
    share = found / was - 1 if was > 0 else math.nan
    words += f" the median {size} goes from {was:.3g} to {found:.3g} ({100 * share:+.1f} %) "
    words += f"on {len(both)} images that both fooled"
    return row("distance converged", subject, "pass" if share > -STILL_FALLS else "warn", words, **touched)


def _effort(short: Crafted, long: Crafted) -> str:
    """The one parameter in which `long` tries at least twice as long as `short`, all else but eps equal; or ''."""
    if short.facts["method"] != long.facts["method"] or not short.same_game(long):
        return ""
    a, b = short.facts["parameters"], long.facts["parameters"]
    other = {key for key in a.keys() | b.keys() if key not in a or key not in b or a[key] != b[key]} - {"eps"}
    if len(other) != 1 or not other <= EFFORT & a.keys() & b.keys():
        return ""
    key: str = min(other)
    return key if b[key] >= 2 * a[key] else ""
