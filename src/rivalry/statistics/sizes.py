"""Whether defenses catch larger changes more easily: what is flagged or smoothed away, against how large it is.

Looked at are adversarial images that were made without knowing the defense and that fool the undefended victim, of
those that the defended one has right when they are unchanged: no change is to blame for what it loses anyway. A
detector catches one by flagging it; a preprocessor, by bringing it back to its class. Rank correlations (Spearman)
of the size of a change with whether it is caught are over images, all attacks together, as well as over attacks, of
each its mean size and the share that is caught. What images say and what attacks say may differ: attacks differ in more
than the size of their changes.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike
from scipy.stats import rankdata, spearmanr

from rivalry.artifacts import read_json, read_table
from rivalry.layout import Layout, trained
from rivalry.seeds import derive_seed
from rivalry.statistics.rates import normal_quantile, wilson_interval

Row = dict[str, Any]

SIZES = ("l2", "linf", "l2_channels", "linf_channels")
"""How large a change is: its norms, and the sums over channels of each channel's norm."""
RESAMPLES = 500
"""Bootstrap samples behind an interval over images."""
NEGLIGIBLE = 0.1
"""What Cohen (1988) calls a small correlation; below it, size explains less than 1 % of what is caught."""
FEWEST_IMAGES = 10
"""Images that must be caught, and that must not be, for a correlation over images: of fewer, each decides it."""
FEWEST = 4
"""Attacks from which on a correlation over attacks has an interval."""


def caught(layout: Layout, plan: Mapping[str, Any]) -> dict[tuple[str, str, str], pd.DataFrame]:
    """The images that were looked at, by data set, victim and defense; of a victim's first training.

    One row an image, attack and eps: attack, eps, index, caught, and the SIZES.
    """
    found: dict[tuple[str, str, str], pd.DataFrame] = {}
    for dataset, victim, defense in plan["evaluations"]:
        if trained(victim)[1] != 1:
            continue
        kind = read_json(layout.defense(dataset, victim, defense).facts)["kind"]
        if kind == "transformer":  # another network, which looks at no change
            continue
        scores = read_table(layout.evaluation(dataset, victim, defense)["scores"])
        parts = [pd.DataFrame(columns=["attack", "eps", "index", "caught", *SIZES])]
        for attack, rows in scores[scores["setting"] == "oblivious"].groupby("attack", sort=False):
            place = layout.attack(dataset, victim, str(attack))
            facts = read_json(place.facts)
            if facts["sees"] == "nothing" or "poisoning" in facts["parameters"]:
                continue
            before = read_table(place["scores"])[["index", "eps", "success"]]
            rows = rows.drop(columns="success").merge(before, on=["index", "eps"])
            rows = rows[rows["success"].astype(bool) & rows["clean_handled"].astype(bool)]
            right = rows["prediction"] == rows["label"]
            parts.append(rows.assign(caught=rows["flagged"] if kind == "detector" else right)[parts[0].columns])
        table = pd.concat([part for part in parts if len(part)] or parts, ignore_index=True)
        if len(table):
            found[dataset, victim, defense] = table.astype({"caught": bool})
    return found


def points(images: Mapping[tuple[str, str, str], pd.DataFrame], confidence: float) -> Iterator[Row]:
    """The rows of sizes.csv, one for each defense, attack and eps: mean sizes of n images, and the share caught."""
    for (dataset, victim, defense), table in images.items():
        for (attack, eps), rows in table.groupby(["attack", "eps"], sort=False, dropna=False):
            low, high = wilson_interval(int(rows["caught"].sum()), len(rows), confidence)
            yield {
                **{"dataset": dataset, "victim": victim, "defense": defense, "attack": attack, "eps": eps},
                **{f"mean_{size}": float(rows[size].mean()) for size in SIZES},
                **{"n": len(rows), "caught": float(rows["caught"].mean()), "low": low, "high": high},
            }


