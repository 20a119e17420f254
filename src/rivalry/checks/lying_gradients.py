"""Whether a defense's own gradients lead attacks astray, and what breaks it then."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
import pandas as pd
import torch
from torch import Tensor, nn

from rivalry.checks._evidence import Crafted, Evidence
from rivalry.checks._rows import Row, at_eps, clearly, percent, row
from rivalry.checks.again import repeatable, run_again
from rivalry.defenses._defended import own_gradients
from rivalry.statistics.checked import LYING

TRIED = 32
"""Images that are attacked once more."""


def lying_gradients(evidence: Evidence) -> Iterator[Row]:
    """What attacks make of a defense by its own gradients, by those that stand in for them, and without gradients.

    Of each defended victim with a stand-in for some step's gradients, or with several draws to take the mean over, and
    of each norm: the gradient attack that fools most at its largest eps, on the same images. Where the stand-in does
    clearly better than the defense's own gradients, these lie, and the row says whether attacks without gradients find
    that out by themselves. Where it does clearly worse than either, the adaptive number is too high: a failure.
    """
    for model in evidence.models:
        if model.defense == "none":
            continue
        mine = [one for one in evidence.crafted if one.made_on == model.subject and one.facts["budget"] == "fixed"]
        strongest = _strongest([one for one in mine if repeatable(one)])
        if not strongest:
            continue
        victim = evidence.load(model.place).eval()
        if not has_stand_in(victim, evidence.test.floats(slice(0, 2))):
            continue
        for one in strongest:
            eps, rows = one.budgets[-1]
            tried = rows[rows["attacked"]][:TRIED]
            subject, touched = at_eps(one.subject, eps), one.touched | {"eps": eps}
            if tried.empty:
                yield row(LYING, subject, "warn", "no image was attacked", **touched)
                continue
            with own_gradients():
                again = run_again(one, evidence, victim, tried, eps, seed=0)
            by_own = pd.Series(again.success.numpy(), index=tried["index"])
            stand_in = tried.set_index("index")["success"]
            blind = _without_gradients(mine, one, eps, stand_in.index)
            status, words = _judged(one.facts["attack"], by_own, stand_in, blind)
            lost = stand_in.index[by_own & ~stand_in].tolist()
            yield row(LYING, subject, status, words, lost, **touched)


def has_stand_in(victim: nn.Module, images: Tensor) -> bool:
    """Whether a defended victim's gradients are others without its stand-ins, or with one draw alone."""

    def slope() -> Tensor:
        place = next((tensor.device for tensor in victim.state_dict().values()), images.device)
        leaf = images.to(place).requires_grad_(True)
        answered = victim(leaf).log_softmax(dim=1)[:, 0].sum()
        return torch.autograd.grad(answered, leaf)[0] if answered.requires_grad else torch.zeros_like(leaf)

    given = slope()
    with own_gradients():
        return not torch.equal(given, slope())


def _strongest(crafted: Sequence[Crafted]) -> list[Crafted]:
    """Of each norm and goal the attack that fools most at its largest eps; of equals, one of many steps."""
    best: dict[tuple[str, ...], tuple[tuple[float, bool], Crafted]] = {}
    for one in crafted:
        _, rows = one.budgets[-1]
        rate = float(rows.loc[rows["attacked"], "success"].mean()) if rows["attacked"].any() else -1.0
        key = tuple(str(one.facts[name]) for name in ("norm", "goal", "target"))
        rank = rate, not one.single
        if key not in best or rank > best[key][0]:
            best[key] = rank, one
    return [one for _, one in best.values()]


def _without_gradients(crafted: Sequence[Crafted], one: Crafted, eps: float, index: pd.Index) -> pd.Series | None:
    """Which of these images some attack without gradients fooled at this eps; None where none was run on all."""
    found = None
    for other in crafted:
        if other.facts["sees"] not in ("scores", "decisions") or not other.same_game(one):
            continue
        for at, rows in other.budgets:
            met = rows.set_index("index")
            if np.isclose(at, eps) and index.isin(met.index).all():
                success = met.loc[index, "success"]
                found = success if found is None else found | success
    return found


def _judged(attack: str, own: pd.Series, stand_in: pd.Series, blind: pd.Series | None) -> tuple[str, str]:
    """Status and words of three outcomes on the same images."""
    n = len(own)
    words = f"{attack} fools {percent(own)} of {n} images by the gradients of the defense's own steps, "
    words += f"{percent(stand_in)} by their stand-ins; attacks without gradients "
    words += "were not run on all of them" if blind is None else f"fool {percent(blind)}"
    overrated = _behind(stand_in, own) or (blind is not None and _behind(stand_in, blind))
    if overrated:
        return "fail", f"{words}: the stand-ins are not the strongest, and the defense is overrated"
    if not (own.any() or stand_in.any()):
        return "warn", f"{words}: where nothing falls, nothing is known of gradients"
    if not _behind(own, stand_in):
        return "pass", f"{words}: its own gradients serve as well"
    if blind is None:
        return "pass", f"{words}: its own gradients lie"
    if _behind(own, blind):
        return "pass", f"{words}: its own gradients lie, which attacks without gradients find out, too"
    return "pass", f"{words}: its own gradients lie, and only the stand-ins break it"


def _behind(weak: pd.Series, strong: pd.Series) -> bool:
    """Whether one set fooled clearly fewer of the same images than another."""
    return clearly(int((strong & ~weak).sum()), int((weak & ~strong).sum()), len(weak))
