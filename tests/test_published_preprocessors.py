"""What is known of preprocessors, on real MNIST: gradients of their own steps make them look strong, and stand-ins show
that they are not (Athalye, Carlini and Wagner, 2018).

RIVALRY_DATA_MIRROR=... make test PYTEST='-m slow tests/test_published_preprocessors.py'
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any, NamedTuple

import pytest
import torch
from torch import Tensor, nn

from rivalry import attacks, registry
from rivalry.data._splits import Split, load_split
from rivalry.defenses._defended import own_gradients
from rivalry.stages.prepare import prepare
from rivalry.stages.train import train
from rivalry.victims import load_victim

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif("RIVALRY_DATA_MIRROR" not in os.environ, reason="RIVALRY_DATA_MIRROR names no folder of MNIST"),
]
EPS, IMAGES = 0.15, 60


class Bench(NamedTuple):
    """A victim, what it learned from, and the test images that it has right."""

    victim: nn.Module
    learned: Split
    images: Tensor
    labels: Tensor

    def behind(self, method: str, **own: Any) -> nn.Module:
        """The victim behind a preprocessor."""
        declared = registry.method("defenses", method)
        made = declared.load()(self.victim, *_pair(self.learned), 0, 64, **declared.defaults | own)
        return made.module.eval()

    def left(self, victim: nn.Module) -> float:
        """The share of the images that a classifier still has right after apgd."""
        result = attacks.apgd_ce.run(victim, self.images, self.labels, eps=EPS, steps=30, seed=0)
        with torch.no_grad():
            return float((victim(result.images).argmax(dim=1) == self.labels).float().mean())


def _pair(split: Split) -> tuple[Tensor, Tensor]:
    return split.images, split.labels


@pytest.fixture(scope="module")
def bench(tmp_path_factory: pytest.TempPathFactory) -> Bench:
    folder: Path = tmp_path_factory.mktemp("mnist")
    prepare("mnist", "mnist", {}, folder / "data", train_images=6000, mirror=os.environ["RIVALRY_DATA_MIRROR"])
    train("plain", "strided_cnn", {}, "plain", {}, {"epochs": 4}, folder / "data", folder / "victim", accelerator="cpu")
    victim = load_victim(folder / "victim").requires_grad_(False)
    test = load_split(folder / "data", "test")
    images, labels = test.floats(slice(0, 90)), test.labels[:90]
    right = (victim(images).argmax(dim=1) == labels).nonzero().squeeze(1)[:IMAGES]
    return Bench(victim, load_split(folder / "data", "train"), images[right], labels[right])


@pytest.mark.parametrize(
    ("method", "own"), [("jpeg", {"quality": 50}), ("soft_threshold", {}), ("bit_depth", {"bits": 4})]
)
def test_a_preprocessor_without_slope_withstands_its_own_gradients_only(
    bench: Bench, method: str, own: dict[str, Any]
) -> None:
    defended, plain = bench.behind(method, **own), bench.left(bench.victim)
    with own_gradients():
        assert bench.left(defended) > 0.85
    assert plain < 0.4
    assert bench.left(defended) < plain + 0.1


@pytest.mark.parametrize(("method", "own"), [("spatial_smoothing", {"kind": "median"}), ("low_pass", {})])
def test_a_preprocessor_that_has_slopes_gains_little(bench: Bench, method: str, own: dict[str, Any]) -> None:
    assert bench.left(bench.behind(method, **own)) < bench.left(bench.victim) + 0.1


def test_one_bit_is_as_strong_as_it_looks_since_few_pixels_are_grey(bench: Bench) -> None:
    """Of black and white pixels, no change of less than a half is left. That is no fault of the attack: a search over
    the bits that can be flipped at all, without gradients of a stand-in, finds no more."""
    free = (bench.images - 0.5).abs() < EPS
    assert free.flatten(1).sum(dim=1).float().mean() < 60
    found = _flipped(bench.victim, bench.images.round(), bench.labels, free)
    left = bench.left(bench.behind("bit_depth", bits=1))
    assert left > bench.left(bench.victim) + 0.3
    assert abs(left - float((~found).float().mean())) < 0.06


def _flipped(victim: nn.Module, bits: Tensor, labels: Tensor, free: Tensor) -> Tensor:
    """Which black and white images a greedy search over the bits that are free turns: the best of eight at a time."""
    fooled = torch.zeros(len(bits), dtype=torch.bool)
    rows = torch.arange(len(bits))
    for _ in range(30):
        here = bits.requires_grad_(True)
        margin = _margin(victim(here), labels)
        (slope,) = torch.autograd.grad(margin.sum(), here)
        bits = here.detach()
        fooled |= margin > 0
        gain = torch.where(free, slope * (1 - 2 * bits), -torch.inf).flatten(1)
        promising = gain.topk(8, dim=1).indices
        tried = bits.flatten(1)[:, None].repeat(1, 8, 1)
        tried.scatter_(2, promising[..., None], 1 - tried.gather(2, promising[..., None]))
        reached = _margin(victim(tried.view(-1, *bits.shape[1:])), labels.repeat_interleave(8)).view(-1, 8)
        reached = reached.masked_fill(~free.flatten(1).gather(1, promising), -torch.inf)
        most, best = reached.max(dim=1)
        better = (most > margin).view(-1, 1, 1, 1)
        bits = torch.where(better, tried[rows, best].view_as(bits), bits)
    return fooled


def _margin(logits: Tensor, labels: Tensor) -> Tensor:
    """How far another class is ahead of the labels' (N,)."""
    own = logits.gather(1, labels[:, None]).squeeze(1)
    return logits.scatter(1, labels[:, None], -torch.inf).amax(dim=1) - own
