"""What attacks that seek the smallest change find, and what attacks that are fitted once look like."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd

from rivalry import artifacts
from rivalry.figures._figure import figure
from rivalry.figures.galleries import show, visible
from rivalry.figures.results import Results
from rivalry.figures.style import INK, WIDTH, Absent, Drawn, label, log_axis, plt
from rivalry.formatting import NORMS, count, number, percent

SIZES = {"inf": "linf", "2": "l2", "0": "l0"}


@figure
def queries(data: Results) -> list[Drawn]:
    """Size of the change against queries, for black-box attacks without a budget, with white-box attacks as floor."""
    panels: dict[tuple[str, str], dict[str, pd.DataFrame]] = {}
    for (victim, attack), fact in data.attacks.items():
        if fact["budget"] == "minimal" and fact["goal"] == "untargeted":
            table = artifacts.read_table(data.folder / "attacks" / data.dataset / victim / attack / "scores.parquet")
            panels.setdefault((victim, str(fact["norm"])), {})[attack] = table.set_index("index")
    # One attack alone has nothing to stand beside.
    panels = {
        (victim, norm): tables
        for (victim, norm), tables in panels.items()
        if len(tables) > 1 and any(_blind(data, victim, name) for name in tables) and len(_attacked_by_all(tables))
    }
    if not panels:
        raise Absent("no two attacks, one of them blind to gradients, sought the smallest change of one image")
    figure, axes = plt.subplots(
        len(panels), 1, figsize=(WIDTH, 2.3 * len(panels) + 0.2), squeeze=False, layout="constrained"
    )
    said: list[str] = []
    for axis, ((victim, norm), tables) in zip(axes[:, 0], panels.items(), strict=True):
        images = _attacked_by_all(tables)
        sizes = {
            name: table.loc[images, SIZES[norm]].where(table.loc[images, "success"].astype(bool), np.inf)
            for name, table in tables.items()
        }
        blind = [name for name in tables if _blind(data, victim, name)]
        seeing = [name for name in tables if name not in blind]
        top = 0.0
        for name in blind:
            low, middle, high = _quartiles(sizes[name])
            asked = float(tables[name].loc[images, "queries"].mean())
            if not np.isfinite(middle):
                said.append(f"on {victim} {name} fails on more than half of the images")
                continue
            style = data.looks[name]
            axis.vlines(asked, low, high if np.isfinite(high) else middle, color=style.color, linewidth=1.2)
            axis.plot(asked, middle, color=style.color, marker=style.marker, linestyle="")
            rightmost = asked >= max(tables[other].loc[images, "queries"].mean() for other in blind)
            place: dict[str, Any] = {"ha": "right"} if rightmost and len(blind) > 1 else {}
            axis.annotate(
                name, (asked, middle), (-6 if place else 6, 5), textcoords="offset points", fontsize=8.5, **place
            )
            top = max(top, high if np.isfinite(high) else middle)
            said.append(
                f"on {victim} {name} needs {count(asked)} queries for a median {NORMS[norm]} of {number(middle)}"
            )
        if seeing:
            floor = min(seeing, key=lambda name: _quartiles(sizes[name])[1])
            least = _quartiles(sizes[floor])[1]
            if np.isfinite(least):
                axis.axhline(least, color=INK, linestyle=(0, (4, 1.5)), linewidth=1.2)
                axis.annotate(
                    f"{floor}: {number(least)}", (0.01, least), (0, 3), xycoords=("axes fraction", "data"),
                    textcoords="offset points", fontsize=8.5,
                )  # fmt: skip
                said.append(f"{floor}, which sees gradients, needs {number(least)}")
                top = max(top, least)
        log_axis(axis, [tables[name].loc[images, "queries"].mean() for name in blind])
        axis.set_ylim(0, 1.08 * top if top else 1)
        axis.set_ylabel(f"{NORMS[norm]} of the change")
        axis.set_title(f"{victim}, {len(images)} images")
    axes[-1, 0].set_xlabel("queries per image")
    return [
        Drawn(
            "queries",
            "What decisions alone achieve",
            "Attacks that see no gradients and look for the smallest change: the median size of the change (point) "
            "and its middle half (line) against the queries they asked per image (logarithmic). Dashed: the best "
            "median of attacks that see gradients, the floor towards which more queries lead. Only images that "
            "all of a panel's attacks met; a failure counts as infinitely large.",
            f"Scatter chart. {'; '.join(said)}.",
            figure,
        )
    ]


def _attacked_by_all(tables: dict[str, pd.DataFrame]) -> pd.Index:
    """The images that each of the attacks was let loose on."""
    attacked = [table["attacked"].astype(bool) for table in tables.values()]
    shared = pd.concat(attacked, axis=1, join="inner").all(axis=1)
    return shared.index[shared]


def _quartiles(sizes: pd.Series) -> tuple[float, float, float]:
    """First quartile, median and third quartile of sizes, of which some may be infinite."""
    low, high = (float(np.quantile(sizes, q, method="lower")) for q in (0.25, 0.75))
    return low, float(np.median(sizes)), high


def _blind(data: Results, victim: str, attack: str) -> bool:
    return data.attacks[victim, attack]["sees"] in ("decisions", "scores")


@figure
def fitted(data: Results) -> list[Drawn]:
    """Universal perturbations and patches, each with its fooling rate on images it was not fitted to."""
    found: list[tuple[str, str, np.ndarray, str, pd.DataFrame, dict[str, Any]]] = []
    for (victim, attack), fact in data.attacks.items():
        if not fact.get("fits"):
            continue
        folder = data.folder / "attacks" / data.dataset / victim / attack
        scores = artifacts.read_table(folder / "scores.parquet")
        with artifacts.open_tensors(folder / "adversarial.safetensors", "np") as tensors:
            for key in sorted(tensors.keys()):
                start, _, name = key.partition(".")
                if start.startswith("fitted") and name in ("perturbation", "patch"):
                    eps = (
                        float(start.removeprefix("fitted_eps_")) if start != "fitted" else float(scores["eps"].iloc[0])
                    )
                    part = scores[np.isclose(scores["eps"], eps)] if np.isfinite(eps) else scores
                    made = tensors.get_tensor(key)
                    found.append((victim, attack, made.reshape(made.shape[-3:]), name, part, fact))
    if not found:
        raise Absent("no universal perturbation or patch was fitted")
    columns = min(3, len(found))
    rows = -(-len(found) // columns)
    figure, axes = plt.subplots(rows, columns, figsize=(WIDTH, 2.35 * rows), squeeze=False, layout="constrained")
    said = []
    names = data.about["class_names"]
    for axis, (victim, attack, made, name, part, _) in zip(axes.flat, found, strict=False):
        show(axis, visible(made) if name == "perturbation" else made)
        attacked = part[part["attacked"].astype(bool)]
        rate = float(attacked["success"].mean())
        fooled = attacked[attacked["success"].astype(bool)]["prediction"]
        usual = [
            f"{names[k]}: {percent(v)} %" for k, v in fooled.astype(int).value_counts(normalize=True).head(2).items()
        ]
        eps = float(part["eps"].iloc[0])
        title = label(attack, None if np.isnan(eps) else eps)
        axis.set_title(f"{title}\non {victim}", fontsize=8.5)
        axis.set_xlabel("\n".join([f"fools {percent(rate)} %", *usual]), fontsize=8, color=INK)
        said.append(f"{title} on {victim} fools {percent(rate)} % of {len(attacked)} images, as {', '.join(usual)}")
    for axis in axes.flat[len(found) :]:
        axis.set_axis_off()
    return [
        Drawn(
            "fitted",
            "One change for all images",
            "Universal perturbations (grey is none, amplified to full contrast) and patches, fitted to training images "
            "and measured on test images they have not seen: how many of the correctly classified ones they fool, and "
            "the classes that these are taken for most often.",
            f"Images. {'; '.join(said)}.",
            figure,
        )
    ]
