"""Facts about attacks that search places (jsma, one_pixel) or at random (square)."""

from __future__ import annotations

from importlib import import_module
from itertools import combinations

import pytest
import torch
from torch import Tensor, nn

import rivalry.attacks
from helpers import Linear, distances, linear_problem
from rivalry.attacks import _squares
from rivalry.attacks._goals import Goal
from rivalry.errors import RivalryError
from rivalry.norms import length
from rivalry.randomness import Random

# The attack's name in the package is the attack itself, which hides its module.
jsma, one_pixel = (import_module(f"rivalry.attacks.{name}") for name in ("jsma", "one_pixel"))


def unreachable(
    classes: int = 2, channels: int = 1, side: int = 8, seed: int = 0, lead: float = 1000
) -> tuple[Linear, Tensor, Tensor]:
    """A linear victim so biased to class 0 that no change makes it err, and images to spend a whole budget on."""
    generator = torch.Generator().manual_seed(seed)
    weight = torch.randn(classes, channels * side * side, generator=generator)
    bias = torch.zeros(classes)
    bias[0] = lead
    images = torch.rand(6, channels, side, side, generator=generator)
    return Linear(weight, bias), images, torch.zeros(6, dtype=torch.int64)


def value_of_pairs(a: Tensor, b: Tensor) -> Tensor:
    """(a_p + a_q) * (b_p + b_q) of every pair in which both sums are positive, else 0: (N,n,n)."""
    sums_a, sums_b = a[:, :, None] + a[:, None], b[:, :, None] + b[:, None]
    allowed = (sums_a > 0) & (sums_b > 0) & ~torch.eye(a.shape[1], dtype=torch.bool)
    return torch.where(allowed, sums_a * sums_b, 0)


