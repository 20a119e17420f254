"""How every figure is set: fonts, axes, legends, and how rows, rates and matrices are drawn."""

from __future__ import annotations

import math
import textwrap
from collections.abc import Hashable, Iterable, Mapping, Sequence
from typing import Any

import matplotlib as mpl

mpl.use("Agg")

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import seaborn as sns
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.colors import to_rgba_array
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import FixedLocator, LogLocator, NullFormatter, PercentFormatter
from seaborn.utils import relative_luminance

from rivalry.figures._looks import GREY, INK, Look
from rivalry.figures._results import Results
from rivalry.formatting import percent, spread

WIDTH = 4.8
"""Inches: narrow enough that a phone shows 10-point text legibly."""
TITLE = 54
"""Characters that titles beside each other have room for, together."""
ON_DARK, ON_BRIGHT = "white", "#111111"
"""Text in cells."""
NOTHING = "#f2f2f2"
"""Of a cell without a number, on a light page and on a dark one."""


def use_style() -> None:
    """Set seaborn and Matplotlib up for this package's figures, from their defaults."""
    mpl.rcdefaults()
    sns.set_theme(
        "paper",
        "ticks",
        font="DejaVu Sans",
        rc={
            "font.size": 9.5,
            "axes.titlesize": 10,
            "axes.titleweight": "bold",
            "axes.titlelocation": "left",
            "axes.labelsize": 9.5,
            "axes.spines.top": False,
            "axes.spines.right": False,
            "axes.grid": True,
            "axes.axisbelow": True,
            "axes.formatter.use_mathtext": False,
            "axes.unicode_minus": True,
            "grid.alpha": 0.16,
            "grid.linewidth": 0.7,
            "hatch.linewidth": 0.8,
            "legend.frameon": False,
            "legend.fontsize": 8.5,
            "lines.linewidth": 1.6,
            "lines.markersize": 5.5,
            "patch.force_edgecolor": False,
            "lines.solid_capstyle": "butt",
            "xtick.labelsize": 9,
            "ytick.labelsize": 9,
            "figure.constrained_layout.use": True,
            "figure.dpi": 100,
            "savefig.transparent": True,
            "text.parse_math": False,  # a class may be called $5_to_$20
            "svg.fonttype": "none",
            "svg.hashsalt": "rivalry",
            "pdf.fonttype": 42,
            **dict.fromkeys(
                ("text.color", "axes.edgecolor", "axes.labelcolor", "xtick.color", "ytick.color", "grid.color"), INK
            ),
        },
    )


def stack(heights: Iterable[float], *, below: float, columns: int = 1, **kwargs: Any) -> tuple[Figure, Any]:
    """Axes stacked below each other, each as high as its rows need, and room for axis label and legend (inches)."""
    heights = list(heights)
    size = (WIDTH, sum(heights) + below)
    return plt.subplots(len(heights), columns, figsize=size, height_ratios=heights, squeeze=False, **kwargs)


