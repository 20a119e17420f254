"""What attacks leave of a victim's accuracy, at what budget and at what cost."""

from __future__ import annotations

import math
from itertools import product
from typing import Any

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.lines import Line2D
from matplotlib.patches import Patch, Rectangle

from rivalry import artifacts
from rivalry.figures._figure import figure
from rivalry.figures.results import Results, each
from rivalry.figures.style import (
    ALARM,
    CALM,
    GREY,
    INK,
    WIDTH,
    Absent,
    Drawn,
    attack_keys,
    beside,
    cell_size,
    label,
    legend,
    log_axis,
    plt,
    rate_axis,
    rows_axis,
    stack,
)
from rivalry.formatting import NORMS, epsilon, guarded, listing, number, percent, points, true
from rivalry.statistics import marks
from rivalry.statistics.headlines import ranking

ROW = 0.225  # inches a row of bars needs at 9-point text
MOST_ROWS = 30
"""Rows of bars that one figure holds: what can be read on a printed page."""
Page = list[tuple[str, pd.DataFrame]]


@figure
def worst_case(data: Results) -> list[Drawn]:
    """Clean and worst-case accuracy of every victim and defended victim, per norm at its headline budget."""
    limited = [row for row in data.worst_cases if row["headline"] and row["eps"] is not None]
    if not limited:
        raise Absent("no victim met two attacks within one budget, so there is no worst case")
    norms = list(dict.fromkeys(row["norm"] for row in limited))
    groups = {norm: ranking([row for row in limited if row["norm"] == norm]) for norm in norms}
    figure, axes = stack([0.4 + 0.27 * len(part) for part in groups.values()], below=0.65, sharex=True)
    said = []
    for axis, (norm, part) in zip(axes[:, 0], groups.items(), strict=True):
        names = [
            f"{guarded(case['victim'], case['defense'])}  {marks.sign(marks.of_case(data.checks, case))}".rstrip()
            for case in part
        ]
        words = []
        for row, (name, case) in enumerate(zip(names, part, strict=True)):
            if case["reason"]:
                axis.text(0, row, "not measured", va="center", color=GREY)
                words.append(f"{name} not measured ({case['reason']})")
                continue
            ends = [case["accuracy"], case["clean_accuracy"]]
            axis.plot(ends, [row, row], color=GREY, linewidth=2, alpha=0.5, zorder=1)
            axis.plot(ends[1], row, "o", markerfacecolor="none", markeredgecolor=INK, clip_on=False)
            axis.plot([case["low"], case["high"]], [row, row], color=ALARM, linewidth=1.2)
            axis.plot(ends[0], row, "D", color=ALARM, clip_on=False, zorder=3)
            beside(axis, row, percent(ends[0]))
            words.append(f"{name} clean {percent(ends[1])} %, worst case {percent(ends[0])} % of {case['n']} images")
        rows_axis(axis, names)
        eps = epsilon(part[0]["eps"])
        axis.set_title(f"{NORMS[norm]}, ε = {eps}")
        said.append(f"{NORMS[norm]} at ε {eps}: {'; '.join(words)}")
    rate_axis(axes[-1, 0], "accuracy")
    legend(
        figure,
        [
            Line2D([], [], marker="o", linestyle="", markerfacecolor="none", markeredgecolor=INK, label="clean"),
            Line2D([], [], marker="D", color=ALARM, label="worst case over all attacks"),
        ],
    )
    return [
        Drawn(
            "worst_case",
            "Worst case per image",
            "Accuracy on clean images (circle) and on the worst case per image (diamond), best first: an image counts "
            "only if no attack of that norm turns it within the budget. A defended classifier is judged by attacks "
            "that know the defense and by those that ignore it together. Lines through the diamonds "
            f"are Wilson intervals; the numbers at the right are the worst-case accuracies in percent. {marks.MEANING}",
            f"Dot chart of accuracies. {'. '.join(said)}.",
            figure,
        )
    ]


