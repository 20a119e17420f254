"""Facts about evasion attacks: exact on linear victims, within their budget, the same in any batch."""

from __future__ import annotations

import math
from contextlib import nullcontext

import pytest
import torch
from torch import nn

import rivalry.attacks
from helpers import distances, linear_problem, small_cnn
from rivalry import registry
from rivalry.attacks._attack import Attack, Result
from rivalry.attacks._goals import Goal
from rivalry.attacks._oracles import Decisions, Gradients, Ledger, Scores
from rivalry.norms import length

ATTACKS = [name for name in registry.names("attacks") if name != "backdoor_trigger"]
FIXED = [name for name in ATTACKS if registry.method("attacks", name).traits["budget"] == "fixed"]
MINIMAL = [name for name in ATTACKS if registry.method("attacks", name).traits["budget"] == "minimal"]
UNTARGETED = [name for name in ATTACKS if "untargeted" in registry.method("attacks", name).traits["goals"]]
TARGETED = [name for name in ATTACKS if "targeted" in registry.method("attacks", name).traits["goals"]]


SMALL: dict[str, dict[str, object]] = {
    "lbfgs": {"search_steps": 6, "steps": 15},
    "apgd_targeted": {"steps": 20},
    "cw": {"steps": 40, "search_steps": 4},
    "fab": {"steps": 20},
    "one_pixel": {"population": 12, "generations": 4},
    "square": {"queries": 40},
    "adversarial_patch": {"passes": 4, "learning_rate": 0.3},
    "substitute": {"architecture": "mlp512", "rounds": 2},
}
"""Parameters that make slow attacks quick on the victims here."""


def run(name: str, victim: nn.Module, images: torch.Tensor, labels: torch.Tensor, **options: object) -> Result:
    """Run an attack with its SMALL parameters; one that is fitted first gets other images to be fitted to."""
    if registry.method("attacks", name).traits.get("fitted"):
        generator = torch.Generator().manual_seed(11)
        others = (0.5 + 0.01 * torch.randn(24, *images.shape[1:], generator=generator)).clamp(0, 1)
        options["training"] = (others, victim(others).argmax(dim=1).detach())
    parameters = registry.method("attacks", name).parameters
    options = {key: value for key, value in SMALL.get(name, {}).items() if key in parameters} | options
    attack: Attack = getattr(rivalry.attacks, name)
    return attack.run(victim, images, labels, **options)


class OneByOne(nn.Module):
    """A victim that looks at each image alone: its own rounding does not depend on the batch."""

    def __init__(self, victim: nn.Module) -> None:
        super().__init__()
        self.victim = victim

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        return torch.cat([self.victim(image[None]) for image in images])


def norms(names: list[str]) -> list[tuple[str, str | int]]:
    """Every attack with every norm it can be given."""
    pairs = []
    for name in names:
        method = registry.method("attacks", name)
        choices = method.traits["norms"] if "norm" in method.parameters else method.traits["norms"][:1]
        pairs += [(name, norm) for norm in choices]
    return pairs


def norm_option(name: str, norm: str | int) -> dict[str, object]:
    """The norm, and where the default budget is none of that norm, a budget."""
    parameters = registry.method("attacks", name).parameters
    if "norm" not in parameters:
        return {}
    large = norm == "inf" and "eps" in parameters and parameters["eps"].default > 1
    return {"norm": norm, "eps": 0.3} if large else {"norm": norm}


def steps_to(name: str, eps: float, steps: int = 40) -> dict[str, object]:
    """Steps that are long enough to use up the budget, where an attack has any."""
    known = registry.method("attacks", name).parameters
    length = {key: max(eps / (steps - 1), 1e-3) for key in ("step_size", "eps_step") if key in known}
    return length | {"steps": steps} if length else {}


@pytest.fixture
def images() -> torch.Tensor:
    generator = torch.Generator().manual_seed(3)
    images = torch.rand(20, 1, 8, 8, generator=generator)
    images[:4] = images[:4].round()  # images on the edge of [0,1] as well
    return images


