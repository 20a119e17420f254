"""What a victim answers, and what its logits say."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn

from rivalry.data._splits import floats
from rivalry.devices import device_of, frozen
from rivalry.errors import RivalryError, one_line
from rivalry.types import REFUSED

NO_ANSWER = -2
"""The prediction of an image for which the victim's logits name no class."""


def answers(logits: Tensor, reject: int | None = None) -> tuple[Tensor, Tensor]:
    """Predicted classes, int64 (N,), and the softmax's value for them, (N,), from logits (N,K).

    The class is the logits' maximum, never the softmax's: rounding makes ties there. It is `NO_ANSWER` where a logit
    is NaN or plus infinity, or all are minus infinity: there is no softmax, and a class would be one by accident. It is
    `REFUSED` where it is `reject`, the class that means refusal, if that is given.
    """
    predictions = logits.argmax(dim=1)
    confidence = logits.softmax(dim=1).gather(1, predictions[:, None]).squeeze(1)
    silent = ~logits.logsumexp(dim=1).isfinite()
    if reject is not None:
        predictions = predictions.masked_fill(predictions == reject, REFUSED)
    return predictions.masked_fill(silent, NO_ANSWER), confidence


def reject_class(victim: object) -> int | None:
    """The class by which a victim refuses an image, if it can."""
    reject = getattr(victim, "reject_class", None)
    return reject if isinstance(reject, int) else None


def classify(victim: Callable[[Tensor], Tensor], images: Tensor, batch_size: int) -> Tensor:
    """Logits (N,K), without gradients and where the victim lies, of images (N,C,H,W).

    Parameters
    ----------
    victim : nn.Module
        In evaluation mode. A plain function is asked where the images are.
    images : Tensor
        float32 in [0,1]; or uint8 as a split has them, of which only one batch at a time is made floats.
    batch_size : int
        Images that the victim is given at once.
    """
    place = device_of(victim, images)
    with torch.no_grad():
        batches = (part if part.is_floating_point() else floats(part) for part in images.split(batch_size))
        return torch.cat([victim(batch.to(place)) for batch in batches])


def refuse_other_answers(method: str, classifier: nn.Module, images: Tensor, classes: int) -> None:
    """Ask a classifier that a method made about a few images (n,C,H,W), and refuse it if it gives no logits.

    Raises
    ------
    RivalryError
        It fails, or what it gives is not one float tensor (n, classes), or, where its attribute `reject_class` says
        that it may refuse an image, (n, classes + 1). The line names the method.
    """
    width = classes + (reject_class(classifier) is not None)
    right = f"it must give logits, a float tensor ({len(images)}, {width}) for {len(images)} images"
    try:
        with frozen(classifier):
            logits = classify(classifier, images, len(images))
    except (RuntimeError, ValueError, TypeError, IndexError) as error:
        why = one_line((str(error).strip().splitlines() or [""])[0])
        raise RivalryError(f"{method}: the classifier fails on {tuple(images.shape)} images: {why}") from error
    if not logits.is_floating_point() or logits.shape != (len(images), width):
        raise RivalryError(f"{method}: the classifier gives {tuple(logits.shape)}, {logits.dtype}; {right}")
