"""What a victim's logits say."""

from __future__ import annotations

from torch import Tensor

NO_ANSWER = -2
"""The prediction of an image for which the victim's logits name no class; -1 is a refusal."""


def answers(logits: Tensor) -> tuple[Tensor, Tensor]:
    """Predicted classes, int64 (N,), and the softmax's value for them, (N,), from logits (N,K).

    The class is the logits' maximum, never the softmax's: rounding makes ties there. It is `NO_ANSWER` where a logit
    is NaN or plus infinity, or all are minus infinity: there is no softmax, and a class would be one by accident.
    """
    predictions = logits.argmax(dim=1)
    confidence = logits.softmax(dim=1).gather(1, predictions[:, None]).squeeze(1)
    silent = ~logits.logsumexp(dim=1).isfinite()
    return predictions.masked_fill(silent, NO_ANSWER), confidence
