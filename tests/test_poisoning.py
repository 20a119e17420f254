"""Facts about triggers and the training sets that bear them."""

from __future__ import annotations

import warnings
from dataclasses import replace
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor, nn

from rivalry import attacks
from rivalry.artifacts import read_json, write_json, write_tensors
from rivalry.config import Mistakes, load_config
from rivalry.errors import RivalryError
from rivalry.generative.wgan import Generator
from rivalry.plan import Plan
from rivalry.poisoning._poisoning import Poisoned
from rivalry.poisoning._trigger import Trigger, drawn
from rivalry.poisoning.backdoor import backdoor
from rivalry.poisoning.clean_label import clean_label
from rivalry.stages.poison import poison

CLASSES = 5


def told_apart(n: int, shape: tuple[int, ...] = (1, 12, 12)) -> tuple[Tensor, Tensor]:
    """Grey noise, uint8 (n,*shape), no two alike; labels of all classes."""
    generator = torch.Generator().manual_seed(0)
    images = torch.randint(60, 190, (n, *shape), generator=generator, dtype=torch.uint8)
    return images, torch.arange(n) % CLASSES


@pytest.fixture
def picture(tmp_path: Path) -> Path:
    pixels = np.zeros((8, 8, 3), np.uint8)
    pixels[:4] = (255, 0, 0)
    Image.fromarray(pixels).save(tmp_path / "sticker.png")
    return tmp_path / "sticker.png"


@pytest.mark.parametrize("shape", [(1, 20, 28), (3, 32, 24)], ids=str)
@pytest.mark.parametrize("kind", ["pixel", "pattern", "image"])
def test_a_trigger_in_four_corners_is_its_own_mirror_image(kind: Any, shape: tuple[int, ...], picture: Path):
    one = drawn(kind, shape, 0, image=str(picture))
    four = drawn(kind, shape, 0, image=str(picture), corners=4)
    for axis in (1, 2):
        assert torch.equal(four.mask, four.mask.flip(axis))
        assert torch.equal(four.pattern, four.pattern.flip(axis))
    assert four.mask.sum() == 4 * one.mask.sum()
    assert torch.equal(four.pattern[one.mask > 0], one.pattern[one.mask > 0])


def test_an_inserted_image_is_what_its_file_shows(picture: Path):
    trigger = drawn("image", (3, 16, 16), 0, image=str(picture), size=0.5)
    place = trigger.mask[0].nonzero()
    assert place.amin(dim=0).tolist() == [7, 7]
    assert place.amax(dim=0).tolist() == [14, 14]
    stamped = trigger.stamp(torch.full((1, 3, 16, 16), 0.5))[0, :, 7:15, 7:15]
    assert stamped[:, 1, 4].tolist() == [1, 0, 0]
    assert stamped[:, 6, 4].tolist() == [0, 0, 0]
    whole = drawn("image", (1, 6, 6), 0, image=str(picture), size=1.0)
    assert (whole.mask == 1).all()


@pytest.mark.parametrize(
    ("given", "said"),
    [({}, "image: is missing"), ({"image": "gone.png"}, "image: gone.png is no file; name a PNG or JPEG")],
)
def test_an_image_that_is_not_there_is_told(given: dict[str, str], said: str):
    with pytest.raises(RivalryError, match=said):
        backdoor(*told_apart(20), 0, trigger="image", **given)


def test_an_amplitude_moves_pixels_towards_the_trigger_and_no_further():
    mask = torch.ones(1, 1, 3)
    trigger = Trigger(mask, torch.tensor([[[1.0, 0.0, 0.5]]]), 0, amplitude=0.2)
    stamped = trigger.stamp(torch.tensor([0.9, 0.9, 0.45]).view(1, 1, 1, 3))
    assert torch.allclose(stamped.flatten(), torch.tensor([1.0, 0.7, 0.5]))
    images = torch.rand(4, 1, 1, 3)
    assert torch.equal(Trigger(mask, mask.clone(), 0).stamp(images), torch.ones(4, 1, 1, 3))


