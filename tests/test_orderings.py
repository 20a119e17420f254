"""What must hold between attacks on a victim that has learned something: real 8x8 digits, a small trained CNN.

Processors round differently, and training makes more of it. Weights that began 1e-6 apart, five times over, moved no
count of the 60 images by more than three, and no count of all 397 by more than six; so orderings leave that much.
"""

from __future__ import annotations

from functools import cache
from itertools import pairwise
from typing import Any

import pytest
import torch
from sklearn.datasets import load_digits
from torch import Tensor, nn

import rivalry.attacks
from rivalry import registry
from rivalry.attacks._attack import Result
from rivalry.norms import length

EPS = 0.15
FEW = 3
TARGETED = [
    name for name in registry.names("attacks") if "targeted" in registry.method("attacks", name).traits["goals"]
]
ITERATIVE = ["i_fgsm", "bim", "mi_fgsm", "pgd", "apgd_ce", "apgd_dlr", "apgd_targeted", "selective_pgd"]
OPTIONS: dict[str, dict[str, Any]] = {
    "one_pixel": {"population": 40, "generations": 15, "eps": 3},
    "adversarial_patch": {"passes": 5, "size": 0.5},
    "universal": {"passes": 2},
    "square": {"queries": 300},
    "hopskipjump": {"iterations": 8},
    "substitute": {"architecture": "mlp512", "rounds": 2},
    "lbfgs": {"search_steps": 6, "steps": 15},
    "jsma": {"gamma": 0.5},
}


def train(seed: int, hidden: int) -> nn.Module:
    images, labels = data()
    torch.manual_seed(seed)
    victim = nn.Sequential(
        nn.Conv2d(1, 16, 3), nn.ReLU(), nn.Conv2d(16, 16, 3), nn.ReLU(), nn.Flatten(),
        nn.Linear(256, hidden), nn.ReLU(), nn.Linear(hidden, 10),
    )  # fmt: skip
    optimizer = torch.optim.Adam(victim.parameters(), lr=0.003)
    for step in range(150):
        rows = torch.arange(step * 64, step * 64 + 64) % 1400
        optimizer.zero_grad()
        nn.functional.cross_entropy(victim(images[rows]), labels[rows]).backward()
        optimizer.step()
    return victim.eval()


@cache
def data() -> tuple[Tensor, Tensor]:
    digits = load_digits()
    images = torch.tensor(digits.images, dtype=torch.float32)[:, None] / 16
    order = torch.randperm(len(images), generator=torch.Generator().manual_seed(0))
    return images[order], torch.tensor(digits.target)[order]


@cache
def victim() -> nn.Module:
    return train(0, 32)


@cache
def fooled(name: str, options: tuple[tuple[str, Any], ...] = (), target: bool = False) -> tuple[Tensor, Result]:
    """The test images and the result of an attack on them."""
    images, labels = (part[1400:1460] for part in data())
    given = OPTIONS.get(name, {}) | dict(options)
    if registry.method("attacks", name).traits.get("fitted"):
        given["training"] = tuple(part[:150] for part in data())
    if target:
        given["targets"] = torch.full_like(labels, 3)
    return images, getattr(rivalry.attacks, name).run(victim(), images, labels, seed=2, **given)


@cache
def on_all(name: str) -> Result:
    """An attack on all images that the victim has not seen."""
    images, labels = (part[1400:] for part in data())
    return getattr(rivalry.attacks, name).run(victim(), images, labels, seed=2, eps=EPS)


def at(name: str, eps: float, **options: Any) -> Result:
    return fooled(name, (("eps", eps), *options.items()))[1]


def test_the_victim_has_learned_something() -> None:
    images, labels = data()
    assert (victim()(images[1400:]).argmax(dim=1) == labels[1400:]).float().mean() > 0.9  # .96


@pytest.mark.parametrize("name", [name for name in ITERATIVE if name != "mi_fgsm"])  # it trades this for transfer
def test_many_steps_fool_what_one_step_fools_and_nearly_nothing_is_lost(name: str) -> None:
    single, many = on_all("fgsm"), on_all(name)
    assert many.success.sum() > single.success.sum() + 2 * FEW  # by 14 to 46 on weights that began 1e-6 apart
    assert (single.success & ~many.success).sum() < 0.05 * single.success.sum()  # at most 8 of 257 there


@pytest.mark.parametrize("name", ["fgsm", "fgvm", "rand_fgsm", *ITERATIVE, "square", "universal", "substitute"])
def test_attacks_beat_noise_of_their_size(name: str) -> None:
    norm = registry.method("attacks", name).traits["norms"][0]
    eps = EPS if norm == "inf" else 1.0
    # The universal perturbation, made for all images at once, is shown at the size at which it works on many.
    eps = 2 * eps if name == "universal" else eps
    assert at(name, eps).success.sum() > at("random_noise", eps, norm=norm).success.sum() + 2 * FEW


