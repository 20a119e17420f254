"""The family of all comparisons of a run, each with both intervals, its test and what it says."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import Any

import numpy as np
import pandas as pd

from rivalry.seeds import derive_seed
from rivalry.statistics.budgets import compare_budgets
from rivalry.statistics.paired import holm, mcnemar_exact, paired_interval
from rivalry.statistics.rates import difference_of_error_rates, verdict
from rivalry.statistics.scores import Match

COLUMNS = [
    *(
        "dataset",
        "kind",
        "victim",
        "attack",
        "defense",
        "setting",
        "goal",
        "a",
        "b",
        "eps_a",
        "eps_b",
        "n_a",
        "n_b",
    ),
    *(
        "error_a",
        "error_b",
        "difference",
        "low",
        "high",
        "paired_low",
        "paired_high",
        "discordant_a",
        "discordant_b",
    ),
    *("mcnemar_p", "median_l2_a", "median_l2_b", "median_difference", "wilcoxon_p", "holm_p", "significant"),
    *("verdict", "like_for_like", "note"),
]

CleanErrors = dict[tuple[str, str, str], pd.Series]


@dataclass(frozen=True)
class Pairing:
    """Two matches that differ in one thing only (`kind`), and why they are not compared, if they are not."""

    kind: str
    a: Match
    b: Match
    reason: str = ""


def first_victims(victims: Sequence[Sequence[str]]) -> dict[str, str]:
    """The first victim of each data set, among (data set, victim) in the order of the configuration."""
    return {names[0]: names[1] for names in reversed(victims)}


def compare(
    matches: Sequence[Match], clean: CleanErrors, baselines: dict[str, str], *, confidence: float, seed: int
) -> pd.DataFrame:
    """Set everything against everything that it can be compared with.

    Kinds of comparison: "attack", two attacks on one undefended victim, each at its largest eps; "victim",
    a victim against the data set's first under one attack and eps; "defense", a defended victim against the
    same one without the defense; "clean", the same two without any attack; "budget", the L2 sizes of two
    attacks where both succeed. All p-values of all kinds and data sets are one family, corrected after
    Holm. Error rates are over the images both sides saw; for targeted attacks the error is to give the
    target.

    Parameters
    ----------
    matches : sequence of Match
        In the order of the configuration; it decides the order of rows and which side is called a, nothing
        else.
    clean : dict
        From `scores.clean_errors`.
    baselines : dict
        The victim of each data set that its other victims are set against.
    confidence : float
        Coverage of all intervals; comparisons are significant at what is missing to 1.
    seed : int
        Seed of the bootstrap.
    """
    rows: list[dict[str, Any]] = []
    for pairing in _pairings(matches, baselines):
        if not pairing.reason:
            rows.append(_error_row(pairing, confidence))
            if pairing.kind == "attack":
                rows += _budget_rows(pairing, confidence, seed)
    rows += _clean_rows(clean, baselines, confidence)

    tests = [row["wilcoxon_p"] if row["kind"] == "budget" else row["mcnemar_p"] for row in rows]
    for row, p in zip(rows, holm(tests), strict=True):
        row |= {"holm_p": p, "significant": p < 1 - confidence}
        row["verdict"] = _budget_verdict(row) if row["kind"] == "budget" else _error_verdict(row, confidence)
    counts = {"discordant_a": "Int64", "discordant_b": "Int64"}
    return pd.DataFrame(rows, columns=COLUMNS).astype(counts)


def kept_apart(matches: Sequence[Match], baselines: dict[str, str]) -> list[dict[str, str]]:
    """What is not compared although it meets in one place, as a list of {what, reason}.

    Parameters
    ----------
    matches : sequence of Match
        All matches of the run.
    baselines : dict
        The first victim of each data set.
    """
    groups: dict[tuple[str, str], tuple[dict[str, None], dict[str, None]]] = {}
    for pairing in _pairings(matches, baselines):
        if pairing.reason:
            a, b = pairing.a.row, pairing.b.row
            place = f"{a['dataset']}, {b['victim']}"
            if pairing.kind != "attack":
                place += f" under {pairing.a.name}"
            names = ("attack", "attack") if pairing.kind == "attack" else ("victim", "victim")
            left, right = groups.setdefault((place, pairing.reason), ({}, {}))
            left[a[names[0]]], right[b[names[1]]] = None, None
    return [
        {"what": f"{place}: {', '.join(left)} apart from {', '.join(right)}", "reason": reason}
        for (place, reason), (left, right) in groups.items()
    ]


def _pairings(matches: Sequence[Match], baselines: dict[str, str]) -> Iterator[Pairing]:
    """Pairs of attacks, of victims, and of defended and undefended victims."""
    undefended = {_key(match.row): match for match in matches if match.row["defense"] == "none"}
    headlines: dict[tuple[str, str], dict[str, Match]] = {}
    for match in undefended.values():
        attacks = headlines.setdefault((match.row["dataset"], match.row["victim"]), {})
        known = attacks.get(match.row["attack"])
        if known is None or match.row["eps"] > known.row["eps"]:
            attacks[match.row["attack"]] = match
    for attacks in headlines.values():
        for a, b in combinations(attacks.values(), 2):
            yield _attack_pairing(a, b)
    for match in matches:
        row = match.row
        baseline = baselines[row["dataset"]]
        if row["defense"] != "none":
            other, kind = undefended.get(_key(row)), "defense"
        elif row["victim"] != baseline:
            other, kind = undefended.get(_key(row | {"victim": baseline})), "victim"
        else:
            continue
        if other is not None:
            yield Pairing(kind, match, other, _no_shared_images(match, other))


def _key(row: dict[str, Any]) -> tuple[Any, ...]:
    eps = None if np.isnan(row["eps"]) else row["eps"]
    return row["dataset"], row["victim"], row["attack"], eps


def _attack_pairing(a: Match, b: Match) -> Pairing:
    if a.trigger != b.trigger:
        reason = "a trigger works through what its victim was trained on, evasion through any victim's weakness"
        return Pairing("attack", *((a, b) if a.trigger else (b, a)), reason)
    if a.row["goal"] != b.row["goal"]:
        reason = "a targeted attack is scored on its target, an untargeted one on any error"
        return Pairing("attack", *((a, b) if a.row["goal"] == "targeted" else (b, a)), reason)
    if a.row["target"] != b.row["target"]:
        return Pairing("attack", a, b, "they aim at different targets")
    return Pairing("attack", a, b, _no_shared_images(a, b))


def _no_shared_images(a: Match, b: Match) -> str:
    return "" if len(a.images.index.intersection(b.images.index)) else "they share no test image"


def _error_row(pairing: Pairing, confidence: float) -> dict[str, Any]:
    a, b = pairing.a.row, pairing.b.row
    like, note = _like_for_like(a, b)
    names = {
        "attack": (pairing.a.name, pairing.b.name),
        "victim": (a["victim"], b["victim"]),
        "defense": (f"{a['victim']} behind {a['defense']}, {a['setting']}", b["victim"]),
    }[pairing.kind]
    if a["setting"] == "oblivious":
        note.append("oblivious: made without knowing of the defense")
    return {
        "dataset": a["dataset"],
        "kind": pairing.kind,
        "victim": "" if pairing.kind == "victim" else a["victim"],
        "attack": "" if pairing.kind == "attack" else a["attack"],
        "defense": a["defense"],
        "setting": a["setting"],
        "goal": a["goal"],
        "a": names[0],
        "b": names[1],
        "eps_a": a["eps"],
        "eps_b": b["eps"],
        **_errors(pairing.a.images["wrong"], pairing.b.images["wrong"], confidence, note),
        "like_for_like": like,
        "note": "; ".join(note),
    }


def _clean_rows(clean: CleanErrors, baselines: dict[str, str], confidence: float) -> Iterator[dict[str, Any]]:
    for (dataset, victim, defense), wrong in clean.items():
        if defense == "none" and victim == baselines[dataset]:
            continue
        name, other = (victim, baselines[dataset]) if defense == "none" else (f"{victim} behind {defense}", victim)
        note: list[str] = []
        yield {
            "dataset": dataset,
            "kind": "clean",
            "victim": victim,
            "attack": "",
            "defense": defense,
            "setting": "clean",
            "goal": "",
            "a": name,
            "b": other,
            "eps_a": np.nan,
            "eps_b": np.nan,
            **_errors(wrong, clean[dataset, other, "none"], confidence, note),
            "like_for_like": True,
            "note": "; ".join(note),
        }


def _errors(a: pd.Series, b: pd.Series, confidence: float, note: list[str]) -> dict[str, Any]:
    shared = a.index.intersection(b.index).sort_values()
    n = len(shared)
    if n < max(len(a), len(b)):
        note.append(f"on the {n} images both saw, of {len(a)} and {len(b)}")
    wrong_a, wrong_b = a.loc[shared].to_numpy(dtype=bool), b.loc[shared].to_numpy(dtype=bool)
    error_a, error_b = float(wrong_a.mean()), float(wrong_b.mean())
    low, high = difference_of_error_rates(error_a, error_b, n, n, confidence)
    paired_low, paired_high = paired_interval(wrong_a, wrong_b, confidence)
    only_a, only_b, p = mcnemar_exact(wrong_a, wrong_b)
    return {
        "n_a": n,
        "n_b": n,
        "error_a": error_a,
        "error_b": error_b,
        "difference": error_a - error_b,
        "low": low,
        "high": high,
        "paired_low": paired_low,
        "paired_high": paired_high,
        "discordant_a": only_a,
        "discordant_b": only_b,
        "mcnemar_p": p,
    }


def _budget_rows(pairing: Pairing, confidence: float, seed: int) -> Iterator[dict[str, Any]]:
    """The comparison of L2 sizes, if any image was fooled by both attacks."""
    a, b = pairing.a.row, pairing.b.row
    fooled = pairing.a.images.merge(pairing.b.images, on="index", suffixes=("_a", "_b")).sort_index()
    fooled = fooled[fooled["success_a"] & fooled["success_b"]]
    if fooled.empty:
        return
    # The seed's names are sorted, so that a run with the attacks in another order resamples the same images.
    own_seed = derive_seed(seed, "budget", a["dataset"], a["victim"], *sorted([pairing.a.name, pairing.b.name]))
    compared = compare_budgets(fooled["l2_a"], fooled["l2_b"], confidence=confidence, seed=own_seed)
    like, note = _like_for_like(a, b)
    yield {
        "dataset": a["dataset"],
        "kind": "budget",
        "victim": a["victim"],
        "attack": "",
        "defense": a["defense"],
        "setting": a["setting"],
        "goal": a["goal"],
        "a": pairing.a.name,
        "b": pairing.b.name,
        "eps_a": a["eps"],
        "eps_b": b["eps"],
        "n_a": len(fooled),
        "n_b": len(fooled),
        "low": compared.low,
        "high": compared.high,
        "median_l2_a": fooled["l2_a"].median(),
        "median_l2_b": fooled["l2_b"].median(),
        "median_difference": compared.median_difference,
        "wilcoxon_p": compared.p,
        "like_for_like": like,
        "note": "; ".join([*note, "L2 on images that both fooled"]),
    }


def _like_for_like(a: dict[str, Any], b: dict[str, Any]) -> tuple[bool, list[str]]:
    """Whether both sides had the same budget, and what else a reader should know."""
    budgets = [_budget(a), _budget(b)]
    note = [] if budgets[0] == budgets[1] else [f"budgets differ: {budgets[0]} against {budgets[1]}"]
    if a["sees"] != b["sees"]:
        note.append(f"knowledge differs: {a['sees']} against {b['sees']}")
    return budgets[0] == budgets[1], note


def _budget(row: dict[str, Any]) -> str:
    norm = f"L{row['norm']}"
    return f"{row['budget']} {norm}" if np.isnan(row["eps"]) else f"eps {row['eps']:.4g} ({norm})"


def _error_verdict(row: dict[str, Any], confidence: float) -> str:
    if row["goal"] == "targeted":
        errs = "hits its target more often than" if row["kind"] == "attack" else "gives the target more often than"
    else:
        errs = "causes more errors than" if row["kind"] == "attack" else "errs more than"
    interval = (row["low"], row["high"])
    return verdict(row["a"], row["b"], row["error_a"], row["error_b"], interval, row["holm_p"], confidence, errs)


def _budget_verdict(row: dict[str, Any]) -> str:
    a, b = (row["a"], row["median_l2_a"]), (row["b"], row["median_l2_b"])
    if not row["significant"] or row["median_difference"] == 0:
        size = abs(row["median_difference"])
        return f"not distinguishable: median difference {size:.3g}, p = {row['holm_p']:.2g}"
    (more, high), (less, low) = (a, b) if row["median_difference"] > 0 else (b, a)
    return f"{more} changes images more than {less} (median L2 {high:.3g} against {low:.3g})"
