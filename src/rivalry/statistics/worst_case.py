"""The headline: how many images survive every attack that was tried at a budget.

An image counts as held only when the classifier is right about it unattacked and no attack of the norm turned it with a
change within the budget. Norms are never averaged or mixed. What was not measured is said, not guessed.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pandas as pd

from rivalry.artifacts import read_json, read_table
from rivalry.layout import Layout, defended, trained
from rivalry.statistics.columns import WORST_CASES
from rivalry.statistics.headlines import Listed, headline_budget
from rivalry.statistics.merging import grouped, means
from rivalry.statistics.rates import wilson_interval
from rivalry.types import REFUSED, SIZES

TOLERANCE = 1e-6
"""Rounding allowed on a budget, in units of the pixel range."""

Key = tuple[str, str, str, str]


@dataclass(frozen=True)
class Tried:
    """What one attack achieved against one classifier, all its eps.

    Attributes
    ----------
    listed : Listed
        Which attack, and from where its images are.
    method, norm, sees : str
        As `attack.json` has them.
    minimal : bool
        It looks for the smallest change, so that its sizes say where it succeeds.
    direct : bool
        Made against this very classifier, and not replayed from another or made without knowing the defense.
    rows : DataFrame
        One row an image and eps: index, eps (NaN: as small as it can), clean_correct, turned, size (in the norm).
    """

    listed: Listed
    method: str
    norm: str
    sees: str
    minimal: bool
    direct: bool
    rows: pd.DataFrame

    @property
    def name(self) -> str:
        """How the attack is listed."""
        return str(self.listed)

    def ran_at(self, eps: float | None) -> bool:
        return self.minimal or (eps is not None and bool((self.rows["eps"] == eps).any()))


@dataclass(frozen=True)
class Case:
    """One classifier at one norm and budget.

    `row` is its row of worst_cases.csv; where it was not measured, numbers are None and `reason` says why. `held` says
    of each image, by row of the test split, whether it survived; it is empty where nothing was measured. `attacks` are
    those that were tried on the classifier in this norm. Where cases of several trainings were `joined`, `single` are
    these, numbers in `row` are means, and `held` is that of the first.
    """

    row: dict[str, Any]
    held: pd.Series
    attacks: Sequence[Tried]
    single: tuple[Case, ...] = ()

    @property
    def trainings(self) -> tuple[Case, ...]:
        """The case of every training, in the order of seeds."""
        return self.single or (self,)

    @property
    def measured(self) -> bool:
        return not self.row["reason"]

    @property
    def images(self) -> pd.Index:
        """The images that the classifier has right unattacked, of those that all attacks met."""
        counted = [attack for attack in self.attacks if attack.ran_at(self.row["eps"])]
        return self.held.index[_right(counted, self.held.index)]


def joined(cases: Sequence[Case]) -> list[Case]:
    """One case for all trainings of a victim."""
    groups = grouped("worst_cases", cases, lambda case: case.row)
    return [
        replace(of[0], row=means("worst_cases", [one.row for one in of]), single=tuple(of)) if len(of) > 1 else of[0]
        for of in groups
    ]


def in_common(a: Case, b: Case) -> tuple[list[pd.Series], list[pd.Series], list[str]]:
    """Two measured cases of one data set, norm and budget, on equal terms.

    Returns
    -------
    held_a, held_b : list of Series
        Of each training, whether the classifier holds each image, by row of the test split, under the attacks that
        were aimed at all and on the images that all of these met. What was replayed from another victim is left out;
        what was made without knowing a defense was aimed at the same victim, and counts.
    names : list of str
        Those attacks. Without any, the series are empty.
    """
    eps, cases = a.row["eps"], (*a.trainings, *b.trainings)
    sides = [[one for one in case.attacks if one.ran_at(eps)] for case in cases]
    aimed = set.intersection(*({one.name for one in side if one.direct and one.sees != "nothing"} for side in sides))
    names = [one.name for one in sides[0] if one.name in aimed]
    images = _met_by_all([one for side in sides for one in side if one.direct and one.name in names], eps)
    held = [pd.Series(dtype=bool)] * len(cases)
    if names and not images.empty:
        held = [
            _held([one for one in side if one.listed.attack in names and not one.listed.source], images, eps)
            for side in sides
        ]
    return held[: len(a.trainings)], held[len(a.trainings) :], names


def replayed_in_common(
    a: Case, b: Case, without: Collection[str]
) -> tuple[list[pd.Series], list[pd.Series], list[str]]:
    """Two cases of one data set, norm and budget, under the images of others that were replayed on both.

    Parameters
    ----------
    a, b : Case
        Measured or not.
    without : collection of str
        Victims whose images do not count.

    Returns
    -------
    held_a, held_b : list of Series
        Of each training, whether the classifier holds each image, by row of the test split, on the images that all
        sets met.
    names : list of str
        These sets. Without any, the series are empty.
    """
    eps, cases = a.row["eps"], (*a.trainings, *b.trainings)
    sides = [
        {
            str(one.listed._replace(source=trained(one.listed.source)[0])): one
            for one in case.attacks
            if one.ran_at(eps) and one.listed.source and trained(one.listed.source)[0] not in without
        }
        for case in cases
    ]
    names = [name for name in sides[0] if all(name in side for side in sides)]
    chosen = [[side[name] for name in names] for side in sides]
    images = _met_by_all([one for side in chosen for one in side], eps)
    held = [pd.Series(dtype=bool)] * len(cases)
    if not images.empty:
        held = [_held(side, images, eps) for side in chosen]
    return held[: len(a.trainings)], held[len(a.trainings) :], names


def worst_cases(layout: Layout, *, plan: dict[str, Any], confidence: float) -> list[Case]:
    """Accuracy against the worst attack per image, for every victim, defended victim, norm and budget.

    An attack counts at an eps only where it was run at that eps or looks for the smallest change. An image falls when
    any attack of the norm, whatever eps it was given, turned it with a change that measures at most eps. A case takes
    all attacks that count, on the images that all of them met. Targeted attacks, triggers and patches play another
    game and are left out; images replayed from other victims count as attacks.

    A case is measured where attacks by two methods at least were aimed at this very classifier; for a defended victim
    that is: knew the defense. Noise and other controls do not make up this number.

    Parameters
    ----------
    layout : Layout
        Folder of the run.
    plan : dict
        What belongs to the run; see `rivalry.plan.Plan.tables`.
    confidence : float
        Coverage of the intervals, in (0,1).

    Returns
    -------
    list of Case
        By data set, norm and classifier, in the plan's order; budgets ascend, "of any size" (eps None) comes last. One
        budget of each data set and norm is the headline, and has a case for every classifier.
    """
    cases = []
    for dataset in dict.fromkeys(names[0] for names in plan["victims"]):
        tried = _tried(layout, dataset, plan)
        # L0, L2 and Linf, in that order.
        for norm in sorted({attack.norm for attacks in tried.values() for attack in attacks}):
            cases += _of_norm(dataset, norm, tried, confidence)
    return cases


def _tried(layout: Layout, dataset: str, plan: dict[str, Any]) -> dict[tuple[str, str], list[Tried]]:
    """Every attack on every classifier (victim, defense) of a data set, in the plan's order."""
    tried: dict[tuple[str, str], list[Tried]] = {}
    for _, victim, attack in (names for names in plan["attacks"] if names[0] == dataset):
        place = layout.attack(dataset, victim, attack)
        mine = tried.setdefault((victim, "none"), [])
        facts = read_json(place.facts)
        scores = read_table(place["scores"])
        if _counts(facts, scores):
            mine.append(_one(Listed(attack), facts, scores, direct=True))
    for _, source in (names for names in plan["transfers"] if names[0] == dataset):
        replayed = read_table(layout.transfer(dataset, source)["scores"])
        others = replayed[replayed["victim"] != source]
        for names, rows in others.groupby(["victim", "attack"], sort=False):
            victim, attack = map(str, names)
            mine = tried.setdefault((victim, "none"), [])
            place = layout.attack(dataset, source, attack)
            facts = read_json(place.facts)
            if _counts(facts, rows) and facts["sees"] != "nothing":
                sizes = read_table(place["scores"])[["index", "eps", *SIZES.values()]]
                rows = rows.merge(sizes, on=["index", "eps"])
                mine.append(_one(Listed(attack, source=source), facts, rows, direct=False))
    for _, victim, defense in (names for names in plan["evaluations"] if names[0] == dataset):
        mine = tried.setdefault((victim, defense), [])
        scores = read_table(layout.evaluation(dataset, victim, defense)["scores"])
        scores["clean_correct"] = scores["clean_handled"]
        for names, rows in scores[scores["setting"] != "clean"].groupby(["attack", "setting"], sort=False):
            attack, setting = map(str, names)
            knows = setting == "adaptive"
            attacked = defended(victim, defense) if knows else victim
            facts = read_json(layout.attack(dataset, attacked, attack).facts)
            if _counts(facts, rows):
                blind = not knows and facts["sees"] != "nothing"
                mine.append(_one(Listed(attack, oblivious=blind), facts, rows, direct=knows))
    return tried


