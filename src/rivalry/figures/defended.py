"""What defenses are worth: to an attacker who does not know of them, and to one who does."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
from matplotlib.lines import Line2D
from matplotlib.patches import Patch

from rivalry import artifacts
from rivalry.figures._figure import figure
from rivalry.figures.results import Results, each
from rivalry.figures.style import (
    ALARM,
    CALM,
    GREY,
    INK,
    SETTINGS,
    WIDTH,
    Absent,
    Drawn,
    beside,
    label,
    legend,
    matrix,
    plt,
    rate_axis,
    rows_axis,
    stack,
)
from rivalry.formatting import number, percent
from rivalry.statistics import marks

ROW = 0.27


@figure
def detectors(data: Results) -> list[Drawn]:
    """Flag rates of detectors: adversarial images to the right, clean ones to the left."""
    scores = _of_kind(data, "detector")
    if scores.empty:
        raise Absent("no detector was evaluated")
    groups = [(key, _paired(part)) for key, part in scores.groupby(["victim", "defense"], sort=False)]
    figure, axes = stack([0.35 + 2 * 0.22 * len(pairs) for _, pairs in groups], below=0.85, sharex=True)
    said = []
    for axis, ((victim, defense), pairs) in zip(axes[:, 0], groups, strict=True):
        words, clean = [], _either(pairs)["flagged_clean"]
        for row, (name, eps, oblivious, adaptive) in enumerate(pairs):
            style = data.looks[name]
            texts = []
            for score, offset, alpha, hatch in (
                (oblivious, -0.2, 1.0, ""),
                (adaptive, 0.2, 0.55, "\\\\\\\\"),
            ):
                if score is None:
                    texts.append("–")
                    continue
                caught = score["flagged_adversarial"]
                axis.barh(
                    row + offset,
                    caught,
                    0.36,
                    color=style.color,
                    alpha=alpha,
                    hatch=hatch,
                    edgecolor="white",
                    linewidth=0,
                )
                texts.append(percent(caught))
                kind = "oblivious" if hatch == "" else "adaptive"
                words.append(f"{label(name, eps)} {kind} {percent(caught)} %")
            axis.barh(row, -clean, 0.76, color=GREY)
            beside(axis, row, " / ".join(texts))
        rows_axis(axis, [data.label(*filter(None, scores)) for _, _, *scores in pairs])
        axis.axvline(0, color=INK, linewidth=0.8)
        axis.set_title(f"{defense} on {victim}  (false alarms {percent(clean)} %)")
        said.append(f"{defense} on {victim} flags {percent(clean)} % of clean images; {', '.join(words)}")
    rate_axis(axes[-1, 0], "clean images flagged  |  adversarial images flagged")
    low = min(-0.1, -1.15 * scores["flagged_clean"].max())
    ticks = [t for t in (-1, -0.75, -0.5, -0.25) if t >= low] + [0, 0.25, 0.5, 0.75, 1]
    axes[-1, 0].set_xticks(ticks, [f"{abs(100 * t):.0f} %" for t in ticks])
    axes[-1, 0].set_xlim(low, 1)
    legend(
        figure,
        [
            Patch(facecolor=GREY, label="clean, flagged (false alarm)"),
            Patch(facecolor=CALM, label="oblivious attack, flagged"),
            Patch(
                facecolor=CALM,
                alpha=0.55,
                hatch="\\\\\\\\",
                edgecolor="white",
                label="adaptive attack, flagged",
            ),
        ],
        columns=2,
    )
    return [
        Drawn(
            "detectors",
            "What the detectors catch",
            "To the right the share of adversarial images that the detector flags, per attack at its "
            "largest budget: above (solid) when the attacker does not know of it, below (hatched) when the "
            "attack was aimed at the detector too. To the left, in grey, the share of clean images it "
            "flags by mistake. Numbers at the right are oblivious / adaptive, in percent. Bars have the "
            "attacks' colours.",
            f"Diverging bar chart. {'. '.join(said)}.",
            figure,
        )
    ]


@figure
def preprocessors(data: Results) -> list[Drawn]:
    """Accuracy without the preprocessor, with it, and with it known to the attacker."""
    scores = _of_kind(data, "preprocessor")
    if scores.empty:
        raise Absent("no preprocessor was evaluated")
    plain = {(s["victim"], s["attack"]): s for s in data.strongest(data.undefended).to_dict("records")}
    groups = [(key, _paired(part)) for key, part in scores.groupby(["victim", "defense"], sort=False)]
    figure, axes = stack([0.35 + ROW * len(pairs) for _, pairs in groups], below=0.85, sharex=True)
    said = []
    for axis, ((victim, defense), pairs) in zip(axes[:, 0], groups, strict=True):
        words = []
        for row, (name, eps, oblivious, adaptive) in enumerate(pairs):
            style = data.looks[name]
            before = plain.get((victim, name))
            values = []
            for score, marker, face in (
                (before, "o", "none"),
                (oblivious, "o", style.color),
                (adaptive, "D", style.color),
            ):
                if score is None:
                    continue
                value = score["adversarial_accuracy"]
                values.append(value)
                axis.plot(
                    [score["adversarial_low"], score["adversarial_high"]],
                    [row, row],
                    color=style.color,
                    linewidth=5,
                    alpha=0.16,
                    solid_capstyle="butt",
                )
                axis.plot(
                    value,
                    row,
                    marker,
                    markerfacecolor=face,
                    markeredgecolor=style.color,
                    markersize=6,
                    clip_on=False,
                )
            axis.plot([min(values), max(values)], [row, row], color=style.color, linewidth=1, zorder=0)
            beside(axis, row, percent(adaptive["adversarial_accuracy"]) if adaptive else "–")
            words.append(
                f"{label(name, eps)} "
                + ", ".join(
                    f"{word} {percent(score['adversarial_accuracy'])} %"
                    for word, score in (
                        ("undefended", before),
                        ("oblivious", oblivious),
                        ("adaptive", adaptive),
                    )
                    if score is not None
                )
            )
        rows_axis(axis, [data.label(*filter(None, scores)) for _, _, *scores in pairs])
        clean = _either(pairs)["clean_accuracy"]
        axis.set_title(f"{defense} on {victim}  (clean {percent(clean)} %)")
        said.append(f"{defense} on {victim}: {'; '.join(words)}")
    rate_axis(axes[-1, 0], "accuracy under attack")
    legend(
        figure,
        [
            Line2D(
                [],
                [],
                marker="o",
                linestyle="",
                markerfacecolor="none",
                color=GREY,
                label=SETTINGS["undefended"],
            ),
            Line2D([], [], marker="o", linestyle="", color=GREY, label=SETTINGS["oblivious"]),
            Line2D([], [], marker="D", linestyle="", color=GREY, label=SETTINGS["adaptive"]),
        ],
        columns=2,
    )
    return [
        Drawn(
            "preprocessors",
            "What the preprocessors are worth",
            "Accuracy under each attack at its largest budget: without the preprocessor (open circle), "
            "with it when the attacker does not know of it (filled circle), and when the attack goes "
            "through it (diamond, and the number at the right in percent). Pale bands are Wilson "
            "intervals. Only the diamond is robustness: where it falls back to the open circle, the "
            "defense merely hid the victim.",
            f"Dot chart. {'. '.join(said)}.",
            figure,
        )
    ]


@figure
def defense_budgets(data: Results) -> list[Drawn]:
    """Mean L2 that attacks needed with and without a defense."""
    scores = data.strongest(data.scores)
    guarded = scores[(scores["defense"] != "none") & scores["mean_l2"].notna()]
    if guarded.empty:
        raise Absent("no attack succeeded against a defended victim")
    plain = {(s["victim"], s["attack"]): s["mean_l2"] for s in data.strongest(data.undefended).to_dict("records")}
    groups = [
        (key, _paired(part))
        for key in data.defenses
        if len(part := guarded[(guarded["victim"] == key[0]) & (guarded["defense"] == key[1])])
    ]
    figure, axes = stack([0.35 + ROW * len(pairs) for _, pairs in groups], below=0.85, sharex=True)
    said = []
    for axis, ((victim, defense), pairs) in zip(axes[:, 0], groups, strict=True):
        for row, (name, _, oblivious, adaptive) in enumerate(pairs):
            style = data.looks[name]
            found = [
                (plain.get((victim, name), np.nan), "o", "none", "undefended"),
                (oblivious["mean_l2"] if oblivious else np.nan, "o", style.color, "oblivious"),
                (adaptive["mean_l2"] if adaptive else np.nan, "D", style.color, "adaptive"),
            ]
            found = [point for point in found if not np.isnan(point[0])]
            lengths = [point[0] for point in found]
            axis.plot([min(lengths), max(lengths)], [row, row], color=style.color, linewidth=1, zorder=0)
            for value, marker, face, word in found:
                axis.plot(value, row, marker, markerfacecolor=face, markeredgecolor=style.color, markersize=6)
                said.append(f"{defense} on {victim}, {name}, {word}: {number(value)}")
            beside(axis, row, number(adaptive["mean_l2"]) if adaptive else "–")
        rows_axis(axis, [data.label(*filter(None, scores)) for _, _, *scores in pairs])
        axis.set_title(f"{defense} on {victim}")
    axes[-1, 0].set_xlim(left=0)
    axes[-1, 0].set_xlabel("mean L2 of the successful changes")
    legend(
        figure,
        [
            Line2D(
                [],
                [],
                marker="o",
                linestyle="",
                markerfacecolor="none",
                color=GREY,
                label=SETTINGS["undefended"],
            ),
            Line2D([], [], marker="o", linestyle="", color=GREY, label=SETTINGS["oblivious"]),
            Line2D([], [], marker="D", linestyle="", color=GREY, label=SETTINGS["adaptive"]),
        ],
        columns=2,
    )
    return [
        Drawn(
            "defense_budgets",
            "How large the changes were that passed a defense",
            "Mean L2 of the changes that succeeded: without the defense (open circle), against a defense "
            "the attacker does not know (filled circle) and against one it knows (diamond, and the number "
            "at the right). Of attacks that look for the smallest change, a diamond to the right of the "
            "open circle says that the defense asks for more; others spend their whole budget anyway.",
            f"Dot chart of mean L2. {'; '.join(said)}.",
            figure,
        )
    ]


@figure
def attack_defense(data: Results) -> list[Drawn]:
    """Accuracy of every defense under every attack, adaptive, as a table of colours per victim."""
    scores = data.strongest(data.scores)
    drawn = []
    for victim in data.victims:
        part = scores[scores["victim"] == victim]
        defenses = [defense for name, defense in data.defenses if name == victim]
        defenses = [name for name in defenses if name in set(part.loc[part["setting"] == "adaptive", "defense"])]
        if not defenses:
            continue
        part = part[part["setting"].isin(["undefended", "adaptive"]) & part["defense"].isin(["none", *defenses])]
        met = set(part.loc[part["setting"] == "adaptive", "attack"])
        attacks = [attack for attack in data.methods if attack in met]
        cells = part.pivot_table(index="attack", columns="defense", values="adversarial_accuracy")
        cells = cells.reindex(index=attacks, columns=["none", *defenses])
        figure, axes = plt.subplots(figsize=(WIDTH, 1.0 + 0.36 * len(attacks)))
        signs = cells.astype(object)
        scored: list[Any] = part.to_dict("records")
        for score in scored:
            if score["attack"] in met:
                signs.loc[score["attack"], score["defense"]] = marks.sign(marks.of_score(data.checks, score))
        matrix(axes, cells.rename(columns={"none": "undefended"}), signs)
        drawn.append(
            Drawn(
                f"attack_defense_{victim}",
                f"Attacks against defenses on {victim}",
                "Accuracy in percent under each attack (row) at its largest budget, without a defense and "
                "with each defense (column) that the attack knows of. Brighter is more accurate. For "
                f"detectors an image counts as held when it is flagged or classified correctly. {marks.MEANING}",
                f"Table of accuracies on {victim}. "
                + "; ".join(
                    f"{attack}: " + ", ".join(f"{name} {percent(cells[name][attack])} %" for name in cells.columns)
                    for attack in attacks
                )
                + ".",
                figure,
                group="attack_defense",
            )
        )
    if not drawn:
        raise Absent("no defense met an adaptive attack")
    return drawn


@figure
def backdoor(data: Results) -> list[Drawn]:
    """A backdoor before and after the defense that repairs the victim, and the triggers that it reconstructed."""
    repairs = [key for key, fact in data.defenses.items() if fact["kind"] == "transformer"]
    triggers = [name for name, fact in data.methods.items() if "poisoning" in fact["parameters"]]
    scores = data.scores[data.scores["attack"].isin(triggers)]
    poisoned = [v for v, fact in data.victims.items() if fact["poisoning"] and v in set(scores["victim"])]
    if not poisoned:
        raise Absent("no victim was trained on poisoned data and tried with its trigger")
    bars: list[tuple[str, str, float, float, float, float, float, float]] = []
    for record in scores[scores["setting"] != "adaptive"].to_dict("records"):
        if record["victim"] not in poisoned and record["victim"] != next(iter(data.victims)):
            continue
        after = record["defense"] if record["defense"] != "none" else ""
        name = f"{record['victim']} after {after}" if after else record["victim"]
        bars.append(
            (
                name,
                record["attack"],
                record["clean_accuracy"],
                record["clean_low"],
                record["clean_high"],
                record["success_rate"],
                record["success_low"],
                record["success_high"],
            )
        )
    figure, axes = plt.subplots(figsize=(WIDTH, 0.75 + 0.5 * len(bars)))
    for row, (_, _, clean, clean_low, clean_high, success, low, high) in enumerate(bars):
        for value, ends, offset, color, hatch in (
            (clean, (clean_low, clean_high), -0.19, CALM, ""),
            (success, (low, high), 0.19, ALARM, "////"),
        ):
            axes.barh(row + offset, value, 0.36, color=color, hatch=hatch, edgecolor="white", linewidth=0)
            axes.plot(ends, [row + offset] * 2, color=INK, linewidth=1.1)
            beside(axes, row + offset, percent(value))
    several = len(triggers) > 1
    rows_axis(axes, [f"{name}\n({attack})" if several else name for name, attack, *_ in bars])
    rate_axis(axes, "")
    legend(
        figure,
        [
            Patch(facecolor=CALM, label="clean accuracy"),
            Patch(facecolor=ALARM, hatch="////", edgecolor="white", label="trigger succeeds"),
        ],
    )
    drawn = [
        Drawn(
            "backdoor",
            "The backdoor before and after its repair",
            "Accuracy on clean images (solid) and the share of images of other classes that the trigger "
            "turns into its target class (hatched), per victim. The victim trained on clean data is the "
            "control: the trigger should do nothing there. A repair is good when the hatched bar vanishes "
            "and the solid one stays. Thin lines are Wilson intervals.",
            "Bar chart. "
            + "; ".join(
                f"{name}: clean accuracy {percent(clean)} %, trigger success {percent(success)} %"
                for name, _, clean, _, _, success, _, _ in bars
            )
            + ".",
            figure,
        )
    ]
    for victim, defense in repairs:
        drawn += _reconstructed(data, victim, defense)
    return drawn


def _reconstructed(data: Results, victim: str, defense: str) -> list[Drawn]:
    """The anomaly index of every class beside the trigger that was reconstructed for it."""
    fact = data.defenses[victim, defense]
    file = data.folder / "defenses" / data.dataset / victim / defense / "triggers.safetensors"
    if "anomaly_index" not in fact["facts"] or not file.is_file():
        return []
    facts = fact["facts"]
    index = np.array([np.nan if value is None else value for value in facts["anomaly_index"]], float)
    tensors = artifacts.read_tensors(file)
    flagged = set(facts["flagged"])
    names = data.victims[victim]["class_names"]
    shown = list(np.argsort(-np.nan_to_num(index), kind="stable"))[:20]
    figure, axes = plt.subplots(1, 2, figsize=(WIDTH, 0.6 + 0.42 * len(shown)), width_ratios=[0.1, 1], sharey=True)
    left, right = axes
    for row, number_ in enumerate(shown):
        suspicious = number_ in flagged
        right.barh(
            row,
            np.nan_to_num(index[number_]),
            0.7,
            color=ALARM if suspicious else GREY,
            hatch="////" if suspicious else "",
            edgecolor="white",
            linewidth=0,
        )
        beside(right, row, "undefined" if np.isnan(index[number_]) else f"{index[number_]:.2f}")
        trigger = (tensors["mask"][number_] * tensors["pattern"][number_]).numpy().transpose(1, 2, 0)
        left.imshow(
            np.clip(trigger.squeeze(-1) if trigger.shape[2] == 1 else trigger, 0, 1),
            extent=(0, 1, row + 0.48, row - 0.48),
            cmap="gray",
            vmin=0,
            vmax=1,
            interpolation="none",
            aspect="auto",
        )
    left.set_xlim(0, 1)
    left.set_xticks([])
    left.spines[:].set_visible(False)
    rows_axis(left, [str(names[k]) for k in shown])
    right.tick_params(axis="y", length=0, labelleft=False)
    right.grid(False, axis="y")
    right.axvline(fact["parameters"]["anomaly"], color=INK, linewidth=1, linestyle="--")
    right.set_xlim(left=0)
    right.set_xlabel("anomaly index")
    suspects = [f"{names[k]} ({index[k]:.2f})" for k in shown if k in flagged]
    return [
        Drawn(
            f"triggers_{victim}_{defense}",
            f"Triggers that {defense} reconstructed on {victim}",
            "For every class the smallest trigger that turns other images into it (left), and how far its size "
            "lies from the median over the classes, in robust standard deviations (right). A class whose trigger "
            "is smaller than the median by more than the dashed line is suspected to be the target of a backdoor "
            "(coloured and hatched).",
            f"Bar chart of anomaly indices. Suspected: {', '.join(suspects) or 'no class'}.",
            figure,
        )
    ]


def _of_kind(data: Results, kind: str) -> pd.DataFrame:
    """The scores of defenses of one kind, each match at its largest eps."""
    keys = [key for key, fact in data.defenses.items() if fact["kind"] == kind]
    scores = data.scores[data.scores["defense"] != "none"]
    chosen = [(s.victim, s.defense) in keys for s in each(scores)]
    scores = data.strongest(scores.loc[chosen])
    order = {key: place for place, key in enumerate(keys)}
    places = [order[s.victim, s.defense] for s in each(scores)]
    return scores.assign(place=places).sort_values("place", kind="stable").drop(columns="place")


Pair = tuple[str, float, dict[str, Any] | None, dict[str, Any] | None]


def _either(pairs: list[Pair]) -> dict[str, Any]:
    """A score of a defense, for what does not depend on attack and setting."""
    return next(score for pair in pairs for score in pair[2:] if score is not None)


def _paired(scores: pd.DataFrame) -> list[Pair]:
    """(attack, eps, its oblivious score, its adaptive score) for the scores of one defense."""
    pairs = []
    for attack, part in scores.groupby("attack", sort=False):
        by_setting: dict[str, Any] = {record["setting"]: record for record in part.to_dict("records")}
        pairs.append((str(attack), part["eps"].iloc[0], by_setting.get("oblivious"), by_setting.get("adaptive")))
    return pairs
