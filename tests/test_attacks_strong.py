"""Facts about the strong attacks, auto-PGD in its three forms and the fast adaptive boundary attack."""

from __future__ import annotations

import numpy as np
import pytest
import scipy.optimize
import torch
from torch import nn

import rivalry.attacks
from helpers import Linear, distances, linear_problem, small_cnn
from rivalry.attacks._apgd import checkpoints, dlr
from rivalry.attacks._goals import Goal
from rivalry.attacks._projections import to_hyperplane
from rivalry.norms import length

APGD = ["apgd_ce", "apgd_dlr", "apgd_targeted"]


@pytest.fixture
def images() -> torch.Tensor:
    return torch.rand(60, 1, 8, 8, generator=torch.Generator().manual_seed(3))


class Scaled(nn.Module):
    """A victim whose logits are multiplied: as sure of itself as one wants, and no harder to fool."""

    def __init__(self, victim: nn.Module, factor: float) -> None:
        super().__init__()
        self.victim, self.factor = victim, factor

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        return self.factor * self.victim(images)


class Guarded(nn.Module):
    """A linear victim of three classes; a fourth output refuses bright images and comes second on clean ones."""

    reject_class = 3

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        flat = images.flatten(1)
        brightness = flat.mean(dim=1)
        rivals = [flat[:, :2].mean(dim=1), flat[:, 1:3].mean(dim=1)]
        return torch.stack([0.8 + 0 * brightness, *rivals, 20 * (brightness - 0.5) + 0.7], dim=1)


def test_checkpoints_come_at_the_papers_shares_of_the_steps() -> None:
    assert checkpoints(100) == [22, 41, 57, 70, 80, 87, 93, 99]
    assert checkpoints(1000) == [220, 410, 570, 700, 800, 870, 930, 990]
    assert checkpoints(10)[:3] == [3, 5, 6]  # rounded up


@pytest.mark.parametrize("targets", [None, torch.tensor([1, 2, 0])])
@pytest.mark.parametrize("classes", [2, 3, 4, 10])
def test_the_ratio_is_positive_exactly_where_the_goal_is_reached(classes: int, targets: torch.Tensor | None) -> None:
    logits = torch.randn(300, classes, generator=torch.Generator().manual_seed(1))
    labels = torch.arange(300) % 2
    goal = Goal(labels, None if targets is None else targets.repeat(100) % classes)
    assert torch.equal(dlr(goal, logits) > 0, goal.reached(logits.argmax(dim=1)))