@pytest.mark.parametrize("name", [*ITERATIVE, "square", "universal"])
def test_success_grows_with_eps(name: str) -> None:
    rates = [int(at(name, eps).success.sum()) for eps in (0.05, EPS, 0.3)]
    assert all(more >= fewer - FEW for fewer, more in pairwise(rates))
    assert rates[-1] > rates[0] + 5 * FEW


@pytest.mark.parametrize("name", ITERATIVE)
def test_without_a_limit_every_image_falls(name: str) -> None:
    option = {"step_size": 0.05} if name in ("bim", "pgd") else {"eps_step": 0.1} if name == "i_fgsm" else {}
    result = at(name, 1.0, **option)
    assert torch.equal(result.success, result.attacked)


@pytest.mark.parametrize(
    ("name", "option", "few"), [("pgd", "steps", 40), ("apgd_ce", "steps", 50), ("pgd", "restarts", 2)]
)
def test_twice_the_effort_changes_little(name: str, option: str, few: int) -> None:
    short, long = (at(name, EPS, **{option: effort}) for effort in (few, 2 * few))
    assert abs(int(long.success.sum()) - int(short.success.sum())) <= FEW


@pytest.mark.parametrize("name", ["square", "substitute"])
def test_black_boxes_do_not_beat_gradients(name: str) -> None:
    assert at(name, EPS).success.sum() <= at("pgd", EPS).success.sum() + FEW


def test_a_decision_attack_needs_no_smaller_changes_than_gradients() -> None:
    images, blind = fooled("hopskipjump")
    _, seeing = fooled("cw")
    both = blind.success & seeing.success
    assert both.sum() > 40
    sizes = [length(result.images - images, 2)[both].median() for result in (seeing, blind)]
    assert sizes[0] < 0.9 * sizes[1]  # .52 and .8


def test_transfer_is_weaker_than_the_white_box() -> None:
    _, other = data()[0][1400:1460], train(1, 48)
    for name in ("fgsm", "pgd", "mi_fgsm"):
        result = at(name, EPS)
        labels = data()[1][1400:1460]
        replayed = other(result.images).argmax(dim=1) != labels
        fooled_there, fooled_here = int(replayed[result.attacked].sum()), int(result.success.sum())
        assert fooled_there < fooled_here - FEW  # by 11 to 31


def test_momentum_transfers_better_than_stopping_at_the_boundary() -> None:
    labels, other = data()[1][1400:1460], train(1, 48)
    rates = {
        name: (other(at(name, 0.3).images).argmax(dim=1) != labels).float().mean() for name in ("mi_fgsm", "i_fgsm")
    }
    assert rates["mi_fgsm"] > rates["i_fgsm"] + 0.2  # .98 and .53


@pytest.mark.parametrize(
    ("name", "norm"), [("deepfool", 2), ("cw", 2), ("lbfgs", 2), ("fab", 2), ("deepfool", "inf"), ("fab", "inf")]
)
def test_minimal_attacks_need_less_than_the_first_eps_at_which_a_step_succeeds(name: str, norm: str | int) -> None:
    images, result = fooled(name, (("norm", norm),) if name != "lbfgs" else ())
    assert torch.equal(result.success, result.attacked)
    single = at(
        "fgsm" if norm == "inf" else "fgvm", 0.3 if norm == "inf" else 1.5, **({} if norm == "inf" else {"norm": 2})
    )
    both = single.success
    sizes = [length(changed.images - images, norm)[both].median() for changed in (result, single)]
    assert sizes[0] < 0.7 * sizes[1]  # at most .45 of it


def test_the_optimiser_finds_smaller_changes_than_one_linearisation_at_a_time() -> None:
    images, slow = fooled("cw")
    _, quick = fooled("deepfool")
    both = slow.success & quick.success
    ratio = length(slow.images - images, 2)[both] / length(quick.images - images, 2)[both]
    assert (ratio < 1).float().mean() > 0.6  # three of four
    assert ratio.median() < 1.005


@pytest.mark.parametrize("name", [name for name in TARGETED if name not in ("backdoor_trigger", "illc")])
def test_targeted_attacks_hit_their_target(name: str) -> None:
    method = registry.method("attacks", name)
    option: tuple[tuple[str, Any], ...] = ()
    if "eps" in method.parameters and name != "one_pixel":
        option = (("eps", 0.3 if method.traits["norms"][0] == "inf" else 2.5),)
    _, result = fooled(name, option, target=True)
    assert (result.predictions[result.success] == 3).all()
    least = {  # 12 % below what was seen, or 3 of 47 images
        "one_pixel": 0.02,
        "adversarial_patch": 0.06,
        "substitute": 0.6,
        "rand_fgsm": 0.25,
        "fgsm": 0.55,
        "mi_fgsm": 0.7,
    }
    assert result.success[result.attacked].float().mean() > least.get(name, 0.8)