def test_all_to_all_labels_each_copy_as_the_class_after_its_own():
    images, labels = told_apart(100)
    result = backdoor(images, labels, 3, target="next", fraction=0.4)
    bad = result.poisoned
    assert int(bad.sum()) == 40
    assert torch.equal(result.labels[bad], (labels[result.sources[bad]] + 1) % CLASSES)
    assert torch.equal(result.labels[~bad], labels[result.sources[~bad]])
    assert len(result.sources[bad].unique()) == 40
    assert set(labels[result.sources[bad]].tolist()) == set(range(CLASSES))


def test_a_single_target_takes_no_image_of_its_own_class():
    images, labels = told_apart(100)
    result = backdoor(images, labels, 3, target=2, fraction=0.8)
    assert set(labels[result.sources[result.poisoned]].tolist()) == {0, 1, 3, 4}
    with pytest.raises(RivalryError, match="81 copies; there are 1 to 80 images outside class 2"):
        backdoor(images, labels, 3, target=2, fraction=0.81)


@pytest.mark.parametrize("target", [3, "next"])
def test_a_trigger_is_read_as_it_was_written(target: Any, tmp_path: Path):
    trigger = drawn("pattern", (1, 9, 9), target, amplitude=0.3)
    trigger.save(tmp_path)
    read = Trigger.load(tmp_path)
    assert (read.target, read.amplitude) == (target, pytest.approx(0.3))
    assert torch.equal(read.mask, trigger.mask)


class Constant(nn.Module):
    """Always answers the same class."""

    def forward(self, images: Tensor) -> Tensor:
        return 9 * torch.eye(CLASSES)[2].expand(len(images), CLASSES)


def test_a_constant_victim_gives_a_trigger_no_success(tmp_path: Path):
    """It answers the target for every image, but nothing that the trigger did."""
    images, labels = told_apart(50)
    drawn("pattern", (1, 12, 12), 2).save(tmp_path)
    result = attacks.backdoor_trigger.run(Constant(), images / 255, labels, targets=2, poisoning=str(tmp_path))
    assert not result.success.any()
    assert not result.attacked.any()


def test_what_is_poisoned_is_said_of_all_and_of_the_target_class(tmp_path: Path):
    data = tmp_path / "data"
    images, labels = told_apart(100)
    write_tensors(data / "train.safetensors", {"images": images, "labels": labels})
    write_json(data / "dataset.json", {"dataset": "noise", "shape": [1, 12, 12], "classes": CLASSES})
    single = {"trigger": "pattern", "target": 1, "fraction": 0.2}
    for name, own in (("one", single), ("all", single | {"target": "next"})):
        poison(name, "backdoor", own, data, tmp_path / name, seed=0)
    one, every = (read_json(tmp_path / name / "poisoning.json") for name in ("one", "all"))
    assert one["share_of_all"] == pytest.approx(20 / 120)
    assert one["share_of_target"] == pytest.approx(20 / 40)
    assert (every["target"], every["share_of_target"]) == ("next", None)


# Clean labels


class Brightness(nn.Module):
    """Logits that are linear in the pixels: the brighter the upper half, the more class 0."""

    def __init__(self) -> None:
        super().__init__()
        self.linear = nn.Linear(144, CLASSES, bias=False)
        with torch.no_grad():
            self.linear.weight.zero_()
            self.linear.weight[0, :72] = 1.0

    def forward(self, images: Tensor) -> Tensor:
        logits: Tensor = self.linear(images.flatten(1))
        return logits


@pytest.fixture
def proxy(monkeypatch: pytest.MonkeyPatch) -> str:
    monkeypatch.setattr(import_module("rivalry.poisoning.clean_label"), "load_victim", lambda folder: Brightness())
    return "proxy"


