"""Training: what is learned, what resuming gives, what divergence says."""

from __future__ import annotations

import itertools
import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from copy import deepcopy
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

import rivalry.attacks
from rivalry import load_victim, registry
from rivalry.artifacts import read_json, write_json, write_tensors
from rivalry.attacks import choose_targets
from rivalry.errors import RivalryError
from rivalry.fooling import fool
from rivalry.poisoning.backdoor import backdoor
from rivalry.stages.train import train
from rivalry.training import Recipe
from rivalry.training._fit import LAST, PREVIOUS, Fit, fit
from rivalry.training.adversarial_training import adversarial_training
from rivalry.training.plain import plain

FITTING = {
    "epochs": 4,
    "batch_size": 32,
    "learning_rate": 0.01,
    "optimizer": "adam",
    "patience": 4,
    "validation_fraction": 0.2,
}


def stripes(n: int = 300, seed: int = 0) -> tuple[Tensor, Tensor]:
    """A problem of three classes that a linear model solves: which third of the image is bright."""
    generator = torch.Generator().manual_seed(seed)
    labels = torch.randint(0, 3, (n,), generator=generator)
    images = torch.randint(0, 120, (n, 1, 6, 6), generator=generator)
    for row, label in enumerate(labels.tolist()):
        images[row, :, 2 * label : 2 * label + 2] += 100
    return images.to(torch.uint8), labels


def model(seed: int = 0) -> nn.Module:
    torch.manual_seed(seed)
    return nn.Sequential(nn.Flatten(), nn.Linear(36, 16), nn.ReLU(), nn.Dropout(0.2), nn.Linear(16, 3))


def learn(folder: Path | None, victim: nn.Module, recipe: Recipe | None = None, **changes: object) -> Fit:
    images, labels = stripes()
    recipe = recipe or plain(images, labels)
    return fit(victim, images, labels, recipe, folder, seed=7, accelerator="cpu", **(FITTING | changes))


def weights(victim: nn.Module) -> Tensor:
    return torch.cat([parameter.detach().flatten() for parameter in victim.parameters()])


def test_a_victim_learns_and_keeps_its_best_epoch(tmp_path: Path) -> None:
    victim = model()
    outcome = learn(tmp_path, victim)
    losses = [row["validation_loss"] for row in outcome.history]
    assert outcome.best_epoch == 1 + losses.index(min(losses))
    assert outcome.history[outcome.best_epoch - 1]["validation_accuracy"] > 0.9
    images, labels = stripes(200, seed=1)
    assert (victim.eval()(images.float() / 255).argmax(1) == labels).float().mean() > 0.9


def test_one_seed_gives_the_same_weights(tmp_path: Path) -> None:
    one, two = model(), model()
    learn(tmp_path / "one", one)
    learn(tmp_path / "two", two)
    assert torch.equal(weights(one), weights(two))


class PowerCut(Exception):
    """Nothing of ours catches it."""


def interrupted(at: int) -> Recipe:
    """Plain training that breaks off at its `at`-th loss; an epoch has 8 batches to learn from and 2 to validate on."""
    _, labels = stripes()
    losses = itertools.count(1)

    def loss(victim: nn.Module, images: Tensor, targets: Tensor) -> Tensor:
        if next(losses) == at:
            raise PowerCut
        return plain(images, targets).loss(victim, images, targets)

    return Recipe(labels, loss)


@pytest.fixture(scope="module")
def whole() -> tuple[Tensor, Fit]:
    """The weights and the course of a training that nothing interrupts."""
    victim = model()
    outcome = learn(None, victim)
    return weights(victim), outcome


def goes_on(folder: Path, whole: tuple[Tensor, Fit], capsys: pytest.CaptureFixture[str], after: int) -> str:
    """Train again in this folder: to the same bytes, and only what came after an epoch; what was said first."""
    fresh = model(seed=5 if after else 0)  # what a new process starts from matters only at the beginning
    capsys.readouterr()
    outcome = learn(folder, fresh)
    said, *epochs = capsys.readouterr().out.splitlines()
    assert torch.equal(weights(fresh), whole[0])
    assert outcome == whole[1]
    assert [line.split(":")[0] for line in epochs] == [f"epoch {epoch} of 4" for epoch in range(after + 1, 5)]
    return said


