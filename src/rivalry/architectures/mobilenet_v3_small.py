from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

from torch import nn

from rivalry import _torchvision
from rivalry.architectures._classifier import architecture
from rivalry.types import Fraction


@architecture(source="howard2019")
def mobilenet_v3_small(
    shape: Sequence[int], classes: int, *, stride: Literal[1, 2] = 2, dropout: Fraction = 0.2
) -> nn.Module:
    """MobileNetV3 small, torchvision's (1,528,106 parameters on 3x32x32).

    It shrinks images 32 times, so that one pixel is left of 32x32 before the last layers. The course report that
    trains it on CIFAR-10 tells of no change to that, so there is none here by default.

    Parameters
    ----------
    stride : 1 or 2
        Step of the first convolution. 1 suits small images better: all layers see twice as many pixels each way, and
        take about four times as long.
    dropout : float
        Dropout before the last layer.
    """
    _torchvision.ensure()
    from torchvision.models import mobilenet_v3_small as published

    network: nn.Module = published(num_classes=classes, dropout=dropout)
    stem = nn.Conv2d(shape[0], 16, 3, stride, padding=1, bias=False)
    nn.init.kaiming_normal_(stem.weight, mode="fan_out")  # as torchvision does
    setattr(network.get_submodule("features.0"), "0", stem)
    return network
