"""Facts about randomised smoothing: certificates that are known exactly, and the check that attacks respect them."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any, cast

import numpy as np
import pandas as pd
import pytest
import torch
from scipy.stats import norm
from torch import Tensor, nn

from rivalry import artifacts, attacks
from rivalry.adversarial import CraftedSet, write_crafted
from rivalry.checks._evidence import Model
from rivalry.checks.certificates import certificates
from rivalry.defenses.randomised_smoothing import Smoothed, randomised_smoothing, restore
from rivalry.layout import Layout, Place
from rivalry.stages import evaluate
from rivalry.statistics.certified import certified

SIGMA = 0.05


class Half(nn.Module):
    """Two classes of images (1,6,6), told apart by a plane through the grey image: its distance is known."""

    def __init__(self) -> None:
        super().__init__()
        self.normal = nn.Parameter(torch.full((36,), 1 / 6))

    def forward(self, images: Tensor) -> Tensor:
        side = (images.flatten(1) - 0.5) @ self.normal
        return torch.stack([side, -side], dim=1)


def problem(n: int = 12, farthest: float = 0.15) -> tuple[Half, Tensor, Tensor]:
    """Images at known distances from the plane, on one side, far from the ends of [0,1]."""
    distance = torch.linspace(0.01, farthest, n)
    images = 0.5 + (distance / 6).view(-1, 1, 1, 1).expand(n, 1, 6, 6).contiguous()
    return Half(), images, distance


def smoothed(victim: nn.Module, **more: Any) -> Smoothed:
    settings = {"sigma": SIGMA, "votes": 50, "draws": 4, "selection": 50, "samples": 2000, "alpha": 0.001} | more
    return Smoothed(victim, seed=3, **settings)


def test_radii_are_just_below_the_distance_of_a_plane():
    victim, images, distance = problem()
    classes, radii = smoothed(victim).certify(images)
    assert (classes[distance > SIGMA] == 0).all()
    known = distance > 0.3 * SIGMA
    assert (radii <= distance.double() + 1e-6).all()
    # The exact bound is about 3.3 standard errors of a share below it.
    assert (radii[known & (distance < 2 * SIGMA)] > distance[known & (distance < 2 * SIGMA)] - 0.25 * SIGMA).all()
    most = SIGMA * norm.ppf(0.001 ** (1 / 2000))
    assert radii.max() == pytest.approx(most)  # no image has more than this, however far it is


def test_an_image_on_the_plane_has_no_radius():
    victim, images, _ = problem(4)
    _, radii = smoothed(victim, samples=300).certify(torch.full_like(images, 0.5))
    assert (radii == 0).all()


def test_noise_is_drawn_per_image_whatever_the_batch_and_anew_after_a_redraw():
    victim, images, _ = problem()
    model = smoothed(victim, votes=25)
    together = model(images)
    assert torch.equal(together, torch.cat([model(image[None]) for image in images]))
    model.redraw()
    assert not torch.equal(together, model(images))


def test_votes_are_counted_in_full_and_shares_are_never_zero():
    victim, images, _ = problem()
    model = smoothed(victim, votes=25)
    counts = model.counts(images, 25, "deployed")
    assert (counts.sum(dim=1) == 25).all()
    assert torch.allclose(model(images).exp(), (counts + 1) / 27)


def test_gradients_follow_the_mean_probability_over_draws():
    victim, images, _ = problem()
    model = smoothed(victim)
    leaf = images.clone().requires_grad_(True)
    given = model(leaf)
    wanted = torch.stack([model._answer(images, f"draw {number}").softmax(dim=1) for number in range(4)]).mean(dim=0)
    assert torch.allclose(given.exp(), wanted, atol=1e-6)
    (gradient,) = torch.autograd.grad(given[:, 1].sum(), leaf)
    assert (gradient.flatten(1).sum(dim=1) < 0).all()  # darker is towards the other class


def test_a_stored_one_answers_the_same():
    victim, images, _ = problem()
    own = {"sigma": 0.1, "votes": 9, "draws": 2, "selection": 5, "samples": 20, "alpha": 0.01}
    made = randomised_smoothing(victim, images, torch.zeros(12, dtype=torch.int64), 7, 8, **own)
    again = restore(victim, {"parameters": own, "seed": 7})
    assert torch.equal(made.module(images), again(images))
    assert not [name for name in made.module.state_dict() if not name.startswith("victim.")]


class Found:
    """The evidence of one smoothed victim, one attack on it, and its certificates."""

    def __init__(self, folder: Path, model: Smoothed, images: Tensor, adversarial: Tensor, radii: Tensor) -> None:
        self.layout, self.dataset, self.device, self.model = Layout(folder), "digits", torch.device("cpu"), model
        n, index = len(images), torch.arange(len(images))
        write_crafted(self.layout.attack("digits", "plain+smooth", "pgd"), index, [CraftedSet(adversarial)])
        rows = pd.DataFrame({"index": index.numpy(), "label": 0, "attack": "pgd", "setting": "adaptive", "eps": np.nan})
        rows["l2"] = (adversarial - images).flatten(1).norm(dim=1).numpy()
        rows["attacked"], rows["handled"] = True, True
        rows["success"] = (model(adversarial).argmax(dim=1) != 0).numpy()
        clean = rows.assign(attack="", setting="clean", l2=0.0, attacked=False, success=False)
        place = self.layout.evaluation("digits", "plain", "smooth")
        artifacts.write_table(place["scores"], pd.concat([clean, rows], ignore_index=True))
        table = pd.DataFrame(
            {"index": index.numpy(), "prediction": np.zeros(n, dtype=np.int64), "radius": radii.numpy()}
        )
        artifacts.write_table(place["certificates"], table)
        artifacts.write_manifest(place, [place["scores"], place["certificates"]])
        parameters = {"sigma": model.sigma, "alpha": model.alpha, "samples": model.samples}
        artifacts.write_json(self.layout.defense("digits", "plain", "smooth").facts, {"parameters": parameters})

    @property
    def models(self) -> list[Any]:
        return [Model(self.layout.defense("digits", "plain", "smooth"), "plain", "smooth")]

    def load(self, place: Place) -> Smoothed:
        return self.model


def verdict(found: Found) -> dict[str, Any]:
    (row,) = certificates(cast(Any, found))
    return row


def towards(images: Tensor, length: Tensor) -> Tensor:
    """Images moved straight towards the plane, and beyond it, by a length in L2 each."""
    return images - (length / 6).view(-1, 1, 1, 1)


def test_an_attack_that_the_certificates_allow_is_no_fault(tmp_path: Path):
    victim, images, _ = problem()
    model = smoothed(victim, samples=500)
    _, radii = model.certify(images)
    row = verdict(Found(tmp_path, model, images, towards(images, radii.float() * 0.98), radii))
    assert row["status"] == "pass"
    assert f"of {int((radii > 0).sum())} images" in row["found"]


def test_radii_that_are_too_large_are_found_out(tmp_path: Path):
    victim, images, distance = problem()
    model = smoothed(victim, samples=500)
    wrong = distance.double() * 2
    row = verdict(Found(tmp_path, model, images, towards(images, distance * 1.9), wrong))
    assert row["status"] == "fail"
    assert (row["victim"], row["defense"]) == ("plain", "smooth")


def test_where_nothing_was_tried_within_a_radius_nothing_is_said(tmp_path: Path):
    victim, images, distance = problem()
    model = smoothed(victim, samples=100)
    _, radii = model.certify(images)
    row = verdict(Found(tmp_path, model, images, towards(images, distance + SIGMA), radii))
    assert row["status"] == "warn"


def test_the_curves_are_shares_of_the_same_images(tmp_path: Path):
    victim, images, distance = problem()
    model = smoothed(victim, samples=500)
    _, radii = model.certify(images)
    found = Found(tmp_path, model, images, towards(images, distance * 1.5), radii)
    rows = list(certified(found.layout, {"evaluations": [["digits", "plain", "smooth"]]}, 0.95))
    scores = artifacts.read_table(found.layout.evaluation("digits", "plain", "smooth")["scores"])
    sizes = scores.loc[(scores["setting"] == "adaptive") & scores["success"], "l2"]
    for row in rows:
        r = row["radius"]
        assert row["certified"] == pytest.approx(float(((radii >= r) & (radii > 0)).double().mean()))
        assert row["accuracy"] == pytest.approx(1 - (sizes < r).sum() / len(images))
        assert row["certified_low"] <= row["certified"] <= row["certified_high"]
        assert row["accuracy"] >= row["certified"]  # the curve that attacks must not cross
    assert rows[-1]["certified"] == 0
    assert rows[0]["attacks"] == ["pgd"]
    assert math.isclose(rows[1]["radius"], SIGMA / 20)


def test_evaluation_certifies_every_clean_image():
    victim, images, _ = problem()
    model = smoothed(victim, samples=200)
    table = evaluate.certificates(model, images, torch.arange(12) + 5, 5)
    assert table["index"].tolist() == list(range(5, 17))
    whole = model.certify(images)
    assert table["radius"].tolist() == whole[1].tolist()


def test_an_attack_on_the_vote_needs_more_than_the_radius():
    victim, images, _ = problem()
    model = smoothed(victim, samples=1000, votes=200)
    _, radii = model.certify(images)
    result = attacks.pgd.run(
        model, images, torch.zeros(12, dtype=torch.int64), norm=2, eps=0.1, step_size=0.02, steps=8
    )
    sizes = (result.images - images).flatten(1).norm(dim=1)
    assert result.success.any()
    assert (sizes[result.success] > radii[result.success]).all()
