"""What defenses are worth: to an attacker who does not know of them, and to one who does."""

from __future__ import annotations

from collections.abc import Callable, Hashable
from typing import Any, NamedTuple

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.lines import Line2D

from rivalry.figures._figure import Absent, Drawn, figure
from rivalry.figures._looks import GREY
from rivalry.figures._results import Fact, Results, each, label
from rivalry.figures._style import beside, dots, key, legend, matrix, rate_axis, rows_axis, stack, trainings
from rivalry.formatting import NORMS, epsilon, missing, number, percent
from rivalry.statistics import marks

ROW = 0.27
"""Inches that a row needs at 9-point text."""
SETTINGS = {
    "undefended": ("without the defense", 0.0),
    "oblivious": ("defense unknown to the attacker", 0.45),
    "adaptive": ("defense known (adaptive)", 1.0),
}
"""What each setting is called, and how full its points are."""


Pair = dict[str, Fact]
"""The scores of one attack on one defense, by setting; "undefended" among them where it met the victim alone."""


@figure
def detectors(data: Results) -> list[Drawn]:
    """Flag rates of detectors: adversarial images as points, clean ones as a line."""
    groups = _pairs(data, "detector")
    if not groups:
        raise Absent("no detector was evaluated")
    figure, grid = stack([0.35 + ROW * len(pairs) for pairs in groups.values()], below=0.85, sharex=True)
    sentences = []
    for axes, ((victim, defense), pairs) in zip(grid[:, 0], groups.items(), strict=True):
        pairs = {name: {k: v for k, v in pair.items() if k != "undefended"} for name, pair in pairs.items()}
        clean = next(score for pair in pairs.values() for score in pair.values())["flagged_clean"]
        axes.axvline(clean, color=GREY, linewidth=1.4, linestyle=(0, (4, 1.5)), zorder=1)
        phrases = _rows(axes, data, pairs, "flagged_adversarial", percent, " %")
        for row, pair in enumerate(pairs.values()):
            rates = [
                percent(pair[name]["flagged_adversarial"]) if name in pair else "–"
                for name in ("oblivious", "adaptive")
            ]
            beside(axes, row, " / ".join(rates))
        axes.set_title(f"{defense} on {victim}  (false alarms {percent(clean)} %)")
        sentences.append(f"{defense} on {victim} flags {percent(clean)} % of clean images; {'; '.join(phrases)}")
    rate_axis(grid[-1, 0], "images that are flagged")
    line = key("clean, false alarms", marker="", linestyle=(0, (4, 1.5)))
    legend(figure, [*_setting_keys("oblivious", "adaptive"), line], columns=2)
    return [
        Drawn(
            "detectors",
            "What the detectors catch",
            "The share of adversarial images that the detector flags, per attack at its largest budget: pale when "
            "the attacker does not know of it, full when the attack was aimed at the detector too. The dashed line is "
            "the share of clean images that it flags by mistake: a point near it or left of it says that the "
            "detector does not see the attack. Numbers at the right are oblivious / adaptive, in percent. Points have "
            f"the attacks' colours and markers.{data.of_seeds('dots')}",
            f"Dot chart. {'. '.join(sentences)}.",
            figure,
        )
    ]


@figure
def preprocessors(data: Results) -> list[Drawn]:
    """Accuracy without the preprocessor, with it, and with it known to the attacker."""
    groups = _pairs(data, "preprocessor")
    if not groups:
        raise Absent("no preprocessor was evaluated")
    figure, grid = stack([0.35 + ROW * len(pairs) for pairs in groups.values()], below=0.85, sharex=True)
    sentences = []
    for axes, ((victim, defense), pairs) in zip(grid[:, 0], groups.items(), strict=True):
        for row, (attack, pair) in enumerate(pairs.items()):
            for score in pair.values():
                ends = score["adversarial_low"], score["adversarial_high"]
                axes.hlines(row, *ends, color=data.palette[attack], linewidth=5, alpha=0.16)
        phrases = _rows(axes, data, pairs, "adversarial_accuracy", percent, " %")
        for row, pair in enumerate(pairs.values()):
            beside(axes, row, percent(pair["adaptive"]["adversarial_accuracy"] if "adaptive" in pair else None))
        clean = next(pair[name] for pair in pairs.values() for name in pair if name != "undefended")["clean_accuracy"]
        axes.set_title(f"{defense} on {victim}  (clean {percent(clean)} %)")
        sentences.append(f"{defense} on {victim}: {'; '.join(phrases)}")
    rate_axis(grid[-1, 0], "accuracy under attack")
    legend(figure, _setting_keys(*SETTINGS), columns=2)
    return [
        Drawn(
            "preprocessors",
            "What the preprocessors are worth",
            "Accuracy under each attack at its largest budget: without the preprocessor (open), "
            "with it when the attacker does not know of it (pale), and when the attack goes "
            "through it (full, and the number at the right in percent). Pale bands are Wilson "
            "intervals. Only the full point is robustness: where it falls back to the open one, the "
            "defense only hid the victim. Points have the attacks' colours and markers."
            f"{data.of_seeds('dots')}",
            f"Dot chart. {'. '.join(sentences)}.",
            figure,
        )
    ]


