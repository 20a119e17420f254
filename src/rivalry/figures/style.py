"""How every figure looks, and how it is written: colours that colour-blind readers can tell apart, the same colour
for the same attack everywhere, text that follows the page's light or dark theme, and the same bytes each time."""

from __future__ import annotations

import math
import re
import warnings
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import matplotlib as mpl

mpl.use("Agg")

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.text import Text

from rivalry import artifacts
from rivalry.formatting import INVISIBLE, epsilon, missing, percent, printed

INK = "#0b0c0e"
"""Colour of text and axes; in the SVG it becomes `currentColor`, so that it follows the page."""
GREY = "#8a8f98"
ALARM = "#d55e00"
CALM = "#0072b2"
# Okabe and Ito's colours without black and yellow, which vanish on a dark or on a light page.
HUES = ["#0072b2", "#e69f00", "#009e73", "#d55e00", "#56b4e9", "#cc79a7"]
HATCHES = ["", "////", "\\\\\\\\", "xxxx", "----", "||||"]
MARKERS = ["o", "s", "^", "D", "v", "P", "X", "p"]
LINES: list[Any] = ["-", (0, (4, 1.5)), (0, (1, 1.2)), (0, (6, 1.5, 1, 1.5)), (0, (3, 1, 1, 1, 1, 1))]
CONTROLS = ["random_noise", "semi_random_noise", "backdoor_trigger"]
"""Methods that optimise nothing; drawn in grey."""
WIDTH = 4.8
"""Inches: narrow enough that a phone shows 10-point text legibly."""

SETTINGS = {"undefended": "without the defense", "oblivious": "defense unknown to the attacker"} | {
    "adaptive": "defense known (adaptive)"
}


class Absent(Exception):
    """This figure has nothing to show; the message is the reason."""


@dataclass(frozen=True)
class Drawn:
    """A finished figure and the words that go with it.

    Attributes
    ----------
    name : str
        File name without suffix, unique within the data set.
    title, caption, alt : str
        The caption says how to read the figure; the alt text says what it shows, with numbers.
    figure : Figure
    group : str
        Figures of one group are variants (one per victim); the paper prints the first of each.
    """

    name: str
    title: str
    caption: str
    alt: str
    figure: Figure
    group: str = ""


@dataclass(frozen=True)
class Look:
    """How one attack is drawn."""

    color: str
    hatch: str
    marker: str
    line: Any


def looks(methods: dict[str, tuple[str, str]]) -> dict[str, Look]:
    """The look of each attack of a run, no two alike.

    Entries of one method share its colour; whatever shares a colour differs in hatch, and in line and marker together.

    Parameters
    ----------
    methods : dict
        Attack -> its method and goal, in the configuration's order, over all data sets: so an attack looks the same in
        every figure.
    """
    found: dict[str, Look] = {}
    optimised = list(dict.fromkeys(method for method, _ in methods.values() if method not in CONTROLS))
    used: Counter[str] = Counter()
    # Untargeted entries first, so that the plainest look of a colour is theirs.
    for attack, (method, _) in sorted(methods.items(), key=lambda item: item[1][1] == "targeted"):
        color = GREY if method in CONTROLS else HUES[optimised.index(method) % len(HUES)]
        place, used[color] = used[color], used[color] + 1
        start = 0 if color == GREY else HUES.index(color)
        found[attack] = Look(
            color=color,
            hatch=HATCHES[place % len(HATCHES)],
            marker=MARKERS[(start + place) % len(MARKERS)],
            line=LINES[place % len(LINES)],
        )
    return found


def use_style() -> None:
    """Set Matplotlib up for this package's figures, from its defaults."""
    mpl.rcdefaults()
    mpl.rcParams.update(
        {
            "font.family": "DejaVu Sans",
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
            "lines.markersize": 5,
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
        }
    )


def stack(heights: Iterable[float], *, below: float, columns: int = 1, **kwargs: Any) -> tuple[Figure, Any]:
    """Axes stacked below each other, each as high as its rows need, and room for axis label and legend (inches)."""
    heights = list(heights)
    size = (WIDTH, sum(heights) + below)
    return plt.subplots(len(heights), columns, figsize=size, height_ratios=heights, squeeze=False, **kwargs)


