"""A data set's one form on disk as everything reads it, and which test images everybody attacks."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from rivalry.artifacts import read_tensors
from rivalry.errors import RivalryError
from rivalry.layout import Place


@dataclass(frozen=True)
class Split:
    """One split in memory: `images` uint8 (N,C,H,W), `labels` int64 (N,)."""

    images: Tensor
    labels: Tensor

    def __len__(self) -> int:
        return len(self.labels)

    def floats(self, rows: Tensor | list[int] | slice = slice(None)) -> Tensor:
        """The images of the given rows (index tensor, mask, list or slice) as float32 in [0,1]."""
        return floats(self.images[rows])


def floats(images: Tensor) -> Tensor:
    """Pixels from 0 to 255, of whatever type, as float32 in [0,1]."""
    return images.float() / 255


def load_split(folder: str | Path, split: str) -> Split:
    """Read the `train` or `test` split that was prepared in `folder`.

    Examples
    --------
    >>> from rivalry.data import load_split
    >>> test = load_split("results/data/digits", "test")
    >>> images, labels = test.floats(), test.labels
    """
    file = Place("prepare", Path(folder))[split]
    tensors = read_tensors(file)
    if missing := {"images", "labels"} - tensors.keys():
        raise RivalryError(f"{file}: has no '{min(missing)}'; delete it and run again")
    return Split(tensors["images"], tensors["labels"])


def select_images(n_test: int, count: int, seed: int) -> Tensor:
    """Rows of the test split to attack: int64 (count,), ascending.

    They are drawn without looking at labels, victims or attacks, so all of these meet the same images; and a
    smaller count selects a subset of what a larger one does.

    Raises
    ------
    RivalryError
        More images are asked for than there are.
    """
    if not 0 < count <= n_test:
        raise RivalryError(f"images: {count} test images asked for, but the split has {n_test}; ask for 1 to {n_test}")
    return torch.from_numpy(np.sort(np.random.default_rng(seed).permutation(n_test)[:count]))
