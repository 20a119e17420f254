"""Facts about the defenses that stand around, before or instead of a trained victim."""

from __future__ import annotations

import math
import shutil
from importlib import import_module
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

import rivalry
from rivalry import artifacts, registry
from rivalry.architectures._classifier import Classifier
from rivalry.defenses._defended import Defended, Rejecting
from rivalry.defenses._detecting import examples
from rivalry.defenses.binary_input_detector import binary_input_detector
from rivalry.defenses.feature_detector import feature_detector
from rivalry.defenses.neural_cleanse import anomaly_index, largest_index, neural_cleanse
from rivalry.defenses.spatial_smoothing import Smoothing, spatial_smoothing
from rivalry.errors import RivalryError
from rivalry.layout import Place
from rivalry.stages.attack import attack
from rivalry.stages.defend import defend
from rivalry.stages.evaluate import COLUMNS, evaluate

CLEANSE = import_module("rivalry.defenses.neural_cleanse")
SHAPE = (1, 12, 12)
CLASSES = 8
KINDS = ["median", "mean", "half_mean"]


@pytest.fixture(autouse=True, scope="module")
def _one_thread():
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


def bars(n: int, seed: int, trigger: float = 0.0) -> tuple[Tensor, Tensor]:
    """Faint noise with a bright bar in the row of the class, uint8 (n,1,12,12).

    A share of the images (`trigger`) bears a bright pixel in the corner and the label 0, whatever its bar.
    """
    generator = torch.Generator().manual_seed(seed)
    labels = torch.randint(CLASSES, (n,), generator=generator)
    images = torch.randint(0, 60, (n, *SHAPE), generator=generator, dtype=torch.uint8)
    for row in range(CLASSES):
        images[labels == row, 0, 1 + row, 1:11] += 140
    bears = torch.rand(n, generator=generator) < trigger
    images[bears, 0, 11, 11] = 255
    return images, labels.where(~bears, 0)


def trained(images: Tensor, labels: Tensor) -> nn.Module:
    torch.manual_seed(0)
    victim = registry.method("architectures", "lenet5").load()(SHAPE, CLASSES)
    victim = Classifier(victim, 1)
    optimizer = torch.optim.Adam(victim.parameters(), lr=0.005)
    for _ in range(8):
        for rows in torch.randperm(len(images)).split(64):
            optimizer.zero_grad()
            nn.functional.cross_entropy(victim(images[rows].float() / 255), labels[rows]).backward()
            optimizer.step()
    return victim.eval()


def accuracy(victim: nn.Module, images: Tensor, labels: Tensor) -> float:
    with torch.no_grad():
        return float((victim(images.float() / 255).argmax(dim=1) == labels).float().mean())


@pytest.fixture(scope="module")
def clean_victim() -> nn.Module:
    return trained(*bars(1500, 0))


@pytest.fixture(scope="module")
def poisoned_victim() -> nn.Module:
    return trained(*bars(1500, 0, trigger=0.15))


# Spatial smoothing


def test_median_of_a_window_is_its_middle_value():
    image = torch.tensor([[0.0, 0.9, 0.1], [0.8, 0.5, 0.2], [0.3, 0.7, 0.6]]).view(1, 1, 3, 3)
    assert Smoothing("median", 3)(image)[0, 0, 1, 1] == 0.5


@pytest.mark.parametrize("shape", [(4, 1, 8, 8), (2, 3, 5, 9), (1, 1, 2, 2)])
@pytest.mark.parametrize("black", [0.0, 0.6])
def test_the_fast_median_is_the_median_and_so_is_its_gradient(shape, black):
    generator = torch.Generator().manual_seed(0)
    images = torch.rand(shape, generator=generator)
    images = (images * (torch.rand(shape, generator=generator) >= black)).requires_grad_(True)
    windows = torch.nn.functional.pad(images, [1] * 4, mode="reflect").unfold(2, 3, 1).unfold(3, 3, 1).flatten(4)
    slow, fast = windows.sort(dim=4).values[..., 4], Smoothing("median", 3)(images)
    assert torch.equal(slow, fast)
    weights = torch.rand(3, *shape, generator=generator)
    several = torch.autograd.grad(fast, images, weights, is_grads_batched=True, retain_graph=True)[0]
    for one, given in zip(several, weights, strict=True):
        (alone,) = torch.autograd.grad(fast, images, given, retain_graph=True)
        assert torch.equal(one, alone)
        if not black:  # of equal pixels, each may be the median
            torch.testing.assert_close(alone, torch.autograd.grad(slow, images, given, retain_graph=True)[0])
        torch.testing.assert_close(alone.sum(), given.sum())