def label(attack: str, eps: float | None) -> str:
    """An attack's name, with its budget where it has one."""
    return attack if missing(eps) else f"{attack}  ε {epsilon(eps)}"


def rate_axis(axes: Axes, text: str, *, vertical: bool = False) -> None:
    """Percent along x (or y) from 0 to 100, on values that are fractions."""
    axis = axes.yaxis if vertical else axes.xaxis
    axis.set_major_locator(mpl.ticker.FixedLocator([0, 0.25, 0.5, 0.75, 1]))
    axis.set_major_formatter(mpl.ticker.PercentFormatter(1, decimals=0, symbol=" %"))
    (axes.set_ylim if vertical else axes.set_xlim)(0, 1)
    (axes.set_ylabel if vertical else axes.set_xlabel)(text)


def rows_axis(axes: Axes, labels: list[str]) -> None:
    """Named rows from top to bottom at y = 0, 1, ..., without horizontal grid."""
    axes.set_yticks(range(len(labels)), labels)
    axes.set_ylim(len(labels) - 0.4, -0.6)
    axes.tick_params(axis="y", length=0, pad=8)
    axes.grid(False, axis="y")


def log_axis(axes: Axes, values: Iterable[float]) -> None:
    """A logarithmic x axis around positive values, with at least two labelled ticks however close they are."""
    low, high = min(values := list(values)) * 0.7, max(values) * 1.4
    axes.set_xscale("log")
    axes.set_xlim(low, high)
    for subs in ([1.0], [1.0, 2.0, 5.0], list(range(1, 10))):
        locator = mpl.ticker.LogLocator(base=10, subs=subs, numticks=20)
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
    axes.xaxis.set_major_locator(mpl.ticker.FixedLocator(shown))
    axes.xaxis.set_major_formatter(lambda value, _: f"{value:,.0f}" if value >= 10 else f"{value:g}")
    axes.xaxis.set_minor_locator(mpl.ticker.FixedLocator([tick for tick in ticks if tick not in shown]))
    axes.xaxis.set_minor_formatter(mpl.ticker.NullFormatter())


def cell_size(rows: Sequence[str], columns: int) -> float:
    """The size in points at which a number and a sign stay within a cell of a matrix with these rows."""
    room = 72 * (WIDTH - 0.3) - 5.2 * max(map(len, rows))  # what is left beside the names
    return max(4.5, min(9.5, room / columns / 4.9))


def matrix(axes: Axes, cells: pd.DataFrame, signs: pd.DataFrame) -> None:
    """A table of rates: percent in cells whose colour grows brighter with the rate, grey where there is none.

    The more columns, the smaller the numbers, so that none leaves its cell. `signs`, of the same shape, holds what
    stands behind a number that a self-check touches.
    """
    shades = plt.get_cmap("cividis")
    size = cell_size([str(name) for name in cells.index], len(cells.columns))
    for row, values in enumerate(cells.to_numpy()):
        for column, value in enumerate(values):
            empty = missing(value)
            axes.add_patch(
                plt.Rectangle(
                    (column - 0.49, row - 0.48),
                    0.98,
                    0.96,
                    linewidth=0,
                    facecolor="#efefef" if empty else shades(value),
                )
            )
            axes.annotate(
                percent(value) + ("" if empty else f" {signs.iloc[row, column]!s}".rstrip()),
                (column, row),
                ha="center",
                va="center",
                fontsize=size,
                color="#111111" if empty or value > 0.55 else "white",
            )
    axes.set_xlim(-0.5, len(cells.columns) - 0.5)
    rows_axis(axes, [str(name) for name in cells.index])
    axes.set_ylim(len(cells) - 0.5, -0.5)
    axes.set_xticks(range(len(cells.columns)), cells.columns, rotation=25, ha="left", rotation_mode="anchor")
    axes.tick_params(axis="x", length=0, top=True, labeltop=True, bottom=False, labelbottom=False)
    axes.grid(False)
    axes.spines[:].set_visible(False)


