"""What the images of a data set look like."""

from __future__ import annotations

import unicodedata
from bisect import bisect
from dataclasses import dataclass
from itertools import accumulate

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from PIL import Image

from rivalry import artifacts
from rivalry.figures._figure import Drawn, figure
from rivalry.figures._pages import numbered
from rivalry.figures._results import Results
from rivalry.figures._style import WIDTH
from rivalry.formatting import printed

ONE_COLUMN = 12
"""Classes that stand below each other; more of them stand in two columns."""
EXAMPLES = {1: 10, 2: 5}
"""Images of a class, by the number of columns."""
ROWS = 25
"""Rows of one figure: what fits on a printed page."""
MOST_CLASSES = 200
NAME = 1.05
"""Inches for the name of a class."""
MOST_LETTERS = 14
"""Letters of a name that fit there; a wide one counts twice."""
MARGIN = 0.05
LEAST_ROW, MOST_ROW = 0.17, 0.6
"""Inches of a row: room for its name; no more than that for tall images."""
MOST_SIDE = 96
"""Pixels; larger images are drawn smaller."""


@dataclass(frozen=True)
class _Grid:
    """How the images of a data set stand on a page: pixels of an image and of a row, and pixels of an inch."""

    columns: int
    height: int
    width: int
    pitch: int
    per_inch: float

    @property
    def examples(self) -> int:
        return EXAMPLES[self.columns]


@figure
def examples(data: Results) -> list[Drawn]:
    """The first training images of each class, in as many figures as fit on pages."""
    names, (_, height, width) = data.about["class_names"], data.about["shape"]
    shown = np.arange(len(names))
    if len(names) > MOST_CLASSES:
        shown = np.linspace(0, len(names) - 1, MOST_CLASSES).round().astype(int)
    smaller = -(-max(height, width) // MOST_SIDE)
    grid = _grid(1 if len(shown) <= ONE_COLUMN else 2, -(-height // smaller), -(-width // smaller))
    pages = [shown[start : start + ROWS * grid.columns] for start in range(0, len(shown), ROWS * grid.columns)]
    how = "The first images of each class in the training split, as victims are given them."
    how += f" Drawn smaller than they are, {width}×{height} pixels." if smaller > 1 else ""
    how += f" {MOST_CLASSES} of {len(names)} classes, evenly chosen." if len(names) > MOST_CLASSES else ""
    drawn = []
    with artifacts.open_tensors(data.layout.data(data.dataset)["train"], "np") as file:
        labels, images = file.get_tensor("labels"), file.get_slice("images")
        for number, page in enumerate(pages, start=1):
            rows = -(-len(page) // grid.columns)
            made = plt.figure(figsize=(WIDTH, rows * grid.pitch / grid.per_inch + 2 * MARGIN))
            made.set_layout_engine(
                "none"
            )  # where there never was one, Matplotlib takes the style's at the second saving
            for column, start in enumerate(range(0, len(page), rows)):
                some = page[start : start + rows]
                found = [np.flatnonzero(labels == label)[: grid.examples] for label in some]
                pictures = [[_reduced(images[int(row) : int(row) + 1][0], smaller) for row in line] for line in found]
                _draw(_axes(made, column, len(some), grid), pictures, [names[label] for label in some], grid)
            name, title = numbered("examples", f"Examples of {len(names):,} classes", number, len(pages))
            listed = ", ".join(names[label] for label in page)
            alt = f"Images, up to {grid.examples} of each of {len(page)} classes: {listed}."
            drawn.append(Drawn(name, title, f"{how} Numbers of images are in the table.", alt, made, group="examples"))
    return drawn


def _grid(columns: int, height: int, width: int) -> _Grid:
    """The grid of images of a size, as large as the page's width and a row's height allow."""
    room = (WIDTH / columns - NAME - MARGIN) / EXAMPLES[columns]
    per_inch = max((width + 1) / room, (height + 1) / MOST_ROW)
    return _Grid(columns, height, width, max(height + 1, round(LEAST_ROW * per_inch)), per_inch)


def _axes(made: Figure, column: int, rows: int, grid: _Grid) -> Axes:
    """Axes of exactly the size of a column's images, at its top; a layout engine would not keep their proportions."""
    high = made.get_size_inches()[1]
    width, height = grid.examples * (grid.width + 1) / grid.per_inch, rows * grid.pitch / grid.per_inch
    left, bottom = column * WIDTH / grid.columns + NAME, high - MARGIN - height
    return made.add_axes((left / WIDTH, bottom / high, width / WIDTH, height / high))


def _reduced(image: np.ndarray, factor: int) -> np.ndarray:
    """An image (C,H,W) of bytes as RGB (H,W,3), its sides divided by a factor."""
    colour = np.broadcast_to(image, (3, *image.shape[1:])).transpose(1, 2, 0)
    return np.asarray(Image.fromarray(np.ascontiguousarray(colour)).reduce(factor))


def _draw(axes: Axes, pictures: list[list[np.ndarray]], names: list[str], grid: _Grid) -> None:
    """Rows of images with a class's name before each; what is not covered by an image is transparent."""
    canvas = np.zeros((len(names) * grid.pitch, grid.examples * (grid.width + 1), 4), np.uint8)
    above = (grid.pitch - grid.height) // 2
    for row, line in enumerate(pictures):
        for column, picture in enumerate(line):
            top, left = row * grid.pitch + above, column * (grid.width + 1)
            cell = canvas[top : top + grid.height, left : left + grid.width]
            cell[..., :3], cell[..., 3] = picture, 255
    axes.imshow(canvas, interpolation="none", aspect="auto")
    middles = [(row + 0.5) * grid.pitch - 0.5 for row in range(len(names))]
    axes.set_yticks(middles, [_short(name) for name in names], fontsize=8)
    axes.set_xticks([])
    axes.tick_params(axis="y", length=0)
    axes.grid(False)
    axes.spines[:].set_visible(False)


def _short(name: str) -> str:
    """A name that fits before its images, also spelled in Latin letters as in the paper."""
    wide = [2 if unicodedata.east_asian_width(letter) in "WF" else 1 for letter in name]
    taken = list(accumulate(max(width, len(printed(letter))) for width, letter in zip(wide, name, strict=True)))
    return name if taken[-1] <= MOST_LETTERS else f"{name[: bisect(taken, MOST_LETTERS - 1)]}…"
