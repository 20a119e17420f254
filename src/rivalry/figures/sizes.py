"""Whether larger changes are caught more easily."""

from __future__ import annotations

from rivalry.figures._figure import Absent, Drawn, figure
from rivalry.figures._results import Results, each, label
from rivalry.figures._style import attack_keys, dots, facets, key_columns, label_facets, legend
from rivalry.formatting import missing, number, percent


@figure
def sizes(data: Results) -> list[Drawn]:
    """The share of adversarial images that each defense catches, against the mean L2 of their changes."""
    table = data.sizes
    names = list(dict.fromkeys(zip(table["victim"], table["defense"], strict=True)))
    if not names:
        raise Absent("no defense met adversarial images that were made without knowing it")
    _, keys = data.met(table)
    figure, grid = facets([f"{defense} on {victim}" for victim, defense in names], keys=list(keys))
    sentences = []
    told = data.size_correlations
    for axes, (victim, defense) in zip(grid, names, strict=True):
        part = table[(table["victim"] == victim) & (table["defense"] == defense)]
        axes.vlines(part["mean_l2"], part["low"], part["high"], color=part["attack"].map(data.palette), linewidth=1)
        dots(axes, data, part, x="mean_l2", y="caught")
        mine = told[(told["victim"] == victim) & (told["defense"] == defense) & (told["size"] == "l2")]
        rho = mine.loc[mine["over"] == "images", "rho"]
        if len(rho) and not missing(rho.iloc[0]):
            axes.annotate(f"ρ {number(rho.iloc[0])}", (0.97, 0.06), xycoords="axes fraction", ha="right", fontsize=9)
        cells = [
            f"{label(one.attack, one.eps)} {percent(one.caught)} % at {number(one.mean_l2)}"
            for one in each(part.sort_values("mean_l2"))
        ]
        sentences.append(f"{defense} on {victim} catches {', '.join(cells)}")
    grid[0].set_xlim(left=0)
    label_facets(grid, "mean L2 of the changes", "caught")
    legend(figure, attack_keys(keys), columns=key_columns(list(keys)))
    return [
        Drawn(
            "sizes",
            "Larger changes, and what defenses catch",
            "Adversarial images that fool the undefended victim and were made without knowing the defense, a point for "
            "each attack and budget: the share that a detector flags, or that another defense brings back to its "
            "class, against the mean L2 of the changes. ρ is Spearman's rank correlation over single images, all "
            "attacks together. Vertical lines are Wilson intervals.",
            f"Scatter chart. {'; '.join(sentences)}.",
            figure,
        )
    ]
