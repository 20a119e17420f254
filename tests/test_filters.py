"""Facts about filters of training images."""

from __future__ import annotations

from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from rivalry import registry
from rivalry.artifacts import read_json, read_table, write_json, write_tensors
from rivalry.config import Mistakes, load_config
from rivalry.errors import RivalryError
from rivalry.filters import activation_clustering, outlier_filter, spectral_signatures
from rivalry.layout import Layout
from rivalry.plan import Plan
from rivalry.stages.screen import screen
from rivalry.statistics.columns import SCREENINGS
from rivalry.statistics.rates import wilson_interval
from rivalry.statistics.screenings import screening_rates

CLASSES, EACH, BAD = 3, 60, 10


class Seeing(nn.Module):
    """Its hidden features are the pixels; the last layer reads the class from the first three."""

    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Linear(16, 16, bias=False)
        self.last = nn.Linear(16, CLASSES, bias=False)
        with torch.no_grad():
            self.first.weight.copy_(torch.eye(16))
            self.last.weight.copy_(20 * torch.eye(16)[:CLASSES])

    def forward(self, images: Tensor) -> Tensor:
        logits: Tensor = self.last(self.first(images.flatten(1)))
        return logits


def poisoned_set() -> tuple[Tensor, Tensor, Tensor]:
    """Images whose class is the brightest of three pixels; of class 0, some bear a bright corner and are of class 1."""
    generator = torch.Generator().manual_seed(0)
    labels = torch.arange(CLASSES * EACH) % CLASSES
    images = torch.randint(0, 60, (len(labels), 1, 4, 4), generator=generator)
    images.view(len(labels), -1)[torch.arange(len(labels)), labels] += 180
    bad = torch.zeros(len(labels), dtype=torch.bool)
    bad[(labels == 1).nonzero().squeeze(1)[:BAD]] = True
    images[bad, :, 3, 2:] = 255
    labels = torch.where(bad, 0, labels)
    return images.to(torch.uint8), labels, bad


@pytest.fixture
def judge(monkeypatch: pytest.MonkeyPatch) -> str:
    monkeypatch.setattr(import_module("rivalry.filters.outlier_filter"), "load_victim", lambda folder: Seeing())
    return "judge"


def auc(scores: Tensor, bad: Tensor) -> float:
    return float((scores[bad][:, None] > scores[~bad][None]).double().mean())


@pytest.mark.parametrize("method", [spectral_signatures, activation_clustering])
def test_poison_that_the_victim_tells_apart_is_more_suspicious_than_all_others(method: Any):
    images, labels, bad = poisoned_set()
    found = method(Seeing(), images, labels, 0, 16)
    assert auc(found.scores, bad) == 1
    assert found.flagged[bad].all()
    assert found.facts["layer"] == "last"
    # What it says of an image follows it to another place.
    order = torch.randperm(len(labels), generator=torch.Generator().manual_seed(3))
    again = method(Seeing(), images[order], labels[order], 0, 16)
    shown = labels[order] == 0  # noise alone falls into clusters by chance
    assert torch.allclose(again.scores[shown], found.scores[order][shown], atol=1e-6)


def test_spectral_scores_are_squared_distances_along_the_first_direction():
    images, labels, _ = poisoned_set()
    rows = labels == 2
    own = (images[rows].flatten(1).double() / 255).numpy()
    centred = own - own.mean(axis=0)
    expected = (centred @ np.linalg.svd(centred, full_matrices=False)[2][0]) ** 2
    found = spectral_signatures(Seeing(), images, labels, 0, 16, expected=0.1, excess=1.5)
    assert np.allclose(found.scores[rows].numpy(), expected, atol=1e-5)
    assert [int(found.flagged[labels == label].sum()) for label in range(CLASSES)] == [
        round(1.5 * 0.1 * int((labels == label).sum())) for label in range(CLASSES)
    ]


def test_a_cluster_of_half_a_class_is_not_taken_out():
    images, labels, bad = poisoned_set()
    found = activation_clustering(Seeing(), images, labels, 0, 16, small=0.1)
    assert not found.flagged[bad].any()
    share = found.facts["smaller"]["0"]
    assert share == BAD / (EACH + BAD)
    assert found.scores[bad].min() >= 1 - share


def test_labels_that_a_clean_classifier_finds_unlikely_are_suspicious(judge: str):
    images, labels, bad = poisoned_set()
    found = outlier_filter(nn.Identity(), images, labels, 0, 16, judge=judge, removed=BAD / len(labels))
    assert auc(found.scores, bad) == 1
    assert torch.equal(found.flagged, bad)


def test_a_victim_without_a_hidden_layer_is_told():
    images, labels, _ = poisoned_set()
    linear = nn.Sequential(nn.Flatten(), nn.Linear(16, CLASSES))
    with pytest.raises(RivalryError, match="looks at a hidden layer, and the victim has none"):
        spectral_signatures(linear, images, labels, 0, 16)


