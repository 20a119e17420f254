"""Adversarial images beside the originals they were made from."""

from __future__ import annotations

import math
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd

from rivalry import artifacts
from rivalry.adversarial import open_crafted
from rivalry.figures._figure import Absent, Drawn, figure
from rivalry.figures._images import class_name, show, under, visible
from rivalry.figures._results import Fact, Results, label
from rivalry.figures._style import WIDTH
from rivalry.formatting import epsilon, number

MOST_EPS = 9
MOST_ATTACKS = 12
"""Attacks that one gallery shows: what can be seen on a printed page."""


@figure
def gallery(data: Results) -> list[Drawn]:
    """Original, perturbation and result of every attack on one image, per victim."""
    drawn = []
    for victim in data.victims:
        met = [attack for name, attack in data.attacks if name == victim]
        if not met:
            continue
        rows = {attack: _rows(data, victim, attack) for attack in met}
        index = _telling(rows)
        before = _prediction(data, victim, index)
        for page, start in enumerate(range(0, len(met), MOST_ATTACKS), start=1):
            drawn.append(_gallery(data, victim, met[start : start + MOST_ATTACKS], rows, index, before, page))
    if not drawn:
        raise Absent("no attack was run on an undefended victim")
    return drawn


def _gallery(
    data: Results,
    victim: str,
    attacks: list[str],
    rows: dict[str, pd.DataFrame],
    index: int,
    before: tuple[str, float],
    page: int,
) -> Drawn:
    blocks = math.ceil(len(attacks) / 2)
    figure = plt.figure(figsize=(WIDTH, 1.44 * blocks), layout="constrained")
    panels = figure.subfigures(blocks, min(2, len(attacks)), wspace=0.06, squeeze=False).flat
    original = _original(data, index)
    sentences = []
    for panel, attack in zip(panels, attacks, strict=False):
        row = _at(rows[attack], index)
        changed = _image(data, victim, attack, row["eps"], index)
        change = changed - original
        axes = panel.subplots(1, 3)
        show(axes[0], original)
        show(axes[1], visible(change))
        show(axes[2], changed)
        after = class_name(data, victim, row["prediction"])
        under(axes[0], f"{before[0]}\n{100 * before[1]:.0f} %")
        under(axes[1], _size(data.attacks[victim, attack], change))
        under(axes[2], f"{after}\n{100 * row['confidence']:.0f} %", fooled=bool(row["success"]))
        panel.suptitle(label(attack, row["eps"]), x=0.02, ha="left", fontsize=9, fontweight="bold")
        outcome = f"becomes {after} ({100 * row['confidence']:.0f} %)" if row["success"] else f"stays {after}"
        sentences.append(f"under {label(attack, row['eps'])} it {outcome}")
    return Drawn(
        f"gallery_{victim}" + (f"_{page}" if page > 1 else ""),
        f"One image under every attack on {victim}" + (f" (page {page})" if page > 1 else ""),
        f"Test image {index}. Per attack: the original, the change (grey is none, amplified to full "
        "contrast, its size below) and the attacked image, with the victim's prediction and "
        "confidence. Bold and coloured: the attack succeeded. Of several budgets the smallest that "
        "succeeded is shown, else the largest; the image is the one that most attacks fooled."
        f"{data.of_seeds('first')}",
        f"Images. Test image {index} is classified as {before[0]} ({100 * before[1]:.0f} %); {'; '.join(sentences)}.",
        figure,
        group="gallery",
    )


