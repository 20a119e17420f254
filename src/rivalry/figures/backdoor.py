"""What a backdoor does before and after a repair, and the triggers that the repair reconstructed."""

from __future__ import annotations

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import seaborn as sns
from matplotlib.colors import to_hex
from matplotlib.patches import Patch

from rivalry import artifacts
from rivalry.figures._figure import Absent, Drawn, figure
from rivalry.figures._images import show
from rivalry.figures._looks import ALARM, CALM, GREY, INK
from rivalry.figures._results import Results, each
from rivalry.figures._style import WIDTH, beside, legend, rate_axis, rows_axis, trainings
from rivalry.formatting import percent

COLORS = {"clean accuracy": CALM, "trigger succeeds": ALARM}
RATES = {"clean accuracy": "clean_accuracy", "trigger succeeds": "success_rate"}
HATCH = "////"
MOST_CLASSES = 20


@figure
def backdoor(data: Results) -> list[Drawn]:
    """A backdoor before and after the defense that repairs the victim, and the triggers that it reconstructed."""
    repairs = [key for key, fact in data.defenses.items() if fact["kind"] == "transformer"]
    triggers = [name for name, fact in data.methods.items() if "poisoning" in fact["parameters"]]
    scores = data.scores[data.scores["attack"].isin(triggers)]
    poisoned = [v for v, fact in data.victims.items() if fact["poisoning"] and v in set(scores["victim"])]
    if not poisoned:
        raise Absent("no victim was trained on poisoned data and tried with its trigger")
    controls = [*poisoned, next(iter(data.victims))]
    shown = scores[(scores["setting"] != "adaptive") & scores["victim"].isin(controls)]
    bars = each(shown)
    names = [s.victim if s.defense == "none" else f"{s.victim} after {s.defense}" for s in bars]
    figure, axes = plt.subplots(figsize=(WIDTH, 0.75 + 0.5 * len(bars)))
    rates = [(row, what, getattr(s, rate)) for row, s in enumerate(bars) for what, rate in RATES.items()]
    sns.barplot(
        pd.DataFrame(rates, columns=["row", "what", "rate"]), x="rate", y="row", hue="what", palette=COLORS, orient="h",
        width=0.76, gap=0.05, saturation=1, linewidth=0, edgecolor="white", errorbar=None, legend=False, ax=axes,
    )  # fmt: skip
    plt.setp(axes.containers[1], hatch=HATCH)
    for row, bar in enumerate(bars):
        axes.hlines(row - 0.19, bar.clean_low, bar.clean_high, color=INK, linewidth=1.1)
        axes.hlines(row + 0.19, bar.success_low, bar.success_high, color=INK, linewidth=1.1)
        beside(axes, row - 0.19, percent(bar.clean_accuracy))
        beside(axes, row + 0.19, percent(bar.success_rate))
        trainings(axes, [row - 0.19, row + 0.19], [bar.clean_accuracy_seeds, bar.success_rate_seeds])
    several = len(triggers) > 1
    rows_axis(axes, [f"{name}\n({s.attack})" if several else name for name, s in zip(names, bars, strict=True)])
    rate_axis(axes, "")
    clean, succeeds = COLORS
    legend(
        figure,
        [
            Patch(facecolor=COLORS[clean], label=clean),
            Patch(facecolor=COLORS[succeeds], hatch=HATCH, edgecolor="white", label=succeeds),
        ],
    )
    sentences = [
        f"{name}: clean accuracy {percent(s.clean_accuracy)} %, trigger success {percent(s.success_rate)} %"
        for name, s in zip(names, bars, strict=True)
    ]
    drawn = [
        Drawn(
            "backdoor",
            "The backdoor before and after its repair",
            "Accuracy without an attack on the images that the trigger was tried on (solid), and the share of those "
            "of other classes that it turns into its target class (hatched), per victim. The victim trained on clean "
            "data is the control: the trigger should do nothing there. A repair is good when the hatched bar vanishes "
            f"and the solid one stays. Thin lines are Wilson intervals.{data.of_seeds('dots')}",
            f"Bar chart. {'; '.join(sentences)}.",
            figure,
        )
    ]
    for victim, defense in repairs:
        drawn += _reconstructed(data, victim, defense)
    return drawn


