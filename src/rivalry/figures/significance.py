"""Which attacks differ by more than chance."""

from __future__ import annotations

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib.patches import Patch, Rectangle

from rivalry.figures._figure import Absent, Drawn, figure
from rivalry.figures._results import Results, each, label
from rivalry.figures._style import WIDTH, cell_size, heatmap, legend, names_above
from rivalry.formatting import NORMS, points

NEUTRAL, SHADES = "#f7f7f7", "PuOr_r"
"""A cell that says nothing, which is also the middle of the shades."""
HATCH = "#c8c8c8"
CROWDED, TOO_MANY = 9, 14
"""Attacks above which numbers are whole, and above which there is no room for any; the table has them."""


@figure
def significance(data: Results) -> list[Drawn]:
    """Which attacks differ: a matrix of pairwise differences per victim and norm, each attack at its largest budget."""
    table = data.comparisons[data.comparisons["kind"] == "attack"].fillna({"significant": False})
    kinds = {name: f"{fact['goal']} {fact['norm']}" for name, fact in data.methods.items()}
    games = table["attack_a"].map(kinds)
    table = table.assign(game=games)[games == table["attack_b"].map(kinds)]
    drawn = []
    for victim in data.victims:
        own = table[table["victim"] == victim]
        for game in dict.fromkeys(kinds.values()):
            part = own[own["game"] == game]
            eps = dict(zip(part["attack_a"], part["eps_a"], strict=True))
            eps |= dict(zip(part["attack_b"], part["eps_b"], strict=True))
            if eps:
                names = {name: label(name, eps[name]) for name in data.methods if name in eps}
                drawn.append(_matrix(part, names, victim, game, data.of_seeds("tests")))
    if not drawn:
        raise Absent("no two attacks of one norm met the same victim")
    return drawn


def _matrix(part: pd.DataFrame, names: dict[str, str], victim: str, game: str, of_seeds: str) -> Drawn:
    goal, norm = game.split()
    attacks, shown = list(names), list(names.values())
    size = len(attacks)
    crowded = size > CROWDED
    figure, axes = plt.subplots(figsize=(WIDTH, 1.15 + (0.24 if crowded else 0.42) * size))
    shades = pd.DataFrame(0.0, index=shown, columns=shown)
    texts = np.full((size, size), "", dtype=object)
    fair, bold = np.eye(size, dtype=bool), np.zeros((size, size), dtype=bool)
    sentences = []
    for pair in each(part):
        a, b = attacks.index(pair.attack_a), attacks.index(pair.attack_b)
        for row, column, value in ((a, b, pair.difference), (b, a, -pair.difference)):
            fair[row, column], bold[row, column] = pair.like_for_like, pair.significant
            texts[row, column] = _whole_points(value) if crowded else points(value)
            shades.iloc[row, column] = value if pair.like_for_like and pair.significant else 0
        if pair.like_for_like:
            word = "differs from" if pair.significant else "is not distinguishable from"
            sentences.append(f"{shown[a]} {word} {shown[b]} ({points(pair.difference)} points)")
    largest = max(0.05, part["difference"].abs().max()) / 0.9
    heatmap(
        axes, shades, size <= TOO_MANY and texts, cmap=SHADES, vmin=-largest,
        vmax=largest, linewidths=1.2, linecolor=NEUTRAL, annot_kws={"fontsize": min(8.0, cell_size(shown, size))},
    )  # fmt: skip
    for row, column in np.argwhere(~fair):
        axes.add_patch(Rectangle((column, row), 1, 1, fill=False, hatch="////", edgecolor=HATCH, linewidth=0))
    for text in axes.texts:
        column, row = (int(place) for place in text.get_position())
        if bold[row, column]:
            text.set_fontweight("bold")
        if not fair[row, column]:
            text.set_bbox({"facecolor": NEUTRAL, "edgecolor": "none", "pad": 0.4 if crowded else 0.8})
    names_above(axes, shown, 55 if crowded else 35)
    if crowded:
        axes.tick_params(labelsize=7)
    counted = "hits" if goal == "targeted" else "errors"
    more, fewer = plt.get_cmap(SHADES)([0.9, 0.1])
    legend(
        figure,
        [
            Patch(facecolor=more, label=f"row: more {counted}"),
            Patch(facecolor=fewer, label=f"row: fewer {counted}"),
            Patch(facecolor=NEUTRAL, edgecolor=HATCH, label="not distinguishable"),
            Patch(facecolor=NEUTRAL, edgecolor=HATCH, hatch="////", label="not like for like"),
        ],
        columns=2,
    )
    kind = f"{goal} {NORMS.get(norm, norm)}"
    return Drawn(
        f"significance_{victim}_{goal}_{norm}",
        f"Which {kind} attacks on {victim} differ",
        ("Share of images taken for their target under" if goal == "targeted" else "Error rate caused by")
        + " the attack in the row minus that of the attack in the column, in "
        "percentage points, each attack at its largest budget. Bold and coloured: an exact McNemar "
        "test, Holm-corrected over all like-for-like comparisons but those of worst cases, tells the two apart. "
        "Hatched: budgets differ, so that nothing is tested, or (empty) the two are not compared at all. Pairs of "
        f"attacks of different norms are only in the table.{of_seeds}",
        f"Matrix of differences between {kind} attacks on {victim}. "
        f"{'; '.join(sentences) or 'No pair is like for like'}.",
        figure,
        group="significance",
    )


def _whole_points(difference: float) -> str:
    """A difference of fractions in whole percentage points, rounded: 0.0199 is '+2'."""
    text = f"{100 * difference:+.0f}"
    return "0" if text in ("+0", "-0") else text.replace("-", "−")