def _counts(facts: dict[str, Any], scores: pd.DataFrame) -> bool:
    """Whether an attack plays this game: untargeted, in a norm, within a budget or for the smallest change."""
    plays = facts["goal"] == "untargeted" and "poisoning" not in facts["parameters"]
    return plays and str(facts["norm"]) in SIZES and (facts["budget"] == "minimal" or bool(scores["eps"].notna().any()))


def _one(listed: Listed, facts: dict[str, Any], scores: pd.DataFrame, *, direct: bool) -> Tried:
    """An image is turned when it was right unattacked, and what came of it is neither right nor refused (-1)."""
    norm = str(facts["norm"])
    right = scores["clean_correct"].astype(bool)
    turned = right & (scores["prediction"] != scores["label"]) & (scores["prediction"] != REFUSED)
    rows = scores[["index", "eps"]].assign(clean_correct=right, turned=turned, size=scores[SIZES[norm]])
    return Tried(listed, facts["method"], norm, facts["sees"], facts["budget"] == "minimal", direct, rows)


def _of_norm(dataset: str, norm: str, tried: dict[tuple[str, str], list[Tried]], confidence: float) -> list[Case]:
    """The cases of one norm. Without a budget, how many images fall says little: those cases are a headline only where
    no budget was set at all."""
    mine = {who: [attack for attack in attacks if attack.norm == norm] for who, attacks in tried.items()}
    found: dict[tuple[str, str], dict[float | None, Case]] = {}
    for (victim, defense), attacks in mine.items():
        budgets: list[float | None] = sorted({eps for one in attacks for eps in one.rows["eps"].dropna()})
        if any(one.minimal for one in attacks):
            budgets.append(None)
        found[victim, defense] = {
            eps: _case((dataset, norm, victim, defense), eps, attacks, confidence) for eps in budgets
        }
    measured = [(eps, case) for cases in found.values() for eps, case in cases.items() if case.measured]
    limited = [eps for eps, _ in measured if eps is not None]
    if not measured:
        return [case for cases in found.values() for case in cases.values()]
    top = headline_budget(limited) if limited else None
    if top is None:
        _measure_on_common_images([case for eps, case in measured if eps is None])
    listed = []
    for (victim, defense), cases in found.items():
        if top not in cases:
            cases[top] = _case((dataset, norm, victim, defense), top, mine[victim, defense], confidence)
        cases[top].row["headline"] = True
        listed += [cases[eps] for eps in sorted(cases, key=lambda eps: np.inf if eps is None else eps)]
    return listed