@pytest.mark.parametrize("norm", [2, "inf"])
def test_deepfool_is_exact_on_linear_victims(norm: str | int) -> None:
    victim, images, labels = linear_problem()
    exact = distances(victim, images, labels, norm)
    result = rivalry.attacks.deepfool.run(victim, images, labels, norm=norm, overshoot=0.02)
    assert result.success.all()
    torch.testing.assert_close(length(result.images - images, norm), 1.02 * exact, rtol=2e-4, atol=2e-7)
    assert (result.iterations == 2).all()  # one linearisation, and one look that finds the boundary crossed


@pytest.mark.parametrize("norm", [2, "inf"])
def test_deepfool_binary_case_is_the_projection_onto_the_hyperplane(norm: str | int) -> None:
    victim, images, labels = linear_problem(classes=2)
    adversarial = rivalry.attacks.deepfool(victim, images, labels, norm=norm, overshoot=0.0001)
    exact = distances(victim, images, labels, norm)
    torch.testing.assert_close(length(adversarial - images, norm), 1.0001 * exact, rtol=2e-4, atol=2e-7)


def test_deepfool_crosses_where_half_of_its_direction_is_shut() -> None:
    """On a black image half of the pixels cannot follow the step: what it takes is taken from the others."""
    weight = torch.stack([torch.zeros(16), torch.cat([torch.ones(8), -torch.ones(8)])])
    victim = nn.Sequential(nn.Flatten(), nn.Linear(16, 2))
    victim[1].weight.data, victim[1].bias.data = weight, torch.tensor([0.8, 0.0])
    image = torch.zeros(1, 1, 4, 4)
    result = rivalry.attacks.deepfool.run(victim, image, torch.tensor([0]), overshoot=0.02)
    assert result.success.all()
    torch.testing.assert_close(result.images.flatten()[:8], torch.full((8,), 0.1), rtol=0.03, atol=0)
    assert (result.images.flatten()[8:] == 0).all()


@pytest.mark.parametrize("name", ["fgsm", "i_fgsm", "pgd"])
def test_linf_attacks_flip_exactly_the_images_within_their_budget(name: str) -> None:
    """Between two classes of a linear victim, the sign step is the best that an Linf budget can buy."""
    victim, images, labels = linear_problem(classes=2, n=60)
    exact = distances(victim, images, labels, "inf")
    eps = float(exact.median())
    options = {"i_fgsm": {"eps_step": eps / 4}, "pgd": {"step_size": eps / 4}}.get(name, {})
    result = run(name, victim, images, labels, eps=eps, **options)
    clear = (exact - eps).abs() > 1e-6
    assert torch.equal(result.success[clear], (exact < eps)[clear])


def test_pgd_reaches_the_analytic_optimum_in_l2() -> None:
    victim, images, labels = linear_problem(classes=2, n=60)
    exact = distances(victim, images, labels, 2)
    eps = float(exact.median())
    result = rivalry.attacks.pgd.run(victim, images, labels, norm=2, eps=eps, step_size=eps / 4)
    clear = (exact - eps).abs() > 1e-4 * eps
    assert torch.equal(result.success[clear], (exact < eps)[clear])


@pytest.mark.parametrize(
    ("name", "norm"), norms([name for name in FIXED if "eps" in registry.method("attacks", name).parameters])
)
@pytest.mark.parametrize("eps", [0.0, 0.03, 0.5, 2.0])
def test_budget_and_range_hold(name: str, norm: str | int, eps: float, images: torch.Tensor) -> None:
    victim = small_cnn()
    labels = victim(images).argmax(dim=1)
    eps = {"inf": min(eps, 1.0), 0: float(math.ceil(eps))}.get(norm, eps)
    options = norm_option(name, norm) | steps_to(name, eps) | {"eps": eps}
    adversarial = run(name, victim, images, labels, **options).images
    assert adversarial.min() >= 0
    assert adversarial.max() <= 1
    assert length(adversarial - images, norm).max() <= eps * (1 + 1e-6) + 1e-7


