"""Whether fooling images are what their table says."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import torch

from rivalry.answers import classify
from rivalry.artifacts import open_tensors, read_table
from rivalry.checks._evidence import BATCH, Evidence
from rivalry.checks._rows import Row, row, where

SURE = 1e-3
"""Difference in probability that another batch size may make."""
CHECK = "fooling images repeat"


def fooling_images(evidence: Evidence) -> Iterator[Row]:
    """Fooling images are images, and the victim is as sure of them as recorded, not surer and not less."""
    for victim, fooling in evidence.planned("fooling"):
        place = evidence.layout.fooling(evidence.dataset, victim, fooling)
        scores = read_table(place["scores"])
        with open_tensors(place["images"]) as tensors:
            images = tensors.get_tensor("images")
        outside = ~((images >= 0) & (images <= 1)).flatten(1).all(dim=1)
        model = evidence.load(evidence.classifier(victim))
        probabilities = classify(model, images, BATCH).softmax(dim=1).cpu()
        sure = probabilities.gather(1, torch.tensor(scores["target"].to_numpy())[:, None]).squeeze(1)
        recorded = torch.tensor(scores["confidence"].to_numpy())
        other = ~(((sure - recorded).abs() <= SURE) | (sure.isnan() & recorded.isnan()))
        subject = f"{fooling} on {victim}"
        touched: dict[str, Any] = {"victim": victim, "defense": "none", "attack": fooling}
        for wrong, words in ((outside, "images leave [0,1]"), (other, "images have other confidences than recorded")):
            if bool(wrong.any()):
                yield row(
                    CHECK, subject, "fail", f"{int(wrong.sum())} of {len(scores)} {words}", where(wrong), **touched
                )
        if not len(scores):
            yield row(CHECK, subject, "warn", "there is no image to look at", **touched)
        elif not bool((outside | other).any()):
            yield row(CHECK, subject, "pass", f"{len(scores)} images with the recorded confidences", **touched)
