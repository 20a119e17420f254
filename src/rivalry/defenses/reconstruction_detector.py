from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any

import torch
from torch import Tensor, nn

from rivalry.answers import classify
from rivalry.data._splits import floats
from rivalry.defenses._defended import Defended, Rejecting, defense, log_odds
from rivalry.defenses._detecting import thresholds
from rivalry.defenses.defense_gan import Projected
from rivalry.devices import device_of
from rivalry.generative.wgan import Generator, held_out, load_generator
from rivalry.randomness import Random
from rivalry.seeds import derive_seed
from rivalry.types import Count, Few, OpenFraction, Positive, Reference, SampleSize


@defense(kind="detector", source="samangouei2018", side=4)
def reconstruction_detector(
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
    sample: SampleSize = 400,
    false_positive_rate: OpenFraction = 0.05,
) -> Defended:
    """Defense-GAN as a detector: an image is refused that no image which the generator makes comes near.

    The victim sees the image as it is. The threshold is set on training images that the generator never learned from.
    Where a nearest image is found, how far it is off has an exact slope, the image less the nearest one, which attacks
    follow.

    Parameters
    ----------
    generator : str
        The generator. For use without a configuration, its folder.
    steps : int
        Steps of each descent to the nearest image, L.
    restarts : int
        Random latent points from which one begins, R; the one that ends nearest counts.
    step_size : float
        Learning rate of the descent on the mean squared error, of latent points about 1 long. The code that Samangouei
        et al. published takes 10, for a generator of theirs; with those trained here it overshoots.
    sample : int
        Training images that set the threshold, at most; a tenth of those that the generator was given are held out.
    false_positive_rate : float
        Share of clean images that may be refused.
    """
    made = load_generator(generator).to(device_of(victim, images))
    rows = held_out(generator, len(images))
    order = torch.randperm(len(rows), generator=torch.Generator().manual_seed(derive_seed(seed, "sample")))
    shown = floats(images[rows[order[:sample]]])
    tolerated = int(false_positive_rate * len(shown))
    detector = Distance(Projected(made, steps, restarts, step_size), seed)
    odds = log_odds(classify(detector, shown, batch_size)).sort(descending=True).values
    threshold = odds[tolerated]
    classes = classify(victim, shown[:1], 1).shape[1]
    facts = {
        "latent": made.latent,
        "width": made.width,
        "images_held_out": len(shown),
        "thresholds": thresholds(odds),
        "threshold_squared_error": float(threshold.double().exp()),
        "mean_squared_error": float(odds.double().exp().mean()),
        "flagged_clean": float((odds > threshold).double().mean()),
    }
    return Defended(Rejecting(detector, victim, threshold, classes), facts)


def restore(victim: nn.Module, facts: Mapping[str, Any]) -> nn.Module:
    own, found = facts["parameters"], facts["facts"]
    made = Generator(facts["shape"], found["latent"], found["width"]).requires_grad_(False)
    detector = Distance(Projected(made, own["steps"], own["restarts"], own["step_size"]), facts["seed"])
    return Rejecting(detector, victim, torch.zeros(()), facts["classes"])  # the threshold is among the tensors


class Distance(nn.Module):
    """Logits (N,2) of clean and adversarial: their difference is the logarithm of the mean squared error that is left.

    With the image that was found held still, the slope is that of the error at its minimum.
    """

    def __init__(self, projected: Projected, seed: int) -> None:
        super().__init__()
        self.projected = projected
        self.seed = seed

    def forward(self, images: Tensor) -> Tensor:
        found = self.projected.found(images, Random.for_images(images.detach(), self.seed))
        left = (images - found).square().flatten(1).mean(dim=1)
        odds = left.clamp_min(torch.finfo(left.dtype).tiny).log()
        return torch.stack([torch.zeros_like(odds), odds], dim=1)