def facets(names: Sequence[str], *, keys: Sequence[str]) -> tuple[Figure, list[Axes]]:
    """Axes of one size, at most two beside each other, one for each name, with room for a legend of the keys.

    Long names are broken into lines, since axes shrink until their titles fit.
    """
    columns = min(2, len(names))
    rows = math.ceil(len(names) / columns)
    titles = [textwrap.fill(name, TITLE // columns) for name in names]
    lines = max(title.count("\n") for title in titles)
    size = (WIDTH, (1.85 + 0.17 * lines) * rows + 0.25 * math.ceil(len(keys) / key_columns(keys)) + 0.2)
    figure, grid = plt.subplots(rows, columns, figsize=size, sharex=True, sharey=True, squeeze=False)
    for axes, title in zip(grid.flat, titles, strict=False):
        axes.set_title(title)
    for axes in grid.flat[len(names) :]:
        axes.set_axis_off()
    for axes in grid.flat[max(0, len(names) - columns) : len(names)]:
        axes.tick_params(labelbottom=True)
    return figure, list(grid.flat[: len(names)])


def label_facets(axes: list[Axes], below: str, beside: str) -> None:
    """Words at the outer axes alone; what runs up is a rate."""
    columns = min(2, len(axes))
    for place, one in enumerate(axes):
        rate_axis(one, beside if place % columns == 0 else "", vertical=True)
        one.set_xlabel(below if place >= len(axes) - columns else "")


def rate_axis(axes: Axes, text: str, *, vertical: bool = False) -> None:
    """Percent along x (or y) from 0 to 100, on values that are fractions."""
    axis = axes.yaxis if vertical else axes.xaxis
    axis.set_major_locator(FixedLocator([0, 0.25, 0.5, 0.75, 1]))
    axis.set_major_formatter(PercentFormatter(1, decimals=0, symbol=" %"))
    (axes.set_ylim if vertical else axes.set_xlim)(0, 1)
    (axes.set_ylabel if vertical else axes.set_xlabel)(text)


def rows_axis(axes: Axes, labels: list[str]) -> None:
    """Named rows from top to bottom at y = 0, 1, ..., without horizontal grid."""
    axes.set_yticks(range(len(labels)), labels)
    axes.set_ylim(len(labels) - 0.4, -0.6)
    axes.tick_params(axis="y", length=0, pad=8)
    axes.grid(False, axis="y")
    axes.set_ylabel("")


def log_axis(axes: Axes, values: Iterable[float]) -> None:
    """A logarithmic x axis around positive values, with at least two labelled ticks however close they are."""
    low, high = min(values := list(values)) * 0.7, max(values) * 1.4
    axes.set_xscale("log")
    axes.set_xlim(low, high)
    for subs in ([1.0], [1.0, 2.0, 5.0], list(range(1, 10))):
        locator = LogLocator(base=10, subs=subs, numticks=20)
        ticks = [tick for tick in locator.tick_values(low, high) if low <= tick <= high]
        if len(ticks) >= 2:
            break
    else:
        ticks = [float(f"{value:.2g}") for value in np.linspace(low, high, 4)[1:3]]
    # What would print over its neighbour is left out.
    wide = math.log(high / low) / 6
    shown: list[float] = []
    for tick in ticks:
        if not shown or math.log(tick / shown[-1]) >= wide:
            shown.append(tick)
    axes.xaxis.set_major_locator(FixedLocator(shown))
    axes.xaxis.set_major_formatter(lambda value, _: f"{value:,.0f}" if value >= 10 else f"{value:g}")
    axes.xaxis.set_minor_locator(FixedLocator([tick for tick in ticks if tick not in shown]))
    axes.xaxis.set_minor_formatter(NullFormatter())


def cell_size(rows: Sequence[str], columns: int) -> float:
    """The size in points at which a number and a sign stay within a cell of a matrix with these rows."""
    room = 72 * (WIDTH - 0.3) - 5.2 * max(map(len, rows))  # what is left beside the names
    return max(4.5, min(9.5, room / columns / 4.9))


def matrix(
    axes: Axes, cells: pd.DataFrame, signs: pd.DataFrame, of_seeds: Mapping[tuple[Hashable, Hashable], list[float]]
) -> None:
    """A table of rates: percent in cells whose colour grows brighter with the rate, grey where there is none.

    The more columns, the smaller the numbers, so that none leaves its cell. `signs`, of the same shape, holds what
    stands behind a number that a self-check touches. `of_seeds`, by the names of row and column, holds the rates of
    single trainings: the lowest and the highest stand below.
    """
    rates = cells.astype(float)
    size = cell_size([str(name) for name in cells.index], len(cells.columns))
    texts = [
        [f"{percent(rate)} {sign}".rstrip() for rate, sign in zip(*both, strict=True)]
        for both in zip(rates.to_numpy(), signs.to_numpy(), strict=True)
    ]
    shades = mpl.colormaps["cividis"].with_extremes(bad=NOTHING)
    heatmap(axes, rates, np.array(texts), cmap=shades, vmin=0, vmax=1, annot_kws={"fontsize": size})
    places = [(row, column) for row in rates.index for column in rates.columns if pd.notna(rates.loc[row, column])]
    for place, shown in zip(places, axes.texts, strict=True):
        if of_seeds.get(place):
            shown.set_text(f"{shown.get_text()}\n{spread(of_seeds[place])}")
            shown.set(fontsize=0.78 * size, linespacing=1.1)
    for row, column in np.argwhere(rates.isna().to_numpy()):
        axes.text(column + 0.5, row + 0.5, percent(None), ha="center", va="center", fontsize=size, color=ON_BRIGHT)
    names_above(axes, [str(name) for name in cells.columns], 25)


def heatmap(axes: Axes, cells: pd.DataFrame, texts: np.ndarray | bool, **kwargs: Any) -> None:
    """Seaborn's, with texts in the cells and rows named at the left."""
    # It draws the whole figure once to see whether names overlap; that need not be laid out.
    figure = axes.get_figure(root=True)
    assert figure is not None
    figure.set_layout_engine("none")
    sns.heatmap(cells, annot=texts, fmt="", cbar=False, ax=axes, **kwargs)
    figure.set_layout_engine("constrained")
    shades = axes.collections[0].to_rgba(np.ma.masked_invalid(cells.to_numpy(float)))
    for text in axes.texts:  # its own choice of white or black is hard to read on middling shades
        column, row = map(int, text.get_position())
        text.set_color(ON_DARK if relative_luminance(shades[row, column]) < 0.2 else ON_BRIGHT)
    axes.set_yticks(axes.get_yticks(), [str(name) for name in cells.index], rotation=0)
    axes.tick_params(axis="y", length=0, pad=8)
    axes.set(xlabel="", ylabel="")
    axes.grid(False)


def names_above(axes: Axes, names: Sequence[str], rotation: float) -> None:
    """The names of a matrix's columns."""
    axes.set_xticks(
        [place + 0.5 for place in range(len(names))], names, rotation=rotation, ha="left", rotation_mode="anchor"
    )
    axes.tick_params(axis="x", length=0, top=True, labeltop=True, bottom=False, labelbottom=False)


def stems(axes: Axes, rows: pd.Series, values: pd.Series, colors: pd.Series) -> None:
    """A pale line from 0 to each row's value."""
    axes.hlines(rows, 0, values, color=colors, linewidth=3, alpha=0.4, zorder=1)


def dots(axes: Axes, data: Results, table: pd.DataFrame, *, x: str, y: str, fill: float = 1) -> None:
    """One point for each row of a table, in colour and marker of its `attack`; `fill` is its inside's opacity."""
    if table.empty:
        return
    sns.scatterplot(
        table, x=x, y=y, hue="attack", style="attack", palette=data.palette, markers=data.markers, legend=False,
        s=36, linewidth=1, clip_on=False, zorder=3, ax=axes,
    )  # fmt: skip
    points = axes.collections[-1]
    colors = points.get_facecolor()
    points.set_edgecolor(colors)
    points.set_facecolor([(*color[:3], fill) for color in to_rgba_array(colors)])


def trainings(axes: Axes, rows: Iterable[float], rates: Iterable[Sequence[float]]) -> None:
    """A small dot for every training of a victim that was trained several times, on the row of their mean."""
    points = pd.DataFrame([(rate, row) for row, of_seeds in zip(rows, rates, strict=True) for rate in of_seeds])
    single_trainings(axes, points)


def single_trainings(axes: Axes, points: pd.DataFrame) -> None:
    """A small dot at each of some places, x and y."""
    if len(points):
        points = points.set_axis(["x", "y"], axis="columns")
        look = {"color": INK, "s": 9, "linewidth": 0, "alpha": 0.75, "zorder": 4, "clip_on": False}
        sns.scatterplot(points, x="x", y="y", ax=axes, legend=False, **look)


def beside(axes: Axes, row: float, text: str) -> None:
    """A value in the margin right of a row, where it cannot collide with what is drawn."""
    axes.annotate(
        text,
        (1, row),
        (8, 0),
        xycoords=("axes fraction", "data"),
        textcoords="offset points",
        va="center",
        fontsize=9,
    )


def key(label: str, color: str = GREY, *, fill: float = 1, **kwargs: Any) -> Line2D:
    """Legend entry of a marker."""
    shape: dict[str, Any] = {"marker": "o", "linestyle": "", "markersize": 6, "markeredgewidth": 1}
    face = to_rgba_array(color, fill)[0]
    return Line2D([], [], color=color, markeredgecolor=color, markerfacecolor=face, label=label, **shape | kwargs)


def attack_keys(looks: dict[str, Look], *, lines: bool = False) -> list[Line2D]:
    """Legend entries of attacks, drawn as markers or as lines with markers."""
    return [
        key(attack, look.color, marker=look.marker, linestyle=(0, look.dash or ()) if lines else "")
        for attack, look in looks.items()
    ]


def key_columns(keys: Sequence[str]) -> int:
    """How many entries of a legend stand beside each other."""
    return 3 if max(map(len, keys)) <= 15 else 2


def legend(figure: Figure, handles: Sequence[Artist], *, columns: int = 3) -> None:
    """A legend below the axes, never on top of what is drawn."""
    figure.legend(handles=list(handles), loc="outside lower center", ncols=min(columns, len(handles)), handlelength=2.6)
