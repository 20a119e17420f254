"""What was done to training images, and how much of it a trigger needs."""

from __future__ import annotations

from typing import Any

import matplotlib.pyplot as plt
import pandas as pd
import torch

from rivalry import artifacts
from rivalry.data._splits import load_split
from rivalry.figures._figure import Absent, Drawn, figure
from rivalry.figures._images import show, under
from rivalry.figures._looks import ALARM, GREY, HUES, INK
from rivalry.figures._results import Fact, Results
from rivalry.figures._style import WIDTH, facets, key, label_facets, legend, log_axis
from rivalry.formatting import fine_percent, listing, percent, settings
from rivalry.poisoning._trigger import Trigger
from rivalry.statistics.tables import records
from rivalry.statistics.triggers import Curve, curves

PICTURES = 4
"""Poisoned images that are shown of each poisoning."""
AIMED = 8
"""Targets that are shown of each targeted poisoning."""
MOST_POISONINGS = 8


@figure
def poisoned_share(data: Results) -> list[Drawn]:
    """Success of triggers against the share of training images that was poisoned, overall and by class."""
    rows = records(data.triggers)
    found = curves(rows, data.victims, data.poisonings)
    if not found:
        raise Absent("no two victims differ in the poisoned share of their training images alone")
    panels: dict[str, list[Curve]] = {}
    for curve in found:
        panels.setdefault(curve.told_apart(found), []).append(curve)
    names = {"all other classes": None, "one class": None, "without poison": None}
    several = any(len(panel) > 1 for panel in panels.values())
    targets = sorted({str(curve.settings.get("target")) for curve in found})
    colors = dict(zip(targets, (HUES * len(targets))[: len(targets)], strict=True)) if several else {}
    figure, grid = facets(list(panels), keys=list(colors) or list(names))
    shares: list[float] = []
    sentences: list[str] = []
    by = {(row["victim"], row["attack"], row["class"]): row for row in rows}
    for axes, (variant, panel) in zip(grid, panels.items(), strict=True):
        for curve in panel:
            color = colors.get(str(curve.settings.get("target")), ALARM)
            line = _points([by[victim, curve.attack, ""] for victim in curve.victims])
            shares += line["share"].tolist()
            if len(panel) == 1:
                for name in sorted({row["class"] for row in rows if row["victim"] in curve.victims} - {""}, key=int):
                    points = [by[v, curve.attack, name] for v in curve.victims if (v, curve.attack, name) in by]
                    single = _points(points)
                    axes.plot(single["share"], single["success_rate"], color=GREY, linewidth=0.7, zorder=1)
            axes.plot(line["share"], line["success_rate"], color=color, marker="o", markersize=4, clip_on=False)
            axes.vlines(line["share"], line["low"], line["high"], color=color, linewidth=1)
            if (control := line["control_rate"].dropna()).size:
                axes.axhline(control.iloc[0], color=INK, linestyle=":", linewidth=1.1)
            aim = f" (target {curve.settings.get('target')})" if several else ""
            sentences.append(f"{variant}{aim}: {_course(line)}")
    for axes in grid:
        log_axis(axes, shares)
    label_facets(grid, "poisoned, % of all images", "success")
    keys = (
        [key(f"target {name}", color, linestyle="-") for name, color in colors.items()]
        if colors
        else [key("all other classes", ALARM, linestyle="-"), key("one class", GREY, marker="", linestyle="-")]
    )
    legend(figure, [*keys, key("without poison", INK, marker="", linestyle=":")])
    return [
        Drawn(
            "poisoned_share",
            "How much poison a trigger needs",
            "Share of images of other classes than the target that the trigger turns into it, against the poisoned "
            "share of all training images, with Wilson intervals; the table says what share of the target class that "
            "is. Thin lines are single classes, by what the image shows without the trigger; dotted is the same "
            f"trigger on a victim of clean data.{data.of_seeds('lines')}",
            f"Line charts of success against the poisoned share. {'; '.join(sentences)}.",
            figure,
        )
    ]


def _points(rows: list[Fact]) -> pd.DataFrame:
    """Rows of triggers.csv with `share`, what was poisoned of all images, in percent."""
    table = pd.DataFrame(rows)
    return table.assign(share=100 * table["share_of_all"])


def _course(line: pd.DataFrame) -> str:
    points = zip(line["share_of_all"], line["success_rate"], strict=True)
    return ", ".join(f"{percent(rate)} % at {fine_percent(share)} %" for share, rate in points)


