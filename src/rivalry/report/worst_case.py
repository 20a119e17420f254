"""The headline: how many images survive every attack that was tried at a budget.

An image counts as held only when the classifier is right about it (or refuses it once attacked) under *all*
attacks of one norm within the budget. Norms are never averaged or mixed.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from rivalry import artifacts
from rivalry.statistics.rates import wilson_interval

DISTANCES = {"inf": "linf", "2": "l2", "0": "l0"}
TOLERANCE = 1e-6


def worst_cases(
    results: Path, *, dataset: str, plan: dict[str, list], confidence: float
) -> list[dict[str, Any]]:
    """Accuracy against the worst attack per image, for every victim, defense, norm and budget.

    A victim without defense is judged by the attacks on it; a defended one by its adaptive and its oblivious
    examples together, and only when adaptive ones exist. Backdoor triggers are left out: they need a poisoned
    training set, so they are another threat model.

    Returns
    -------
    list of dict
        dataset, victim, defense, norm, eps (None: without limit), attacks, n, clean_accuracy, accuracy, low, high
        (fractions; Wilson interval), median_distance (per image the smallest perturbation that any attack needed;
        None unless it fooled more than half of the images that were classified correctly).
    """
    cases = []
    facts = {
        (victim, attack): artifacts.read_json(results / "attacks" / dataset / victim / attack / "attack.json")
        for where, victim, attack in plan["attacks"]
        if where == dataset
    }
    kinds = {attack: fact for (_, attack), fact in facts.items() if "poisoning" not in fact["parameters"]}
    for where, victim in plan["victims"]:
        if where != dataset:
            continue
        frames = [
            artifacts.read_table(results / "attacks" / dataset / victim / attack / "scores.parquet").assign(
                attack=attack, held=lambda t: t["prediction"] == t["label"]
            )
            for name, attack in facts
            if name == victim and attack in kinds
        ]
        if frames:
            table = pd.concat(frames, ignore_index=True)
            clean = table.groupby("index")["clean_correct"].first()
            cases += _per_norm(
                table, clean, kinds, confidence, {"dataset": dataset, "victim": victim, "defense": "none"}
            )
    for where, victim, defense in plan["evaluations"]:
        if where != dataset:
            continue
        table = artifacts.read_table(results / "evaluations" / dataset / victim / defense / "scores.parquet")
        calm = table[table["setting"] == "clean"].set_index("index")
        clean = (calm["prediction"] == calm["label"]) & ~calm["flagged"].astype(bool)
        adaptive = table.loc[table["setting"] == "adaptive", "attack"].unique()
        table = table[table["attack"].isin(adaptive) & table["attack"].isin(list(kinds))]
        if len(table):
            table = table.assign(held=(table["prediction"] == table["label"]) | table["flagged"].astype(bool))
            cases += _per_norm(
                table, clean, kinds, confidence, {"dataset": dataset, "victim": victim, "defense": defense}
            )
    return cases


def _per_norm(
    table: pd.DataFrame, clean: pd.Series, kinds: dict[str, dict], confidence: float, subject: dict[str, str]
) -> list[dict[str, Any]]:
    cases = []
    norms = table["attack"].map({name: str(fact["norm"]) for name, fact in kinds.items()})
    for norm, part in table.groupby(norms):
        if norm not in DISTANCES:
            continue
        # Only images that every attack met: a missing row must not count as survival.
        met = part.groupby("index")["attack"].nunique()
        images = clean.index.intersection(met[met == part["attack"].nunique()].index)
        right = clean.loc[images].astype(bool)
        fooled = part[~part["held"] & part["index"].isin(images[right])]
        distance = fooled.groupby("index")[DISTANCES[str(norm)]].min().reindex(images, fill_value=np.inf)
        for eps in [*sorted(part["eps"].dropna().unique()), None]:
            if eps is None and not part["eps"].isna().any():
                continue
            # A fixed-budget attack is judged by its budget; one without budget by the perturbation it needed.
            spent = fooled["eps"].fillna(fooled[DISTANCES[str(norm)]])
            lost = set(fooled.loc[spent <= (np.inf if eps is None else eps + TOLERANCE), "index"])
            held = int((right & ~images.isin(list(lost))).sum())
            low, high = wilson_interval(held, len(images), confidence)
            median = float(np.median(distance[right])) if right.any() else np.inf
            cases.append(
                subject
                | {
                    "norm": norm,
                    "eps": None if eps is None else float(eps),
                    "attacks": sorted(part["attack"].unique()),
                    "n": len(images),
                    "clean_accuracy": float(right.mean()),
                    "accuracy": held / len(images),
                    "low": float(low),
                    "high": float(high),
                    "median_distance": median if np.isfinite(median) else None,
                }
            )
    return cases
