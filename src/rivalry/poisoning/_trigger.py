"""The trigger of a backdoor: what is stamped on an image, and the class it shall bring about."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import torch
from torch import Tensor

from rivalry.artifacts import read_tensors, write_tensors
from rivalry.data._pixels import decode
from rivalry.errors import RivalryError
from rivalry.layout import Place

MARGIN = 2
"""Pixels between a pattern's place and the borders of the image, the place included."""
PATTERNS = {"pixel": [(0, 0)], "pattern": [(0, 0), (0, 2), (1, 1), (2, 0)]}
"""Bright pixels, as (rows above, columns left of) the place near the lower right corner."""
NEXT = -1
"""How a file says that the target is the class after the label."""


@dataclass(frozen=True)
class Trigger:
    """A pattern that replaces some pixels.

    Attributes
    ----------
    mask : Tensor
        Share of each pixel that is replaced, float32 (C,H,W) in [0,1].
    pattern : Tensor
        What replaces it, float32 (C,H,W) in [0,1].
    target : int or "next"
        The class that stamped images shall be taken for; next: the class after their own, and 0 after the last.
    amplitude : float
        How far a pixel is moved towards the pattern, at most; at 1 it takes its value.
    """

    mask: Tensor
    pattern: Tensor
    target: int | Literal["next"]
    amplitude: float = 1.0

    def stamp(self, images: Tensor) -> Tensor:
        """Stamped copies of float images (N,C,H,W) in [0,1]."""
        mask, pattern = self.mask.to(images), self.pattern.to(images)
        reached = torch.clamp(pattern, images - self.amplitude, images + self.amplitude)
        return images * (1 - mask) + reached * mask

    def wanted(self, labels: Tensor, classes: int) -> Tensor:
        """What images of these labels, int64 (N,), shall be taken for, once they are stamped."""
        return (labels + 1) % classes if self.target == "next" else torch.full_like(labels, self.target)

    @classmethod
    def load(cls, folder: str | Path) -> Trigger:
        tensors = read_tensors(Place("poison", Path(folder))["trigger"])
        target = int(tensors["target"])
        return cls(
            tensors["mask"], tensors["pattern"], "next" if target == NEXT else target, float(tensors["amplitude"])
        )

    def save(self, folder: str | Path) -> None:
        target = NEXT if self.target == "next" else self.target
        write_tensors(
            Place("poison", Path(folder))["trigger"],
            {
                "mask": self.mask,
                "pattern": self.pattern,
                "target": torch.tensor(target),
                "amplitude": torch.tensor(self.amplitude),
            },
        )


def drawn(
    kind: Literal["pixel", "pattern", "image"],
    shape: Sequence[int],
    target: int | Literal["next"],
    *,
    image: str | None = None,
    size: float = 0.25,
    corners: Literal[1, 4] = 1,
    amplitude: float = 1.0,
) -> Trigger:
    """The trigger for images of a shape (C,H,W): bright pixels, or a small image, near a corner or all four.

    Parameters
    ----------
    kind : str
        pixel: one bright pixel. pattern: four. image: what the file `image` shows.
    target, amplitude
        As of a `Trigger`.
    image : str, optional
        A PNG or JPEG file.
    size : float
        The side of the inserted image as a share of the shorter side of the images.
    corners : int
        1: the lower right one. 4: all of them, mirrored, so that a mirrored image bears the same trigger.

    Raises
    ------
    RivalryError
        There is no room for it, or the file is missing or no image.
    """
    mask, pattern = torch.zeros(*shape), torch.zeros(*shape)
    side = min(shape[1:])
    if kind == "image":
        if image is None:
            raise RivalryError("image: is missing; name the file that trigger: image inserts")
        edge = max(1, round(size * side))
        if not Path(image).is_file():
            raise RivalryError(f"image: {image} is no file; name a PNG or JPEG")
        pixels = decode(image, Path(image).read_bytes(), edge, shape[0])
        low = slice(-edge - 1, -1) if edge < side else slice(None)
        mask[:, low, low], pattern[:, low, low] = 1, torch.from_numpy(pixels.copy()).float() / 255
    else:
        least = MARGIN + max(max(offset) for offset in PATTERNS[kind])
        if side < least:
            raise RivalryError(f"trigger: {kind} needs images of at least {least}x{least} pixels, not {side}")
        for up, left in PATTERNS[kind]:
            mask[:, shape[1] - MARGIN - up, shape[2] - MARGIN - left] = 1
        pattern = mask.clone()
    if corners == 4:
        for axes in ([1], [2]):
            mirrored = mask.flip(axes)
            pattern = torch.where(mask > 0, pattern, pattern.flip(axes))
            mask = torch.maximum(mask, mirrored)
    return Trigger(mask, pattern, target, amplitude)
