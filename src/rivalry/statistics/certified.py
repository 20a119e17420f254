"""What smoothed victims are certified to keep up to each radius, and what attacks leave of it.

Certified accuracy at r: the share of images whose certified class is right, with a radius of r at least; an image for
which the classifier abstains counts as wrong. Accuracy under attack at r: the share that is right unattacked and
that no change shorter than r turned. The second bounds the first from above; where it crosses it, one of them is wrong.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
from scipy.stats import norm
from statsmodels.stats.proportion import proportion_confint

from rivalry.artifacts import read_json, read_table
from rivalry.layout import Layout, Place, trained
from rivalry.statistics.over_seeds import rate_over_seeds
from rivalry.statistics.rates import wilson_interval

Row = dict[str, Any]

STEPS = 20
"""Radii in one standard deviation of the noise."""


class Certificates(NamedTuple):
    """What is known of a smoothed victim's images, by row of the test split.

    `images` has radius (0: wrong, or the classifier abstains), abstained, right (unattacked, by vote) and nearest: the
    L2 of the smallest change that turned the image, infinite where none did. `attacks` are those that knew the defense.
    """

    images: pd.DataFrame
    attacks: list[str]


def certified(layout: Layout, plan: Mapping[str, Any], confidence: float) -> Iterator[Row]:
    """The rows of certified.csv, one for each smoothed victim and radius.

    The interval of a certified accuracy is the exact one (Clopper and Pearson), that of an accuracy under attack
    Wilson's. Of several trainings, rates are means with the interval of `rate_over_seeds`.

    Parameters
    ----------
    layout : Layout
    plan : dict
        As `tabulate` is given it.
    confidence : float
        Of the intervals over images; each image's radius has its own, `alpha`.
    """
    groups: dict[tuple[str, str, str], list[str]] = {}
    for dataset, victim, defense in plan["evaluations"]:
        if layout.evaluation(dataset, victim, defense)["certificates"].is_file():
            groups.setdefault((dataset, trained(victim)[0], defense), []).append(victim)
    for (dataset, name, defense), victims in groups.items():
        parameters = read_json(layout.defense(dataset, victims[0], defense).facts)["parameters"]
        about = {"dataset": dataset, "victim": name, "defense": defense, "seeds": len(victims)}
        about |= {key: parameters[key] for key in ("sigma", "alpha", "samples")}
        found = [of_images(layout.evaluation(dataset, victim, defense)) for victim in victims]
        farthest = max((float(one.images["radius"].max()) for one in found if len(one.images)), default=0.0)
        step = parameters["sigma"] / STEPS
        for place in range(math.ceil(farthest / step) + 2):
            radius = round(place * step, 12)
            yield about | {"radius": radius, "attacks": found[0].attacks} | _at(found, radius, confidence)


def certifies(parameters: Mapping[str, Any]) -> bool:
    """Whether a defense with these parameters gives radii within which no change turns an image."""
    return {"sigma", "alpha", "samples"} <= parameters.keys()


def farthest(parameters: Mapping[str, Any]) -> float:
    """The largest radius that randomised smoothing can certify: that of an image with all samples in one class."""
    return float(parameters["sigma"] * norm.ppf(parameters["alpha"] ** (1 / parameters["samples"])))


def of_images(place: Place) -> Certificates:
    """The certificates of one training, on the images that every attack that knew the defense met."""
    images = read_table(place["certificates"]).set_index("index")
    scores = read_table(place["scores"])
    clean = scores[scores["setting"] == "clean"].set_index("index")
    attacked = scores[scores["setting"] != "clean"]
    knowing = attacked[attacked["setting"] == "adaptive"]
    for _, rows in knowing.groupby("attack"):
        images = images[images.index.isin(rows["index"])]
    labels = clean["label"].loc[images.index]
    turned = attacked[attacked["success"].astype(bool)].groupby("index")["l2"].min()
    table = pd.DataFrame(
        {
            "radius": images["radius"].where(images["prediction"] == labels, 0.0),
            "abstained": images["radius"] == 0,
            "right": clean["handled"].loc[images.index].astype(bool),
            "nearest": turned.reindex(images.index, fill_value=np.inf),
        }
    )
    return Certificates(table, knowing["attack"].unique().tolist())


def _at(found: Sequence[Certificates], radius: float, confidence: float) -> Row:
    """All trainings at one radius."""
    n = min(len(one.images) for one in found)
    if n == 0:
        return {"n": 0}
    kept = [float(((one.images["radius"] >= radius) & (one.images["radius"] > 0)).mean()) for one in found]
    row: Row = {"n": n, "abstained": float(np.mean([one.images["abstained"].mean() for one in found]))}
    row["certified"] = float(np.mean(kept))
    if len(kept) > 1:
        _, row["certified_low"], row["certified_high"], *_ = rate_over_seeds(kept, n, confidence)
    else:
        low, high = proportion_confint(round(kept[0] * n), n, alpha=1 - confidence, method="beta")
        row |= {"certified_low": float(low), "certified_high": float(high)}
    if all(one.attacks for one in found):
        held = [float((one.images["right"] & (one.images["nearest"] >= radius)).mean()) for one in found]
        row["accuracy"] = float(np.mean(held))
        if len(held) > 1:
            _, row["low"], row["high"], *_ = rate_over_seeds(held, n, confidence)
        else:
            row["low"], row["high"] = wilson_interval(round(held[0] * n), n, confidence)
    return row
