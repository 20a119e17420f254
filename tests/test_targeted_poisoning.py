"""Facts about poisons that aim at one test image."""

from __future__ import annotations

from importlib import import_module
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from rivalry.artifacts import read_json, read_table, write_json, write_tensors
from rivalry.config import load_config
from rivalry.errors import RivalryError
from rivalry.layout import Layout
from rivalry.plan import Plan
from rivalry.stages.plant import plant
from rivalry.statistics.columns import PLANTINGS
from rivalry.statistics.plantings import planting_rates
from rivalry.targeted_poisoning import feature_collision
from rivalry.targeted_poisoning._targeted import head, network

SIDE, SEEN, CLASSES = 8, 48, 3


class Half(nn.Module):
    """Its features are the first 48 of 64 pixels; the last layer reads the class from the first three."""

    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Linear(SIDE * SIDE, SEEN, bias=False)
        self.last = nn.Linear(SEEN, CLASSES, bias=False)
        with torch.no_grad():
            self.first.weight.copy_(torch.eye(SIDE * SIDE)[:SEEN])
            self.last.weight.copy_(20 * torch.eye(SEEN)[:CLASSES])

    def forward(self, images: Tensor) -> Tensor:
        logits: Tensor = self.last(self.first(images.flatten(1)))
        return logits


def split(n: int, seed: int) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(seed)
    labels = torch.arange(n) % CLASSES
    images = torch.randint(0, 120, (n, 1, SIDE, SIDE), generator=generator)
    images.view(n, -1)[torch.arange(n), labels] += 130
    return images.to(torch.uint8), labels


def made(**parameters: Any) -> Any:
    keys = {"targets": 8, "steps": 60, "similarity": 0.0001, "sample": 30} | parameters
    return feature_collision(Half(), *split(60, 1), *split(30, 2), 0, 16, **keys)


def test_poisons_take_the_target_s_features_and_leave_what_the_victim_does_not_see():
    images, labels = split(30, 2)
    found = made(poisons=2)
    base, poison = (part.flatten(2).float() for part in (images[found.bases], found.poisons))
    target = images[found.rows].flatten(1).float()[:, None]
    assert torch.equal(poison[..., SEEN:], base[..., SEEN:])
    assert (poison - target)[..., :SEEN].abs().max() <= 5
    assert (labels[found.bases] == found.wanted[:, None]).all()
    assert (found.wanted != labels[found.rows]).all()
    assert (found.columns["feature_distance"] < 0.05 * found.columns["base_distance"]).all()
    torch.testing.assert_close(found.columns["target_l2"], ((target - base) / 255).norm(dim=2).mean(dim=1))


def test_one_poison_turns_its_target_where_only_the_last_layer_learns():
    # With more features than images to learn from, a last layer fits them all.
    found = made()
    assert found.success.all()
    assert (found.control == split(30, 2)[1][found.rows]).all()


def test_a_poison_that_keeps_its_base_s_features_turns_nothing():
    found = made(similarity=1e6)
    assert torch.equal(found.poisons[:, 0], split(30, 2)[0][found.bases[:, 0]])
    assert not found.success.any()


def test_a_watermark_is_a_faint_copy_of_the_target():
    images, _ = split(30, 2)
    found = made(watermark=0.3, similarity=1e6)
    blend = 0.7 * images[found.bases[:, 0]].float() + 0.3 * images[found.rows].float()
    assert (found.poisons[:, 0].float() - blend).abs().max() <= 0.51


@pytest.mark.parametrize("retrain", ["all_layers", "from_scratch"])
def test_all_layers_may_learn_in_both_tasks(retrain: str):
    for task in ("two_classes", "all_classes"):
        found = made(retrain=retrain, task=task, targets=2, poisons=3, epochs=1)
        assert found.poisons.shape == (2, 3, 1, SIDE, SIDE)
        assert found.after.shape == (2,)
    again = made(retrain=retrain, task="all_classes", targets=2, poisons=3, epochs=1)
    assert torch.equal(again.after, found.after)
    assert torch.equal(again.poisons, found.poisons)


