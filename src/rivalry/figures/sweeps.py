"""What one number of a training does to victims that differ in nothing else."""

from __future__ import annotations

import pandas as pd
import seaborn as sns
from matplotlib.axes import Axes

from rivalry.figures._figure import Absent, Drawn, figure
from rivalry.figures._looks import INK
from rivalry.figures._results import Results, label
from rivalry.figures._style import attack_keys, key, key_columns, legend, log_axis, rate_axis, stack
from rivalry.formatting import percent, plain
from rivalry.statistics.sweeps import FEWEST, Sweep
from rivalry.statistics.sweeps import sweeps as found

WIDE = 20
"""How many times the smallest value the largest must be for a logarithmic axis."""


@figure
def sweeps(data: Results) -> list[Drawn]:
    """Accuracy under each attack against the one number in which victims differ."""
    drawn: list[Drawn] = []
    for sweep in found(data.victims):
        scores = data.strongest(data.undefended[data.undefended["victim"].isin(list(sweep.numbers))])
        scores = scores.assign(value=scores["victim"].map(sweep.numbers))
        # Of an attack at another largest eps on some of them, a line would compare budgets.
        same = scores.groupby("attack")["eps"].transform("nunique", dropna=False) == 1
        several = scores.groupby("attack")["value"].transform("nunique") >= FEWEST
        if (table := scores[same & several]).shape[0]:
            drawn.append(_sweep(data, sweep, table, len(drawn) + 1))
    if not drawn:
        raise Absent(f"no {FEWEST} victims that differ in one number alone met the same attack")
    return drawn


def _sweep(data: Results, sweep: Sweep, table: pd.DataFrame, place: int) -> Drawn:
    seen = table[(table["sees"] == "gradients") & table["zero_gradient_share"].notna()]
    flat = bool((seen["zero_gradient_share"] > 0).any())
    figure, grid = stack([2.4, 1.5] if flat else [2.4], below=0.9, sharex=True)
    above = grid[0, 0]
    first = table.groupby("victim", sort=False).first().sort_values("value")
    above.plot(first["value"], first["clean_accuracy"], color=INK, linestyle=":", marker="o", markerfacecolor="none")
    for attack, line in table.sort_values("value").groupby("attack", sort=False):
        above.vlines(line["value"], line["adversarial_low"], line["adversarial_high"], color=data.palette[str(attack)])
    _lines(above, data, table, "adversarial_accuracy")
    rate_axis(above, "accuracy", vertical=True)
    if flat:
        _lines(grid[1, 0], data, seen, "zero_gradient_share")
        rate_axis(grid[1, 0], "no gradient", vertical=True)
    values = list(sweep.numbers.values())
    below = grid[-1, 0]
    if min(values) > 0 and max(values) >= WIDE * min(values):
        log_axis(below, values)
    below.set_xlabel(sweep.parameter.replace("_", " "))
    _, keys = data.met(table)
    legend(
        figure,
        [key("clean", INK, fill=0, linestyle=":"), *attack_keys(keys, lines=True)],
        columns=key_columns(list(keys)),
    )
    method = data.victims[table["victim"].iloc[0]]["method"]
    sentences = [
        f"clean {_course(first, 'clean_accuracy')}",
        *(
            f"{label(str(attack), line['eps'].iloc[0])} {_course(line, 'adversarial_accuracy')}"
            for attack, line in table.sort_values("value").groupby("attack", sort=False)
        ),
        *(
            f"no gradient in {attack} {_course(line, 'zero_gradient_share')}"
            for attack, line in seen.sort_values("value").groupby("attack", sort=False)
            if flat
        ),
    ]
    return Drawn(
        f"sweep_{place}_{sweep.parameter}",
        f"What {sweep.parameter.replace('_', ' ')} does ({method})",
        f"Victims that differ in {sweep.parameter} alone; so may those that they learned from. Shown is the accuracy "
        "that each attack leaves, at its largest budget, with its Wilson interval; dotted, the accuracy without an "
        "attack. "
        + (
            "Below, the share of images on which the attack met a gradient of zero: where it is high, an attack on the "
            "loss fails because it has nothing to follow. "
            if flat
            else ""
        )
        + "Lines only join the points.",
        f"Line chart over {sweep.parameter}. {'; '.join(sentences)}.",
        figure,
        group="sweeps",
    )


def _lines(axes: Axes, data: Results, table: pd.DataFrame, y: str) -> None:
    sns.lineplot(
        table.sort_values("value"), x="value", y=y, hue="attack", style="attack", palette=data.palette,
        markers=data.markers, dashes=data.dashes, markeredgewidth=0, estimator=None, errorbar=None, legend=False,
        clip_on=False, ax=axes,
    )  # fmt: skip


def _course(line: pd.DataFrame, column: str) -> str:
    return ", ".join(
        f"{percent(rate)} % at {plain(float(value))}" for value, rate in zip(line["value"], line[column], strict=True)
    )
