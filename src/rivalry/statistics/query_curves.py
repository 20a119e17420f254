"""What attacks that see decisions or scores achieve by the number of queries that are answered.

Of every such attack on a victim alone, and on one behind a limit of queries. An image counts as fallen from the query
on with which the attack first had a change within the budget that reached its goal. An attack that looks for the
smallest change has no budget; it is held against the headline budget of its norm (`within`), and without one there is
only the size of its changes.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd

from rivalry.artifacts import read_json, read_table
from rivalry.attacks._asked import ASKED
from rivalry.layout import Layout, defended, trained
from rivalry.statistics.over_seeds import rate_over_seeds
from rivalry.statistics.rates import wilson_interval
from rivalry.statistics.worst_case import TOLERANCE

Row = dict[str, Any]


def query_curves(layout: Layout, plan: Mapping[str, Any], cases: Iterable[Row], confidence: float) -> Iterator[Row]:
    """The rows of queries.csv: `success_rate`, with low and high, of n attacked images after so many `queries`.

    One row for all trainings of a victim: rates are means over them, with the interval of `rate_over_seeds`, and so
    are n and `median_change`, the median over images of the smallest change so far, which is missing while most
    images have none. Behind a limit the last row is that of the limit.

    Parameters
    ----------
    layout : Layout
    plan : dict
        As `tabulate` is given it.
    cases : iterable of dict
        Rows of worst_cases.csv.
    confidence : float
        Of the intervals.
    """
    headline = {(case["dataset"], case["norm"]): case["eps"] for case in cases if case["headline"]}
    groups: dict[tuple[str, str, str, str], list[str]] = {}
    for dataset, victim, attack in plan["attacks"]:
        groups.setdefault((dataset, trained(victim)[0], "none", attack), []).append(victim)
    for dataset, victim, defense in plan["evaluations"]:
        if read_json(layout.defense(dataset, victim, defense).facts)["kind"] == "access control":
            name = defended(victim, defense)
            for attack in (one for where, on, one in plan["adaptive"] if (where, on) == (dataset, name)):
                groups.setdefault((dataset, trained(victim)[0], defense, attack), []).append(victim)
    for (dataset, name, defense, attack), victims in groups.items():
        places = [layout.attack(dataset, defended(victim, defense), attack) for victim in victims]
        facts = read_json(places[0].facts)
        if facts["sees"] not in ("decisions", "scores") or not places[0]["queries"].is_file():
            continue
        limit = None
        if defense != "none":
            limit = read_json(layout.defense(dataset, victims[0], defense).facts)["parameters"]["queries"]
        about = {"dataset": dataset, "victim": name, "defense": defense, "attack": attack, "limit": limit}
        about |= {key: facts[key] for key in ("sees", "norm", "budget")}
        tables = [(read_table(place["scores"]), read_table(place["queries"])) for place in places]
        for eps in facts["eps"] or [math.nan]:
            within = headline.get((dataset, facts["norm"])) if math.isnan(eps) else eps
            within = math.nan if within is None else within
            for row in _curve([_of_eps(scores, eps, sizes) for scores, sizes in tables], within, limit, confidence):
                yield about | {"eps": eps, "within": within} | row


def _of_eps(scores: pd.DataFrame, eps: float, sizes: pd.DataFrame) -> tuple[pd.DataFrame, np.ndarray]:
    """The attacked images of one eps, and their smallest changes after each number of ASKED, (n, len(ASKED))."""
    mine, found = (table[table["eps"].isna() if math.isnan(eps) else table["eps"] == eps] for table in (scores, sizes))
    mine = mine[mine["attacked"].astype(bool)]
    grid = found.pivot_table(index="index", columns="queries", values="size").reindex(mine["index"])
    grid = grid.reindex(columns=list(ASKED)).ffill(axis=1).fillna(np.inf)
    return mine, grid.to_numpy(dtype=float)


def _curve(
    trainings: Sequence[tuple[pd.DataFrame, np.ndarray]], within: float, limit: int | None, confidence: float
) -> Iterator[Row]:
    """One attack at one eps, over trainings."""
    most = max((int(scores["queries"].max()) for scores, _ in trainings if len(scores)), default=0)
    last = next((place for place, asked in enumerate(ASKED) if asked >= most), len(ASKED) - 1)
    n = float(np.mean([len(scores) for scores, _ in trainings]))
    for place in range(last + 1):
        queries = ASKED[place]
        if limit is not None and queries >= limit:
            queries, place = limit, last
        sizes = [grid[:, place] for _, grid in trainings]
        medians = [float(np.median(size)) if len(size) else math.inf for size in sizes]
        row: Row = {
            "queries": queries,
            "seeds": len(trainings),
            "n": round(n),
            "median_change": float(np.mean(medians)) if np.isfinite(medians).all() else math.nan,
        }
        if not math.isnan(within) and all(len(size) for size in sizes):
            rates = [float((size <= within + TOLERANCE * (1 + within)).mean()) for size in sizes]
            if len(rates) > 1:
                mean, low, high, *_ = rate_over_seeds(rates, n, confidence)
            else:
                mean, (low, high) = rates[0], wilson_interval(round(rates[0] * n), n, confidence)
            row |= {"success_rate": mean, "low": low, "high": high}
        yield row
        if limit is not None and queries == limit:
            return
