"""Facts about fooling images: exact on linear victims, never worse with more effort, every pass counted."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path

import pandas as pd
import pytest
import torch
from torch import nn

from helpers import linear_problem, small_cnn
from rivalry import registry
from rivalry.artifacts import read_json, read_table, read_tensors, write_json, write_manifest, write_tensors
from rivalry.cli import main
from rivalry.fooling._fooling import Fooled, fool
from rivalry.fooling.gradient_ascent import _gaussian
from rivalry.fooling.map_elites_cppn import _places
from rivalry.layout import Layout
from rivalry.stages import fool as stage
from rivalry.stages.fool import REAL

METHODS = registry.names("fooling")
EVOLVING = ["map_elites_cppn", "map_elites_direct"]
SHORT = {"gradient_ascent": {"steps": 7, "start": "noise"}} | {
    name: {"generations": 6, "children": 3} for name in EVOLVING
}
SHAPE, CLASSES = (1, 8, 8), 4


class Counting(nn.Module):
    """Counts the images that a victim is shown, and the most at once."""

    def __init__(self, victim: nn.Module) -> None:
        super().__init__()
        self.victim = victim
        self.shown: list[int] = []

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        assert images.min() >= 0
        assert images.max() <= 1
        self.shown.append(len(images))
        return self.victim(images)


def make(name: str, victim: nn.Module | None = None, **options: object) -> Fooled:
    return fool(name, victim or small_cnn(), SHAPE, CLASSES, **(SHORT[name] | options))


def test_gradient_ascent_finds_the_best_image_of_a_linear_victim() -> None:
    """A class's logit is highest where every pixel with a positive weight is white and every other one black."""
    victim, _, _ = linear_problem(classes=5, side=6)
    best = (victim.weight > 0).float().view(5, 1, 6, 6)
    made = fool("gradient_ascent", victim, (1, 6, 6), 5, objective="logit", steps=400, step_size=0.1)
    assert (made.images == best).float().mean() > 0.99
    reached = victim(made.images).diagonal()
    torch.testing.assert_close(reached, victim(best).diagonal(), rtol=1e-3, atol=0)


def test_the_probability_is_highest_where_the_other_class_loses() -> None:
    """Of two linear classes: where every pixel that has more weight in the one than in the other is white."""
    victim, _, _ = linear_problem(classes=2, side=6)
    victim.weight.data *= 0.1  # or its probabilities are 1 to the last digit long before the best image
    victim.bias.data *= 0.1
    made = fool("gradient_ascent", victim, (1, 6, 6), 2, objective="log_probability", steps=400, step_size=0.1)
    difference = (victim.weight[0] - victim.weight[1]).view(1, 6, 6)
    assert (made.images[0] == (difference > 0)).float().mean() > 0.95
    assert (made.images[1] == (difference < 0)).float().mean() > 0.95


def test_priors_do_what_they_say() -> None:
    plain = make("gradient_ascent", start="grey", steps=60, step_size=0.05)
    l2 = make("gradient_ascent", start="grey", steps=60, step_size=0.05, prior="l2", decay=0.2)
    blur = make("gradient_ascent", start="grey", steps=60, step_size=0.05, prior="blur", blur_width=1.0, blur_every=1)

    def contrast(made: Fooled) -> torch.Tensor:
        return (made.images - 0.5).square().mean(dim=(1, 2, 3)).sqrt()

    def roughness(made: Fooled) -> torch.Tensor:
        return made.images.diff(dim=3).abs().mean() / contrast(made).mean()

    assert (contrast(l2) <= 0.05 / 0.2).all()  # where a step and the decay of that distance balance
    assert (contrast(l2) < contrast(plain)).all()
    assert roughness(blur) < 0.7 * roughness(plain)


def test_blurring_changes_no_even_image_and_weighs_neighbours_alike() -> None:
    matrix = _gaussian(9, 1.3)
    torch.testing.assert_close(matrix.sum(dim=1), torch.ones(9))
    torch.testing.assert_close(matrix[4], matrix[4].flip(0))
    torch.testing.assert_close(matrix[4, 5] / matrix[4, 4], torch.tensor(-1 / (2 * 1.3**2)).exp())


