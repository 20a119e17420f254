"""What attacks made, on disk: images at each eps, and what was fitted to make them. Only this module names it there."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal

from rivalry.artifacts import open_tensors, read_table, write_tensors
from rivalry.layout import Place

if TYPE_CHECKING:
    import pandas as pd
    from torch import Tensor


@dataclass(frozen=True)
class CraftedSet:
    """What an attack made at one eps.

    Attributes
    ----------
    images : Tensor
        float32 (N,C,H,W) in [0,1].
    eps : float or None
        None where the attack has none.
    fitted : dict of Tensor
        What it made beforehand of training images, such as a patch.
    """

    images: Tensor
    eps: float | None = None
    fitted: Mapping[str, Tensor] = field(default_factory=dict)


def write_crafted(place: Place, index: Tensor, sets: Sequence[CraftedSet]) -> None:
    """Write all that an attack made of the test images `index`, int64 (N,)."""
    tensors = {"index": index}
    for one in sets:
        key = "" if len(sets) == 1 else _key(one.eps)
        tensors[f"images{key}"] = one.images
        tensors |= {f"fitted{key}.{name}": tensor for name, tensor in one.fitted.items()}
    write_tensors(place["images"], tensors)


@contextmanager
def open_crafted(place: Place, framework: Literal["pt", "np"] = "pt") -> Iterator[CraftedFile]:
    """What an attack made, to be read piece by piece, as PyTorch's tensors or NumPy's arrays.

    Raises
    ------
    RivalryError
        There is no such file, or it is not what was written.
    """
    with open_tensors(place["images"], framework) as tensors:
        yield CraftedFile(tensors)


class CraftedFile:
    """An open file of crafted sets; an eps of NaN or None is that of an attack without one."""

    def __init__(self, tensors: Any) -> None:
        self._tensors, self._keys = tensors, list(tensors.keys())

    @property
    def index(self) -> list[int]:
        """Which test images were attacked, in the order of each set's images."""
        index: list[int] = self._tensors.get_tensor("index").tolist()
        return index

    def count(self, eps: float | None) -> int:
        """How many images were made at `eps`."""
        count: int = self._images(eps).get_shape()[0]
        return count

    def images(self, eps: float | None, rows: slice = slice(None)) -> Any:
        """Some of the images made at `eps`, by their places in `index`: float32 (n,C,H,W) in [0,1]."""
        return self._images(eps)[rows]

    def fitted(self, eps: float | None) -> dict[str, Any]:
        """What was fitted before images were made at `eps`, by name."""
        start = f"fitted{self._suffix(eps)}."
        return {key.removeprefix(start): self._tensors.get_tensor(key) for key in self._keys if key.startswith(start)}

    def _images(self, eps: float | None) -> Any:
        return self._tensors.get_slice(f"images{self._suffix(eps)}")

    def _suffix(self, eps: float | None) -> str:
        return "" if "images" in self._keys else _key(eps)


def _key(eps: float | None) -> str:
    return f"_eps_{eps:g}"


def read_sets(place: Place) -> Iterator[tuple[Tensor, pd.DataFrame]]:
    """An attack's images (N,C,H,W) and their scores, one eps after the other: only one set is in memory."""
    scores = read_table(place["scores"])
    with open_crafted(place) as crafted:
        for _, rows in scores.groupby("eps", dropna=False, sort=False):
            yield crafted.images(float(rows["eps"].iloc[0])), rows.set_index("index").loc[crafted.index].reset_index()
