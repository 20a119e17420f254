from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from sklearn.decomposition import PCA
from torch import Tensor, nn

from rivalry.data._splits import floats
from rivalry.defenses._defended import Defended, Preprocessed, clipped, defense
from rivalry.errors import RivalryError
from rivalry.seeds import derive_seed
from rivalry.types import Count, SampleSize


@defense(kind="preprocessor", source="bhagoji2018")
def pca(
    victim: nn.Module,
    images: Tensor,
    labels: Tensor,
    seed: int,
    batch_size: int,
    *,
    components: Count = 100,
    sample: SampleSize = 10_000,
) -> Defended:
    """Principal component analysis: of each image only its share in the training images' main directions is kept.

    What leaves [0,1] is cut off; gradients pass as if it were not.

    Parameters
    ----------
    components : int
        How many directions, fewer than an image has numbers.
    sample : int
        Training images that they are computed from, at most.
    """
    order = torch.randperm(len(images), generator=torch.Generator().manual_seed(derive_seed(seed, "sample")))
    chosen = floats(images[order[:sample]]).flatten(1)
    if components > min(chosen.shape):
        raise RivalryError(
            f"components: {components} is more than there are: {len(chosen)} images of {chosen.shape[1]} numbers "
            f"have at most {min(chosen.shape)}"
        )
    found = PCA(components, random_state=derive_seed(seed, "solver") % 2**32).fit(chosen.numpy())
    projection = Projection(components, images.shape[1:])
    projection.mean.copy_(torch.from_numpy(found.mean_))
    projection.directions.copy_(torch.from_numpy(found.components_))
    return Defended(Preprocessed(projection, victim), {"variance_kept": float(found.explained_variance_ratio_.sum())})


def restore(victim: nn.Module, facts: Mapping[str, Any]) -> nn.Module:
    return Preprocessed(Projection(facts["parameters"]["components"], facts["shape"]), victim)


class Projection(nn.Module):
    """Images (N,*shape) in [0,1] to images of the same shape; see `pca`."""

    mean: Tensor
    directions: Tensor

    def __init__(self, components: int, shape: tuple[int, ...]) -> None:
        super().__init__()
        numbers = torch.Size(shape).numel()
        self.register_buffer("mean", torch.zeros(numbers))
        self.register_buffer("directions", torch.zeros(components, numbers))

    def forward(self, images: Tensor) -> Tensor:
        shares = (images.flatten(1) - self.mean) @ self.directions.T
        return clipped((self.mean + shares @ self.directions).view_as(images))
