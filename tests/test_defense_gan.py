"""Facts about the defenses that look for the nearest image which a generator makes."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from scipy.optimize import least_squares
from torch import Tensor, nn

from rivalry import registry
from rivalry.artifacts import write_json, write_tensors
from rivalry.defenses._defended import Randomised, Rejecting
from rivalry.defenses.defense_gan import Projected
from rivalry.errors import RivalryError
from rivalry.generative.latents import tangential
from rivalry.generative.wgan import Generator, held_out
from rivalry.layout import Place
from rivalry.randomness import Random
from test_preprocessors import Linear

SHAPE = (1, 8, 8)
FEW = {"steps": 60, "restarts": 3, "step_size": 30.0}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An untrained generator of latent points of three numbers, as if it had been given 60 images."""
    torch.manual_seed(0)
    generator = Generator(SHAPE, 3, 4)
    place = Place("generate", tmp_path_factory.mktemp("generator"))
    write_tensors(place["weights"], dict(generator.state_dict()))
    facts = {"shape": SHAPE, "parameters": {"latent": 3, "width": 4}, "images_given": 60, "seed": 1}
    write_json(place.facts, facts)
    return place.folder


@pytest.fixture(scope="module")
def images(folder: Path) -> Tensor:
    """What it makes, uint8 (60,1,8,8)."""
    from rivalry.generative.wgan import load_generator

    generator = load_generator(folder)
    torch.manual_seed(1)
    return (generator(generator.draw(60)) * 255).round().to(torch.uint8)


def made(name: str, folder: Path, images: Tensor, **own: Any) -> tuple[nn.Module, dict[str, Any], dict[str, Any]]:
    """A defended victim, what was found out, and all its parameters."""
    method = registry.method("defenses", name)
    parameters = method.defaults | FEW | {"generator": str(folder)} | own
    labels = torch.zeros(len(images), dtype=torch.int64)
    found = method.load()(Linear(SHAPE), images, labels, 3, 16, **parameters)
    return found.module, found.facts, parameters


def test_made_images_pass_and_noise_on_them_does_not(folder: Path, images: Tensor) -> None:
    module, _, _ = made("defense_gan", folder, images)
    clean = images[:20].float() / 255
    dirty = (clean + 0.05 * torch.randn(clean.shape, generator=torch.Generator().manual_seed(0))).clamp(0, 1)
    seen, cleaned = (module.preprocessor(some, Random.for_images(some, 0)) for some in (clean, dirty))
    assert (seen - clean).square().mean() < 1e-4
    assert (cleaned - clean).square().mean() < 0.3 * (dirty - clean).square().mean()


def test_gradients_are_the_victim_s_along_what_the_generator_makes(folder: Path, images: Tensor) -> None:
    module, _, _ = made("defense_gan", folder, images)
    leaf = (images[:4].float() / 255).requires_grad_(True)
    (slope,) = torch.autograd.grad(module(leaf).log_softmax(dim=1)[:, 0].sum(), leaf)
    projected = module.preprocessor
    latents = projected.latents(leaf.detach(), Random.for_images(leaf.detach(), _first(module)))
    there = projected.generator(latents).requires_grad_(True)
    (wanted,) = torch.autograd.grad(module.victim(there).log_softmax(dim=1)[:, 0].sum(), there)
    assert torch.allclose(slope, tangential(projected.generator, latents, wanted), atol=1e-5)
    assert slope.norm() < wanted.norm()


def test_the_tangential_part_is_how_the_nearest_image_moves(folder: Path, images: Tensor) -> None:
    module, _, _ = made("defense_gan", folder, images)
    generator = module.preprocessor.generator.double()
    latents = generator.draw(5).double()
    clean = generator(latents)
    change = 1e-5 * torch.randn(clean.shape, generator=torch.Generator().manual_seed(4), dtype=torch.float64)
    there = torch.stack([_settled(generator, *each) for each in zip(latents, clean + change, strict=True)])
    assert torch.allclose(
        generator(there) - clean, tangential(generator, latents, change), atol=0.02 * change.abs().max()
    )
    inside = tangential(generator, latents, change)
    assert torch.allclose(tangential(generator, latents, inside), inside, atol=0.01 * inside.abs().max())
    slow = [torch.autograd.functional.jacobian(lambda point: generator(point[None]).flatten(), one) for one in latents]
    assert torch.allclose(generator.jacobian(latents), torch.stack(slow))
    generator.float()