@figure
def accuracy(data: Results) -> list[Drawn]:
    """Accuracy that every attack leaves on every victim, with Wilson intervals."""
    scores = data.strongest(data.undefended)
    if scores.empty:
        raise Absent("no attack was run on an undefended victim")
    pages = _pages(data, scores)
    return [_accuracies(data, page, number, len(pages)) for number, page in enumerate(pages, start=1)]


def _accuracies(data: Results, page: Page, number: int, pages: int) -> Drawn:
    figure, axes = stack([0.4 + ROW * (len(part) + 1) for _, part in page], below=0.35, sharex=True)
    said = []
    for axis, (victim, part) in zip(axes[:, 0], page, strict=True):
        first = part.iloc[0]
        axis.barh(0, first["clean_accuracy"], 0.72, color="none", edgecolor=INK, linewidth=1)
        _interval(axis, 0, first["clean_low"], first["clean_high"])
        beside(axis, 0, percent(first["clean_accuracy"]))
        for row, score in enumerate(part.to_dict("records"), start=1):
            style = data.looks[score["attack"]]
            value = score["adversarial_accuracy"]
            axis.barh(row, value, 0.72, color=style.color, hatch=style.hatch, edgecolor="white", linewidth=0)
            _interval(axis, row, score["adversarial_low"], score["adversarial_high"])
            beside(axis, row, percent(value))
        rows_axis(axis, ["clean", *data.labels(part)])
        axis.set_title(f"{victim}  (n = {_counts(part)})")
        said.append(
            f"{victim}: clean {percent(first['clean_accuracy'])} %, "
            + ", ".join(f"{label(s.attack, s.eps)} {percent(s.adversarial_accuracy)} %" for s in each(part))
        )
    rate_axis(axes[-1, 0], "accuracy that is left")
    return Drawn(
        "accuracy" + _numbered("_{}", number, pages),
        "Accuracy under attack" + _numbered(" ({} of {})", number, pages),
        "Each bar is the accuracy that one attack leaves of a victim, at the attack's largest budget; "
        "the outlined bar on top is the accuracy on clean images. The thin line is the Wilson "
        "interval, the number at the right the accuracy in percent. Shorter is a stronger attack. "
        f"Targeted attacks want one class and therefore often leave more. {marks.MEANING}",
        f"Bar chart of accuracy under attack. {'. '.join(said)}.",
        figure,
    )


