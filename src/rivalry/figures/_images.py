"""How images are drawn, and the words under them."""

from __future__ import annotations

from typing import Any

import numpy as np
from matplotlib.axes import Axes

from rivalry.figures._looks import ALARM, INK
from rivalry.figures._results import Results
from rivalry.types import REFUSED


def class_name(data: Results, victim: str, prediction: float) -> str:
    """What a victim calls the class that it answered."""
    if prediction == REFUSED:
        return "refused"
    return str(data.victims[victim]["class_names"][int(prediction)]) if prediction >= 0 else "no answer"


def visible(change: np.ndarray) -> np.ndarray:
    """A change as an image: grey where nothing changed, its largest component at full contrast."""
    largest = float(np.abs(change).max())
    return 0.5 + change / (2 * largest) if largest > 0 else np.full_like(change, 0.5)


def show(axes: Axes, image: np.ndarray, **kwargs: Any) -> None:
    """An image (C,H,W) in [0,1], without ticks and frame."""
    pixels = np.clip(image.transpose(1, 2, 0), 0, 1)
    axes.imshow(
        pixels.squeeze(-1) if pixels.shape[2] == 1 else pixels,
        cmap="gray",
        vmin=0,
        vmax=1,
        interpolation="none",
        **kwargs,
    )
    axes.set_xticks([])
    axes.set_yticks([])
    axes.grid(False)
    axes.spines[:].set_visible(False)


def under(axes: Axes, text: str, *, fooled: bool = False) -> None:
    """Words below an image, bold and coloured where the victim was fooled."""
    axes.set_xlabel(
        text,
        fontsize=7.5,
        color=ALARM if fooled else INK,
        fontweight="bold" if fooled else "normal",
        labelpad=2,
    )
