"""The trigger of a backdoor: what is stamped on an image, and the class it shall bring about."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from rivalry.artifacts import read_tensors, write_tensors
from rivalry.layout import Place


@dataclass(frozen=True)
class Trigger:
    """A pattern that replaces some pixels.

    Attributes
    ----------
    mask : Tensor
        Share of each pixel that is replaced, float32 (C,H,W) in [0,1].
    pattern : Tensor
        What replaces it, float32 (C,H,W) in [0,1].
    target : int
        The class that stamped images shall be taken for.
    """

    mask: Tensor
    pattern: Tensor
    target: int

    def stamp(self, images: Tensor) -> Tensor:
        """Stamped copies of float images (N,C,H,W) in [0,1]."""
        mask, pattern = self.mask.to(images), self.pattern.to(images)
        return images * (1 - mask) + pattern * mask

    @classmethod
    def load(cls, folder: str | Path) -> Trigger:
        tensors = read_tensors(Place("poison", Path(folder))["trigger"])
        return cls(tensors["mask"], tensors["pattern"], int(tensors["target"]))

    def save(self, folder: str | Path) -> None:
        write_tensors(
            Place("poison", Path(folder))["trigger"],
            {"mask": self.mask, "pattern": self.pattern, "target": torch.tensor(self.target)},
        )