@pytest.mark.parametrize(("name", "norm"), norms(ATTACKS))
def test_an_images_result_does_not_depend_on_its_batch(name: str, norm: str | int, images: torch.Tensor) -> None:
    victim = OneByOne(small_cnn())
    labels = victim(images).argmax(dim=1)
    option = norm_option(name, norm)
    together = run(name, victim, images, labels, seed=5, **option)
    shuffled = torch.randperm(len(images), generator=torch.Generator().manual_seed(1))
    apart = run(name, victim, images[shuffled], labels[shuffled], seed=5, batch_size=3, **option)
    torch.testing.assert_close(apart.images, together.images[shuffled], rtol=0, atol=2e-6)
    assert torch.equal(apart.success, together.success[shuffled])
    assert torch.equal(apart.queries, together.queries[shuffled])
    assert torch.equal(apart.iterations, together.iterations[shuffled])
    alone = run(name, victim, images[7:8], labels[7:8], seed=5, **option).images
    torch.testing.assert_close(alone, together.images[7:8], rtol=0, atol=2e-6)


@pytest.mark.parametrize("name", ATTACKS)
def test_one_seed_gives_the_same_bytes(name: str, images: torch.Tensor) -> None:
    victim = small_cnn()
    labels = victim(images).argmax(dim=1)
    assert torch.equal(*(run(name, victim, images, labels, seed=1).images for _ in range(2)))


@pytest.mark.parametrize("name", ["random_noise", "pgd"])
def test_another_seed_gives_other_noise(name: str, images: torch.Tensor) -> None:
    victim = small_cnn()
    labels = victim(images).argmax(dim=1)
    assert not torch.equal(*(run(name, victim, images, labels, seed=seed).images for seed in (1, 2)))


@pytest.mark.parametrize("name", ATTACKS)
def test_misclassified_images_are_returned_untouched_and_counted_apart(name: str, images: torch.Tensor) -> None:
    victim = small_cnn()
    labels = victim(images).argmax(dim=1)
    labels[::2] = (labels[::2] + 1) % 4
    result = run(name, victim, images, labels)
    assert not result.attacked[::2].any()
    assert result.attacked[1::2].all()
    assert torch.equal(result.images[::2], images[::2])
    assert not result.success[::2].any()
    assert (result.queries[::2] == 1).all()  # the one that showed the mistake
    assert (result.gradients[::2] == 0).all()


@pytest.mark.parametrize("name", TARGETED)
def test_targeted_attacks_are_scored_on_hitting_the_target(name: str) -> None:
    victim, images, labels = linear_problem(n=40)
    targets = torch.full_like(labels, 2)
    result = run(name, victim, images, labels, targets=targets)
    assert result.fitted is None or result.fitted.images == 24
    assert torch.equal(result.attacked, labels != 2)
    assert torch.equal(result.success, result.attacked & (result.predictions == 2))
    assert result.success.any()


def test_targeted_success_of_small_steps_grows_with_eps() -> None:
    victim, images, labels = linear_problem(classes=5, n=80)
    targets = (labels + 1) % 5
    rates = [
        rivalry.attacks.i_fgsm.run(victim, images, labels, targets=targets, eps=eps, eps_step=eps / 10, steps=10)
        .success.float()
        .mean()
        for eps in (0.005, 0.01, 0.02, 0.04)
    ]
    assert rates == sorted(rates)
    assert rates[-1] > rates[0]


def test_i_fgsm_spends_no_more_than_fgsm(images: torch.Tensor) -> None:
    victim = small_cnn()
    labels = victim(images).argmax(dim=1)
    single = rivalry.attacks.fgsm.run(victim, images, labels, eps=0.4)
    small = rivalry.attacks.i_fgsm.run(victim, images, labels, eps=0.4, eps_step=0.02, steps=20)
    assert (small.success >= single.success).all()
    both = single.success & small.success
    assert both.any()
    change = lambda result: (result.images - images)[both].flatten(1).norm(dim=1)  # noqa: E731
    assert (change(small) <= change(single) + 1e-6).all()