@pytest.mark.parametrize(
    ("at", "after"),
    [(11, 1), (18, 1), (20, 1), (25, 2), (40, 3)],
    ids=["first batch", "last batch", "validation", "in the middle", "last loss of all"],
)
def test_an_interrupted_training_resumes_to_the_same_bytes(
    tmp_path: Path, whole: tuple[Tensor, Fit], capsys: pytest.CaptureFixture[str], at: int, after: int
) -> None:
    with pytest.raises(PowerCut):
        learn(tmp_path, model(), interrupted(at))
    assert goes_on(tmp_path, whole, capsys, after) == f"training goes on after epoch {after} of 4"


@pytest.mark.parametrize("moment", ["half written", "written, under no name", "whole"])
def test_a_checkpoint_that_is_being_written_costs_no_other(
    tmp_path: Path,
    whole: tuple[Tensor, Fit],
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    moment: str,
) -> None:
    """Broken off while the third epoch's checkpoint is written, or right after."""
    written = itertools.count(1)
    save, replace = torch.save, Path.replace

    def cut_save(content: Any, path: Path) -> None:
        third = next(written) == 3
        save(content, path)
        if third and moment == "half written":
            with open(path, "r+b") as file:
                file.truncate(path.stat().st_size // 2)
            raise PowerCut
        if third:
            monkeypatch.setattr(Path, "replace", cut_replace)

    def cut_replace(path: Path, target: Path) -> Path:
        if Path(target).name == LAST and moment != "whole":
            raise PowerCut
        replace(path, target)
        if Path(target).name == LAST:
            raise PowerCut
        return target

    monkeypatch.setattr(torch, "save", cut_save)
    with pytest.raises(PowerCut):
        learn(tmp_path, model())
    monkeypatch.undo()
    after = 3 if moment == "whole" else 2
    assert goes_on(tmp_path, whole, capsys, after) == f"training goes on after epoch {after} of 4"


def cut_to(share: float) -> Callable[[Path], None]:
    return lambda path: path.write_bytes(path.read_bytes()[: int(share * path.stat().st_size)])


def one_bit(path: Path) -> None:
    content = bytearray(path.read_bytes())
    weight = torch.load(path, weights_only=True)["state_dict"]["victim.1.weight"]
    content[content.index(weight.numpy().tobytes())] ^= 1
    path.write_bytes(content)


DAMAGES: dict[str, Callable[[Path], None]] = {
    "empty": cut_to(0),
    "cut": cut_to(0.6),
    "one byte short": lambda path: path.write_bytes(path.read_bytes()[:-1]),
    "one bit": one_bit,
    "zeros": lambda path: path.write_bytes(bytes(path.stat().st_size)),
    "something else": lambda path: path.write_text("no checkpoint"),
}


@pytest.mark.parametrize("damage", list(DAMAGES))
@pytest.mark.parametrize(
    ("names", "after", "said"),
    [
        ([LAST], 1, "last.ckpt is damaged and set aside; training goes on after epoch 1 of 4"),
        ([PREVIOUS], 2, "training goes on after epoch 2 of 4"),
        (
            [LAST, PREVIOUS],
            0,
            "last.ckpt is damaged and set aside; previous.ckpt is damaged and set aside; training begins anew",
        ),
    ],
    ids=["last", "previous", "both"],
)
def test_a_damaged_checkpoint_is_set_aside(
    tmp_path: Path,
    whole: tuple[Tensor, Fit],
    capsys: pytest.CaptureFixture[str],
    damage: str,
    names: list[str],
    after: int,
    said: str,
) -> None:
    with pytest.raises(PowerCut):
        learn(tmp_path, model(), interrupted(25))
    for name in names:
        DAMAGES[damage](tmp_path / name)
    assert goes_on(tmp_path, whole, capsys, after) == said


@pytest.mark.parametrize("patience", [1, 2, 9])
def test_what_is_finished_stays_finished(tmp_path: Path, patience: int) -> None:
    """Killed after its last epoch and before its weights were handed over: there is nothing left to learn.

    With this learning rate no epoch is better than the first, so that 1 and 2 end before the sixth.
    """
    victim, again = model(), model(seed=5)
    outcome = learn(tmp_path, victim, epochs=6, learning_rate=1e-12, patience=patience)
    assert len(outcome.history) == min(1 + patience, 6)
    assert learn(tmp_path, again, epochs=6, learning_rate=1e-12, patience=patience) == outcome
    assert torch.equal(weights(victim), weights(again))


def test_it_goes_on_after_its_last_epoch_and_not_after_its_best(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """With this learning rate the first epoch stays the best."""
    options = {"learning_rate": 1e-12, "epochs": 6, "patience": 9}
    with pytest.raises(PowerCut):
        learn(tmp_path, model(), interrupted(45), **options)
    assert learn(tmp_path, model(seed=5), **options).best_epoch == 1
    assert "training goes on after epoch 4 of 6" in capsys.readouterr().out


CHILD = """
import sys
from pathlib import Path
from test_training import colourful
colourful(Path(sys.argv[1]))
"""


def colourful(folder: Path | None) -> tuple[Tensor, Fit]:
    """Training with everything that has a state: convolutions laid out anew, averages, dropout, attacks inside."""
    generator = torch.Generator().manual_seed(0)
    images = torch.randint(0, 256, (120, 3, 8, 8), generator=generator, dtype=torch.uint8)
    labels = torch.arange(120) % 3
    torch.manual_seed(0)
    victim = nn.Sequential(
        nn.Conv2d(3, 8, 3), nn.BatchNorm2d(8), nn.ReLU(), nn.Dropout(0.3), nn.Flatten(), nn.Linear(8 * 36, 3)
    )
    recipe = adversarial_training(images, labels, eps=0.05, step_size=0.02, steps=3, alpha=0.5)
    outcome = fit(
        victim, images, labels, recipe, folder, seed=7, accelerator="cpu", **FITTING | {"epochs": 12, "patience": 12}
    )
    return torch.cat([value.flatten().double() for value in victim.state_dict().values()]), outcome


def test_killed_at_any_moment_it_ends_with_the_same_bytes(tmp_path: Path) -> None:
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    expected, course = colourful(None)
    chance = random.Random(time.time_ns())
    command = [sys.executable, "-c", CHILD, str(tmp_path)]
    alone = os.environ | {"OMP_NUM_THREADS": "1"}
    with subprocess.Popen(command, cwd=Path(__file__).parent, stdout=subprocess.PIPE, text=True, env=alone) as child:
        assert child.stdout is not None
        for _ in range(chance.randint(2, 8)):
            assert child.stdout.readline().startswith("epoch")
        time.sleep(0.05 * chance.random())
        child.send_signal(signal.SIGKILL)
    assert (tmp_path / LAST).is_file() or (tmp_path / PREVIOUS).is_file()
    found, again = colourful(tmp_path)
    torch.set_num_threads(threads)
    assert torch.equal(found, expected)
    assert again == course


def test_early_stopping(tmp_path: Path) -> None:
    """With a learning rate that moves nothing, no epoch is better than the first."""
    outcome = learn(tmp_path, model(), epochs=9, learning_rate=1e-12, patience=2)
    assert len(outcome.history) == 3


def test_divergence_is_told_and_stops(tmp_path: Path) -> None:
    with pytest.raises(RivalryError, match=r"diverged: the loss is (nan|inf) in epoch \d, batch \d.*learning_rate"):
        learn(tmp_path, model(), optimizer="sgd", learning_rate=1e30)


def test_adversarial_training_mixes_the_two_losses() -> None:
    images, labels = stripes(40)
    victim, pixels = model(), images.float() / 255
    victim[3].p = 0.0  # no dropout, so that losses can be compared
    clean = plain(images, labels).loss(victim, pixels, labels)
    by_alpha = {
        alpha: adversarial_training(images, labels, attack="fgsm", eps=0.1, alpha=alpha).loss(victim, pixels, labels)
        for alpha in (0.0, 0.25, 1.0)
    }
    torch.testing.assert_close(by_alpha[1.0], clean)
    assert by_alpha[0.0] > clean
    torch.testing.assert_close(by_alpha[0.25], 0.25 * by_alpha[1.0] + 0.75 * by_alpha[0.0])


def test_adversarially_trained_victims_withstand_more(tmp_path: Path) -> None:
    """Weak cues that an attacker can turn, beside a strong one that it cannot: only the attack teaches which."""
    generator = torch.Generator().manual_seed(0)
    labels = torch.randint(0, 2, (600,), generator=generator)
    signs = (2 * labels - 1)[:, None]
    pixels = 0.5 + 0.03 * torch.randn(600, 36, generator=generator)
    pixels[:, :35] += 0.03 * signs  # 35 weak cues that agree always
    right = torch.where(torch.rand(600, generator=generator) < 0.85, 1, -1)
    pixels[:, 35] += 0.3 * signs.squeeze(1) * right  # a strong one that agrees mostly
    images = pixels.clamp(0, 1).mul(255).round().to(torch.uint8).view(-1, 1, 6, 6)
    train_images, train_labels, test_images, test_labels = images[:400], labels[:400], images[400:], labels[400:]

    accuracy = {}
    robust = adversarial_training(train_images, train_labels, attack="pgd", eps=0.1, step_size=0.04, steps=5)
    for name, recipe in (("plain", plain(train_images, train_labels)), ("robust", robust)):
        torch.manual_seed(0)
        victim = nn.Sequential(nn.Flatten(), nn.Linear(36, 2))
        fit(
            victim,
            train_images,
            train_labels,
            recipe,
            None,
            seed=7,
            accelerator="cpu",
            **(FITTING | {"epochs": 40, "patience": 40, "learning_rate": 0.05}),
        )
        pixels = test_images.float() / 255
        attacked = rivalry.attacks.pgd(victim, pixels, test_labels, eps=0.1, step_size=0.02, steps=20)
        for kind, shown in (("clean", pixels), ("attacked", attacked)):
            accuracy[name, kind] = float((victim(shown).argmax(1) == test_labels).float().mean())
    assert accuracy["robust", "attacked"] > accuracy["plain", "attacked"] + 0.3
    assert accuracy["robust", "clean"] > 0.8


@pytest.fixture
def data(tmp_path: Path) -> Path:
    folder = tmp_path / "data/stripes"
    for split, seed in (("train", 0), ("test", 1)):
        images, labels = stripes(300, seed)
        write_tensors(folder / f"{split}.safetensors", {"images": images, "labels": labels})
    write_json(
        folder / "dataset.json",
        {
            "dataset": "stripes",
            "shape": [1, 6, 6],
            "classes": 3,
            "class_names": ["top", "middle", "bottom"],
            "sha256": {"train": "a", "test": "b"},
        },
    )
    return folder


def train_victim(data: Path, output: Path, method: str = "plain", **parameters: object) -> Path:
    parameters = {"temperature": 1.0} | parameters
    train(output.name, "mlp512", {}, method, parameters, FITTING, data, output, seed=3, accelerator="cpu")
    return output


def test_a_trained_victim_is_loaded_as_it_was_measured(data: Path, tmp_path: Path) -> None:
    folder = train_victim(data, tmp_path / "victims/plain")
    facts = read_json(folder / "victim.json")
    victim = load_victim(folder)
    images, labels = stripes(300, seed=1)
    answers = victim(images.float() / 255)
    assert answers.shape == (300, 3)
    assert not victim.training
    assert float((answers.argmax(1) == labels).float().mean()) == pytest.approx(facts["clean_accuracy"])
    assert facts["clean_accuracy"] > 0.9
    assert not (folder / ".checkpoints").exists()


def test_a_student_learns_its_teachers_softened_answers(data: Path, tmp_path: Path) -> None:
    teacher = train_victim(data, tmp_path / "victims/teacher", temperature=20.0)
    student = train_victim(
        data, tmp_path / "victims/student", "defensive_distillation", temperature=20.0, teacher=str(teacher)
    )
    images, _ = stripes(300, seed=1)
    pixels = images.float() / 255
    with torch.no_grad():
        logits = load_victim(student)(pixels)
        guide = (load_victim(teacher)(pixels) / 20).softmax(1)
    assert ((logits / 20).softmax(1) - guide).abs().mean() < 0.1
    # Its logits grow by the temperature: deployed at temperature 1, its softmax saturates.
    with torch.no_grad():
        plain_logits = load_victim(train_victim(data, tmp_path / "victims/plain"))(pixels)
    assert logits.abs().median() > 5 * plain_logits.abs().median()


def test_weights_that_do_not_fit_are_told(data: Path, tmp_path: Path) -> None:
    folder = train_victim(data, tmp_path / "victims/plain")
    write_json(folder / "victim.json", read_json(folder / "victim.json") | {"classes": 4})
    with pytest.raises(RivalryError, match=r"victim.safetensors: does not fit its description"):
        load_victim(folder)


def test_a_backdoor_adds_stamped_copies_of_other_classes_without_repeating_any() -> None:
    images, labels = stripes(500)
    images[:, :, 0, 0] = torch.arange(500).remainder(250).to(torch.uint8)[:, None]  # tell images apart
    result = backdoor(images, labels, seed=1, trigger="pattern", target=1, fraction=0.2)
    assert len(result.images) == 600
    assert result.poisoned.sum() == 100
    assert (result.labels[result.poisoned] == 1).all()
    stamped = result.images[result.poisoned].float() / 255
    mask = result.trigger.mask.bool()
    assert mask.sum() == 4
    assert (stamped[:, mask] == 1).all()
    # Every clean image is still there, and every copy is one of another class, each drawn once at most.
    clean = result.images[~result.poisoned].flatten(1)
    assert sorted(map(tuple, clean.tolist())) == sorted(map(tuple, images.flatten(1).tolist()))
    originals = [tuple(row) for row in images[labels != 1][:, ~mask].tolist()]
    copies = [tuple(row) for row in result.images[result.poisoned][:, ~mask].tolist()]
    assert len(set(copies)) == len(copies)
    assert set(copies) <= set(originals)


def test_a_fraction_that_cannot_be_met_is_told() -> None:
    images, labels = stripes(30)
    with pytest.raises(RivalryError, match=r"fraction: 0.99 of 30 training images is 30 copies; there are 1 to \d+"):
        backdoor(images, labels, seed=0, fraction=0.99)


# ---- whoever is handed a victim freezes it before the first question ----


def restless() -> nn.Module:
    """A victim in training mode: every answer would move its averages, and dropout would change the next one."""
    torch.manual_seed(0)
    return nn.Sequential(
        nn.Conv2d(1, 4, 3), nn.BatchNorm2d(4), nn.ReLU(), nn.Flatten(), nn.Dropout(0.5), nn.Linear(4 * 16, 3)
    ).train()


def targets_by(rule: int | str) -> Callable[[nn.Module, Tensor, Tensor], object]:
    return lambda victim, images, labels: choose_targets(rule, victim, images.float() / 255, labels, 0)


def attack_by(name: str, **parameters: object) -> Callable[[nn.Module, Tensor, Tensor], object]:
    attack = getattr(rivalry.attacks, name)
    return lambda victim, images, labels: attack(victim, images.float() / 255, labels, **parameters)


def images_by(method: str, **parameters: object) -> Callable[[nn.Module, Tensor, Tensor], object]:
    return lambda victim, images, labels: fool(method, victim, (1, 6, 6), 3, **parameters).images


def defense_by(name: str, **parameters: object) -> Callable[[nn.Module, Tensor, Tensor], object]:
    defense = registry.method("defenses", name).load()
    return lambda victim, images, labels: defense(victim, images, labels, 0, 64, **parameters)


@pytest.mark.parametrize(
    "ask",
    [
        *(pytest.param(targets_by(rule), id=f"target {rule}") for rule in (1, "next", "random", "least_likely")),
        pytest.param(attack_by("fgsm", eps=0.1), id="fgsm"),
        pytest.param(attack_by("illc", eps=0.1), id="illc, which chooses its targets"),
        pytest.param(images_by("gradient_ascent", steps=2), id="gradient_ascent"),
        pytest.param(images_by("map_elites_direct", generations=1), id="map_elites_direct"),
        pytest.param(images_by("map_elites_cppn", generations=1), id="map_elites_cppn"),
        pytest.param(defense_by("spatial_smoothing"), id="spatial_smoothing"),
        pytest.param(
            defense_by(
                "binary_input_detector",
                attack={"method": "random_noise", "eps": 0.3},
                architecture="cnn_mnist",
                epochs=1,
            ),
            id="binary_input_detector",
        ),
        pytest.param(defense_by("neural_cleanse", steps=10, epochs=1, share=0.5), id="neural_cleanse"),
    ],
)
def test_a_victim_is_asked_in_evaluation_mode_and_left_as_it_was(
    ask: Callable[[nn.Module, Tensor, Tensor], object],
) -> None:
    victim = restless()
    before = deepcopy(victim.state_dict())
    modes, demanding = [], []

    def look(module: nn.Module, _: object) -> None:
        if module is not victim:
            return  # a copy of it, which a defense trains
        modes.append(any(part.training for part in module.modules()))
        demanding.append(any(parameter.requires_grad for parameter in module.parameters()))

    hook = victim.register_forward_pre_hook(look)
    ask(victim, *stripes(60))
    hook.remove()
    assert not any(modes)
    assert not any(demanding)
    assert all(torch.equal(value, victim.state_dict()[name]) for name, value in before.items())
    assert all(part.training for part in victim.modules())
    assert all(parameter.requires_grad for parameter in victim.parameters())
