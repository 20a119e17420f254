"""Whether defenses that are known to be broken do break: the positive controls."""

from __future__ import annotations

import math
from collections.abc import Iterator

from rivalry.artifacts import read_json
from rivalry.checks._evidence import Evidence
from rivalry.checks._rows import Row, row

CHECK = "broken defenses break"
BROKEN = 0.9
"""The share of images that a sound attack fools at least behind a broken defense."""


def broken_defenses(evidence: Evidence) -> Iterator[Row]:
    """A run that cannot break defensive distillation attacks too weakly."""
    for model in evidence.models:
        if model.defense != "none" or read_json(model.place.facts)["method"] != "defensive_distillation":
            continue
        rates: dict[str, float] = {}
        for one in evidence.crafted:
            if one.victim == model.place and one.facts["goal"] == "untargeted" and one.facts["sees"] != "nothing":
                for eps, rows in one.budgets:
                    if rows["attacked"].any():
                        name = one.facts["attack"] + ("" if math.isnan(eps) else f" (eps {eps:.4g})")
                        rates[name] = rows.loc[rows["attacked"], "success"].mean()
        if not rates:
            words = "no untargeted attack meets an image of it in this run"
            yield row(CHECK, model.subject, "warn", words, **model.touched)
            continue
        best = max(rates, key=lambda name: rates[name])
        words = f"the strongest attack, {best}, fools {100 * rates[best]:.1f} %"
        if rates[best] >= BROKEN:
            yield row(CHECK, model.subject, "pass", words, **model.touched)
        else:
            words += ": too weak an attack, not a robust victim"
            yield row(CHECK, model.subject, "warn", words, **model.touched)
