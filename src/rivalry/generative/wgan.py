"""A Wasserstein GAN with gradient penalty: a generator and the critic that it learns from."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn
from torch.func import functional_call
from torch.nn.functional import leaky_relu

from rivalry.architectures._classifier import flat_features
from rivalry.artifacts import read_json, read_tensors
from rivalry.errors import RivalryError
from rivalry.generative.keys import GeneratorKeys
from rivalry.layout import Place
from rivalry.seeds import derive_seed
from rivalry.training._fitting import FittingKeys
from rivalry.training._recipe import Loss, Recipe

if TYPE_CHECKING:
    from rivalry.training._fit import Fit

LEAST = 4
"""Pixels a side that images must have at least: they are halved twice."""


class Generator(nn.Module):
    """Latent points (N,D) to images (N,C,H,W) in (0,1), by a dense layer and two convolutions that double the sides.

    Latent points are drawn from a normal distribution of variance 1/D, so that their lengths are about 1.

    Parameters
    ----------
    shape : sequence of int
        Of its images, (C,H,W).
    latent : int
        D.
    width : int
        Channels of the maps before the last ones; those before have twice as many.
    """

    def __init__(self, shape: Sequence[int], latent: int, width: int) -> None:
        super().__init__()
        self.latent = latent
        self.width = width
        self.sides = tuple(shape[1:])
        self.least = tuple(-(-side // 4) for side in self.sides)
        self.dense = nn.Linear(latent, 2 * width * self.least[0] * self.least[1])
        self.middle = nn.ConvTranspose2d(2 * width, width, 4, stride=2, padding=1)
        self.last = nn.ConvTranspose2d(width, shape[0], 4, stride=2, padding=1)

    def forward(self, latents: Tensor) -> Tensor:
        small = self.dense(latents * self.latent**0.5).relu().unflatten(1, (-1, *self.least))
        made: Tensor = self.last(self.middle(small).relu()).sigmoid()
        return self._cut(made)

    def jacobian(self, latents: Tensor) -> Tensor:
        """How images change with latent points (N,D): their derivatives (N,C·H·W,D), without gradients.

        Layer by layer for all D directions at once, several times faster than D forward passes of derivatives.
        """
        with torch.no_grad():
            before = self.dense(latents * self.latent**0.5)
            small = before.relu().unflatten(1, (-1, *self.least))
            middle = self.middle(small)
            made = self.last(middle.relu()).sigmoid()
            directions = (self.dense.weight.T * self.latent**0.5) * (before > 0)[:, None]  # (N,D,features)
            moved = _along(self.middle, directions.unflatten(2, (-1, *self.least))) * (middle > 0)[:, None]
            moved = _along(self.last, moved) * (made * (1 - made))[:, None]
            return self._cut(moved).flatten(2).mT

    def _cut(self, made: Tensor) -> Tensor:
        return made[..., : self.sides[0], : self.sides[1]]

    def draw(self, count: int) -> Tensor:
        """Latent points (count,D) by PyTorch's own random numbers, where the weights are."""
        points: Tensor = torch.randn(count, self.latent, device=self.dense.weight.device) / self.latent**0.5
        return points


def _along(layer: nn.ConvTranspose2d, directions: Tensor) -> Tensor:
    """What a layer makes of changes (N,D,C,H,W) of what it is given."""
    without = {"bias": torch.zeros(layer.out_channels, device=directions.device, dtype=directions.dtype)}
    made: Tensor = functional_call(layer, without, (directions.flatten(0, 1),)).unflatten(0, directions.shape[:2])
    return made


class Critic(nn.Module):
    """Images (N,C,H,W) in [0,1] to a number each, (N,).

    Without batch normalisation, since the slope that is penalised is each image's own.
    """

    def __init__(self, shape: Sequence[int], width: int) -> None:
        super().__init__()
        self.first = nn.Conv2d(shape[0], width, 4, stride=2, padding=1)
        self.middle = nn.Conv2d(width, 2 * width, 4, stride=2, padding=1)
        self.last = nn.Linear(flat_features(nn.Sequential(self.first, self.middle), shape), 1)

    def forward(self, images: Tensor) -> Tensor:
        features = leaky_relu(self.middle(leaky_relu(self.first(images), 0.2)), 0.2)
        given: Tensor = self.last(features.flatten(1))
        return given.squeeze(1)


class Pair(nn.Module):
    """A generator and its critic, which learn together, and how many steps they have taken."""

    steps: Tensor

    def __init__(self, generator: Generator, critic: Critic) -> None:
        super().__init__()
        self.generator = generator
        self.critic = critic
        self.register_buffer("steps", torch.zeros(()))  # so that checkpoints hold it


