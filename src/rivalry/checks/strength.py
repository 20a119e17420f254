"""Whether attacks that must be stronger than others are: more steps, more knowledge, the right victim."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import pandas as pd

from rivalry.artifacts import read_table
from rivalry.checks._evidence import Crafted, Evidence
from rivalry.checks._rows import NOTICEABLE, Row, at_eps, clearly, percent, row, shared, stronger
from rivalry.layout import defended

ADAPTIVE = "adaptive at least oblivious"
BLACK_BOX = "black box at most white box"
TRANSFER = "white-box at least transfer"


def iterative(evidence: Evidence) -> Iterator[Row]:
    """Many steps are at least as strong as one, image by image, at the same eps.

    Where one step fools the victim and many do not, gradients mislead.
    """
    gradient = [one for one in evidence.crafted if one.facts["sees"] == "gradients" and not one.facts.get("fits")]
    for single in gradient:
        for eps, one_step in single.budgets:
            if np.isnan(eps) or not single.single:
                continue
            for other in gradient:
                if not other.same_game(single):
                    continue
                for other_eps, steps in other.budgets:
                    if other_eps == eps and not other.single:
                        subject = at_eps(f"{other.subject} against {single.facts['attack']}", eps)
                        check = "iterative at least single-step"
                        yield stronger(check, subject, steps, one_step, **other.touched, eps=eps)


def noise(evidence: Evidence) -> Iterator[Row]:
    """An attack that sees gradients is at least as strong as noise of the same size."""
    for blind in evidence.crafted:
        if blind.facts["sees"] != "nothing" or "poisoning" in blind.facts["parameters"]:
            continue
        for one in evidence.crafted:
            if one.facts["sees"] != "gradients" or not one.same_game(blind):
                continue
            for eps, noisy in blind.budgets:
                for other_eps, seeing in one.budgets:
                    if other_eps == eps:
                        subject = at_eps(f"{one.subject} against {blind.facts['attack']}", eps)
                        yield stronger("white-box at least noise", subject, seeing, noisy, **one.touched, eps=eps)


def masking(evidence: Evidence) -> Iterator[Row]:
    """An attack that sees only scores or decisions does not beat the ones that see gradients.

    Where it does, gradients mislead: the victim masks them, and gradient attacks overrate it. Compared are, at a
    common eps, all gradient attacks of the norm taken together, and for attacks that seek the smallest change,
    which images they fool at all and its median size on the images that both fooled.
    """
    for one in evidence.crafted:
        if one.facts["sees"] not in ("scores", "decisions"):
            continue
        rivals = [other for other in evidence.crafted if other.facts["sees"] == "gradients" and other.same_game(one)]
        for eps, blind in one.budgets:
            seeing = {
                other.facts["attack"]: rows
                for other in rivals
                for at, rows in other.budgets
                if at == eps
                or (np.isnan(at) and np.isnan(eps) and {one.facts["budget"], other.facts["budget"]} == {"minimal"})
            }
            if not seeing:
                continue
            subject = at_eps(f"{one.subject} against the gradient attacks", eps)
            touched = one.touched | {"attack": " ".join(seeing), "eps": eps}
            together = _together(list(seeing.values()))
            if np.isnan(eps):
                yield _sizes(one, subject, together, list(seeing.values()), blind, touched)
            else:
                yield stronger(BLACK_BOX, subject, together, blind, **touched)


def _sizes(
    one: Crafted,
    subject: str,
    together: pd.DataFrame,
    seeing: list[pd.DataFrame],
    blind: pd.DataFrame,
    touched: dict[str, Any],
) -> Row:
    """Of attacks that seek the smallest change: what only the blind one fools, and whose changes are smaller."""
    met = shared(together, blind)
    if met.empty:
        return row(BLACK_BOX, subject, "warn", "no attacked image in common", **touched)
    lost = met.index[met["success_weak"] & ~met["success"]].tolist()
    won = int((met["success"] & ~met["success_weak"]).sum())
    fooled = [rows.loc[rows["success"]].set_index("index")[one.size] for rows in seeing]
    both = pd.concat(fooled).groupby(level=0).min().rename("seeing").to_frame()
    both = both.join(blind.loc[blind["success"]].set_index("index")[one.size].rename("blind"), how="inner")
    smaller = both.index[both["blind"] < (1 - NOTICEABLE) * both["seeing"]].tolist()
    if both.empty:
        words = f"no image that both fooled: {percent(met['success_weak'])} against {percent(met['success'])}"
        much = False
    else:
        seen, unseen = both["seeing"].median(), both["blind"].median()
        much = unseen < (1 - NOTICEABLE) * seen
        words = f"median {one.size} {unseen:.3g} against {seen:.3g} on {len(both)} images that both fooled; "
        words += f"smaller on {len(smaller)} of them"
    if lost:
        words += f"; {len(lost)} images fall to it alone"
    fails = much or clearly(len(lost), won, len(met))
    few = len({*smaller, *lost}) < NOTICEABLE * len(met)
    status = "fail" if fails else "pass" if few or not (smaller or lost) else "warn"
    return row(BLACK_BOX, subject, status, words, sorted({*smaller, *lost}), **touched)


def _together(sets: Sequence[pd.DataFrame]) -> pd.DataFrame:
    """Several attacks as one: an image is fooled where any of them fooled it, attacked where all tried."""
    rows = pd.concat(sets)
    tried = rows.groupby("index")["attacked"].agg(["all", "size"])
    together = rows.groupby("index")["success"].any().to_frame("success")
    together["attacked"] = tried["all"] & (tried["size"] == len(sets))
    return together.reset_index()


def adaptive(evidence: Evidence) -> Iterator[Row]:
    """An attack that knows the defense fools at least as many images as one that does not.

    Where it does not, it failed on the defended victim (no gradient, a loss that does not see the refusal), and
    what survives it is no robustness. Compared are the images that both attacked, with the same target: those that
    the victim has right with and without the defense. Both attacks are searches, so single images go either way: a
    point of all images is allowed, and a failure needs more than tossed coins give; see `_rows.clearly`. A single
    step may overshoot, through a median above all, so for it that is only remarked on.
    """
    single = {(one.facts["attack"], one.made_on) for one in evidence.crafted if one.single}
    for victim, defense in evidence.planned("evaluations"):
        name, table = defended(victim, defense), evidence.evaluated(victim, defense)
        knowing = table[table["setting"] == "adaptive"]
        for _, rows in knowing.groupby(["attack", "eps"], dropna=False, sort=False):
            attack, eps = str(rows["attack"].iloc[0]), float(rows["eps"].iloc[0])
            blind = table[(table["setting"] == "oblivious") & (table["attack"] == attack)]
            blind = blind[blind["eps"].isna() if np.isnan(eps) else blind["eps"] == eps]
            if blind.empty:
                continue
            subject = at_eps(f"{attack} on {name}", eps)
            touched: dict[str, Any] = {"victim": victim, "defense": defense, "attack": attack, "eps": eps}
            both = shared(rows, blind)
            both = both[both["target"] == both["target_weak"]]
            if both.empty:
                yield row(ADAPTIVE, subject, "warn", "no attacked image in common", **touched)
                continue
            lost = both.index[both["success_weak"] & ~both["success"]].tolist()
            won = int((both["success"] & ~both["success_weak"]).sum())
            words = f"knowing the defense it fools {percent(both['success'])} of {len(both)} images, not knowing it "
            words += f"{percent(both['success_weak'])}; {len(lost)} fall to the latter only"
            one_step = (attack, name) in single
            if len(lost) - won <= NOTICEABLE * len(both):
                status = "pass"
            elif one_step:
                status, words = "warn", f"{words}: one step may overshoot"
            else:
                status = "fail" if clearly(len(lost), won, len(both)) else "warn"
            yield row(ADAPTIVE, subject, status, words, lost, **touched)


def transfer(evidence: Evidence) -> Iterator[Row]:
    """What is crafted on a victim fools it at least as often as what is crafted on another and replayed.

    Where it does not, the victim's own gradients mislead. For each victim, attack and eps, with the source whose
    images do best against it: compared are images that both sources' attacks were after, with the same target.
    """
    replayed = _replayed(evidence)
    for one in evidence.crafted:
        if one.facts["defense"] != "none":
            continue
        mine = replayed[(replayed["victim"] == one.facts["victim"]) & (replayed["attack"] == one.facts["attack"])]
        for eps, own in one.budgets:
            at = mine[mine["eps"].isna() if np.isnan(eps) else mine["eps"] == eps]
            foreign = at[at["source"] != one.facts["victim"]]
            if foreign.empty:
                continue
            subject, touched = at_eps(one.subject, eps), one.touched | {"eps": eps}
            rivals = []
            for source, images in foreign.groupby("source", sort=False):
                both = own.merge(images, on=["index", "target"], suffixes=("", "_replayed")).set_index("index")
                both = both[both["attacked"] & both["attacked_replayed"]]
                if len(both):
                    rivals.append((both["success_replayed"].mean() - both["success"].mean(), source, both))
            if not rivals:
                yield row(TRANSFER, subject, "warn", "no attacked image in common", **touched)
                continue
            excess, source, both = max(rivals, key=lambda rival: rival[0])
            lost = both.index[both["success_replayed"] & ~both["success"]].tolist()
            won = int((both["success"] & ~both["success_replayed"]).sum())
            words = f"its own set fools it on {percent(both['success'])} of {len(both)} images, "
            words += f"that of {source} on {percent(both['success_replayed'])}"
            single = one.single
            words += ": one step may overshoot" if excess > 0 and single else ""
            words += _without_direction(both) if excess > 0 and not single else ""
            fails = clearly(len(lost), won, len(both)) and not single
            status = "pass" if excess < NOTICEABLE else "fail" if fails else "warn"
            yield row(TRANSFER, subject, status, words, lost if excess > 0 else [], **touched)


def _without_direction(attacked: pd.DataFrame) -> str:
    """What explains an attack that follows gradients and fails: it met none."""
    blind = attacked["zero_gradient"].astype(bool)
    if blind.mean() < NOTICEABLE:
        return ""
    return f": the loss has no slope on {percent(blind)} of these images, so the attack had no direction there"


def _replayed(evidence: Evidence) -> pd.DataFrame:
    """Every set that was replayed on a data set, with its source; an image counts as attacked if its victim has it
    right."""
    tables = [
        read_table(evidence.layout.transfer(evidence.dataset, source)["scores"]).assign(source=source)
        for (source,) in evidence.planned("transfers")
    ]
    if not tables:
        return pd.DataFrame(columns=["victim", "attack", "eps", "source"])
    table = pd.concat(tables, ignore_index=True)
    return table.assign(attacked=table["attacked"] & table["clean_correct"])
