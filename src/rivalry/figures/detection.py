"""How well detectors tell attacked images from clean ones, at any threshold."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.ticker import FixedLocator
from sklearn.metrics import roc_curve

from rivalry.artifacts import read_table
from rivalry.figures._figure import Absent, Drawn, figure
from rivalry.figures._looks import GREY
from rivalry.figures._pages import numbered
from rivalry.figures._results import Results, label
from rivalry.figures._style import attack_keys, facets, key, key_columns, label_facets, legend
from rivalry.formatting import MISSING, number, percent
from rivalry.types import FALSE_ALARMS

MOST = 8
"""Detectors that one figure holds."""
STROKES: dict[str, Any] = {"oblivious": "-", "adaptive": (0, (4, 1.5))}


class Curve(NamedTuple):
    """The ROC curve of one attack at one eps, NaN where it has none, in one setting."""

    attack: str
    setting: str
    eps: float
    false_alarms: np.ndarray
    flagged: np.ndarray


@figure
def roc(data: Results) -> list[Drawn]:
    """ROC curves of detectors, one figure per victim and page."""
    drawn = []
    for victim in data.victims:
        curves = {
            defense: found
            for (name, defense), fact in data.defenses.items()
            if name == victim and fact["kind"] == "detector" and (found := _curves(data, victim, defense))
        }
        names = list(curves)
        pages = [names[start : start + MOST] for start in range(0, len(names), MOST)]
        for place, page in enumerate(pages, start=1):
            drawn.append(_page(data, victim, {name: curves[name] for name in page}, place, len(pages)))
    if not drawn:
        raise Absent("no detector was evaluated")
    return drawn


def _page(data: Results, victim: str, curves: dict[str, list[Curve]], place: int, of: int) -> Drawn:
    met = {curve.attack for found in curves.values() for curve in found}
    looks = {attack: data.looks[attack] for attack in data.methods if attack in met}
    figure, grid = facets(list(curves), keys=[*looks, *STROKES])
    sentences = []
    for axes, (defense, found) in zip(grid, curves.items(), strict=True):
        for share in FALSE_ALARMS:
            axes.axvline(share, color=GREY, linewidth=0.6, zorder=0)
        for curve in found:
            color, stroke = looks[curve.attack].color, STROKES[curve.setting]
            points = curve.false_alarms, curve.flagged
            axes.plot(*points, drawstyle="steps-post", linewidth=1.3, color=color, linestyle=stroke, clip_on=False)
        told = [
            f"{label(curve.attack, curve.eps)} {curve.setting} {_area(data, victim, defense, curve)}" for curve in found
        ]
        sentences.append(f"{defense}: {', '.join(told)}")
        _axis(axes)
    label_facets(grid, "clean images that are flagged", "attacked, flagged")
    lines = [key(name, marker="", linestyle=stroke) for name, stroke in STROKES.items()]
    legend(figure, [*attack_keys(looks), *lines], columns=key_columns([*looks, *STROKES]))
    shares = " and ".join(f"{percent(share)} %" for share in FALSE_ALARMS)
    name, title = numbered(f"roc_{victim}", f"Detectors at any threshold on {victim}", place, of)
    return Drawn(
        name,
        title,
        "ROC curves: the share of attacked images that a detector flags, against the share of the same images, "
        "unchanged, that it flags by mistake, for every threshold; each attack at its largest budget. Full lines are "
        "attackers that do not know the detector, broken lines those that do, and aimed at its own threshold. The "
        f"axis of false alarms is stretched near zero; the thin lines are {shares}. A curve near the top left tells "
        f"nearly all images apart.{data.of_seeds('first')}",
        f"ROC curves on {victim}; areas below them: {'. '.join(sentences)}.",
        figure,
        group="roc",
    )


def _curves(data: Results, victim: str, defense: str) -> list[Curve]:
    """The ROC curve of each attack that a detector met, at its largest eps: attacked images, and the same unchanged."""
    scores = read_table(data.layout.evaluation(data.dataset, victim, defense)["scores"])
    clean = scores[scores["setting"] == "clean"]
    curves = []
    for (attack, setting), rows in scores[scores["setting"] != "clean"].groupby(["attack", "setting"], sort=False):
        largest = rows if rows["eps"].isna().all() else rows[rows["eps"] == rows["eps"].max()]
        attacked = largest[largest["attacked"]]
        sides = clean.loc[clean["index"].isin(attacked["index"]), "score"], attacked["score"]
        if any(side.empty or side.isna().any() for side in sides):
            continue
        alarms, flagged, _ = roc_curve(np.repeat([0, 1], [len(side) for side in sides]), pd.concat(sides))
        curves.append(Curve(str(attack), str(setting), float(largest["eps"].iloc[0]), alarms, flagged))
    return curves


def _area(data: Results, victim: str, defense: str, curve: Curve) -> str:
    """The area under a curve, as the scores have it."""
    rows: list[Any] = data.strongest(data.scores).to_dict("records")
    place = victim, defense, curve.attack, curve.setting
    for row in rows:
        if (row["victim"], row["defense"], row["attack"], row["setting"]) == place:
            return number(row["auc"])
    return MISSING


def _axis(axes: Axes) -> None:
    """False alarms from 0 to 1, the first percent as wide as each of the two decades above it."""
    axes.set_xscale("symlog", linthresh=FALSE_ALARMS[0], linscale=1)
    axes.set_xlim(0, 1)
    axes.xaxis.set_major_locator(FixedLocator([0, *FALSE_ALARMS, 0.2, 1]))
    axes.xaxis.set_minor_locator(FixedLocator([]))
    axes.xaxis.set_major_formatter(lambda value, _: f"{100 * value:.0f} %")