def _measure_on_common_images(cases: Sequence[Case]) -> None:
    """Have the sizes that rank classifiers be medians over the images that all of these have right.

    Others are easier or harder, and would decide the order.
    """
    common = cases[0].images
    for case in cases[1:]:
        common = common.intersection(case.images)
    for case in cases:
        median = _median(case.attacks, common)
        row = case.row
        row |= {"median_distance": median if np.isfinite(median) else None, "n_right": len(common)}


def _case(key: Key, eps: float | None, attacks: Sequence[Tried], confidence: float) -> Case:
    """The worst case per image over all attacks (of one norm), within `eps` (None: of any size)."""
    dataset, norm, victim, defense = key
    counted = [attack for attack in attacks if attack.ran_at(eps)]
    images = _met_by_all(counted, eps)
    reason = _unmeasured(counted, images, defended=defense != "none")
    row: dict[str, Any] = dict.fromkeys(WORST_CASES.columns) | {
        "dataset": dataset,
        "norm": norm,
        "eps": eps,
        "headline": False,
        "victim": trained(victim)[0],
        "seed": trained(victim)[1],
        "defense": defense,
        "strongest": "",
        "attacks": [attack.name for attack in counted],
        "sees": sorted({attack.sees for attack in counted if attack.sees != "nothing" and attack.direct}),
        "reason": reason,
    }
    if reason:
        return Case(row, pd.Series(dtype=bool), attacks)
    right = _right(counted, images)
    held = _held(attacks, images, eps)
    alone = {attack.name: len(_fallen(attack, eps).intersection(images[right])) for attack in counted}
    most = max(alone.values())
    if eps is None:  # all reach most images; who needs the smallest change is the stronger
        medians = {attack.name: _median([attack], images[right]) for attack in counted}
        least = min(medians.values())
        strongest = [name for name in medians if medians[name] == least] if np.isfinite(least) else []
        most = alone[strongest[0]] if strongest else most
    else:
        strongest = [name for name in alone if alone[name] == most] if most else []
    median = _median(attacks, images[right]) if any(attack.minimal for attack in counted) else np.inf
    low, high = wilson_interval(int(held.sum()), len(images), confidence)
    unknowing = [attack for attack in counted if attack.listed.oblivious]
    if unknowing:
        row["oblivious_accuracy"] = float(_held(unknowing, images, eps).mean())
    row |= {
        "n": len(images),
        "clean_accuracy": float(right.mean()),
        "accuracy": float(held.mean()),
        "low": low,
        "high": high,
        "strongest": ", ".join(strongest),
        "strongest_accuracy": (int(right.sum()) - most) / len(images),
        "median_distance": median if np.isfinite(median) else None,
        "n_right": int(right.sum()),
    }
    return Case(row, held, attacks)


