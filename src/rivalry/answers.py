"""What a victim's logits say."""

from __future__ import annotations

import torch
from torch import Tensor

NO_ANSWER = -2
"""The prediction of an image for which the victim's logits name no class; -1 is a refusal."""


def answers(logits: Tensor) -> tuple[Tensor, Tensor]:
    """Predicted classes, int64 (N,), and the softmax's value for them, (N,), from logits (N,K).

    The class is the logits' maximum, never the softmax's: rounding makes ties there. It is `NO_ANSWER` where a logit
    is NaN or all are minus infinity: a maximum of these would be a class by accident.
    """
    predictions = logits.argmax(dim=1)
    confidence = logits.softmax(dim=1).gather(1, predictions[:, None]).squeeze(1)
    silent = logits.isnan().any(dim=1) | (logits.amax(dim=1) == -torch.inf)
    return predictions.masked_fill(silent, NO_ANSWER), confidence
