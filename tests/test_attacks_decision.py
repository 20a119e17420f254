"""Facts about attacks that see nothing but decisions: how near they come to the nearest mistake, and at what price."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn

from helpers import Linear, distances, linear_problem, small_cnn
from rivalry.attacks import hopskipjump
from rivalry.attacks._boundary import normal_at, step_along
from rivalry.attacks._goals import Goal
from rivalry.attacks._oracles import Decisions, Ledger
from rivalry.norms import length
from rivalry.randomness import Random

GENEROUS = {"iterations": 30, "max_evaluations": 1000, "initial_evaluations": 300}
FEW = {"iterations": 8, "max_evaluations": 100, "initial_evaluations": 10}


class Balanced(nn.Module):
    """An untrained network that takes random images for each of its classes about equally often, one at a time."""

    def __init__(self) -> None:
        super().__init__()
        self.network = small_cnn()
        with torch.no_grad():
            self.network[-1].bias -= self.network(random_images(200, seed=4)).mean(dim=0)

    def forward(self, images: Tensor) -> Tensor:
        # Alone, an image is rounded in the same way whatever batch it came in.
        return torch.cat([self.network(image[None]) for image in images])


class Islands(nn.Module):
    """Class 1 within `radius` (L2) of some images, class 0 everywhere else."""

    def __init__(self, images: Tensor, radius: float) -> None:
        super().__init__()
        self.images = images
        self.radius = radius

    def forward(self, images: Tensor) -> Tensor:
        nearest = (images[:, None] - self.images[None]).flatten(2).norm(dim=2).amin(dim=1)
        return torch.stack([nearest, torch.full_like(nearest, self.radius)], dim=1)


class FirstPixel(nn.Module):
    """Class 1 where a condition on the first pixel holds, class 0 elsewhere."""

    def __init__(self, condition: Callable[[Tensor], Tensor]) -> None:
        super().__init__()
        self.condition = condition

    def forward(self, images: Tensor) -> Tensor:
        return nn.functional.one_hot(self.condition(images[:, 0, 0, 0]).long(), 2).float()


class Guarded(nn.Module):
    """A linear victim with one more class, by which it refuses bright images."""

    reject_class = 2

    def forward(self, images: Tensor) -> Tensor:
        pixels = images.flatten(1)
        return torch.stack([0.2 + 0 * pixels[:, 0], pixels[:, 0] - pixels[:, 1], 20 * pixels.mean(dim=1) - 12], dim=1)


def random_images(n: int, seed: int = 3) -> Tensor:
    return torch.rand(n, 1, 8, 8, generator=torch.Generator().manual_seed(seed))


@pytest.mark.parametrize(("norm", "tolerance"), [(2, 0.01), ("inf", 0.02)])
def test_it_comes_to_the_nearest_point_of_a_linear_boundary(norm: str | int, tolerance: float) -> None:
    victim, images, labels = linear_problem(classes=2, n=6, seed=5)
    result = hopskipjump.run(victim, images, labels, norm=norm, **GENEROUS)
    ratio = length(result.images - images, norm) / distances(victim, images, labels, norm)
    assert result.success.all()
    assert ratio.min() > 1
    assert ratio.max() < 1 + tolerance


@pytest.mark.parametrize(("norm", "tolerance"), [(2, 0.01), ("inf", 0.02)])
def test_among_five_classes_most_images_find_the_nearest_face(norm: str | int, tolerance: float) -> None:
    """Each face of the polyhedron around an image has a nearest point of its own, where a walk may end."""
    victim, images, labels = linear_problem(classes=5, n=7, seed=1)
    result = hopskipjump.run(victim, images, labels, norm=norm, **GENEROUS)
    ratio = length(result.images - images, norm) / distances(victim, images, labels, norm)
    assert result.success.all()
    assert ratio.min() > 1
    assert ratio.median() < 1 + tolerance


@pytest.mark.parametrize("norm", [2, "inf"])
def test_pixels_at_the_edge_do_not_count(norm: str | int) -> None:
    """From a black image only half of the directions are open; eight pixels must give a tenth each."""
    weight = torch.stack([torch.zeros(16), torch.cat([torch.ones(8), -torch.ones(8)])])
    victim = Linear(weight, torch.tensor([0.8, 0.0]))
    image = torch.zeros(1, 1, 4, 4)
    change = hopskipjump(victim, image, torch.tensor([0]), norm=norm, **GENEROUS).flatten()
    least = {2: 0.1 * 8**0.5, "inf": 0.1}[norm]
    assert least < length(change[None], norm).item() < 1.01 * least
    assert (change[8:] < 1e-3).all()


@pytest.mark.parametrize("norm", [2, "inf"])
def test_more_iterations_cost_more_queries_and_leave_less(norm: str | int) -> None:
    victim, images = Balanced(), random_images(12)
    labels = victim(images).argmax(dim=1)
    assert len(labels.unique()) == 4
    results = [
        hopskipjump.run(victim, images, labels, norm=norm, **(FEW | {"iterations": iterations}))
        for iterations in (2, 8, 24)
    ]
    assert all(result.success.all() for result in results)
    assert [result.iterations.unique().tolist() for result in results] == [[2], [8], [24]]
    sizes = [length(result.images - images, norm).median().item() for result in results]
    assert sizes[0] > 1.2 * sizes[1] > 1.2 * sizes[2]
    assert (results[0].queries < results[1].queries).all()
    assert (results[1].queries < results[2].queries).all()


@pytest.mark.parametrize("most", [100, 20])
def test_what_it_asks(most: int) -> None:
    victim, images, labels = linear_problem()
    result = hopskipjump.run(victim, images, labels, **(FEW | {"max_evaluations": most}))
    starts = 1 + 1  # is the image right at first, and one random image
    searches = 9 * 8  # 2^-8 is the first power of two below 36^-1.5
    probes = sum(min(times, most) for times in (10, 14, 17, 20, 22, 24, 26, 28))  # 10 sqrt(t)
    ends = 8 * 1 + 1  # one step an iteration, and a last look
    # No image needs fewer; some need more random images, or halve a step.
    assert result.queries.min() == result.queries.median() == starts + searches + probes + ends
    assert (result.gradients == 0).all()


def test_the_normal_is_the_same_however_the_probes_are_divided() -> None:
    victim, images, labels = linear_problem(classes=2)
    normals = victim.weight[1 - labels] - victim.weight[labels]
    away = distances(victim, images, labels, 2) / normals.norm(dim=1)
    points = images + 1.0001 * (away[:, None] * normals).view_as(images).detach()
    estimates = []
    for batch in (1, 7, 64):
        ledger = Ledger(len(points))
        oracle = Decisions(victim, ledger, torch.arange(len(points)), batch)
        random, radius = Random.for_images(points, 0), torch.full((len(points),), 0.01)
        estimates.append(normal_at(oracle, points, Goal(labels), random, radius, 402))
        assert (ledger.queries == 402).all()
    assert torch.cosine_similarity(estimates[0].flatten(1), normals, dim=1).min() > 0.9
    torch.testing.assert_close(estimates[1], estimates[0])
    torch.testing.assert_close(estimates[2], estimates[0])


def test_the_normal_is_right_where_pixels_are_at_the_edge() -> None:
    """At a black image all probes brighten: what they have in common says nothing about the boundary."""
    normal = torch.randn(1, 64, generator=torch.Generator().manual_seed(6))
    victim = Linear(torch.cat([torch.zeros(1, 64), normal]), torch.tensor([0.05, 0.0]))
    image = torch.zeros(1, 1, 8, 8)
    oracle = Decisions(victim, Ledger(1), torch.arange(1), 64)
    goal, random = Goal(torch.tensor([0])), Random.for_images(image, 0)
    estimate = normal_at(oracle, image, goal, random, torch.tensor([0.1]), 2000)
    assert torch.cosine_similarity(estimate.flatten(1), normal).item() > 0.9
    # One probe that stays on its side is a direction to avoid: the one that it has after clipping.
    single = normal_at(oracle, image, goal, random, torch.tensor([1e-3]), 1)
    assert (single <= 0).all()
    assert (single < 0).any()


def test_a_step_is_halved_until_it_stays_among_mistakes() -> None:
    victim = FirstPixel(lambda pixel: (pixel > 0.5) & (pixel < 0.6))
    points, goal = torch.tensor([0.51, 0.51, 0.55]).view(3, 1, 1, 1), Goal(torch.zeros(3, dtype=torch.int64))
    ledger = Ledger(3)
    direction, size = torch.tensor([1.0, 1.0, -1.0]).view(3, 1, 1, 1), torch.tensor([0.4, 0.04, 9.0])
    stepped = step_along(Decisions(victim, ledger, torch.arange(3), 64), points, goal, direction, size).flatten()
    torch.testing.assert_close(stepped, torch.tensor([0.51 + 0.4 / 8, 0.51 + 0.04, 0.55 - 9 / 256]))
    assert ledger.queries.tolist() == [4, 1, 9]


def test_memory_is_bounded_by_the_batch(monkeypatch: pytest.MonkeyPatch) -> None:
    asked, decisions = [], Decisions.decisions

    def spy(oracle: Decisions, images: Tensor) -> Tensor:
        asked.append(len(images))
        return decisions(oracle, images)

    monkeypatch.setattr(Decisions, "decisions", spy)
    victim, images, labels = linear_problem(n=20)
    hopskipjump.run(victim, images, labels, batch_size=20, iterations=2, initial_evaluations=300, max_evaluations=400)
    assert max(asked) == 20


@pytest.mark.parametrize("norm", [2, "inf"])
def test_an_images_walk_does_not_depend_on_its_batch(norm: str | int) -> None:
    victim, images = Balanced(), random_images(10)
    images[:3] = images[:3].round()
    labels = victim(images).argmax(dim=1)
    together = hopskipjump.run(victim, images, labels, norm=norm, **FEW)
    apart = hopskipjump.run(victim, images.flip(0), labels.flip(0), norm=norm, batch_size=3, **FEW)
    assert together.success.all()
    torch.testing.assert_close(apart.images.flip(0), together.images, rtol=0, atol=1e-6)
    assert torch.equal(apart.queries.flip(0), together.queries)


def test_an_image_without_a_start_does_not_take_the_others_with_it() -> None:
    images = random_images(12)
    victim, labels = Islands(images[::2], radius=0.5), torch.tensor([1, 0] * 6)
    result = hopskipjump.run(victim, images, labels, **FEW)
    assert result.attacked.all()
    assert torch.equal(result.success, labels == 1)
    assert torch.equal(result.images[1::2], images[1::2])
    assert (result.queries[1::2] == 1 + 100).all()
    assert (result.iterations[1::2] == 0).all()
    # An island's shore is equally far everywhere; what comes back stands a thousandth behind it, so that no
    # rounding undoes it, and no search ended exactly on the shore.
    size = length(result.images - images, 2)[::2]
    assert (size > 0.50049).all()
    assert (size < 0.502).all()
    alone = hopskipjump.run(victim, images[::2], labels[::2], **FEW)
    torch.testing.assert_close(alone.images, result.images[::2], rtol=0, atol=1e-6)


def test_images_of_the_class_that_noise_is_taken_for_find_a_start() -> None:
    """Independent pixels look alike to most victims."""
    images = random_images(4)

    def rough(images: Tensor) -> Tensor:
        return images.diff(dim=3).abs().flatten(1).mean(dim=1)

    victim = nn.Module()
    victim.forward = lambda images: torch.stack([rough(images), torch.full((len(images),), 0.15)], dim=1)
    assert rough(random_images(1000, seed=1)).min() > 0.15
    assert hopskipjump.run(victim, images, torch.zeros(4, dtype=torch.int64), iterations=1).success.all()


def test_what_comes_back_was_seen_to_be_a_mistake() -> None:
    """Where mistakes and right answers alternate every hundred-thousandth, a thousandth behind one may be the other."""
    victim = FirstPixel(lambda pixel: (pixel * 1e5).floor() % 2 == 1)
    images = random_images(16)
    images[:, 0, 0, 0] = 0.2 + 0.02 * torch.arange(16) + 5e-6
    assert hopskipjump.run(victim, images, torch.zeros(16, dtype=torch.int64), **FEW).success.all()


def test_when_no_image_has_a_start_all_come_back() -> None:
    images = random_images(3)
    victim = Islands(random_images(1, seed=9), radius=0.1)
    assert torch.equal(hopskipjump(victim, images, torch.zeros(3, dtype=torch.int64), initial_trials=2), images)


@pytest.mark.parametrize("norm", [2, "inf"])
def test_a_target_is_hit_at_no_less_than_its_distance(norm: str | int) -> None:
    victim, images, labels = linear_problem(classes=5, n=16)
    targets = (labels + 1) % 5
    result = hopskipjump.run(victim, images, labels, targets=targets, norm=norm, iterations=24)
    assert result.success.all()
    assert torch.equal(result.predictions, targets)
    normals = victim.weight[targets] - victim.weight[labels]
    gaps = victim(images).gather(1, torch.stack([labels, targets], dim=1))
    face = (gaps[:, 0] - gaps[:, 1]) / (normals.norm(dim=1) if norm == 2 else normals.abs().sum(dim=1))
    size = length(result.images - images, norm)
    assert (size > face).all()
    assert size.median() < 2 * face.median()


def test_a_refusal_is_no_way_out() -> None:
    images, labels = torch.full((4, 1, 3, 3), 0.5), torch.zeros(4, dtype=torch.int64)
    images[:, 0, 2] += 0.01 * torch.arange(4)[:, None]
    result = hopskipjump.run(Guarded(), images, labels, **(GENEROUS | {"iterations": 15}))
    assert (result.predictions == 1).all()
    # Two pixels, a tenth each, make the difference.
    assert length(result.images - images, 2).median().item() == pytest.approx(0.02**0.5, rel=0.02)
