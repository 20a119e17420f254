"""All comparisons of a run, in two families, each with both intervals, its test and what it says."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import Any

import numpy as np
import pandas as pd

from rivalry.seeds import derive_seed
from rivalry.statistics.budgets import budget_verdict, compare_budgets
from rivalry.statistics.columns import COMPARISONS
from rivalry.statistics.over_seeds import difference_in_every_training, difference_over_seeds
from rivalry.statistics.paired import holm, mcnemar_exact, paired_interval
from rivalry.statistics.rates import difference_of_error_rates, significance_level, verdict
from rivalry.statistics.scores import ScoredMatch
from rivalry.statistics.worst_case import Case, in_common, replayed_in_common

PRIMARY, SECONDARY = "primary", "secondary"
"""The families of tests: what classifiers lose in the worst case, image by image, and everything else."""
SIZED = ("budget", "needed")
"""Kinds of comparisons of sizes: of what two attacks change, and of what two victims need."""
IN_EVERY_TRAINING = "of every training by itself: the largest p, and an interval that holds all of theirs"
CleanErrors = dict[tuple[str, str, str], list[pd.Series]]


@dataclass(frozen=True)
class Pairing:
    """Two matches to be set against each other, what they differ in (`kind`), and why they are not compared, if so."""

    kind: str
    a: ScoredMatch
    b: ScoredMatch
    reason: str = ""


@dataclass(frozen=True)
class Side:
    """Who stands on one side, and whether it errs on each image, by row of the test split: a series a training."""

    victim: str
    errs: Sequence[pd.Series]


@dataclass(frozen=True)
class Method:
    """How two sides are compared.

    Attributes
    ----------
    confidence : float
        Coverage of the intervals.
    without_chance : collection of (data set, victim)
        Victims that would be the same with any seed: their one training is all that there are.
    """

    confidence: float
    without_chance: Collection[tuple[str, str]]

    def repeated(self, dataset: str, side: Side) -> bool:
        """Whether a side's trainings tell how much luck there is in them."""
        return len(side.errs) > 1 or (dataset, side.victim) in self.without_chance


def compare(
    matches: Sequence[ScoredMatch],
    clean: CleanErrors,
    cases: Sequence[Case],
    besides: Sequence[dict[str, Any]] = (),
    *,
    method: Method,
    seed: int,
) -> pd.DataFrame:
    """Set everything against everything that it can be compared with.

    Kinds of comparison: "attack", two attacks on one undefended victim, each at its largest eps; "victim", two
    undefended victims under one attack and eps; "defense", under one attack and eps too, a defended victim against the
    same one without the defense, and two defended ones in one setting; "clean", the same pairs without any attack;
    "budget", the L2 sizes of two attacks where both succeed; "needed", the L2 sizes that one attack which looks for the
    smallest change finds on two victims, where it turns both; "worst case", two classifiers at the headline budget,
    image by image under all attacks that were aimed at both; "replayed", under all images that were crafted on others.
    Error rates are over the images both sides saw; for targeted attacks the error is to give the target.

    Of victims that were trained several times, all trainings together are one side. Two victims differ where the
    difference exceeds the spread between seeds, too (`difference_over_seeds`); two attacks on one victim, or it and
    itself behind a defense, where they do in every training (`difference_in_every_training`). Where one of two victims
    was trained only once, the first trainings are compared as if there were no others, and the note says so.

    Two families of tests are declared beforehand and corrected after Holm, each by itself, over all data sets
    (`family`): worst cases, which a run is made for, are the primary one, all other kinds the secondary one. What is
    not like for like is in neither and gets no p-value.

    Parameters
    ----------
    matches : sequence of ScoredMatch
        Of several trainings `joined`, as cases are. In the order of the configuration; it decides the order of rows and
        which side is called a, nothing else.
    clean : dict
        From `scores.clean_errors`.
    cases : sequence of Case
        From `worst_case.worst_cases`.
    besides : sequence of dict
        More rows, from `attack_row`, `worst_case_row` and `replayed_row`.
    method : Method
        Comparisons are significant at what is missing to 1 of its confidence.
    seed : int
        Seed of the bootstrap.
    """
    confidence = method.confidence
    rows: list[dict[str, Any]] = []
    for pairing in _pairings(matches):
        if not pairing.reason:
            rows.append(_error_row(pairing, method))
            if pairing.kind == "attack":
                rows += _budget_rows("budget", pairing, confidence, seed)
            elif pairing.kind == "victim" and _looks_for_least(pairing.a.row):
                rows += _budget_rows("needed", pairing, confidence, seed)
    rows += _clean_rows(clean, method)
    rows += _worst_case_rows(cases, method)
    rows += besides

    for row in rows:
        row |= {"family": "", "holm_p": np.nan, "significant": False}
        if not row["like_for_like"]:
            row[_test(row)] = np.nan
        elif not np.isnan(row[_test(row)]):
            row["family"] = PRIMARY if row["kind"] == "worst case" else SECONDARY
    for name in (PRIMARY, SECONDARY):
        family = [row for row in rows if row["family"] == name]
        for row, p in zip(family, holm([row[_test(row)] for row in family]), strict=True):
            row |= {"holm_p": p, "significant": p < significance_level(confidence)}
    for row in rows:
        row["verdict"] = _verdict(row, confidence)
    return COMPARISONS.frame(rows)


