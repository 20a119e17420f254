"""Facts about triggers and the training sets that bear them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor, nn

from rivalry import attacks
from rivalry.artifacts import read_json, write_json, write_tensors
from rivalry.errors import RivalryError
from rivalry.poisoning._trigger import Trigger, drawn
from rivalry.poisoning.backdoor import backdoor
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
