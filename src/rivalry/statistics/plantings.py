"""How often poisons turn the one test image that they aim at."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from rivalry.artifacts import read_json
from rivalry.layout import Layout
from rivalry.statistics.rates import wilson_interval


def planting_rates(layout: Layout, plan: Mapping[str, Any], confidence: float) -> list[dict[str, Any]]:
    """The rows of plantings.csv: each targeted poisoning of each victim.

    The rate is over the test images that the network which was trained again has right without poisons; `others` is
    the share that is taken for a third class.
    """
    rows = []
    for dataset, victim, targeted in plan.get("plantings", []):
        facts = read_json(layout.planting(dataset, victim, targeted).facts)
        hits, n = facts["n_success"], facts["n_counted"]
        low, high = wilson_interval(hits, n, confidence) if n else (math.nan, math.nan)
        rows.append(
            {
                "dataset": dataset,
                "victim": victim,
                "targeted": targeted,
                "method": facts["method"],
                "n": facts["n"],
                "n_counted": n,
                "n_success": hits,
                "success_rate": hits / n if n else math.nan,
                "low": low,
                "high": high,
                "others": facts["n_other"] / n if n else math.nan,
            }
        )
    return rows