def _test(row: dict[str, Any]) -> str:
    """The column that holds the p-value of a row's test."""
    over_seeds = max(row["seeds_a"], row["seeds_b"]) > 1
    return "wilcoxon_p" if row["kind"] in SIZED else "seeds_p" if over_seeds else "mcnemar_p"


def kept_apart(matches: Sequence[ScoredMatch]) -> list[dict[str, str]]:
    """What is not compared although it meets in one place, as a list of {what, reason}."""
    groups: dict[tuple[str, str], tuple[dict[str, None], dict[str, None]]] = {}
    for pairing in _pairings(matches):
        if pairing.reason:
            a, b = pairing.a.row, pairing.b.row
            place = f"{a['dataset']}, {b['victim']}" if pairing.kind == "attack" else f"{a['dataset']}"
            if pairing.kind != "attack":
                place += f" under {pairing.a.name}"
            names = ("attack", "attack") if pairing.kind == "attack" else ("victim", "victim")
            left, right = groups.setdefault((place, pairing.reason), ({}, {}))
            left[a[names[0]]], right[b[names[1]]] = None, None
    return [
        {"what": f"{place}: {', '.join(left)} apart from {', '.join(right)}", "reason": reason}
        for (place, reason), (left, right) in groups.items()
    ]


def _pairings(matches: Sequence[ScoredMatch]) -> Iterator[Pairing]:
    """Pairs of attacks, of victims, and of defended victims with themselves undefended and with each other."""
    undefended = {_key(match.row): match for match in matches if match.row["defense"] == "none"}
    headlines: dict[tuple[str, str], dict[str, ScoredMatch]] = {}
    met: dict[tuple[Any, ...], list[ScoredMatch]] = {}
    for match in undefended.values():
        attacks = headlines.setdefault((match.row["dataset"], match.row["victim"]), {})
        known = attacks.get(match.row["attack"])
        if known is None or match.row["eps"] > known.row["eps"]:
            attacks[match.row["attack"]] = match
        met.setdefault(_key(match.row | {"victim": ""}), []).append(match)
    for attacks in headlines.values():
        for a, b in combinations(attacks.values(), 2):
            yield _attack_pairing(a, b)
    for same in met.values():
        for a, b in combinations(same, 2):
            yield Pairing("victim", a, b, _no_shared_images(a, b))
    guarded: dict[tuple[Any, ...], list[ScoredMatch]] = {}
    for match in matches:
        if match.row["defense"] == "none":
            continue
        other = undefended.get(_key(match.row))
        if other is not None:
            yield Pairing("defense", match, other, _no_shared_images(match, other))
        guarded.setdefault((*_key(match.row | {"victim": ""}), match.row["setting"]), []).append(match)
    for same in guarded.values():
        for a, b in combinations(same, 2):
            yield Pairing("defense", a, b, _no_shared_images(a, b))


