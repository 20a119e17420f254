from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy

from rivalry.training._recipe import Recipe, training_method
from rivalry.types import NonNegative


@training_method(source="zou2005")
def l1_l2(images: Tensor, labels: Tensor, *, l1: NonNegative = 1e-4, l2: NonNegative = 1e-4) -> Recipe:
    """Regularised training: cross-entropy and a price on the size of the weights.

    The loss is cross-entropy + l1 * sum |w| + l2 * sum w^2, over the weights of all layers; biases and what normalises
    layers are free. It makes networks smoother, but withstands no attack that looks for the boundary.

    Parameters
    ----------
    l1 : float
        Price of the weights' absolute values.
    l2 : float
        Price of their squares.
    """

    def loss(victim: nn.Module, images: Tensor, targets: Tensor) -> Tensor:
        weights = [parameter for parameter in victim.parameters() if parameter.dim() > 1]
        absolute = torch.stack([weight.abs().sum() for weight in weights]).sum()
        squared = torch.stack([weight.square().sum() for weight in weights]).sum()
        return cross_entropy(victim(images), targets) + l1 * absolute + l2 * squared

    return Recipe(labels, loss)