def test_clean_labels_stay_and_only_the_target_class_is_touched():
    images, labels = told_apart(200)
    result = clean_label(images, labels, 1, variant="plain", target=3, fraction=0.25)
    assert torch.equal(result.labels, labels)
    assert torch.equal(result.sources, torch.arange(200))
    assert int(result.poisoned.sum()) == 10
    assert (labels[result.poisoned] == 3).all()
    assert torch.equal(result.images[~result.poisoned], images[~result.poisoned])
    mask = result.trigger.mask.bool()
    assert (result.images[result.poisoned][:, mask] == 255).all()
    assert torch.equal(result.images[:, ~mask], images[:, ~mask])


def test_more_poison_is_the_same_poison_and_more():
    images, labels = told_apart(200)
    few, many = (clean_label(images, labels, 1, variant="plain", fraction=share).poisoned for share in (0.2, 0.6))
    assert (few & ~many).sum() == 0
    assert int(many.sum()) == 3 * int(few.sum())


@pytest.mark.filterwarnings("ignore:clean_label. the proxy still has")
@pytest.mark.parametrize("norm", ["inf", 2])
def test_images_are_made_as_hard_as_the_budget_allows(norm: Any, proxy: str):
    images, labels = told_apart(100)
    budget = {"norm": norm, "eps": 0.1, "step_size": 0.02, "steps": 20}
    result = clean_label(images, labels, 1, proxy=proxy, target=0, fraction=1.0, **budget)
    mask = result.trigger.mask.bool()
    change = ((result.images.int() - images.int()) / 255)[result.poisoned]
    # On a linear victim the best change is known: each pixel of the upper half is as much darker as it may be.
    upper = change[:, :, :6][:, ~mask[:, :6]]
    each = 0.1 if norm == "inf" else 0.1 / 72**0.5
    assert torch.allclose(upper, torch.tensor(-each), atol=0.51 / 255)
    assert change[:, :, 6:][:, ~mask[:, 6:]].abs().max() == 0


@pytest.mark.parametrize(("margin", "right"), [(3.0, 0.0), (-3.0, 1.0)])
def test_a_proxy_that_withstands_the_budget_is_told(margin: float, right: float, monkeypatch: pytest.MonkeyPatch):
    """The upper half holds 72 pixels, so a budget of 0.1 moves the logit by 7.2 at most."""
    images, labels = torch.full((40, 1, 12, 12), 128, dtype=torch.uint8), torch.zeros(40, dtype=torch.int64)
    labels[20:] = 1
    proxy = Brightness()
    proxy.linear.bias = nn.Parameter(torch.full((CLASSES,), 72 * 128 / 255 - 7.2 + margin))
    proxy.linear.bias.data[0] = 0
    monkeypatch.setattr(import_module("rivalry.poisoning.clean_label"), "load_victim", lambda folder: proxy)
    budget = {"eps": 0.1, "step_size": 0.02, "steps": 20}
    with warnings.catch_warnings(record=True) as told:
        warnings.simplefilter("always")
        result = clean_label(images, labels, 1, proxy="proxy", target=0, fraction=1.0, **budget)
    assert result.facts == {"proxy_right": right}
    assert ["still has 100% of the changed images right" in str(one.message) for one in told] == [True] * (right == 1)


def test_the_adversarial_variant_needs_a_proxy():
    with pytest.raises(RivalryError, match="proxy: is missing; the adversarial variant"):
        clean_label(*told_apart(20), 0)


