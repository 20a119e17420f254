"""Facts about attacks that make one thing from training images and use it on every image."""

from __future__ import annotations

import math

import pytest
import torch
import yaml
from torch import nn

import rivalry.attacks
from helpers import distances, linear_problem
from rivalry.attacks._attack import Result
from rivalry.attacks.adversarial_patch import place
from rivalry.config import load_config
from rivalry.norms import length
from rivalry.plan import Plan
from rivalry.victims import build_classifier

Problem = tuple[nn.Module, torch.Tensor, torch.Tensor, tuple[torch.Tensor, torch.Tensor]]


def one_sided_problem() -> Problem:
    """Two linear classes, every image on the same side; the last entry is the training half."""
    victim, images, labels = linear_problem(classes=2, n=240)
    images, labels = images[labels == 0], labels[labels == 0]
    half = len(images) // 2
    return victim, images[half:], labels[half:], (images[:half], labels[:half])


# ---- universal ----


@pytest.mark.parametrize("norm", ["inf", 2])
def test_one_perturbation_is_added_to_every_image(norm: str | int) -> None:
    victim, images, labels, training = one_sided_problem()
    eps = float(distances(victim, images, labels, norm).median())
    result = rivalry.attacks.universal.run(victim, images, labels, training=training, norm=norm, eps=eps)
    (change,) = result.fitted.tensors["perturbation"]
    torch.testing.assert_close(result.images - images, change.expand_as(images), rtol=0, atol=1e-6)
    torch.testing.assert_close(length(change[None], norm), torch.tensor([eps]))
    assert (result.queries == 1).all()  # nothing but whether there is something to attack
    assert (result.gradients == 0).all()


@pytest.mark.parametrize("norm", ["inf", 2])
def test_it_fools_as_many_unseen_images_as_one_perturbation_can(norm: str | int) -> None:
    """From one side of a hyperplane, the best for all images is the full budget along its normal."""
    victim, images, labels, training = one_sided_problem()
    exact = distances(victim, images, labels, norm)
    eps = float(exact.quantile(0.7))
    result = rivalry.attacks.universal.run(
        victim, images, labels, training=training, norm=norm, eps=eps, fooling_rate=1.0
    )
    assert float(result.success.double().mean()) == pytest.approx(float((exact < eps).double().mean()), abs=0.03)


def test_it_stops_when_enough_is_fooled() -> None:
    victim, images, labels, training = one_sided_problem()
    queries = [
        rivalry.attacks.universal.run(
            victim, images[:1], labels[:1], training=training, norm=2, eps=0.01, fooling_rate=rate
        ).fitted.queries
        for rate in (0.1, 1.0)
    ]
    assert queries[0] < queries[1]


def test_what_fitting_costs_is_counted() -> None:
    """Without a budget every image stays to be fooled, and DeepFool takes one step on a linear victim."""
    victim, images, labels, training = one_sided_problem()
    result = rivalry.attacks.universal.run(victim, images, labels, training=training, eps=0.0, passes=3)
    n = len(training[0])
    assert result.fitted.images == n
    assert result.fitted.queries == n + 3 * n * (1 + 2 + 4)
    assert result.fitted.gradients == 3 * n * 2 * 1
    assert not result.success.any()


def test_training_images_that_the_victim_gets_wrong_teach_nothing() -> None:
    victim, images, labels, (others, truth) = one_sided_problem()
    result = rivalry.attacks.universal.run(victim, images, labels, training=(others, 1 - truth), norm=2, eps=0.05)
    assert result.fitted.queries == len(others)
    assert torch.equal(result.images, images)


# ---- adversarial_patch ----


class Spotlight(nn.Module):
    """Class 1 where some 3x3 pixels are bright, class 2 where the upper half of the image is brighter yet."""

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        spot = nn.functional.avg_pool2d(images, 3, 1).flatten(1).amax(dim=1)
        return torch.stack([torch.full_like(spot, 0.8), spot, images[:, :, :10].mean(dim=(1, 2, 3))], dim=1) * 10


