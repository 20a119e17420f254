"""Facts about the defenses that change images before the victim sees them."""

from __future__ import annotations

import io
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor, nn

from rivalry import attacks, registry
from rivalry.defenses._defended import Preprocessed, clipped, substituted
from rivalry.defenses.bit_depth import BitDepthReduction
from rivalry.defenses.jpeg import JPEG
from rivalry.defenses.low_pass import LowPass
from rivalry.defenses.pca import pca
from rivalry.defenses.soft_threshold import SoftThreshold
from rivalry.defenses.spatial_smoothing import Smoothing
from rivalry.errors import RivalryError

ALL: list[tuple[str, dict[str, Any]]] = [
    ("bit_depth", {"bits": 3}),
    ("jpeg", {"quality": 50}),
    ("low_pass", {"cutoff": 0.5}),
    ("pca", {"components": 10}),
    ("soft_threshold", {"rule": "bayes"}),
    ("soft_threshold", {"rule": "universal", "wavelet": "db2", "levels": 1}),
    ("spatial_smoothing", {"kind": "sharpen"}),
]
every = pytest.mark.parametrize(
    ("name", "parameters"), ALL, ids=[f"{name}-{next(iter(own.values()))}" for name, own in ALL]
)
SHAPES = [(1, 12, 12), (3, 10, 14), (1, 13, 9)]


class Linear(nn.Module):
    """Logits (N,3) that are linear in the pixels."""

    def __init__(self, shape: tuple[int, ...]) -> None:
        super().__init__()
        self.linear = nn.Linear(torch.Size(shape).numel(), 3)
        generator = torch.Generator().manual_seed(0)
        with torch.no_grad():
            weight = torch.randn(3, *shape, generator=generator)
            # Coarse, so that a preprocessor leaves something to see; and no class is far ahead of the others.
            weight = nn.functional.avg_pool2d(weight, 3, stride=1, padding=1).flatten(1)
            self.linear.weight.copy_(weight)
            self.linear.bias.copy_(-weight.sum(dim=1) / 2)

    def forward(self, images: Tensor) -> Tensor:
        logits: Tensor = self.linear(images.flatten(1))
        return logits


def pictures(shape: tuple[int, ...], n: int = 24) -> Tensor:
    """Smooth pictures with some noise, uint8 (n,*shape), black in the first rows."""
    generator = torch.Generator().manual_seed(1)
    coarse = torch.rand(n, shape[0], 4, 4, generator=generator)
    fine = nn.functional.interpolate(coarse, shape[1:], mode="bilinear") + 0.1 * torch.randn(
        n, *shape, generator=generator
    )
    fine[:, :, :2] = 0
    return (fine.clamp(0, 1) * 255).round().to(torch.uint8)


def defended(name: str, parameters: dict[str, Any], shape: tuple[int, ...]) -> tuple[nn.Module, Tensor]:
    images = pictures(shape)
    method = registry.method("defenses", name)
    victim = Linear(shape)
    made = method.load()(
        victim, images, torch.zeros(len(images), dtype=torch.int64), 0, 8, **method.defaults | parameters
    )
    return made.module, images.float() / 255


@every
@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_images_stay_images(name: str, parameters: dict[str, Any], shape: tuple[int, ...]):
    module, images = defended(name, parameters, shape)
    for given in (images, torch.zeros(2, *shape), torch.ones(2, *shape), torch.rand(2, *shape).round()):
        seen = module.preprocessor(given)
        assert seen.shape == given.shape
        assert seen.dtype == torch.float32
        assert seen.min() >= 0
        assert seen.max() <= 1


@every
def test_an_image_is_seen_alike_in_every_batch(name: str, parameters: dict[str, Any]):
    module, images = defended(name, parameters, (3, 10, 14))
    together = module.preprocessor(images)
    alone = torch.cat([module.preprocessor(images[i : i + 1]) for i in range(len(images))])
    assert torch.allclose(together, alone, atol=1e-6)


@every
def test_gradients_reach_every_pixel_and_change_no_answer(name: str, parameters: dict[str, Any]):
    module, images = defended(name, parameters, (1, 12, 12))
    leaf = images.clone().requires_grad_(True)
    logits = module(leaf)
    assert torch.equal(logits.detach(), module(images))
    (gradient,) = torch.autograd.grad((logits[:, 0] - logits[:, 1]).sum(), leaf)
    assert (gradient[:, :, 2:] != 0).all()  # the first rows are always black: there, no principal component looks