@pytest.mark.parametrize("at_once", [2**22, 1])
@pytest.mark.parametrize("kind", ["independent", "opposed", "tied", "aligned", "equal"])
def test_jsma_finds_the_best_of_all_pairs(kind: str, at_once: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(jsma, "AT_ONCE", at_once)
    generator = torch.Generator().manual_seed(0)
    for n in (2, 5, 40):
        a, b = torch.randn(2, 30, n, generator=generator)
        if kind == "opposed":  # nearly all places on the front, or none positive
            b = 0.1 * b - a
        elif kind == "tied":
            a, b = a.round(), b.round()
        elif kind == "aligned":
            b = a.clone()
        elif kind == "equal":
            a, b = torch.ones_like(a), torch.ones_like(b)
        closed = torch.rand(30, n, generator=generator) < 0.2
        a, b = a.masked_fill(closed, -torch.inf), b.masked_fill(closed, -torch.inf)
        best = value_of_pairs(a, b).flatten(1).amax(dim=1)
        pairs, found = jsma.best_pairs(a, b)
        assert torch.equal(found, best > 0)
        assert (pairs[found, 0] != pairs[found, 1]).all()
        assert torch.equal((a.gather(1, pairs).sum(1) * b.gather(1, pairs).sum(1))[found], best[found])


@pytest.mark.parametrize("theta", [1.0, -1.0, 0.25])
@pytest.mark.parametrize("target", [None, 2])
@pytest.mark.parametrize(("output", "cost"), [("probabilities", 1), ("logits", 2)])
def test_jsma_moves_the_pair_of_largest_saliency(output: str, cost: int, target: int | None, theta: float) -> None:
    victim, images, labels = unreachable(classes=4, lead=100)  # exp(-100) is something in double precision
    images[:, :, 0] = float(theta > 0)  # a row of pixels that cannot move on
    targets = None if target is None else torch.full_like(labels, target)
    result = rivalry.attacks.jsma.run(victim, images, labels, targets=targets, theta=theta, gamma=2 / 64, output=output)
    chosen = torch.tensor([1, 2, 3]) if target is None else torch.tensor([target])
    rest, sign = torch.tensor([k for k in range(4) if k not in chosen]), 1
    point = images.double().requires_grad_(True)
    answers = victim.double()(point)
    if output == "probabilities":
        answers = answers.softmax(dim=1)
        rest, sign = chosen, -1  # they add up to 1; that of class 0 is too near 1 to be differentiated
    alpha, beta = (
        torch.autograd.grad(answers[:, classes].sum(), point, retain_graph=True)[0].flatten(1)
        for classes in (chosen, rest)
    )
    a, b = (theta / abs(theta) * t / t.abs().amax(dim=1, keepdim=True) for t in (alpha, -sign * beta))
    values = value_of_pairs(a.index_fill(1, torch.arange(8), -99), b.index_fill(1, torch.arange(8), -99))
    expected = images.flatten(1).clone()
    for row, place in enumerate(values.flatten(1).argmax(dim=1).tolist()):
        for pixel in divmod(place, 64):
            expected[row, pixel] = (expected[row, pixel] + theta).clamp(0, 1)
    torch.testing.assert_close(result.images.flatten(1), expected)
    assert (result.gradients == cost).all()


@pytest.mark.parametrize(("output", "cost"), [("probabilities", 1), ("logits", 2)])
def test_jsma_spends_two_features_an_iteration_at_most(output: str, cost: int) -> None:
    victim, images, labels = unreachable(classes=3, channels=3)
    result = rivalry.attacks.jsma.run(victim, images, labels, gamma=0.1, output=output)
    pairs = int(0.1 * 3 * 64) // 2
    assert (result.iterations == pairs).all()
    assert (result.gradients == cost * pairs).all()
    assert ((result.images != images).flatten(1).sum(dim=1) == 2 * pairs).all()
    assert (length(result.images - images, 0) <= 2 * pairs).all()
    assert torch.equal(rivalry.attacks.jsma(victim, images, labels, gamma=0.01), images)  # 1 feature is no pair


def test_jsma_reaches_every_target_where_pixels_are_free() -> None:
    victim, images, labels = linear_problem(classes=5, n=30)
    for target in range(5):
        targets = torch.full_like(labels, target)
        result = rivalry.attacks.jsma.run(victim, images, labels, targets=targets, gamma=1.0)
        assert torch.equal(result.success, labels != target)
        assert (result.iterations[result.attacked] >= 2).all()  # the last one only sees that it is there


@pytest.mark.parametrize("theta", [0.0, 1.5, float("nan")])
def test_jsma_refuses_to_move_by_nothing_or_too_much(theta: float) -> None:
    victim, images, labels = linear_problem()
    with pytest.raises(RivalryError, match="jsma: theta"):
        rivalry.attacks.jsma(victim, images, labels, theta=theta)


def brightest_change(victim: Linear, images: Tensor) -> Tensor:
    """What each place of each image can at most add to the margin of class 1 over class 0: (N,H*W), sorted."""
    weight = (victim.weight[1] - victim.weight[0]).detach().view(images.shape[1:])
    return torch.maximum(weight * (1 - images), -weight * images).sum(dim=1).flatten(1).sort(descending=True).values


@pytest.mark.parametrize(("channels", "pixels", "share"), [(1, 1, 0.999), (3, 1, 0.999), (1, 3, 0.75)])
def test_one_pixel_finds_the_best_pixels_and_their_best_colours(channels: int, pixels: int, share: float) -> None:
    victim, images, labels = unreachable(channels=channels)
    result = rivalry.attacks.one_pixel.run(
        victim, images, labels, eps=pixels, population=100, generations=60, targets=torch.ones_like(labels)
    )
    weight = (victim.weight[1] - victim.weight[0]).detach()
    gain = (result.images - images).flatten(1) @ weight
    best = brightest_change(victim, images)[:, :pixels].sum(dim=1)
    assert (gain <= best + 1e-4).all()
    assert (gain >= share * best).all()
    assert (length(result.images - images, 0) == pixels).all()


def test_one_pixel_costs_a_population_each_generation_until_solved() -> None:
    victim, images, labels = unreachable()
    result = rivalry.attacks.one_pixel.run(victim, images, labels, population=7, generations=3, batch_size=4)
    assert (result.iterations == 3).all()
    assert (result.queries == 1 + 7 * 4).all()
    assert not result.success.any()
    victim.bias.data[0] = victim(images)[:, 1].max().item() - victim(images)[:, 0].min().item() + 1000 + 1e-3
    easy, images, labels = linear_problem(n=12)
    result = rivalry.attacks.one_pixel.run(easy, images, labels, population=30, generations=50)
    assert result.success.all()
    assert (result.queries == 1 + 30 * (1 + result.iterations)).all()
    assert (result.iterations == 0).any()


class Trap(nn.Module):
    """The first pixel makes class 0 unlikely, but never beats it; the second does, at one shade of grey."""

    def forward(self, images: Tensor) -> Tensor:
        first, second = images[:, 0, 0, 0], images[:, 0, 0, 1]
        shade = ((second - 0.5).abs() < 0.02) * 5.2
        return torch.stack([0 * first, 4.9 * first + shade - 5, 4.9 * first - 5], dim=1)


def test_one_pixel_prefers_success_to_fitness() -> None:
    images = torch.rand(100, 1, 1, 3, generator=torch.Generator().manual_seed(0))
    images[..., :2] = 0
    labels = torch.zeros(100, dtype=torch.int64)
    result = rivalry.attacks.one_pixel.run(Trap(), images, labels, population=10, generations=4)
    stopped = result.queries < 1 + 10 * 5
    assert result.success[stopped].all()
    assert (stopped & (result.iterations == 0)).any()
    assert (stopped & (result.iterations > 0)).any()


def test_one_pixel_is_not_blinded_by_a_victim_that_is_sure() -> None:
    """Probabilities that round to 1 order nothing; odds do."""
    victim, images, labels = unreachable()
    sharp = Linear(victim.weight.detach() * 64, victim.bias.detach() * 64)
    options = {"population": 20, "generations": 5}
    soft, hard = (rivalry.attacks.one_pixel(v, images, labels, **options) for v in (victim, sharp))
    assert torch.equal(soft, hard)


def test_one_pixel_children_have_three_different_parents_and_stay_inside() -> None:
    generator = torch.Generator().manual_seed(1)
    genes = 0.3 + 0.4 * torch.rand(2, 4, 1, 3, generator=generator)  # where no child leaves the range
    random = Random.for_images(torch.rand(2, 1, 4, 4, generator=generator), 0)
    allowed = {tuple(order) for three in combinations(range(4), 3) for order in permuted(three)}
    met = set()
    for _ in range(40):
        children = one_pixel.bred(genes, 0.1, random)
        for child in children[0]:
            made = {order: genes[0, order[0]] + 0.1 * (genes[0, order[1]] - genes[0, order[2]]) for order in allowed}
            matches = [order for order, gene in made.items() if torch.equal(gene, child)]
            assert len(matches) == 1
            met.add(matches[0])
    assert met == allowed
    children = one_pixel.bred(torch.rand(2, 400, 1, 3, generator=generator), 5.0, random)
    assert children.min() == 0
    assert children.max() == 1
    assert (children[..., :2] < 1).all()  # a place at 1 would lie beside the image


def permuted(three: tuple[int, ...]) -> list[tuple[int, ...]]:
    a, b, c = three
    return [(a, b, c), (a, c, b), (b, a, c), (b, c, a), (c, a, b), (c, b, a)]


def test_one_pixel_changes_nothing_without_budget_and_needs_three_parents() -> None:
    victim, images, labels = linear_problem()
    assert torch.equal(rivalry.attacks.one_pixel(victim, images, labels, eps=0), images)
    with pytest.raises(RivalryError, match="one_pixel: population: 2 is wrong: should be greater than or equal to 3"):
        rivalry.attacks.one_pixel(victim, images, labels, population=2)


def test_square_finds_the_optimum_on_linear_victims() -> None:
    victim, images, labels = linear_problem(classes=2, n=60)
    exact = distances(victim, images, labels, "inf")
    eps = float(exact.median())
    result = rivalry.attacks.square.run(victim, images, labels, eps=eps, queries=1000)
    clear = (exact / eps - 1).abs() > 1e-4
    assert clear.sum() > 50
    assert torch.equal(result.success[clear], (exact < eps)[clear])


def test_square_in_l2_comes_near_the_optimum_on_linear_victims() -> None:
    """A gradient step is the optimum; noise of the same length comes nowhere near it."""
    victim, images, labels = linear_problem(classes=2, n=30)
    weight = (victim.weight[1] - victim.weight[0]).detach()
    victim.bias.data[0] += 100
    labels = torch.zeros_like(labels)
    adversarial = rivalry.attacks.square(victim, images, labels, norm=2, eps=0.4, queries=1500)
    gain = (adversarial - images).flatten(1) @ weight / (0.4 * weight.norm())
    noise = rivalry.attacks.random_noise(victim, images, labels, norm=2, eps=0.4)
    assert (gain > 0.6).all()
    assert ((noise - images).flatten(1) @ weight / (0.4 * weight.norm()) < 0.6).all()
    assert (gain <= 1 + 1e-5).all()


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("norm", ["inf", 2])
def test_square_spends_its_budget_and_its_queries(norm: str | int, channels: int) -> None:
    victim, images, labels = unreachable(channels=channels)
    images = 0.4 + 0.2 * images
    result = rivalry.attacks.square.run(victim, images, labels, norm=norm, eps=0.3, queries=30)
    change = result.images - images
    assert (result.queries == 31).all()
    assert (result.iterations == 30).all()
    torch.testing.assert_close(length(change, norm), torch.full((6,), 0.3))
    if norm == "inf":
        torch.testing.assert_close(change.abs(), torch.full_like(change, 0.3))


@pytest.mark.parametrize("norm", ["inf", 2])
def test_square_reaches_targets(norm: str | int) -> None:
    victim, images, labels = linear_problem(classes=5, n=30)
    eps = 24 * float(distances(victim, images, labels, norm).median())
    for target in range(5):
        targets = torch.full_like(labels, target)
        result = rivalry.attacks.square.run(victim, images, labels, targets=targets, norm=norm, eps=eps, queries=300)
        assert torch.equal(result.success, labels != target)


@pytest.mark.parametrize("shape", [(1, 1, 1), (3, 2, 5), (1, 4, 4), (3, 11, 6)])
def test_images_may_be_tiny_and_oblong(shape: tuple[int, int, int]) -> None:
    generator = torch.Generator().manual_seed(0)
    images = torch.rand(5, *shape, generator=generator)
    victim = Linear(torch.randn(3, images[0].numel(), generator=generator), torch.tensor([100.0, 0, 0]))
    labels = torch.zeros(5, dtype=torch.int64)
    for norm in ("inf", 2):
        result = rivalry.attacks.square.run(victim, images, labels, norm=norm, eps=0.2, queries=60)
        assert result.finite.all()
        assert (length(result.images - images, norm) <= 0.2 + 1e-6).all()
        assert (result.images != images).flatten(1).any(dim=1).all()
    changed = rivalry.attacks.one_pixel(victim, images, labels, eps=2, population=5, generations=3)
    assert (length(changed - images, 0) >= 1).all()
    assert (length(changed - images, 0) <= 2).all()
    changed = rivalry.attacks.jsma(victim, images, labels, gamma=1.0)
    assert changed.isfinite().all()


@pytest.mark.parametrize("area", [0.5, 0.001])
def test_square_changes_one_square_and_never_nothing(area: float) -> None:
    images = torch.rand(40, 3, 7, 9, generator=torch.Generator().manual_seed(0))
    random = Random.for_images(images, 0)
    current = _squares.stripes(images, 0.1, random)
    for _ in range(5):
        tried = _squares.recoloured(current, images, 0.1, area, random.uniform(5))
        changed = (tried != current).any(dim=1)
        assert changed.flatten(1).any(dim=1).all()
        side = max(1, round((area * 63) ** 0.5))
        for axis in (1, 2):
            assert changed.any(dim=axis).sum(dim=1).max() <= side
        current = tried


def test_a_window_lies_anywhere_within_the_image_and_nowhere_else() -> None:
    images = torch.zeros(4, 3, 7, 9)
    last = 1 - 2**-23  # the largest number below 1 that is drawn
    corners = torch.tensor([[-1.0, -1.0], [-1.0, last], [last, -1.0], [last, last]])
    for side in (1, 3, 5):
        down, right, inside = _squares.window(corners, side, images)
        tops, lefts = [0, 0, 7 - side, 7 - side], [0, 9 - side, 0, 9 - side]
        for image, (top, left) in enumerate(zip(tops, lefts, strict=True)):
            expected = torch.zeros(7, 9, dtype=torch.bool)
            expected[top : top + side, left : left + side] = True
            assert torch.equal(inside[image, 0], expected)
            assert down[image, 0, :, 0].tolist() == list(range(-top, 7 - top))
            assert right[image, 0, 0].tolist() == list(range(-left, 9 - left))


def test_square_in_l2_spends_in_two_windows_what_is_left_of_the_budget() -> None:
    generator = torch.Generator().manual_seed(0)
    images = torch.full((40, 3, 11, 11), 0.5)
    change = torch.randn(40, 3, 11, 11, generator=generator)
    current = images + 0.2 * change / length(change, 2).view(-1, 1, 1, 1)
    random = Random.for_images(torch.rand(40, 1, 2, 2, generator=generator), 0)
    tried = _squares.shifted(current, images, 0.3, 0.05, random.uniform(8))
    torch.testing.assert_close(length(tried - images, 2), torch.full((40,), 0.3))
    moved = ((tried - current).abs() > 1e-6).any(dim=1)
    assert (moved.flatten(1).sum(dim=1) <= 2 * 3 * 3).all()
    emptied = ((tried - images).abs() < 1e-7).all(dim=1)
    assert (emptied.flatten(1).sum(dim=1) == 9).any()
    assert (emptied.flatten(1).sum(dim=1) <= 9).all()


@pytest.mark.parametrize(("height", "width"), [(5, 5), (7, 7), (1, 1), (4, 6)])
def test_square_bumps_are_those_of_the_paper(height: int, width: int) -> None:
    """Each half sums 1/(n+1-k)^2 over the nested squares k that hold the pixel; the halves have opposite signs."""
    expected = torch.zeros(height, width)
    for first, high, sign in ((0, height // 2, 1.0), (height // 2, height - height // 2, -1.0)):
        n = max(high, width) // 2
        for r in range(high):
            for s in range(width):
                inner = n - max(abs(r - high // 2), abs(s - width // 2))
                expected[first + r, s] = sign * sum(1 / (n + 1 - k) ** 2 for k in range(inner + 1))
    found = _squares.bump(height, width, torch.zeros(1))
    torch.testing.assert_close(found, expected / expected.norm())


@pytest.mark.parametrize("targets", [None, torch.tensor([2, 0, 1, 3] * 10)])
@pytest.mark.parametrize("reject", [None, 4])
def test_odds_order_images_as_the_loss_does(targets: Tensor | None, reject: int | None) -> None:
    logits = torch.randn(40, 5, generator=torch.Generator().manual_seed(0))
    goal = Goal(torch.tensor([1, 2, 3, 0] * 10), targets, reject)
    probability = goal.log_odds(logits).sigmoid()
    expected = goal.loss(logits).exp() if targets is not None else 1 - (-goal.loss(logits)).exp()
    torch.testing.assert_close(probability, expected)
