"""Facts about generators: what they learn by, that they learn, and the point whose image is nearest."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from rivalry.artifacts import read_json, read_table
from rivalry.cli import main
from rivalry.config import Mistakes, load_config
from rivalry.generative.keys import GeneratorKeys
from rivalry.generative.latents import nearest
from rivalry.generative.wgan import (
    Critic,
    Generator,
    Pair,
    _loss,
    energy_distance,
    gradient_penalty,
    load_generator,
    train_generator,
)
from rivalry.plan import Plan
from rivalry.randomness import Random

SHAPE = (1, 9, 6)
SMALL = {"latent": 4, "width": 4, "batch_size": 20, "learning_rate": 0.003, "average": 0.9}
CONFIG: dict[str, Any] = {
    "datasets": {"digits": {"source": "digits", "train_images": 60}},
    "generators": {"gan": {"latent": 3, "width": 2, "epochs": 2}},
    "victims": {"plain": {"method": "scikit_learn", "architecture": "linear"}},
    "attacks": {"fgsm": {"method": "fgsm", "eps": 0.2}},
    "matches": [{"datasets": ["digits"], "victims": ["plain"], "attacks": ["fgsm"]}],
}


def halves(n: int = 100) -> Tensor:
    """Images whose left or whose right half is bright, uint8 (n,*SHAPE)."""
    images = torch.full((n, *SHAPE), 20, dtype=torch.uint8)
    images[::2, :, :, :3] = 220
    images[1::2, :, :, 3:] = 220
    return images


def small(seed: int = 0) -> Generator:
    torch.manual_seed(seed)
    return Generator(SHAPE, 4, 4).eval().requires_grad_(False)


@pytest.mark.parametrize("shape", [(1, 28, 28), (3, 32, 32), (2, 9, 6), (1, 4, 5)])
def test_images_have_the_shape_that_is_asked_for_and_lie_in_the_unit_interval(shape: tuple[int, ...]) -> None:
    generator, critic = Generator(shape, 5, 2), Critic(shape, 2)
    images = generator(generator.draw(3))
    assert images.shape == (3, *shape)
    assert images.min() >= 0
    assert images.max() <= 1
    assert critic(images).shape == (3,)


def test_latent_points_are_about_one_long() -> None:
    assert small().draw(500).square().sum(dim=1).mean().item() == pytest.approx(1, abs=0.1)


def test_the_penalty_of_a_linear_critic_is_that_of_its_slope() -> None:
    critic = nn.Sequential(nn.Flatten(), nn.Linear(54, 1))
    length = critic[1].weight.norm().item()
    found = gradient_penalty(critic, torch.rand(3, *SHAPE), torch.rand(3, *SHAPE))
    assert found.item() == pytest.approx((length - 1) ** 2, rel=1e-4)


def test_the_energy_distance_is_that_of_two_points_and_nothing_between_equals() -> None:
    black, grey = torch.zeros(4, *SHAPE), torch.full((4, *SHAPE), 0.25)
    assert energy_distance(black, grey).item() == pytest.approx(0.5)  # twice a length of .25 sqrt(54), over sqrt(54)
    assert energy_distance(black[:1], grey[:1]).item() == pytest.approx(0.5)
    torch.manual_seed(0)
    draws = torch.stack([energy_distance(torch.rand(20, *SHAPE), torch.rand(20, *SHAPE)) for _ in range(100)])
    assert draws.mean().abs() < 4 * draws.std() / 10  # unbiased
    blurred = torch.stack([energy_distance(torch.full((20, *SHAPE), 0.5), torch.rand(20, *SHAPE)) for _ in range(9)])
    assert blurred.min() > draws.max()  # a mean alone is no distribution


def test_the_generator_learns_in_every_fifth_step_and_never_moves_the_critic() -> None:
    torch.manual_seed(0)
    pair, images = Pair(Generator(SHAPE, 4, 2), Critic(SHAPE, 2)), torch.rand(6, *SHAPE)
    loss, moved, slopes = _loss(GeneratorKeys(penalty=1.0)), [], []
    for step in range(10):
        pair.zero_grad()
        pair.steps.fill_(step)
        torch.manual_seed(1)
        loss(pair, images, images).backward()
        moved.append(pair.generator.dense.weight.grad is not None)
        assert pair.critic.last.weight.grad is not None
        slopes.append(pair.critic.last.weight.grad.clone())
    assert moved == [False, False, False, False, True] * 2
    assert all(torch.equal(slope, slopes[0]) for slope in slopes)


def test_a_generator_learns_both_halves() -> None:
    made, outcome = train_generator(halves(), GeneratorKeys(**SMALL, epochs=60), None, seed=0, accelerator="cpu")
    distances = [row["validation_loss"] for row in outcome.history]
    assert distances[outcome.best_epoch - 1] == min(distances) < 0.25 * distances[0]
    torch.manual_seed(1)
    images = made(made.draw(200))
    brighter = (images[..., :3].mean(dim=(1, 2, 3)) - images[..., 3:].mean(dim=(1, 2, 3))).sign()
    assert 0.2 < (brighter > 0).float().mean() < 0.8


def test_a_training_that_was_broken_off_ends_as_if_it_had_not_been(tmp_path: Path) -> None:
    first, whole = GeneratorKeys(**SMALL, epochs=2), GeneratorKeys(**SMALL, epochs=4)
    expected, course = train_generator(halves(), whole, None, seed=0, accelerator="cpu")
    train_generator(halves(), first, tmp_path, seed=0, accelerator="cpu")
    found, again = train_generator(halves(), whole, tmp_path, seed=0, accelerator="cpu")
    assert again == course
    assert all(torch.equal(found.state_dict()[name], value) for name, value in expected.state_dict().items())


# ---- the nearest image ----


def test_an_image_that_the_generator_made_is_found_again() -> None:
    generator = small()
    images = generator(generator.draw(5))
    random = Random.for_images(images, 0)
    latents, errors = nearest(generator, images, random, steps=300, restarts=4, step_size=50.0)
    assert latents.shape == (5, 4)
    assert torch.allclose(errors, (generator(latents) - images).square().mean(dim=(1, 2, 3)))
    assert errors.max() < 1e-5 < images.var(dim=0).mean()


def test_more_restarts_and_more_steps_come_nearer() -> None:
    generator, images = small(), halves(6).float() / 255

    def left(steps: int, restarts: int) -> Tensor:
        random = Random.for_images(images, 0)
        return nearest(generator, images, random, steps=steps, restarts=restarts)[1]

    assert (left(20, 8) <= left(20, 1)).all()  # the first descent is among the eight
    assert left(100, 2).mean() < left(1, 2).mean()


def test_an_image_alone_finds_the_same_point_and_gets_no_gradient() -> None:
    generator, images = small(), halves(7).float() / 255
    images += torch.linspace(-0.05, 0.05, 7).view(-1, 1, 1, 1)
    together, _ = nearest(generator, images.requires_grad_(True), Random.for_images(images.detach(), 3), steps=20)
    assert not together.requires_grad
    alone, _ = nearest(generator, images[4:5], Random.for_images(images[4:5].detach(), 3), steps=20)
    assert torch.allclose(alone, together[4:5], atol=1e-4)


# ---- in a configuration ----


def test_a_generator_is_trained_stored_and_loaded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("rivalry.cli._limit_threads", lambda threads: None)
    plan = Plan(load_config(CONFIG, "config.yaml"))
    assert plan.unused() == ["generators.gan"]
    assert main(["prepare", *shlex.split(plan.prepare_options("digits"))]) == 0
    assert main(["generate", *shlex.split(plan.generate_options("digits", "gan"))]) == 0
    place = plan.layout.generator("digits", "gan")
    facts, curve = read_json(place.facts), read_table(place["curve"])
    assert facts["parameters"]["latent"] == 3
    assert facts["energy_distance"] == pytest.approx(curve["energy_distance"].min())
    assert len(curve) == 2
    generator = load_generator(place.folder)
    assert generator(generator.draw(2)).shape == (2, 1, 28, 28)
    assert not any(parameter.requires_grad for parameter in generator.parameters())
    assert [path.name for path in place.folder.iterdir() if path.is_dir()] == []


@pytest.mark.parametrize(
    ("entry", "fault"),
    [
        ({"latnt": 3}, r"generators\.gan\.latnt: unknown key; did you mean 'latent'\?"),
        ({"epochs": 0}, r"generators\.gan\.epochs: 0"),
    ],
)
def test_a_mistake_in_a_generator_is_one_line(entry: dict[str, Any], fault: str) -> None:
    with pytest.raises(Mistakes, match=fault):
        load_config(CONFIG | {"generators": {"gan": entry}}, "config.yaml")
