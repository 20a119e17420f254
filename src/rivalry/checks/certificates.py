"""Whether attacks found what certificates rule out."""

from __future__ import annotations

from collections.abc import Iterator

import pandas as pd
import torch
from scipy.stats import binom
from torch import Tensor

from rivalry.adversarial import open_crafted
from rivalry.artifacts import read_table
from rivalry.checks._evidence import Evidence, Model
from rivalry.checks._rows import Row, row
from rivalry.defenses.randomised_smoothing import Smoothed

CHECK = "certificates hold"
RARE = 0.001
"""A number of misses that is rarer than this by chance is a failure."""


def certificates(evidence: Evidence) -> Iterator[Row]:
    """No attack turns an image within its certified radius.

    Each image that an attack turned with a change shorter than the radius is counted again with other noise, and as
    many copies as the certificate is of. Within the radius its class has at least half of them, in the mean. A count so
    far below that it has a probability under `alpha` is a miss. Some are to be expected, since a radius and a count may
    both be wrong that often.
    """
    for model in evidence.models:
        if model.defense == "none":
            continue
        place = evidence.layout.evaluation(evidence.dataset, model.victim, model.defense)
        if not place["certificates"].is_file():
            continue
        victim = evidence.load(model.place).eval()
        assert isinstance(victim, Smoothed)
        victim.redraw()
        radii = read_table(place["certificates"]).set_index("index")
        scores = read_table(place["scores"]).join(radii.rename(columns={"prediction": "certified"}), on="index")
        # Rounding of float32 adds up over the pixels of an L2 norm.
        tried = scores[scores["attacked"] & (scores["certified"] == scores["label"]) & (scores["l2"] > 0)]
        tried = tried[tried["l2"] < tried["radius"] * (1 - 1e-5)]
        if tried.empty:
            words = "no attack made a change shorter than a certified radius: the certificates were not put to a test"
            yield row(CHECK, model.subject, "warn", words, **model.touched)
            continue
        turned = tried[tried["success"]]
        missed: list[int] = []
        for _, rows in turned.groupby(["attack", "setting", "eps"], dropna=False):
            images = _images(evidence, model, rows)
            counts = victim.counts(images.to(evidence.device), victim.samples, "checked").cpu()
            hits = counts.gather(1, torch.tensor(rows["label"].to_numpy())[:, None]).squeeze(1).numpy()
            below = binom.cdf(hits, victim.samples, 0.5) < victim.alpha
            missed += rows.loc[below, "index"].tolist()
        images_missed = sorted(set(missed))
        chance = float(binom.sf(len(images_missed) - 1, tried["index"].nunique(), 2 * victim.alpha))
        words = (
            f"{len(tried)} changes shorter than the radius of their image, {len(turned)} of them turned the vote, and "
            f"{len(images_missed)} of {tried['index'].nunique()} images lose their majority by another count"
        )
        status = "pass" if not images_missed else "fail" if chance < RARE else "warn"
        yield row(CHECK, model.subject, status, words, images_missed, **model.touched)


def _images(evidence: Evidence, model: Model, rows: pd.DataFrame) -> Tensor:
    """The adversarial images of some rows of an evaluation, all of one set, in their order."""
    attack, setting, eps = rows.iloc[0][["attack", "setting", "eps"]]
    name = model.subject if setting == "adaptive" else model.victim
    with open_crafted(evidence.layout.attack(evidence.dataset, name, attack)) as crafted:
        places = [crafted.index.index(image) for image in rows["index"]]
        return torch.cat([crafted.images(eps, slice(place, place + 1)) for place in places])
