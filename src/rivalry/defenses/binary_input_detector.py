from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Annotated, Any, Literal

import torch
from torch import Tensor, nn

from rivalry import registry
from rivalry.answers import classify
from rivalry.architectures._classifier import Classifier
from rivalry.data._splits import floats
from rivalry.defenses._defended import Defended, Rejecting, defense, log_odds
from rivalry.defenses._refit import refit
from rivalry.devices import device_of
from rivalry.errors import RivalryError
from rivalry.seeds import derive_seed
from rivalry.types import AttackName, Epochs, LearningRate, MethodOf, OpenFraction, SampleSize


@defense(kind="detector", source="metzen2017")
def binary_input_detector(
    victim: nn.Module,
    images: Tensor,
    labels: Tensor,
    seed: int,
    batch_size: int,
    *,
    attack: AttackName,
    architecture: Annotated[
        Literal["lenet5", "cnn_mnist", "cnn_cifar", "densenet", "resnet18"], MethodOf("architectures")
    ] = "lenet5",
    sample: SampleSize = 4000,
    epochs: Epochs = 10,
    learning_rate: LearningRate = 0.001,
    false_positive_rate: OpenFraction = 0.05,
) -> Defended:
    """Binary input detector: a second network, trained from scratch to tell clean images from attacked ones.

    It learns from training images and from what one attack makes of them on this victim, and refuses an image
    that looks attacked. The detector of Metzen et al. (2017) looks at the classifier's features; this one looks at
    the image, as those of the Adversarial Robustness Toolbox (nicolae2018) and of the course report do. A quarter
    of the images is kept from training. Their clean copies set the threshold, so they cannot tell how many other
    clean images are refused; their attacked copies tell how many attacked images are found. No test image is used.

    Parameters
    ----------
    attack : str
        The attack to learn from; of several eps the largest. For use without a configuration: a registered
        attack, or a mapping of `method` and its parameters.
    architecture : str
        Network of the detector.
    sample : int
        Training images used, at most.
    epochs : int
        Passes over them; the best one is kept.
    learning_rate : float
        Learning rate of Adam.
    false_positive_rate : float
        Share of clean images that may be refused.
    """
    settings = {"method": attack} if isinstance(attack, str) else dict(attack)
    attacker = registry.method("attacks", settings.pop("method")).load()
    if "untargeted" not in attacker.goals:
        raise RivalryError(f"attack: {attacker.name} has no untargeted form to learn from; name one that has")
    if isinstance(settings.get("eps"), list):
        settings["eps"] = max(settings["eps"])
    order = torch.randperm(len(images), generator=torch.Generator().manual_seed(derive_seed(seed, "sample")))
    clean, truth = floats(images[order[:sample]]), labels[order[:sample]]
    result = attacker.run(
        victim,
        clean,
        truth,
        seed=derive_seed(seed, "attack"),
        batch_size=batch_size,
        progress=True,
        **settings,
    )

    learning = torch.arange(len(clean)) >= len(clean) // 4
    # Images that the victim gets wrong are not attacked, and so are no examples of attacked ones.
    shown = (learning & result.attacked).nonzero().squeeze(1)
    learned = learning.nonzero().squeeze(1)
    torch.manual_seed(derive_seed(seed, "weights"))
    detector = _detector(architecture, images.shape[1:]).to(device_of(victim, images))
    detector.mean.copy_(clean.mean(dim=(0, 2, 3)))
    detector.std.copy_(clean.std(dim=(0, 2, 3)).clamp_min(1e-3))
    refit(
        detector,
        torch.cat([clean[learned], result.images[shown]]),
        torch.tensor([0, 1]).repeat_interleave(torch.tensor([len(learned), len(shown)])),
        seed=seed,
        epochs=epochs,
        learning_rate=learning_rate,
        sources=torch.cat([learned, shown]),
    )

    odds_clean, odds_attacked = (
        log_odds(classify(detector, rows, batch_size))
        for rows in (clean[~learning], result.images[~learning & result.attacked])
    )
    # Refused is what lies above the threshold: at most this share of the clean images held out.
    tolerated = int(false_positive_rate * len(odds_clean))
    threshold = odds_clean.sort(descending=True).values[tolerated]
    facts = {
        "attack": {"method": attacker.name, **settings},
        "threshold": float(threshold.double().sigmoid()),
        "images_learned": int(learning.sum()),
        "images_held_out": len(odds_clean),
        "flagged_clean": float((odds_clean > threshold).double().mean()),
        "flagged_attacked": float((odds_attacked > threshold).double().mean()),
    }
    classes = classify(victim, clean[:1], 1).shape[1]
    return Defended(Rejecting(detector, victim, threshold, classes), facts)


def restore(victim: nn.Module, facts: Mapping[str, Any]) -> nn.Module:
    detector = _detector(facts["parameters"]["architecture"], facts["shape"])
    return Rejecting(detector, victim, torch.zeros(()), facts["classes"])


def _detector(architecture: str, shape: Sequence[int]) -> Classifier:
    return Classifier(registry.method("architectures", architecture).load()(shape, 2), channels=shape[0])
