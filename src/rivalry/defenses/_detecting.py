"""What detectors learn from, and how their thresholds are set."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from rivalry.answers import classify
from rivalry.data._splits import floats
from rivalry.defenses._defended import log_odds
from rivalry.seeds import derive_seed
from rivalry.training._learned_attack import learned_attack
from rivalry.types import FALSE_ALARMS


@dataclass(frozen=True)
class Examples:
    """Clean training images, and what one attack, or several by turns, make of them.

    A quarter of them is held out: it sets the threshold, and tells what is found.

    Attributes
    ----------
    clean, adversarial : Tensor
        float32 (N,C,H,W) in [0,1].
    attacked : Tensor
        bool (N,): which the victim had right, so that they were attacked; the others are no examples of attacked ones.
    attack : dict or list of dict
        The attack's `method` and parameters, or those of each.
    """

    clean: Tensor
    adversarial: Tensor
    attacked: Tensor
    attack: dict[str, Any] | list[dict[str, Any]]

    @property
    def learned(self) -> Tensor:
        """Which are learned from, bool (N,)."""
        return torch.arange(len(self.clean)) >= len(self.clean) // 4

    @property
    def lessons(self) -> tuple[Tensor, Tensor, Tensor]:
        """Images to learn from, clean and then attacked, float32 (M,C,H,W); 0 or 1 for each; which row each is of."""
        clean, shown = self.learned.nonzero().squeeze(1), (self.learned & self.attacked).nonzero().squeeze(1)
        return (
            torch.cat([self.clean[clean], self.adversarial[shown]]),
            torch.tensor([0, 1]).repeat_interleave(torch.tensor([len(clean), len(shown)])),
            torch.cat([clean, shown]),
        )

    def threshold(
        self, detector: nn.Module, false_positive_rate: float, batch_size: int
    ) -> tuple[Tensor, dict[str, Any]]:
        """The log odds above which an image is refused, so that at most this share of clean ones is; and the facts.

        The detector maps images (N,C,H,W) in [0,1] to logits (N,2) of clean and adversarial.
        """
        held_out = ~self.learned
        odds_clean, odds_attacked = (
            log_odds(classify(detector, rows, batch_size))
            for rows in (self.clean[held_out], self.adversarial[held_out & self.attacked])
        )
        threshold = threshold_for(odds_clean, false_positive_rate)
        return threshold, {
            "attack": self.attack,
            "threshold": float(threshold.double().sigmoid()),
            "thresholds": thresholds(odds_clean),
            "images_learned": int(self.learned.sum()),
            "images_held_out": len(odds_clean),
            "flagged_clean": float((odds_clean > threshold).double().mean()),
            "flagged_attacked": float((odds_attacked > threshold).double().mean()),
        }


def threshold_for(odds: Tensor, false_alarms: float) -> Tensor:
    """The log odds, a scalar, above which at most this share of clean images lies, given those of such images (N,)."""
    return odds.sort(descending=True).values[int(false_alarms * len(odds))]


def thresholds(odds: Tensor) -> dict[str, float]:
    """The same for the shares at which every detector's finds are told, by the share in percent."""
    return {f"{100 * share:g}": float(threshold_for(odds, share)) for share in FALSE_ALARMS}


def examples(
    victim: nn.Module,
    images: Tensor,
    labels: Tensor,
    attack: str | Mapping[str, Any] | Sequence[str | Mapping[str, Any]],
    sample: int,
    seed: int,
    batch_size: int,
) -> Examples:
    """Attack training images on a victim, at the largest eps; of several attacks each attacks an equal share.

    Parameters
    ----------
    victim, images, labels, seed, batch_size
        As a defense is given them.
    attack : str, mapping or list
        A registered attack, or its `method` and parameters; or several of these.
    sample : int
        Images used, at most.
    """
    several = [attack] if isinstance(attack, str | Mapping) else attack
    attacks = [learned_attack(one) for one in several]
    order = torch.randperm(len(images), generator=torch.Generator().manual_seed(derive_seed(seed, "sample")))
    clean, truth = floats(images[order[:sample]]), labels[order[:sample]]
    options = {"seed": derive_seed(seed, "attack"), "batch_size": batch_size, "progress": True}
    adversarial, attacked = clean.clone(), torch.zeros(len(clean), dtype=torch.bool)
    for number, (attacker, settings) in enumerate(attacks):
        mine = slice(number, None, len(attacks))
        result = attacker.run(victim, clean[mine], truth[mine], **options, **settings)
        adversarial[mine], attacked[mine] = result.images, result.attacked
    facts = [{"method": attacker.name, **settings} for attacker, settings in attacks]
    return Examples(clean, adversarial, attacked, facts[0] if isinstance(attack, str | Mapping) else facts)
