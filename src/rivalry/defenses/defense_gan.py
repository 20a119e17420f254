from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any

from torch import Tensor, nn

from rivalry.defenses._defended import Defended, Randomised, defense, substituted
from rivalry.devices import device_of
from rivalry.generative.latents import nearest, tangential
from rivalry.generative.wgan import Generator, load_generator
from rivalry.randomness import Random
from rivalry.types import Count, Few, Positive, Reference


@defense(kind="preprocessor", source="samangouei2018", side=4)
def defense_gan(
    victim: nn.Module,
    images: Tensor,
    labels: Tensor,
    seed: int,
    batch_size: int,
    *,
    generator: Annotated[str, Reference("generators")],
    steps: Count = 200,
    restarts: Few = 10,
    step_size: Positive = 1.0,
    draws: Few = 1,
) -> Defended:
    """Defense-GAN: the victim sees the nearest image that a generator of training images makes, instead of the image.

    The nearest one is sought by gradient descent from several random latent points (Samangouei et al.), so that an
    image is seen otherwise each time. The descent itself has no useful slope: gradients pass as the nearest image
    moves, in the directions that the generator can make (a stand-in like those of athalye2018). Attacks may follow the
    mean over several draws.

    Parameters
    ----------
    generator : str
        The generator. For use without a configuration, its folder.
    steps : int
        Steps of each descent, L.
    restarts : int
        Random latent points from which one begins, R; the one that ends nearest counts.
    step_size : float
        Learning rate of the descent on the mean squared error, of latent points about 1 long. The code that Samangouei
        et al. published takes 10, for a generator of theirs; with those trained here it overshoots.
    draws : int
        Draws over which attacks with gradients take the mean.
    """
    made = load_generator(generator).to(device_of(victim, images))
    facts = {"latent": made.latent, "width": made.width}
    return Defended(_defended(made, victim, steps, restarts, step_size, draws, seed), facts)


def restore(victim: nn.Module, facts: Mapping[str, Any]) -> nn.Module:
    own, found = facts["parameters"], facts["facts"]
    made = Generator(facts["shape"], found["latent"], found["width"]).requires_grad_(False)
    return _defended(made, victim, own["steps"], own["restarts"], own["step_size"], own["draws"], facts["seed"])


def _defended(
    generator: Generator, victim: nn.Module, steps: int, restarts: int, step_size: float, draws: int, seed: int
) -> nn.Module:
    return Randomised(Projected(generator, steps, restarts, step_size), victim, draws, seed)


class Projected(nn.Module):
    """Images (N,C,H,W) in [0,1], and their `Random`, to the nearest images that a generator was found to make."""

    def __init__(self, generator: Generator, steps: int, restarts: int, step_size: float) -> None:
        super().__init__()
        self.generator = generator
        self.steps = steps
        self.restarts = restarts
        self.step_size = step_size

    def forward(self, images: Tensor, random: Random) -> Tensor:
        latents = self.latents(images, random)
        made: Tensor = self.generator(latents)
        stand_in = tangential(self.generator, latents, images) if images.requires_grad else images
        return substituted(made, stand_in)

    def latents(self, images: Tensor, random: Random) -> Tensor:
        """The latent points (N,D) of the nearest images, without gradients."""
        found, _ = nearest(
            self.generator, images, random, steps=self.steps, restarts=self.restarts, step_size=self.step_size
        )
        return found

    def found(self, images: Tensor, random: Random) -> Tensor:
        """The nearest images, without gradients."""
        made: Tensor = self.generator(self.latents(images, random))
        return made