def correlations(images: Mapping[tuple[str, str, str], pd.DataFrame], confidence: float, seed: int) -> Iterator[Row]:
    """The rows of size_correlations.csv: rank correlations of size and being caught, each with an interval.

    `over` says of what: images, with a bootstrap over them (an image's changes by all attacks are drawn together); or
    attacks, with the interval of Bonett and Wright (2000), which takes four.
    """
    for (dataset, victim, defense), table in images.items():
        of_attacks = table.groupby(["attack", "eps"], sort=False, dropna=False)[[*SIZES, "caught"]].mean()
        of_images: dict[bytes, tuple[float, float]] = {}
        for size in SIZES:
            about = {"dataset": dataset, "victim": victim, "defense": defense, "size": size}
            ranks = rankdata(table[size]).tobytes()
            if ranks not in of_images:  # of grey images, sums over channels are the norms themselves
                rng = np.random.default_rng(derive_seed(seed, f"{dataset} {victim} {defense}"))
                of_images[ranks] = bootstrapped(table[size], table["caught"], table["index"], confidence, rng)
            hits = int(table["caught"].sum())
            few = min(hits, len(table) - hits) < FEWEST_IMAGES
            ends = (math.nan, math.nan) if few else of_images[ranks]
            yield about | {"over": "images", "n": len(table), **_told(table[size], table["caught"], ends)}
            rho = spearman(of_attacks[size], of_attacks["caught"])
            ends = rank_interval(rho, len(of_attacks), confidence)
            yield about | {
                "over": "attacks",
                "n": len(of_attacks),
                **_told(of_attacks[size], of_attacks["caught"], ends),
            }


def _told(sizes: pd.Series, hits: pd.Series, ends: tuple[float, float]) -> Row:
    return {"rho": spearman(sizes, hits), "low": ends[0], "high": ends[1], "verdict": said(*ends)}


def said(low: float, high: float) -> str:
    """What the interval of a correlation says of the claim that larger changes are caught more easily.

    Over many images the interval can leave out 0 although the correlation is of no use: one within NEGLIGIBLE is none.
    """
    if math.isnan(low) or math.isnan(high):
        return "not measured"
    if low > -NEGLIGIBLE and high < NEGLIGIBLE:
        return "hardly related"
    return "larger ones more" if low > 0 else "larger ones less" if high < 0 else "not shown"


def spearman(sizes: ArrayLike, hits: ArrayLike) -> float:
    """Spearman's rank correlation; NaN where one side does not vary, or of fewer than three pairs."""
    a, b = np.asarray(sizes, dtype=float), np.asarray(hits, dtype=float)
    if len(a) < 3 or (a == a[0]).all() or (b == b[0]).all():
        return math.nan
    return float(spearmanr(a, b).statistic)


def rank_interval(rho: float, n: int, confidence: float) -> tuple[float, float]:
    """Interval of Spearman's correlation of n pairs, by Fisher's transformation.

    Its variance is (1 + rho^2 / 2) / (n - 3) (Bonett and Wright, "Sample size requirements for estimating Pearson,
    Kendall and Spearman correlations", Psychometrika 65, 2000). NaN of fewer than
    four pairs, and where rho is 1 or -1: the transformation has no value there.
    """
    if n < FEWEST or math.isnan(rho) or abs(rho) >= 1:
        return math.nan, math.nan
    half = normal_quantile(confidence) * math.sqrt((1 + rho**2 / 2) / (n - 3))
    return math.tanh(math.atanh(rho) - half), math.tanh(math.atanh(rho) + half)


def bootstrapped(
    sizes: pd.Series, hits: pd.Series, groups: pd.Series, confidence: float, rng: np.random.Generator
) -> tuple[float, float]:
    """Percentile interval of Spearman's correlation, groups of rows drawn together; NaN where there is none."""
    if math.isnan(spearman(sizes, hits)):
        return math.nan, math.nan
    a, b = sizes.to_numpy(float), hits.to_numpy(float)
    members = [np.flatnonzero(groups.to_numpy() == group) for group in groups.unique()]
    found = []
    for _ in range(RESAMPLES if len(members) > 1 else 0):
        rows = np.concatenate([members[place] for place in rng.integers(len(members), size=len(members))])
        if np.ptp(a[rows]) > 0 and np.ptp(b[rows]) > 0:
            found.append(float(np.corrcoef(rankdata(a[rows]), rankdata(b[rows]))[0, 1]))
    if len(found) < RESAMPLES / 2:  # what hardly varies
        return math.nan, math.nan
    low, high = np.quantile(found, [(1 - confidence) / 2, (1 + confidence) / 2])
    return float(low), float(high)
