from __future__ import annotations

import warnings
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.functional import binary_cross_entropy_with_logits, interpolate, mse_loss

from rivalry.data._splits import floats
from rivalry.defenses._defended import Defended, Preprocessed, Randomised, defense
from rivalry.devices import device_of
from rivalry.errors import RivalryWarning
from rivalry.randomness import Random
from rivalry.seeds import derive_seed
from rivalry.training._fitting import FittingKeys
from rivalry.training._recipe import Recipe
from rivalry.types import Epochs, Few, LearningRate, NonNegative, SampleSize

LOOKED_AT = 2000
"""Training images at most that say how much pixels vary."""


@defense(kind="preprocessor", source="vincent2010", side=4)
def denoising_autoencoder(
    victim: nn.Module,
    images: Tensor,
    labels: Tensor,
    seed: int,
    batch_size: int,
    *,
    layers: Few = 1,
    noise: NonNegative = 0.1,
    taught: NonNegative = 0.1,
    draws: Few = 10,
    width: Few = 32,
    sample: SampleSize = 20_000,
    epochs: Epochs = 10,
    learning_rate: LearningRate = 0.001,
) -> Defended:
    """Denoising autoencoder: a network that was trained to take noise away stands before the victim, once or oftener.

    It learns to give training images back from noisy copies (Vincent et al.). MagNet (meng2017) puts such networks
    before a classifier; a course report (driss2021) adds noise before each of up to four. Then the classifier draws at
    random, and attacks follow the mean over several draws.

    Parameters
    ----------
    layers : int
        How often the network is passed, each time with new noise.
    noise : float
        Standard deviation of the Gaussian noise that is added before each pass, of pixels in [0,1]; 0: none.
    taught : float
        The same of the noise that it learns to take away.
    draws : int
        Draws over which attacks with gradients take the mean; without noise there is but one.
    width : int
        Channels of its convolutions.
    sample : int
        Training images used, at most.
    epochs : int
        Passes over them; the best one, on images held out, is kept.
    learning_rate : float
        Learning rate of Adam.
    """
    order = torch.randperm(len(images), generator=torch.Generator().manual_seed(derive_seed(seed, "sample")))
    chosen = images[order[:sample]]
    torch.manual_seed(derive_seed(seed, "weights"))
    network = Autoencoder(images.shape[1], width)

    def loss(network: nn.Module, images: Tensor, targets: Tensor) -> Tensor:
        assert isinstance(network, Autoencoder)
        noisy, wanted = (images + taught * torch.randn_like(images)).clamp(0, 1), floats(targets)
        if not network.training:
            return mse_loss(network(noisy), wanted)
        # As Vincent et al. have it for pixels in [0,1]. By the squared error some networks never learned from mostly
        # black images: one that is black everywhere has no slope left.
        return binary_cross_entropy_with_logits(network.logits(noisy), wanted)

    from rivalry.training._fit import fit  # Lightning, which restoring a defense does not need

    place = device_of(victim, images)
    keys = FittingKeys(epochs=epochs, learning_rate=learning_rate, patience=epochs)
    accelerator = "gpu" if place.type == "cuda" else "cpu"
    outcome = fit(network, chosen, None, Recipe(chosen, loss), None, keys, seed=seed, accelerator=accelerator)
    best = outcome.history[outcome.best_epoch - 1]
    _say_if_nothing_was_learned(best["validation_loss"], chosen)
    facts = {"images_learned": len(chosen), "mean_squared_error": best["validation_loss"]}
    return Defended(_defended(network.to(place), victim, layers, noise, draws, seed), facts)


def _say_if_nothing_was_learned(error: float, images: Tensor) -> None:
    """Warn where the kept network is no nearer to images (N,C,H,W), uint8, than one grey for all of them would be."""
    spread = float(floats(images[:LOOKED_AT]).var(correction=0))
    if error >= spread:
        warnings.warn(
            f"the autoencoder learned nothing: its mean squared error is {error:.4f}, that of one grey for all pixels "
            f"{spread:.4f}; try another seed, or a smaller learning_rate",
            RivalryWarning,
            stacklevel=2,
        )


def restore(victim: nn.Module, facts: Mapping[str, Any]) -> nn.Module:
    own = facts["parameters"]
    network = Autoencoder(facts["shape"][0], own["width"])
    return _defended(network, victim, own["layers"], own["noise"], own["draws"], facts["seed"])


def _defended(network: nn.Module, victim: nn.Module, layers: int, noise: float, draws: int, seed: int) -> nn.Module:
    if noise == 0:
        return Preprocessed(nn.Sequential(*[network] * layers), victim)
    return Randomised(Denoising(network, layers, noise), victim, draws, seed)


class Autoencoder(nn.Module):
    """Images (N,C,H,W) to images in (0,1) of the same shape, through a quarter of the pixels a side."""

    def __init__(self, channels: int, width: int) -> None:
        super().__init__()
        self.encoder = nn.Sequential(
            nn.Conv2d(channels, width, 3, stride=2, padding=1),
            nn.ReLU(),
            nn.Conv2d(width, 2 * width, 3, stride=2, padding=1),
            nn.ReLU(),
        )
        self.middle = nn.Conv2d(2 * width, width, 3, padding=1)
        self.last = nn.Conv2d(width, channels, 3, padding=1)

    def forward(self, images: Tensor) -> Tensor:
        return self.logits(images).sigmoid()

    def logits(self, images: Tensor) -> Tensor:
        """The same before the sigmoid."""
        height, width = images.shape[2:]
        half = interpolate(self.encoder(images), size=((height + 1) // 2, (width + 1) // 2))
        whole = interpolate(self.middle(half).relu(), size=(height, width))
        cleaned: Tensor = self.last(whole)
        return cleaned


class Denoising(nn.Module):
    """Images (N,C,H,W) in [0,1], with noise from their `Random`, through a network, several times."""

    def __init__(self, network: nn.Module, layers: int, noise: float) -> None:
        super().__init__()
        self.network = network
        self.layers = layers
        self.noise = noise

    def forward(self, images: Tensor, random: Random) -> Tensor:
        for _ in range(self.layers):
            images = self.network((images + self.noise * random.normal(*images.shape[1:])).clamp(0, 1))
        return images
