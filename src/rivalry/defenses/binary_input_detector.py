from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Annotated, Any, Literal

import torch
from torch import Tensor, nn

from rivalry import registry
from rivalry.answers import classify
from rivalry.architectures._classifier import Classifier
from rivalry.defenses._defended import Defended, Rejecting, defense
from rivalry.defenses._detecting import examples
from rivalry.defenses._refit import refit
from rivalry.devices import device_of
from rivalry.seeds import derive_seed
from rivalry.types import AttackNames, Epochs, LearningRate, MethodOf, OpenFraction, SampleSize


@defense(kind="detector", source="metzen2017")
def binary_input_detector(
    victim: nn.Module,
    images: Tensor,
    labels: Tensor,
    seed: int,
    batch_size: int,
    *,
    attack: AttackNames,
    architecture: Annotated[
        Literal["lenet5", "cnn_mnist", "cnn_cifar", "densenet", "resnet18"], MethodOf("architectures")
    ] = "lenet5",
    sample: SampleSize = 4000,
    epochs: Epochs = 10,
    learning_rate: LearningRate = 0.001,
    false_positive_rate: OpenFraction = 0.05,
) -> Defended:
    """Binary input detector: a second network, trained from scratch to tell clean images from attacked ones.

    It learns from training images and from what an attack makes of them on this victim, and refuses an image
    that looks attacked. The detector of Metzen et al. (2017) looks at the classifier's features; this one looks at
    the image, as those of the Adversarial Robustness Toolbox (nicolae2018) and of the course report do. A quarter
    of the images is kept from training. Their clean copies set the threshold, so they cannot tell how many other
    clean images are refused; their attacked copies tell how many attacked images are found. No test image is used.

    Parameters
    ----------
    attack : str or list of str
        The attack to learn from; of several eps the largest. Of several attacks, each attacks an equal share of the
        images. For use without a configuration: a registered attack, or a mapping of `method` and its parameters.
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
    shown = examples(victim, images, labels, attack, sample, seed, batch_size)
    torch.manual_seed(derive_seed(seed, "weights"))
    detector = _detector(architecture, images.shape[1:]).to(device_of(victim, images))
    detector.mean.copy_(shown.clean.mean(dim=(0, 2, 3)))
    detector.std.copy_(shown.clean.std(dim=(0, 2, 3)).clamp_min(1e-3))
    refit(detector, *shown.lessons, seed=seed, epochs=epochs, learning_rate=learning_rate)
    threshold, facts = shown.threshold(detector, false_positive_rate, batch_size)
    classes = classify(victim, shown.clean[:1], 1).shape[1]
    return Defended(Rejecting(detector, victim, threshold, classes), facts)


def restore(victim: nn.Module, facts: Mapping[str, Any]) -> nn.Module:
    detector = _detector(facts["parameters"]["architecture"], facts["shape"])
    return Rejecting(detector, victim, torch.zeros(()), facts["classes"])


def _detector(architecture: str, shape: Sequence[int]) -> Classifier:
    return Classifier(registry.method("architectures", architecture).load()(shape, 2), channels=shape[0])