@figure
def gallery_by_eps(data: Results) -> list[Drawn]:
    """One image as the budgets of the attacks grow, per victim."""
    drawn = []
    for victim in data.victims:
        attacks = [
            attack for (name, attack), fact in data.attacks.items() if name == victim and len(fact["eps"] or []) > 1
        ]
        if not attacks:
            continue
        rows = {attack: _rows(data, victim, attack) for attack in attacks}
        grid = sorted({eps for table in rows.values() for eps in table["eps"].dropna()})
        if len(grid) > MOST_EPS:
            grid = [grid[k] for k in np.unique(np.linspace(0, len(grid) - 1, MOST_EPS).round().astype(int))]
        index = _telling(rows)
        original, before = _original(data, index), _prediction(data, victim, index)
        columns = len(grid) + 1
        cell = min(1.0, (WIDTH - 0.9) / columns)
        figure, axes = plt.subplots(
            len(attacks), columns, figsize=(WIDTH, (cell + 0.36) * len(attacks) + 0.22), squeeze=False
        )
        figure.set_layout_engine("constrained", w_pad=0.02, h_pad=0.02, wspace=0.02, hspace=0.02)
        sentences = []
        for line, attack in zip(axes, attacks, strict=True):
            show(line[0], original)
            under(line[0], f"{before[0]}\n{100 * before[1]:.0f} %")
            line[0].set_ylabel(attack, rotation=0, ha="right", va="center", fontsize=8.5, fontweight="bold")
            flips = None
            for axis, eps in zip(line[1:], grid, strict=True):
                table = rows[attack]
                found = table[(table["eps"] == eps) & (table["index"] == index)]
                if found.empty:
                    axis.set_axis_off()
                    continue
                row = found.iloc[0].to_dict()
                show(axis, _image(data, victim, attack, eps, index))
                after = class_name(data, victim, row["prediction"])
                under(axis, f"{after}\n{100 * row['confidence']:.0f} %", fooled=bool(row["success"]))
                flips = eps if flips is None and row["success"] else flips
            sentences.append(f"{attack} first succeeds at ε {epsilon(flips)}" if flips else f"{attack} never succeeds")
        for axis, eps in zip(axes[0], [0.0, *grid], strict=True):
            axis.set_title(f"ε {epsilon(eps)}" if eps else "original", loc="center", fontsize=8.5, fontweight="normal")
        drawn.append(
            Drawn(
                f"gallery_by_eps_{victim}",
                f"One image under growing budgets on {victim}",
                f"Test image {index} as the budget ε grows from left to right, one attack a row, with the "
                "victim's prediction and confidence. Bold and coloured: the attack succeeded. Where a "
                "person would no longer name the original class, a budget is too large to speak of an "
                f"adversarial example.{data.of_seeds('first')}",
                f"Images of test image {index}, classified as {before[0]} when clean: {'; '.join(sentences)}.",
                figure,
                group="gallery_by_eps",
            )
        )
    if not drawn:
        raise Absent("no attack was run at several eps")
    return drawn


def _rows(data: Results, victim: str, attack: str) -> pd.DataFrame:
    return artifacts.read_table(data.layout.attack(data.dataset, victim, attack)["scores"])


def _telling(rows: dict[str, pd.DataFrame]) -> int:
    """The first test image that most attacks fooled, among those that all of them met."""
    won = pd.concat([table.groupby("index")["success"].any() for table in rows.values()], axis=1).dropna()
    fooled = won.astype(int).sum(axis=1).sort_index()
    return int(fooled.index[int(fooled.argmax())])


def _at(table: pd.DataFrame, index: int) -> dict[str, Any]:
    """The row of an image at the smallest eps that succeeded, else at the largest."""
    found = table[table["index"] == index].sort_values("eps")
    won = found[found["success"]]
    return {str(name): value for name, value in (won.iloc[0] if len(won) else found.iloc[-1]).items()}


def _original(data: Results, index: int) -> np.ndarray:
    with artifacts.open_tensors(data.layout.data(data.dataset)["test"], "np") as file:
        pixels: np.ndarray = file.get_slice("images")[index : index + 1][0]
    return pixels.astype(np.float32) / 255


def _image(data: Results, victim: str, attack: str, eps: float, index: int) -> np.ndarray:
    with open_crafted(data.layout.attack(data.dataset, victim, attack), "np") as crafted:
        row = crafted.index.index(index)
        image: np.ndarray = crafted.images(eps, slice(row, row + 1))[0]
    return image


def _prediction(data: Results, victim: str, index: int) -> tuple[str, float]:
    table = artifacts.read_table(data.layout.victim(data.dataset, victim)["predictions"])
    row = table[table["index"] == index].iloc[0]
    return class_name(data, victim, row["prediction"]), float(row["confidence"])


def _size(fact: Fact, change: np.ndarray) -> str:
    norm = str(fact["norm"])
    if norm == "0":
        return f"L0\n{int((np.abs(change).max(0) > 1 / 512).sum())} px"
    if norm == "2":
        return f"L2\n{number(float(np.sqrt((change**2).sum())))}"
    return f"L∞\n{number(float(np.abs(change).max()))}"