def _key(row: dict[str, Any]) -> tuple[Any, ...]:
    eps = None if np.isnan(row["eps"]) else row["eps"]
    return row["dataset"], row["victim"], row["attack"], eps


def attack_row(a: ScoredMatch, b: ScoredMatch, method: Method) -> dict[str, Any]:
    """Two attacks on one victim, on the images that both met."""
    return _error_row(_attack_pairing(a, b), method)


def _attack_pairing(a: ScoredMatch, b: ScoredMatch) -> Pairing:
    if a.trigger != b.trigger:
        reason = "a trigger works through what its victim was trained on, evasion through any victim's weakness"
        return Pairing("attack", *((a, b) if a.trigger else (b, a)), reason)
    if a.row["goal"] != b.row["goal"]:
        reason = "a targeted attack is scored on its target, an untargeted one on any error"
        return Pairing("attack", *((a, b) if a.row["goal"] == "targeted" else (b, a)), reason)
    if a.row["target"] != b.row["target"]:
        return Pairing("attack", a, b, "they aim at different targets")
    return Pairing("attack", a, b, _no_shared_images(a, b))


def _no_shared_images(a: ScoredMatch, b: ScoredMatch) -> str:
    return "" if len(a.images.index.intersection(b.images.index)) else "they share no test image"


def _error_row(pairing: Pairing, method: Method) -> dict[str, Any]:
    a, b = pairing.a.row, pairing.b.row
    like, note = _like_for_like(pairing)
    names = (pairing.a.name, pairing.b.name) if pairing.kind == "attack" else (_under_attack(a), _under_attack(b))
    if a["goal"] == "targeted":
        note.append("of all images of other classes: one that was not attacked is no hit")
    if a["setting"] == "oblivious":
        note.append("oblivious: made without knowing of the defense")
    sides = [
        Side(one.row["victim"], [each.images["wrong"] for each in one.trainings]) for one in (pairing.a, pairing.b)
    ]
    return {
        "dataset": a["dataset"],
        "kind": pairing.kind,
        "victim": "" if pairing.kind == "victim" else a["victim"],
        "attack": "" if pairing.kind == "attack" else a["attack"],
        "defense": a["defense"],
        "setting": a["setting"],
        "goal": a["goal"],
        **_sides(names, a, b),
        **_errors(a["dataset"], sides[0], sides[1], method, note),
        "like_for_like": like,
        "note": "; ".join(note),
    }


def _under_attack(row: dict[str, Any]) -> str:
    name = _behind(row["victim"], row["defense"])
    return name if row["defense"] == "none" else f"{name}, {row['setting']}"


def _sides(names: tuple[str, str], a: dict[str, Any], b: dict[str, Any]) -> dict[str, Any]:
    """Who stands on either side, for readers and for whoever looks a comparison up."""
    sides: dict[str, Any] = {"norm": a["norm"] if a["norm"] == b["norm"] else ""}
    for side, name, row in (("a", names[0], a), ("b", names[1], b)):
        sides[side] = name
        sides |= {f"{key}_{side}": row[key] for key in ("victim", "defense", "attack", "eps")}
    return sides


def _clean_rows(clean: CleanErrors, method: Method) -> Iterator[dict[str, Any]]:
    for a, b in combinations(clean, 2):
        (dataset, victim, defense), (place, other, none) = a, b
        if place != dataset or ("none" in (defense, none) and defense != none and victim != other):
            continue
        if defense == "none" and none != "none":  # the defended one is called a
            a, b = b, a
        bare = {"attack": "", "eps": np.nan, "norm": ""}
        sides = [bare | {"victim": name, "defense": by} for _, name, by in (a, b)]
        names = [_behind(name, by) for _, name, by in (a, b)]
        note: list[str] = []
        yield {
            "dataset": dataset,
            "kind": "clean",
            "victim": a[1],
            "attack": "",
            "defense": a[2],
            "setting": "clean",
            "goal": "",
            **_sides((names[0], names[1]), *sides),
            **_errors(dataset, Side(a[1], clean[a]), Side(b[1], clean[b]), method, note),
            "like_for_like": True,
            "note": "; ".join(note),
        }


