from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

import torch
from torch import Tensor, nn
from torch.nn import functional

from rivalry.defenses._defended import Defended, Preprocessed, clipped, defense
from rivalry.errors import RivalryError

DARKEST = 1 / 255
"""Below this brightness the square root's slope is taken to be the one here: at black it is infinite."""
EXCHANGES = (
    *((1, 2), (4, 5), (7, 8), (0, 1), (3, 4), (6, 7), (1, 2), (4, 5), (7, 8), (0, 3)),
    *((5, 8), (4, 7), (3, 6), (1, 4), (2, 5), (4, 7), (4, 2), (6, 4), (4, 2)),
)
"""Which of nine values to put in order, one pair after the other, until the one in the middle is their median."""


@defense(kind="preprocessor", source="xu2018", side={"window": {3: 2, 5: 3, 7: 4}})
def spatial_smoothing(
    victim: nn.Module,
    images: Tensor,
    labels: Tensor,
    seed: int,
    batch_size: int,
    *,
    kind: Literal["median", "mean", "half_mean", "sharpen"] = "median",
    window: Literal[3, 5, 7] = 3,
) -> Defended:
    """Spatial smoothing: each pixel becomes the median or a mean of the window around it, channel by channel.

    The median is Xu, Evans and Qi's (2018); the others are the course report's (course2020). Images are continued
    beyond their edges by reflection. Gradients pass through, so that attacks on the smoothed victim need no
    approximation.

    Parameters
    ----------
    kind : "median", "mean", "half_mean" or "sharpen"
        half_mean: the power mean of exponent 1/2, the square of the mean square root; it lies between the
        geometric and the arithmetic mean, and so gives little weight to single bright pixels. sharpen: twice the
        pixel less the mean, which makes changes larger; what leaves [0,1] is cut off.
    window : 3, 5 or 7
        Side of the window in pixels.
    """
    reach, side = window // 2, min(images.shape[2:])
    if reach >= side:  # reflection has no more pixels to give
        raise RivalryError(f"window: {window} needs images of at least {reach + 1}x{reach + 1} pixels, not {side}")
    return Defended(Preprocessed(Smoothing(kind, window), victim), {})


def restore(victim: nn.Module, facts: Mapping[str, Any]) -> nn.Module:
    return Preprocessed(Smoothing(**facts["parameters"]), victim)


class Smoothing(nn.Module):
    """Images (N,C,H,W) in [0,1] to smoothed ones of the same shape; see `spatial_smoothing`."""

    def __init__(self, kind: str, window: int) -> None:
        super().__init__()
        self.kind = kind
        self.window = window

    def forward(self, images: Tensor) -> Tensor:
        padded = functional.pad(images, [self.window // 2] * 4, mode="reflect")
        if self.kind in ("mean", "sharpen"):
            mean = functional.avg_pool2d(padded, self.window, stride=1)
            return mean if self.kind == "mean" else clipped(2 * images - mean)
        if self.kind == "half_mean":
            return functional.avg_pool2d(_square_root(padded), self.window, stride=1).square()
        if self.window == 3:
            median: Tensor = _MedianOfNine.apply(padded)  # type: ignore[no-untyped-call]
            return median
        windows = padded.unfold(2, self.window, 1).unfold(3, self.window, 1)
        return windows.flatten(4).median(dim=4).values


class _MedianOfNine(torch.autograd.Function):
    """Images (N,C,H+2,W+2) to the medians of their 3x3 windows, (N,C,H,W), many times faster than by sorting each.

    A median's gradient is that of the pixel which it is; of several that are equal, of the first.
    """

    generate_vmap_rule = True

    @staticmethod
    def forward(padded: Tensor) -> Tensor:
        values = [_shifted(padded, place) for place in range(9)]
        for low, high in EXCHANGES:
            one, other = values[low], values[high]
            values[low], values[high] = torch.minimum(one, other), torch.maximum(one, other)
        return values[4]

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Tensor], output: Tensor) -> None:
        ctx.save_for_backward(*inputs, output)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> Tensor:
        padded, median = ctx.saved_tensors
        looking = torch.ones_like(median, dtype=torch.bool)
        total = torch.zeros_like(padded)
        for place in range(9):
            found = looking & (_shifted(padded, place) == median)
            looking = looking & ~found
            down, right = divmod(place, 3)
            total = total + functional.pad(gradient * found, [right, 2 - right, down, 2 - down])
        return total


def _shifted(padded: Tensor, place: int) -> Tensor:
    """The pixel at one of nine places of every 3x3 window."""
    down, right = divmod(place, 3)
    return padded[:, :, down : padded.shape[2] - 2 + down, right : padded.shape[3] - 2 + right]


def _square_root(images: Tensor) -> Tensor:
    """Square roots whose gradient is finite at black pixels, where the true one is not."""
    slope = 0.5 / images.detach().clamp_min(DARKEST).sqrt()
    return images.detach().sqrt() + slope * (images - images.detach())
