"""What is left of each victim when an image must survive all attacks."""

from __future__ import annotations

import pandas as pd
import seaborn as sns

from rivalry.figures._figure import Absent, Drawn, figure
from rivalry.figures._looks import ALARM, GREY, INK
from rivalry.figures._results import Results
from rivalry.figures._style import beside, key, legend, rate_axis, rows_axis, stack, trainings
from rivalry.formatting import NORMS, epsilon, guarded, percent
from rivalry.statistics import marks
from rivalry.statistics.headlines import ranking


@figure
def worst_case(data: Results) -> list[Drawn]:
    """Clean and worst-case accuracy of every victim and defended victim, per norm at its headline budget."""
    limited = [row for row in data.worst_cases if row["headline"] and row["eps"] is not None]
    if not limited:
        raise Absent("no victim met two attacks within one budget, so there is no worst case")
    norms = list(dict.fromkeys(row["norm"] for row in limited))
    groups = {norm: ranking([row for row in limited if row["norm"] == norm]) for norm in norms}
    figure, grid = stack([0.4 + 0.27 * len(part) for part in groups.values()], below=0.65, sharex=True)
    sentences = []
    for axes, (norm, part) in zip(grid[:, 0], groups.items(), strict=True):
        names = [
            f"{guarded(case['victim'], case['defense'])}  {marks.sign(marks.of_case(data.checks, case))}".rstrip()
            for case in part
        ]
        table = pd.DataFrame(part).assign(row=range(len(part)))
        measured = table[table["reason"] == ""]
        ends = measured["row"], measured["accuracy"].astype(float), measured["clean_accuracy"].astype(float)
        axes.hlines(*ends, color=GREY, linewidth=2, alpha=0.5, zorder=1)
        axes.hlines(
            measured["row"], measured["low"].astype(float), measured["high"].astype(float), color=ALARM, linewidth=1.2
        )
        clean = {"x": "clean_accuracy", "marker": "o", "facecolor": "none", "edgecolor": INK}
        worst = {"x": "accuracy", "marker": "D", "color": ALARM, "edgecolor": ALARM}
        for what in (clean, worst):
            sns.scatterplot(measured, y="row", s=32, linewidth=1.1, clip_on=False, zorder=3, ax=axes, **what)
        for rate in ("clean_accuracy", "accuracy"):
            trainings(axes, measured["row"], measured[f"{rate}_seeds"])
        phrases = []
        for row, (name, case) in enumerate(zip(names, part, strict=True)):
            if case["reason"]:
                axes.text(0, row, "not measured", va="center", color=GREY)
                phrases.append(f"{name} not measured ({case['reason']})")
                continue
            beside(axes, row, percent(case["accuracy"]))
            phrases.append(
                f"{name} clean {percent(case['clean_accuracy'])} %, worst case {percent(case['accuracy'])} % of "
                f"{case['n']} images"
            )
        rows_axis(axes, names)
        eps = epsilon(part[0]["eps"])
        axes.set_title(f"{NORMS[norm]}, ε = {eps}")
        sentences.append(f"{NORMS[norm]} at ε {eps}: {'; '.join(phrases)}")
    rate_axis(grid[-1, 0], "accuracy")
    legend(figure, [key("clean", INK, fill=0), key("worst case over all attacks", ALARM, marker="D")])
    return [
        Drawn(
            "worst_case",
            "Worst case per image",
            "Accuracy without an attack (circle) and on the worst case of the same images (diamond), best first: an "
            "image counts only if no attack of that norm turns it within the budget. A defended classifier is judged "
            "by attacks that know the defense and by those that ignore it together. Lines through the diamonds "
            f"are Wilson intervals; the numbers at the right are the worst-case accuracies in percent."
            f"{data.of_seeds('dots')} {marks.MEANING}",
            f"Dot chart of accuracies. {'. '.join(sentences)}.",
            figure,
        )
    ]
