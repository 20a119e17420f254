"""What each attack leaves of a victim's accuracy, and how that falls as its budget grows."""

from __future__ import annotations

import pandas as pd
import seaborn as sns

from rivalry.figures._figure import Absent, Drawn, figure
from rivalry.figures._looks import INK
from rivalry.figures._pages import ROW, Page, numbered, pages
from rivalry.figures._results import Results, each, label
from rivalry.figures._style import (
    attack_keys,
    beside,
    dots,
    facets,
    key_columns,
    label_facets,
    legend,
    rate_axis,
    rows_axis,
    single_trainings,
    stack,
    stems,
    trainings,
)
from rivalry.formatting import NORMS, epsilon, percent
from rivalry.statistics import marks


@figure
def accuracy(data: Results) -> list[Drawn]:
    """Accuracy that every attack leaves on every victim, with Wilson intervals."""
    scores = data.strongest(data.undefended)
    if scores.empty:
        raise Absent("no attack was run on an undefended victim")
    found = pages(data, scores)
    return [_accuracies(data, page, number, len(found)) for number, page in enumerate(found, start=1)]


def _accuracies(data: Results, page: Page, number: int, of: int) -> Drawn:
    figure, grid = stack([0.4 + ROW * (len(part) + 1) for _, part in page], below=0.35, sharex=True)
    sentences = []
    for axes, (victim, part) in zip(grid[:, 0], page, strict=True):
        table = part.assign(row=range(1, len(part) + 1))
        first = part.iloc[0]
        stems(axes, table["row"], table["adversarial_accuracy"], table["attack"].map(data.palette))
        axes.hlines(table["row"], table["adversarial_low"], table["adversarial_high"], color=INK, linewidth=1)
        dots(axes, data, table, x="adversarial_accuracy", y="row")
        trainings(axes, range(len(table) + 1), [first["clean_accuracy_seeds"], *table["adversarial_accuracy_seeds"]])
        axes.hlines(0, first["clean_low"], first["clean_high"], color=INK, linewidth=1)
        clean = {"marker": "o", "facecolor": "none", "edgecolor": INK, "s": 36, "linewidth": 1.1, "clip_on": False}
        sns.scatterplot(x=[first["clean_accuracy"]], y=[0], ax=axes, zorder=3, **clean)
        for row, value in enumerate([first["clean_accuracy"], *part["adversarial_accuracy"]]):
            beside(axes, row, percent(value))
        rows_axis(axes, ["clean", *data.labels(part)])
        axes.set_title(f"{victim}  (n = {_counts(part)})")
        sentences.append(
            f"{victim}: clean {percent(first['clean_accuracy'])} %, "
            + ", ".join(f"{label(s.attack, s.eps)} {percent(s.adversarial_accuracy)} %" for s in each(part))
        )
    rate_axis(grid[-1, 0], "accuracy that is left")
    name, title = numbered("accuracy", "Accuracy under attack", number, of)
    return Drawn(
        name,
        title,
        "Each point is the accuracy that one attack leaves of a victim, at the attack's largest budget; "
        "the open circle on top is the accuracy on the same images without an attack. The thin line is the Wilson "
        "interval, the number at the right the accuracy in percent. Farther left is a stronger attack. "
        f"Targeted attacks need one particular class and therefore often leave more."
        f"{data.of_seeds('dots')} {marks.MEANING}",
        f"Dot chart of accuracy under attack. {'. '.join(sentences)}.",
        figure,
    )


def _counts(part: pd.DataFrame) -> str:
    least, most = int(part["n"].min()), int(part["n"].max())
    return f"{most}" if least == most else f"{least} to {most}"


@figure
def accuracy_by_eps(data: Results) -> list[Drawn]:
    """Accuracy against the budget, one figure per norm."""
    drawn = [
        _by_eps(data, str(norm), table)
        for norm, table in data.budgeted(data.undefended).groupby("norm")
        if len(set(table["eps"])) > 1
    ]
    if not drawn:
        raise Absent("no norm has attacks at several eps")
    return drawn


def _by_eps(data: Results, norm: str, table: pd.DataFrame) -> Drawn:
    victims, keys = data.met(table)
    figure, grid = facets(victims, keys=list(keys))
    sentences = []
    for axes, victim in zip(grid, victims, strict=True):
        curves = []
        for attack, look in keys.items():
            line = table[(table["victim"] == victim) & (table["attack"] == attack)]
            if line.empty:
                continue
            first = line.iloc[0]
            if len(line) == 1:
                axes.vlines(
                    first["eps"], first["adversarial_low"], first["adversarial_high"], color=look.color, linewidth=1
                )
                points = [(first["eps"], rate) for rate in first["adversarial_accuracy_seeds"]]
                single_trainings(axes, pd.DataFrame(points))
                sentences.append(
                    f"{victim} under {attack} keeps {percent(first['adversarial_accuracy'])} % at ε "
                    f"{epsilon(first['eps'])}"
                )
            else:
                clean = {f"adversarial_{end}": first[f"clean_{end}"] for end in ("accuracy", "low", "high")}
                line = pd.concat([pd.DataFrame([{"attack": attack, "eps": 0.0} | clean]), line], ignore_index=True)
                band = line["eps"], line["adversarial_low"], line["adversarial_high"]
                axes.fill_between(*band, color=look.color, alpha=0.13, linewidth=0)
                of_seeds = [first["clean_accuracy_seeds"], *line["adversarial_accuracy_seeds"].iloc[1:]]
                for rates in zip(*of_seeds, strict=True):
                    axes.plot(line["eps"], rates, color=look.color, linewidth=0.6, alpha=0.6, zorder=1)
                left = [percent(value) for value in line["adversarial_accuracy"]]
                sentences.append(
                    f"{victim} under {attack} goes from {left[0]} % to {left[-1]} % at ε "
                    f"{epsilon(line['eps'].iloc[-1])}"
                )
            curves.append(line[["attack", "eps", "adversarial_accuracy"]])
        sns.lineplot(
            pd.concat(curves), x="eps", y="adversarial_accuracy", hue="attack", style="attack", palette=data.palette,
            markers=data.markers, dashes=data.dashes, markeredgewidth=0, estimator=None, errorbar=None,
            legend=False, clip_on=False,
            ax=axes,
        )  # fmt: skip
        axes.set_xlim(left=0)
    name = NORMS.get(norm, norm)
    label_facets(grid, f"budget ε ({name})", "accuracy")
    legend(figure, attack_keys(keys, lines=True), columns=key_columns(list(keys)))
    return Drawn(
        f"accuracy_by_eps_{norm}",
        f"Accuracy against the {name} budget",
        "Accuracy that each attack leaves as its budget ε grows; at ε = 0 it is the accuracy on "
        "the same images without an attack. Bands are Wilson intervals; an attack that was run at "
        "one budget is a point with its interval. A curve that rises again belongs to an attack "
        f"that overshoots, or to a victim whose gradients mislead it.{data.of_seeds('lines')}",
        f"Line chart. {'; '.join(sentences)}.",
        figure,
    )