@pytest.mark.parametrize(
    ("name", "parameters"),
    [*ALL, ("chain", {"steps": [{"method": "low_pass"}, {"method": "pca", "components": 10}]}), ("query_limit", {})],
    ids=lambda part: part if isinstance(part, str) else next(iter(part), ""),
)
def test_what_a_defense_makes_lies_where_its_victim_is(name: str, parameters: dict[str, Any]):
    # A device without numbers stands for a GPU. Low pass and pca left theirs on the processor.
    images, method = pictures((1, 12, 12)), registry.method("defenses", name)
    victim, labels = Linear((1, 12, 12)).to("meta"), torch.zeros(len(images), dtype=torch.int64)
    made = method.load()(victim, images, labels, 0, 8, **method.defaults | parameters)
    assert {tensor.device.type for tensor in [*made.module.parameters(), *made.module.buffers()]} == {"meta"}


@every
def test_a_stored_preprocessor_sees_the_same(name: str, parameters: dict[str, Any]):
    module, images = defended(name, parameters, (3, 10, 14))
    method = registry.method("defenses", name)
    facts = {"parameters": method.defaults | parameters, "shape": [3, 10, 14], "classes": 3}
    again = method.load("restore")(module.victim, facts)
    own = {key: value for key, value in module.state_dict().items() if not key.startswith("victim.")}
    missing, unexpected = again.load_state_dict(own, strict=False)
    assert not unexpected
    assert all(key.startswith("victim.") for key in missing)
    assert torch.equal(again(images), module(images))


@every
def test_an_attack_that_knows_the_preprocessor_is_stronger_than_one_that_does_not(
    name: str, parameters: dict[str, Any]
):
    module, images = defended(name, parameters, (1, 12, 12))
    with torch.no_grad():
        labels = module(images).argmax(dim=1)
    right = [
        int((module(attacks.pgd(known, images, labels, eps=0.15, step_size=0.02)).argmax(dim=1) == labels).sum())
        for known in (module, module.victim)
    ]
    assert right[0] <= right[1]
    assert right[0] < len(images) / 2


def test_a_substitute_has_the_values_of_one_and_the_gradients_of_the_other():
    pixels = torch.tensor([0.2, 0.6], requires_grad=True)
    made = substituted(pixels.round(), 3 * pixels)
    assert made.tolist() == [0, 1]
    assert torch.autograd.grad(made.sum(), pixels)[0].tolist() == [3, 3]
    assert not substituted(torch.ones(2), torch.zeros(2)).requires_grad


def test_what_is_clipped_keeps_its_gradient():
    pixels = torch.tensor([-0.5, 0.5, 1.5], requires_grad=True)
    made = clipped(pixels)
    assert made.tolist() == [0, 0.5, 1]
    assert torch.autograd.grad(made.sum(), pixels)[0].tolist() == [1, 1, 1]


# Bit depth


@pytest.mark.parametrize("bits", [1, 4, 8])
def test_there_are_as_many_values_as_the_bits_can_tell_apart(bits: int):
    ramp = torch.linspace(0, 1, 10_001).view(1, 1, 1, -1)
    values = BitDepthReduction(bits)(ramp).unique()
    assert torch.allclose(values, torch.arange(2**bits) / (2**bits - 1))


def test_eight_bits_are_those_that_images_have():
    images = pictures((3, 10, 14)).float() / 255
    assert torch.allclose(BitDepthReduction(8)(images), images)


# JPEG


@pytest.mark.parametrize(("shape", "mode"), [((1, 16, 24), "L"), ((3, 16, 24), "RGB")])
def test_jpeg_is_what_the_library_reads(shape: tuple[int, ...], mode: str):
    image = pictures(shape, 1)
    file = io.BytesIO()
    pixels = image[0].permute(1, 2, 0).numpy()
    Image.fromarray(pixels[:, :, 0] if mode == "L" else pixels).save(file, "JPEG", quality=30)
    read = np.asarray(Image.open(file).convert(mode)).reshape(shape[1], shape[2], -1)
    assert torch.equal(
        (JPEG(30)(image / 255)[0] * 255).round().to(torch.uint8), torch.from_numpy(read.copy()).permute(2, 0, 1)
    )


def test_lower_quality_loses_more():
    images = pictures((3, 16, 16)).float() / 255
    lost = [float((JPEG(quality)(images) - images).square().mean()) for quality in (95, 75, 40, 5)]
    assert lost == sorted(lost)
    assert lost[0] > 0


def test_jpeg_of_four_channels_is_refused():
    with pytest.raises(RivalryError, match=r"jpeg: .* 1 or 3 channels; these have 4"):
        defended("jpeg", {}, (4, 8, 8))


# Low-pass filter