@figure
def accuracy_by_eps(data: Results) -> list[Drawn]:
    """Accuracy against the budget, one figure per norm."""
    budgeted = data.budgeted(data.undefended)
    drawn = []
    for norm, table in budgeted.groupby("norm"):
        if table["eps"].nunique() < 2:
            continue
        victims = [victim for victim in data.victims if victim in set(table["victim"])]
        columns = min(2, len(victims))
        rows = math.ceil(len(victims) / columns)
        keys = {attack: data.looks[attack] for attack in data.methods if attack in set(table["attack"])}
        height = 1.85 * rows + 0.25 * math.ceil(len(keys) / 3) + 0.2
        figure, axes = plt.subplots(rows, columns, figsize=(WIDTH, height), sharex=True, sharey=True, squeeze=False)
        said = []
        for axis, victim in zip(axes.flat, victims, strict=False):
            for attack, style in keys.items():
                line = table[(table["victim"] == victim) & (table["attack"] == attack)]
                if line.empty:
                    continue
                clean = line.iloc[0]
                if len(line) == 1:
                    ends = clean["adversarial_low"], clean["adversarial_high"]
                    axis.vlines(clean["eps"], *ends, color=style.color, linewidth=1)
                    axis.plot(clean["eps"], clean["adversarial_accuracy"], color=style.color, marker=style.marker)
                    said.append(
                        f"{victim} under {attack} keeps {percent(clean['adversarial_accuracy'])} % at ε "
                        f"{epsilon(clean['eps'])}"
                    )
                    continue
                eps = [0.0, *line["eps"]]
                left = [clean["clean_accuracy"], *line["adversarial_accuracy"]]
                axis.fill_between(
                    eps,
                    [clean["clean_low"], *line["adversarial_low"]],
                    [clean["clean_high"], *line["adversarial_high"]],
                    color=style.color,
                    alpha=0.13,
                    linewidth=0,
                )
                axis.plot(eps, left, color=style.color, marker=style.marker, linestyle=style.line, clip_on=False)
                said.append(
                    f"{victim} under {attack} goes from {percent(left[0])} % to {percent(left[-1])} % at ε "
                    f"{epsilon(eps[-1])}"
                )
            axis.set_title(victim)
            axis.set_xlim(left=0)
        for axis in axes.flat[len(victims) :]:
            axis.set_axis_off()
        for axis in axes[:, 0]:
            rate_axis(axis, "accuracy", vertical=True)
        for axis in axes.flat[max(0, len(victims) - columns) : len(victims)]:
            axis.set_xlabel(f"budget ε ({NORMS.get(str(norm), norm)})")
            axis.tick_params(labelbottom=True)
        legend(figure, attack_keys(keys))
        drawn.append(
            Drawn(
                f"accuracy_by_eps_{norm}",
                f"Accuracy against the {NORMS.get(str(norm), norm)} budget",
                "Accuracy that each attack leaves as its budget ε grows; at ε = 0 it is the accuracy on "
                "clean images. Bands are Wilson intervals; an attack that was run at one budget is a point with its "
                "interval. A curve that rises again belongs to an attack "
                "that overshoots, or to a victim whose gradients mislead it.",
                f"Line chart. {'; '.join(said)}.",
                figure,
            )
        )
    if not drawn:
        raise Absent("no norm has attacks at several eps")
    return drawn


@figure
def budgets(data: Results) -> list[Drawn]:
    """Mean and median perturbation of the successful images, in L2 and Linf."""
    scores = data.strongest(data.undefended)
    scores = scores[scores["mean_l2"].notna()]
    if scores.empty:
        raise Absent("no attack succeeded on an undefended victim")
    pages = _pages(data, scores)
    return [_budgets(data, page, place, len(pages)) for place, page in enumerate(pages, start=1)]


def _budgets(data: Results, page: Page, place: int, pages: int) -> Drawn:
    figure, axes = stack([0.4 + ROW * len(part) for _, part in page], below=0.35, columns=2, sharex="col")
    said = []
    for (left, right), (victim, part) in zip(axes, page, strict=True):
        for axis, norm in ((left, "l2"), (right, "linf")):
            for row, score in enumerate(part.to_dict("records")):
                style = data.looks[score["attack"]]
                axis.barh(
                    row,
                    score[f"mean_{norm}"],
                    0.7,
                    color=style.color,
                    hatch=style.hatch,
                    edgecolor="white",
                    linewidth=0,
                )
                axis.plot(score[f"median_{norm}"], row, "|", color=INK, markersize=9, markeredgewidth=1.8)
                beside(axis, row, number(score[f"mean_{norm}"]))
        rows_axis(left, data.labels(part))
        rows_axis(right, [""] * len(part))
        left.set_title(victim)
        said.append(
            f"{victim}: "
            + ", ".join(
                f"{label(s.attack, s.eps)} mean L2 {number(s.mean_l2)}, mean L∞ {number(s.mean_linf)}"
                for s in each(part)
            )
        )
    for axis, text in zip(axes[-1], ("L2 of the change", "L∞ of the change"), strict=True):
        axis.set_xlabel(text)
        axis.set_xlim(left=0)
        axis.locator_params(axis="x", nbins=4)
    return Drawn(
        "budgets" + _numbered("_{}", place, pages),
        "How much the successful attacks changed" + _numbered(" ({} of {})", place, pages),
        "Mean perturbation of the images on which an attack succeeded (bar and number) and its median "
        "(tick): L2 at the left, L∞ at the right, pixel values in [0, 1]. Each attack at its largest "
        "ε. Attacks that look for the smallest change are comparable here with each other, not with "
        f"attacks that spend their whole ε. {marks.MEANING}",
        f"Bar chart of perturbation sizes. {'. '.join(said)}.",
        figure,
    )