@pytest.mark.parametrize("name", [n for n in UNTARGETED if n not in ("random_noise", "adversarial_patch")])
def test_every_attack_beats_noise(name: str) -> None:
    """At its own budget and norm; an attack without a budget, as large as noise that is of its median size.

    A patch has all of a few pixels and none of the others: no noise is its like, so it is measured elsewhere.
    """
    victim, images, labels = linear_problem(classes=5, n=80)
    method = registry.method("attacks", name)
    norm = method.traits["norms"][0]
    if "eps" in method.parameters and norm != 0:
        eps = float(distances(victim, images, labels, norm).median())
        attacked = run(name, victim, images, labels, eps=eps)
    else:
        attacked = run(name, victim, images, labels)
        norm = norm if norm != 0 else "inf"
        eps = float(length(attacked.images - images, norm)[attacked.success].median())
    noise = rivalry.attacks.random_noise.run(victim, images, labels, eps=eps, norm=norm)
    assert attacked.success.sum() > noise.success.sum() + 2  # the image of median distance lies on the boundary


def test_restarts_never_lose_an_image(images: torch.Tensor) -> None:
    victim = small_cnn()
    labels = victim(images).argmax(dim=1)
    once, often = (
        rivalry.attacks.pgd.run(victim, images, labels, eps=0.15, step_size=0.05, steps=3, restarts=restarts)
        for restarts in (1, 5)
    )
    assert (often.success >= once.success).all()
    assert torch.equal(often.images[once.success], once.images[once.success])


class Flat(nn.Module):
    """Constant logits: no gradient anywhere."""

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        return torch.tensor([2.0, 0.0, 0.0]) + 0.0 * images.flatten(1).sum(dim=1, keepdim=True)


class Broken(nn.Module):
    """The square root's derivative is infinite at black pixels."""

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        roots = images.flatten(1).sqrt()
        return torch.stack([2 - roots.mean(dim=1), roots.mean(dim=1)], dim=1)


@pytest.mark.parametrize("name", [n for n in ATTACKS if registry.method("attacks", n).traits["sees"] == "gradients"])
def test_flat_and_broken_gradients_are_survived_and_reported(name: str) -> None:
    images, labels = torch.zeros(5, 1, 8, 8), torch.zeros(5, dtype=torch.int64)
    flat = run(name, Flat(), images, labels)
    fitted = flat.fitted is not None  # such an attack asks for gradients of its training images only
    assert flat.fitted.zero_gradient == flat.fitted.images if fitted else flat.zero_gradient.all()
    assert flat.finite.all()
    assert not flat.success.any()
    # Random starts leave the black pixels' trouble behind; one step from the image itself cannot.
    broken = run(name, Broken(), images, labels)
    assert broken.images.isfinite().all()
    if name != "pgd" and not fitted:
        assert not broken.finite.any()


def test_the_oracle_counts_what_was_asked() -> None:
    victim, images, labels = linear_problem(n=6)
    ledger = Ledger(6)
    oracle = Gradients(victim, ledger, torch.arange(6), 4)
    oracle.decisions(images)
    oracle.on(torch.tensor([1, 1, 5])).logits(images[[1, 1, 5]])
    oracle.on(torch.tensor([2])).loss_gradient(images[2:3], Goal(labels[2:3]))
    oracle.on(torch.tensor([3])).jacobian(images[3:4], lambda rows, logits: torch.eye(logits.shape[1])[None, :3])
    assert ledger.queries.tolist() == [1, 3, 2, 2, 1, 2]
    assert ledger.gradients.tolist() == [0, 0, 1, 3, 0, 0]


def test_a_flat_objective_behind_the_boundary_is_no_masked_gradient() -> None:
    victim, images, labels = linear_problem(n=6)
    assert not rivalry.attacks.cw.run(victim, images, labels, objective="f6").zero_gradient.any()


def test_counts_of_known_attacks() -> None:
    victim, images, labels = linear_problem(n=6)
    fgsm = rivalry.attacks.fgsm.run(victim, images, labels, eps=1e-6)
    assert (fgsm.queries == 1).all()  # it shows which images are right, and is differentiated
    assert (fgsm.gradients == 1).all()
    pgd = rivalry.attacks.pgd.run(victim, images, labels, eps=1e-6, step_size=1e-6, steps=7, restarts=2)
    assert (pgd.gradients == 14).all()
    assert (pgd.queries == 1 + 2 * 8).all()  # each start ends with a look at the last iterate