class Stage:
    def __init__(self, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.layout = Layout(folder)
        images, labels, bad = poisoned_set()
        sources = torch.arange(len(labels))
        write_json(self.layout.data("toy").facts, {"dataset": "toy", "classes": CLASSES, "shape": [1, 4, 4]})
        write_tensors(self.layout.data("toy")["train"], {"images": images, "labels": labels})
        place = self.layout.poisoning("toy", "corner")
        tensors = {"images": images, "labels": labels, "poisoned": bad.to(torch.uint8), "sources": sources}
        write_tensors(place["train"], tensors)
        write_json(place.facts, {"poisoning": "corner"})
        monkeypatch.setattr(import_module("rivalry.stages.screen"), "load_victim", lambda folder: Seeing())

    def run(self, method: str = "spectral_signatures", poisoning: str | None = "corner", **options: Any) -> Any:
        place = self.layout.screening("toy", "victim", "look")
        screen(
            "look",
            method,
            {},
            self.layout.data("toy").folder,
            Path("victim"),
            place.folder,
            victim_name="victim",
            poisoning=self.layout.poisoning("toy", poisoning).folder if poisoning else None,
            **options,
        )
        return read_json(place.facts), read_table(place["scores"])

    def rates(self) -> Any:
        (row,) = screening_rates(self.layout, {"screenings": [["toy", "victim", "look"]]}, 0.95)
        SCREENINGS.frame([row])
        return row


@pytest.fixture
def stage(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Stage:
    return Stage(tmp_path, monkeypatch)


@pytest.mark.parametrize("asked", [0.01, 0.05, 0.5])
def test_no_more_clean_images_are_flagged_than_was_asked_for(asked: float, stage: Stage):
    facts, scores = stage.run(false_alarms=asked)
    clean = scores[~scores["poisoned"]]
    assert facts["n_false"] == clean["found"].sum() == int(asked * len(clean))
    assert facts["n_found"] == BAD
    row = stage.rates()
    assert (row["found"], row["found_low"]) == (1.0, wilson_interval(BAD, BAD, 0.95)[0])
    assert row["auc"] == 1


def test_a_clean_training_set_has_nothing_to_find(stage: Stage):
    facts, _ = stage.run(poisoning=None)
    assert (facts["n_poisoned"], facts["auc"]) == (0, None)
    row = stage.rates()
    assert np.isnan(row["found"])
    assert row["flagged_clean"] == facts["n_flagged_false"] / facts["n"]


def test_scores_that_are_no_numbers_are_refused(stage: Stage, monkeypatch: pytest.MonkeyPatch):
    module = import_module("rivalry.filters.spectral_signatures")
    usual = module.spectral_signatures

    def broken(*given: Any, **parameters: Any) -> Any:
        found = usual(*given, **parameters)
        found.scores[3] = torch.nan
        return found

    monkeypatch.setattr(module, "spectral_signatures", broken)
    with pytest.raises(RivalryError, match="spectral_signatures: 1 of 180 scores are no numbers"):
        stage.run()


CONTENT: dict[str, Any] = {
    "datasets": {"digits": {"source": "digits"}},
    "poisonings": {"corner": {"method": "backdoor"}},
    "victims": {
        "clean": {"method": "plain", "architecture": "lenet5"},
        "poisoned": {"method": "plain", "architecture": "lenet5", "poisoning": "corner"},
    },
    "attacks": {"trigger": {"method": "backdoor_trigger", "poisoning": "corner"}},
    "filters": {"outliers": {"method": "outlier_filter", "judge": "clean", "false_alarms": 0.1}},
    "matches": [{"datasets": ["digits"], "victims": ["poisoned"], "attacks": ["trigger"], "filters": ["outliers"]}],
}


def test_a_filter_reads_the_poisoned_set_and_its_judge():
    plan = Plan(load_config(CONTENT))
    assert plan.screenings == [("digits", "poisoned", "outliers")]
    judge, poisoning = plan.layout.victim("digits", "clean"), plan.layout.poisoning("digits", "corner")
    assert ("digits", "clean") in plan.victims
    assert {*judge.files, *poisoning.files} <= set(plan.screen_inputs("digits", "poisoned", "outliers"))
    options = plan.screen_options("digits", "poisoned", "outliers")
    assert f'judge="{judge.folder}"' in options
    assert "--false-alarms 0.1" in options
    assert f"--poisoning {poisoning.folder}" in options
    assert "rivalry.filters.outlier_filter" in plan.modules("screen", "digits", "poisoned", filter="outliers")
    assert plan.unused() == []


def test_a_judge_of_poisoned_data_is_refused():
    content = CONTENT | {"filters": {"outliers": {"method": "outlier_filter", "judge": "poisoned"}}}
    with pytest.raises(
        Mistakes, match=r"filters\.outliers\.judge: 'poisoned' learned from poisoned images; name a vic"
    ):
        load_config(content)


def test_every_filter_has_a_source():
    assert all(registry.method("filters", name).traits["source"] for name in registry.names("filters"))