def test_edges_are_continued_by_reflection():
    image = torch.arange(9.0).view(1, 1, 3, 3) / 9
    # Around the corner (0,0) the reflected window holds 0 once, 1 and 3 twice, 4 four times.
    assert Smoothing("mean", 3)(image)[0, 0, 0, 0] == pytest.approx((2 * 1 + 2 * 3 + 4 * 4) / 81)
    assert Smoothing("median", 3)(image)[0, 0, 0, 0] == pytest.approx(3 / 9)


@pytest.mark.parametrize("window", [3, 5, 7])
@pytest.mark.parametrize("kind", KINDS)
def test_smoothing_keeps_constant_images_shape_and_range(kind: str, window: int):
    smoothing = Smoothing(kind, window)
    for value in (0.0, 0.3, 1.0):
        image = torch.full((2, 3, 9, 8), value)
        assert torch.allclose(smoothing(image), image, atol=1e-6)
    noise = smoothing(torch.rand(2, 3, 9, 8))
    assert noise.shape == (2, 3, 9, 8)
    assert noise.min() >= 0
    assert noise.max() <= 1


def test_half_mean_lies_between_geometric_and_arithmetic_mean():
    images = torch.rand(4, 3, 10, 10).clamp_min(0.01)
    half, mean = Smoothing("half_mean", 5)(images), Smoothing("mean", 5)(images)
    geometric = Smoothing("mean", 5)(images.log()).exp()
    assert (half <= mean + 1e-6).all()
    assert (half >= geometric - 1e-6).all()
    assert (mean - half).max() > 0.01


def test_half_mean_of_one_bright_pixel_among_black_ones_is_far_below_the_mean():
    image = torch.zeros(1, 1, 5, 5)
    image[0, 0, 2, 2] = 1
    assert Smoothing("half_mean", 3)(image)[0, 0, 2, 2] == pytest.approx(1 / 81)
    assert Smoothing("mean", 3)(image)[0, 0, 2, 2] == pytest.approx(1 / 9)


@pytest.mark.parametrize("kind", KINDS)
def test_smoothing_gradients_are_finite_even_on_black(kind: str):
    images = torch.rand(2, 1, 8, 8)
    images[:, :, :, :4] = 0
    images[0] = 0
    images.requires_grad_(True)
    (gradient,) = torch.autograd.grad(Smoothing(kind, 3)(images).sum(), images)
    assert gradient.isfinite().all()
    assert gradient.abs().max() < 100


@pytest.mark.parametrize("kind", KINDS)
def test_smoothing_gradients_are_the_true_ones_off_black(kind: str):
    images = (0.1 + 0.8 * torch.rand(1, 2, 6, 6, dtype=torch.float64)).requires_grad_(True)
    assert torch.autograd.gradcheck(Smoothing(kind, 3), images, eps=1e-7)


def test_a_smoothed_victim_sees_smoothed_images(clean_victim: nn.Module):
    images, labels = bars(8, 1)
    defended = spatial_smoothing(clean_victim, images, labels, 0, 4, kind="median", window=3).module
    pixels = images.float() / 255
    assert torch.equal(defended(pixels), clean_victim(Smoothing("median", 3)(pixels)))


# Detectors


class Fixed(nn.Module):
    """Answers with rows of a table, whatever the images."""

    def __init__(self, table: Tensor) -> None:
        super().__init__()
        self.table = table

    def forward(self, images: Tensor) -> Tensor:
        return self.table[: len(images)]