@figure
def cost(data: Results) -> list[Drawn]:
    """Success against the number of passes through the victim that it took."""
    scores = data.strongest(data.undefended)
    scores = scores[scores["success_rate"].notna()]
    scores = scores.assign(passes=scores["queries"].fillna(0) + scores["gradients"].fillna(0))
    scores = scores[scores["passes"] > 0]
    if scores.empty:
        raise Absent("no attack reported its passes through the victim")
    victims = [victim for victim in data.victims if victim in set(scores["victim"])]
    columns = min(2, len(victims))
    rows = math.ceil(len(victims) / columns)
    keys = {attack: data.looks[attack] for attack in data.methods if attack in set(scores["attack"])}
    columns_of_keys = 3 if max(map(len, keys)) <= 15 else 2  # names that are long
    height = 1.85 * rows + 0.25 * math.ceil(len(keys) / columns_of_keys) + 0.2
    figure, axes = plt.subplots(rows, columns, figsize=(WIDTH, height), sharex=True, sharey=True, squeeze=False)
    for axis, victim in zip(axes.flat, victims, strict=False):
        for score in scores[scores["victim"] == victim].to_dict("records"):
            style = keys[score["attack"]]
            axis.vlines(score["passes"], score["success_low"], score["success_high"], color=style.color, linewidth=1)
            axis.plot(score["passes"], score["success_rate"], color=style.color, marker=style.marker, clip_on=False)
        log_axis(axis, scores["passes"])
        axis.set_title(victim)
    for axis in axes.flat[len(victims) :]:
        axis.set_axis_off()
    for axis in axes[:, 0]:
        rate_axis(axis, "success", vertical=True)
    for axis in axes.flat[max(0, len(victims) - columns) : len(victims)]:
        axis.set_xlabel("passes per image")
        axis.tick_params(labelbottom=True)
    legend(
        figure,
        [Line2D([], [], color=s.color, marker=s.marker, linestyle="", label=a) for a, s in keys.items()],
        columns=columns_of_keys,
    )
    best = scores.sort_values(["success_rate", "passes"], ascending=[False, True]).groupby("victim", sort=False).head(1)
    return [
        Drawn(
            "cost",
            "What success costs",
            "Success rate of each attack at its largest budget, or without one, against the forward and backward "
            "passes through the victim that it took per image (logarithmic). Up and to the left is stronger and "
            "cheaper. Vertical lines are Wilson intervals.",
            "Scatter chart. "
            + "; ".join(
                f"on {s.victim} {s.attack} succeeds on {percent(s.success_rate)} % with {number(s.passes)} "
                "passes an image"
                for s in each(best)
            )
            + ".",
            figure,
        )
    ]


@figure
def significance(data: Results) -> list[Drawn]:
    """Which attacks differ: a matrix of pairwise differences per victim and norm, each attack at its largest budget."""
    table = data.comparisons[data.comparisons["kind"] == "attack"]
    kinds = {name: f"{fact['goal']} {fact['norm']}" for name, fact in data.methods.items()}
    sides = pd.DataFrame({side: [kinds[_attack(name)] for name in table[side]] for side in "ab"}, index=table.index)
    table = table.assign(game=sides["a"])[sides["a"] == sides["b"]]
    order = list(data.methods)
    drawn = []
    for victim in data.victims:
        own = table[table["victim"] == victim]
        for game in dict.fromkeys(kinds.values()):
            part = own[own["game"] == game]
            names = sorted({*part["a"], *part["b"]}, key=lambda name: (order.index(_attack(name)), name))
            if names:
                drawn.append(_matrix(part, names, victim, *game.split()))
    if not drawn:
        raise Absent("no two attacks of one norm met the same victim")
    return drawn


