from __future__ import annotations

from collections.abc import Sequence

from torch import nn

from rivalry import _torchvision
from rivalry.architectures._classifier import architecture
from rivalry.errors import RivalryError
from rivalry.types import Depths, Few, Fraction


@architecture(source="huang2017", side=4)
def densenet(
    shape: Sequence[int],
    classes: int,
    *,
    growth: Few = 12,
    blocks: Depths = [6, 6, 6],  # noqa: B006 (nobody writes into it)
    dropout: Fraction = 0.0,
) -> nn.Module:
    """DenseNet-BC for small images, made of torchvision's (176,122 parameters on 3x32x32).

    As in the paper's for CIFAR, one 3x3 convolution stands before the first block, without normalisation or pooling.
    By default it is 40 layers deep, which two cores can train; the paper's for CIFAR has blocks of 16 layers or
    more. The course report's DenseNet201 has a growth of 32 and blocks of 6, 12, 48 and 32 layers.

    Parameters
    ----------
    growth : int
        Channels that each layer adds.
    blocks : list of int
        Layers of each block. Between two blocks, the image shrinks to half its width and height.
    dropout : float
        Dropout after each layer of a block.
    """
    _torchvision.ensure()
    from torchvision.models import DenseNet

    least = 2 ** (len(blocks) - 1)
    if min(shape[1:]) < least:
        raise RivalryError(f"blocks: {len(blocks)} blocks need images of at least {least}x{least} pixels; give fewer")
    network: nn.Module = DenseNet(growth, blocks, 2 * growth, drop_rate=dropout, num_classes=classes)
    stem = nn.Conv2d(shape[0], 2 * growth, 3, padding=1, bias=False)
    nn.init.kaiming_normal_(stem.weight)  # as torchvision does
    features = network.get_submodule("features")
    features.conv0 = stem
    for name in ("norm0", "relu0", "pool0"):
        delattr(features, name)
    return network