def _right(attacks: Sequence[Tried], images: pd.Index) -> pd.Series:
    """Whether the classifier has each image right unattacked."""
    return pd.concat([attack.rows for attack in attacks]).groupby("index")["clean_correct"].first().loc[images]


def _held(attacks: Sequence[Tried], images: pd.Index, eps: float | None) -> pd.Series:
    """Whether each image is right unattacked and turned by none of the attacks within `eps`."""
    right = _right(attacks, images)
    return right & ~right.index.isin(set().union(*(_fallen(attack, eps) for attack in attacks)))


def _median(attacks: Sequence[Tried], images: pd.Index) -> float:
    """The median over images of the smallest change that any of the attacks found; infinite where most have none."""
    sizes = pd.concat([attack.rows[attack.rows["turned"]] for attack in attacks]).groupby("index")["size"].min()
    return float(np.median(sizes.reindex(images, fill_value=np.inf))) if len(images) else np.inf


def _met_by_all(attacks: Sequence[Tried], eps: float | None) -> pd.Index:
    """The images that every attack met at this budget: a missing row must not count as survival."""
    shared: pd.Index | None = None
    for attack in attacks:
        rows = attack.rows
        met = pd.Index(rows.loc[rows["eps"].isna() | (rows["eps"] == eps), "index"].unique())
        shared = met if shared is None else shared.intersection(met)
    return pd.Index([], dtype="int64") if shared is None else shared.sort_values()


def _unmeasured(counted: Sequence[Tried], images: pd.Index, *, defended: bool) -> str:
    """Why these attacks make no headline, or ''."""
    aimed = [attack for attack in counted if attack.direct and attack.sees != "nothing"]
    methods = {attack.method for attack in aimed}
    if not counted:
        return "no attack of this norm was run at this budget"
    if not methods:
        return "no attack that knows the defense was run" if defended else "only controls or replayed images were tried"
    if len(methods) == 1:
        return f"only {aimed[0].name} was aimed at it" + (" knowing the defense" if defended else "")
    return "" if len(images) else "no image met all of its attacks"


def _fallen(attack: Tried, eps: float | None) -> pd.Index:
    """The images that an attack turned with a change within `eps`."""
    rows = attack.rows
    within = rows["size"] <= (np.inf if eps is None else eps + TOLERANCE * (1 + eps))
    fallen: pd.Index = pd.Index(rows.loc[rows["turned"] & within, "index"].unique())
    return fallen