def _worst_case_rows(cases: Sequence[Case], method: Method) -> Iterator[dict[str, Any]]:
    """Every two classifiers that were measured at the headline budget of their data set and norm."""
    measured = [case for case in cases if case.row["headline"] and case.measured and case.row["eps"] is not None]
    for one, other in combinations(measured, 2):
        if any(one.row[key] != other.row[key] for key in ("dataset", "norm", "eps")):
            continue
        yield worst_case_row(one, other, method)


def worst_case_row(one: Case, other: Case, method: Method) -> dict[str, Any]:
    """Two measured cases of one data set, norm and budget, under the attacks that were aimed at both."""
    held_a, held_b, attacks = in_common(one, other)
    row = _case_row("worst case", one, other) | {"like_for_like": not held_a[0].empty}
    if held_a[0].empty:
        why = "no image met all of them" if attacks else "no attack was aimed at both"
        return row | _nothing_measured() | {"note": why}
    note = [f"under {', '.join(attacks)}"]
    return row | _lost(one, other, held_a, held_b, method, note) | {"note": "; ".join(note)}


def replayed_row(one: Case, other: Case, without: Collection[str], method: Method) -> dict[str, Any]:
    """Two cases of one data set, norm and budget, under the images that were crafted on victims other than `without`.

    They must have such images in common.
    """
    held_a, held_b, sets = replayed_in_common(one, other, without)
    note = [f"under {', '.join(sets)}"]
    row = _case_row("replayed", one, other) | _lost(one, other, held_a, held_b, method, note)
    return row | {"like_for_like": True, "note": "; ".join(note)}


def _lost(
    one: Case, other: Case, held_a: list[pd.Series], held_b: list[pd.Series], method: Method, note: list[str]
) -> dict[str, Any]:
    """The comparison of what two classifiers lose, given what each training of theirs holds."""
    sides = [Side(case.row["victim"], [~series for series in held]) for case, held in ((one, held_a), (other, held_b))]
    return _errors(one.row["dataset"], sides[0], sides[1], method, note)


def _case_row(kind: str, one: Case, other: Case) -> dict[str, Any]:
    a, b = one.row | {"attack": ""}, other.row | {"attack": ""}
    names = [_behind(row["victim"], row["defense"]) for row in (a, b)]
    return {
        "dataset": a["dataset"],
        "kind": kind,
        "victim": a["victim"],
        "attack": "",
        "defense": a["defense"],
        "setting": kind,
        "goal": "untargeted",
        **_sides((names[0], names[1]), a, b),
    }


def seen_from(row: dict[str, Any], who: tuple[str, ...]) -> dict[str, Any]:
    """A comparison of error rates from one of its sides, so that differences say how far that side is ahead.

    Parameters
    ----------
    row : dict
        Of `statistics.tables.records`.
    who : tuple of str
        A side's victim and defense, and its attack where the sides differ in that.

    Returns
    -------
    dict
        n and accuracies (of this side and of the other, on what both met), ahead, low, high (fractions; paired), holm_p
        (None where no test was made; then there is only note beside it), significant, note.
    """
    if row["holm_p"] is None:
        return {"holm_p": None, "note": row["note"]}
    # Errors are compared, so a negative difference says that a is ahead.
    first = (row["victim_a"], row["defense_a"], row["attack_a"])[: len(who)] == who
    turn = -1 if first else 1
    low, high = sorted(turn * row[end] for end in ("paired_low", "paired_high"))
    rates = [1 - row["error_a"], 1 - row["error_b"]]
    return {
        "n": row["n_a"],
        "accuracies": rates if first else rates[::-1],
        "ahead": turn * row["difference"],
        "low": low,
        "high": high,
        **{key: row[key] for key in ("holm_p", "significant", "note")},
    }


def _behind(victim: str, defense: str) -> str:
    return victim if defense == "none" else f"{victim} behind {defense}"


def _nothing_measured() -> dict[str, Any]:
    rates = ("error_a", "error_b", "difference", "low", "high", "paired_low", "paired_high", "mcnemar_p", "seeds_p")
    return dict.fromkeys(rates, np.nan) | dict.fromkeys(("n_a", "n_b", "seeds_a", "seeds_b"), 0)


