"""How often images that were crafted on one victim fool another."""

from __future__ import annotations

from typing import Any

import pandas as pd

from rivalry.artifacts import read_json, read_table
from rivalry.layout import Layout, trained
from rivalry.statistics.columns import TRANSFERS
from rivalry.statistics.scores import rate


def transfer_rates(layout: Layout, plan: dict[str, Any], confidence: float) -> pd.DataFrame:
    """One row for each set of images and victim that they were shown to, in the plan's order.

    `transfer_rate`: the share that fools the victim (untargeted: it errs; targeted: it gives the target) of the
    `n` images that both source and victim have right unchanged and that were attacked. `rate_fooling`: the share
    among the `n_fooling` of them that fooled the source.
    """
    rows = []
    for dataset, source in plan["transfers"]:
        scores = read_table(layout.transfer(dataset, source)["scores"])
        for (attack, eps, victim), images in scores.groupby(["attack", "eps", "victim"], dropna=False, sort=False):
            facts = read_json(layout.attack(dataset, source, str(attack)).facts)
            fair = images[images["attacked"] & images["clean_correct"]]
            fooling = fair[fair["success_source"]]
            rows.append(
                {
                    "dataset": dataset,
                    "attack": attack,
                    "norm": facts["norm"],
                    "eps": eps,
                    "goal": facts["goal"],
                    "source": trained(source)[0],
                    "victim": trained(str(victim))[0],
                    "seed": max(trained(source)[1], trained(str(victim))[1]),
                    "n": len(fair),
                    **rate(("transfer_rate", "low", "high"), fair["success"], confidence),
                    "n_fooling": len(fooling),
                    **rate(("rate_fooling", "low_fooling", "high_fooling"), fooling["success"], confidence),
                }
            )
    table = TRANSFERS.frame(rows)
    # The files hold one source each; readers compare the sources of one attack.
    order = {name: {value: k for k, value in enumerate(table[name].unique())} for name in ("dataset", "attack")}
    return table.sort_values(
        ["dataset", "attack", "eps"],
        key=lambda column: column.map(order[column.name]) if column.name in order else column,
        kind="stable",
        ignore_index=True,
    )