def test_the_most_confident_iterate_is_kept() -> None:
    """Steps far too long jump about; more of them never make the result worse."""
    options = {"objective": "log_probability", "step_size": 0.5}
    scores = [make("gradient_ascent", **options | {"steps": n}).confidence for n in range(1, 9)]
    for fewer, more in pairwise(scores):
        assert (more >= fewer).all()
    assert (scores[-1] > scores[0]).any()


@pytest.mark.parametrize("name", EVOLVING)
def test_the_scores_of_niches_never_fall(name: str) -> None:
    """A longer run with the same seed is the shorter one continued."""
    scores = [make(name, generations=n).confidence for n in (1, 2, 4, 8, 16, 32)]
    for fewer, more in pairwise(scores):
        assert (more >= fewer).all()
    assert (scores[-1] > scores[0]).all()


@pytest.mark.parametrize("name", EVOLVING)
def test_evolution_fools_a_linear_victim(name: str) -> None:
    victim, _, _ = linear_problem(classes=5, side=6)
    made = fool(name, victim, (1, 6, 6), 5, generations=150)
    assert (made.predictions == torch.arange(5)).all()
    assert (made.confidence > 0.9).all()


def test_a_child_may_take_the_niche_of_a_class_that_is_not_its_parent_s() -> None:
    """Two classes with one and the same score have one and the same champion."""
    victim = small_cnn()
    victim[-1].weight.data[1] = victim[-1].weight.data[0]
    victim[-1].bias.data[1] = victim[-1].bias.data[0]
    images = make("map_elites_direct", victim, generations=20).images
    assert torch.equal(images[0], images[1])
    assert not torch.equal(images[0], images[2])


@pytest.mark.parametrize("name", METHODS)
def test_images_are_images_and_the_seed_decides(name: str) -> None:
    made, again, other = make(name, seed=3), make(name, seed=3), make(name, seed=4)
    assert made.images.shape == (CLASSES, *SHAPE)
    assert made.images.dtype == torch.float32
    assert made.images.min() >= 0
    assert made.images.max() <= 1
    assert torch.equal(made.images, again.images)
    assert not torch.equal(made.images, other.images)
    with torch.no_grad():
        probabilities = small_cnn()(made.images).softmax(dim=1)
    torch.testing.assert_close(made.confidence, probabilities.diagonal())
    assert torch.equal(made.predictions, probabilities.argmax(dim=1))


@pytest.mark.parametrize("name", METHODS)
def test_every_pass_is_counted_and_none_is_larger_than_allowed(name: str) -> None:
    victim = Counting(small_cnn())
    made = make(name, victim, batch_size=5)
    # The last look, at what was made, is not the method's.
    assert int(made.queries.sum()) == sum(victim.shown) - CLASSES
    assert max(victim.shown) <= 5
    expected = (7 + 1, 7, 7) if name == "gradient_ascent" else (1 + 6 * 3, 0, 6)
    for counted, value in zip((made.queries, made.gradients, made.iterations), expected, strict=True):
        assert (counted == value).all()


@pytest.mark.parametrize("name", METHODS)
def test_colour_and_oblong_images(name: str) -> None:
    torch.manual_seed(0)
    victim = nn.Sequential(nn.Flatten(), nn.Linear(3 * 6 * 9, 3))
    made = fool(name, victim, (3, 6, 9), 3, **SHORT[name])
    assert made.images.shape == (3, 3, 6, 9)
    assert (made.images[:, 0] != made.images[:, 1]).any()


@pytest.mark.parametrize("name", METHODS)
def test_a_victim_without_gradients_or_numbers_crashes_nothing(name: str) -> None:
    class Broken(nn.Module):
        def forward(self, images: torch.Tensor) -> torch.Tensor:
            return images.sum() * torch.zeros(len(images), CLASSES) + torch.nan

    made = make(name, Broken())
    assert made.images.isfinite().all()
    assert not made.finite.any()


def test_patterns_are_functions_of_place() -> None:
    """On a grid that is symmetric about the centre, x and y change sign and the distance does not."""
    x, y, distance, one = _places(4, 6).view(4, 4, 6)
    assert torch.equal(x, -x.flip(1))
    assert torch.equal(y, -y.flip(0))
    assert torch.equal(distance, distance.flip(0, 1))
    assert (one == 1).all()


