"""The headline: how many images survive every attack that was tried at a budget.

An image counts as held only when the classifier is right about it (or refuses it once attacked) under *all*
attacks of one norm within the budget. Norms are never averaged or mixed.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from rivalry import artifacts
from rivalry.statistics.rates import wilson_interval

DISTANCES = {"inf": "linf", "2": "l2", "0": "l0"}
TOLERANCE = 1e-6


def headline_budget(budgets: Iterable[float]) -> float:
    """The budget to compare classifiers at, given that of each of their cases: the one that most of them met.

    Of several such, the largest. A budget that only one victim met compares nothing.
    """
    met = Counter(budgets)
    return max(met, key=lambda eps: (met[eps], eps))


def worst_cases(results: Path, *, dataset: str, plan: dict[str, list], confidence: float) -> list[dict[str, Any]]:
    """Accuracy against the worst attack per image, for every victim, defense, norm and budget.

    A victim without defense is judged by the attacks on it; a defended one by its adaptive and its oblivious
    examples together, and only when adaptive ones exist. Backdoor triggers are left out: they need a poisoned
    training set, so they are another threat model.

    Returns
    -------
    list of dict
        dataset, victim, defense, norm, eps (None: without limit), attacks, n, clean_accuracy, accuracy, low, high
        (fractions; Wilson interval), median_distance (per image the smallest perturbation that any attack needed;
        None unless it fooled more than half of the images that were classified correctly). For a defended victim
        also `without`: the same case without the defense, under the same attacks; None where there is none.
        `fewer`: where slow attacks met fewer images, the case of all attacks on the images that all of them met,
        with `before`, the accuracy there without the slow ones; the case itself then leaves them out.
    """
    cases = []
    met = [tuple(entry[1:]) for entry in plan["attacks"] if entry[0] == dataset]
    facts = {
        attack: artifacts.read_json(results / "attacks" / dataset / victim / attack / "attack.json")
        for victim, attack in reversed(met)
    }
    norms = {name: str(fact["norm"]) for name, fact in facts.items() if "poisoning" not in fact["parameters"]}
    bare = {}
    for victim in dict.fromkeys(victim for victim, attack in met if attack in norms):
        attacks = [attack for name, attack in met if name == victim and attack in norms]
        bare[victim] = _undefended(results / "attacks" / dataset / victim, attacks)
        found = _per_norm(bare[victim], bare[victim].groupby("index")["clean_correct"].first(), norms, confidence)
        cases += [{"dataset": dataset, "victim": victim, "defense": "none"} | case for case in found]
    for where, victim, defense in plan["evaluations"]:
        if where != dataset:
            continue
        table = artifacts.read_table(results / "evaluations" / dataset / victim / defense / "scores.parquet")
        calm = table[table["setting"] == "clean"].set_index("index")
        clean = (calm["prediction"] == calm["label"]) & ~calm["flagged"].astype(bool)
        adaptive = table.loc[table["setting"] == "adaptive", "attack"].unique()
        table = table[table["attack"].isin(adaptive) & table["attack"].isin(norms)]
        table = table.assign(held=(table["prediction"] == table["label"]) | table["flagged"].astype(bool))
        same = bare[victim][bare[victim]["attack"].isin(adaptive)] if victim in bare else table[:0]
        without = (
            {
                (case["norm"], case["eps"]): case
                for case in _per_norm(same, same.groupby("index")["clean_correct"].first(), norms, confidence)
            }
            if len(same)
            else {}
        )
        for case in _per_norm(table, clean, norms, confidence):
            case |= {"dataset": dataset, "victim": victim, "defense": defense}
            cases.append(case | {"without": without.get((case["norm"], case["eps"]))})
    return cases


def _undefended(folder: Path, attacks: list[str]) -> pd.DataFrame:
    """The scores of several attacks on one victim, one below the other."""
    frames = [artifacts.read_table(folder / attack / "scores.parquet").assign(attack=attack) for attack in attacks]
    table = pd.concat(frames, ignore_index=True)
    return table.assign(held=table["prediction"] == table["label"])


def _per_norm(table: pd.DataFrame, clean: pd.Series, norms: dict[str, str], confidence: float) -> list[dict[str, Any]]:
    """The worst cases in a table of attacked images (attack, eps, index, held, lengths), for each norm and eps.

    `clean` says of each image whether it is classified correctly (and not refused) without an attack.
    """
    cases = []
    for norm, part in table.groupby(table["attack"].map(norms)):
        if norm not in DISTANCES:
            continue
        met = part.groupby("attack")["index"].nunique()
        thorough = part[part["attack"].isin(met.index[met == met.max()])]
        for eps in [*sorted(part["eps"].dropna().unique()), None]:
            if eps is None and not part["eps"].isna().any():
                continue
            case = _case(thorough, clean, str(norm), eps, confidence)
            fewer = None
            if len(thorough) < len(part):
                fewer = _case(part, clean, str(norm), eps, confidence)
                same = thorough[thorough["index"].isin(_shared(part, clean))]
                fewer["before"] = _case(same, clean, str(norm), eps, confidence)["accuracy"]
            cases.append({"norm": norm, "eps": None if eps is None else float(eps), **case, "fewer": fewer})
    return cases


def _shared(part: pd.DataFrame, clean: pd.Series) -> pd.Index:
    """The images that every attack met: a missing row must not count as survival."""
    met = part.groupby("index")["attack"].nunique()
    return clean.index.intersection(met[met == part["attack"].nunique()].index)


def _case(part: pd.DataFrame, clean: pd.Series, norm: str, eps: float | None, confidence: float) -> dict[str, Any]:
    """The worst case per image over all attacks of `part`, within `eps` (None: of any size)."""
    images = _shared(part, clean)
    right = clean.loc[images].astype(bool)
    fooled = part[~part["held"] & part["index"].isin(images[right])]
    distance = fooled.groupby("index")[DISTANCES[norm]].min().reindex(images, fill_value=np.inf)
    # A fixed-budget attack is judged by its budget; one without budget by the perturbation it needed.
    spent = fooled["eps"].fillna(fooled[DISTANCES[norm]])
    lost = set(fooled.loc[spent <= (np.inf if eps is None else eps + TOLERANCE), "index"])
    held = int((right & ~images.isin(list(lost))).sum())
    low, high = wilson_interval(held, len(images), confidence)
    median = float(np.median(distance[right])) if right.any() else np.inf
    return {
        "attacks": sorted(part["attack"].unique()),
        "n": len(images),
        "clean_accuracy": float(right.mean()),
        "accuracy": held / len(images),
        "low": float(low),
        "high": float(high),
        "median_distance": median if np.isfinite(median) else None,
    }
