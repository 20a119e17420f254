from __future__ import annotations

import math
from collections.abc import Sequence

from torch import nn

from rivalry import _torchvision
from rivalry.architectures._classifier import architecture
from rivalry.types import Few, Fraction


@architecture(source="dosovitskiy2021")
def vit_tiny(
    shape: Sequence[int],
    classes: int,
    *,
    patch: Few = 4,
    depth: Few = 6,
    heads: Few = 4,
    width: Few = 32,
    dropout: Fraction = 0.0,
) -> nn.Module:
    """Small vision transformer, torchvision's, over patches of 4x4 pixels (811,146 parameters on 3x32x32).

    Others of this name are larger (depth 12, 3 heads of width 64); two cores train this one. It takes square images
    of whole patches, so others are padded on the right and below with the mean of the data.

    Parameters
    ----------
    patch : int
        Width and height of a patch.
    depth : int
        Blocks, each of attention and two dense layers.
    heads : int
        Parts of a block's attention.
    width : int
        Numbers of each head. heads times width numbers describe a patch; the first dense layer of a block makes twice
        as many of them.
    dropout : float
        Dropout after the patches and inside the blocks.
    """
    _torchvision.ensure()
    from torchvision.models import VisionTransformer

    channels, high, wide = shape
    side = math.ceil(max(high, wide) / patch) * patch
    numbers = heads * width
    network: nn.Module = VisionTransformer(
        side, patch, depth, heads, numbers, 2 * numbers, dropout=dropout, num_classes=classes
    )
    stem = nn.Conv2d(channels, numbers, patch, patch)
    nn.init.trunc_normal_(stem.weight, std=math.sqrt(1 / (channels * patch**2)))  # as torchvision does
    network.conv_proj = stem
    return network if high == wide == side else nn.Sequential(nn.ZeroPad2d((0, side - wide, 0, side - high)), network)
