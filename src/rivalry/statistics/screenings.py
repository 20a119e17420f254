"""What filters find of the poisoned images of a training set, and what they take for poisoned."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from rivalry.artifacts import read_json
from rivalry.layout import Layout
from rivalry.statistics.rates import wilson_interval


def screening_rates(layout: Layout, plan: Mapping[str, Any], confidence: float) -> list[dict[str, Any]]:
    """The rows of screenings.csv: each filter on each victim's training set.

    `found` is the share of poisoned images that are more suspicious than all but `asked` of the clean ones;
    `false_alarms` is the share of clean images for which that holds too. `flagged` and `flagged_clean` are the shares
    of poisoned and of clean images that the method itself would take out.
    """
    rows = []
    for dataset, victim, filter in plan.get("screenings", []):
        facts = read_json(layout.screening(dataset, victim, filter).facts)
        poisoned = facts["n_poisoned"]
        clean = facts["n"] - poisoned
        about = {"dataset": dataset, "victim": victim, "filter": filter, "poisoning": facts["poisoning"] or ""}
        about |= {"method": facts["method"], "asked": facts["asked_false_alarms"], "auc": facts["auc"]}
        rows.append(
            about
            | {"n": facts["n"], "n_poisoned": poisoned}
            | _rate("found", facts["n_found"], poisoned, confidence)
            | _rate("false_alarms", facts["n_false"], clean, confidence)
            | _rate("flagged", facts["n_flagged"], poisoned, confidence)
            | _rate("flagged_clean", facts["n_flagged_false"], clean, confidence)
        )
    return rows


def _rate(name: str, hits: int, n: int, confidence: float) -> dict[str, float]:
    low, high = wilson_interval(hits, n, confidence) if n else (math.nan, math.nan)
    return {name: hits / n if n else math.nan, f"{name}_low": low, f"{name}_high": high}