def dark_images(n: int, seed: int) -> tuple[torch.Tensor, torch.Tensor]:
    images = 0.3 * torch.rand(n, 1, 20, 20, generator=torch.Generator().manual_seed(seed))
    return images, torch.zeros(n, dtype=torch.int64)


@pytest.mark.parametrize("target", [None, 1])
def test_a_patch_learns_what_the_victim_is_sensitive_to(target: int | None) -> None:
    images, labels = dark_images(40, seed=1)
    targets = None if target is None else torch.full_like(labels, target)
    options = {"targets": targets, "training": dark_images(40, seed=2), "size": 0.35}
    result = rivalry.attacks.adversarial_patch.run(Spotlight(), images, labels, **options)
    assert result.success.all()
    assert (result.predictions == 1).all()
    assert (result.queries == 1).all()
    unlearned = rivalry.attacks.adversarial_patch.run(
        Spotlight(), images, labels, **options, passes=1, learning_rate=1e-6
    )
    assert not unlearned.success.any()


def test_a_patch_changes_a_disc_at_a_place_of_each_images_own() -> None:
    images, labels = dark_images(40, seed=1)
    adversarial = rivalry.attacks.adversarial_patch(
        Spotlight(), images, labels, training=dark_images(10, seed=2), size=0.35, passes=1
    )
    changed = (adversarial != images)[:, 0]
    radius = 0.35 * 20 / 2
    assert length(adversarial - images, 0).max() <= math.pi * (radius + 0.5) ** 2
    centres = []
    for image in changed:
        pixels = image.nonzero().double() + 0.5
        assert (pixels.amax(dim=0) - pixels.amin(dim=0)).max() <= 2 * radius
        centres.append((pixels.amax(dim=0) + pixels.amin(dim=0)) / 2)
    centre = torch.stack(centres)
    assert centre.min() < 5
    assert centre.max() > 15
    assert centre.min() >= radius - 0.5
    assert centre.max() <= 20 - radius + 0.5


def test_a_patch_is_placed_and_turned_as_drawn() -> None:
    generator = torch.Generator().manual_seed(0)
    patch = torch.rand(1, 3, 4, 4, generator=generator) / 2 + 0.5
    disc = torch.tensor([[0, 1, 1, 0], [1, 1, 1, 1], [1, 1, 1, 1], [0, 1, 1, 0]]).bool()
    draws = torch.tensor([[0.0, 0.0, 0.0], [-1.0, 1.0, 0.0], [0.0, 0.0, 1.0]])
    middle, corner, turned = place(patch, torch.zeros(3, 3, 10, 12), draws, size=0.4, max_rotation=90.0)
    torch.testing.assert_close(middle[:, 3:7, 4:8], patch[0] * disc)
    torch.testing.assert_close(corner[:, :4, 8:], patch[0] * disc)
    torch.testing.assert_close(turned[:, 3:7, 4:8], patch[0].rot90(dims=(2, 1)) * disc)
    for image in (middle, corner, turned):
        assert (image != 0).sum() == 3 * disc.sum()


# ---- substitute ----