def _planted(data: Results, victim: str) -> np.ndarray | None:
    """The trigger that a victim's poisoning planted, (C,H,W), black elsewhere; None where there is none."""
    name = data.victims[victim]["poisoning"]
    if not name or not data.layout.poisoning(data.dataset, name)["trigger"].is_file():
        return None
    trigger = artifacts.read_tensors(data.layout.poisoning(data.dataset, name)["trigger"])
    return (trigger["mask"] * trigger["pattern"]).numpy()


def _reconstructed(data: Results, victim: str, defense: str) -> list[Drawn]:
    """The anomaly index of every class beside the trigger that was reconstructed for it."""
    fact = data.defenses[victim, defense]
    file = data.layout.defense(data.dataset, victim, defense)["triggers"]
    if "anomaly_index" not in fact["facts"] or not file.is_file():
        return []
    facts = fact["facts"]
    index = np.array([np.nan if value is None else value for value in facts["anomaly_index"]], float)
    tensors = artifacts.read_tensors(file)
    flagged = set(facts["flagged"])
    names = data.victims[victim]["class_names"]
    shown = [int(k) for k in np.argsort(-np.nan_to_num(index), kind="stable")[:MOST_CLASSES]]
    planted, true = fact.get("backdoor_target"), _planted(data, victim)
    widths = [0.1, 1] if true is None else [0.1, 0.1, 1]
    size = (WIDTH, 0.75 + 0.42 * len(shown))
    figure, axes = plt.subplots(1, len(widths), figsize=size, width_ratios=widths, sharey=True)
    left, right = axes[0], axes[-1]
    table = pd.DataFrame({"row": range(len(shown)), "index": index[shown], "suspected": [k in flagged for k in shown]})
    sns.barplot(
        table, x="index", y="row", hue="suspected", palette={True: ALARM, False: GREY}, dodge=False, orient="h",
        width=0.7, saturation=1, linewidth=0, edgecolor="white", errorbar=None, legend=False, ax=right,
    )  # fmt: skip
    for bar in right.patches:
        bar.set_hatch(HATCH if to_hex(bar.get_facecolor()) == ALARM else "")
    for row, k in enumerate(shown):
        beside(right, row, "undefined" if np.isnan(index[k]) else f"{index[k]:.2f}")
        show(
            left,
            (tensors["mask"][k] * tensors["pattern"][k]).numpy(),
            extent=(0, 1, row + 0.48, row - 0.48),
            aspect="auto",
        )
        if true is not None and planted in (k, "next"):
            show(axes[1], true, extent=(0, 1, row + 0.48, row - 0.48), aspect="auto")
    left.set_xlim(0, 1)
    if true is not None:
        left.set_title("found", fontsize=8, loc="center")
        axes[1].set_title("true", fontsize=8, loc="center")
        axes[1].set_xlim(0, 1)
        axes[1].tick_params(axis="y", length=0, labelleft=False)
    rows_axis(left, [str(names[k]) for k in shown])
    right.tick_params(axis="y", length=0, labelleft=False)
    right.grid(False, axis="y")
    right.axvline(fact["parameters"]["anomaly"], color=INK, linewidth=1, linestyle="--")
    right.set_xlim(left=0)
    right.set(xlabel="anomaly index", ylabel="")
    suspects = [f"{names[k]} ({index[k]:.2f})" for k in shown if k in flagged]
    return [
        Drawn(
            f"triggers_{victim}_{defense}",
            f"Triggers that {defense} reconstructed on {victim}",
            "For every class the smallest trigger that turns other images into it (left), beside it the one that was "
            "planted, where there is one, and how far the size of the former "
            "lies from the median over the classes, in robust standard deviations (right). A class whose trigger "
            "is smaller than the median by more than the dashed line is suspected to be the target of a backdoor "
            f"(coloured and hatched).{data.of_seeds('first')}",
            f"Bar chart of anomaly indices. Suspected: {', '.join(suspects) or 'no class'}.",
            figure,
        )
    ]
