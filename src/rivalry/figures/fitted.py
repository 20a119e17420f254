"""What attacks that are fitted once for all images look like."""

from __future__ import annotations

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd

from rivalry import artifacts
from rivalry.adversarial import open_crafted
from rivalry.figures._figure import Absent, Drawn, figure
from rivalry.figures._images import show, visible
from rivalry.figures._looks import INK
from rivalry.figures._results import Results, label
from rivalry.figures._style import WIDTH
from rivalry.formatting import percent


@figure
def fitted(data: Results) -> list[Drawn]:
    """Universal perturbations and patches, each with its fooling rate on images it was not fitted to."""
    found: list[tuple[str, str, np.ndarray, str, pd.DataFrame]] = []
    for (victim, attack), fact in data.attacks.items():
        if not fact.get("fits"):
            continue
        place = data.layout.attack(data.dataset, victim, attack)
        with open_crafted(place, "np") as crafted:
            for eps, part in artifacts.read_table(place["scores"]).groupby("eps", dropna=False):
                for name, made in crafted.fitted(float(str(eps))).items():
                    if name in ("perturbation", "patch"):
                        found.append((victim, attack, made.reshape(made.shape[-3:]), name, part))
    if not found:
        raise Absent("no universal perturbation or patch was fitted")
    columns = min(3, len(found))
    rows = -(-len(found) // columns)
    figure, axes = plt.subplots(rows, columns, figsize=(WIDTH, 2.35 * rows), squeeze=False, layout="constrained")
    sentences = []
    names = data.about["class_names"]
    for axis, (victim, attack, made, name, part) in zip(axes.flat, found, strict=False):
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
        sentences.append(
            f"{title} on {victim} fools {percent(rate)} % of {len(attacked)} images, as {', '.join(usual)}"
        )
    for axis in axes.flat[len(found) :]:
        axis.set_axis_off()
    return [
        Drawn(
            "fitted",
            "One change for all images",
            "Universal perturbations (grey is none, amplified to full contrast) and patches, fitted to training images "
            "and measured on test images they have not seen: how many of the correctly classified ones they fool, and "
            f"the classes that these are taken for most often.{data.of_seeds('first')}",
            f"Images. {'; '.join(sentences)}.",
            figure,
        )
    ]