def train_generator(
    images: Tensor, keys: GeneratorKeys, checkpoints: Path | None, *, seed: int, accelerator: str = "auto"
) -> tuple[Generator, Fit]:
    """Train a generator to make images like some.

    The critic learns to give training images more than made ones, by as much as the slope allows that the penalty keeps
    near 1; the generator learns to be given more. Gulrajani et al. (2017) step by Adam without a mean of gradients
    (beta 0 and .9). RMSprop is that, but for the correction of the first steps.

    Kept is the epoch whose images have the least energy distance to training images held out.

    Parameters
    ----------
    images : Tensor
        uint8 (N,C,H,W).
    keys : GeneratorKeys
    checkpoints : Path or None
        Folder for checkpoints, of this very training, which goes on from them; None: none are written.
    seed : int
        Seeds weights, the order of images and latent points.
    accelerator : str
        auto, cpu or gpu.

    Returns
    -------
    generator : Generator
        On the CPU, frozen, in evaluation mode.
    outcome : Fit
        The curve, whose `validation_loss` is the energy distance, and the epoch that was kept.

    Raises
    ------
    RivalryError
        Images are too small, or training diverged.
    """
    shape = tuple(images.shape[1:])
    if min(shape[1:]) < LEAST:
        raise RivalryError(f"a generator needs images of at least {LEAST}x{LEAST} pixels, not {min(shape[1:])}")
    from rivalry.training._fit import fit  # Lightning, which loading a generator does not need

    torch.manual_seed(derive_seed(seed, "weights"))
    pair = Pair(Generator(shape, keys.latent, keys.width), Critic(shape, keys.width))
    fitting = FittingKeys(
        epochs=keys.epochs,
        batch_size=keys.batch_size,
        learning_rate=keys.learning_rate,
        optimizer="rmsprop",
        ema=keys.average,
        patience=keys.epochs,
    )
    recipe = Recipe(torch.zeros(len(images)), _loss(keys), after_step=_count)
    outcome = fit(pair, images, None, recipe, checkpoints, fitting, seed=seed, accelerator=accelerator)
    return pair.generator.eval().requires_grad_(False), outcome


def held_out(folder: str | Path, count: int) -> Tensor:
    """Which of the `count` training images the generator in a folder did not learn from: rows, int64.

    They chose the epoch that was kept, and nothing else.

    Raises
    ------
    RivalryError
        It was given another number of images.
    """
    from rivalry.training._fit import split_by_source

    facts = read_json(Place("generate", Path(folder)).facts)
    if facts["images_given"] != count:
        raise RivalryError(f"generator: {folder} was given {facts['images_given']} images, and here are {count}")
    return split_by_source(torch.arange(count), FittingKeys().validation_fraction, facts["seed"])[0]


def _loss(keys: GeneratorKeys) -> Loss:
    """What critic and generator learn by; when they are validated, the energy distance."""

    def loss(pair: nn.Module, images: Tensor, targets: Tensor) -> Tensor:
        assert isinstance(pair, Pair)
        made = pair.generator(pair.generator.draw(len(images)))
        if not pair.training:
            return energy_distance(made, images)
        total: Tensor = pair.critic(made.detach()).mean() - pair.critic(images).mean()
        total = total + keys.penalty * gradient_penalty(pair.critic, images, made.detach())
        if int(pair.steps + 1) % keys.critic_steps == 0:
            # The critic is held still: what the generator gains by is no lesson of the critic's. In other steps the
            # generator's weights have no gradient, and the optimizer leaves them alone.
            still = {name: value.detach() for name, value in pair.critic.named_parameters()}
            total = total - functional_call(pair.critic, still, (made,)).mean()
        return total

    return loss


def _count(pair: nn.Module) -> None:
    assert isinstance(pair, Pair)
    pair.steps += 1


def gradient_penalty(critic: nn.Module, real: Tensor, made: Tensor) -> Tensor:
    """The mean of (|slope| - 1)^2 at random points between images (N,C,H,W), real and made, one pair a point."""
    share = torch.rand(len(real), 1, 1, 1, device=real.device)
    between = (real + share * (made - real)).requires_grad_(True)
    (slope,) = torch.autograd.grad(critic(between).sum(), between, create_graph=True)
    excess: Tensor = slope.flatten(1).norm(dim=1) - 1
    return excess.square().mean()


def energy_distance(made: Tensor, real: Tensor) -> Tensor:
    """An unbiased estimate of the energy distance of two distributions from images of each, (N,C,H,W) both.

    2 E|x - y| - E|x - x'| - E|y - y'| in Euclidean length, divided by the root of the number of pixels: 0 where both
    are the same distribution. From one image of each, nothing is known of how images differ, and the first part is all.
    """
    first, second = made.flatten(1), real.flatten(1)
    pairs = max(len(first) * (len(first) - 1), 1)
    apart: Tensor = 2 * torch.cdist(first, second).mean()
    within: Tensor = (torch.cdist(first, first).sum() + torch.cdist(second, second).sum()) / pairs
    return (apart - within) / math.sqrt(first.shape[1])


def load_generator(folder: str | Path) -> Generator:
    """The generator in a folder that `rivalry generate` wrote: on the CPU, frozen, in evaluation mode."""
    place = Place("generate", Path(folder))
    facts = read_json(place.facts)
    generator = Generator(facts["shape"], facts["parameters"]["latent"], facts["parameters"]["width"])
    try:
        generator.load_state_dict(read_tensors(place["weights"]))
    except RuntimeError as error:
        fault = str(error).splitlines()[-1].strip()
        raise RivalryError(f"{place['weights']}: does not fit its description: {fault}") from error
    return generator.eval().requires_grad_(False)
