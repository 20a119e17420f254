"""How poisoned training images are noticed."""

from __future__ import annotations

from typing import Any

import matplotlib.pyplot as plt
import pandas as pd

from rivalry import artifacts
from rivalry.data._splits import load_split
from rivalry.figures._figure import Absent, Drawn, figure
from rivalry.figures._images import show
from rivalry.figures._looks import ALARM, HUES, INK
from rivalry.figures._results import Results
from rivalry.figures._style import WIDTH, beside, key, legend, rate_axis, rows_axis
from rivalry.formatting import listing, percent
from rivalry.statistics.tables import records

PICTURES = 4
"""Least and most suspicious images of a class, each."""
MOST_CLASSES = 10


@figure
def filters(data: Results) -> list[Drawn]:
    """The share of poisoned images that each filter finds, per victim."""
    rows = [row for row in records(data.screenings) if row["n_poisoned"]]
    if not rows:
        raise Absent("no filter looked at a poisoned training set")
    names = list(dict.fromkeys(row["filter"] for row in rows))
    victims = list(dict.fromkeys(row["victim"] for row in rows))
    colors = {name: HUES[place % len(HUES)] for place, name in enumerate(names)}
    figure, axes = plt.subplots(figsize=(WIDTH, 0.8 + 0.2 * len(rows) + 0.16 * len(victims)))
    sentences = []
    places, labels, at = [], [], 0.0
    for victim in victims:
        mine = [row for row in rows if row["victim"] == victim]
        places.append(at + (len(mine) - 1) / 2)
        labels.append(victim)
        for row in mine:
            color = colors[row["filter"]]
            axes.hlines(at, row["found_low"], row["found_high"], color=color, linewidth=1.4)
            axes.plot(row["found"], at, marker="o", color=color, markersize=5, clip_on=False)
            beside(axes, at, percent(row["found"]))
            at += 1
        at += 0.8
        told = [f"{row['filter']} {percent(row['found'])} %" for row in mine]
        sentences.append(f"{victim}: {listing(told)}")
    for asked in sorted({row["asked"] for row in rows}):
        axes.axvline(asked, color=INK, linestyle="--", linewidth=1)
    rows_axis(axes, labels)
    axes.set_yticks(places, labels)
    axes.set_ylim(at - 0.8 - 0.4, -0.6)
    rate_axis(axes, "poisoned images found")
    legend(figure, [key(name, color) for name, color in colors.items()])
    return [
        Drawn(
            "filters",
            "How poisoning is noticed",
            "Share of the poisoned training images that are more suspicious than all but a given share of the clean "
            "ones (dashed: so many are found by chance), with Wilson intervals, per victim and filter."
            f"{data.of_seeds('first')}",
            f"Dot chart. Found of the poisoned images: {'; '.join(sentences)}.",
            figure,
        )
    ]


@figure
def suspicious(data: Results) -> list[Drawn]:
    """The least and the most suspicious training images of each class, per victim and filter."""
    drawn = []
    names = data.about["class_names"]
    for victim, filter in data.planned("screenings"):
        place = data.layout.screening(data.dataset, victim, filter)
        table = artifacts.read_table(place["scores"])
        poisoning = artifacts.read_json(place.facts)["poisoning"]
        if poisoning:
            images = artifacts.read_tensors(data.layout.poisoning(data.dataset, poisoning)["train"])["images"]
        else:
            images = load_split(data.layout.data(data.dataset).folder, "train").images
        classes = sorted(table["label"].unique())[:MOST_CLASSES]
        columns = 2 * PICTURES + 1
        cell = (WIDTH - 0.8) / columns
        figure, grid = plt.subplots(len(classes), columns, figsize=(WIDTH, cell * len(classes) + 0.4), squeeze=False)
        figure.set_layout_engine("constrained", w_pad=0.01, h_pad=0.01, wspace=0.01, hspace=0.01)
        caught = 0
        for line, label in zip(grid, classes, strict=True):
            ranked = table[table["label"] == label].sort_values("score", kind="stable")
            for axes in line:
                axes.set_axis_off()
            least, most = ranked.head(PICTURES), ranked.tail(PICTURES)
            shown_in = zip((*line[: len(least)], *line[-len(most) :]), _rows(least, most), strict=True)
            for axes, row in shown_in:
                axes.set_axis_on()
                show(axes, images[row["row"]].float().div(255).numpy())
                if row["poisoned"]:
                    axes.spines[:].set(visible=True, color=ALARM, linewidth=2.2)
            caught += int(most["poisoned"].sum())
            line[0].set_axis_on()
            line[0].set_ylabel(str(names[label]), rotation=0, ha="right", va="center", fontsize=8.5)
        grid[0, 0].set_title("least suspicious", fontsize=8.5, loc="left")
        grid[0, PICTURES + 1].set_title("most suspicious", fontsize=8.5, loc="left")
        some = f" The first {len(classes)} of {len(names)} classes." if len(classes) < len(names) else ""
        shown = sum(min(PICTURES, int((table["label"] == label).sum())) for label in classes)
        drawn.append(
            Drawn(
                f"suspicious_{victim}_{filter}",
                f"What {filter} suspects in the training images of {victim}",
                "The least and the most suspicious images of each class, by their labels. Framed: poisoned images, "
                f"which the filter was not told.{some}{data.of_seeds('first')}",
                f"Images. Of the {shown} most suspicious ones shown, {caught} are poisoned.",
                figure,
                group=f"suspicious_{filter}",
            )
        )
    if not drawn:
        raise Absent("no filter looked at a training set")
    return drawn


def _rows(*tables: pd.DataFrame) -> list[dict[str, Any]]:
    rows: list[Any] = pd.concat(tables).to_dict("records")
    return rows
