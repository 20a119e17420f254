"""How much the attacks changed the images that they turned."""

from __future__ import annotations

import seaborn as sns

from rivalry.figures._figure import Absent, Drawn, figure
from rivalry.figures._looks import INK
from rivalry.figures._pages import ROW, Page, numbered, pages
from rivalry.figures._results import Results, each, label
from rivalry.figures._style import beside, dots, rows_axis, stack, stems, trainings
from rivalry.formatting import number
from rivalry.statistics import marks


@figure
def budgets(data: Results) -> list[Drawn]:
    """Mean and median perturbation of the successful images, in L2 and Linf."""
    scores = data.strongest(data.undefended)
    scores = scores[scores["mean_l2"].notna()]
    if scores.empty:
        raise Absent("no attack succeeded on an undefended victim")
    found = pages(data, scores)
    return [_budgets(data, page, place, len(found)) for place, page in enumerate(found, start=1)]


def _budgets(data: Results, page: Page, place: int, of: int) -> Drawn:
    figure, grid = stack([0.4 + ROW * len(part) for _, part in page], below=0.35, columns=2, sharex="col")
    sentences = []
    for (left, right), (victim, part) in zip(grid, page, strict=True):
        table = part.assign(row=range(len(part)))
        for axes, norm in ((left, "l2"), (right, "linf")):
            stems(axes, table["row"], table[f"mean_{norm}"], table["attack"].map(data.palette))
            dots(axes, data, table, x=f"mean_{norm}", y="row")
            median = {"marker": "|", "color": INK, "s": 130, "linewidth": 1.2, "zorder": 2}
            sns.scatterplot(table, x=f"median_{norm}", y="row", ax=axes, **median)
            trainings(axes, table["row"], table[f"mean_{norm}_seeds"])
            for row, mean in enumerate(table[f"mean_{norm}"]):
                beside(axes, row, number(mean))
        rows_axis(left, data.labels(part))
        rows_axis(right, [""] * len(part))
        left.set_title(victim)
        sentences.append(
            f"{victim}: "
            + ", ".join(
                f"{label(s.attack, s.eps)} mean L2 {number(s.mean_l2)}, mean L∞ {number(s.mean_linf)}"
                for s in each(part)
            )
        )
    for axes in grid.flat:
        axes.set_xlabel("")
    for axes, text in zip(grid[-1], ("L2 of the change", "L∞ of the change"), strict=True):
        axes.set_xlabel(text)
        axes.set_xlim(left=0)
        axes.locator_params(axis="x", nbins=3, steps=[1, 2, 4, 5, 10])  # short numbers, for narrow panels
    name, title = numbered("budgets", "How much the successful attacks changed", place, of)
    return Drawn(
        name,
        title,
        "Mean perturbation of the images on which an attack succeeded (point and number) and its median "
        "(tick): L2 at the left, L∞ at the right, pixel values in [0, 1]. Each attack at its largest "
        "ε. Compare attacks that look for the smallest change only with each other, not with "
        f"attacks that use their whole ε.{data.of_seeds('dots')} {marks.MEANING}",
        f"Dot chart of perturbation sizes. {'. '.join(sentences)}.",
        figure,
    )
