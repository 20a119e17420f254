"""Whether all attacks of a data set met the same test images."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor

from rivalry.checks._evidence import BATCH, Crafted, Evidence
from rivalry.checks._rows import Row, row, some
from rivalry.data._splits import Split

CHECK = "same images"


def same_images(evidence: Evidence) -> Iterator[Row]:
    """All attacks met the same test images, or some of them: what is compared can be on the images that both met.

    The images' hash is recomputed from the test split, and recorded labels are compared with the split's. An attack may
    be given fewer images than another, which passes and is said; that its images are not among the other's is a
    failure.
    """
    wrong = [one for one in evidence.crafted if not _of_the_split(one, evidence.test)]
    for one in wrong:
        words = "made on other images or labels than the test split's, or not on the same ones at each eps"
        yield row(CHECK, one.subject, "fail", words, **one.touched)
    groups: dict[frozenset[int], list[Crafted]] = {}
    for one in evidence.crafted:
        groups.setdefault(frozenset(one.scores["index"].tolist()), []).append(one)
    # The most images come first; of equally many those that more attacks met.
    ordered = sorted(groups, key=lambda met: (-len(met), -len(groups[met])))
    accepted: list[frozenset[int]] = []
    for met in ordered:
        others = [other for other in accepted if not met <= other]
        if others:
            foreign = sorted(met - others[0])
            words = f"{len(met)} test images, {len(foreign)} of them not among the {len(others[0])} "
            words += f"of {some([one.subject for one in groups[others[0]]])}"
            for subject, touched in _named(groups[met], evidence.crafted):
                yield row(CHECK, subject, "fail", words, foreign, **touched)
            continue
        accepted.append(met)
        if met != ordered[0]:
            words = f"{len(met)} of the {len(ordered[0])} test images that others met"
            for subject, touched in _named(groups[met], evidence.crafted):
                yield row(CHECK, subject, "pass" if met else "warn", words, **touched)
    if len(groups) == 1 and not wrong:
        words = f"{len(evidence.crafted)} attacks on the same {len(ordered[0])} test images"
        yield row(CHECK, "all attacks", "pass" if ordered[0] else "warn", words)


def _of_the_split(one: Crafted, test: Split) -> bool:
    """Whether each of a set's eps met the images that the set's hash says, once each, under the split's labels."""
    first = one.budgets[0][1]["index"].to_numpy() if len(one.scores) else one.scores["index"].to_numpy()
    if len(set(first)) < len(first) or any(not 0 <= image < len(test) for image in first):
        return False
    for _, scores in one.budgets:
        labels = test.labels[torch.tensor(first)].numpy()
        if not (scores["index"].to_numpy().tolist() == first.tolist() and (scores["label"] == labels).all()):
            return False
    return bool(one.facts["images_sha256"] == _images_hash(test, torch.tensor(first, dtype=torch.int64)))


def _images_hash(test: Split, index: Tensor) -> str:
    digest = hashlib.sha256()
    for start in range(0, len(index), BATCH):
        digest.update(test.floats(index[start : start + BATCH]).numpy().tobytes())
    return digest.hexdigest()


def _named(sets: list[Crafted], crafted: list[Crafted]) -> Iterator[tuple[str, dict[str, Any]]]:
    """Sets as subjects, with what they touch: one for an attack if they are all that it made, else each by itself."""
    for name in dict.fromkeys(one.facts["attack"] for one in sets):
        mine = [one for one in sets if one.facts["attack"] == name]
        if len(mine) == sum(one.facts["attack"] == name for one in crafted):
            yield f"{name} on {some([one.made_on for one in mine])}", {"attack": name}
        else:
            yield from ((one.subject, one.touched) for one in mine)
