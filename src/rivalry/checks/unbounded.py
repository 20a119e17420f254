"""Whether an attack that may change everything fools everything."""

from __future__ import annotations

from collections.abc import Iterator

import torch

from rivalry.answers import classify, reject_class
from rivalry.attacks.orthogonal_pgd import orthogonal_pgd
from rivalry.attacks.pgd import pgd
from rivalry.attacks.square import square
from rivalry.checks._evidence import BATCH, Evidence
from rivalry.checks._rows import Row, row

CHECK = "unbounded attack succeeds"
IMAGES = 16
"""Images attacked of each victim: the first that it has right."""
EPS = 1.0
"""The whole pixel range: any image is allowed."""
STEPS, STEP_SIZE = 50, 0.1
QUERIES = 300


def unbounded(evidence: Evidence) -> Iterator[Row]:
    """With eps 1 in Linf, which allows any image at all, pgd fools every image; else gradients mislead.

    Behind a detector an image must be neither refused nor classified rightly. pgd begins at a random image there, far
    inside of what the detector refuses, and its steps are coarser than what a detector sees; so what it leaves is tried
    by orthogonal_pgd, which begins at the clean image and ends with fine steps. What gradients leave is tried by the
    square attack, which sees scores only. An image of another class is always within reach, so where all fail, it is
    the attacks that are weak, not the victim that is robust.
    """
    for model in evidence.models:
        victim = evidence.load(model.place).eval()
        images, labels = evidence.test.floats(slice(BATCH)), evidence.test.labels[:BATCH]
        right = torch.zeros(0, dtype=torch.bool)
        while len(right) < len(images) and right.sum() < IMAGES:  # behind Defense-GAN each takes long
            part = slice(len(right), len(right) + 2 * IMAGES)
            predicted = classify(victim, images[part], BATCH).argmax(dim=1).cpu()
            right = torch.cat([right, predicted == labels[part]])
        chosen = right.nonzero().squeeze(1)[:IMAGES]
        if not len(chosen):
            words = f"it has none of the first {len(labels)} test images right: there is nothing to attack"
            yield row(CHECK, model.subject, "warn", words, **model.touched)
            continue
        images, labels = images[chosen], labels[chosen]
        left = torch.ones(len(chosen), dtype=torch.bool)
        words, by = "no gradient reaches the pixels", "pgd"
        if victim(images.clone().to(evidence.device).requires_grad_(True)).requires_grad:
            left = ~pgd.run(victim, images, labels, eps=EPS, step_size=STEP_SIZE, steps=STEPS).success
            words = f"pgd at eps {EPS:g}, where any image is allowed, leaves {int(left.sum())} of {len(chosen)} images"
            if bool(left.any()) and reject_class(victim) is not None:
                left[left.clone()] = ~orthogonal_pgd.run(victim, images[left], labels[left], eps=EPS).success
                by = "pgd, and orthogonal_pgd where that stalls,"
                words += f", and orthogonal_pgd {int(left.sum())} of these"
        if not bool(left.any()):
            words = f"{by} at eps {EPS:g} fools all of {len(chosen)} images"
            yield row(CHECK, model.subject, "pass", words, **model.touched)
            continue
        blind = square.run(victim, images[left], labels[left], eps=EPS, queries=QUERIES)
        still = int((~blind.success).sum())
        if still:
            words += f"; square, which needs none, leaves {still} of {int(left.sum())}: it is the attacks that fail"
        else:
            words += f"; square, which needs no gradient, fools all {int(left.sum())}: gradients mislead"
        yield row(CHECK, model.subject, "fail" if still else "warn", words, chosen[left].tolist(), **model.touched)
