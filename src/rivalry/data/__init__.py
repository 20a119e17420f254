"""Data sets: where they come from, their one form on disk, and which test images everybody attacks.

A source is one function in one file, `name(fetch, seed, *, <configuration>) -> Dataset`. `stages.prepare`
writes what it returns as safetensors; everything else reads these with `load_split`.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from rivalry.artifacts import read_tensors
from rivalry.errors import RivalryError

if TYPE_CHECKING:
    import numpy as np
    import torch

Function = TypeVar("Function", bound=Callable[..., Any])


@dataclass(frozen=True)
class Dataset:
    """What a source returns: two splits, the names of the classes, and where all of it is from.

    `train_images` and `test_images` are uint8 (N,C,H,W), labels int64 (N,) and index `class_names`.
    `provenance` has `description`, `urls` (a list), `files` (name to 'algorithm:checksum') and, where the data set says
    less than its shape promises, `limit`: how so.
    """

    train_images: np.ndarray
    train_labels: np.ndarray
    test_images: np.ndarray
    test_labels: np.ndarray
    class_names: list[str]
    provenance: dict[str, Any]


@dataclass(frozen=True)
class Split:
    """One split in memory: `images` uint8 (N,C,H,W), `labels` int64 (N,)."""

    images: torch.Tensor
    labels: torch.Tensor

    def __len__(self) -> int:
        return len(self.labels)

    def floats(self, rows: Any = slice(None)) -> torch.Tensor:
        """The images of the given rows (index tensor, mask, list or slice) as float32 in [0,1]."""
        return self.images[rows].float() / 255


def source(
    *,
    citation: str,
    description: str,
    classes: int | None = None,
    test_images: int | None = None,
    images: int | None = None,
    side: int | None = None,
) -> Callable[[Function], Function]:
    """Mark a function as a source of data.

    `citation` is a key of the bibliography, or empty. The rest is what is known beforehand, so that a configuration
    that does not fit is refused before anything runs: how many `classes` and `test_images` there are, `images` in
    both splits where a parameter `test_fraction` divides them, and the pixels of a `side`.
    """
    return lambda function: function


def load_split(folder: str | Path, split: str) -> Split:
    """Read the `train` or `test` split that was prepared in `folder`."""
    file = Path(folder) / f"{split}.safetensors"
    tensors = read_tensors(file)
    if missing := {"images", "labels"} - tensors.keys():
        raise RivalryError(f"{file}: has no '{min(missing)}'; delete it and run again")
    return Split(tensors["images"], tensors["labels"])


def select_images(n_test: int, count: int, seed: int) -> torch.Tensor:
    """Rows of the test split to attack: int64 (count,), ascending.

    They are drawn without looking at labels, victims or attacks, so all of these meet the same images; and a
    smaller count selects a subset of what a larger one does.

    Raises
    ------
    RivalryError
        More images are asked for than there are.
    """
    import numpy as np
    import torch

    if not 0 < count <= n_test:
        raise RivalryError(f"images: {count} test images asked for, but the split has {n_test}; ask for 1 to {n_test}")
    return torch.from_numpy(np.sort(np.random.default_rng(seed).permutation(n_test)[:count]))