def _matrix(part: pd.DataFrame, names: list[str], victim: str, goal: str, norm: str) -> Drawn:
    size = len(names)
    crowded = size > 9
    figure, axes = plt.subplots(figsize=(WIDTH, 1.15 + (0.24 if crowded else 0.42) * size))
    said = []
    largest = max(0.05, part["difference"].abs().max())
    shades = plt.get_cmap("PuOr")
    for row, column in product(range(size), repeat=2):
        if row != column:
            axes.add_patch(_cell(row, column, facecolor="#f7f7f7", hatch="////"))
    for record in part.to_dict("records"):
        a, b = names.index(record["a"]), names.index(record["b"])
        fair, significant = true(record["like_for_like"]), true(record["significant"])
        colored = fair and significant
        for row, column, value in ((a, b, record["difference"]), (b, a, -record["difference"])):
            color = shades(0.5 - 0.45 * value / largest) if colored else "#f7f7f7"
            axes.add_patch(_cell(row, column, facecolor=color, hatch="" if fair else "////"))
            if size > 14:  # no room for numbers; the table has them
                continue
            axes.annotate(
                _whole_points(value) if crowded else points(value),
                (column, row),
                ha="center",
                va="center",
                fontsize=min(8.0, cell_size(names, size)),
                color="white" if colored and abs(value) / largest > 0.6 else "#111111",
                fontweight="bold" if significant else "normal",
                bbox=None if fair else {"facecolor": "#f7f7f7", "edgecolor": "none", "pad": 0.4 if crowded else 0.8},
            )
        if fair:
            word = "differs from" if significant else "is not distinguishable from"
            said.append(f"{record['a']} {word} {record['b']} ({points(record['difference'])} points)")
    axes.set_xlim(-0.5, size - 0.5)
    shown = [name.replace(" (eps ", "  ε ").rstrip(")") for name in names]
    rows_axis(axes, shown)
    axes.set_ylim(size - 0.5, -0.5)
    axes.set_xticks(range(size), shown, rotation=55 if crowded else 35, ha="left", rotation_mode="anchor")
    axes.tick_params(axis="x", length=0, top=True, labeltop=True, bottom=False, labelbottom=False)
    if crowded:
        axes.tick_params(labelsize=7)
    axes.grid(False)
    axes.spines[:].set_visible(False)
    counted = "hits" if goal == "targeted" else "errors"
    legend(
        figure,
        [
            Patch(facecolor=shades(0.1), label=f"row: more {counted}"),
            Patch(facecolor=shades(0.9), label=f"row: fewer {counted}"),
            Patch(facecolor="#f7f7f7", edgecolor="#c8c8c8", label="not distinguishable"),
            Patch(facecolor="#f7f7f7", edgecolor="#c8c8c8", hatch="////", label="not like for like"),
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
        "test, Holm-corrected over all like-for-like comparisons, tells the two apart. Hatched: budgets "
        "differ, so that nothing is tested, or (empty) the two are not compared at all. Attacks of "
        "different norms stand in the table only.",
        f"Matrix of differences between {kind} attacks on {victim}. {'; '.join(said) or 'No pair is like for like'}.",
        figure,
        group="significance",
    )


def _whole_points(difference: float) -> str:
    """A difference of fractions in whole percentage points, rounded: 0.0199 is '+2'."""
    text = f"{100 * difference:+.0f}"
    return "0" if text in ("+0", "-0") else text.replace("-", "−")


def _attack(name: str) -> str:
    """The attack in a comparison's name for it and its budget."""
    return name.split(" (eps ")[0]


@figure
def training(data: Results) -> list[Drawn]:
    """Loss and validation accuracy over the epochs of every victim that was trained in epochs."""
    folder = data.folder / "victims" / data.dataset
    logs = {
        victim: artifacts.read_table(folder / victim / "training.csv")
        for victim in data.victims
        if (folder / victim / "training.csv").is_file()
    }
    logs = {victim: log for victim, log in logs.items() if len(log) > 1}
    if not logs:
        raise Absent("no victim was trained in more than one epoch")
    figure, axes = stack([1.35] * len(logs), below=0.5, columns=2)
    said = []
    for (left, right), (victim, log) in zip(axes, logs.items(), strict=True):
        fact = data.victims[victim]
        left.plot(log["epoch"], log["train_loss"], color=CALM, marker=".")
        left.plot(log["epoch"], log["validation_loss"], color=ALARM, linestyle="--", marker=".")
        left.set_ylim(bottom=0)
        left.set_title(victim)
        left.set_ylabel("loss")
        right.plot(log["epoch"], log["validation_accuracy"], color=ALARM, linestyle="--", marker=".")
        best = log.loc[log["epoch"] == fact["best_epoch"], "validation_accuracy"]
        if len(best):
            right.plot(
                fact["best_epoch"],
                best.iloc[0],
                "o",
                markersize=9,
                markerfacecolor="none",
                markeredgecolor=INK,
            )
        right.yaxis.set_major_formatter(plt.matplotlib.ticker.PercentFormatter(1, decimals=0, symbol=" %"))
        right.set_ylabel("accuracy")
        for axis in (left, right):
            axis.locator_params(axis="x", integer=True, nbins=6)
            axis.locator_params(axis="y", nbins=4)
        said.append(
            f"{victim} reaches {percent(log['validation_accuracy'].max())} % validation accuracy in {len(log)} epochs"
        )
    for axis in axes[-1]:
        axis.set_xlabel("epoch")
    legend(
        figure,
        [
            Line2D([], [], color=CALM, marker=".", label="training"),
            Line2D([], [], color=ALARM, linestyle="--", marker=".", label="validation"),
            Line2D(
                [],
                [],
                marker="o",
                linestyle="",
                markerfacecolor="none",
                markeredgecolor=INK,
                label="kept epoch",
            ),
        ],
    )
    return [
        Drawn(
            "training",
            "How the victims were trained",
            "Loss (left) and validation accuracy (right) after each epoch. The circle marks the epoch "
            "whose weights were kept, chosen on validation images, never on test images. A victim with a "
            "regularised or adversarial loss has losses that compare with its own only.",
            f"Line charts. {listing(said)}.",
            figure,
        )
    ]


def _pages(data: Results, scores: pd.DataFrame) -> list[Page]:
    """Each victim's rows, in the configuration's order, in as many figures as fit on pages."""
    pages: list[Page] = [[]]
    for victim in data.victims:
        part = scores[scores["victim"] == victim]
        for start in range(0, len(part), MOST_ROWS):
            chunk = part.iloc[start : start + MOST_ROWS]
            if pages[-1] and sum(len(rows) for _, rows in pages[-1]) + len(chunk) > MOST_ROWS:
                pages.append([])
            pages[-1].append((victim, chunk))
    return pages


def _numbered(form: str, number: int, of: int) -> str:
    return form.format(number, of) if of > 1 and not (number == 1 and form == "_{}") else ""


def _counts(part: pd.DataFrame) -> str:
    least, most = int(part["n"].min()), int(part["n"].max())
    return f"{most}" if least == most else f"{least} to {most}"


def _interval(axes: Axes, row: int, low: float, high: float) -> None:
    axes.plot([low, high], [row, row], color=INK, linewidth=1.1, solid_capstyle="butt")
    axes.plot([low, high], [row, row], "|", color=INK, markersize=5, markeredgewidth=1.1)


def _cell(row: int, column: int, **kwargs: Any) -> Rectangle:
    return Rectangle((column - 0.48, row - 0.48), 0.96, 0.96, edgecolor="#c8c8c8", linewidth=0, **kwargs)
