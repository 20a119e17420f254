"""Facts about the losses: their slopes are exact however sure a victim, or its detector, is."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor, nn

import rivalry.attacks
from rivalry.attacks._goals import Goal
from rivalry.attacks._penalised import objective
from rivalry.fooling._elites import log_odds

MARGINS = [(0.0, torch.float32), (17.0, torch.float32), (50.0, torch.float32), (200.0, torch.float64)]
"""By how much a class leads, and a precision in which the exact slope, about e^-margin, is no 0."""


def slopes(loss: object, logits: list[float], dtype: torch.dtype) -> Tensor:
    leaf = torch.tensor([logits], dtype=dtype, requires_grad=True)
    (slope,) = torch.autograd.grad(loss(leaf).sum(), leaf)
    return slope[0]


@pytest.mark.parametrize(("margin", "dtype"), MARGINS)
def test_the_refusal_has_its_slope_however_sure_the_detector_is(margin: float, dtype: torch.dtype) -> None:
    """-log(p(label) + p(refusal)) by the refusal's logit: -p(refusal) p(others) / (p(label) + p(refusal))."""
    label, other, third, refusal = 0.5, 0.0, -1.0, margin
    goal = Goal(torch.tensor([0]), reject=3)
    slope = slopes(goal.loss, [label, other, third, refusal], dtype)
    held, wanted = math.exp(label) + math.exp(refusal), math.exp(other) + math.exp(third)
    total = held + wanted
    exact = [-wanted / total * math.exp(label) / held, math.exp(other) / total, math.exp(third) / total]
    exact.append(-wanted / total * math.exp(refusal) / held)
    torch.testing.assert_close(slope, torch.tensor(exact, dtype=dtype), rtol=1e-4, atol=0)


@pytest.mark.parametrize(("margin", "dtype"), MARGINS)
@pytest.mark.parametrize("targeted", [False, True])
def test_a_sure_class_has_its_slope(margin: float, dtype: torch.dtype, targeted: bool) -> None:
    """-log p(label) by the label's logit is p(label) - 1, the others' share; log p(target) the same, turned round."""
    goal = Goal(torch.tensor([1 if targeted else 0]), torch.tensor([0]) if targeted else None)
    slope = slopes(goal.loss, [margin, 0.0, -1.0], dtype)
    total = math.exp(margin) + 1 + math.exp(-1)
    exact = torch.tensor([-(1 + math.exp(-1)) / total, 1 / total, math.exp(-1) / total], dtype=dtype)
    torch.testing.assert_close(slope, -exact if targeted else exact, rtol=1e-4, atol=0)


@pytest.mark.parametrize(("margin", "dtype"), MARGINS)
@pytest.mark.parametrize("name", ["f1", "f2", "f3", "f4", "f5"])
def test_objectives_of_probabilities_have_their_slopes(name: str, margin: float, dtype: torch.dtype) -> None:
    """Two classes: F(label) = 1 - p and F(other) = p, whose slope by the other's logit less the label's is p (1 - p).

    Only that difference of logits matters, so the label's slope is the other's, turned round.
    """
    slope = slopes(lambda logits: objective(name, 0.0)(Goal(torch.tensor([0])), logits), [margin + 0.5, 0.0], dtype)
    p = 1 / (1 + math.exp(margin + 0.5))
    by_p = {"f1": -1 / (p * math.log(2)), "f2": -2, "f3": -2 / (1 + math.exp(2 * p - 1)), "f4": -1, "f5": -1 / p}[name]
    exact = torch.tensor([-by_p * p * (1 - p), by_p * p * (1 - p)], dtype=dtype)
    torch.testing.assert_close(slope, exact, rtol=1e-4, atol=0)


class Suspicious(nn.Module):
    """The first two pixels decide between classes 0 and 1; a third that is brighter than grey, refusal."""

    reject_class = 2

    def forward(self, images: Tensor) -> Tensor:
        first, second, third = images.flatten(1)[:, :3].unbind(dim=1)
        return torch.stack([0.5 + 0 * first, 40 * (first - second), 400 * (third - 0.5)], dim=1)


@pytest.mark.parametrize("name", ["pgd", "apgd_ce"])
def test_an_ascent_leaves_the_detectors_region_from_deep_inside(name: str) -> None:
    """Every second random start is refused by a lead of 20 or more; the gradient leads out of there."""
    images = 0.48 + 0.02 * torch.rand(40, 1, 2, 2, generator=torch.Generator().manual_seed(0))
    images[:, 0, 0, 1] = images[:, 0, 0, 0]
    options = {"step_size": 0.05} if name == "pgd" else {}
    attack = getattr(rivalry.attacks, name)
    result = attack.run(Suspicious(), images, torch.zeros(40, dtype=torch.int64), eps=0.2, steps=10, **options)
    assert result.attacked.all()
    assert result.success.all()


def test_odds_order_what_the_logarithm_of_the_probability_cannot() -> None:
    logits = torch.tensor([[20.0, 0.0, 1.0], [30.0, 0.0, 1.0], [100.0, 0.0, 1.0], [-30.0, 0.0, 1.0]])
    first = logits[:, 0].double()
    others = logits[:, 1:].double().logsumexp(dim=1)
    torch.testing.assert_close(log_odds(logits)[:, 0], (first - others).float())
    p = logits.double().softmax(dim=1)
    torch.testing.assert_close(log_odds(logits)[:, 1:], (p.log() - (1 - p).log())[:, 1:].float())