@pytest.mark.parametrize("offset", [-1e4, -30.0, 0.0, 30.0, 1e4])
def test_rejecting_refuses_exactly_what_its_detector_finds_suspicious(offset: float):
    torch.manual_seed(1)
    logits = 5 * torch.randn(400, 10) + offset
    odds = torch.cat([4 * torch.randn(396), torch.tensor([0.7, 0.7 + 1e-6, 0.7 - 1e-6, -0.7])])
    detector = Fixed(torch.stack([torch.zeros(400), odds], dim=1))
    model = Rejecting(detector, Fixed(logits), torch.tensor(0.7), classes=10)
    answers = model(torch.zeros(400, *SHAPE))
    suspicious = odds > 0.7
    assert model.reject_class == 10
    assert answers.shape == (400, 11)
    assert torch.equal(answers.argmax(dim=1) == 10, suspicious)
    assert torch.equal(answers[~suspicious].argmax(dim=1), logits[~suspicious].argmax(dim=1))
    assert torch.allclose(model.suspicion(answers), odds.double(), atol=1e-5)


def test_an_attack_on_rejecting_evades_victim_and_detector_together():
    # The victim looks at the first pixel, the detector compares it with the second.
    class Victim(nn.Module):
        def forward(self, images: Tensor) -> Tensor:
            value = images.flatten(1)[:, 0]
            return 20 * torch.stack([0.5 - value, value - 0.5], dim=1)

    class Detector(nn.Module):
        def forward(self, images: Tensor) -> Tensor:
            pixels = images.flatten(1)
            return torch.stack([torch.zeros(len(images)), 20 * (pixels[:, 0] - pixels[:, 1])], dim=1)

    images, labels = torch.full((3, 1, 4, 4), 0.3), torch.zeros(3, dtype=torch.int64)
    model = Rejecting(Detector(), Victim(), torch.tensor(1.0), classes=2)
    oblivious = rivalry.attacks.pgd(Victim(), images, labels, eps=0.4, step_size=0.05)
    oblivious[:, :, 0, 1] = 0.3
    assert (model(oblivious).argmax(dim=1) == 2).all()
    adaptive = rivalry.attacks.pgd(model, images, labels, eps=0.4, step_size=0.05)
    assert (model(adaptive).argmax(dim=1) == 1).all()


NOISE = {"method": "random_noise", "eps": [0.1, 0.3]}


@pytest.fixture(scope="module")
def detecting(clean_victim: nn.Module):
    settings = {"sample": 1200, "epochs": 6, "learning_rate": 0.003, "false_positive_rate": 0.1}
    return binary_input_detector(clean_victim, *bars(1500, 0), 3, 64, attack=NOISE, **settings)


def test_detector_tells_noise_from_clean_images_it_never_saw(detecting, clean_victim: nn.Module):
    images, labels = bars(300, 7)
    clean = images.float() / 255
    noisy = rivalry.attacks.random_noise(clean_victim, clean, labels, eps=0.3, seed=9)
    refused = [detecting.module(part).argmax(dim=1) == CLASSES for part in (clean, noisy)]
    assert refused[0].float().mean() < 0.2
    assert refused[1].float().mean() > 0.9


def test_detector_keeps_to_its_false_positive_rate_on_held_out_training_images(detecting):
    facts = detecting.facts
    assert facts["images_held_out"] == 300
    assert facts["images_learned"] == 900
    assert 0.08 <= facts["flagged_clean"] <= 0.1
    assert facts["flagged_attacked"] > 0.9


def test_detector_learns_from_the_largest_budget(detecting):
    assert detecting.facts["attack"]["eps"] == 0.3