@pytest.mark.parametrize("name", ["fgsm", "i_fgsm"])
def test_the_clean_images_pass_is_made_once(name: str) -> None:
    victim, images, labels = linear_problem(n=6)
    labels = labels.clone()
    labels[2] = (labels[2] + 1) % 5  # not attacked: the gradient is asked for some of the batch only
    shown = []
    victim.register_forward_hook(lambda module, inputs, logits: shown.append(len(logits)))
    result = run(name, victim, images, labels, eps=1e-6)
    # What came out is looked at once more, at no query; i_fgsm's final question was about the attacked images.
    assert int(result.queries.sum()) == sum(shown) - (6 if name == "fgsm" else 1)
    going = torch.tensor([0, 1, 3, 4, 5])
    assert (result.queries[going] == result.iterations[going] + (name == "i_fgsm")).all()  # its last iterate
    torch.testing.assert_close(result.images[going], run(name, victim, images[going], labels[going], eps=1e-6).images)


@pytest.mark.parametrize("name", ["bim", "mi_fgsm", "pgd"])
@pytest.mark.parametrize("eps", [0.02, 0.3])
def test_what_the_final_question_was_about_is_not_classified_again(name: str, eps: float, images: torch.Tensor) -> None:
    victim = small_cnn()
    labels = victim(images).argmax(dim=1)
    shown = []
    victim.register_forward_hook(lambda module, inputs, logits: shown.append(len(logits)))
    result = run(name, victim, images, labels, eps=eps, **{"steps": 6} | steps_to(name, eps, 6))
    again = sum(shown) - int(result.queries.sum())
    assert 0 <= again < len(images)
    logits = victim(result.images)
    assert torch.equal(result.predictions, logits.argmax(dim=1))
    confidence = logits.softmax(dim=1).gather(1, result.predictions[:, None]).squeeze(1)
    torch.testing.assert_close(result.confidence, confidence)


