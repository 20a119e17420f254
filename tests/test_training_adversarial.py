"""Training methods that attack what they learn from: what is crafted, what is minimised, what a collapse does."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy

import rivalry.attacks
from helpers import Linear, linear_problem
from rivalry.artifacts import read_json, read_table
from rivalry.errors import RivalryError, RivalryWarning
from rivalry.report.tables.victims import otherwise
from rivalry.seeds import derive_seed
from rivalry.stages.train import train
from rivalry.training._recipe import Recipe
from rivalry.training.adversarial_fine_tuning import adversarial_fine_tuning
from rivalry.training.adversarial_training import adversarial_training
from rivalry.training.ensemble_adversarial_training import ensemble_adversarial_training
from rivalry.training.fast_adversarial_training import fast_adversarial_training
from rivalry.training.plain import plain
from rivalry.training.trades import trades
from rivalry.victims import load_victim
from test_training import FITTING, PowerCut, cut_off, data, learn, model, recipe_of, save_untrained, stripes, weights

__all__ = ["data"]  # a fixture

EPS = 0.1


class Watched(nn.Module):
    """A victim that remembers what it was asked while it learned, and in which mode it was attacked."""

    def __init__(self, victim: nn.Module) -> None:
        super().__init__()
        self.victim = victim
        self.learned: list[Tensor] = []
        self.attacked: list[Tensor] = []

    def forward(self, images: Tensor) -> Tensor:
        (self.learned if self.training else self.attacked).append(images.detach().clone())
        logits: Tensor = self.victim(images)
        return logits


def two_classes(n: int = 20) -> tuple[Watched, Tensor, Tensor]:
    """A linear victim of two classes, for which the worst image of every ball is known exactly."""
    victim, images, labels = linear_problem(classes=2, n=n)
    return Watched(victim).train(), images, labels


def worst(victim: Linear, images: Tensor, labels: Tensor, norm: str | int, eps: float = EPS) -> Tensor:
    """The images of highest loss in the balls, away from the edges of [0,1]."""
    towards = victim.weight[1 - labels] - victim.weight[labels]
    unit = towards.sign() if norm == "inf" else towards / towards.norm(dim=1, keepdim=True)
    return (images + eps * unit.view_as(images)).detach()


def linear(watched: Watched) -> Linear:
    assert isinstance(watched.victim, Linear)
    return watched.victim


@pytest.mark.parametrize("norm", ["inf", 2])
@pytest.mark.parametrize(
    "how", [{"attack": "fgsm"}, {"steps": 40, "step_size": EPS / 4}, {"attack": "fgsm", "random_start": True}]
)
def test_the_inner_attack_of_a_linear_victim_is_exact(norm: str | int, how: dict[str, Any]) -> None:
    watched, images, labels = two_classes()
    loss = adversarial_training(images, labels, norm=norm, eps=EPS, **how).loss(watched, images, labels)
    expected = worst(linear(watched), images, labels, norm)
    if how.get("random_start"):  # one step of eps from a random point: projected, it need not arrive
        change = watched.learned[0] - images
        size = change.abs().amax() if norm == "inf" else change.flatten(1).norm(dim=1).amax()
        assert float(size) <= EPS + 1e-6
        assert not torch.allclose(watched.attacked[0], images)
    else:
        torch.testing.assert_close(watched.learned[0], expected, atol=2e-3 if norm == 2 else 1e-6, rtol=0)
        torch.testing.assert_close(loss, cross_entropy(linear(watched)(watched.learned[0]), labels))


def test_a_random_start_is_what_pgd_has_and_fgsm_has_not() -> None:
    for attack, start, random in (("pgd", None, True), ("pgd", False, False), ("fgsm", None, False)):
        watched, images, labels = two_classes()
        recipe = adversarial_training(images, labels, attack=attack, eps=EPS, steps=12, random_start=start)
        recipe.loss(watched, images, labels)
        assert torch.equal(watched.attacked[0], images) != random
        assert float((watched.attacked[0] - images).abs().max()) <= EPS + 1e-6


@pytest.mark.parametrize("alpha", [0.0, 0.25, 1.0])
def test_a_share_of_the_images_stays_clean(alpha: float) -> None:
    watched, images, labels = two_classes()
    recipe = adversarial_training(images, labels, attack="fgsm", eps=EPS, mix="images", alpha=alpha)
    loss = recipe.loss(watched, images, labels)
    (learned,) = watched.learned
    kept = round(alpha * len(images))
    assert torch.equal(learned[:kept], images[:kept])
    torch.testing.assert_close(learned[kept:], worst(linear(watched), images, labels, "inf")[kept:])
    torch.testing.assert_close(loss, cross_entropy(linear(watched)(learned), labels))


def test_fast_training_steps_once_from_a_random_point_and_stays_in_the_ball() -> None:
    watched, _, labels = two_classes(n=200)
    images = torch.rand(200, 1, 6, 6)  # many near the edges of [0,1]
    fast_adversarial_training(images, labels, eps=EPS).loss(watched, images, labels)
    (start,), (learned,) = watched.attacked, watched.learned
    begun = start - images
    assert float(begun.min()) == pytest.approx(-EPS, abs=1e-3)
    assert float(begun.max()) == pytest.approx(EPS, abs=1e-3)
    towards = (worst(linear(watched), images, labels, "inf") - images).sign()
    expected = (images + (begun + 1.25 * EPS * towards).clamp(-EPS, EPS)).clamp(0, 1)
    torch.testing.assert_close(learned, expected)
    inner = (learned - images).abs() < 0.99 * EPS
    assert 0.05 < float(inner.float().mean()) < 0.9  # by far not all pixels end in a corner


def test_trades_is_cross_entropy_and_the_price_of_answering_otherwise() -> None:
    images, labels = stripes(40)
    pixels = images.float() / 255
    watched = Watched(model()).train()
    watched.victim[3].p = 0.0
    recipe = trades(pixels, labels, beta=3.0, eps=EPS, step_size=EPS / 4, steps=8)
    loss = recipe.loss(watched, pixels, labels)
    clean, crafted = watched.learned
    assert torch.equal(clean, pixels)
    assert float((crafted - pixels).abs().max()) <= EPS + 1e-6
    assert float((crafted - pixels).abs().mean()) > EPS / 2
    assert 0 <= float(crafted.min()) <= float(crafted.max()) <= 1
    assert float((watched.attacked[1] - pixels).abs().max()) < 0.01  # where the ascent begins: near, but not at it
    assert not torch.equal(watched.attacked[1], pixels)
    p, q = watched.victim(pixels).softmax(1), watched.victim(crafted).softmax(1)
    expected = cross_entropy(watched.victim(pixels), labels) + 3 * (p * (p / q).log()).sum() / len(pixels)
    torch.testing.assert_close(loss, expected)
    loss.backward()
    assert all(bool(parameter.grad.abs().sum()) for parameter in watched.parameters())
    assert trades(pixels, labels, beta=0.0, eps=EPS, steps=1).loss(watched, pixels, labels) == cross_entropy(
        watched.victim(pixels), labels
    )


def test_the_attack_of_trades_raises_the_divergence_of_a_linear_victim_as_far_as_it_goes() -> None:
    watched, images, labels = two_classes()
    trades(images, labels, eps=EPS, step_size=EPS / 4, steps=20).loss(watched, images, labels)
    change = watched.learned[1] - images
    torch.testing.assert_close(change.abs(), torch.full_like(change, EPS))


@pytest.mark.parametrize(
    "recipe",
    [
        lambda images, labels: adversarial_training(images, labels, eps=EPS),
        lambda images, labels: fast_adversarial_training(images, labels, eps=EPS),
        lambda images, labels: trades(images, labels, eps=EPS),
    ],
)
def test_robust_accuracy_is_measured_by_ten_steps_whatever_is_inside(recipe: Callable[..., Recipe]) -> None:
    watched, images, labels = two_classes()
    attacked = recipe(images, labels).attacked
    assert attacked is not None
    _, crafted = attacked(watched.eval(), images, labels)
    torch.testing.assert_close(crafted, worst(linear(watched), images, labels, "inf"))
    assert len([asked for asked in watched.attacked if asked.shape == images.shape]) in (11, 12)


# ---- static victims ----


def test_an_ensemble_draws_whom_each_batch_is_attacked_on(tmp_path: Path) -> None:
    images, labels = stripes(40)
    pixels = images.float() / 255
    folders = []
    for seed in (1, 2):
        save_untrained(tmp_path / str(seed), seed)
        folders.append(str(tmp_path / str(seed)))
    watched = Watched(model()).train()
    watched.victim[3].p = 0.0
    recipe = ensemble_adversarial_training(images, labels, sources=folders, eps=EPS, alpha=0.25)
    pool = [*(load_victim(folder) for folder in folders), watched.victim]
    made = [one_step(one, pixels, labels) for one in pool]
    counts = [0, 0, 0]
    torch.manual_seed(0)
    for _ in range(30):
        watched.learned.clear()
        loss = recipe.loss(watched, pixels, labels)
        clean, crafted = watched.learned
        assert torch.equal(clean, pixels)
        (source,) = (number for number, one in enumerate(made) if torch.allclose(one, crafted, atol=1e-6))
        counts[source] += 1
        expected = 0.25 * cross_entropy(watched.victim(clean), labels)
        torch.testing.assert_close(loss, expected + 0.75 * cross_entropy(watched.victim(crafted), labels))
    assert min(counts) >= 4


def one_step(victim: nn.Module, images: Tensor, labels: Tensor) -> Tensor:
    """What fgsm makes of images, also of those that the victim gets wrong."""
    images = images.clone().requires_grad_(True)
    (gradient,) = torch.autograd.grad(cross_entropy(victim(images), labels), images)
    return (images.detach() + EPS * gradient.sign()).clamp(0, 1)


def test_an_ensemble_takes_half_of_its_budget_at_random_if_told_so(tmp_path: Path) -> None:
    images, labels = stripes(40)
    pixels = 0.5 + 0.001 * torch.randn(40, 1, 6, 6)
    save_untrained(tmp_path)
    watched = Watched(model()).train()
    options = {"sources": [str(tmp_path)], "attack": "rand_fgsm", "eps": EPS}
    recipe = ensemble_adversarial_training(images, labels, **options)
    recipe.loss(watched, pixels, labels)
    sizes = (watched.learned[1] - pixels).abs().unique()
    assert all(min(abs(float(size)), abs(float(size) - EPS)) < 1e-6 for size in sizes)  # two steps of EPS / 2
    assert len(sizes) > 1


# ---- fine-tuning ----


def trained() -> nn.Module:
    victim = model()
    learn(None, victim)
    return victim.eval()


@pytest.mark.parametrize("attack", ["fgsm", "deepfool", {"method": "pgd", "eps": 0.25, "steps": 5, "step_size": 0.1}])
def test_fine_tuning_learns_from_what_an_attack_makes_of_the_victim_as_it_was(attack: Any) -> None:
    images, labels = stripes(60)
    victim = trained()
    settings = {"method": attack} if isinstance(attack, str) else dict(attack)
    recipe = adversarial_fine_tuning(images, labels, victim, 7, attack=attack)
    run = getattr(rivalry.attacks, settings.pop("method")).run
    pixels = images.float() / 255
    made = run(victim, pixels, labels, seed=derive_seed(7, "attack"), batch_size=256, **settings)
    assert made.success.sum() > 10
    torch.testing.assert_close(recipe.images / 255, made.images)
    assert torch.equal(recipe.targets, labels)
    assert torch.equal(recipe.sources, torch.arange(60))

    larger = adversarial_fine_tuning(images, labels, victim, 7, attack=attack, scale=2.0)
    torch.testing.assert_close(larger.images / 255, (pixels + 2 * (made.images - pixels)).clamp(0, 1))
    both = adversarial_fine_tuning(images, labels, victim, 7, attack=attack, clean=True)
    torch.testing.assert_close(both.images[60:], images.float())
    assert torch.equal(both.sources, torch.arange(60).repeat(2))
    learn_from = learn(None, trained(), both, epochs=1)
    assert len(learn_from.history) == 1


def test_fine_tuning_needs_an_untargeted_attack() -> None:
    with pytest.raises(RivalryError, match="attack: illc has no untargeted form to learn from; name one that has"):
        adversarial_fine_tuning(*stripes(), trained(), 0, attack="illc")


def test_fine_tuning_goes_on_with_the_victim_that_it_attacked(data: Path, tmp_path: Path) -> None:
    first, second = tmp_path / "victims/first", tmp_path / "victims/second"
    train("first", "mlp512", {}, "plain", {}, FITTING, data, first, seed=3, accelerator="cpu")
    still = FITTING | {"learning_rate": 1e-12, "epochs": 1}
    options = {"attack": {"method": "fgsm", "eps": 0.2}}
    arguments = ("second", "mlp512", {}, "adversarial_fine_tuning", options, still, data, second)
    with pytest.raises(RivalryError, match="warm_start: is missing; adversarial_fine_tuning goes on with a trained"):
        train(*arguments, accelerator="cpu")
    train(*arguments, accelerator="cpu", warm_start=first)
    facts = read_json(second / "victim.json")
    assert facts["parameters"] == options
    images, _ = stripes(300, seed=1)
    torch.testing.assert_close(load_victim(first)(images.float() / 255), load_victim(second)(images.float() / 255))
    # With a learning rate that moves nothing it is validated on its own attacked images, of which it gets few right.
    assert facts["validation_accuracy"] < read_json(first / "victim.json")["validation_accuracy"] - 0.3


# ---- collapse ----


def collapsing(at: int, tolerance: float = 0.2) -> Recipe:
    """Plain training whose attack turns every image, from the `at`-th epoch on: stripes are moved to the next class."""
    images, labels = stripes()
    epoch = itertools.count(1)
    now = {"epoch": 0}

    def attacked(victim: nn.Module, images: Tensor, targets: Tensor) -> tuple[Tensor, Tensor]:
        if len(images) == 240:  # all that is trained on: what the guard looks at
            now["epoch"] = next(epoch)
            return torch.zeros(()), images.roll(2, dims=2) if now["epoch"] >= at else images
        return plain(images, targets).loss(victim, images, targets), images

    return Recipe(labels, plain(images, labels).loss, attacked, tolerance=tolerance)


def test_a_collapse_stops_training_and_an_epoch_before_is_kept(capsys: pytest.CaptureFixture[str]) -> None:
    victim, shorter = model(), model()
    with pytest.warns(RivalryWarning) as told:
        outcome = learn(None, victim, collapsing(4), epochs=9, patience=9, choose_epoch_by="robust_accuracy")
    assert outcome.collapsed == 4
    assert len(outcome.history) == 4
    guarded = [row["train_robust_accuracy"] for row in outcome.history]
    assert guarded[3] < max(guarded[:3]) - 0.2
    assert outcome.best_epoch in (1, 2, 3)
    assert "left" not in capsys.readouterr().out.splitlines()[-1]
    assert str(told[0].message) == (
        f"catastrophic overfitting in epoch 4: train robust accuracy fell from {max(guarded):.4f} to {guarded[3]:.4f}; "
        f"training stops, and epoch {outcome.best_epoch} is kept"
    )
    before = learn(None, shorter, collapsing(99), epochs=3, patience=9, choose_epoch_by="robust_accuracy")
    assert before.collapsed is None
    assert before.best_epoch == outcome.best_epoch
    assert torch.equal(weights(victim), weights(shorter))


def test_a_collapse_that_is_tolerated_stops_nothing() -> None:
    outcome = learn(None, model(), collapsing(4, tolerance=1.0), epochs=6, patience=9)
    assert outcome.collapsed is None
    assert len(outcome.history) == 6


def test_killed_after_a_collapse_it_does_not_go_on(tmp_path: Path) -> None:
    victim, again = model(), model(seed=5)
    options = {"epochs": 9, "patience": 9}
    with pytest.warns(RivalryWarning, match="^catastrophic overfitting in epoch 4"):
        outcome = learn(tmp_path, victim, collapsing(4), **options)
    with pytest.warns(RivalryWarning, match="^catastrophic overfitting in epoch 4"):
        assert learn(tmp_path, again, collapsing(4), **options) == outcome
    assert torch.equal(weights(victim), weights(again))


def test_the_guard_is_among_the_facts_of_a_victim(data: Path, tmp_path: Path) -> None:
    for method, there in (("fast_adversarial_training", True), ("adversarial_training", False)):
        folder = tmp_path / "victims" / method
        parameters = {"eps": 0.1} | ({} if there else {"attack": "fgsm"})
        train(method, "mlp512", {}, method, parameters, FITTING, data, folder, accelerator="cpu")
        facts, curve = read_json(folder / "victim.json"), read_table(folder / "training.csv")
        assert ("collapsed_epoch" in facts) == ("train_robust_accuracy" in curve) == there
        assert facts.get("collapsed_epoch") is None


def test_the_table_of_victims_tells_a_collapse() -> None:
    assert otherwise({"fitting": {}, "collapsed_epoch": 7}) == "stopped by catastrophic overfitting in epoch 7"
    assert otherwise({"fitting": {}, "collapsed_epoch": None}) == otherwise({"fitting": {}}) == ""


# ---- interruptions ----


@pytest.mark.parametrize(
    ("method", "parameters"),
    [
        ("adversarial_training", {"mix": "images", "alpha": 0.5, "steps": 2, "step_size": 0.2}),
        ("adversarial_training", {"norm": 2, "eps": 0.5, "steps": 2, "step_size": 0.3}),
        ("fast_adversarial_training", {"eps": 0.1}),
        ("trades", {"eps": 0.1, "steps": 2, "step_size": 0.1}),
        ("ensemble_adversarial_training", {"attack": "rand_fgsm", "eps": 0.1}),
        ("adversarial_fine_tuning", {"clean": True}),
    ],
)
def test_an_interrupted_training_ends_with_the_same_bytes(
    method: str, parameters: dict[str, Any], tmp_path: Path
) -> None:
    images, labels = stripes()
    keys: dict[str, Any] = {"ema": 0.9, "augmentation": {"noise": 0.05}, "optimizer": "sgd", "epochs": 3}
    if method != "adversarial_fine_tuning":
        keys["choose_epoch_by"] = "robust_accuracy"
    recipe = recipe_of(method, images, labels, tmp_path / "other", **parameters)
    whole, fresh = model(), model(seed=5)
    outcome = learn(None, whole, recipe, **keys)
    with pytest.raises(PowerCut):
        learn(tmp_path, model(), cut_off(recipe, at=25), **keys)
    assert learn(tmp_path, fresh, recipe, **keys) == outcome
    assert torch.equal(weights(fresh), weights(whole))