@pytest.mark.parametrize(("classes", "targeted"), [(3, False), (4, False), (4, True), (10, True)])
def test_the_ratio_does_not_depend_on_shift_and_scale_of_the_logits(classes: int, targeted: bool) -> None:
    logits = torch.randn(20, classes, generator=torch.Generator().manual_seed(2))
    labels = torch.arange(20) % classes
    goal = Goal(labels, (labels + 1) % classes if targeted else None)
    torch.testing.assert_close(dlr(goal, 50 * logits + 7), dlr(goal, logits), rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(dlr(goal, 0.01 * logits), dlr(goal, logits), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("targets", [None, torch.tensor([1, 2, 0])])
@pytest.mark.parametrize("classes", [2, 3, 4, 10])
def test_the_ratio_knows_a_refusal(classes: int, targets: torch.Tensor | None) -> None:
    logits = torch.randn(300, classes + 1, generator=torch.Generator().manual_seed(1))
    goal = Goal(torch.arange(300) % 2, None if targets is None else targets.repeat(100) % classes, reject=classes)
    assert torch.equal(dlr(goal, logits) > 0, goal.reached(logits.argmax(dim=1)))
    if classes > 3:
        torch.testing.assert_close(dlr(goal, 50 * logits + 7), dlr(goal, logits), rtol=1e-4, atol=1e-5)


def test_a_sure_detector_does_not_flatten_the_ratio() -> None:
    """Its logit and the margin of classes count alike, whether it leads by 1 or by 1000."""
    for lead in (1.0, 1000.0):
        logits = torch.tensor([[0.0, -2.0, -4.0, -5.0, lead]], requires_grad=True)
        (gradient,) = torch.autograd.grad(dlr(Goal(torch.tensor([0]), reject=4), logits).sum(), logits)
        assert gradient[0, 4].item() == pytest.approx(-1 / 4)
        assert gradient[0, 1].item() == pytest.approx(1 / 4)


def test_the_ratio_by_hand() -> None:
    logits = torch.tensor([[5.0, 4.0, 1.0, 0.0]])
    true = torch.tensor([0])
    torch.testing.assert_close(dlr(Goal(true), logits), torch.tensor([-1 / 4]))
    torch.testing.assert_close(dlr(Goal(true, torch.tensor([2])), logits), torch.tensor([-4 / 4.5]))
    torch.testing.assert_close(dlr(Goal(true, reject=1), logits), torch.tensor([-4 / 5]))
    torch.testing.assert_close(dlr(Goal(true), logits[:, :2]), torch.tensor([-1.0]))
    torch.testing.assert_close(dlr(Goal(true, torch.tensor([2])), logits[:, :3]), torch.tensor([-4.0]))


@pytest.mark.parametrize("goal", [Goal(torch.tensor([0]), reject=1), Goal(torch.tensor([0]), torch.tensor([2]))])
@pytest.mark.parametrize("classes", [3, 4])
def test_the_ratio_never_cancels_to_a_constant(classes: int, goal: Goal) -> None:
    """The third largest logit is the wanted one here; margin over spread must still rise with it."""
    logits = torch.tensor([[5.0, 4.0, 1.0, 0.0]])[:, :classes].requires_grad_(True)
    (gradient,) = torch.autograd.grad(dlr(goal, logits).sum(), logits)
    assert gradient[0, 2] > 0
    assert gradient[0, 0] < 0


@pytest.mark.parametrize("norm", ["inf", 2])
@pytest.mark.parametrize("name", APGD)
def test_apgd_flips_exactly_the_images_within_its_budget(name: str, norm: str | int) -> None:
    victim, images, labels = linear_problem(classes=5 if name == "apgd_targeted" else 2, n=60)
    exact = distances(victim, images, labels, norm)
    eps = float(exact.median())
    result = getattr(rivalry.attacks, name).run(victim, images, labels, norm=norm, eps=eps)
    clear = (exact - eps).abs() > 1e-4 * eps
    assert torch.equal(result.success[clear], (exact < eps)[clear])


class Bullseye(nn.Module):
    """A victim that errs only within a small distance of one point."""

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        target = torch.linspace(0.45, 0.6, 16)
        return torch.stack([0 * images[:, 0, 0, 0], 1e-5 - ((images.flatten(1) - target) ** 2).sum(dim=1)], dim=1)


@pytest.mark.parametrize("name", APGD)
def test_apgd_halves_its_steps_until_it_hits_a_point_inside_the_ball(name: str) -> None:
    images, labels = torch.full((8, 1, 4, 4), 0.5), torch.zeros(8, dtype=torch.int64)
    images += 0.01 * torch.arange(8).view(8, 1, 1, 1)
    result = getattr(rivalry.attacks, name).run(Bullseye(), images, labels, norm=2, eps=1.0)
    assert result.success.all()
    assert not rivalry.attacks.pgd.run(Bullseye(), images, labels, norm=2, eps=1.0, step_size=0.25).success.any()


@pytest.mark.parametrize(("norm", "eps"), [("inf", 0.33), (2, 1.7)])
@pytest.mark.parametrize("name", APGD)
def test_apgd_is_at_least_as_strong_as_pgd_at_equal_steps(
    name: str, norm: str | int, eps: float, images: torch.Tensor
) -> None:
    victim = small_cnn()
    labels = victim(images).argmax(dim=1)
    plain = rivalry.attacks.pgd.run(victim, images, labels, norm=norm, eps=eps, step_size=eps / 10, steps=20)
    auto = getattr(rivalry.attacks, name).run(victim, images, labels, norm=norm, eps=eps, steps=20)
    assert 0 < plain.success.sum() < 60
    assert auto.success.sum() >= plain.success.sum() - 2  # rounding turns an image at the edge of the budget


def test_only_the_ratio_sees_through_saturated_probabilities(images: torch.Tensor) -> None:
    victim = small_cnn()
    labels = victim(images).argmax(dim=1)
    sure = Scaled(victim, 1e5)
    ratio, same = (rivalry.attacks.apgd_dlr.run(v, images, labels, eps=0.35, steps=20) for v in (victim, sure))
    entropy = rivalry.attacks.apgd_ce.run(sure, images, labels, eps=0.35, steps=20)
    assert torch.equal(same.success, ratio.success)
    assert entropy.zero_gradient.float().mean() > 0.5
    assert entropy.success.sum() < same.success.sum()


@pytest.mark.parametrize("classes", [2, 3, 4])
@pytest.mark.parametrize("name", [*APGD, "fab"])
def test_few_classes_are_enough(name: str, classes: int) -> None:
    victim, images, labels = linear_problem(classes=classes)
    result = getattr(rivalry.attacks, name).run(victim, images, labels, steps=10)
    assert result.success.all()


@pytest.mark.parametrize("name", [*APGD, "fab"])
def test_strong_attacks_evade_a_refusing_detector(name: str) -> None:
    images, labels = torch.full((4, 1, 3, 3), 0.5), torch.zeros(4, dtype=torch.int64)
    parameters = {} if name == "fab" else {"eps": 0.5}
    result = getattr(rivalry.attacks, name).run(Guarded(), images, labels, **parameters)
    assert ((result.predictions == 1) | (result.predictions == 2)).all()
    assert result.success.all()


def test_apgd_spends_its_steps_on_the_images_that_resist() -> None:
    victim, images, labels = linear_problem()
    vain = rivalry.attacks.apgd_targeted.run(victim, images, labels, eps=1e-7, steps=7, candidates=3, restarts=2)
    assert (vain.gradients == 3 * 2 * 7).all()
    assert not vain.success.any()
    easy = rivalry.attacks.apgd_targeted.run(victim, images, labels, eps=0.3, steps=7, candidates=3, restarts=2)
    assert easy.success.all()
    assert (easy.gradients <= 7).all()


def test_apgd_targeted_reaches_classes_in_the_order_of_their_likelihood() -> None:
    """With all classes in reach, the first candidate is the one found."""
    victim, images, labels = linear_problem(classes=5, n=40)
    second = victim(images).topk(2, dim=1).indices[:, 1]
    result = rivalry.attacks.apgd_targeted.run(victim, images, labels, eps=0.02, candidates=1)
    assert result.success.all()
    assert (result.predictions == second).float().mean() > 0.5


@pytest.mark.parametrize("norm", ["inf", 2])
def test_fab_is_exact_on_linear_victims(norm: str | int) -> None:
    victim, images, labels = linear_problem(n=30)
    exact = distances(victim, images, labels, norm)
    result = rivalry.attacks.fab.run(victim, images, labels, norm=norm, steps=20)
    assert result.success.all()
    found = length(result.images - images, norm)
    assert (found >= exact * (1 - 1e-3)).all()
    assert (found <= exact * 1.01).all()


def _corner_problem() -> tuple[np.ndarray, np.ndarray, float]:
    """Points of the cube, some of them corners, and a hyperplane that cuts off one corner."""
    generator = np.random.default_rng(4)
    weight = generator.normal(size=9)
    points = generator.uniform(size=(12, 9))
    points[:6] = points[:6].round()
    return points, weight, 0.1 * weight.clip(max=0).sum() + 0.9 * weight.clip(min=0).sum()


def _nearest(point: np.ndarray, weight: np.ndarray, level: float, norm: str | int) -> float:
    """SciPy's distance from a point to the hyperplane inside the cube."""
    if norm == "inf":
        rows = np.concatenate([np.eye(9), -np.eye(9)])
        bounds = [(0, 1)] * 9 + [(0, None)]
        solved = scipy.optimize.linprog(
            np.eye(10)[9],
            A_ub=np.concatenate([rows, -np.ones((18, 1))], axis=1),
            b_ub=np.concatenate([point, -point]),
            A_eq=np.append(weight, 0)[None],
            b_eq=[level],
            bounds=bounds,
        )
    else:
        solved = scipy.optimize.minimize(
            lambda z: ((z - point) ** 2).sum(),
            np.full(9, 0.5),
            jac=lambda z: 2 * (z - point),
            bounds=[(0, 1)] * 9,
            constraints={"type": "eq", "fun": lambda z: z @ weight - level, "jac": lambda z: weight},
            method="SLSQP",
            options={"ftol": 1e-12},
        )
    assert solved.success
    return float(solved.fun if norm == "inf" else np.sqrt(solved.fun))


@pytest.mark.parametrize("side", [1, -1])
@pytest.mark.parametrize("norm", ["inf", 2])
def test_projection_is_the_nearest_point_of_the_hyperplane_inside_the_cube(norm: str | int, side: int) -> None:
    points, weight, level = _corner_problem()
    images = torch.tensor(points, dtype=torch.float32).view(12, 1, 3, 3)
    normal = torch.tensor(side * weight, dtype=torch.float32)
    rise = side * level - images.flatten(1) @ normal
    change = to_hyperplane(images, normal.expand(12, -1).view_as(images), rise, norm)
    exact = torch.tensor([_nearest(point, weight, level, norm) for point in points], dtype=torch.float32)
    torch.testing.assert_close(length(change, norm), exact, rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(change.flatten(1) @ normal, rise, rtol=1e-4, atol=1e-5)
    assert (images + change).min() >= -1e-6
    assert (images + change).max() <= 1 + 1e-6


@pytest.mark.parametrize("norm", ["inf", 2])
def test_projection_ends_in_the_corner_where_the_hyperplane_is_out_of_reach(norm: str | int) -> None:
    points, weight, _ = _corner_problem()
    images = torch.tensor(points, dtype=torch.float32).view(12, 1, 3, 3)
    weight[0] = 0
    normal = torch.tensor(weight, dtype=torch.float32).expand(12, -1).view_as(images)
    change = to_hyperplane(images, normal, torch.full((12,), 100.0), norm)
    corner = torch.where(normal == 0, images, (normal > 0).float())
    torch.testing.assert_close(images + change, corner)


@pytest.mark.parametrize("norm", ["inf", 2])
def test_fab_is_exact_where_pixels_meet_the_edge(norm: str | int) -> None:
    points, weight, level = _corner_problem()
    victim = Linear(torch.tensor(np.stack([0 * weight, weight])).float(), torch.tensor([level, 0.0]).float())
    images = torch.tensor(points, dtype=torch.float32).view(12, 1, 3, 3)
    labels = victim(images).argmax(dim=1)
    exact = torch.tensor([_nearest(point, weight, level, norm) for point in points], dtype=torch.float32)
    assert (exact > 1.1 * distances(victim, images, labels, norm)).sum() >= 4  # the edge does matter
    result = rivalry.attacks.fab.run(victim, images, labels, norm=norm)
    assert result.success.all()
    found = length(result.images - images, norm)
    assert (found >= exact * (1 - 1e-3)).all()
    assert (found <= exact * 1.01).all()


@pytest.mark.parametrize("norm", ["inf", 2])
def test_targeted_fab_finds_the_nearest_point_of_the_target(norm: str | int) -> None:
    """Between two classes; of three, the way may lead past the third, so there the target is only to be hit."""
    victim, images, labels = linear_problem(classes=2)
    result = rivalry.attacks.fab.run(victim, images, labels, targets=1 - labels, norm=norm, steps=20)
    exact = distances(victim, images, labels, norm)
    assert result.success.all()
    assert (length(result.images - images, norm) <= exact * 1.01 + 1e-7).all()
    victim, images, labels = linear_problem(classes=5)
    assert rivalry.attacks.fab.run(victim, images, labels, targets=(labels + 2) % 5, norm=norm).success.all()


def test_fab_finds_less_than_deepfool_and_restarts_never_lose(images: torch.Tensor) -> None:
    victim = small_cnn()
    labels = victim(images).argmax(dim=1)
    once, often = (
        length(rivalry.attacks.fab(victim, images, labels, norm=2, steps=20, restarts=n) - images, 2) for n in (1, 3)
    )
    deepfool = rivalry.attacks.deepfool.run(victim, images, labels, norm=2)
    assert (often <= once * (1 + 1e-3)).all()
    both = deepfool.success & (once > 0)
    assert both.sum() > 40
    shorter = once < length(deepfool.images - images, 2)
    assert shorter[both].float().mean() > 0.95