def test_a_network_from_scratch_knows_nothing_of_the_victim():
    images, labels = split(60, 1)
    shown, asked = images.float() / 255, split(30, 2)[0].float() / 255
    keys: Any = {"epochs": 1, "learning_rate": 1e-9, "seed": 0}
    goes_on = network(Half(), shown, labels, asked, fresh=False, **keys)
    assert torch.equal(goes_on, split(30, 2)[1])
    fresh = network(Half(), shown, labels, asked, fresh=True, **keys)
    assert (fresh == split(30, 2)[1]).double().mean() < 0.8


def test_a_new_last_layer_separates_what_can_be_separated():
    features = torch.randn(40, 60, generator=torch.Generator().manual_seed(0))
    labels = torch.arange(40) % 4 + 3
    assert torch.equal(head(features, labels, features), labels)


def test_a_victim_without_a_hidden_layer_is_told():
    linear = nn.Sequential(nn.Flatten(), nn.Linear(SIDE * SIDE, CLASSES))
    with torch.no_grad():
        linear[1].weight.copy_(20 * torch.eye(SIDE * SIDE)[:CLASSES])
    with pytest.raises(RivalryError, match="features are what a hidden layer gives, and the victim has none"):
        feature_collision(linear, *split(60, 1), *split(30, 2), 0, 16)


def test_only_targets_that_the_control_has_right_count(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    layout = Layout(tmp_path)
    for name, (images, labels) in (("train", split(60, 1)), ("test", split(30, 2))):
        write_tensors(layout.data("toy")[name], {"images": images, "labels": labels})
    write_json(layout.data("toy").facts, {"dataset": "toy"})
    monkeypatch.setattr(import_module("rivalry.stages.plant"), "load_victim", lambda folder: Half())
    usual = made()
    broken = import_module("rivalry.targeted_poisoning.feature_collision")
    control = usual.control.clone()
    control[0], control[1] = (usual.wanted[0], -1)  # the network calls them so without any poison

    def fake(*given: Any, **parameters: Any) -> Any:
        return type(usual)(usual.rows, usual.wanted, control, usual.after, usual.poisons, usual.bases)

    monkeypatch.setattr(broken, "feature_collision", fake)
    place = layout.planting("toy", "half", "frogs")
    plant("frogs", "feature_collision", {}, layout.data("toy").folder, Path("x"), place.folder, victim_name="half")
    facts, table = read_json(place.facts), read_table(place["scores"])
    assert (facts["n"], facts["n_counted"], facts["n_success"]) == (8, 6, 6)
    assert table["success"].sum() == 6
    (row,) = planting_rates(layout, {"plantings": [["toy", "half", "frogs"]]}, 0.95)
    assert (row["success_rate"], row["others"]) == (1, 0)
    PLANTINGS.frame([row])


def test_trees_are_kept_apart():
    content = {
        "datasets": {"digits": {"source": "digits"}},
        "victims": {
            "net": {"method": "plain", "architecture": "lenet5"},
            "tree": {"method": "scikit_learn", "architecture": "decision_tree"},
        },
        "attacks": {"noise": {"method": "random_noise", "eps": 0.1}},
        "targeted_poisonings": {"frogs": {"method": "feature_collision"}},
        "matches": [
            {
                "datasets": ["digits"],
                "victims": ["net", "tree"],
                "attacks": ["noise"],
                "targeted_poisonings": ["frogs"],
            }
        ],
    }
    plan = Plan(load_config(content))
    assert plan.plantings == [("digits", "net", "frogs")]
    assert "frogs on tree" in plan.kept_apart[0]["what"]
    assert "--targeted frogs" in plan.plant_options("digits", "net", "frogs")
