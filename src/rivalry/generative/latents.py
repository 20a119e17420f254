"""The latent point whose image is nearest to a given one, and how that image moves with it."""

from __future__ import annotations

import torch
from torch import Tensor

from rivalry.generative.wgan import Generator
from rivalry.randomness import Random

MOMENTUM = 0.7
"""Of the descent, as in the code that Samangouei et al. (2018) published."""
BATCH = 256
"""Latent points that are moved at once: no more memory is taken for thousands of images than for some."""
FEWER = 32
"""Latent points whose Jacobians are held at once, each tens of times as large as an image's own maps."""
DAMPING = 1e-3
"""Added to the squared lengths of the directions that a generator moves images in, as a share of their mean."""


def nearest(
    generator: Generator,
    images: Tensor,
    random: Random,
    *,
    steps: int = 200,
    restarts: int = 10,
    step_size: float = 1.0,
) -> tuple[Tensor, Tensor]:
    """The latent points whose images are nearest to some, by gradient descent from several random points.

    Each point moves for itself, so that results do not depend on the batch. The last fifth of the steps are a tenth as
    long. No gradients reach `images`.

    Parameters
    ----------
    generator : Generator
        Frozen, where the images are.
    images : Tensor
        float32 (N,C,H,W) in [0,1].
    random : Random
        The images' own random numbers.
    steps, restarts : int
        Steps of each descent, and how many descents; that which ends nearest is taken.
    step_size : float
        Learning rate of the descent on the mean squared error, with momentum 0.7.

    Returns
    -------
    latents : Tensor
        float32 (N,D).
    errors : Tensor
        float32 (N,): the mean squared error that is left, over channels and pixels.
    """
    starts = random.normal(restarts, generator.latent) / generator.latent**0.5
    goals = images.detach().repeat_interleave(restarts, dim=0)
    ended = [
        _descended(generator, points, wanted, steps, step_size)
        for points, wanted in zip(starts.flatten(0, 1).split(BATCH), goals.split(BATCH), strict=True)
    ]
    found, left = (torch.cat(parts).unflatten(0, (len(images), restarts)) for parts in zip(*ended, strict=True))
    best, rows = left.argmin(dim=1), torch.arange(len(images), device=images.device)
    return found[rows, best], left[rows, best]


def tangential(generator: Generator, latents: Tensor, images: Tensor) -> Tensor:
    """The part of images (N,C,H,W) that moves the nearest image which a generator makes.

    J (J^T J + d)^-1 J^T x, with the Jacobian J (C·H·W,D) of the generator at a latent point, and x the image: near a
    point whose image is the nearest one, how that image moves with x, but for the bend of the generator (Gauss and
    Newton). Where the generator hardly moves, d damps it. Linear in the images, so its gradients are the same part of
    the gradients that come back.

    Parameters
    ----------
    generator : Generator
        Frozen, where the images are.
    latents : Tensor
        float32 (N,D).
    images : Tensor
        float32 (N,C,H,W), which gradients reach.
    """
    parts = zip(latents.split(FEWER), images.split(FEWER), strict=True)
    return torch.cat([_tangential(generator, points, some) for points, some in parts])


def _tangential(generator: Generator, points: Tensor, images: Tensor) -> Tensor:
    jacobian = generator.jacobian(points)
    squares = jacobian.mT @ jacobian
    damping = DAMPING * squares.diagonal(dim1=1, dim2=2).mean(dim=1).clamp_min(torch.finfo(squares.dtype).tiny)
    squares = squares + damping[:, None, None] * torch.eye(generator.latent, device=squares.device)
    moved: Tensor = torch.linalg.solve(squares, jacobian.mT @ images.flatten(1)[:, :, None])
    return (jacobian @ moved).view_as(images)


def _descended(
    generator: Generator, points: Tensor, wanted: Tensor, steps: int, step_size: float
) -> tuple[Tensor, Tensor]:
    """Where latent points (M,D) end that go after the images (M,C,H,W) that are wanted, and the errors left (M,)."""
    speed = torch.zeros_like(points)
    for step in range(steps):
        with torch.enable_grad():
            here = points.requires_grad_(True)
            (slope,) = torch.autograd.grad(_errors(generator(here), wanted).sum(), here)
        speed = MOMENTUM * speed - (step_size if step < 0.8 * steps else step_size / 10) * slope
        points = points.detach() + speed
    with torch.no_grad():
        return points, _errors(generator(points), wanted)


def _errors(made: Tensor, wanted: Tensor) -> Tensor:
    """The mean squared error of each image, (M,)."""
    return (made - wanted).square().flatten(1).mean(dim=1)