def test_of_several_attacks_each_attacks_an_equal_share_of_what_a_detector_learns_from(clean_victim: nn.Module):
    small, large = ({"method": "random_noise", "eps": eps} for eps in (0.01, 0.2))
    images, labels = bars(40, 0)
    shown = examples(clean_victim, images, labels, [small, large], 41, 3, 64)
    change = (shown.adversarial - shown.clean).abs().amax(dim=(1, 2, 3))
    assert shown.attack == [small, large]
    assert shown.attacked.sum() > 20
    assert (change[~shown.attacked] == 0).all()
    first = torch.arange(40) % 2 == 0
    assert (change[shown.attacked & first] <= 0.0101).all()
    assert (change[shown.attacked & ~first] > 0.1).all()
    alone = examples(clean_victim, images, labels, large, 41, 3, 64)
    assert alone.attack == large
    assert torch.equal(alone.clean, shown.clean)


def test_detector_cannot_learn_from_an_attack_that_only_aims_at_a_class(clean_victim: nn.Module):
    with pytest.raises(RivalryError, match="backdoor_trigger has no untargeted form"):
        binary_input_detector(clean_victim, *bars(20, 0), 0, 64, attack={"method": "backdoor_trigger"})


@pytest.mark.parametrize("retrain", [False, True])
def test_a_detector_looks_at_the_victims_features(retrain: bool, clean_victim: nn.Module, tmp_path: Path):
    before = {name: value.clone() for name, value in clean_victim.state_dict().items()}
    settings = {"sample": 1200, "epochs": 12, "learning_rate": 0.003, "false_positive_rate": 0.1, "retrain": retrain}
    made = feature_detector(clean_victim, *bars(1500, 0), 3, 64, attack=NOISE, **settings)
    assert all(torch.equal(value, before[name]) for name, value in clean_victim.state_dict().items())
    images, labels = bars(300, 7)
    clean = images.float() / 255
    noisy = rivalry.attacks.random_noise(clean_victim, clean, labels, eps=0.3, seed=9)
    with torch.no_grad():
        refused = [float((made.module(part).argmax(dim=1) == CLASSES).float().mean()) for part in (clean, noisy)]
        told = made.module(clean)
        assert torch.equal(told[:, :CLASSES].argmax(dim=1), clean_victim(clean).argmax(dim=1))
    assert refused[0] < 0.2
    assert refused[1] > 0.7
    assert 0.08 <= made.facts["flagged_clean"] <= 0.1
    facts = {"parameters": settings, "facts": made.facts, "classes": CLASSES}
    again = registry.method("defenses", "feature_detector").load("restore")(clean_victim, facts)
    own = {name: value for name, value in made.module.state_dict().items() if not name.startswith("victim.")}
    assert all(not name.startswith("victim.") for name in again.load_state_dict(own, strict=False).unexpected_keys)
    with torch.no_grad():
        assert torch.equal(again.eval()(clean), told)


# Neural Cleanse

SEARCH = {"steps": 200, "minibatch": 32, "share": 0.4, "epochs": 4}


def test_anomaly_index_is_the_distance_from_the_median_in_deviations():
    index = anomaly_index(torch.tensor([10.0, 11.0, 12.0, 13.0, 2.0]))
    # Median 11, absolute deviations 1, 0, 1, 2, 9 with median 1.
    assert torch.allclose(index, torch.tensor([1.0, 0.0, 1.0, 2.0, 9.0]) / 1.4826)


@pytest.mark.parametrize(
    "norms",
    [
        [144.0, 144.0, 144.0, 144.0, 3.0],
        [144.0, 144.0, 144.0, 3.0, 140.0],
        [5.0] * 6,
        [144.0, 144.00001, 144.0, 3.0, 143.99999],
    ],
    ids=["one is small", "two differ", "all alike", "alike but for rounding"],
)
def test_without_a_deviation_there_is_no_anomaly_index(norms: list[float]):
    assert anomaly_index(torch.tensor(norms, dtype=torch.float64)).isnan().all()


def test_of_two_classes_none_stands_out_and_of_three_one_may():
    for first, second in ((1.0, 200.0), (90.0, 91.0), (0.0, 1e-3)):
        index = anomaly_index(torch.tensor([first, second], dtype=torch.float64))
        assert index.tolist() == pytest.approx([largest_index(2)] * 2)
    assert largest_index(2) < 0.7
    assert anomaly_index(torch.tensor([1.0, 100.0, 101.0]))[0] > 50
    assert largest_index(3) == float("inf")


