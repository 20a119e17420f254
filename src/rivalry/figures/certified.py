"""What smoothed victims are certified to keep, below what attacks leave."""

from __future__ import annotations

from typing import Any

import pandas as pd
from matplotlib.axes import Axes

from rivalry.figures._figure import Absent, Drawn, figure
from rivalry.figures._looks import ALARM, CALM
from rivalry.figures._results import Results
from rivalry.figures._style import facets, key, label_facets, legend
from rivalry.formatting import number, percent


@figure
def certified(data: Results) -> list[Drawn]:
    """Certified accuracy against the L2 radius, and the accuracy that attacks leave up to it."""
    table = data.certified[data.certified["certified"].notna()]
    curves = dict(list(table.groupby(["victim", "defense"], sort=False)))
    if not curves:
        raise Absent("no smoothed victim was certified")
    names = [f"{defense} on {victim}" for victim, defense in curves]
    figure, grid = facets(names, keys=["certified", "under attack"])
    sentences = []
    for axes, name, rows in zip(grid, names, curves.values(), strict=True):
        _line(axes, rows, ("certified", "certified_low", "certified_high"), CALM)
        if rows["accuracy"].notna().all():
            _line(axes, rows, ("accuracy", "low", "high"), ALARM, linestyle=(0, (4, 1.5)))
        axes.set_xlim(0, float(table["radius"].max()))
        half = rows["sigma"].iloc[0] / 2
        marked = rows[((rows["radius"] / half).round() - rows["radius"] / half).abs() < 1e-6]
        told = [
            f"{percent(certain)} % certified and {percent(held)} % under attack at {number(radius)}"
            for certain, held, radius in zip(marked["certified"], marked["accuracy"], marked["radius"], strict=True)
        ]
        sentences.append(f"{name}: {', '.join(told)}")
    label_facets(grid, "radius (L2)", "accuracy")
    keys = [
        key("certified", CALM, marker="", linestyle="-"),
        key("under attack", ALARM, marker="", linestyle=(0, (4, 1.5))),
    ]
    legend(figure, keys)
    return [
        Drawn(
            "certified",
            "What is certified, and what attacks leave",
            "The share of images whose class is right and proved to stay under any change shorter than the radius "
            "(full), with the exact interval, and the share that is right and that no attack turned with a change "
            "shorter than it (dashed), with Wilson's. Attacks can only find that a classifier is weaker, so that the "
            "dashed line lies above the full one; between the two lies what is not known.",
            f"Line chart. {'; '.join(sentences)}.",
            figure,
        )
    ]


def _line(axes: Axes, rows: pd.DataFrame, columns: tuple[str, str, str], color: str, **look: Any) -> None:
    """A curve over the radius with the band of its interval."""
    middle, low, high = columns
    axes.fill_between(rows["radius"], rows[low], rows[high], color=color, alpha=0.16, linewidth=0)
    axes.plot(rows["radius"], rows[middle], color=color, **look)
