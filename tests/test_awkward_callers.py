"""Every attack with everything that callers get wrong, or do in their own way: a right result, or one clear line."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

import rivalry.attacks
from rivalry import registry
from rivalry.attacks._attack import Result, choose_targets
from rivalry.errors import RivalryError
from rivalry.fooling._fooling import fool
from rivalry.norms import project
from rivalry.poisoning._trigger import Trigger

ATTACKS = registry.names("attacks")
CLASSES = 4
N = 6

QUICK: dict[str, dict[str, Any]] = {
    "adversarial_patch": {"passes": 1, "size": 0.6},
    "apgd_ce": {"steps": 4},
    "apgd_dlr": {"steps": 4},
    "apgd_targeted": {"steps": 4, "candidates": 2},
    "bim": {"steps": 4, "step_size": 0.1},
    "cw": {"steps": 12, "search_steps": 2},
    "deepfool": {"steps": 4},
    "dynamic_deepfool": {"steps": 4},
    "fab": {"steps": 3},
    "hopskipjump": {"iterations": 1, "initial_evaluations": 4, "max_evaluations": 4, "initial_trials": 20},
    "i_fgsm": {"steps": 4, "eps_step": 0.1},
    "illc": {"steps": 4, "step_size": 0.1},
    "jsma": {"gamma": 0.2},
    "lbfgs": {"search_steps": 2, "steps": 4},
    "mi_fgsm": {"steps": 4},
    "one_pixel": {"population": 6, "generations": 2, "eps": 3},
    "orthogonal_pgd": {"steps": 4},
    "pgd": {"steps": 4, "step_size": 0.1},
    "selective_pgd": {"steps": 4},
    "square": {"queries": 10},
    "substitute": {"architecture": "mlp512", "rounds": 1, "epochs": 1},
    "universal": {"passes": 1},
}
"""A few steps each: what is looked at here is what goes in and comes out."""


def trait(name: str, key: str) -> Any:
    return registry.method("attacks", name).traits.get(key)


@cache
def problem() -> tuple[nn.Module, Tensor, Tensor]:
    generator = torch.Generator().manual_seed(0)
    victim = nn.Sequential(nn.Flatten(), nn.Linear(64, CLASSES))
    with torch.no_grad():
        victim[1].weight.copy_(torch.randn(CLASSES, 64, generator=generator))
        victim[1].bias.copy_(-victim[1].weight.sum(dim=1) / 2)
    images = 0.5 + 0.05 * torch.randn(N, 1, 8, 8, generator=generator)
    return victim.eval(), images, victim(images).argmax(dim=1)


@cache
def others() -> tuple[Tensor, Tensor]:
    images = 0.5 + 0.05 * torch.randn(12, 1, 8, 8, generator=torch.Generator().manual_seed(1))
    return images, problem()[0](images).argmax(dim=1)


@pytest.fixture(scope="module")
def trigger(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("poisoning")
    mask = torch.zeros(1, 8, 8)
    mask[:, 5:, 5:] = 1
    Trigger(mask, mask.clone(), 0).save(folder)
    return folder


@pytest.fixture
def attack(request: pytest.FixtureRequest, trigger: Path) -> Callable[..., Result]:
    """Runs the attack called `request.param` quickly; what it needs beside the options is there."""
    name = request.param

    def run(victim: Any = None, images: Any = None, labels: Any = None, **options: Any) -> Result:
        usual = problem()
        options = QUICK.get(name, {}) | options
        if name == "backdoor_trigger":
            options |= {"poisoning": str(trigger)}
        if trait(name, "fitted"):
            options = {"training": others()} | options
        if "untargeted" not in trait(name, "goals") and trait(name, "target") is None:
            options = {"targets": 0} | options
        given = (usual[0] if victim is None else victim, usual[1] if images is None else images)
        found: Result = getattr(rivalry.attacks, name).run(*given, usual[2] if labels is None else labels, **options)
        return found

    run.name = name  # type: ignore[attr-defined]
    return run


every_attack = pytest.mark.parametrize("attack", ATTACKS, indirect=True, ids=ATTACKS)
targeted = [name for name in ATTACKS if "targeted" in trait(name, "goals")]
untargeted_only = [name for name in ATTACKS if name not in targeted]


@cache
def usual_images(name: str, run: Callable[..., Result]) -> Tensor:
    return run().images


def is_sound(result: Result, images: Tensor) -> None:
    """What holds of every result, whoever the victim is."""
    assert result.images.shape == images.shape
    assert result.images.dtype == torch.float32
    assert not result.images.requires_grad
    assert result.images.min() >= 0
    assert result.images.max() <= 1
    untouched = ~result.attacked
    assert torch.equal(result.images[untouched], images.detach()[untouched])
    assert not (result.success & untouched).any()


# ---- the same question, asked in another way ----


class Awkward(nn.Module):
    """The usual victim behind something that a caller does."""

    def __init__(self, ask: Callable[[nn.Module, Tensor], Any]) -> None:
        super().__init__()
        self.victim, self.ask = problem()[0], ask

    def forward(self, images: Tensor) -> Any:
        return self.ask(self.victim, images)


def normalising_in_place(victim: nn.Module, images: Tensor) -> Tensor:
    images.sub_(0.5).mul_(2)
    return victim(images / 2 + 0.5)


class Bare(nn.Module):
    """No parameters at all."""

    def forward(self, images: Tensor) -> Tensor:
        weight = problem()[0][1].weight.detach()
        return images.flatten(1) @ weight.T - weight.sum(dim=1) / 2


def dropping_out() -> nn.Module:
    victim = problem()[0]
    return nn.Sequential(nn.Dropout(0.5), victim).train()


def scripted() -> nn.Module:
    with warnings.catch_warnings():  # PyTorch would rather have it exported
        warnings.simplefilter("ignore")
        return torch.jit.script(problem()[0])


def without_gradients() -> nn.Module:
    with torch.inference_mode():
        return nn.Sequential(nn.Flatten(), nn.Linear(64, CLASSES))


LABELS: dict[str, Callable[[Tensor], Any]] = {
    "int32": lambda labels: labels.int(),
    "uint8": lambda labels: labels.to(torch.uint8),
    "numpy": lambda labels: labels.numpy().astype(np.int32),
    "list": lambda labels: labels.tolist(),
}


@every_attack
@pytest.mark.parametrize("kind", LABELS)
def test_integers_of_any_kind_are_labels(attack: Callable[..., Result], kind: str) -> None:
    labels = LABELS[kind](problem()[2])
    assert torch.equal(attack(labels=labels).images, attack().images)


@pytest.mark.parametrize("attack", targeted, indirect=True, ids=targeted)
def test_targets_are_a_class_a_rule_or_one_for_each(attack: Callable[..., Result]) -> None:
    labels = problem()[2]
    zeros = torch.zeros_like(labels)
    ways = [[0, np.int64(0), torch.tensor(0), zeros, zeros.int(), zeros.numpy(), zeros.tolist()]]
    if not trait(attack.name, "fitted"):
        ways.append(["next", (labels + 1) % CLASSES])
    for way in ways:
        first, *rest = (attack(targets=targets) for targets in way)
        assert all(torch.equal(first.images, other.images) for other in rest)
        assert torch.equal(first.attacked, (labels != 0) if way[0] == 0 else torch.ones(N, dtype=torch.bool))


@every_attack
@pytest.mark.parametrize("mode", ["no_grad", "inference_mode", "requires_grad", "made in inference mode"])
def test_the_callers_gradient_mode_changes_nothing(attack: Callable[..., Result], mode: str) -> None:
    images, labels = problem()[1].clone(), problem()[2]
    usual = attack().images
    if mode == "requires_grad":
        result = attack(images=images.requires_grad_(True))
    elif mode == "no_grad":
        with torch.no_grad():
            result = attack()
    else:
        with torch.inference_mode():
            made = mode.startswith("made")
            result = attack(images=images.clone() if made else images, labels=labels.clone() if made else labels)
    assert torch.equal(result.images, usual)
    assert torch.is_grad_enabled()
    is_sound(result, images)


VICTIMS: dict[str, Callable[[], nn.Module]] = {
    "no parameters": Bare,
    "TorchScript": scripted,
    "in training mode": dropping_out,
    "writing into its input": lambda: Awkward(normalising_in_place),
    "double answers": lambda: Awkward(lambda victim, images: victim(images).double()),
    "half answers": lambda: Awkward(lambda victim, images: victim(images).bfloat16()),
}


@every_attack
@pytest.mark.parametrize("kind", VICTIMS)
def test_victims_of_other_kinds_are_attacked_like_the_usual_one(attack: Callable[..., Result], kind: str) -> None:
    """The same images come out, but for rounding; half precision rounds too much for that."""
    victim, images = VICTIMS[kind](), problem()[1].clone()
    with warnings.catch_warnings():
        warnings.simplefilter("error", UserWarning)
        result, usual = attack(victim, images), attack()
    is_sound(result, images)
    assert torch.equal(images, problem()[1])
    assert result.attacked.sum() == (usual.attacked.sum() if kind != "half answers" else result.attacked.sum())
    # A victim that computes in other steps rounds otherwise, which a search may take as a fork of its way.
    if kind in ("TorchScript", "in training mode", "double answers"):
        torch.testing.assert_close(result.images, usual.images, rtol=0, atol=1e-5)
    eps = registry.method("attacks", attack.name).parameters.get("eps")
    if eps is not None and trait(attack.name, "norms")[0] == "inf":
        assert (result.images - images).abs().max() <= eps.default + 1e-6
    assert victim.training == (kind == "in training mode" or isinstance(victim, Bare | Awkward))


@every_attack
def test_no_images_give_an_empty_result(attack: Callable[..., Result]) -> None:
    images, labels = problem()[1:]
    result = attack(images=images[:0], labels=labels[:0])
    assert result.images.shape == (0, 1, 8, 8)
    assert len(result) == len(result.to_frame()) == 0
    assert result.to_frame().dtypes.equals(attack().to_frame().dtypes)


# ---- answers that are no numbers ----


def silent_beside(images: Tensor) -> Callable[[nn.Module, Tensor], Tensor]:
    """NaN for every image but these."""
    known = {image.numpy().tobytes() for image in images}

    def ask(victim: nn.Module, shown: Tensor) -> Tensor:
        foreign = torch.tensor([image.numpy().tobytes() not in known for image in shown.detach()])
        return torch.where(foreign[:, None], torch.nan, victim(shown))

    return ask


@every_attack
def test_a_nan_is_never_a_success(attack: Callable[..., Result]) -> None:
    images = problem()[1]
    result = attack(Awkward(silent_beside(torch.cat([images, others()[0]]))))
    assert result.attacked.any()
    assert not result.success.any()
    changed = (result.images != images).flatten(1).any(dim=1)
    assert (result.predictions[changed] == -2).all()


@every_attack
@pytest.mark.parametrize("value", [torch.nan, torch.inf])
def test_an_image_without_a_clean_answer_is_not_attacked(attack: Callable[..., Result], value: float) -> None:
    images = problem()[1].clone()
    images[2, 0, 0, 0] = 0.9

    def ask(victim: nn.Module, shown: Tensor) -> Tensor:
        marked = (shown[:, 0, 0, 0] == images[2, 0, 0, 0])[:, None] & torch.tensor([True, False, False, False])
        return torch.where(marked, value, victim(shown))

    labels = problem()[0](images).argmax(dim=1)
    labels[2] = 0
    result = attack(Awkward(ask), images, labels)
    assert not result.attacked[2]
    assert not result.finite[2]
    assert result.clean_predictions[2] == -2
    is_sound(result, images)


@every_attack
def test_minus_infinity_is_the_least_logit(attack: Callable[..., Result]) -> None:
    """As of log probabilities: a class that an image cannot be. The true one is negative, which 0 would outdo."""
    images, labels = problem()[1:]
    impossible = (labels + 2) % CLASSES
    by_image = {image.numpy().tobytes(): int(k) for image, k in zip(images, impossible, strict=True)}

    def ask(victim: nn.Module, shown: Tensor) -> Tensor:
        log_p = victim(shown).log_softmax(dim=1)
        never = torch.tensor([by_image.get(image.numpy().tobytes(), -1) for image in shown.detach()])
        return torch.where(torch.arange(CLASSES) == never[:, None], -torch.inf, log_p)

    result = attack(Awkward(ask))
    assert torch.equal(result.clean_predictions, labels)
    assert torch.equal(result.attacked, attack().attacked)
    assert result.finite.all()
    is_sound(result, images)


def test_an_infinite_logit_leaves_the_others_their_gradient() -> None:
    """pgd on log probabilities, one of which is always minus infinity, does as well as on the other classes alone."""
    victim, images, _ = problem()
    labels = victim(images)[:, :3].argmax(dim=1)
    three = Awkward(lambda victim, shown: victim(shown)[:, :3].log_softmax(dim=1))
    four = Awkward(
        lambda victim, shown: nn.functional.pad(victim(shown)[:, :3].log_softmax(1), (0, 1), value=-torch.inf)
    )
    options = {"eps": 0.02, "step_size": 0.005, "steps": 8}
    apart, beside = (rivalry.attacks.pgd.run(v, images, labels, **options) for v in (three, four))
    assert torch.equal(apart.images, beside.images)
    assert torch.equal(apart.success, beside.success)


# ---- one clear line ----

WRONG: dict[str, tuple[Callable[[], dict[str, Any]], str]] = {
    "float labels": (lambda: {"labels": problem()[2].float()}, "labels: are float32; give one class number"),
    "bool labels": (lambda: {"labels": problem()[2] > 0}, "labels: are bool"),
    "one-hot labels": (
        lambda: {"labels": nn.functional.one_hot(problem()[2], CLASSES)},
        r"labels: have shape \(6, 4\); give one class number for each image.*argmax",
    ),
    "labels in a column": (lambda: {"labels": problem()[2][:, None]}, r"labels: have shape \(6, 1\);.*squeeze"),
    "too few labels": (lambda: {"labels": problem()[2][:5]}, r"labels: have shape \(5,\); .*\(6,\)"),
    "a label too high": (lambda: {"labels": problem()[2] + CLASSES}, "labels: [4-7] is no class; .*0 to 3"),
    "a negative label": (lambda: {"labels": problem()[2] - CLASSES}, "labels: -[1-4] is no class"),
    "labels of text": (lambda: {"labels": ["cat"] * N}, "labels: list holds no class numbers"),
    "pixels up to 255": (lambda: {"images": problem()[1] * 255}, r"images must lie in \[0,1\]"),
    "a NaN pixel": (lambda: {"images": torch.full((N, 1, 8, 8), torch.nan)}, r"images must lie in \[0,1\]"),
    "bytes": (lambda: {"images": torch.zeros(N, 1, 8, 8, dtype=torch.uint8)}, "float32 tensor .N,C,H,W., not uint8"),
    "NumPy images": (lambda: {"images": problem()[1].numpy()}, r"images must be a float32 tensor"),
    "no channels": (lambda: {"images": problem()[1][:, 0]}, r"not float32 \(6, 8, 8\)"),
    "a tuple": (lambda: {"victim": Awkward(lambda v, x: (v(x), x))}, "the victim gives a tuple; .* logits"),
    "a mapping": (lambda: {"victim": Awkward(lambda v, x: {"logits": v(x)})}, "the victim gives a dict; .* logits"),
    "a vector": (lambda: {"victim": Awkward(lambda v, x: v(x)[:, 0])}, r"the victim gives a tensor of shape \(\d+,\)"),
    "one column": (lambda: {"victim": Awkward(lambda v, x: v(x)[:, :1])}, "the victim gives one column"),
    "classes": (lambda: {"victim": Awkward(lambda v, x: v(x).argmax(dim=1))}, "the victim gives int64"),
    "made in inference mode": (lambda: {"victim": without_gradients()}, "the victim was made in inference mode"),
    "one row": (lambda: {"victim": Awkward(lambda v, x: v(x)[:1])}, r"the victim gives a tensor of shape \(1, 4\)"),
    "half precision": (
        lambda: {"victim": nn.Sequential(nn.Flatten(), nn.Linear(64, CLASSES)).half()},
        r"its parameters are float16: convert it, victim.float\(\)",
    ),
    "no such parameter": (lambda: {"epsilon": 0.1}, "epsilon: .* has no such parameter"),
    "a batch of none": (lambda: {"batch_size": 0}, "batch_size: 0 is wrong"),
    "an unknown rule": (lambda: {"targets": "nxt"}, "target: 'nxt' is unknown; did you mean 'next'|no targeted form"),
    "a target too high": (lambda: {"targets": CLASSES}, "target: 4 is no class|no targeted form"),
    "targets too high": (
        lambda: {"targets": torch.full((N,), CLASSES)},
        "targets: 4 is no class; the victim tells apart 0 to 3|no targeted form",
    ),
    "a target that is true": (lambda: {"targets": True}, "target: True is no target|no targeted form"),
    "too few targets": (lambda: {"targets": torch.zeros(2).long()}, r"targets: have shape \(2,\)|no targeted form"),
    "float targets": (lambda: {"targets": torch.zeros(N)}, "targets: are float32|no targeted form"),
}


@every_attack
@pytest.mark.parametrize("kind", WRONG)
def test_what_cannot_be_right_is_one_clear_line(attack: Callable[..., Result], kind: str) -> None:
    make, message = WRONG[kind]
    with pytest.raises(ValueError, match=message) as caught:
        attack(**make())
    assert isinstance(caught.value, RivalryError)
    assert "\n" not in str(caught.value)


@every_attack
def test_a_victim_without_gradients_is_said_to_have_none(attack: Callable[..., Result]) -> None:
    victim = Awkward(lambda v, x: v(x.detach()).detach())
    if trait(attack.name, "sees") == "gradients":
        with pytest.raises(RivalryError, match="no gradient by its input"):
            attack(victim)
    else:
        assert torch.equal(attack(victim).images, attack().images)


@every_attack
def test_probabilities_are_warned_about(attack: Callable[..., Result]) -> None:
    with pytest.warns(UserWarning, match="look like probabilities"):
        attack(Awkward(lambda victim, images: victim(images).softmax(dim=1)))


@pytest.mark.parametrize("attack", ["pgd"], indirect=True)
def test_a_victim_that_writes_only_sometimes_is_found_out(attack: Callable[..., Result]) -> None:
    asked = []

    def ask(victim: nn.Module, images: Tensor) -> Tensor:
        asked.append(1)
        if len(asked) == 3:
            images = images.detach()
            images.zero_()
        return victim(images)

    with pytest.raises(RivalryError, match="writes into its input"):
        rivalry.attacks.square.run(Awkward(ask), *problem()[1:], queries=10)


@pytest.mark.parametrize("reject", [1, 4, 7])
def test_a_refusal_must_be_the_last_class(reject: int) -> None:
    victim = Awkward(lambda v, x: v(x))
    victim.reject_class = reject
    with pytest.raises(RivalryError, match="reject_class"):
        rivalry.attacks.fgsm(victim, *problem()[1:])


# ---- norms and other parameters ----


@pytest.mark.parametrize(
    ("spelled", "norm"),
    [(float("inf"), "inf"), ("Linf", "inf"), ("linf", "inf"), ("INF", "inf"), ("L2", 2), ("l2", 2), ("2", 2), (2.0, 2)],
)
@pytest.mark.parametrize("name", [n for n in ATTACKS if "norm" in registry.method("attacks", n).parameters])
def test_a_norm_is_the_same_however_it_is_spelled(name: str, spelled: Any, norm: str | int) -> None:
    options = QUICK.get(name, {}) | {"training": others()} if trait(name, "fitted") else QUICK.get(name, {})
    if "eps" in registry.method("attacks", name).parameters:
        options = options | {"eps": 0.3}
    asked, usual = (
        getattr(rivalry.attacks, name).run(*problem(), norm=given, **options).images for given in (spelled, norm)
    )
    assert torch.equal(asked, usual)


PARAMETERS = [
    ("pgd", {"norm": 1}, "pgd: norm: 1 is unknown; valid: 2, inf"),
    ("cw", {"norm": "L1"}, "cw: norm: 'L1' is unknown"),
    ("pgd", {"eps": 8}, r"pgd: eps: 8 is out of range; .* at most 1 \(8/255 is 0.03137\)"),
    ("pgd", {"eps": float("nan")}, "pgd: eps: nan is wrong"),
    ("pgd", {"eps": "0.1"}, "pgd: eps: '0.1' is text"),
    ("pgd", {"eps": [0.1, 0.2]}, "pgd: eps: "),
    ("pgd", {"steps": -1}, "pgd: steps: -1 is wrong: should be greater than or equal to 1"),
    ("pgd", {"steps": 2.5}, "pgd: steps: 2.5 is wrong"),
    ("pgd", {"steps": 10**100}, "pgd: steps: 1000.* is wrong"),
    ("pgd", {"step_size": 8}, "pgd: step_size: 8 is out of range"),
    ("pgd", {"steps": 3}, "pgd: step_size: 3 steps of 0.01 reach no further than 0.03, and eps is 0.3"),
    ("bim", {"steps": 3}, "bim: step_size: "),
    ("illc", {"steps": 3}, "illc: step_size: "),
    ("i_fgsm", {"eps_step": 0.01}, "i_fgsm: eps_step: 10 steps of 0.01 reach no further than 0.1"),
    ("one_pixel", {"population": 1}, "one_pixel: population: 1 is wrong"),
    ("one_pixel", {"eps": 1.5}, "one_pixel: eps: 1.5 is no whole number"),
    ("jsma", {"theta": 0}, "jsma: theta: 0 is wrong: should not be 0"),
    ("jsma", {"theta": 2.0}, "jsma: theta: 2.0 is wrong"),
    ("substitute", {"rounds": 60}, "substitute: rounds: 60 is wrong"),
    ("adversarial_patch", {"size": 10**9}, "adversarial_patch: size: 1000000000 is wrong"),
    ("backdoor_trigger", {}, "backdoor_trigger: poisoning: is missing"),
]


@pytest.mark.parametrize(("name", "options", "message"), PARAMETERS)
def test_a_wrong_parameter_is_named(name: str, options: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        getattr(rivalry.attacks, name)(*problem(), **options)


def test_numbers_of_numpy_and_pytorch_are_numbers() -> None:
    usual = rivalry.attacks.pgd(*problem(), eps=0.25, steps=30)
    assert torch.equal(rivalry.attacks.pgd(*problem(), eps=np.float32(0.25), steps=np.int64(30)), usual)
    assert torch.equal(rivalry.attacks.pgd(*problem(), eps=torch.tensor(0.25), steps=torch.tensor(30)), usual)


# ---- attacks that learn from other images; targets by chance ----

FITTED = [name for name in ATTACKS if trait(name, "fitted")]


@pytest.mark.parametrize("attack", FITTED, indirect=True, ids=FITTED)
def test_as_many_training_images_are_used_as_are_asked_for(attack: Callable[..., Result]) -> None:
    assert attack(training_images=7).fitted.images == 7
    assert attack(training_images=1000).fitted.images == len(others()[1])


@pytest.mark.parametrize("attack", FITTED, indirect=True, ids=FITTED)
@pytest.mark.parametrize(
    ("training", "message"),
    [
        (None, "needs `training`"),
        ((torch.zeros(3, 1, 8, 8), torch.zeros(2).long()), r"training\[1\]: have shape \(2,\)"),
        ((torch.zeros(3, 1, 8, 8), torch.full((3,), 9)), r"training\[1\]: 9 is no class"),
        ((torch.full((3, 1, 8, 8), 2.0), torch.zeros(3).long()), r"training\[0\] must lie in"),
        ((torch.zeros(0, 1, 8, 8), torch.zeros(0).long()), "training: holds no images"),
    ],
)
def test_wrong_training_images_are_named(attack: Callable[..., Result], training: Any, message: str) -> None:
    with pytest.raises(RivalryError, match=message):
        attack(training=training)


def test_a_copy_learns_of_classes_that_its_seeds_lack() -> None:
    """All seeds are of class 0; the new points beside them are of others, and so are the images attacked."""
    victim, images, labels = problem()
    pool = 0.5 + 0.05 * torch.randn(200, 1, 8, 8, generator=torch.Generator().manual_seed(5))
    seeds = pool[victim(pool).argmax(dim=1) == 0]
    result = rivalry.attacks.substitute.run(
        victim, images, labels, training=(seeds, torch.zeros(len(seeds)).long()), **QUICK["substitute"]
    )
    assert int(result.fitted.tensors["classes"]) == CLASSES
    assert labels.max() > 0
    is_sound(result, images)


def test_a_random_target_is_the_images_own() -> None:
    """The same alone, in another order and beside others; never the label; all other classes come up."""
    victim = problem()[0]
    images = torch.rand(60, 1, 8, 8, generator=torch.Generator().manual_seed(2))
    labels = victim(images).argmax(dim=1)
    choose = lambda rows: choose_targets("random", victim, images[rows], labels[rows], 3)  # noqa: E731
    targets = choose(torch.arange(60))
    shuffled = torch.randperm(60, generator=torch.Generator().manual_seed(4))
    assert torch.equal(choose(shuffled), targets[shuffled])
    assert torch.equal(choose(torch.tensor([17])), targets[17:18])
    assert (targets != labels).all()
    assert set(((targets - labels) % CLASSES).tolist()) == {1, 2, 3}


@pytest.mark.parametrize("seed", range(20))
def test_a_white_patch_stays_within_the_pixels_range(seed: int) -> None:
    """Bilinear weights add up to a little more than 1 here and there."""
    images = torch.full((40, 1, 9, 9), 0.5)
    images += 0.1 * torch.rand(images.shape, generator=torch.Generator().manual_seed(seed))
    victim = nn.Sequential(nn.Flatten(), nn.Linear(81, 2))
    with torch.no_grad():
        victim[1].weight.copy_(torch.stack([torch.full((81,), -1.0), torch.ones(81)]))
        victim[1].bias.copy_(torch.tensor([50.0, -50.0]))
    labels = torch.zeros(40, dtype=torch.int64)
    result = rivalry.attacks.adversarial_patch.run(
        victim, images, labels, training=(images, labels), size=0.9, learning_rate=1.0, passes=2, seed=seed
    )
    assert result.images.max() <= 1
    assert result.images.min() >= 0


@pytest.mark.parametrize("name", ["pgd", "apgd_ce", "universal", "fgvm", "square", "random_noise", "semi_random_noise"])
def test_without_a_budget_nothing_changes_in_l2(name: str) -> None:
    options = QUICK.get(name, {}) | ({"training": others()} if trait(name, "fitted") else {})
    result = getattr(rivalry.attacks, name).run(*problem(), norm=2, eps=0, **options)
    assert torch.equal(result.images, problem()[1])
    assert not result.success.any()


@pytest.mark.parametrize("norm", ["inf", 2])
@pytest.mark.parametrize("eps", [0.0, 0.1])
def test_a_projection_stays_on_its_device(norm: str | int, eps: float) -> None:
    """The meta device has shapes only, and like a GPU it is not mixed with the CPU."""
    assert project(torch.zeros(2, 1, 3, 3, device="meta"), norm, eps).device.type == "meta"


# ---- images without content ----

FOOLING = {
    "gradient_ascent": {"steps": 4},
    "map_elites_cppn": {"generations": 2, "children": 2},
    "map_elites_direct": {"generations": 2, "children": 2},
}


@pytest.mark.parametrize("name", FOOLING)
def test_images_of_nothing_are_made_for_awkward_callers_too(name: str) -> None:
    make = lambda victim: fool(name, victim, (1, 8, 8), CLASSES, **FOOLING[name])  # noqa: E731
    usual = make(problem()[0])
    with torch.no_grad():
        assert torch.equal(make(problem()[0]).images, usual.images)
    with torch.inference_mode():
        assert torch.equal(make(dropping_out()).images, usual.images)
    writing = make(Awkward(normalising_in_place)).images
    assert writing.min() >= 0
    assert writing.max() <= 1
    silent = make(Awkward(lambda victim, images: victim(images) * torch.nan))
    assert not silent.finite.any()
    assert (silent.predictions == -2).all()
    assert not (silent.confidence >= 0).any()


@pytest.mark.parametrize("name", FOOLING)
@pytest.mark.parametrize(
    ("ask", "options", "message"),
    [
        (lambda victim, images: (victim(images),), {}, "the victim gives a tuple"),
        (lambda victim, images: victim(images)[:, :3], {}, "classes: 4 were asked for, and the victim tells apart 3"),
        (lambda victim, images: victim(images), {"stepps": 3}, "stepps: .* has no such parameter"),
        (lambda victim, images: victim(images), {"blur_width": -1, "children": 0}, "(blur_width|children): "),
    ],
)
def test_wrong_questions_for_images_of_nothing_are_one_line(
    name: str, ask: Callable[..., Any], options: dict[str, Any], message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        fool(name, Awkward(ask), (1, 8, 8), CLASSES, **FOOLING[name] | options)