def _errors(dataset: str, a: Side, b: Side, method: Method, note: list[str]) -> dict[str, Any]:
    """Both sides' errors on the images that all of their trainings saw, and the test of their difference."""
    if max(len(a.errs), len(b.errs)) > 1 and not (method.repeated(dataset, a) and method.repeated(dataset, b)):
        many, once = (a, b) if len(a.errs) > 1 else (b, a)
        note.append(f"{once.victim} was trained once, so only the first training of {many.victim} is compared")
        a, b = Side(a.victim, a.errs[:1]), Side(b.victim, b.errs[:1])
    every = [*a.errs, *b.errs]
    shared = every[0].index
    for errs in every[1:]:
        shared = shared.intersection(errs.index)
    shared, n = shared.sort_values(), len(shared)
    if n < max(map(len, every)):
        note.append(f"on the {n} images both saw, of {max(map(len, a.errs))} and {max(map(len, b.errs))}")
    wrong_a, wrong_b = (
        np.array([errs.loc[shared].to_numpy(dtype=bool) for errs in side.errs], dtype=bool) for side in (a, b)
    )
    error_a, error_b = float(wrong_a.mean()), float(wrong_b.mean())
    image = wrong_a.mean(axis=0) - wrong_b.mean(axis=0)
    row = {
        "seeds_a": len(wrong_a),
        "seeds_b": len(wrong_b),
        "n_a": n,
        "n_b": n,
        "error_a": error_a,
        "error_b": error_b,
        "difference": error_a - error_b,
        "discordant_a": int((image > 0).sum()),
        "discordant_b": int((image < 0).sum()),
    }
    if len(every) > 2:
        within = a.victim == b.victim
        if within:
            note.append(IN_EVERY_TRAINING)
        over = (difference_in_every_training if within else difference_over_seeds)(wrong_a, wrong_b, method.confidence)
        deviations = {
            f"deviation_{side}": float(wrong.mean(axis=1).std(ddof=1))
            for side, wrong in (("a", wrong_a), ("b", wrong_b))
            if len(wrong) > 1
        }
        return row | deviations | {"paired_low": over.low, "paired_high": over.high, "seeds_p": over.p}
    low, high = difference_of_error_rates(error_a, error_b, n, n, method.confidence)
    paired_low, paired_high = paired_interval(wrong_a[0], wrong_b[0], method.confidence)
    *_, p = mcnemar_exact(wrong_a[0], wrong_b[0])
    return row | {
        "low": low,
        "high": high,
        "paired_low": paired_low,
        "paired_high": paired_high,
        "mcnemar_p": p,
    }


def _looks_for_least(row: dict[str, Any]) -> bool:
    """Whether an attack looks for the smallest L2 change to any other class."""
    return (row["budget"], row["norm"], row["goal"]) == ("minimal", "2", "untargeted")


