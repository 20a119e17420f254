"""Whether adversarial images on disk are what their table says."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pandas as pd
import torch
from torch import Tensor, nn

from rivalry.answers import answers, classify
from rivalry.checks._evidence import BATCH, Crafted, Evidence
from rivalry.checks._rows import Row, at_eps, row
from rivalry.norms import exceeds

TIE = 1e-4
"""Two best logits closer than this share of their size are a tie, which another batch size may break."""

FAULTS = {
    "outside [0,1]": ("fail", "images in [0,1]", "every pixel in [0,1]", "images leave [0,1]"),
    "outside eps": ("fail", "budget kept", "every change within its budget", "images exceed eps"),
    "touched": ("fail", "only attackable images touched", "the others untouched", "unattacked images changed"),
    "other": ("fail", "predictions repeat", "predictions repeat from disk", "images are predicted otherwise"),
    "tie": ("warn", "predictions repeat", "", "images lie on a boundary to rounding and flip"),
}
"""What may be wrong with an image: status, check, words if all is well, and words if not."""


def images(evidence: Evidence) -> Iterator[Row]:
    """Adversarial images are images, keep to their budget, and fool the victim as recorded.

    Everything is recomputed from the files: pixels within [0,1], the change within eps in the attack's norm,
    unattacked images untouched, and the victim's predictions made again.
    """
    for crafted in evidence.crafted:
        victim = evidence.load(crafted.victim)
        for eps, scores in crafted.budgets:
            yield from _one_budget(crafted, eps, scores, victim, evidence)


def _one_budget(
    crafted: Crafted, eps: float, scores: pd.DataFrame, victim: nn.Module, evidence: Evidence
) -> Iterator[Row]:
    norm = crafted.facts["norm"] if crafted.facts["norm"] == "inf" else int(crafted.facts["norm"])
    subject, touched = at_eps(crafted.subject, eps), crafted.touched
    stored = crafted.stored(eps)
    if stored != scores["index"].tolist():
        words = f"the file's {len(stored)} images are not those of the table's {len(scores)} rows"
        yield row("predictions repeat", subject, "fail", words, **touched, eps=eps)
        return
    faults: dict[str, list[int]] = {fault: [] for fault in FAULTS}
    for rows, images in crafted.images(eps):
        part = scores.iloc[rows]
        index = torch.tensor(part["index"].to_numpy())
        change = images - evidence.test.floats(index)
        inside = (images >= 0) & (images <= 1)
        faults["outside [0,1]"] += index[~inside.flatten(1).all(dim=1)].tolist()
        if not np.isnan(eps):
            faults["outside eps"] += index[exceeds(change, norm, eps)].tolist()
        untouched = torch.tensor(~part["attacked"].to_numpy(dtype=bool))
        faults["touched"] += index[untouched & (change != 0).flatten(1).any(dim=1)].tolist()
        predicted, tied = _predict(victim, images)
        other = predicted != torch.tensor(_classes(victim, part["prediction"]))
        faults["other"] += index[other & ~tied].tolist()
        faults["tie"] += index[other & tied].tolist()
    for fault, (status, name, fine, wrong) in FAULTS.items():
        if faults[fault]:
            words = f"{len(faults[fault])} of {len(scores)} {wrong}"
            yield row(name, subject, status, words, faults[fault], **touched, eps=eps)
        elif fine:
            yield row(name, subject, "pass", f"{len(scores)} images: {fine}", **touched, eps=eps)


def _predict(victim: nn.Module, images: Tensor) -> tuple[Tensor, Tensor]:
    """Predicted classes, and where the two best logits are equal to rounding; both (N,) on the CPU."""
    logits = classify(victim, images, BATCH)
    best = logits.topk(2, dim=1)[0]
    tied = best[:, 0] - best[:, 1] <= TIE * logits.abs().amax(dim=1)
    return answers(logits)[0].cpu(), tied.cpu()


def _classes(victim: nn.Module, predictions: pd.Series) -> np.ndarray:
    """Recorded predictions as the victim's own outputs: -1, a refusal, is its reject class."""
    reject = getattr(victim, "reject_class", None)
    return predictions.to_numpy() if reject is None else predictions.replace(-1, reject).to_numpy()
