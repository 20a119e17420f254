"""Images that are not square, through every method: nothing takes their height for their width."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import matplotlib as mpl
import pytest
import torch
from torch import Tensor, nn

import rivalry.attacks
from rivalry import registry
from rivalry.defenses.binary_input_detector import binary_input_detector
from rivalry.defenses.neural_cleanse import neural_cleanse
from rivalry.defenses.spatial_smoothing import Smoothing
from rivalry.fooling._fooling import fool
from rivalry.poisoning._trigger import Trigger
from rivalry.poisoning.backdoor import backdoor
from test_awkward_callers import QUICK
from test_fooling import SHORT

SHAPES = [(1, 20, 28), (3, 24, 32), (3, 32, 24)]
CLASSES = 3
shapes = pytest.mark.parametrize("shape", SHAPES, ids=lambda shape: "x".join(map(str, shape)))


class Edges(nn.Module):
    """A linear victim that looks at the last row and the last column only: who never goes there changes nothing."""

    def __init__(self, shape: tuple[int, ...]) -> None:
        super().__init__()
        generator = torch.Generator().manual_seed(0)
        weight = torch.zeros(CLASSES, *shape)
        weight[:, :, -1] = torch.randn(CLASSES, shape[0], shape[2], generator=generator)
        weight[:, :, :, -1] = torch.randn(CLASSES, shape[0], shape[1], generator=generator)
        self.linear = nn.Linear(weight[0].numel(), CLASSES)
        with torch.no_grad():
            self.linear.weight.copy_(weight.flatten(1))
            self.linear.bias.copy_(-weight.flatten(1).sum(1) / 2)

    def forward(self, images: Tensor) -> Tensor:
        logits: Tensor = self.linear(images.flatten(1))
        return logits


def pictures(shape: tuple[int, ...], n: int = 4) -> Tensor:
    return 0.5 + 0.1 * torch.randn(n, *shape, generator=torch.Generator().manual_seed(1)).clamp(-4, 4)


@shapes
@pytest.mark.parametrize("name", registry.names("architectures"))
def test_every_architecture_takes_them(name: str, shape: tuple[int, ...]) -> None:
    network = registry.method("architectures", name).load()(shape, CLASSES).eval()
    with torch.no_grad():
        assert network(pictures(shape)).shape == (4, CLASSES)


@shapes
@pytest.mark.parametrize("name", registry.names("attacks"))
def test_every_attack_changes_their_far_edges(name: str, shape: tuple[int, ...], tmp_path: Path) -> None:
    victim, images = Edges(shape), pictures(shape)
    labels = victim(images).argmax(dim=1)
    traits = registry.method("attacks", name).traits
    options: dict[str, Any] = dict(QUICK.get(name, {}))
    if name == "backdoor_trigger":
        mask = torch.zeros(shape)
        mask[:, -3:, -3:] = 1
        Trigger(mask, mask.clone(), 0).save(tmp_path)
        options["poisoning"] = str(tmp_path)
    if traits.get("fitted"):
        others = pictures(shape, 12)
        options["training"] = (others, victim(others).argmax(dim=1))
    if name == "one_pixel":
        options["eps"] = 40
    if "untargeted" not in traits["goals"] and traits.get("target") is None:
        options["targets"] = 0
    result = getattr(rivalry.attacks, name).run(victim, images, labels, **options)
    assert result.images.shape == images.shape
    changed = (result.images != images).any(dim=1).any(dim=0)
    if name in ("square", "jsma", "hopskipjump", "adversarial_patch", "substitute"):
        assert changed.any()  # where depends on chance, or on where the victim looks
    else:
        assert changed[-1].any()
        assert changed[:, -1].any()
        assert changed[:, min(shape[1:]) :].any() or shape[1] > shape[2]
        assert changed[min(shape[1:]) :].any() or shape[2] > shape[1]


@shapes
@pytest.mark.parametrize("trigger", ["pixel", "pattern"])
def test_a_trigger_is_stamped_near_the_lower_right_corner(trigger: Any, shape: tuple[int, ...]) -> None:
    images = (pictures(shape, 30) * 255).round().clamp(0, 200).to(torch.uint8)
    poisoned = backdoor(images, torch.arange(30) % CLASSES, 0, trigger=trigger, fraction=0.5)
    rows, columns = torch.nonzero(poisoned.trigger.mask.any(dim=0), as_tuple=True)
    assert rows.min() >= shape[1] - 4
    assert columns.min() >= shape[2] - 4


@shapes
@pytest.mark.parametrize("kind", ["median", "mean", "half_mean"])
def test_smoothing_treats_rows_and_columns_alike(kind: str, shape: tuple[int, ...]) -> None:
    images, smooth = pictures(shape), Smoothing(kind, 5)
    torch.testing.assert_close(smooth(images.mT.contiguous()), smooth(images).mT)


@shapes
def test_a_cleanse_looks_for_triggers_and_a_detector_learns_on_them(shape: tuple[int, ...]) -> None:
    victim = Edges(shape)
    images = (pictures(shape, 120) * 255).round().to(torch.uint8)
    labels = victim(images.float() / 255).argmax(dim=1)
    cleansed = neural_cleanse(victim, images, labels, 5, 64, steps=3, minibatch=8, share=0.5, epochs=1)
    assert len(cleansed.facts["mask_l1"]) == CLASSES
    noise = {"method": "random_noise", "eps": 0.3}
    detecting = binary_input_detector(victim, images, labels, 5, 64, attack=noise, sample=60, epochs=1)
    with torch.no_grad():
        assert cleansed.module(pictures(shape)).shape == (4, CLASSES)
        assert detecting.module(pictures(shape)).shape == (4, CLASSES + 1)


@shapes
def test_they_are_drawn_as_wide_as_they_are(shape: tuple[int, ...]) -> None:
    victim, images = Edges(shape), pictures(shape)
    with mpl.rc_context({"backend": "agg"}):
        figure = rivalry.attacks.fgsm.run(victim, images, victim(images).argmax(dim=1), eps=0.3).plot(2)
    drawn = [image.get_array().shape[:2] for axes in figure.axes for image in axes.get_images()]
    assert drawn
    assert set(drawn) == {shape[1:]}


@shapes
@pytest.mark.parametrize("name", registry.names("fooling"))
def test_fooling_images_have_the_victims_shape(name: str, shape: tuple[int, ...]) -> None:
    made = fool(name, Edges(shape), shape, CLASSES, **SHORT[name])
    assert made.images.shape == (CLASSES, *shape)
