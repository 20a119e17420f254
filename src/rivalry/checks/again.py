"""Whether attacks do all that they can: each is run again on a few of the images that withstood it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import pandas as pd
import torch
from torch import Tensor, nn

from rivalry import registry
from rivalry.answers import answers
from rivalry.attacks._result import Result
from rivalry.checks._evidence import Crafted, Evidence
from rivalry.checks._rows import NOTICEABLE, Row, at_eps, row
from rivalry.norms import exceeds

LONGER, BEST = "twice the steps change little", "the best image found is returned"
LONG, WATCHED = 64, 4
"""Images that are attacked again with twice the steps, and those on which every question is watched."""


def longer(evidence: Evidence) -> Iterator[Row]:
    """Twice the steps move success by less than a point.

    Of each classifier and norm, for the attack with steps that fools most at its largest eps. What withstood it is
    attacked again, with other random numbers; one image of the sample may fall by chance.
    """
    strongest: dict[tuple[Any, ...], tuple[float, Crafted, float, pd.DataFrame]] = {}
    for one in evidence.crafted:
        steps = one.facts["parameters"].get("steps")
        if not repeatable(one) or not isinstance(steps, int):
            continue
        eps, rows = one.budgets[-1]
        rate = float(rows.loc[rows["attacked"], "success"].mean()) if rows["attacked"].any() else -1.0
        key = (one.made_on, *(str(one.facts[name]) for name in ("norm", "goal", "target")))
        if key not in strongest or rate > strongest[key][0]:
            strongest[key] = rate, one, eps, rows
    for rate, one, eps, rows in strongest.values():
        subject, touched, left = at_eps(one.subject, eps), one.touched | {"eps": eps}, _withstood(rows)
        if left.empty:
            yield _nobody(LONGER, subject, rows, touched)
            continue
        steps, tried = one.facts["parameters"]["steps"], left[:LONG]
        result = run_again(one, evidence, evidence.load(one.victim).eval(), tried, eps, seed=1, steps=2 * steps)
        fell = tried.loc[result.success.numpy(), "index"].tolist()
        moved = (1 - rate) * len(fell) / len(tried)
        words = f"from {steps} to {2 * steps} steps, {len(fell)} of {len(tried)} images fall that withstood it: "
        words += f"success moves by about {100 * moved:.1f} points"
        status = "warn" if len(fell) > 1 and moved >= NOTICEABLE else "pass"
        yield row(LONGER, subject, status, words, fell, **touched)


def best_returned(evidence: Evidence) -> Iterator[Row]:
    """No attack passes by an image within its budget that does what it wants, and returns one that does not.

    Watched are the questions of attacks that see gradients, at their largest eps. Of a victim that draws random numbers
    no answer says that an image is best: the next one may be another.
    """
    for one in evidence.crafted:
        if not repeatable(one):
            continue
        eps, rows = one.budgets[-1]
        subject, touched, left = at_eps(one.subject, eps), one.touched | {"eps": eps}, _withstood(rows)
        if left.empty:
            yield _nobody(BEST, subject, rows, touched)
            continue
        victim = evidence.load(one.victim).eval()
        if getattr(victim, "draws", None) is not None:
            continue
        tried = left[:WATCHED]
        watched = _Watched(victim)
        missed = []
        for place in range(len(tried)):
            image = tried.iloc[[place]]
            watched.answered.clear()
            result = run_again(one, evidence, watched, image, eps, seed=0)
            if not result.success.item() and _passed_by(watched, result, one, eps):
                missed += image["index"].tolist()
        words = f"of {len(tried)} images that withstood it, none did what it wants on the way"
        if missed:
            words = f"{len(missed)} of {len(tried)} images that withstood it did what it wants on the way"
        yield row(BEST, subject, "warn" if missed else "pass", words, missed, **touched)


def repeatable(one: Crafted) -> bool:
    """Whether it follows gradients within a budget, image by image, with nothing made beforehand."""
    facts = one.facts
    plays = facts["sees"] == "gradients" and facts["budget"] == "fixed" and not facts.get("fits")
    return plays and not np.isnan(one.budgets[-1][0]) and facts["norm"] in ("inf", "2", "0")


def _withstood(rows: pd.DataFrame) -> pd.DataFrame:
    return rows[rows["attacked"] & ~rows["success"]]


def _nobody(check: str, subject: str, rows: pd.DataFrame, touched: dict[str, Any]) -> Row:
    """Where nothing withstood an attack, there is nothing to try again."""
    if rows["attacked"].any():
        return row(check, subject, "pass", "no image withstood it", **touched)
    return row(check, subject, "warn", "no image was attacked", **touched)


def run_again(
    one: Crafted, evidence: Evidence, victim: nn.Module, rows: pd.DataFrame, eps: float, *, seed: int, **other: Any
) -> Result:
    """The attack once more, on the images of some rows, with these parameters otherwise."""
    index = torch.tensor(rows["index"].to_numpy())
    images, labels = evidence.test.floats(index), evidence.test.labels[index]
    targets = torch.tensor(rows["target"].to_numpy()) if one.facts["goal"] == "targeted" else None
    attack = registry.method("attacks", one.facts["method"]).load()
    settings = one.facts["parameters"] | {"eps": eps} | other
    result: Result = attack.run(victim, images, labels, targets=targets, seed=seed, **settings)
    return result


class _Watched(nn.Module):
    """A victim that keeps what it was asked, and what it answered."""

    def __init__(self, victim: nn.Module) -> None:
        super().__init__()
        self.victim = victim
        self.answered: list[tuple[Tensor, Tensor]] = []
        reject = getattr(victim, "reject_class", None)
        if reject is not None:
            self.reject_class = reject

    def forward(self, images: Tensor) -> Tensor:
        logits: Tensor = self.victim(images)
        self.answered.append((images.detach().cpu(), answers(logits.detach())[0].cpu()))
        return logits


def _passed_by(watched: _Watched, result: Result, one: Crafted, eps: float) -> bool:
    """Whether one of the questions about a single image was an answer to what the attack wants."""
    asked, predicted = (torch.cat(part) for part in zip(*watched.answered, strict=True))
    norm = "inf" if one.facts["norm"] == "inf" else int(one.facts["norm"])
    within = (
        (predicted >= 0)
        & ~exceeds(asked - result.clean, norm, eps)
        & ((asked >= 0) & (asked <= 1)).flatten(1).all(dim=1)
    )
    if result.targets is not None:
        return bool((within & (predicted == result.targets)).any())
    wrong = (predicted != result.labels) & (predicted != getattr(watched, "reject_class", -1))
    return bool((within & wrong).any())