def test_the_jacobian_is_cut_as_images_are() -> None:
    torch.manual_seed(0)
    generator = Generator((3, 9, 10), 2, 4).double()
    point = generator.draw(1).double()
    slow = torch.autograd.functional.jacobian(lambda z: generator(z[None]).flatten(), point[0])
    assert torch.allclose(generator.jacobian(point)[0], slow)


def _settled(generator: Generator, point: Tensor, wanted: Tensor) -> Tensor:
    """The latent point whose image is nearest to the one wanted, sought from one close by."""

    def left(here: np.ndarray) -> np.ndarray:
        return (generator(torch.as_tensor(here)[None])[0] - wanted).flatten().numpy()

    ended = least_squares(left, point.numpy(), jac="3-point", xtol=1e-14, ftol=1e-14, gtol=1e-14)
    return torch.as_tensor(ended.x)


def _first(module: nn.Module) -> int:
    from rivalry.seeds import derive_seed

    assert isinstance(module, Randomised)
    return derive_seed(module.seed, "draw 0")


def test_an_image_is_seen_otherwise_after_a_redraw_but_nearly_so(folder: Path, images: Tensor) -> None:
    module, _, _ = made("defense_gan", folder, images, restarts=1, steps=5)
    some = images[:6].float() / 255
    before = module(some)
    assert torch.allclose(before[2:3], module(some[2:3]), atol=1e-3)
    assert torch.equal(before, module(some))
    module.redraw()
    assert not torch.allclose(before, module(some), atol=1e-3)


@pytest.mark.parametrize("name", ["defense_gan", "reconstruction_detector"])
def test_a_stored_one_answers_the_same_without_the_generator_s_folder(name: str, folder: Path, images: Tensor) -> None:
    module, found, parameters = made(name, folder, images)
    facts = {"parameters": parameters | {"generator": "nowhere"}, "facts": found, "shape": SHAPE, "classes": 3}
    again = registry.method("defenses", name).load("restore")(module.victim, facts | {"seed": 3})
    own = {key: value for key, value in module.state_dict().items() if not key.startswith("victim.")}
    assert not again.load_state_dict(own, strict=False).unexpected_keys
    some = images[:5].float() / 255
    assert torch.equal(again(some), module(some))


def test_the_detector_refuses_what_the_generator_cannot_make(folder: Path, images: Tensor) -> None:
    module, facts, _ = made("reconstruction_detector", folder, images, sample=60, false_positive_rate=0.4)
    assert isinstance(module, Rejecting)
    strange = torch.rand(8, *SHAPE, generator=torch.Generator().manual_seed(2))
    assert (module(strange).argmax(dim=1) == 3).all()
    kept = module(images.float() / 255).argmax(dim=1) != 3
    assert kept.float().mean() > 0.4
    assert facts["images_held_out"] == len(held_out(folder, 60)) == 6
    assert facts["flagged_clean"] <= 0.4
    assert facts["threshold_squared_error"] < (strange - 0.5).square().mean()


def test_the_detector_s_slope_is_that_of_the_error_that_is_left(folder: Path, images: Tensor) -> None:
    module, _, _ = made("reconstruction_detector", folder, images)
    leaf = torch.rand(3, *SHAPE, generator=torch.Generator().manual_seed(3)).requires_grad_(True)
    logits = module.detector(leaf)
    (slope,) = torch.autograd.grad((logits[:, 1] - logits[:, 0]).exp().sum(), leaf)
    found = module.detector.projected.found(leaf.detach(), Random.for_images(leaf.detach(), module.detector.seed))
    assert isinstance(module.detector.projected, Projected)
    assert torch.allclose(slope, 2 * (leaf - found).detach() / leaf[0].numel(), atol=1e-6)


def test_a_generator_of_other_images_cannot_say_which_it_did_not_learn_from(folder: Path) -> None:
    with pytest.raises(RivalryError, match="was given 60 images, and here are 50"):
        held_out(folder, 50)