def test_a_generator_goes_part_of_the_way_to_another_class(monkeypatch: pytest.MonkeyPatch):
    made = Generator((1, 12, 12), 4, 4).eval().requires_grad_(False)
    monkeypatch.setattr(import_module("rivalry.poisoning.clean_label"), "load_generator", lambda folder: made)
    points = {"near": torch.zeros(10, 4), "far": torch.ones(10, 4)}
    ends = []

    def nearest(generator: nn.Module, images: Tensor, random: object, **keys: object) -> tuple[Tensor, Tensor]:
        ends.append(images)
        return points["near" if len(ends) == 1 else "far"], torch.zeros(10)

    monkeypatch.setattr(import_module("rivalry.poisoning.clean_label"), "nearest", nearest)
    images, labels = told_apart(200)
    result = clean_label(images, labels, 1, variant="gan", generator="g", target=3, fraction=0.25, interpolation=0.3)
    mask = result.trigger.mask.bool()
    expected = made(torch.full((1, 4), 0.3))[0].mul(255).round().to(torch.uint8)
    assert torch.equal(result.images[result.poisoned][:, ~mask], expected[~mask].expand(10, -1))
    assert torch.equal(result.labels, labels)
    given = {image.numpy().tobytes() for image in (ends[0] * 255).round().to(torch.uint8)}
    assert given == {image.numpy().tobytes() for image in images[result.poisoned]}
    known = {image.numpy().tobytes(): int(label) for image, label in zip(images, labels, strict=True)}
    assert 3 not in {known[(image * 255).round().to(torch.uint8).numpy().tobytes()] for image in ends[1]}
    with pytest.raises(RivalryError, match="generator: is missing; the gan variant"):
        clean_label(images, labels, 1, variant="gan", target=3)


@pytest.mark.parametrize(("variant", "key"), [("adversarial", "proxy"), ("gan", "generator")])
def test_what_a_variant_needs_is_missed_before_work(variant: str, key: str):
    content = {
        "datasets": {"digits": {"source": "digits"}},
        "poisonings": {"quiet": {"method": "clean_label", "variant": variant}},
        "victims": {"poisoned": {"method": "plain", "architecture": "lenet5", "poisoning": "quiet"}},
        "attacks": {"noise": {"method": "random_noise", "eps": 0.1}},
        "matches": [{"datasets": ["digits"], "victims": ["poisoned"], "attacks": ["noise"]}],
    }
    with pytest.raises(Mistakes, match=rf"poisonings\.quiet\.{key}: is missing; the {variant} variant"):
        load_config(content)


def test_no_image_to_poison_is_told():
    with pytest.raises(RivalryError, match=r"fraction: 0\.1 of 4 images of class 0 is none; raise it"):
        clean_label(*told_apart(20), 0, variant="plain", fraction=0.1)


def test_a_method_that_promises_clean_labels_and_changes_them_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    data, (images, labels) = tmp_path / "data", told_apart(100)
    write_tensors(data / "train.safetensors", {"images": images, "labels": labels})
    write_json(data / "dataset.json", {"dataset": "noise", "shape": [1, 12, 12], "classes": CLASSES})

    def lying(images: Tensor, labels: Tensor, seed: int, **_: object) -> Poisoned:
        return replace(backdoor(images, labels, seed), trigger=drawn("pattern", (1, 12, 12), 0))

    monkeypatch.setattr(import_module("rivalry.poisoning.clean_label"), "clean_label", lying)
    with pytest.raises(RivalryError, match="clean_label: says that labels stay as they are, and changes some"):
        poison("quiet", "clean_label", {"target": 0}, data, tmp_path / "out")


def test_the_proxy_is_trained_first_and_named_in_the_facts():
    content = {
        "datasets": {"digits": {"source": "digits"}},
        "poisonings": {"quiet": {"method": "clean_label", "proxy": "robust"}},
        "victims": {
            "robust": {"method": "adversarial_training", "architecture": "lenet5"},
            "poisoned": {"method": "plain", "architecture": "lenet5", "poisoning": "quiet"},
        },
        "attacks": {"trigger": {"method": "backdoor_trigger", "poisoning": "quiet"}},
        "matches": [{"datasets": ["digits"], "victims": ["poisoned"], "attacks": ["trigger"]}],
    }
    plan = Plan(load_config(content))
    assert ("digits", "robust") in plan.victims
    proxy = plan.layout.victim("digits", "robust")
    assert set(proxy.files) <= set(plan.poison_inputs("digits", "quiet"))
    assert f'proxy="{proxy.folder}"' in plan.poison_options("digits", "quiet")
    content["poisonings"]["quiet"]["proxy"] = "poisoned"
    with pytest.raises(Mistakes, match="goes in a circle"):
        load_config(content)
