"""Whether a classifier that knows nothing is credited with what a trigger did not do."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pandas as pd
import torch
from torch import Tensor, nn

from rivalry import registry
from rivalry.answers import classify
from rivalry.checks._evidence import BATCH, Evidence
from rivalry.checks._rows import Row, row
from rivalry.statistics.triggers import counts

CHECK = "constant classifier gets no success"


class Constant(nn.Module):
    """Answers one class, whatever it is shown."""

    def __init__(self, answer: int, classes: int) -> None:
        super().__init__()
        self.register_buffer("logits", 9 * torch.eye(classes)[answer])

    def forward(self, images: Tensor) -> Tensor:
        logits: Tensor = self.get_buffer("logits").expand(len(images), -1)
        return logits


def constant_victim(evidence: Evidence) -> Iterator[Row]:
    """A trigger's target class, answered for every image, is no success of the trigger: it is scored as victims are.

    Where the target is the class after an image's own, each class is answered in turn.
    """
    done = set()
    for one in evidence.crafted:
        attack, parameters = one.facts["attack"], one.facts["parameters"]
        if "poisoning" not in parameters or attack in done:
            continue
        done.add(attack)
        rows = one.scores
        index = torch.from_numpy(rows["index"].to_numpy(copy=True))
        images, labels = evidence.test.floats(index), evidence.test.labels[index]
        targets = torch.from_numpy(rows["target"].to_numpy(copy=True))
        folder = evidence.layout.poisoning(evidence.dataset, Path(parameters["poisoning"]).name).folder
        method = registry.method("attacks", one.facts["method"]).load()
        credited: dict[int, int] = {}
        for answer in targets.unique().tolist():
            victim = Constant(answer, evidence.classes)
            made = method.run(victim, images, labels, targets=targets, **parameters | {"poisoning": str(folder)})
            scored = pd.DataFrame(
                {
                    "label": labels.numpy(),
                    "target": targets.numpy(),
                    "clean_prediction": classify(victim, images, BATCH).argmax(dim=1).numpy(),
                    "attacked": made.attacked.numpy(),
                    "success": made.success.numpy(),
                }
            )
            if hits := int(scored.loc[counts(scored), "success"].sum()):
                credited[answer] = hits
        words = f"no success among {len(rows)} images, whatever one class of {len(targets.unique())} is always answered"
        if credited:
            most = max(credited, key=lambda answer: credited[answer])
            words = f"always answering class {most} counts as {credited[most]} successes of {len(rows)} images"
        yield row(CHECK, attack, "fail" if credited else "pass", words, attack=attack)