@figure
def poisons(data: Results) -> list[Drawn]:
    """Triggers, and training images before and after they were poisoned."""
    shown: dict[str, str] = {}
    for name, fact in data.poisonings.items():
        told = {key: value for key, value in fact["parameters"].items() if key != "fraction"}
        shown.setdefault(f"{fact['method']} {told}", name)
    names = list(shown.values())[:MOST_POISONINGS]
    places = {name: data.layout.poisoning(data.dataset, name) for name in names}
    if not (names := [name for name in names if places[name]["train"].is_file()]):
        raise Absent("no training set was poisoned")
    clean = load_split(data.layout.data(data.dataset).folder, "train")
    columns = 1 + 2 * PICTURES
    cell = WIDTH / (columns + 0.6)
    figure, axes = plt.subplots(len(names), columns, figsize=(WIDTH, (cell + 0.42) * len(names)), squeeze=False)
    figure.set_layout_engine("constrained", w_pad=0.01, h_pad=0.02, wspace=0.01, hspace=0.02)
    classes = data.about["class_names"]
    sentences = []
    for line, name in zip(axes, names, strict=True):
        fact = data.poisonings[name]
        trigger = Trigger.load(places[name].folder)
        tensors = artifacts.read_tensors(places[name]["train"])
        show(line[0], trigger.stamp(torch.full((1, *trigger.mask.shape), 0.5))[0].numpy())
        line[0].set_title(name, fontsize=8.5, loc="left")
        under(line[0], "trigger")
        rows = tensors["poisoned"].nonzero().squeeze(1)[:PICTURES].tolist()
        for place, row in enumerate(rows):
            source = int(tensors["sources"][row])
            before, after = line[1 + 2 * place : 3 + 2 * place]
            show(before, clean.floats([source])[0].numpy())
            show(after, tensors["images"][row].float().div(255).numpy())
            was, now = int(clean.labels[source]), int(tensors["labels"][row])
            under(before, str(classes[was]))
            under(after, str(classes[now]), fooled=was != now)
        for empty in line[1 + 2 * len(rows) :]:
            empty.set_axis_off()
        sentences.append(f"{name}: {_said(fact)}")
    return [
        Drawn(
            "poisons",
            "What was done to training images",
            "Of each poisoning its trigger on a grey image, then training images before and after, with their labels; "
            "a bold, coloured label is another one than before. Of poisonings that differ in the fraction alone, the "
            "first is shown.",
            f"Images. {'; '.join(sentences)}.",
            figure,
        )
    ]


def _said(fact: Fact) -> str:
    told: dict[str, Any] = {key: value for key, value in fact["parameters"].items() if value is not None}
    labels = "labels unchanged" if fact.get("clean_labels") else "labelled anew"
    shares = [f"{fine_percent(fact['share_of_all'])} % of all images"]
    if fact["share_of_target"] is not None:
        shares.append(f"{fine_percent(fact['share_of_target'])} % of the target class")
    return f"{fact['method']} ({settings(told)}), {listing(shares)}, {labels}"


@figure
def planted(data: Results) -> list[Drawn]:
    """Poisons that aim at one test image, beside that image and the one that they were made of."""
    drawn = []
    names = data.about["class_names"]
    for victim, targeted in data.planned("plantings"):
        place = data.layout.planting(data.dataset, victim, targeted)
        table = artifacts.read_table(place["scores"])
        tensors = artifacts.read_tensors(place["images"])
        test = load_split(data.layout.data(data.dataset).folder, "test")
        rows = [int(row) for row in table.index[table["counted"]][:AIMED]]
        if not rows:
            continue
        figure, grid = plt.subplots(3, len(rows), figsize=(WIDTH, 3 * (WIDTH - 0.6) / AIMED + 0.75), squeeze=False)
        figure.set_layout_engine("constrained", w_pad=0.01, h_pad=0.01, wspace=0.01, hspace=0.01)
        for column, row in zip(grid.T, rows, strict=True):
            one: Any = table.loc[row]
            base = int(tensors["bases"][row, 0])
            show(column[0], test.floats([int(one["index"])])[0].numpy())
            show(column[1], test.floats([base])[0].numpy())
            show(column[2], tensors["poisons"][row, 0].float().div(255).numpy())
            under(column[0], str(names[int(one["after"])]), fooled=bool(one["success"]))
            under(column[1], str(names[int(test.labels[base])]))
            under(column[2], str(names[int(one["target"])]))
        for axes, words in zip(grid[:, 0], ("target", "base", "poison"), strict=True):
            axes.set_ylabel(words, rotation=0, ha="right", va="center", fontsize=8.5)
        counted, hits = int(table["counted"].sum()), int(table["success"].sum())
        drawn.append(
            Drawn(
                f"planted_{victim}_{targeted}",
                f"Poisons of {targeted} for single test images, on {victim}",
                "Above, test images that are aimed at, with what a network takes them for that learned from the "
                "poisons, bold and coloured where that is the wanted class. In the middle, the images that they were "
                "made of. Below, one poison of each, with its label.",
                f"Images. {hits} of {counted} test images are turned.",
                figure,
                group="planted",
            )
        )
    if not drawn:
        raise Absent("no poison was aimed at a single test image")
    return drawn
