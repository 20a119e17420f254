from __future__ import annotations

from collections.abc import Sequence

from torch import nn

from rivalry.architectures._classifier import architecture
from rivalry.types import Fraction


@architecture(source="lin2014", side=4)
def nin(shape: Sequence[int], classes: int, *, dropout: Fraction = 0.5) -> nn.Module:
    """Network in network: three convolutions, each followed by two of 1x1 (966,986 parameters on 3x32x32).

    The layers are those of its authors' network for CIFAR-10. There is no dense layer: the last convolution makes
    one map of the image for each class, whose mean is the class's logit. These maps have no ReLU here: with it, a
    class that is zero everywhere would give an attack no slope to follow.

    Parameters
    ----------
    dropout : float
        Dropout after each pooling.
    """
    network = nn.Sequential(
        *_perceptrons(shape[0], 192, 160, 96, kernel=5),
        nn.MaxPool2d(3, 2, ceil_mode=True),
        nn.Dropout(dropout),
        *_perceptrons(96, 192, 192, 192, kernel=5),
        nn.AvgPool2d(3, 2, ceil_mode=True),
        nn.Dropout(dropout),
        *_perceptrons(192, 192, 192, classes, kernel=3)[:-1],
        nn.AdaptiveAvgPool2d(1),
        nn.Flatten(),
    )
    for layer in network:
        if isinstance(layer, nn.Conv2d):
            # With PyTorch's own initial weights, the signal fades over nine layers without normalisation.
            nn.init.kaiming_normal_(layer.weight, nonlinearity="relu")
    return network


def _perceptrons(channels: int, *widths: int, kernel: int) -> list[nn.Module]:
    """A convolution of `kernel`, then convolutions of 1x1, each with ReLU: a small network at every pixel."""
    layers: list[nn.Module] = []
    for width in widths:
        layers += [nn.Conv2d(channels, width, kernel, padding=kernel // 2), nn.ReLU()]
        channels, kernel = width, 1
    return layers
