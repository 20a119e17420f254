from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

from torch import Tensor, nn
from torch.nn import functional

from rivalry.defenses._defended import Defended, Preprocessed, clipped, defense
from rivalry.errors import RivalryError

DARKEST = 1 / 255
"""Below this brightness the square root's slope is taken to be the one here: at black it is infinite."""


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
        windows = padded.unfold(2, self.window, 1).unfold(3, self.window, 1)
        return windows.flatten(4).median(dim=4).values


def _square_root(images: Tensor) -> Tensor:
    """Square roots whose gradient is finite at black pixels, where the true one is not."""
    slope = 0.5 / images.detach().clamp_min(DARKEST).sqrt()
    return images.detach().sqrt() + slope * (images - images.detach())