@figure
def defense_budgets(data: Results) -> list[Drawn]:
    """Mean L2 that attacks needed with and without a defense."""
    groups = {
        key: found
        for key, pairs in _pairs(data).items()
        if (found := {attack: pair for attack, pair in pairs.items() if _changed(pair)})
    }
    if not groups:
        raise Absent("no attack succeeded against a defended victim")
    figure, grid = stack([0.35 + ROW * len(pairs) for pairs in groups.values()], below=0.85, sharex=True)
    sentences = []
    for axes, ((victim, defense), pairs) in zip(grid[:, 0], groups.items(), strict=True):
        phrases = _rows(axes, data, pairs, "mean_l2", number)
        for row, pair in enumerate(pairs.values()):
            beside(axes, row, number(pair["adaptive"]["mean_l2"] if "adaptive" in pair else None))
        axes.set(title=f"{defense} on {victim}", xlabel="")
        sentences.append(f"{defense} on {victim}: {'; '.join(phrases)}")
    grid[-1, 0].set_xlim(left=0)
    grid[-1, 0].set_xlabel("mean L2 of the successful changes")
    legend(figure, _setting_keys(*SETTINGS), columns=2)
    return [
        Drawn(
            "defense_budgets",
            "Sizes of the changes that passed a defense",
            "Mean L2 of the changes that succeeded: without the defense (open), against a defense "
            "the attacker does not know (pale) and against one it knows (full, and the number "
            "at the right). For attacks that look for the smallest change, a full point to the right of the "
            "open one says that the defense makes larger changes necessary; the others always use their whole budget."
            f"{data.of_seeds('dots')}",
            f"Dot chart of mean L2. {'. '.join(sentences)}.",
            figure,
        )
    ]


def _rows(
    axes: Axes, data: Results, pairs: dict[str, Pair], column: str, spell: Callable[[float], str], unit: str = ""
) -> list[str]:
    """A row per attack, with a point per setting and a line between them; returns the rows in words."""
    cells = [
        (row, attack, setting, float(score[column]))
        for row, (attack, pair) in enumerate(pairs.items())
        for setting, score in pair.items()
    ]
    table = pd.DataFrame(cells, columns=["row", "attack", "setting", column]).dropna()
    ends = table.groupby("row")[column].agg(["min", "max"])
    colors = [data.palette[attack] for attack in pairs]
    axes.hlines(ends.index, ends["min"], ends["max"], color=[colors[row] for row in ends.index], linewidth=1, zorder=1)
    for setting, (_, fill) in SETTINGS.items():
        dots(axes, data, table[table["setting"] == setting], x=column, y="row", fill=fill)
    of_seeds = [(row, score[f"{column}_seeds"]) for row, pair in enumerate(pairs.values()) for score in pair.values()]
    trainings(axes, [row for row, _ in of_seeds], [values for _, values in of_seeds])
    scores = [[score for name, score in pair.items() if name != "undefended"] for pair in pairs.values()]
    rows_axis(axes, [data.label(*mine) for mine in scores])
    axes.set_xlabel("")
    phrases = []
    for attack, part in table.groupby("attack", sort=False):
        words = [f"{one.setting} {spell(getattr(one, column))}{unit}" for one in each(part)]
        eps = next(iter(pairs[str(attack)].values()))["eps"]
        phrases.append(f"{label(str(attack), eps)} {', '.join(words)}")
    return phrases


def _setting_keys(*settings: str) -> list[Line2D]:
    return [key(SETTINGS[name][0], fill=SETTINGS[name][1]) for name in settings]


def _changed(pair: Pair) -> bool:
    """Whether an attack turned any image in spite of the defense."""
    return any(not missing(score["mean_l2"]) for name, score in pair.items() if name != "undefended")


def _pairs(data: Results, kind: str | None = None) -> dict[tuple[str, str], dict[str, Pair]]:
    """The scores of each defense, of one kind or of all: by (victim, defense) and attack, each at its largest eps."""
    records: list[Any] = data.strongest(data.scores).to_dict("records")
    alone = {(one["victim"], one["attack"]): one for one in records if one["setting"] == "undefended"}
    found: dict[tuple[str, str], dict[str, Pair]] = {}
    for victim, defense in (names for names, fact in data.defenses.items() if kind in (None, fact["kind"])):
        for one in records:
            if (one["victim"], one["defense"]) == (victim, defense):
                pairs = found.setdefault((victim, defense), {})
                before = alone.get((victim, one["attack"]))
                pair = pairs.setdefault(one["attack"], {"undefended": before} if before else {})
                pair[one["setting"]] = one
    return found


