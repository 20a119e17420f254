from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy

from rivalry.errors import RivalryError, nearest
from rivalry.training._recipe import Recipe, training_method
from rivalry.types import HiddenLayers, LearningRate, Positive


@training_method(source="mustafa2019")
def pcl(
    images: Tensor,
    labels: Tensor,
    *,
    layers: HiddenLayers = 2,
    weight: Positive = 0.1,
    prototype_rate: LearningRate = 0.1,
) -> Recipe:
    """Prototype conformity loss: hidden features of a class keep together, far from those of the others.

    Each class has a prototype w in each of the layers' features, learned with the network. To the cross-entropy, a loss
    is added for each layer, the mean over images with features f and class y of |f - w_y| - mean over the other
    classes j of (|f - w_j| + |w_y - w_j|). The paper's networks learn by cross-entropy alone first, and from then on
    with it: name such a victim as `warm_start`.

    Prototypes have no reason to stop moving apart, and logits grow with them. The softmax saturates, and attacks on the
    loss lose their gradient; attacks on the logits do not.

    A layer's features are what it is given; maps are averaged over their pixels, and tokens over the image, where the
    paper has a small network of its own.

    Parameters
    ----------
    layers : int or list of str
        The last so many dense and convolutional layers; the first one of a network, which is given the image, is
        none of them. Or names of modules, as the report lists them: "network.fc".
    weight : float
        Weight of each layer's loss beside the cross-entropy.
    prototype_rate : float
        Learning rate of the prototypes. With adam they come apart by about this number a step, in each feature; attacks
        on the loss fail once that adds up to hundreds.
    """

    def prototypes(victim: nn.Module, images: Tensor) -> Prototypes:
        names = last(victim, images, layers) if isinstance(layers, int) else layers
        with given(victim, names) as features:
            classes = victim(images).shape[1]
        if missing := set(names) - features.keys():
            raise RivalryError(f"layers: '{min(missing)}' takes no part when the network is given an image")
        return Prototypes({name: features[name].shape[1] for name in names}, classes)

    def loss(victim: nn.Module, images: Tensor, targets: Tensor, prototypes: nn.Module) -> Tensor:
        assert isinstance(prototypes, Prototypes)
        with given(victim, prototypes.names) as features:
            total: Tensor = cross_entropy(victim(images), targets)
        classes = targets if targets.dim() == 1 else targets.argmax(dim=1)  # smoothed labels
        total += weight * prototypes(features, classes)
        return total

    return Recipe(labels, loss, auxiliary=prototypes, auxiliary_rate=prototype_rate)


class Prototypes(nn.Module):
    """A point of each class in the features of some layers.

    Parameters
    ----------
    sizes : dict
        Names of the layers, and how many features each is given.
    classes : int
        K.
    """

    def __init__(self, sizes: dict[str, int], classes: int) -> None:
        super().__init__()
        self.names = list(sizes)
        self.points = nn.ParameterList(torch.randn(classes, size) for size in sizes.values())

    def forward(self, features: dict[str, Tensor], labels: Tensor) -> Tensor:
        """The layers' losses, added up, of images with these features, (N,D) each, and labels (N,)."""
        losses = [conformity(features[name], labels, w) for name, w in zip(self.names, self.points, strict=True)]
        return torch.stack(losses).sum()


def conformity(features: Tensor, labels: Tensor, prototypes: Tensor) -> Tensor:
    """The prototype conformity loss of features (N,D) with labels (N,), given the prototypes (K,D): their mean."""
    others = len(prototypes) - 1
    distances = torch.cdist(features, prototypes)
    own = distances.gather(1, labels[:, None]).squeeze(1)
    apart = torch.cdist(prototypes, prototypes)[labels]
    return (own - (distances.sum(dim=1) - own + apart.sum(dim=1)) / others).mean()


@contextmanager
def given(victim: nn.Module, names: Sequence[str]) -> Iterator[dict[str, Tensor]]:
    """Inside, collect what modules of a victim are given when it is asked: by name, features (N,D)."""
    features: dict[str, Tensor] = {}
    hooks = []
    for name in names:
        try:
            module = victim.get_submodule(name)
        except AttributeError as error:
            known = [known for known, _ in victim.named_modules() if known]
            raise RivalryError(f"layers: the network has no '{name}'; {nearest(name, known)}") from error

        def keep(_: nn.Module, asked: tuple[Tensor, ...], name: str = name) -> None:
            found = asked[0]
            if found.dim() == 3:  # images, tokens, features
                found = found.mean(dim=1)
            features[name] = found.flatten(2).mean(dim=2) if found.dim() == 4 else found

        hooks.append(module.register_forward_pre_hook(keep))
    try:
        yield features
    finally:
        for hook in hooks:
            hook.remove()


def last(victim: nn.Module, images: Tensor, count: int) -> list[str]:
    """Names of the last layers with weights that a victim asks, but for the first."""
    weighted = [name for name, part in victim.named_modules() if isinstance(part, nn.Linear | nn.Conv2d)]
    with given(victim, weighted) as features:
        victim(images)
    hidden = list(features)[1:]  # in the order of their calls
    if len(hidden) < count:
        raise RivalryError(
            f"layers: {count} hidden layers are to be restricted, and the network has {len(hidden)} that can be"
        )
    return hidden[-count:]
