from __future__ import annotations

from typing import Annotated, Literal

import torch
from torch import Tensor
from torch.nn.functional import cross_entropy

from rivalry.architectures._classifier import Classifier
from rivalry.attacks._attack import attack
from rivalry.attacks._goals import Goal
from rivalry.attacks._oracles import Decisions, Gradients, Ledger
from rivalry.attacks.fgsm import fgsm
from rivalry.attacks.mi_fgsm import mi_fgsm
from rivalry.devices import moved
from rivalry.randomness import Random
from rivalry.types import Count, Doublings, Epochs, LearningRate, MethodOf, NonNegative, Share
from rivalry.victims import build_classifier


def fit(
    victim: Decisions,
    images: Tensor,
    goal: Goal,
    random: Random,
    *,
    eps: float,
    crafting: str,
    architecture: str,
    training_images: int,
    rounds: int,
    augmentation_step: float,
    epochs: int,
    learning_rate: float,
) -> dict[str, Tensor]:
    """The copy's weights, and as `classes` how many it tells apart."""
    points, labels = images, victim.decisions(images)
    seeds = torch.arange(len(images))
    # The attacker knows how many classes there are: its images need not be of all, and new points meet others.
    classes = victim.classes
    generator = random.shared()
    with torch.random.fork_rng(devices=[images.device] if images.is_cuda else []):
        torch.manual_seed(generator.initial_seed())
        copy = _untrained(architecture, images, classes)
        copy.mean.copy_(images.mean(dim=(0, 2, 3)))
        copy.std.copy_(images.std(dim=(0, 2, 3)).clamp_min(1e-3))
        optimizer = torch.optim.Adam(copy.parameters(), lr=learning_rate)
        for augmentation in range(rounds + 1):
            copy.train()
            for _ in range(epochs):
                for some in torch.randperm(len(points), generator=generator).to(points.device).split(64):
                    optimizer.zero_grad()
                    cross_entropy(copy(points[some]), labels[some]).backward()
                    optimizer.step()
            copy.eval()
            if augmentation == rounds:
                break
            # New points lie where the copy's opinion of the victim's answer changes fastest: towards other classes
            # and away from them, in turns.
            _, _, gradient = _oracle(copy, points, victim.batch).loss_gradient(points, Goal(labels))
            step = augmentation_step * (-1) ** augmentation
            added = (points - step * gradient.sign()).clamp(0, 1)
            labels = torch.cat([labels, victim.on(seeds).decisions(added)])
            points, seeds = torch.cat([points, added]), seeds.repeat(2)
    return {"classes": torch.tensor(classes), **copy.state_dict()}


def _untrained(architecture: str, images: Tensor, classes: int) -> Classifier:
    shape = images.shape[1:]
    facts = {"architecture": architecture, "architecture_parameters": {}, "shape": shape, "classes": classes}
    return moved(build_classifier(facts), images.device, grey_gradients=shape[0] == 1)


def _oracle(copy: Classifier, images: Tensor, batch: int) -> Gradients:
    """The white box that the copy is; what it is asked counts nowhere, for the victim is not asked."""
    return Gradients(copy, Ledger(len(images)), torch.arange(len(images)), batch)


@attack(
    sees="decisions",
    goals=["untargeted", "targeted"],
    norms=["inf"],
    budget="fixed",
    source="papernot2017",
    fitted=True,
)
def substitute(
    victim: Decisions,
    images: Tensor,
    goal: Goal,
    random: Random,
    fitted: dict[str, Tensor],
    *,
    eps: NonNegative = 0.3,
    crafting: Literal["fgsm", "mi_fgsm"] = "mi_fgsm",
    architecture: Annotated[
        Literal["lenet5", "mlp512", "cnn_mnist", "cnn_cifar"], MethodOf("architectures")
    ] = "lenet5",
    training_images: Count = 150,
    rounds: Doublings = 4,
    augmentation_step: Share = 0.2,
    epochs: Epochs = 10,
    learning_rate: LearningRate = 0.001,
) -> Tensor:
    """Substitute: train a copy on the victim's decisions, then attack the copy with its gradients.

    The copy learns what the victim calls a few seed images and, each round, one new point beside every point so
    far (Jacobian-based augmentation). What fools the copy is returned untested: applying it asks the victim
    nothing. Queries of the training are counted apart; gradients are the copy's and are not counted.

    Parameters
    ----------
    eps : float
        Linf budget in units of the [0,1] pixel range.
    crafting : str
        The attack on the copy. It does not stop once the copy is fooled, because the victim may need a larger change.
    architecture : str
        Network of the copy; the victim's is not known.
    training_images : int
        Seed images.
    rounds : int
        Augmentations, each of which doubles the points: training_images * 2^rounds queries in all.
    augmentation_step : float
        Linf distance of a new point from the point it is made of; forward and back in turns, as in the paper's variant.
    epochs : int
        Passes over the points after each augmentation.
    learning_rate : float
        Learning rate of Adam.
    """
    weights = dict(fitted)
    with torch.random.fork_rng(devices=[]):  # an untrained network draws weights, and the caller's numbers with them
        copy = _untrained(architecture, images, int(weights.pop("classes")))
    copy.load_state_dict(weights)
    oracle = _oracle(copy.eval().requires_grad_(False), images, victim.batch)
    attack = fgsm.function if crafting == "fgsm" else mi_fgsm.function
    return attack(oracle, images, goal, random, eps=eps)