KNOWN = {"oblivious": "unknown to the attacker", "adaptive": "known to the attacker (adaptive)"}
"""What the two halves of the table of attacks and defenses are called."""


@figure
def attack_defense(data: Results) -> list[Drawn]:
    """Accuracy of every defense under every attack and in the worst case, oblivious and adaptive, per victim."""
    scores = data.strongest(data.scores)
    drawn = []
    for victim in data.victims:
        part = scores[scores["victim"] == victim]
        defenses = [defense for name, defense in data.defenses if name == victim]
        defenses = [name for name in defenses if name in set(part.loc[part["setting"] == "adaptive", "defense"])]
        if not defenses:
            continue
        halves = {name: _half(data, part, defenses, name) for name in KNOWN}
        halves = {name: half for name, half in halves.items() if half.cells[defenses].notna().any(axis=None)}
        figure, grid = stack([0.75 + 0.36 * len(half.cells) for half in halves.values()], below=0.1)
        for axes, (name, half) in zip(grid[:, 0], halves.items(), strict=True):
            matrix(axes, half.cells, half.signs, half.of_seeds)
            axes.set_xlabel(KNOWN[name], labelpad=6)
            axes.axhline(half.attacks, color="white", linewidth=3)
        drawn.append(
            Drawn(
                f"attack_defense_{victim}",
                f"Attacks against defenses on {victim}",
                "Accuracy in percent under each attack (row) at its largest budget, without a defense and with each "
                "defense (column): above, of attacks that do not know it, below, of attacks that do. The last rows are "
                "the worst case per image over all attacks of a norm: in the lower half over those of both halves. "
                "Brighter is more accurate; a defense that is bright above and dark below is broken when the attacker "
                "knows it. For detectors an image counts as held when it is flagged or classified correctly."
                f"{data.of_seeds('cells')} {marks.MEANING}",
                f"Table of accuracies on {victim}. {' '.join(half.words(name) for name, half in halves.items())}",
                figure,
                group="attack_defense",
            )
        )
    if not drawn:
        raise Absent("no defense met an adaptive attack")
    return drawn


class Half(NamedTuple):
    """The cells of one setting: `attacks` rows of attacks, then worst cases; a column for each defense."""

    cells: pd.DataFrame
    signs: pd.DataFrame
    of_seeds: dict[tuple[Hashable, Hashable], list[float]]
    attacks: int

    def words(self, setting: str) -> str:
        rows = (
            f"{row}: " + ", ".join(f"{name} {percent(self.cells[name][row])} %" for name in self.cells.columns)
            for row in self.cells.index
        )
        return f"{setting.capitalize()}: {'; '.join(rows)}."


def _half(data: Results, scores: pd.DataFrame, defenses: list[str], setting: str) -> Half:
    """What one victim keeps under attacks that know its defenses, or that do not."""
    met = set(scores.loc[scores["setting"] == setting, "attack"])
    attacks = [attack for attack in data.methods if attack in met]
    columns = ["undefended", *defenses]
    places: list[tuple[str, str, Any, list[Fact], list[float]]] = []
    scored: list[Any] = scores[scores["setting"].isin(["undefended", setting])].to_dict("records")
    for score in scored:
        place = score["attack"], score["defense"].replace("none", "undefended")
        places.append((*place, score["adversarial_accuracy"], marks.of_score(data.checks, score), score[SEEDS]))
    worst = []
    for case in data.worst_cases:
        if case["victim"] != scores["victim"].iloc[0] or not case["headline"] or case["reason"]:
            continue
        name = f"all {NORMS[case['norm']]}" + ("" if case["eps"] is None else f"  ε {epsilon(case['eps'])}")
        bare = case["defense"] == "none"
        rate = case["accuracy"] if bare or setting == "adaptive" else case["oblivious_accuracy"]
        of_seeds = case["accuracy_seeds"] if bare or setting == "adaptive" else []
        places.append(
            (name, case["defense"].replace("none", "undefended"), rate, marks.of_case(data.checks, case), of_seeds)
        )
        if rate is not None and not bare and name not in worst:
            worst.append(name)
    rows = [*attacks, *worst]
    cells = pd.DataFrame(float("nan"), index=rows, columns=columns)
    signs = pd.DataFrame("", index=rows, columns=columns)
    seeds: dict[tuple[Hashable, Hashable], list[float]] = {}
    for row, column, rate, touched, of_seeds in places:
        if row in rows and column in columns and not missing(rate):
            cells.loc[row, column], signs.loc[row, column] = rate, marks.sign(touched)
            seeds[row, column] = of_seeds
    return Half(cells, signs, seeds, len(attacks))


SEEDS = "adversarial_accuracy_seeds"
