from __future__ import annotations

import torch
from torch import Tensor

from rivalry.architectures._classifier import Classifier
from rivalry.architectures._estimator import Estimator
from rivalry.data._splits import floats
from rivalry.errors import RivalryError
from rivalry.training._recipe import Direct, training_method


@training_method(source="pedregosa2011", epochs=False)
def scikit_learn(images: Tensor, labels: Tensor) -> Direct:
    """One fit by scikit-learn, for architectures that gradient descent does not train.

    There are no epochs to choose from, so nothing is held out for validation.
    """

    def fit(victim: Classifier, seed: int) -> None:
        network = victim.network
        assert isinstance(network, Estimator)
        order = torch.randperm(len(images), generator=torch.Generator().manual_seed(seed))[: network.sample]
        if len(labels[order].unique()) < network.classes:
            raise RivalryError(
                f"{len(order)} training images hold only {len(labels[order].unique())} of {network.classes} classes; "
                "scikit-learn needs some of each: raise architecture_parameters.sample"
            )
        pixels = [victim.normalised(floats(part)).flatten(1) for part in images[order].split(1024)]
        network.fit(torch.cat(pixels), labels[order], seed)

    return Direct(fit)