class Steady(nn.Module):
    """Answers with one class, whatever the image: every trigger leads there and none to another class."""

    def __init__(self, classes: int) -> None:
        super().__init__()
        self.scores = nn.Parameter(torch.eye(classes)[0] * 5)

    def forward(self, images: Tensor) -> Tensor:
        return self.scores + 0 * images.flatten(1)[:, : len(self.scores)]


def test_one_class_among_others_of_one_and_the_same_norm_is_not_flagged():
    victim = Steady(CLASSES)
    found = neural_cleanse(victim, *bars(300, 3), 5, 64, steps=40, minibatch=8, share=0.5)
    norms = found.facts["mask_l1"]
    assert norms[1:] == [144.0] * (CLASSES - 1)  # no trigger found: the whole image
    assert norms[0] < 140
    assert found.facts["anomaly_index"] == [None] * CLASSES
    assert found.facts["flagged"] == []
    assert found.module is victim


def test_it_is_said_that_of_two_classes_none_can_be_found():
    images, labels = bars(200, 3)
    with pytest.warns(UserWarning, match=r"of 2 classes none has an anomaly index above 0.67"):
        found = neural_cleanse(Steady(2), images, labels % 2, 5, 64, steps=20, minibatch=8, share=0.5)
    assert found.facts["flagged"] == []
    assert found.facts["largest_index"] == pytest.approx(0.6745, abs=1e-3)


@pytest.mark.parametrize("share", [0.1, 0.5, 0.9])
def test_triggers_are_measured_on_images_that_nothing_was_learned_from(
    share: float, clean_victim: nn.Module, monkeypatch: pytest.MonkeyPatch
):
    masks = (0.5 + 0.01 * torch.arange(CLASSES)).view(-1, 1, 1, 1).repeat(1, 1, 12, 12)
    masks[0] = 0.01
    shown: dict[str, list[Tensor]] = {"sought on": [], "learned": [], "measured on": []}

    def sought(victim: nn.Module, images: Tensor, *_: object) -> tuple[Tensor, Tensor]:
        shown["sought on"].append(images.clone())
        return masks, torch.ones(CLASSES, *SHAPE)

    def learned(network: nn.Module, images: Tensor, *_: object, **__: object) -> nn.Module:
        shown["learned"].append(images)
        return network

    def measured(victim: nn.Module, images: Tensor, *_: object) -> list[float]:
        shown["measured on"].append(images)
        return [1.0] * CLASSES

    for name, stand_in in (("_reverse_engineer", sought), ("refit", learned), ("_success", measured)):
        monkeypatch.setattr(CLEANSE, name, stand_in)
    found = neural_cleanse(clean_victim, *bars(1500, 3), 5, 64, share=share)
    assert found.facts["changed"]
    sets = {name: {image.numpy().tobytes() for part in parts for image in part} for name, parts in shown.items()}
    assert len(sets["sought on"]) == len(sets["learned"]) == round(share * 1500)
    assert len(sets["measured on"]) == min(1000, 1500 - round(share * 1500))
    assert not sets["measured on"] & (sets["sought on"] | sets["learned"])


@pytest.mark.parametrize(("n", "share"), [(40, 0.99), (1, 0.5), (8, 0.9)])
def test_a_share_that_leaves_nothing_to_measure_on_is_told(n: int, share: float):
    with pytest.raises(
        RivalryError, match=rf"^share: {share} of {n} training images leaves [01] to measure .* lower it$"
    ):
        neural_cleanse(Steady(CLASSES), *bars(n, 3), 5, 64, share=share)


@pytest.fixture(scope="module")
def cleansed(poisoned_victim: nn.Module):
    return neural_cleanse(poisoned_victim, *bars(1500, 3), 5, 64, **SEARCH)