def test_low_frequencies_pass_and_high_ones_do_not():
    # Rows of cosines, as the transform has them: a half wave over the height, and one that changes sign at every pixel.
    place = torch.arange(16) + 0.5
    slow, fast = ((torch.pi * place * k / 16).cos().view(1, 1, 16, 1).expand(1, 1, 16, 16) for k in (1, 15))
    image = 0.5 + 0.2 * slow + 0.2 * fast
    assert torch.allclose(LowPass(0.5, (16, 16))(image), 0.5 + 0.2 * slow, atol=1e-5)


def test_the_largest_cutoff_takes_corners_only():
    image = torch.rand(2, 1, 8, 8)
    place = torch.arange(8) + 0.5
    waves = [(torch.pi * place * k / 8).cos() for k in range(8)]
    assert torch.allclose(
        LowPass(1.0, (8, 8))(0.5 + 0.3 * waves[7].view(1, 1, 8, 1).expand(1, 1, 8, 8)),
        0.5 + 0.3 * waves[7].view(1, 1, 8, 1).expand(1, 1, 8, 8),
        atol=1e-5,
    )
    corner = waves[7].view(8, 1) * waves[7]
    assert torch.allclose(
        LowPass(1.0, (8, 8))(0.5 + 0.3 * corner[None, None]), torch.full((1, 1, 8, 8), 0.5), atol=1e-5
    )
    once = LowPass(0.3, (8, 8))(image)
    assert torch.allclose(LowPass(0.3, (8, 8))(once), once, atol=1e-5)


# Principal components


def test_images_within_the_main_directions_pass():
    generator = torch.Generator().manual_seed(0)
    base = torch.rand(3, 1, 8, 8, generator=generator)
    weights = torch.rand(200, 3, generator=generator).softmax(dim=1)
    images = torch.einsum("nk,kchw->nchw", weights, base) * 255
    made = pca(Linear((1, 8, 8)), images, torch.zeros(200, dtype=torch.int64), 0, 8, components=2)
    assert made.facts["variance_kept"] == pytest.approx(1, abs=1e-5)
    assert torch.allclose(made.module.preprocessor(images / 255), images / 255, atol=1e-4)
    noisy = (images[:5] / 255 + 0.1 * torch.randn(5, 1, 8, 8, generator=generator)).clamp(0, 1)
    assert (made.module.preprocessor(noisy) - noisy).abs().max() > 0.1


def test_more_components_than_there_are_is_refused():
    with pytest.raises(
        RivalryError, match="components: 100 is more than there are: 24 images of 144 numbers have at most 24"
    ):
        defended("pca", {"components": 100}, (1, 12, 12))


# Soft thresholding


def test_noise_is_taken_and_edges_are_left():
    image = torch.zeros(1, 1, 32, 32)
    image[:, :, :, 16:] = 0.8
    image += 0.1
    noisy = image + 0.04 * torch.randn(image.shape, generator=torch.Generator().manual_seed(0))
    for rule in ("bayes", "universal"):
        cleaned = SoftThreshold(rule, 0.04, "haar", 3)(noisy)
        assert (cleaned - image).square().mean() < 0.35 * (noisy - image).square().mean()


def test_a_tiny_threshold_changes_nothing():
    images = pictures((3, 10, 14)).float() / 255
    for rule in ("bayes", "universal"):
        assert torch.allclose(SoftThreshold(rule, 1e-6, "haar", 2)(images), images, atol=1e-4)


def test_flat_images_pass():
    flat = torch.full((1, 1, 32, 32), 0.3)
    for rule in ("bayes", "universal"):
        assert torch.allclose(SoftThreshold(rule, 0.1, "db4", 2)(flat), flat, atol=1e-5)


def test_more_levels_than_the_images_have_is_refused():
    with pytest.raises(RivalryError, match="levels: 4 is too many for haar and these images; at most 3"):
        defended("soft_threshold", {"levels": 4}, (1, 12, 12))


# Sharpening


def test_sharpening_is_twice_the_pixel_less_the_mean():
    image = torch.full((1, 1, 5, 5), 0.5)
    image[0, 0, 2, 2] = 0.6
    sharp = Smoothing("sharpen", 3)(image)
    assert sharp[0, 0, 2, 2] == pytest.approx(1.2 - (0.5 * 8 + 0.6) / 9)
    assert sharp[0, 0, 1, 1] == pytest.approx(1.0 - (0.5 * 8 + 0.6) / 9)
    assert Smoothing("sharpen", 3)(torch.full((1, 1, 5, 5), 0.7)).allclose(torch.tensor(0.7))


def test_a_preprocessed_victim_answers_for_what_it_sees():
    victim, images = Linear((1, 12, 12)), pictures((1, 12, 12)).float() / 255
    module = Preprocessed(BitDepthReduction(1), victim)
    assert torch.equal(module(images), victim(images.round()))
