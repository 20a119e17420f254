from __future__ import annotations

from collections.abc import Sequence

from torch import nn

from rivalry import _torchvision
from rivalry.architectures._classifier import architecture


@architecture(source="he2016")
def resnet18(shape: Sequence[int], classes: int) -> nn.Module:
    """ResNet-18 for small images: torchvision's with a 3x3 stem and no pooling (11,173,962 parameters on 3x32x32).

    The original, for large photographs, shrinks them fourfold before its first block.
    """
    _torchvision.ensure()
    from torchvision.models.resnet import BasicBlock, ResNet

    network: nn.Module = ResNet(BasicBlock, [2, 2, 2, 2], num_classes=classes)
    stem = nn.Conv2d(shape[0], 64, 3, padding=1, bias=False)
    nn.init.kaiming_normal_(stem.weight, mode="fan_out", nonlinearity="relu")  # as torchvision does
    network.conv1, network.maxpool = stem, nn.Identity()
    return network