def halves(n: int = 200, classes: int = 3) -> Problem:
    victim, images, labels = linear_problem(classes=classes, n=n)
    return victim, images[n // 2 :], labels[n // 2 :], (images[: n // 2], labels[: n // 2])


SUBSTITUTE = {"architecture": "mlp512", "rounds": 4, "augmentation_step": 0.01}


def agreement(victim: nn.Module, result: Result, images: torch.Tensor) -> float:
    """How often the copy that an attack trained says what the victim says."""
    weights = dict(result.fitted.tensors)
    shape, classes = images.shape[1:], int(weights.pop("classes"))
    facts = {"architecture": "mlp512", "architecture_parameters": {}, "shape": shape, "classes": classes}
    copy = build_classifier(facts)
    copy.load_state_dict(weights)
    return (copy(images).argmax(dim=1) == victim(images).argmax(dim=1)).double().mean().item()


@pytest.mark.parametrize("crafting", ["fgsm", "mi_fgsm"])
def test_what_fools_a_copy_of_the_decisions_fools_the_victim(crafting: str) -> None:
    victim, images, labels, training = halves()
    eps = 3 * float(distances(victim, images, labels, "inf").median())
    result = rivalry.attacks.substitute.run(
        victim, images, labels, training=training, eps=eps, crafting=crafting, **SUBSTITUTE
    )
    noise = rivalry.attacks.random_noise.run(victim, images, labels, eps=eps)
    assert agreement(victim, result, images) > 0.85
    assert result.success.sum() > 4 * noise.success.sum()
    assert (result.queries == 1).all()
    assert (result.gradients == 0).all()


def test_the_copy_costs_one_query_a_point_and_no_gradient() -> None:
    victim, images, labels, training = halves(40)
    fitted = rivalry.attacks.substitute.run(victim, images, labels, training=training, **SUBSTITUTE).fitted
    assert fitted.queries == 20 * 2**4
    assert fitted.gradients == 0


def test_augmentation_makes_the_copy_more_alike() -> None:
    victim, images, labels, training = halves()
    few = (training[0][:30], training[1][:30])
    alike = [
        agreement(
            victim,
            rivalry.attacks.substitute.run(victim, images, labels, training=few, **SUBSTITUTE | {"rounds": rounds}),
            images,
        )
        for rounds in (0, 4)
    ]
    assert alike[1] > alike[0] + 0.05


def test_the_copy_learns_from_decisions_and_not_from_labels() -> None:
    victim, images, labels, (others, truth) = halves()
    result = rivalry.attacks.substitute.run(victim, images, labels, training=(others, (truth + 1) % 3), **SUBSTITUTE)
    assert agreement(victim, result, images) > 0.85


def test_training_the_copy_leaves_the_callers_random_numbers_alone() -> None:
    victim, images, labels, training = halves(40)
    results = []
    for seed in (1, 2):
        torch.manual_seed(seed)
        results.append(rivalry.attacks.substitute(victim, images, labels, training=training, **SUBSTITUTE))
        after = torch.rand(1)
        torch.manual_seed(seed)
        assert torch.equal(after, torch.rand(1))
    assert torch.equal(*results)


def test_a_target_that_no_training_image_shows_is_a_class_all_the_same() -> None:
    victim, images, labels, (others, _) = halves()
    victim.bias.data[2] -= 100
    labels = victim(images).argmax(dim=1)
    result = rivalry.attacks.substitute.run(
        victim,
        images,
        labels,
        targets=torch.full_like(labels, 2),
        training=(others, victim(others).argmax(dim=1)),
        **SUBSTITUTE,
    )
    assert result.fitted.tensors["classes"] == 3


def test_a_copys_architecture_is_part_of_its_jobs_code() -> None:
    codes = set()
    for architecture in ("lenet5", "mlp512"):
        config = {
            "datasets": {"digits": {"source": "digits"}},
            "victims": {"plain": {"architecture": "cnn_mnist", "method": "plain"}},
            "attacks": {"copied": {"method": "substitute", "architecture": architecture}},
            "matches": [{"datasets": ["digits"], "victims": ["plain"], "attacks": ["copied"]}],
        }
        codes.add(Plan(load_config(yaml.safe_load(yaml.safe_dump(config)))).code("attack", "digits", "plain", "copied"))
    assert len(codes) == 2


def test_one_thing_for_all_images_has_one_target() -> None:
    victim, images, labels = linear_problem()
    with pytest.raises(ValueError, match="same target"):
        rivalry.attacks.adversarial_patch(victim, images, labels, targets=labels, training=(images, labels))
