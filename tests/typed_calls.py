"""What type checkers and editors make of calls, right and wrong; `make check` reads this file, and nothing runs it.

A wrong call is one that both checkers must find: an ignore that ignores nothing is an error.
"""

from __future__ import annotations

from typing import assert_type

from torch import Tensor, nn

import rivalry
import rivalry.architectures
import rivalry.attacks
import rivalry.data
import rivalry.defenses
import rivalry.fooling
import rivalry.poisoning
import rivalry.training
from rivalry.attacks._result import Result


def right(images: Tensor, labels: Tensor) -> None:
    victim = assert_type(rivalry.load_victim("results/victims/digits/plain"), nn.Module)
    assert_type(rivalry.load_victim("my_model.py:build", weights="w.pth", normalize={"mean": [0.5]}), nn.Module)
    assert_type(rivalry.attacks.pgd(victim, images, labels, eps=0.1, norm=2, steps=10, targets="next"), Tensor)
    assert_type(rivalry.attacks.cw.run(victim, images, [1, 2], seed=3, batch_size=8), Result)
    assert_type(rivalry.attacks.universal(victim, images, labels, training=(images, labels), passes=3), Tensor)
    assert_type(rivalry.attacks.autoattack(victim, images, labels, eps=0.1).parts["square"], Result)
    assert_type(rivalry.data.load_split("results/data/digits", "test").floats(), Tensor)
    smoothed = rivalry.defenses.spatial_smoothing(victim, images, labels, 0, 64, window=5)
    assert_type(smoothed.module, nn.Module)
    assert_type(rivalry.poisoning.backdoor(images, labels, 0, target=1).images, Tensor)
    assert_type(rivalry.training.plain(images, labels, temperature=2.0).targets, Tensor)
    assert_type(rivalry.fooling.fool("gradient_ascent", victim, (1, 8, 8), 10).images, Tensor)
    assert_type(rivalry.architectures.lenet5((1, 28, 28), 10), nn.Module)


def wrong(victim: nn.Module, images: Tensor, labels: Tensor) -> None:
    rivalry.attacks.pgd(victim, images, labels, epz=0.1)  # type: ignore[call-arg]
    rivalry.attacks.pgd(victim, images, labels, norm=1)  # type: ignore[arg-type]
    rivalry.attacks.pgd(victim, images, labels, 0.1)  # type: ignore[arg-type]
    rivalry.attacks.pgd.run(victim, images, labels, eps="0.1")  # type: ignore[arg-type]
    rivalry.attacks.backdoor_trigger(victim, images, labels)  # type: ignore[call-arg]
    rivalry.attacks.pdg(victim, images, labels)  # type: ignore[attr-defined]
    rivalry.architectures.lenet5((1, 28, 28))  # type: ignore[call-arg]
    rivalry.defenses.spatial_smoothing(victim, images, labels, 0, 64, window=4)  # type: ignore[arg-type]