def _budget_rows(kind: str, pairing: Pairing, confidence: float, seed: int) -> Iterator[dict[str, Any]]:
    """The comparison of L2 sizes, if any image was turned on both sides, and in every training.

    Of several trainings each is tested by itself, and what counts is the weakest: the largest p and an interval that
    holds all of theirs, so that a verdict speaks of every one of them. Of two victims, of which one was trained once,
    the first trainings are compared; two that were both trained several times are not, since nothing here says how
    sizes spread between trainings.
    """
    a, b = pairing.a.row, pairing.b.row
    names = (pairing.a.name, pairing.b.name) if kind == "budget" else (_under_attack(a), _under_attack(b))
    # The seed's names are sorted, so that a run with the attacks in another order resamples the same images.
    place = (a["dataset"], a["victim"] if kind == "budget" else pairing.a.name)
    own_seed = derive_seed(seed, kind, *place, *sorted(names))
    trainings_a, trainings_b, above = pairing.a.trainings, pairing.b.trainings, list[str]()
    if kind == "needed" and max(len(trainings_a), len(trainings_b)) > 1:
        if min(len(trainings_a), len(trainings_b)) > 1:
            return
        many, once = names if len(trainings_a) > 1 else names[::-1]
        above.append(f"{once} was trained once, so only the first training of {many} is compared")
        trainings_a, trainings_b = trainings_a[:1], trainings_b[:1]
    found, sizes = [], []
    for one, other in zip(trainings_a, trainings_b, strict=True):
        fooled = one.images.merge(other.images, on="index", suffixes=("_a", "_b")).sort_index()
        fooled = fooled[fooled["success_a"] & fooled["success_b"]]
        if fooled.empty:
            return
        found.append(compare_budgets(fooled["l2_a"], fooled["l2_b"], confidence=confidence, seed=own_seed))
        sizes.append((len(fooled), fooled["l2_a"].median(), fooled["l2_b"].median()))
    like, note = _like_for_like(pairing)
    note += above
    if len(found) > 1:
        note.append(IN_EVERY_TRAINING)
    counts, medians_a, medians_b = zip(*sizes, strict=True)
    ranks = [one.rank_correlation for one in found]
    agree = min(ranks) > 0 or max(ranks) < 0
    yield {
        "dataset": a["dataset"],
        "kind": kind,
        "victim": a["victim"] if kind == "budget" else "",
        "attack": "" if kind == "budget" else a["attack"],
        "defense": a["defense"],
        "setting": a["setting"],
        "goal": a["goal"],
        **_sides(names, a, b),
        "seeds_a": len(found),
        "seeds_b": len(found),
        "n_a": min(counts),
        "n_b": min(counts),
        "low": np.min([one.low for one in found]),
        "high": np.max([one.high for one in found]),
        "median_l2_a": np.mean(medians_a),
        "median_l2_b": np.mean(medians_b),
        "median_difference": np.mean([one.median_difference for one in found]),
        "rank_correlation": min(ranks, key=abs) if agree or len(ranks) == 1 else 0.0,
        "wilcoxon_p": max(one.p for one in found),
        "like_for_like": like,
        "note": "; ".join([*note, "L2 on images that were turned on both sides"]),
    }


def _like_for_like(pairing: Pairing) -> tuple[bool, list[str]]:
    """Whether both sides had the same budget, and what else a reader should know."""
    a, b = pairing.a.row, pairing.b.row
    budgets = [_budget(a), _budget(b)]
    note = [] if budgets[0] == budgets[1] else [f"budgets differ: {budgets[0]} against {budgets[1]}"]
    if not note and pairing.kind == "attack" and a["budget"] == "fixed" and np.isnan(a["eps"]):
        # A patch, say: how much it may change is a matter of its own parameters.
        note.append("no budget in common: neither attack has an eps")
    like = not note
    if a["sees"] != b["sees"]:
        note.append(f"knowledge differs: {a['sees']} against {b['sees']}")
    return like, note


def _budget(row: dict[str, Any]) -> str:
    norm = f"L{row['norm']}"
    return f"{row['budget']} {norm}" if np.isnan(row["eps"]) else f"eps {row['eps']:.4g} ({norm})"


def _verdict(row: dict[str, Any], confidence: float) -> str:
    """What a row says; it rests on the numbers of that row alone."""
    if not row["like_for_like"]:
        return "not tested: not like for like"
    if row["kind"] in SIZED:
        interval, ranks = (row["low"], row["high"]), row["rank_correlation"]
        sizes = (row["median_difference"], interval, row["holm_p"], ranks, confidence)
        larger = "changes images more than" if row["kind"] == "budget" else "needs larger changes than"
        return budget_verdict(row["a"], row["b"], *sizes, larger)
    if row["goal"] == "targeted":
        errs = "hits its target more often than" if row["kind"] == "attack" else "gives the target more often than"
    elif row["kind"] in ("worst case", "replayed"):
        errs = "loses more images than"
    else:
        errs = "causes more errors than" if row["kind"] == "attack" else "errs more than"
    interval = (row["paired_low"], row["paired_high"])
    errors, of = (row["error_a"], row["error_b"]), "paired"
    if _test(row) == "seeds_p":
        of = "widest paired" if row["victim_a"] == row["victim_b"] else "seed-and-image"
    return verdict(row["a"], row["b"], *errors, interval, row["holm_p"], confidence, errs, of)
