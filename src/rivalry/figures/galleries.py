"""Adversarial images beside the originals they were made from."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes

from rivalry import artifacts
from rivalry.figures._figure import figure
from rivalry.figures.results import Results
from rivalry.figures.style import ALARM, INK, WIDTH, Absent, Drawn, label, plt
from rivalry.formatting import epsilon, number, settings

MOST_EPS = 9
MOST_ATTACKS = 12
"""Attacks that one gallery shows: what can be seen on a printed page."""
MOST_CLASSES = 10


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
    said = []
    for panel, attack in zip(panels, attacks, strict=False):
        row = _at(rows[attack], index)
        changed = _image(data, victim, attack, row["eps"], index)
        change = changed - original
        axes = panel.subplots(1, 3)
        show(axes[0], original)
        show(axes[1], visible(change))
        show(axes[2], changed)
        after = _named(data, victim, row["prediction"])
        _under(axes[0], f"{before[0]}\n{100 * before[1]:.0f} %")
        _under(axes[1], _size(data.attacks[victim, attack], change))
        _under(axes[2], f"{after}\n{100 * row['confidence']:.0f} %", fooled=bool(row["success"]))
        panel.suptitle(label(attack, row["eps"]), x=0.02, ha="left", fontsize=9, fontweight="bold")
        outcome = f"becomes {after} ({100 * row['confidence']:.0f} %)" if row["success"] else f"stays {after}"
        said.append(f"under {label(attack, row['eps'])} it {outcome}")
    return Drawn(
        f"gallery_{victim}" + (f"_{page}" if page > 1 else ""),
        f"One image under every attack on {victim}" + (f" (page {page})" if page > 1 else ""),
        f"Test image {index}. Per attack: the original, the change (grey is none, amplified to full "
        "contrast, its size below) and the attacked image, with the victim's prediction and "
        "confidence. Bold and coloured: the attack succeeded. Of several budgets the smallest that "
        "succeeded is shown, else the largest; the image is the one that most attacks fooled.",
        f"Images. Test image {index} is classified as {before[0]} ({100 * before[1]:.0f} %); {'; '.join(said)}.",
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
        said = []
        for line, attack in zip(axes, attacks, strict=True):
            show(line[0], original)
            _under(line[0], f"{before[0]}\n{100 * before[1]:.0f} %")
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
                after = _named(data, victim, row["prediction"])
                _under(axis, f"{after}\n{100 * row['confidence']:.0f} %", fooled=bool(row["success"]))
                flips = eps if flips is None and row["success"] else flips
            said.append(f"{attack} first succeeds at ε {epsilon(flips)}" if flips else f"{attack} never succeeds")
        for axis, eps in zip(axes[0], [0.0, *grid], strict=True):
            axis.set_title(f"ε {epsilon(eps)}" if eps else "original", loc="center", fontsize=8.5, fontweight="normal")
        drawn.append(
            Drawn(
                f"gallery_by_eps_{victim}",
                f"One image under growing budgets on {victim}",
                f"Test image {index} as the budget ε grows from left to right, one attack a row, with the "
                "victim's prediction and confidence. Bold and coloured: the attack succeeded. Where a "
                "person would no longer name the original class, a budget is too large to speak of an "
                "adversarial example.",
                f"Images of test image {index}, classified as {before[0]} when clean: {'; '.join(said)}.",
                figure,
                group="gallery_by_eps",
            )
        )
    if not drawn:
        raise Absent("no attack was run at several eps")
    return drawn


@figure
def fooling(data: Results) -> list[Drawn]:
    """The fooling images of the first classes, per method and victim."""
    drawn = []
    for (victim, fooling), fact in data.fooling.items():
        folder = data.folder / "fooling" / data.dataset / victim / fooling
        rows = artifacts.read_table(folder / "scores.parquet").head(MOST_CLASSES)
        with artifacts.open_tensors(folder / "images.safetensors", "np") as file:
            images = file.get_slice("images")[: len(rows)]
        columns = math.ceil(len(rows) / 2)
        figure, axes = plt.subplots(2, columns, figsize=(WIDTH, 2 * (WIDTH / columns + 0.34)), squeeze=False)
        figure.set_layout_engine("constrained", w_pad=0.02, h_pad=0.02, wspace=0.02, hspace=0.02)
        for axis in axes.flat[len(rows) :]:
            axis.set_axis_off()
        said = []
        for axis, image, row in zip(axes.flat, images, rows.to_dict("records"), strict=False):
            meant = _named(data, victim, row["target"])
            show(axis, image)
            _under(axis, f"{meant}\n{_confidence(row['confidence'])}", fooled=bool(row["success"]))
            said.append(f"{meant} ({_confidence(row['confidence'])})")
        some = f" The first {len(rows)} of {fact['n']} classes." if len(rows) < fact["n"] else ""
        drawn.append(
            Drawn(
                f"fooling_{victim}_{fooling}",
                f"What {victim} takes for each class, by {fooling}",
                f"Images made by {fact['method']} ({settings(fact['parameters'])}) from nothing. Under each stands the "
                f"class it is meant for and the victim's probability of that class. Bold and coloured: at least "
                f"{_confidence(fact['asked_confidence'])}, so the victim is fooled, as by {fact['n_success']} of "
                f"{fact['n']}.{some}",
                f"Fooling images and what {victim} takes them for: {', '.join(said)}.",
                figure,
                group=f"fooling_{fooling}",
            )
        )
    if not drawn:
        raise Absent("no fooling images were made")
    return drawn


def _confidence(value: float) -> str:
    """A probability in percent, cut and not rounded: what is not certain is not called 100 %."""
    return f"{math.floor(10000 * value) / 100:g} %"


def _rows(data: Results, victim: str, attack: str) -> pd.DataFrame:
    return artifacts.read_table(data.folder / "attacks" / data.dataset / victim / attack / "scores.parquet")


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
    with artifacts.open_tensors(data.folder / "data" / data.dataset / "test.safetensors", "np") as file:
        return file.get_slice("images")[index : index + 1][0].astype(np.float32) / 255


def _image(data: Results, victim: str, attack: str, eps: float, index: int) -> np.ndarray:
    path = data.folder / "attacks" / data.dataset / victim / attack / "adversarial.safetensors"
    with artifacts.open_tensors(path, "np") as file:
        row = file.get_tensor("index").tolist().index(index)
        return file.get_slice("images" if "images" in file.keys() else f"images_eps_{eps:g}")[row : row + 1][0]  # noqa: SIM118


def _prediction(data: Results, victim: str, index: int) -> tuple[str, float]:
    table = artifacts.read_table(data.folder / "victims" / data.dataset / victim / "predictions.parquet")
    row = table[table["index"] == index].iloc[0]
    return _named(data, victim, row["prediction"]), float(row["confidence"])


def _named(data: Results, victim: str, prediction: float) -> str:
    return str(data.victims[victim]["class_names"][int(prediction)]) if prediction >= 0 else "no answer"


def visible(change: np.ndarray) -> np.ndarray:
    """A change as an image: grey where nothing changed, its largest component at full contrast."""
    largest = float(np.abs(change).max())
    return 0.5 + change / (2 * largest) if largest > 0 else np.full_like(change, 0.5)


def _size(fact: dict[str, Any], change: np.ndarray) -> str:
    norm = str(fact["norm"])
    if norm == "0":
        return f"L0\n{int((np.abs(change).max(0) > 1 / 512).sum())} px"
    if norm == "2":
        return f"L2\n{number(float(np.sqrt((change**2).sum())))}"
    return f"L∞\n{number(float(np.abs(change).max()))}"


def show(axes: Axes, image: np.ndarray) -> None:
    """An image (C,H,W) in [0,1], without ticks and frame."""
    pixels = np.clip(image.transpose(1, 2, 0), 0, 1)
    axes.imshow(
        pixels.squeeze(-1) if pixels.shape[2] == 1 else pixels,
        cmap="gray",
        vmin=0,
        vmax=1,
        interpolation="none",
    )
    axes.set_xticks([])
    axes.set_yticks([])
    axes.grid(False)
    axes.spines[:].set_visible(False)


def _under(axes: Axes, text: str, *, fooled: bool = False) -> None:
    axes.set_xlabel(
        text,
        fontsize=7.5,
        color=ALARM if fooled else INK,
        fontweight="bold" if fooled else "normal",
        labelpad=2,
    )
