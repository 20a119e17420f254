from __future__ import annotations

import math

from torch import Tensor, nn
from torch.nn.functional import cross_entropy

from rivalry.training._recipe import Recipe, training_method
from rivalry.types import OpenFraction


@training_method(source="cisse2017")
def parseval(images: Tensor, labels: Tensor, *, beta: OpenFraction = 0.0003) -> Recipe:
    """Parseval training: after each step, the rows of all kernels are pulled towards orthonormal ones.

    A layer whose singular values are at most 1 lengthens no perturbation. So each kernel W of a dense layer becomes
    (1 + beta) W - beta W W^T W, which moves all its singular values towards 1. With more outputs than inputs, rows
    cannot be orthonormal, and the columns become so. A convolution's kernel is the matrix (outputs, inputs of a group
    * height * width), group by group; as it reads a pixel height * width times, its singular values go to
    1 / sqrt(height * width).

    The last layer is held as the others are: its scale alone would undo the bound of all those before it. Networks
    stay as they are: a sum around layers (resnet18, mobilenet_v3_small, vit_tiny) is not made convex, and batch
    normalisation and attention may lengthen what they are given.

    Where singular values are so large that this would throw them beyond 0, beta is less. The pull must keep up with the
    optimizer: a step of adam moves every weight by about the learning rate. Use sgd, or a larger beta.

    Parameters
    ----------
    beta : float
        Strength of the pull after each step; small singular values grow by this share a step.
    """

    def loss(victim: nn.Module, images: Tensor, targets: Tensor) -> Tensor:
        return cross_entropy(victim(images), targets)

    def retract(victim: nn.Module) -> None:
        for layer in victim.modules():
            if isinstance(layer, nn.Linear | nn.Conv2d):
                w = matrices(layer)
                wide = w.shape[1] <= w.shape[2]
                gram = w @ w.mT if wide else w.mT @ w
                # Its largest absolute row sum is at least the largest squared singular value.
                most = gram.abs().sum(dim=2).amax(dim=1)[:, None, None]
                strength = beta / (beta * most).clamp_min(1)
                pulled = w + strength * (w - (gram @ w if wide else w @ gram))
                layer.weight.copy_((pulled / _reads(layer)).view(layer.weight.shape))

    return Recipe(labels, loss, after_step=retract)


def matrices(layer: nn.Linear | nn.Conv2d) -> Tensor:
    """A layer's kernel as matrices (groups, outputs, inputs), scaled so that 1 is the singular value to reach."""
    groups = 1 if isinstance(layer, nn.Linear) else layer.groups
    return layer.weight.reshape(groups, len(layer.weight) // groups, -1) * _reads(layer)


def _reads(layer: nn.Linear | nn.Conv2d) -> float:
    """How much longer a convolution makes an image by reading its pixels repeatedly, at most."""
    return 1.0 if isinstance(layer, nn.Linear) else math.sqrt(math.prod(layer.kernel_size))