def test_neural_cleanse_finds_the_planted_class_and_its_pixel(cleansed):
    facts = cleansed.facts
    assert facts["flagged"] == [0]
    assert facts["anomaly_index"][0] > 2
    assert facts["mask_l1"][0] == min(facts["mask_l1"])
    assert cleansed.triggers["mask"].shape == (CLASSES, 1, 12, 12)
    assert cleansed.triggers["pattern"].shape == (CLASSES, *SHAPE)
    assert cleansed.triggers["mask"][0].flatten().argmax() == 12 * 12 - 1


def test_neural_cleanse_unlearns_the_backdoor_and_little_else(cleansed, poisoned_victim: nn.Module):
    images, labels = bars(400, 11)
    stamped = images.clone()
    stamped[:, 0, 11, 11] = 255
    others = labels != 0
    zeros = torch.zeros_like(labels[others])
    assert accuracy(poisoned_victim, stamped[others], zeros) > 0.9
    assert accuracy(cleansed.module, stamped[others], zeros) < 0.05
    assert accuracy(cleansed.module, stamped[others], labels[others]) > 0.9
    assert accuracy(cleansed.module, images, labels) > accuracy(poisoned_victim, images, labels) - 0.03


def test_neural_cleanse_prunes_what_the_trigger_excites(cleansed, poisoned_victim: nn.Module):
    found = neural_cleanse(poisoned_victim, *bars(1500, 3), 5, 64, **SEARCH, mitigation="pruning")
    assert found.facts["flagged"] == cleansed.facts["flagged"]
    assert found.facts["success_after"][0] <= 0.05 < 0.9 < found.facts["success"][0]
    assert 0 < found.facts["pruned"] < found.facts["units"] == 84
    images, labels = bars(400, 11)
    stamped = images.clone()
    stamped[:, 0, 11, 11] = 255
    others = labels != 0
    zeros = torch.zeros_like(labels[others])
    assert accuracy(found.module, stamped[others], zeros) < 0.5 < accuracy(poisoned_victim, stamped[others], zeros)
    assert accuracy(found.module, images, labels) > 0.3  # units of class 0 are the price, chance is 0.125
    assert found.module.state_dict().keys() == poisoned_victim.state_dict().keys()


def test_neural_cleanse_leaves_a_clean_victim_as_it_is(clean_victim: nn.Module):
    found = neural_cleanse(clean_victim, *bars(1500, 3), 5, 64, **SEARCH)
    assert found.facts["flagged"] == []
    assert found.facts["changed"] is False
    assert found.module is clean_victim


@pytest.mark.parametrize(
    ("facts", "planted", "innocent"),
    [
        ({"flagged": [0, 3]}, 0, [3]),
        ({"flagged": [0]}, 0, []),
        ({"flagged": [0]}, None, [0]),
        ({"flagged": []}, 0, []),
        ({}, 0, None),
    ],
)
def test_classes_that_are_suspected_wrongly_are_written_down(
    facts: dict, planted: int | None, innocent: list[int] | None, folders: Path, tmp_path: Path, monkeypatch
):
    shutil.copytree(folders / "victims" / "poisoned", tmp_path / "victim")
    about = artifacts.read_json(tmp_path / "victim" / "victim.json")
    artifacts.write_json(tmp_path / "victim" / "victim.json", about | {"backdoor_target": planted})
    monkeypatch.setattr(CLEANSE, "neural_cleanse", lambda victim, *_, **__: Defended(victim, facts))
    defend(
        "cleanse",
        "neural_cleanse",
        {},
        folders / "data",
        tmp_path / "victim",
        tmp_path / "defense",
        victim_name="poisoned",
        seed=4,
        accelerator="cpu",
    )
    written = artifacts.read_json(tmp_path / "defense" / "defense.json")
    assert written["innocent_flagged"] == innocent
    assert written["backdoor_target"] == planted


# Stages


