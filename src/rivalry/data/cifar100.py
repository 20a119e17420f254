"""CIFAR-100, from the official binary archive; never from the pickled one."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Literal

from rivalry.data._cifar import MOST, check_counts, members, read_records
from rivalry.data._dataset import Dataset, source
from rivalry.data._fetch import Remote
from rivalry.errors import RivalryError

if TYPE_CHECKING:
    from rivalry.data._fetch import Fetch

ARCHIVE = Remote(
    "cifar100/cifar-100-binary.tar.gz",
    "md5:03b5dce01913d631647c71ecec9e9cb8",
    ("https://www.cs.toronto.edu/~kriz/cifar-100-binary.tar.gz",),
    most=MOST,
)
LABELS = {"coarse": 20, "fine": 100}
"""The labels of a record in their order, and how many classes each has."""


@source(
    source="krizhevsky2009",
    description="60,000 small colour photographs of a hundred classes, 3x32x32",
    classes={"fine": 100, "coarse": 20},
    train_images=50_000,
    test_images=10_000,
    side=32,
    files=("cifar100/cifar-100-binary.tar.gz",),
    chance=False,
)
def cifar100(fetch: Fetch, seed: int, *, labels: Literal["fine", "coarse"] = "fine") -> Dataset:
    """The 50,000 training and 10,000 test images of CIFAR-100 (3x32x32), in the official order.

    Parameters
    ----------
    labels
        fine: 100 classes (apple, beaver, ...); coarse: the 20 groups that these are in (fruit and vegetables, ...).
    """
    path = fetch(ARCHIVE)
    names_file, place = f"{labels}_label_names.txt", list(LABELS).index(labels)
    files = members(path, ("train.bin", "test.bin", names_file))
    splits = {split: read_records(path, files, [f"{split}.bin"], len(LABELS)) for split in ("train", "test")}
    check_counts(path, splits)
    return Dataset(
        train_images=splits["train"][0],
        train_labels=splits["train"][1][:, place],
        test_images=splits["test"][0],
        test_labels=splits["test"][1][:, place],
        class_names=_names(path, names_file, files[names_file], LABELS[labels]),
        provenance={
            "description": "A. Krizhevsky: Learning Multiple Layers of Features from Tiny Images, 2009",
            "urls": ["https://www.cs.toronto.edu/~kriz/cifar.html"],
            "files": {ARCHIVE.name: ARCHIVE.hash},
        },
    )


def _names(path: Path, name: str, content: bytes, count: int) -> list[str]:
    names = content.decode("ascii", errors="replace").split()
    if len(names) != count or len(set(names)) != count:
        raise RivalryError(f"{path}: {name} names {len(set(names))} classes, expected {count}; get the archive anew")
    return names
