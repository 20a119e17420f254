"""Whether success is counted as the goal says, and grows with what is allowed."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pandas as pd

from rivalry.checks._evidence import Crafted, Evidence
from rivalry.checks._rows import NOTICEABLE, Row, clearly, row, shared
from rivalry.layout import defended

GROWS = "success grows with eps"


def scoring(evidence: Evidence) -> Iterator[Row]:
    """Every crafted set's recorded successes."""
    for one in evidence.crafted:
        yield from _monotone(one, evidence.classes)
        yield _success(one, evidence.classes)
    for victim, defense in evidence.planned("evaluations"):
        scores = evidence.evaluated(victim, defense)
        for attack, rows in scores[scores["setting"] == "oblivious"].groupby("attack", sort=False):
            yield from _replayed(str(attack), rows, victim, defense)


def _replayed(attack: str, scores: pd.DataFrame, victim: str, defense: str) -> Iterator[Row]:
    """The same of images made without knowing a defense: it may see larger changes better, which is remarked on.

    Falls of less than a point are noise.
    """
    rates = scores[scores["attacked"].astype(bool)].groupby("eps")["success"].mean()
    falls = -np.diff(rates)
    if not (falls >= NOTICEABLE).any():
        return
    place = int(falls.argmax())
    small, large = rates.index[place], rates.index[place + 1]
    both = shared(*(scores[scores["eps"] == eps] for eps in (large, small)))
    lost = both.index[both["success_weak"] & ~both["success"]]
    words = f"made without knowing the defense, success falls by {100 * falls[place]:.1f} points from eps {small:.4g} "
    words += f"to {large:.4g}"
    refused = int(both.loc[lost, "flagged"].sum())
    words += f"; of the {len(lost)} images that no longer fool, {refused} are refused" if refused else ""
    subject = f"{attack} on {victim}, shown to {defended(victim, defense)}"
    yield row(GROWS, subject, "warn", words, victim=victim, defense=defense, attack=attack, eps=large)


def _monotone(crafted: Crafted, classes: int) -> Iterator[Row]:
    """A larger eps does not save images: success does not fall as eps grows.

    A single step may overshoot, so for it a fall is only remarked on. Falls of less than a point are noise.
    """
    if len(crafted.budgets) < 2:
        return
    budgets = [(eps, rows) for eps, rows in crafted.budgets if rows["attacked"].any()]
    for eps, rows in crafted.budgets:
        if not rows["attacked"].any():
            words = f"at eps {eps:.4g} no image was attacked: there is no success to compare"
            yield row(GROWS, crafted.subject, "warn", words, **crafted.touched, eps=eps)
    if len(budgets) < 2:
        return
    rates = [rows.loc[rows["attacked"], "success"].mean() for _, rows in budgets]
    falls = [
        (low - high, small, large)
        for small, large, low, high in zip(budgets, budgets[1:], rates, rates[1:], strict=False)
        if high < low
    ]
    if not falls:
        words = f"success never falls: {100 * rates[0]:.1f} % to {100 * rates[-1]:.1f} % over {len(rates)} eps"
        yield row(GROWS, crafted.subject, "pass", words, **crafted.touched)
        return
    fall, (small, below), (large, above) = max(falls, key=lambda one: one[0])
    if fall < NOTICEABLE:
        words = f"success falls by {100 * fall:.2g} points at most: {100 * rates[0]:.1f} % to {100 * rates[-1]:.1f} % "
        yield row(GROWS, crafted.subject, "pass", f"{words}over {len(rates)} eps", **crafted.touched)
        return
    both = shared(above, below)
    lost = both.index[both["success_weak"] & ~both["success"]].tolist()
    won = int((both["success"] & ~both["success_weak"]).sum())
    single = crafted.single
    status = "fail" if clearly(len(lost), won, len(both)) and not single else "warn"
    words = f"success falls by {100 * fall:.1f} points from eps {small:.4g} to {large:.4g}"
    words += ": one step may overshoot" if single else ""
    # A refusal is the class after the last, or -1.
    answers = above.set_index("index")["prediction"].loc[lost]
    refused = int(((answers >= classes) | (answers == -1)).sum())
    words += f"; of the {len(lost)} images that no longer fall, {refused} are refused" if refused else ""
    yield row(GROWS, crafted.subject, status, words, lost, **crafted.touched, eps=large)


def _success(crafted: Crafted, classes: int) -> Row:
    """Success is what the goal says: the target for targeted attacks, any wrong class for the others.

    Only images that the victim got right, and that are not of the target's class, count. Recomputed from the
    recorded predictions; a refusal is no success.
    """
    scores = crafted.scores
    targeted = crafted.facts["goal"] == "targeted"
    attackable = (scores["clean_prediction"] == scores["label"]) & (scores["label"] != scores["target"])
    # A refusal is recorded as -1 or as the class after the last, neither of which is a class of the data set.
    wrong = (scores["prediction"] != scores["label"]) & scores["prediction"].between(0, classes - 1)
    reached = scores["prediction"] == scores["target"] if targeted else wrong
    other = scores[(scores["success"] != (attackable & reached)) | (scores["attacked"] != attackable)]
    goal, status, images = "hitting the target" if targeted else "any wrong class", "pass", []
    words = f"{scores['success'].sum()} of {scores['attacked'].sum()} attacked rows succeed by {goal}"
    if len(other):
        words = f"{len(other)} of {len(scores)} rows are not scored on {goal}"
        status, images = "fail", other["index"].tolist()
    elif not scores["attacked"].any():
        status, words = "warn", f"none of {len(scores)} rows was attacked: its success rate says nothing"
    return row("scored on its goal", crafted.subject, status, words, images, **crafted.touched)
