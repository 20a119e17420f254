"""What success costs, in passes through the victim and in queries."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd

from rivalry import artifacts
from rivalry.figures._figure import Absent, Drawn, figure
from rivalry.figures._looks import INK
from rivalry.figures._results import Results, each
from rivalry.figures._style import (
    attack_keys,
    dots,
    facets,
    key_columns,
    label_facets,
    legend,
    log_axis,
    single_trainings,
    stack,
)
from rivalry.formatting import NORMS, count, number, percent
from rivalry.types import SIZES


@figure
def cost(data: Results) -> list[Drawn]:
    """Success against the number of passes through the victim that it took."""
    scores = data.strongest(data.undefended)
    scores = scores[scores["success_rate"].notna()]
    scores = scores.assign(passes=scores["queries"].fillna(0) + scores["gradients"].fillna(0))
    scores = scores[scores["passes"] > 0]
    if scores.empty:
        raise Absent("no attack reported its passes through the victim")
    victims, keys = data.met(scores)
    figure, grid = facets(victims, keys=list(keys))
    for axes, victim in zip(grid, victims, strict=True):
        part = scores[scores["victim"] == victim]
        colors = part["attack"].map(data.palette)
        axes.vlines(part["passes"], part["success_low"], part["success_high"], color=colors, linewidth=1)
        dots(axes, data, part, x="passes", y="success_rate")
        of_seeds = [(one.passes, rate) for one in each(part) for rate in one.success_rate_seeds]
        single_trainings(axes, pd.DataFrame(of_seeds))
        log_axis(axes, scores["passes"])
    label_facets(grid, "passes per image", "success")
    legend(figure, attack_keys(keys), columns=key_columns(list(keys)))
    best = scores.sort_values(["success_rate", "passes"], ascending=[False, True]).groupby("victim", sort=False).head(1)
    sentences = [
        f"on {s.victim} {s.attack} succeeds on {percent(s.success_rate)} % with {number(s.passes)} passes an image"
        for s in each(best)
    ]
    return [
        Drawn(
            "cost",
            "What success costs",
            "Success rate of each attack at its largest budget, or without one, against the forward and backward "
            "passes through the victim that it took per image (logarithmic). Up and to the left is stronger and "
            f"cheaper. Vertical lines are Wilson intervals.{data.of_seeds('dots')}",
            f"Scatter chart. {'; '.join(sentences)}.",
            figure,
        )
    ]


@figure
def queries(data: Results) -> list[Drawn]:
    """Size of the change against queries, for black-box attacks without a budget, with white-box attacks as floor."""
    panels: dict[tuple[str, str], dict[str, pd.DataFrame]] = {}
    for (victim, attack), fact in data.attacks.items():
        if fact["budget"] == "minimal" and fact["goal"] == "untargeted":
            table = artifacts.read_table(data.layout.attack(data.dataset, victim, attack)["scores"])
            panels.setdefault((victim, str(fact["norm"])), {})[attack] = table.set_index("index")
    # One attack alone has nothing to stand beside.
    panels = {
        (victim, norm): tables
        for (victim, norm), tables in panels.items()
        if len(tables) > 1 and any(_blind(data, victim, name) for name in tables) and len(_attacked_by_all(tables))
    }
    if not panels:
        raise Absent("no two attacks looked for the smallest change of the same image, one of them without gradients")
    figure, grid = stack([2.3] * len(panels), below=0.2)
    sentences: list[str] = []
    for axes, ((victim, norm), tables) in zip(grid[:, 0], panels.items(), strict=True):
        images = _attacked_by_all(tables)
        sizes = {
            name: table.loc[images, SIZES[norm]].where(table.loc[images, "success"].astype(bool), np.inf)
            for name, table in tables.items()
        }
        blind = [name for name in tables if _blind(data, victim, name)]
        seeing = [name for name in tables if name not in blind]
        found = []
        for name in blind:
            low, middle, high = _quartiles(sizes[name])
            asked = float(tables[name].loc[images, "queries"].mean())
            if not np.isfinite(middle):
                sentences.append(f"on {victim} {name} fails on more than half of the images")
                continue
            found.append((name, asked, low, middle, high if np.isfinite(high) else middle))
            sentences.append(
                f"on {victim} {name} needs {count(asked)} queries for a median {NORMS[norm]} of {number(middle)}"
            )
        points = pd.DataFrame(found, columns=["attack", "asked", "low", "middle", "high"])
        axes.vlines(
            points["asked"], points["low"], points["high"], color=points["attack"].map(data.palette), linewidth=1.2
        )
        dots(axes, data, points, x="asked", y="middle")
        rightmost = max(tables[name].loc[images, "queries"].mean() for name in blind)
        for point in each(points):
            left: dict[str, Any] = {"ha": "right"} if point.asked >= rightmost and len(blind) > 1 else {}
            place = (point.asked, point.middle), (-6 if left else 6, 5)
            axes.annotate(point.attack, *place, textcoords="offset points", fontsize=8.5, **left)
        top = float(points["high"].max()) if found else 0.0
        if seeing:
            floor = min(seeing, key=lambda name: _quartiles(sizes[name])[1])
            least = _quartiles(sizes[floor])[1]
            if np.isfinite(least):
                axes.axhline(least, color=INK, linestyle=(0, (4, 1.5)), linewidth=1.2)
                axes.annotate(
                    f"{floor}: {number(least)}", (0.01, least), (0, 3), xycoords=("axes fraction", "data"),
                    textcoords="offset points", fontsize=8.5,
                )  # fmt: skip
                sentences.append(f"{floor}, which sees gradients, needs {number(least)}")
                top = max(top, least)
        log_axis(axes, [tables[name].loc[images, "queries"].mean() for name in blind])
        axes.set_ylim(0, 1.08 * top if top else 1)
        axes.set_ylabel(f"{NORMS[norm]} of the change")
        axes.set_title(f"{victim}, {len(images)} images")
    grid[-1, 0].set_xlabel("queries per image")
    return [
        Drawn(
            "queries",
            "What decisions alone achieve",
            "Attacks that see no gradients and look for the smallest change: the median size of the change (point) "
            "and the range of the middle half of the images (line) against the queries per image (logarithmic). "
            "Dashed: the best median of attacks that see gradients; with more queries, the others come closer to "
            "it. Only images that all attacks of a panel met are counted; a failure counts as infinitely large."
            f"{data.of_seeds('first')}",
            f"Scatter chart. {'; '.join(sentences)}.",
            figure,
        )
    ]


@figure
def query_limits(data: Results) -> list[Drawn]:
    """Success of attacks that ask the victim, against the number of queries that are answered."""
    curves = data.query_curves
    curves = curves[curves["success_rate"].notna()]
    largest = curves.groupby(["victim", "defense", "attack"])["eps"].transform("max")
    curves = curves[curves["eps"].isna() | (curves["eps"] == largest)]
    free, limited = curves[curves["limit"].isna()], curves[curves["queries"] == curves["limit"]]
    limited = limited[limited["victim"].isin(free["victim"])]
    if free.empty:
        raise Absent("no attack that sees decisions or scores had a budget to be held against")
    victims, keys = data.met(free)
    figure, grid = facets(victims, keys=list(keys))
    sentences = []
    for axes, victim in zip(grid, victims, strict=True):
        for attack, line in free[free["victim"] == victim].groupby("attack", sort=False):
            look = data.looks[str(attack)]
            x = line["queries"].astype(float)
            axes.fill_between(x, line["low"], line["high"], color=look.color, alpha=0.16, linewidth=0, step="post")
            axes.step(x, line["success_rate"], where="post", color=look.color, dashes=look.dash or (None, None))
            half = line[line["success_rate"] >= 0.5]
            reach = f"half of the images after {count(half['queries'].iloc[0])}" if len(half) else "never half of them"
            final = f"{percent(line['success_rate'].iloc[-1])} % after {count(line['queries'].iloc[-1])}"
            sentences.append(f"{attack} on {victim} turns {reach}, {final}")
        points = limited[limited["victim"] == victim]
        points = points.assign(queries=points["queries"].astype(float))
        axes.vlines(points["queries"], points["low"], points["high"], color=points["attack"].map(data.palette))
        dots(axes, data, points, x="queries", y="success_rate")
        sentences += [
            f"{one.attack} on {victim} knowing of a limit of {count(one.queries)}: {percent(one.success_rate)} %"
            for one in each(points)
        ]
        log_axis(axes, [1, float(free["queries"].max())])
    label_facets(grid, "queries per image", "success")
    legend(figure, attack_keys(keys, lines=True), columns=key_columns(list(keys)))
    return [
        Drawn(
            "query_limits",
            "What a limit of queries is worth",
            "The share of attacked images that fall by so many queries about them (logarithmic), of attacks that see "
            "decisions or scores, at their largest budget; those that look for the smallest change are held against "
            "the budget of the others in their norm. Lines: attacks that know of no limit. Points: attacks that know "
            "how many queries are answered, and plan with it. Bands and vertical lines are Wilson intervals. A limit "
            "keeps off only who has no copy of the victim.",
            f"Line chart. {'; '.join(sentences)}.",
            figure,
        )
    ]


def _attacked_by_all(tables: dict[str, pd.DataFrame]) -> pd.Index:
    """The images that every one of the attacks met."""
    attacked = [table["attacked"].astype(bool) for table in tables.values()]
    shared = pd.concat(attacked, axis=1, join="inner").all(axis=1)
    return shared.index[shared]


def _quartiles(sizes: pd.Series) -> tuple[float, float, float]:
    """First quartile, median and third quartile of sizes, of which some may be infinite."""
    low, high = (float(np.quantile(sizes, q, method="lower")) for q in (0.25, 0.75))
    return low, float(np.median(sizes)), high


def _blind(data: Results, victim: str, attack: str) -> bool:
    return data.attacks[victim, attack]["sees"] in ("decisions", "scores")
