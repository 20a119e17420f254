"""Images that a victim takes for something though they show nothing."""

from __future__ import annotations

import math

import matplotlib.pyplot as plt

from rivalry import artifacts
from rivalry.figures._figure import Absent, Drawn, figure
from rivalry.figures._images import class_name, show, under
from rivalry.figures._results import Results
from rivalry.figures._style import WIDTH
from rivalry.formatting import settings

MOST_CLASSES = 10


@figure
def fooling(data: Results) -> list[Drawn]:
    """The fooling images of the first classes, per method and victim."""
    drawn = []
    for (victim, fooling), fact in data.fooling.items():
        place = data.layout.fooling(data.dataset, victim, fooling)
        rows = artifacts.read_table(place["scores"]).head(MOST_CLASSES)
        with artifacts.open_tensors(place["images"], "np") as file:
            images = file.get_slice("images")[: len(rows)]
        columns = math.ceil(len(rows) / 2)
        figure, axes = plt.subplots(2, columns, figsize=(WIDTH, 2 * (WIDTH / columns + 0.34)), squeeze=False)
        figure.set_layout_engine("constrained", w_pad=0.02, h_pad=0.02, wspace=0.02, hspace=0.02)
        for axis in axes.flat[len(rows) :]:
            axis.set_axis_off()
        sentences = []
        for axis, image, row in zip(axes.flat, images, rows.to_dict("records"), strict=False):
            meant = class_name(data, victim, row["target"])
            show(axis, image)
            under(axis, f"{meant}\n{_confidence(row['confidence'])}", fooled=bool(row["success"]))
            sentences.append(f"{meant} ({_confidence(row['confidence'])})")
        some = f" The first {len(rows)} of {fact['n']} classes." if len(rows) < fact["n"] else ""
        drawn.append(
            Drawn(
                f"fooling_{victim}_{fooling}",
                f"What {victim} takes for each class, by {fooling}",
                f"Images made by {fact['method']} ({settings(fact['parameters'])}) without any image "
                f"of the data. Under each stands the class it is meant for and the victim's probability of that class. "
                "Bold and coloured: at least "
                f"{_confidence(fact['asked_confidence'])}, so the victim is fooled, as by {fact['n_success']} of "
                f"{fact['n']}.{some}{data.of_seeds('first')}",
                f"Fooling images and what {victim} takes them for: {', '.join(sentences)}.",
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