@pytest.fixture(scope="module")
def folders(tmp_path_factory, clean_victim: nn.Module, poisoned_victim: nn.Module) -> Path:
    root = tmp_path_factory.mktemp("results")
    for split, seed in (("train", 0), ("test", 1)):
        images, labels = bars(400, seed)
        artifacts.write_tensors(root / "data" / f"{split}.safetensors", {"images": images, "labels": labels})
    facts = {"dataset": "bars", "shape": SHAPE, "classes": CLASSES}
    artifacts.write_json(root / "data" / "dataset.json", facts)
    for name, victim in (("plain", clean_victim), ("poisoned", poisoned_victim)):
        artifacts.write_tensors(root / "victims" / name / "victim.safetensors", dict(victim.state_dict()))
        artifacts.write_json(
            root / "victims" / name / "victim.json",
            facts | {"victim": name, "architecture": "lenet5", "architecture_parameters": {}},
        )
    return root


METHODS = {
    "median3": ("plain", "spatial_smoothing", {"kind": "median", "window": 3}),
    "detector": (
        "plain",
        "binary_input_detector",
        {
            "attack": {"method": "fgsm", "eps": 0.3},
            "architecture": "lenet5",
            "sample": 300,
            "epochs": 4,
            "learning_rate": 0.003,
            "false_positive_rate": 0.1,
        },
    ),
    "cleanse": (
        "poisoned",
        "neural_cleanse",
        {
            "steps": 100,
            "minibatch": 16,
            "step_size": 0.1,
            "success": 0.99,
            "anomaly": 2.0,
            "share": 0.5,
            "stamped": 0.2,
            "epochs": 1,
            "learning_rate": 0.001,
        },
    ),
}


@pytest.fixture(scope="module")
def defended(folders: Path) -> Path:
    for name, (victim, method, parameters) in METHODS.items():
        defend(
            name,
            method,
            parameters,
            folders / "data",
            folders / "victims" / victim,
            folders / "defenses" / victim / name,
            victim_name=victim,
            seed=4,
            accelerator="cpu",
            batch_size=64,
        )
    return folders / "defenses"


@pytest.mark.parametrize("name", list(METHODS))
def test_a_saved_defense_answers_as_it_did(name: str, folders: Path, defended: Path):
    victim, method, parameters = METHODS[name]
    train = artifacts.read_tensors(folders / "data" / "train.safetensors")
    again = registry.method("defenses", method).load()(
        rivalry.load_victim(folders / "victims" / victim),
        train["images"],
        train["labels"],
        4,
        64,
        **parameters,
    )
    loaded = rivalry.load_victim(defended / victim / name)
    pixels = bars(50, 2)[0].float() / 255
    with torch.no_grad():
        assert torch.equal(loaded(pixels), again.module(pixels))
    facts = artifacts.read_json(defended / victim / name / "defense.json")
    assert facts["kind"] == registry.method("defenses", method).traits["kind"]
    assert (defended / victim / name / "triggers.safetensors").is_file() == (name == "cleanse")
    artifacts.identify(Place("defend", defended / victim / name, {"victim": victim, "defense": name}))


def test_a_file_that_lacks_weights_is_refused(defended: Path, tmp_path: Path):
    shutil.copytree(defended.parent, tmp_path / "results")
    folder = tmp_path / "results" / "defenses" / "plain" / "detector"
    tensors = artifacts.read_tensors(folder / "defense.safetensors")
    del tensors["threshold"]
    artifacts.write_tensors(folder / "defense.safetensors", tensors)
    Place("defend", folder).manifest.unlink()  # else it would be refused as damaged
    with pytest.raises(RivalryError, match="missing threshold"):
        rivalry.load_victim(folder)


@pytest.fixture(scope="module")
def attacked(folders: Path, defended: Path) -> Path:
    for victim_name, folder in (
        ("plain", folders / "victims" / "plain"),
        ("plain+median3", defended / "plain" / "median3"),
        ("plain+detector", defended / "plain" / "detector"),
    ):
        for name, eps, target in (("fgsm", [0.1, 0.3], None), ("deepfool", None, None), ("aimed", [0.3], 2)):
            if name == "deepfool" and victim_name != "plain":
                continue
            attack(
                name,
                "deepfool" if name == "deepfool" else "fgsm",
                {} if eps is None else {"eps": eps},
                folders / "data",
                folder,
                folders / "attacks" / victim_name / name,
                victim_name=victim_name,
                images=60,
                data_seed=8,
                seed=1,
                target=target,
                accelerator="cpu",
            )
    return folders / "attacks"