def test_patterns_are_smoother_than_evolved_pixels() -> None:
    def roughness(images: torch.Tensor) -> float:
        return float(images.diff(dim=3).abs().mean() / images.std())

    assert roughness(make("map_elites_cppn").images) < 0.6 * roughness(make("map_elites_direct").images)


# ---- the stage ----


@pytest.fixture
def folders(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> tuple[Path, Path, Path]:
    """A data set of 50 training and 20 test images, and a victim's folder; the victim is a small network."""
    data, victim = tmp_path / "data", tmp_path / "victim"
    generator = torch.Generator().manual_seed(0)
    for split, n in (("train", 50), ("test", 20)):
        images = torch.randint(0, 256, (n, *SHAPE), dtype=torch.uint8, generator=generator)
        write_tensors(data / f"{split}.safetensors", {"images": images, "labels": torch.zeros(n, dtype=torch.int64)})
    write_json(data / "dataset.json", {"dataset": "noise", "shape": SHAPE, "classes": CLASSES})
    write_manifest(Layout().data("noise").at(data), [*data.iterdir()])
    write_manifest(Layout().victim("noise", "plain").at(victim), [])
    monkeypatch.setattr(stage, "load_victim", lambda folder: small_cnn())
    return data, victim, tmp_path / "output"


def run_stage(folders: tuple[Path, Path, Path], confidence: float) -> tuple[dict, pd.DataFrame, torch.Tensor]:
    data, victim, output = map(str, folders)
    words = ["--data", data, "--victim", victim, "--output", output, "--victim-name", "plain", "--seed", "5"]
    method = ["--fooling", "ascent", "--method", "gradient_ascent", "--set", "steps=20"]
    assert main(["fool", *method, "--confidence", str(confidence), *words]) == 0
    output = folders[2]
    images = read_tensors(output / "images.safetensors")["images"]
    return read_json(output / "fooling.json"), read_table(output / "scores.parquet"), images


def test_the_stage_says_how_sure_the_victim_is_and_how_far_the_images_are(folders: tuple[Path, Path, Path]) -> None:
    facts, scores, images = run_stage(folders, confidence=0.3)
    assert scores["target"].tolist() == list(range(CLASSES))
    assert facts["n"] == CLASSES
    assert facts["least_confidence"] == pytest.approx(scores["confidence"].min())
    splits = [read_tensors(folders[0] / f"{split}.safetensors")["images"] for split in ("train", "test")]
    train, test = (images.float() / 255 for images in splits)

    def nearest(others: torch.Tensor) -> torch.Tensor:
        return (others[:, None] - train[None]).flatten(2).norm(dim=2).amin(dim=1)

    torch.testing.assert_close(torch.tensor(scores["nearest_l2"]), nearest(images), rtol=1e-4, atol=1e-4)
    assert facts["mean_nearest_l2"] == pytest.approx(float(nearest(images).mean()), rel=1e-4)
    assert len(test) < REAL
    assert facts["real_nearest_l2"] == pytest.approx(float(nearest(test).median()), rel=1e-4)


def test_success_asks_for_the_class_and_the_confidence(folders: tuple[Path, Path, Path]) -> None:
    facts, scores, _ = run_stage(folders, confidence=0.3)
    between = float(scores["confidence"].sort_values().iloc[1:3].mean())
    facts, scores, _ = run_stage(folders, confidence=between)
    expected = (scores["prediction"] == scores["target"]) & (scores["confidence"] >= between)
    assert 0 < expected.sum() < CLASSES
    assert scores["success"].tolist() == expected.tolist()
    assert facts["n_success"] == expected.sum()
    assert facts["success_rate"] == expected.mean()


def test_it_is_described(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["describe", "map_elites_cppn"]) == 0
    said = capsys.readouterr().out
    assert "sees: the victim's scores" in said
    assert "Nguyen" in said
    assert main(["list", "fooling"]) == 0
    said = capsys.readouterr().out
    assert all(name in said for name in METHODS)
