"""One wrapper per library: from a task and a call to adversarial images.

Each is used as its documentation says, on the same frozen victim in evaluation mode. Libraries are imported where they
are used, so that each lives in a process of its own.
"""

from __future__ import annotations

import inspect
import sys
import types
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from typing import Any

import torch
from contests import Call
from torch import Tensor, nn

from rivalry._torchvision import ensure


@dataclass(frozen=True)
class Task:
    """What every library is handed.

    Attributes
    ----------
    victim : nn.Module
        Maps float32 images (N,C,H,W) in [0,1] to logits (N,K).
    images, labels : Tensor
        float32 (N,C,H,W) and int64 (N,), all classified correctly.
    targets : Tensor or None
        int64 (N,), for a targeted contest.
    training : tuple of Tensor
        Other images and their labels, for attacks that are fitted.
    eps : float or None
        The contest's budget.
    batch : int
        How many images to attack at once.
    """

    victim: nn.Module
    images: Tensor
    labels: Tensor
    targets: Tensor | None
    training: tuple[Tensor, Tensor]
    eps: float | None
    batch: int

    @property
    def goals(self) -> Tensor:
        """What libraries call labels: the targets of a targeted attack."""
        return self.labels if self.targets is None else self.targets

    def in_batches(self, attack: Callable[[Tensor, Tensor], Tensor]) -> Tensor:
        """For libraries that leave batches to their users."""
        parts = zip(self.images.split(self.batch), self.goals.split(self.batch), strict=True)
        return torch.cat([attack(images.clone(), goals) for images, goals in parts])


def rivalry(task: Task, call: Call) -> Tensor:
    from rivalry import attacks, registry

    options = dict(call.parameters)
    if registry.method("attacks", call.attack).traits.get("fitted"):
        options |= {"training": task.training, "training_images": len(task.training[0])}
    attack = getattr(attacks, call.attack)
    return attack(task.victim, task.images, task.labels, targets=task.targets, batch_size=task.batch, **options)


def art(task: Task, call: Call) -> Tensor:
    from art.attacks import evasion

    estimator = _art_classifier(task.victim, tuple(task.images.shape[1:]))
    kind = getattr(evasion, call.attack)
    known = inspect.signature(kind).parameters
    options = {"batch_size": task.batch, "verbose": False, "targeted": task.targets is not None}
    attack = kind(estimator, **call.parameters, **{name: value for name, value in options.items() if name in known})
    if call.attack == "UniversalPerturbation":
        images, labels = task.training
        attack.generate(images.numpy(), labels.numpy())
        return (task.images + torch.from_numpy(attack.noise)).clamp(0, 1)
    return torch.from_numpy(attack.generate(task.images.numpy(), task.goals.numpy()))


@cache
def _art_classifier(victim: nn.Module, shape: tuple[int, ...]) -> Any:
    return art_classifier(victim, shape)


def art_classifier(victim: nn.Module, shape: tuple[int, ...], preprocessors: list[Any] | None = None) -> Any:
    """The victim as the Toolbox wants it, behind its own preprocessors if any are given."""
    from art.estimators.classification import PyTorchClassifier

    classes = victim(torch.zeros(1, *shape)).shape[1]
    model = nn.Sequential(_Float(), victim)
    return PyTorchClassifier(
        model, nn.CrossEntropyLoss(), shape, classes,
        clip_values=(0, 1), device_type="cpu", preprocessing_defences=preprocessors,
    )  # fmt: skip


class _Float(nn.Module):
    """Some of its attacks make doubles of images under NumPy 2, which a victim would refuse."""

    def forward(self, images: Tensor) -> Tensor:
        return images.float()


def foolbox(task: Task, call: Call) -> Tensor:
    import foolbox

    model = foolbox.PyTorchModel(task.victim, bounds=(0, 1), device="cpu")
    attack = getattr(foolbox.attacks, call.attack)(**call.parameters)
    wanted = foolbox.criteria.Misclassification if task.targets is None else foolbox.criteria.TargetedMisclassification
    return task.in_batches(lambda images, goals: attack(model, images, wanted(goals), epsilons=task.eps)[1])


def torchattacks(task: Task, call: Call) -> Tensor:
    import torchattacks

    attack = getattr(torchattacks, call.attack)(task.victim, **call.parameters)
    if task.targets is not None:
        attack.set_mode_targeted_by_label(quiet=True)
    return task.in_batches(attack)


def adv_lib(task: Task, call: Call) -> Tensor:
    # It imports torchvision for perceptual distances and visdom for plots, neither of which takes part here.
    ensure()
    sys.modules.setdefault("visdom", types.ModuleType("visdom"))
    from adv_lib import attacks

    attack = getattr(attacks, call.attack)
    targeted = task.targets is not None
    return task.in_batches(
        lambda images, goals: attack(task.victim, images, goals, targeted=targeted, **call.parameters)
    )


LIBRARIES: dict[str, tuple[str | None, Callable[[Task, Call], Tensor]]] = {
    "rivalry": (None, rivalry),
    "art": ("adversarial-robustness-toolbox", art),
    "foolbox": ("foolbox", foolbox),
    "torchattacks": ("torchattacks", torchattacks),
    "adv-lib": ("adv-lib", adv_lib),
}
"""By the name the tables use: the distribution, except for our own, and the wrapper."""
