from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from scipy.stats import norm
from statsmodels.stats.proportion import proportion_confint
from torch import Tensor, nn
from torch.nn.functional import one_hot

from rivalry.answers import NO_ANSWER, answers, reject_class
from rivalry.defenses._defended import Defended, Randomised, defense
from rivalry.randomness import Random
from rivalry.seeds import derive_seed
from rivalry.types import Count, Few, OpenFraction, Positive

AT_ONCE = 10
"""Draws that an image makes together: they are the same in any batch."""


@defense(kind="preprocessor", source="cohen2019")
def randomised_smoothing(
    victim: nn.Module,
    images: Tensor,
    labels: Tensor,
    seed: int,
    batch_size: int,
    *,
    sigma: Positive = 0.25,
    votes: Few = 100,
    draws: Few = 8,
    selection: Count = 100,
    samples: Count = 1000,
    alpha: OpenFraction = 0.001,
) -> Defended:
    """Randomised smoothing: the class that the victim gives most copies of an image with Gaussian noise, certified.

    No change shorter in L2 than a radius alters the class that noise makes likeliest; the radius follows from how
    likely that class is (Cohen, Rosenfeld and Kolter, 2019). The victim should have learned from images with such
    noise (augmentation: {noise: 0.25}). Noise is added to pixels in [0,1], before anything else, and what leaves
    [0,1] is cut off, as in that augmentation: that is a part of the victim which is smoothed.

    Clean test images are certified when the defense is evaluated; each draws noise anew. Attacks meet the vote of
    `votes` noisy copies. Those that see gradients follow the mean probability over `draws` copies.

    Parameters
    ----------
    sigma : float
        Standard deviation of the noise, of pixels in [0,1].
    votes : int
        Noisy copies that vote when the classifier is asked.
    draws : int
        Noisy copies over which an attacker with gradients takes the mean.
    selection : int
        Noisy copies that choose the class to certify.
    samples : int
        Noisy copies, others, that tell how likely it is. They bound the radius that can be certified: no image can
        have one above sigma times the normal quantile of alpha ** (1 / samples); with 1000, 2.5 sigma.
    alpha : float
        How often a radius may be too large.
    """
    return Defended(Smoothed(victim, draws, derive_seed(seed, "noise"), sigma, votes, selection, samples, alpha), {})


def restore(victim: nn.Module, facts: Mapping[str, Any]) -> nn.Module:
    return Smoothed(victim, seed=derive_seed(facts["seed"], "noise"), **facts["parameters"])


class Noise(nn.Module):
    """Adds Gaussian noise to images (N,C,H,W) in [0,1], and cuts off what leaves that range."""

    def __init__(self, sigma: float) -> None:
        super().__init__()
        self.sigma = sigma

    def forward(self, images: Tensor, random: Random) -> Tensor:
        return (images + self.sigma * random.normal(*images.shape[1:])).clamp(0, 1)


class Smoothed(Randomised):
    """A victim's vote over noisy copies: again a classifier; see `randomised_smoothing` for the parameters."""

    def __init__(
        self,
        victim: nn.Module,
        draws: int,
        seed: int,
        sigma: float,
        votes: int,
        selection: int,
        samples: int,
        alpha: float,
    ) -> None:
        super().__init__(Noise(sigma), victim, draws, seed)
        self.sigma, self.votes, self.selection, self.samples, self.alpha = sigma, votes, selection, samples, alpha
        self.reject_class = reject_class(victim)

    def forward(self, images: Tensor) -> Tensor:
        """Logits (N,K) of float32 images (N,C,H,W) in [0,1]: log shares, of votes or, with gradients, of probability.

        Votes have one more for each class, so that none has a share of 0.
        """
        if images.requires_grad:
            several = [self._answer(images, f"draw {number}").log_softmax(dim=1) for number in range(self.draws)]
            return torch.stack(several).logsumexp(dim=0) - torch.tensor(float(self.draws)).log()
        counts = self.counts(images, self.votes, "deployed")
        return ((counts + 1) / (self.votes + counts.shape[1])).log()

    def counts(self, images: Tensor, number: int, name: str) -> Tensor:
        """How many of `number` noisy copies of images (N,C,H,W) the victim gives each class, float32 (N,K).

        A copy that the victim refuses, or has no answer to, counts for no class of an image's own.
        """
        random = Random.for_images(images.detach(), derive_seed(self.seed, name))
        total: Tensor | None = None
        with torch.no_grad():
            for first in range(0, number, AT_ONCE):
                noise = random.normal(AT_ONCE, *images.shape[1:])[:, : number - first]
                copies = (images[:, None] + self.sigma * noise).clamp(0, 1).flatten(0, 1)
                logits: Tensor = self.victim(copies)
                classes, _ = answers(logits)
                hits = one_hot(classes.clamp_min(0), logits.shape[1]).float()
                hits[classes == NO_ANSWER] = 0
                found = hits.view(len(images), -1, logits.shape[1]).sum(dim=1)
                total = found if total is None else total + found
        assert total is not None
        return total

    def certify(self, images: Tensor) -> tuple[Tensor, Tensor]:
        """The class of images (N,C,H,W) and the L2 radius within which it stays, int64 and float64 (N,), on the CPU.

        The radius is 0 where none can be told: there the classifier abstains. It is too large with a probability of
        `alpha` at most. The class that is likeliest among some copies is counted among others; the exact (Clopper and
        Pearson) lower bound of its probability p gives sigma times the normal quantile of p.
        """
        chosen = self.counts(images, self.selection, "selection").argmax(dim=1)
        hits = self.counts(images, self.samples, "samples").gather(1, chosen[:, None]).squeeze(1).cpu()
        # The lower end of a two-sided interval that misses twice as often.
        lower, _ = proportion_confint(hits.long().numpy(), self.samples, alpha=2 * self.alpha, method="beta")
        radius = self.sigma * torch.from_numpy(norm.ppf(lower))
        return chosen.cpu(), torch.where(torch.from_numpy(lower) > 0.5, radius, 0.0)
