"""Whether training and test images are kept apart, and each image has one label."""

from __future__ import annotations

from collections.abc import Iterator
from hashlib import blake2b

from rivalry.checks._evidence import Evidence
from rivalry.checks._rows import NOTICEABLE, Row, row
from rivalry.data._splits import Split, load_split

APART = "splits apart"
LABELS = "one label an image"


def leakage(evidence: Evidence) -> Iterator[Row]:
    """No test image is a training image, pixel for pixel, and no image stands under two labels.

    A victim may know an image that it was trained on by heart, and has to be wrong about one of two labels. Up to a
    hundredth of the test images is remarked on; more is a failure.
    """
    test, train = evidence.test, load_split(evidence.layout.data(evidence.dataset).folder, "train")
    tested, trained = _digests(test), _digests(train)
    known = set(trained)
    seen = [image for image, digest in enumerate(tested) if digest in known]
    yield _counted(APART, seen, len(tested), "also in the training split", "of them in the training split")

    labels: dict[bytes, set[int]] = {}
    for digests, split in ((tested, test), (trained, train)):
        for digest, label in zip(digests, split.labels.tolist(), strict=True):
            labels.setdefault(digest, set()).add(label)
    torn = [image for image, digest in enumerate(tested) if len(labels[digest]) > 1]
    yield _counted(LABELS, torn, len(tested), "under another label elsewhere, too", "of them under two labels")
    learned = sum(len(labels[digest]) > 1 for digest in trained)
    if learned:
        words = f"{learned} of {len(trained)} training images stand under another label elsewhere, too"
        yield row(LABELS, "training split", "fail" if learned > NOTICEABLE * len(trained) else "warn", words)


def _digests(split: Split) -> list[bytes]:
    """A digest of each image's pixels."""
    return [blake2b(image.tobytes(), digest_size=16).digest() for image in split.images.numpy()]


def _counted(check: str, images: list[int], n: int, wrong: str, fine: str) -> Row:
    if not n:
        return row(check, "test split", "warn", "there is no test image to look at")
    if not images:
        return row(check, "test split", "pass", f"{n} test images, none {fine}")
    status = "fail" if len(images) > NOTICEABLE * n else "warn"
    return row(check, "test split", status, f"{len(images)} of {n} test images are {wrong}", images)