def test_a_broken_answer_does_not_stand_for_the_outcome(images: torch.Tensor) -> None:
    class Failing(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.victim, self.passes = small_cnn(), 0

        def forward(self, images: torch.Tensor) -> torch.Tensor:
            self.passes += 1
            return self.victim(images) * (torch.nan if self.passes == 3 else 1)

    victim = Failing()
    labels = victim.victim(images).argmax(dim=1)
    result = rivalry.attacks.bim.run(victim, images, labels, eps=0.1, step_size=0.05, steps=2)
    assert victim.passes == 4  # two gradients, the clean images' pass among them, the final question, the outcome
    assert not result.finite.any()
    assert torch.equal(result.predictions, victim.victim(result.images).argmax(dim=1))


@pytest.mark.parametrize("rows", [[0, 1, 2], [2, 0]])
@pytest.mark.parametrize("clean_first", [True, False])
def test_gradients_are_those_where_they_were_asked(rows: list[int], clean_first: bool) -> None:
    """The clean images' pass serves the first question if that is about them, and no other."""
    victim, images, labels = small_cnn(), torch.rand(3, 1, 8, 8), torch.arange(3)
    ledger = Ledger(3)
    oracle = Gradients(victim, ledger, torch.arange(3), 4)
    oracle.clean_decisions(images)
    oracle, images = oracle.handed(images, torch.tensor(rows))
    goal = Goal(labels[rows])
    for asked in (images, 1 - images) if clean_first else (1 - images, images):
        logits, _, gradient = oracle.loss_gradient(asked, goal)
        leaf = asked.clone().requires_grad_(True)
        (expected,) = torch.autograd.grad(goal.loss(victim(leaf)).sum(), leaf)
        torch.testing.assert_close(logits, victim(asked))
        torch.testing.assert_close(gradient, expected)
    assert (ledger.queries[rows] == (2 if clean_first else 3)).all()


def test_an_oracle_has_no_more_than_it_is_named_for() -> None:
    assert not hasattr(Decisions, "logits")
    assert not hasattr(Decisions, "loss_gradient")
    assert not hasattr(Scores, "loss_gradient")
    assert not hasattr(Scores, "jacobian")


def test_the_victim_is_left_as_it_was(images: torch.Tensor) -> None:
    victim = small_cnn().train()
    victim[0].weight.requires_grad_(False)
    rivalry.attacks.fgsm(victim, images, torch.zeros(20, dtype=torch.int64))
    assert victim.training
    assert victim[1].training
    assert not victim[0].weight.requires_grad
    assert victim[3].weight.requires_grad
    assert victim[3].weight.grad is None


@pytest.mark.parametrize(
    ("name", "channels", "last"), [("fgsm", 3, True), ("fgsm", 1, False), ("square", 3, True), ("square", 1, True)]
)
def test_convolutions_are_laid_out_during_an_attack_only(name: str, channels: int, last: bool) -> None:
    victim = nn.Sequential(nn.Conv2d(channels, 4, 3), nn.Conv2d(4, 4, 3), nn.Flatten(), nn.Linear(64, 2))
    weight = victim[1].weight
    weight.data = weight.data.contiguous(memory_format=torch.contiguous_format if last else torch.channels_last)
    stored, strides, values = weight.data_ptr(), weight.stride(), weight.detach().clone()
    seen = []
    victim.register_forward_hook(lambda *_: seen.append(weight.is_contiguous() != last))
    for images, failing in ((torch.rand(5, channels, 8, 8), False), (torch.rand(5, channels, 9, 8), True)):
        with pytest.raises(RuntimeError) if failing else nullcontext():
            run(name, victim, images, torch.zeros(5, dtype=torch.int64))
        assert (weight.data_ptr(), weight.stride()) == (stored, strides)
        assert torch.equal(weight, values)
    assert seen
    assert all(seen)


def test_jacobian_rows_are_the_gradients_of_the_weighted_logits(images: torch.Tensor) -> None:
    victim = small_cnn()
    oracle = Gradients(victim, Ledger(20), torch.arange(20), 6)
    weights = torch.randn(20, 2, 4, generator=torch.Generator().manual_seed(0))
    logits, jacobian = oracle.jacobian(images, lambda rows, _: weights[rows])
    torch.testing.assert_close(logits, victim(images))
    for image in (0, 11):
        for place in range(2):
            leaf = images[image : image + 1].clone().requires_grad_(True)
            (expected,) = torch.autograd.grad((weights[image, place] * victim(leaf)[0]).sum(), leaf)
            torch.testing.assert_close(jacobian[image, place], expected[0])


class Guarded(nn.Module):
    """A linear victim with a third output that refuses bright images."""

    reject_class = 2

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        flat = images.flatten(1)
        brightness = flat.mean(dim=1)
        return torch.stack([0.1 + 0 * brightness, flat[:, 0] - flat[:, 1], 20 * (brightness - 0.6)], dim=1)


@pytest.mark.parametrize("name", ["i_fgsm", "pgd", "deepfool", "one_pixel", "square"])
def test_attacks_on_a_victim_that_refuses_evade_the_refusal_too(name: str) -> None:
    images, labels = torch.full((4, 1, 3, 3), 0.5), torch.zeros(4, dtype=torch.int64)
    result = run(name, Guarded(), images, labels)
    assert (result.predictions == 1).all()
    assert result.success.all()


def test_being_refused_is_no_success() -> None:
    goal = Goal(torch.tensor([0, 0, 0]), reject=2)
    assert goal.reached(torch.tensor([0, 1, 2])).tolist() == [False, True, False]
    logits = torch.tensor([[2.0, 1.0, 0.5]] * 3)
    expected = -torch.log(logits.softmax(1)[:, 0] + logits.softmax(1)[:, 2])
    torch.testing.assert_close(goal.loss(logits), expected)


@pytest.mark.parametrize(
    ("images", "targets", "message"),
    [
        (torch.zeros(3, 8, 8), None, "N,C,H,W"),
        (torch.zeros(3, 1, 8, 8).double(), None, "float32"),
        (torch.full((3, 1, 8, 8), 255.0), None, r"\[0,1\]"),
        (torch.zeros(3, 1, 8, 8), torch.zeros(3, dtype=torch.int64), "no targeted form"),
    ],
)
def test_wrong_input_is_refused(images: torch.Tensor, targets: torch.Tensor | None, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        rivalry.attacks.deepfool(small_cnn(), images, torch.zeros(3, dtype=torch.int64), targets=targets)
