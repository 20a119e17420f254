"""Random numbers that belong to an image and not to its place in a batch."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from functools import cache

import torch
from torch import Tensor

from rivalry.norms import column, steepest
from rivalry.seeds import derive_seed


class Random:
    """One generator per image, seeded by the job's seed and the image's own pixels.

    An image so draws the same numbers alone, in any batch, and beside images that leave early. An attack that
    draws nothing pays nothing: generators are made when the first is asked for.
    """

    def __init__(self, make: Callable[[], list[torch.Generator]], device: torch.device) -> None:
        self._make = cache(make)
        self._device = device

    @classmethod
    def for_images(cls, images: Tensor, seed: int) -> Random:
        """Generators for images (N,C,H,W)."""

        def make() -> list[torch.Generator]:
            keys = [hashlib.sha256(image.numpy().tobytes()).hexdigest() for image in images.cpu()]
            return [torch.Generator().manual_seed(derive_seed(seed, key)) for key in keys]

        return cls(make, images.device)

    def __getitem__(self, rows: Tensor) -> Random:
        """The generators of some of the images."""
        return Random(lambda: [self._make()[row] for row in rows.tolist()], self._device)

    def shared(self) -> torch.Generator:
        """A generator, on the CPU, for what is drawn once for all of the images."""
        (seed,) = torch.randint(2**62, (1,), generator=self._make()[0]).tolist()
        return torch.Generator().manual_seed(seed)

    def uniform(self, *shape: int) -> Tensor:
        """Uniform on [-1, 1), (N, *shape)."""
        draws = [torch.rand(shape, generator=generator) for generator in self._make()]
        return torch.stack(draws).to(self._device).mul_(2).sub_(1)

    def normal(self, *shape: int) -> Tensor:
        """Standard normal, (N, *shape)."""
        draws = [torch.randn(shape, generator=generator) for generator in self._make()]
        return torch.stack(draws).to(self._device)


def random_in_ball(random: Random, like: Tensor, norm: str | int, eps: float) -> Tensor:
    """A point drawn uniformly from the `eps` ball for each image, shaped like `like` (N,C,H,W)."""
    if norm == "inf":
        return eps * random.uniform(*like.shape[1:])
    direction = steepest(random.normal(*like.shape[1:]), 2)
    radius = random.uniform(1).add(1).div(2).pow(1 / like[0].numel())
    return eps * column(radius.squeeze(1), like) * direction
