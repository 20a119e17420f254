"""How victims were trained."""

from __future__ import annotations

import pandas as pd
import seaborn as sns
from matplotlib.ticker import PercentFormatter

from rivalry import artifacts
from rivalry.figures._figure import Absent, Drawn, figure
from rivalry.figures._looks import ALARM, CALM, GREY, HUES, INK
from rivalry.figures._results import Results
from rivalry.figures._style import key, legend, stack
from rivalry.formatting import listing, percent

DASHES = {"training": "", "validation": (4, 1.5), "attacked validation": (1.2, 1.2)}
COLORS = {"training": CALM, "validation": ALARM, "attacked validation": HUES[2]}


@figure
def training(data: Results) -> list[Drawn]:
    """Loss and validation accuracy over the epochs of every victim that was trained in epochs."""
    files = {victim: data.layout.victim(data.dataset, victim)["curve"] for victim in data.victims}
    logs = {victim: artifacts.read_table(file) for victim, file in files.items() if file.is_file()}
    logs = {victim: log for victim, log in logs.items() if len(log) > 1}
    if not logs:
        raise Absent("no victim was trained in more than one epoch")
    figure, grid = stack([1.35] * len(logs), below=0.5, columns=2)
    sentences: list[str] = []
    shown: set[str] = set()
    for (left, right), (victim, log) in zip(grid, logs.items(), strict=True):
        losses = {"training": log["train_loss"], "validation": log["validation_loss"]}
        accuracies = {"validation": log["validation_accuracy"]}
        if log["robust_accuracy"].notna().any():
            accuracies["attacked validation"] = log["robust_accuracy"]
        shown |= {**losses, **accuracies}.keys()
        for axes, curves, name in ((left, losses, "loss"), (right, accuracies, "accuracy")):
            table = pd.concat(
                [pd.DataFrame({"epoch": log["epoch"], name: curve, "of": of}) for of, curve in curves.items()]
            )
            sns.lineplot(
                table, x="epoch", y=name, hue="of", style="of", palette=COLORS, dashes=DASHES, estimator=None,
                errorbar=None, marker="o", markersize=3.5, markeredgewidth=0, legend=False, ax=axes,
            )  # fmt: skip
            axes.set_xlabel("")
            axes.locator_params(axis="x", integer=True, nbins=6)
            axes.locator_params(axis="y", nbins=4)
        for name in data.trainings(victim)[1:]:
            other = artifacts.read_table(data.layout.victim(data.dataset, name)["curve"])
            thin = {"color": GREY, "linewidth": 0.7, "alpha": 0.8, "zorder": 1}
            left.plot(other["epoch"], other["validation_loss"], **thin)
            right.plot(other["epoch"], other["validation_accuracy"], **thin)
        left.set_ylim(bottom=0)
        left.set_title(victim)
        kept = log[log["epoch"] == data.victims[victim]["best_epoch"]]
        circle = {"facecolor": "none", "edgecolor": INK, "s": 80, "linewidth": 1.1, "zorder": 3, "clip_on": False}
        for column in ("validation_accuracy", "robust_accuracy")[: len(accuracies)]:
            sns.scatterplot(kept, x="epoch", y=column, ax=right, **circle)
        right.set(xlabel="", ylabel="accuracy")
        right.yaxis.set_major_formatter(PercentFormatter(1, decimals=None, symbol=" %"))
        best = [f"{percent(curve.max())} % {of} accuracy" for of, curve in accuracies.items()]
        sentences.append(f"{victim} reaches {listing(best)} in {len(log)} epochs")
    for axes in grid[-1]:
        axes.set_xlabel("epoch")
    curves_shown = [
        key(name, COLORS[name], linestyle=(0, DASHES[name] or ()), markersize=3) for name in COLORS if name in shown
    ]
    legend(figure, [*curves_shown, key("kept epoch", INK, fill=0, markersize=9)])
    return [
        Drawn(
            "training",
            "How the victims were trained",
            "Loss (left) and accuracy on validation images (right) after each epoch; where training attacks, also on "
            "the same images under ten steps of an attack. Circles mark the epoch whose weights were kept, chosen on "
            "validation images, never on test images. The losses of a victim with a regularised or adversarial loss "
            f"cannot be compared with those of other victims.{data.of_seeds('curves')}",
            f"Line charts. {listing(sentences)}.",
            figure,
        )
    ]
