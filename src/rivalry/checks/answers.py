"""What victims answer, and whether gradients lead through them."""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import nn
from torch.nn.functional import cross_entropy

from rivalry.answers import classify
from rivalry.checks._evidence import BATCH, Evidence, Model
from rivalry.checks._rows import NOTICEABLE, Row, percent, row, where

REPEATED = 64
"""Images that are shown five times; behind Defense-GAN each takes long."""


def answers(evidence: Evidence) -> Iterator[Row]:
    """Every victim, defended or not, on the first test images."""
    for model in evidence.models:
        victim = evidence.load(model.place)
        yield from _logits(victim, model, evidence)
        yield from _gradients(victim, model, evidence)


def _logits(victim: nn.Module, model: Model, evidence: Evidence) -> Iterator[Row]:
    """Victims return logits, not probabilities, and the same ones each time.

    Attacks on a softmax output meet vanishing gradients and make a victim look robust. A victim that answers
    otherwise each time has to be attacked in expectation (EOT).
    """
    images = evidence.test.floats(slice(BATCH))
    logits = classify(victim, images, REPEATED)
    reject = getattr(victim, "reject_class", None)
    finite = logits.isfinite().all(dim=1)
    status, cause, words = "pass", where(~finite), ""
    if not bool(finite.all()):
        status, words = "fail", "some outputs are not finite"
    elif bool((logits >= 0).all()) and bool(((logits.sum(dim=1) - 1).abs() < 1e-3).all()):
        status, words = "fail", "outputs are probabilities: not negative, and each row sums to 1"
    else:
        words = f"{logits.shape[1]} outputs from {logits.min():.3g} to {logits.max():.3g}"
        words += ", the last refuses" if isinstance(reject, int) else ""
    yield row("logits", model.subject, status, words, cause, **model.touched)
    repeated, logits = images[:REPEATED], logits[:REPEATED]
    passes = [classify(victim, repeated, REPEATED) for _ in range(4)]
    limit = 1e-4 * logits.abs().amax(dim=1, keepdim=True).clamp_min(1)
    # Equal infinities differ by NaN; a NaN agrees with nothing.
    agree = [((other == logits) | ((other - logits).abs() <= limit)).all(dim=1) for other in passes]
    varying = ~torch.stack(agree).all(dim=0)
    if bool(varying.any()):
        words = f"five passes differ on {int(varying.sum())} of {len(repeated)} images: attacks need EOT"
        yield row("passes agree", model.subject, "warn", words, where(varying), **model.touched)
    else:
        words = f"five passes agree on {len(repeated)} images"
        yield row("passes agree", model.subject, "pass", words, **model.touched)


def _gradients(victim: nn.Module, model: Model, evidence: Evidence) -> Iterator[Row]:
    """Gradients reach the pixels: the share of images whose loss gradient is zero or not finite.

    Where it is high, attacks on the loss fail because they have no gradient to follow, not because the
    victim is robust.
    """
    images = evidence.test.floats(slice(BATCH)).to(evidence.device).requires_grad_(True)
    victim.requires_grad_(False)
    logits = victim(images)
    if not logits.requires_grad:
        words = "no gradient reaches the pixels: attacks need BPDA"
        yield row("gradients", model.subject, "warn", words, **model.touched)
        return
    loss = cross_entropy(logits, evidence.test.labels[:BATCH].to(evidence.device), reduction="sum")
    (gradient,) = torch.autograd.grad(loss, images)
    flat = gradient.flatten(1)
    broken, zero = ~flat.isfinite().all(dim=1), (flat == 0).all(dim=1)
    words = f"of {len(flat)} images' loss gradients {percent(zero)} are zero and {percent(broken)} not finite"
    status = "fail" if bool(broken.any()) else "warn" if zero.float().mean() >= NOTICEABLE else "pass"
    yield row("gradients", model.subject, status, words, where(broken | zero), **model.touched)
