"""Facts about attacks on a classifier and its detector together: both linear, so that what is possible is known."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy.optimize import linprog
from torch import Tensor, nn

import rivalry.attacks
from rivalry.defenses._defended import Rejecting
from rivalry.norms import length

SIDE = 4
EPS = 0.04
JOINT = ["pgd", "apgd_ce", "apgd_dlr", "selective_pgd", "orthogonal_pgd"]


class Linear(nn.Module):
    """Two logits: 0, and a linear function of the pixels' distance from grey."""

    def __init__(self, weight: Tensor, bias: float) -> None:
        super().__init__()
        self.weight, self.bias = nn.Parameter(weight), bias

    def forward(self, images: Tensor) -> Tensor:
        score = (images.flatten(1) - 0.5) @ self.weight + self.bias
        return torch.stack([0 * score, score], dim=1)


def linear_pair(alike: float) -> tuple[Rejecting, Tensor]:
    """A classifier behind a detector, and images of class 0 that it lets through.

    `alike` is the cosine of their weights: near 1, what misleads the classifier alarms the detector.
    """
    generator = torch.Generator().manual_seed(0)
    classes, other = (torch.randn(SIDE**2, generator=generator) for _ in range(2))
    other = other - (other @ classes) / (classes @ classes) * classes
    detects = alike * classes + (1 - alike**2) ** 0.5 * other / other.norm() * classes.norm()
    model = Rejecting(Linear(detects, 0.0), Linear(classes, 0.0), torch.tensor(0.3), classes=2).eval()
    images = 0.5 + 0.3 * (torch.rand(120, 1, SIDE, SIDE, generator=generator) - 0.5)
    with torch.no_grad():
        return model, images[model(images).argmax(dim=1) == 0]


def reachable(model: Rejecting, images: Tensor) -> np.ndarray:
    """By how much the smaller of both margins can be above 0 for a change of each image of at most EPS."""
    classes, detects = model.victim.weight.detach().numpy(), model.detector.weight.detach().numpy()
    found = []
    for image in images.flatten(1).numpy() - 0.5:
        above = [[*-classes, 1.0], [*detects, 1.0]]
        limits = [classes @ image, float(model.threshold) - detects @ image]
        bounds = [(-EPS, EPS)] * SIDE**2 + [(None, None)]
        found.append(-linprog([*[0.0] * SIDE**2, -1.0], A_ub=above, b_ub=limits, bounds=bounds).fun)
    return np.array(found)


@pytest.mark.parametrize("alike", [0.0, 0.8])
@pytest.mark.parametrize("name", JOINT)
def test_both_are_evaded_where_that_is_possible_and_nowhere_else(name: str, alike: float) -> None:
    model, images = linear_pair(alike)
    most = reachable(model, images)
    assert 0.2 < (most > 0).mean() < 0.95
    options = {"step_size": EPS / 20} if name == "pgd" else {}
    result = getattr(rivalry.attacks, name).run(model, images, torch.zeros(len(images)).long(), eps=EPS, **options)
    assert result.attacked.all()
    assert not result.success.numpy()[most < -1e-4].any()
    assert result.success.numpy()[most > 0.05].all()
    assert (length(result.images - images, "inf") <= EPS + 1e-6).all()


@pytest.mark.parametrize("norm", ["inf", 2])
@pytest.mark.parametrize("name", ["selective_pgd", "orthogonal_pgd"])
def test_without_a_detector_the_class_margin_alone_is_climbed(name: str, norm: str | int) -> None:
    model, images = linear_pair(0.0)
    victim, labels = model.victim, torch.zeros(len(images)).long()
    with torch.no_grad():
        slope = victim.weight.abs().sum() if norm == "inf" else victim.weight.norm()
        distance = -victim(images)[:, 1] / slope
    eps = float(distance.median())
    result = getattr(rivalry.attacks, name).run(victim, images, labels, norm=norm, eps=eps, steps=50)
    clear = (distance - eps).abs() > 0.02 * eps
    assert torch.equal(result.success[clear], (distance < eps)[clear])
    assert (result.gradients <= 50).all()
    assert (result.gradients == result.iterations).all()


def test_an_orthogonal_step_costs_two_backward_passes_and_a_selective_one_costs_one() -> None:
    model, images = linear_pair(0.8)
    labels = torch.zeros(len(images)).long()
    for name, passes in (("selective_pgd", 1), ("orthogonal_pgd", 2)):
        vain = getattr(rivalry.attacks, name).run(model, images, labels, eps=1e-6, steps=7, restarts=3)
        assert not vain.success.any()
        assert (vain.iterations == 21).all()
        assert (vain.gradients == 21 * passes).all()


@pytest.mark.parametrize("norm", ["inf", 2])
def test_a_step_that_would_be_refused_leaves_the_detectors_score_as_it_is(norm: str | int) -> None:
    """One step from an image that is hardly let through: the classifier's score rises as far as the other stays."""
    model, images = linear_pair(0.8)
    with torch.no_grad():
        odds = model.detector(images)[:, 1]
        image = images[odds.argmax()][None]
        model.threshold.copy_(odds.max() + 1e-5)
    stepped = rivalry.attacks.orthogonal_pgd(model, image, [0], norm=norm, eps=0.02, steps=1)
    with torch.no_grad():
        raised = float((model.victim(stepped) - model.victim(image))[0, 1])
        moved = float(model.detector(stepped)[0, 1] - odds.max())
    assert raised > 0.001
    assert abs(moved) < 0.02 * raised