def beside(axes: Axes, row: float, text: str) -> None:
    """A value in the margin right of a row, where it cannot collide with what is drawn."""
    axes.annotate(
        text,
        (1, row),
        (6, 0),
        xycoords=("axes fraction", "data"),
        textcoords="offset points",
        va="center",
        fontsize=9,
    )


def attack_keys(looks: dict[str, Look]) -> list[Line2D]:
    """Legend entries for attacks drawn as lines."""
    return [
        Line2D([], [], color=look.color, marker=look.marker, linestyle=look.line, label=attack)
        for attack, look in looks.items()
    ]


def legend(figure: Figure, handles: list[Any], *, columns: int = 3) -> None:
    """A legend below the axes, never on top of what is drawn."""
    figure.legend(handles=handles, loc="outside lower center", ncols=min(columns, len(handles)), handlelength=2.6)


def save(drawn: Drawn, folder: Path, prefix: str) -> dict[str, str]:
    """Write the figure as .svg for the page and as .pdf for the paper; the same figure gives the same bytes.

    Returns the two file names by suffix.
    """
    names = {suffix: f"{drawn.name}.{suffix}" for suffix in ("svg", "pdf")}
    with _spelled(drawn.figure):
        drawn.figure.draw_without_rendering()
        drawn.figure.set_layout_engine("none")  # it has done its work; both files have the same layout
        with artifacts.replacing(folder / names["pdf"]) as temporary:
            drawn.figure.savefig(temporary, metadata={"CreationDate": None, "Creator": None, "Producer": None})
    with artifacts.replacing(folder / names["svg"]) as temporary, warnings.catch_warnings():
        # The page's reader may have what Matplotlib's font lacks.
        warnings.filterwarnings("ignore", message="Glyph .* missing")
        drawn.figure.savefig(temporary, metadata={"Date": None, "Creator": None})
        temporary.write_text(_for_a_page(temporary.read_text(encoding="utf-8"), prefix), encoding="utf-8")
    plt.close(drawn.figure)
    return names


@contextmanager
def _spelled(figure: Figure) -> Iterator[None]:
    """The figure in letters that its font has; when it has its own back, they take no more room than these did."""
    axes = [axis for one in figure.axes for axis in (one.xaxis, one.yaxis)]
    named = [axis for axis in axes if isinstance(axis.get_major_locator(), mpl.ticker.FixedLocator)]
    ticks = [(axis, [label.get_text() for label in axis.get_ticklabels()]) for axis in named]
    ticks = [(axis, labels) for axis, labels in ticks if list(map(printed, labels)) != labels]
    texts = [(text, text.get_text()) for text in figure.findobj(Text) if printed(text.get_text()) != text.get_text()]
    for axis, labels in ticks:
        axis.set_ticklabels(list(map(printed, labels)))
    for text, words in texts:
        text.set_text(printed(words))
    yield
    for axis, labels in ticks:
        axis.set_ticklabels(labels)
    for text, words in texts:
        text.set_text(words)


def _for_a_page(svg: str, prefix: str) -> str:
    """Make an SVG fit to be inlined: ink follows the page, the page's font, identifiers unique on the page."""
    svg = re.sub(r"<metadata>.*?</metadata>\s*", "", svg[svg.index("<svg") :], flags=re.DOTALL)
    # Numbered as they come: those of Matplotlib before 3.10 hold addresses in memory.
    used = dict.fromkeys(re.findall(r"(?:url\(#|href=\"#)([^)\"]+)", svg))
    names = {name: f"{prefix}-{place}" for place, name in enumerate(used)}

    def fit(tag: re.Match[str]) -> str:
        made = tag[0].replace(INK, "currentColor")
        made = re.sub(r"font: ([^;\"]*?px) [^;\"]*", r"font: \1 system-ui, 'DejaVu Sans', sans-serif", made)
        made = re.sub(r' id="([^"]+)"', lambda m: f' id="{names[m[1]]}"' if m[1] in names else "", made)
        return re.sub(r"(url\(#|href=\"#)([^)\"]+)", lambda m: m[1] + names[m[2]], made)

    # Tags only: what stands between them is the user's.
    return re.sub(r"<[^>]*>", fit, INVISIBLE.sub("", svg))