@pytest.mark.parametrize("name", ["median3", "detector"])
def test_evaluation_says_what_the_defense_made_of_each_image(name: str, folders: Path, defended: Path, attacked: Path):
    output = folders / "evaluations" / "plain" / name
    evaluate(
        folders / "data",
        defended / "plain" / name,
        output,
        oblivious=[attacked / "plain" / attack for attack in ("fgsm", "deepfool", "aimed")],
        adaptive=[attacked / f"plain+{name}" / attack for attack in ("fgsm", "aimed")],
        images=60,
        data_seed=8,
        accelerator="cpu",
    )
    scores = artifacts.read_table(output / "scores.parquet")
    assert list(scores.columns) == COLUMNS
    sets = scores.groupby(["setting", "attack", "eps"], dropna=False).size()
    assert (sets == 60).all()
    assert len(sets) == 1 + 4 + 3
    assert not scores.drop(columns=["eps", "score"]).isna().any().any()

    # Clean rows agree with the defended victim itself.
    victim = rivalry.load_victim(defended / "plain" / name)
    test = artifacts.read_tensors(folders / "data" / "test.safetensors")
    clean = scores[scores["setting"] == "clean"]
    index = torch.tensor(clean["index"].to_numpy())
    with torch.no_grad():
        answers = victim(test["images"][index].float() / 255).argmax(dim=1)
    assert (clean["label"].to_numpy() == test["labels"][index].numpy()).all()
    assert (clean["prediction"].to_numpy() == answers.where(answers < CLASSES, -1).numpy()).all()

    # An adaptive attack was scored on this victim when it was made: the same from disk.
    made = artifacts.read_table(attacked / f"plain+{name}" / "fgsm" / "scores.parquet")
    found = scores[(scores["setting"] == "adaptive") & (scores["attack"] == "fgsm")]
    assert (found["success"].to_numpy() == made["success"].to_numpy()).all()
    assert (found["l2"].to_numpy() == made["l2"].to_numpy()).all()

    # Success is the goal reached by an attacked image that is let through, and is handled unattacked.
    rows = scores[scores["setting"] != "clean"]
    through = rows["attacked"] & rows["clean_handled"] & (rows["prediction"] >= 0)
    untargeted = through & (rows["target"] < 0) & (rows["prediction"] != rows["label"])
    targeted = through & (rows["target"] >= 0) & (rows["prediction"] == rows["target"])
    assert (rows["success"] == (untargeted | targeted)).all()
    assert rows["success"].any()

    # What is not attacked counts as it does clean; nothing is handled that is not handled clean.
    held = dict(zip(clean["index"], (clean["prediction"] == clean["label"]), strict=True))
    assert (scores["clean_handled"] == scores["index"].map(held)).all()
    left_alone = rows[~rows["attacked"]]
    assert (left_alone["handled"] == left_alone["clean_handled"]).all()
    assert not (rows["handled"] & ~rows["clean_handled"]).any()

    if name == "detector":
        assert (scores["flagged"] == (scores["prediction"] == -1)).all()
        threshold = artifacts.read_json(defended / "plain" / name / "defense.json")["facts"]["threshold"]
        assert (scores["flagged"] == (scores["score"] > math.log(threshold / (1 - threshold)))).mean() > 0.99
        assert rows["flagged"].mean() > clean["flagged"].mean()
    else:
        assert not scores["flagged"].any()
        assert scores["score"].isna().all()


def test_examples_made_on_another_model_do_not_pass_for_adaptive(folders: Path, defended: Path, attacked: Path):
    with pytest.raises(RivalryError, match="made on plain with defense none; for the adaptive setting"):
        evaluate(
            folders / "data",
            defended / "plain" / "median3",
            folders / "elsewhere",
            adaptive=[attacked / "plain" / "fgsm"],
            images=60,
            data_seed=8,
        )
