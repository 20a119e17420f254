from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from torch import Tensor, nn

from rivalry.defenses._defended import Defended, Preprocessed, defense, substituted
from rivalry.types import BitDepth


@defense(kind="preprocessor", source="xu2018")
def bit_depth(
    victim: nn.Module, images: Tensor, labels: Tensor, seed: int, batch_size: int, *, bits: BitDepth = 1
) -> Defended:
    """Bit depth reduction: each channel of each pixel is rounded to one of a few evenly spaced values.

    Xu, Evans and Qi (2018) use 1 bit for MNIST and 4 or 5 for CIFAR-10. Rounding has no slope, so gradients pass as
    if there were none of it.

    Of images that are nearly black and white, such as MNIST's, one bit leaves an attack in the maximum norm few pixels
    to change, whatever gradients it follows: a search over these pixels finds hardly more. So it is strong there, below
    eps 0.5, and in this norm.

    Parameters
    ----------
    bits : int
        1 to 8: values are multiples of 1 / (2**bits - 1).
    """
    return Defended(Preprocessed(BitDepthReduction(bits), victim), {})


def restore(victim: nn.Module, facts: Mapping[str, Any]) -> nn.Module:
    return Preprocessed(BitDepthReduction(**facts["parameters"]), victim)


class BitDepthReduction(nn.Module):
    """Images (N,C,H,W) in [0,1] to images of the same shape with `2**bits` values; see `bit_depth`."""

    def __init__(self, bits: int) -> None:
        super().__init__()
        self.steps = 2**bits - 1

    def forward(self, images: Tensor) -> Tensor:
        return substituted((images * self.steps).round() / self.steps, images)
