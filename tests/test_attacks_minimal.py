"""Facts about attacks that minimise a penalised distance: exact on linear victims, in every norm and objective."""

from __future__ import annotations

import pytest
import torch

import rivalry.attacks
from helpers import Linear, distances, linear_problem, small_cnn
from rivalry.attacks._goals import Goal
from rivalry.attacks._penalised import margin, objective
from rivalry.norms import length

OBJECTIVES = [f"f{number}" for number in range(1, 8)]


@pytest.mark.parametrize("classes", [2, 5])
@pytest.mark.parametrize(
    ("name", "norm", "options"),
    [
        ("cw", 2, {"search_steps": 20}),
        ("cw", "inf", {"search_steps": 30, "steps": 200}),
        ("lbfgs", 2, {"search_steps": 25, "steps": 60}),
    ],
)
def test_within_a_percent_of_the_distance_to_the_boundary(
    name: str, norm: str | int, options: dict[str, int], classes: int
) -> None:
    """Of several classes the one that leads the others need not be the nearest: that may cost an image more."""
    victim, images, labels = linear_problem(classes=classes)
    given = options if name == "lbfgs" else {"norm": norm, **options}
    exact = distances(victim, images, labels, norm)
    far = exact > 0.05 * exact.median()  # the others lie on the boundary to rounding
    images, labels, exact = images[far], labels[far], exact[far]
    result = getattr(rivalry.attacks, name).run(victim, images, labels, **given)
    assert result.success.all()
    spent = length(result.images - images, norm)
    assert (spent > 0.999 * exact - 2e-6).all()
    assert (spent < 1.01 * exact).sum() >= len(images) - (classes > 2)


def fewest_pixels(victim: Linear, images: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
    """The exact L0 distance: pixels of largest gain first, each moved to the edge of [0,1] that helps."""
    fewest = torch.full((len(images),), 10_000)
    logits = victim(images).detach()
    for k in range(logits.shape[1]):
        normal = victim.weight[k].detach() - victim.weight[labels].detach()
        pixels = images.flatten(1)
        gain = torch.where(normal > 0, normal * (1 - pixels), -normal * pixels).sort(dim=1, descending=True).values
        gap = logits.gather(1, labels[:, None]).squeeze(1) - logits[:, k]
        needed = 1 + (gain.cumsum(dim=1) <= gap[:, None]).sum(dim=1)
        fewest = torch.where(labels == k, fewest, torch.minimum(fewest, needed))
    return fewest


def test_cw_finds_the_fewest_pixels() -> None:
    victim, images, labels = linear_problem(n=20)
    victim.bias.data[0] += 3.0  # so that one pixel does not do for all
    labels = victim(images).argmax(dim=1)
    exact = fewest_pixels(victim, images, labels)
    assert exact.max() > 1
    result = rivalry.attacks.cw.run(victim, images, labels, norm=0)
    assert result.success.all()
    spent = length(result.images - images, 0)
    assert (spent >= exact).all()
    assert (spent - exact).max() <= 1


@pytest.mark.parametrize("name", OBJECTIVES)
@pytest.mark.parametrize("targeted", [False, True])
def test_every_objective_reaches_the_goal_with_a_small_change(name: str, targeted: bool) -> None:
    victim, images, labels = linear_problem()
    targets = (labels + 1) % 5 if targeted else None
    result = rivalry.attacks.cw.run(victim, images, labels, targets=targets, objective=name)
    assert result.success.all()
    if targeted:
        assert torch.equal(result.predictions, targets)
    else:
        assert (length(result.images - images, 2) < 1.5 * distances(victim, images, labels, 2)).all()


@pytest.mark.parametrize("name", OBJECTIVES)
def test_objectives_are_positive_before_the_goal_and_not_behind_it(name: str) -> None:
    goal = Goal(torch.tensor([0, 0, 0]), torch.tensor([1, 1, 1]))
    logits = torch.tensor([[4.0, 1.0, -2.0], [1.0, 1.0, -40.0], [-3.0, 5.0, 1.0]])
    before, upon, behind = objective(name, 0.0)(goal, logits)
    assert before > 0
    assert abs(float(upon)) < 1e-6
    assert behind <= 0


def test_objectives_do_not_take_masked_classes_for_zero_logits() -> None:
    values = torch.tensor([[-5.0, -9.0, -7.0]])
    assert float(margin(values, torch.tensor([[False, True, False]]))) == 4.0


def test_confidence_is_the_lead_of_the_class_that_is_reached() -> None:
    victim, images, labels = linear_problem()
    result = rivalry.attacks.cw.run(victim, images, labels, confidence=0.5)
    logits = victim(result.images)
    true = logits.gather(1, labels[:, None]).squeeze(1)
    assert result.success.all()
    assert (logits.amax(dim=1) - true).min() >= 0.5 - 1e-4


def test_more_descents_never_lengthen_a_change() -> None:
    victim = small_cnn()
    images = torch.rand(12, 1, 8, 8, generator=torch.Generator().manual_seed(2))
    labels = victim(images).argmax(dim=1)
    few, many = (rivalry.attacks.cw.run(victim, images, labels, search_steps=steps) for steps in (3, 9))
    both = few.success
    assert both.any()
    assert (length(many.images - images, 2)[both] <= length(few.images - images, 2)[both]).all()


@pytest.mark.parametrize("norm", [2, "inf"])
def test_dynamic_deepfool_overshoots_as_far_as_its_schedule_says(norm: str | int) -> None:
    victim, images, labels = linear_problem()
    result = rivalry.attacks.dynamic_deepfool.run(victim, images, labels, norm=norm, first_overshoot=0.3)
    expected = 1.3 * distances(victim, images, labels, norm)
    torch.testing.assert_close(length(result.images - images, norm), expected, rtol=1e-3, atol=1e-6)
    assert (result.iterations == 2).all()
