"""Training: what is learned, what resuming gives, what divergence says."""

from __future__ import annotations

import itertools
import math
import os
import random
import signal
import subprocess
import sys
import time
import warnings
from collections.abc import Callable
from copy import deepcopy
from dataclasses import replace
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn.functional import one_hot, pad

import rivalry.attacks
from rivalry import load_victim, registry
from rivalry.architectures._classifier import flat_features
from rivalry.artifacts import read_json, read_table, read_tensors, write_json, write_tensors
from rivalry.attacks._attack import choose_targets
from rivalry.devices import denormals_are_zero
from rivalry.errors import RivalryError, RivalryWarning
from rivalry.fooling._fooling import fool
from rivalry.layout import Place
from rivalry.poisoning._trigger import Trigger
from rivalry.poisoning.backdoor import backdoor
from rivalry.stages import train as training_stage
from rivalry.stages.poison import poison
from rivalry.stages.train import train
from rivalry.training import _fit as training_fit
from rivalry.training._augmentation import augmented
from rivalry.training._fit import LAST, PREVIOUS, Fit, fit, split_by_source
from rivalry.training._fitting import Augmentation, FittingKeys
from rivalry.training._optimizing import optimizer, schedule
from rivalry.training._recipe import Recipe
from rivalry.training.adversarial_training import adversarial_training
from rivalry.training.l1_l2 import l1_l2
from rivalry.training.plain import plain
from rivalry.victims import build_classifier

FITTING = {
    "epochs": 4,
    "batch_size": 32,
    "learning_rate": 0.01,
    "optimizer": "adam",
    "patience": 4,
    "validation_fraction": 0.2,
}

WITH_EPOCHS = [
    name for name in registry.names("training") if registry.method("training", name).traits.get("epochs", True)
]
ATTACKED = [
    ("adversarial_training", {"attack": "fgsm", "alpha": 0.5}),
    ("adversarial_training", {"attack": "pgd", "steps": 3, "alpha": 0.5}),
    ("adversarial_training", {"attack": "pgd", "norm": 2, "steps": 3, "mix": "images", "alpha": 0.5}),
]


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
    keys = FittingKeys(**(FITTING | changes))
    return fit(victim, images, labels, recipe, folder, keys, seed=7, accelerator="cpu")


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


def cut_off(recipe: Recipe, at: int) -> Recipe:
    """The same training, broken off at its `at`-th loss, those of validation included."""
    losses = itertools.count(1)

    def counted(loss: Callable[..., Any] | None) -> Any:
        def ask(victim: nn.Module, images: Tensor, targets: Tensor) -> Any:
            assert loss is not None
            if next(losses) == at:
                raise PowerCut
            return loss(victim, images, targets)

        return ask if loss is not None else None

    return replace(recipe, loss=counted(recipe.loss), attacked=counted(recipe.attacked))


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
    assert goes_on(tmp_path, whole, capsys, after) == f"training continues after epoch {after} of 4"


@pytest.mark.parametrize(
    "keys",
    [
        {"optimizer": "sgd", "schedule": "one_cycle", "nesterov": True, "weight_decay": 1e-3, "patience": None},
        {"optimizer": "rmsprop", "momentum": 0.5, "schedule": "cosine", "gradient_clipping": 0.1, "patience": None},
        {"optimizer": "adamw", "schedule": "step", "milestones": [1, 3], "gamma": 0.5, "label_smoothing": 0.1},
        {"ema": 0.9, "choose_epoch_by": "accuracy", "patience": 2},
        {"ema": 0.9, "choose_epoch_by": "robust_accuracy", "schedule": "one_cycle", "patience": None},
        {"augmentation": {"crop": 1, "flip": True, "noise": 0.1, "cutout": 2}},
    ],
    ids=lambda keys: f"{keys.get('optimizer', 'ema')} {keys.get('schedule', keys.get('choose_epoch_by'))}",
)
def test_whatever_has_a_state_goes_on_with_it(tmp_path: Path, keys: dict[str, object]) -> None:
    """Schedules, averages, the step's own memory, and what was the best epoch so far."""
    images, labels = stripes()
    recipe = adversarial_training(images, labels, attack="fgsm", eps=0.1)
    whole, fresh = model(), model(seed=5)
    outcome = learn(None, whole, recipe, **keys)
    with pytest.raises(PowerCut):
        learn(tmp_path, model(), cut_off(recipe, at=15), **keys)
    assert learn(tmp_path, fresh, recipe, **keys) == outcome
    assert torch.equal(weights(fresh), weights(whole))


@pytest.mark.parametrize("moment", [5, 14])
@pytest.mark.parametrize(("method", "parameters"), [*((name, {}) for name in WITH_EPOCHS), *ATTACKED])
def test_every_method_goes_on_after_an_interruption(
    method: str, parameters: dict[str, object], moment: int, tmp_path: Path
) -> None:
    """A new process has a new recipe: what a method keeps between batches must not matter, or be in the checkpoint."""
    images, labels = stripes(60)
    keys = FittingKeys(**FITTING | {"epochs": 5, "batch_size": 16, "patience": 5})

    def learned(folder: Path | None, last: int = 0) -> tuple[Tensor, Fit]:
        victim = restless(3 + registry.method("training", method).refuses)
        passes = itertools.count(1)

        def break_off(module: nn.Module, asked: object) -> None:
            if module.training and next(passes) == last:
                raise PowerCut

        victim.register_forward_pre_hook(break_off)
        recipe = recipe_of(method, images, labels, tmp_path / "teacher", **parameters)
        outcome = fit(victim, images, labels, recipe, folder, keys, seed=7, accelerator="cpu")
        return torch.cat([value.flatten().double() for value in victim.state_dict().values()]), outcome

    expected, course = learned(None)
    with pytest.raises(PowerCut):
        learned(tmp_path / "broken off", moment)
    found, again = learned(tmp_path / "broken off")
    assert torch.equal(found, expected)
    assert again == course


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
    assert goes_on(tmp_path, whole, capsys, after) == f"training continues after epoch {after} of 4"


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
    ("names", "after", "aside", "said"),
    [
        ([LAST], 1, [LAST], "training continues after epoch 1 of 4"),
        ([PREVIOUS], 2, [], "training continues after epoch 2 of 4"),
        ([LAST, PREVIOUS], 0, [LAST, PREVIOUS], "training starts again"),
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
    aside: list[str],
    said: str,
) -> None:
    with pytest.raises(PowerCut):
        learn(tmp_path, model(), interrupted(25))
    for name in names:
        DAMAGES[damage](tmp_path / name)
    with warnings.catch_warnings(record=True) as warned:
        assert goes_on(tmp_path, whole, capsys, after) == said
    told = [str(one.message) for one in warned if one.category is RivalryWarning]
    assert told == [f"{name} is damaged and set aside: epochs are trained again" for name in aside]


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
    assert "training continues after epoch 4 of 6" in capsys.readouterr().out


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
    keys = FittingKeys(
        **FITTING | {"epochs": 12, "patience": None},
        schedule="one_cycle",
        ema=0.9,
        label_smoothing=0.1,
        gradient_clipping=1.0,
        augmentation={"crop": 1, "flip": True},
        choose_epoch_by="robust_accuracy",
    )
    outcome = fit(victim, images, labels, recipe, folder, keys, seed=7, accelerator="cpu")
    return torch.cat([value.flatten().double() for value in victim.state_dict().values()]), outcome


@pytest.mark.parametrize("by", [signal.SIGKILL, signal.SIGTERM, signal.SIGINT])
def test_killed_at_any_moment_it_ends_with_the_same_bytes(tmp_path: Path, by: signal.Signals) -> None:
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    expected, course = colourful(None)
    chance = random.Random(time.time_ns())
    child = subprocess.Popen(
        [sys.executable, "-c", CHILD, str(tmp_path)],
        cwd=Path(__file__).parent,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=os.environ | {"OMP_NUM_THREADS": "1"},
        # A shell that runs the tests in the background has its children ignore Ctrl-C.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler),
    )
    with child:
        assert child.stdout is not None
        for _ in range(chance.randint(2, 8)):
            assert child.stdout.readline().startswith("epoch")
        time.sleep(0.05 * chance.random())
        child.send_signal(by)
        said = child.communicate()[1]
    if by is signal.SIGINT:
        assert said.endswith("\nKeyboardInterrupt\n")
    else:
        assert child.returncode == -by
    assert (tmp_path / LAST).is_file() or (tmp_path / PREVIOUS).is_file()
    found, again = colourful(tmp_path)
    torch.set_num_threads(threads)
    assert torch.equal(found, expected)
    assert again == course


@pytest.mark.parametrize("name", registry.names("architectures"))
def test_an_architecture_is_built_ready_to_learn(name: str) -> None:
    network = registry.method("architectures", name).load()((3, 32, 32), 4)
    assert all(part.training for part in network.modules())


def test_counting_features_changes_nothing() -> None:
    body = nn.Sequential(nn.Conv2d(1, 2, 3), nn.BatchNorm2d(2), nn.Dropout(0.5), nn.Flatten()).train()
    before = deepcopy(body.state_dict())
    assert flat_features(body, (1, 6, 6)) == 2 * 16
    assert all(part.training for part in body.modules())
    assert all(torch.equal(value, body.state_dict()[name]) for name, value in before.items())


def save_untrained(folder: Path, seed: int = 0) -> None:
    torch.manual_seed(seed)
    facts = {"architecture": "mlp512", "architecture_parameters": {}, "shape": [1, 6, 6], "classes": 3}
    write_tensors(folder / "victim.safetensors", dict(build_classifier(facts).state_dict()))
    write_json(folder / "victim.json", facts)


def recipe_of(method: str, images: Tensor, labels: Tensor, folder: Path, **parameters: object) -> Recipe:
    """A recipe of a registered training method; who needs another victim gets one."""
    given: list[object] = []
    if method in ("defensive_distillation", "ensemble_adversarial_training"):
        save_untrained(folder)
        named = {"teacher": str(folder)} if method == "defensive_distillation" else {"sources": [str(folder)]}
        parameters = named | parameters
    if method == "rubbish_class":
        save_untrained(folder)
        parameters = parameters | {"victim": str(folder), "fooling": "gradient_ascent", "runs": 1}
    if method == "pcl":
        parameters = parameters | {"layers": 1}
    if method == "adversarial_fine_tuning":
        given = [model().eval(), 0]
        parameters = {"attack": {"method": "pgd", "steps": 2, "step_size": 0.2}} | parameters
    return registry.method("training", method).load()(images, labels, *given, **parameters)


@pytest.mark.parametrize(("method", "parameters"), [*((name, {}) for name in WITH_EPOCHS), *ATTACKED])
@pytest.mark.parametrize("comes_in", ["training", "evaluation"])
def test_every_module_learns_in_training_mode_and_is_attacked_and_validated_in_evaluation_mode(
    method: str, parameters: dict[str, object], comes_in: str, tmp_path: Path
) -> None:
    """Whatever mode the victim comes in. Batch normalisation counts the batches that moved its averages."""
    images, labels = stripes(60)
    victim = restless()
    if registry.method("training", method).refuses:
        victim[5] = nn.Linear(64, 4)
    victim.train(comes_in == "training")
    passes: dict[str, list[set[bool]]] = {"learning": [], "attack": [], "validation": []}
    dropped: list[bool] = []

    def look(module: nn.Module, asked: tuple[Tensor]) -> None:
        kind = "attack" if asked[0].requires_grad else "learning" if torch.is_grad_enabled() else "validation"
        passes[kind].append({part.training for part in module.modules()})

    victim.register_forward_pre_hook(look)
    victim[4].register_forward_hook(lambda _, asked, answer: dropped.append(not torch.equal(asked[0], answer)))
    recipe = recipe_of(method, images, labels, tmp_path, **parameters)
    keys = FittingKeys(**FITTING | {"epochs": 2})
    outcome = fit(victim, images, labels, recipe, None, keys, seed=7, accelerator="cpu")

    assert all(modes == {True} for modes in passes["learning"])
    assert all(modes == {False} for modes in passes["attack"] + passes["validation"])
    assert len(passes["learning"]) >= 2 * 2  # 48 images in batches of 32
    assert len(passes["validation"]) >= 2
    assert bool(passes["attack"]) == registry.method("training", method).traits.get("attacks", False)
    assert victim[1].num_batches_tracked == len(passes["learning"]) // 2 * outcome.best_epoch
    assert sum(dropped) == len(passes["learning"])


@pytest.mark.parametrize("batch_size", [16, 7, 33, 48])
def test_no_image_is_alone_in_a_batch(batch_size: int) -> None:
    """Batch normalisation could not learn from it: 33 images in batches of 16 are 16 and 17."""
    images, labels = stripes(37)
    victim = nn.Sequential(nn.Flatten(), nn.Linear(36, 4), nn.BatchNorm1d(4), nn.Linear(4, 3))
    sizes: list[int] = []
    victim.register_forward_pre_hook(lambda part, asked: sizes.append(len(asked[0])) if part.training else None)
    keys = FittingKeys(**FITTING | {"epochs": 1, "batch_size": batch_size, "validation_fraction": 0.1})
    fit(victim, images, labels, plain(images, labels), None, keys, seed=0, accelerator="cpu")
    assert sum(sizes) == 33
    assert min(sizes) > 1
    assert max(sizes) <= batch_size + 1
    keys = FittingKeys(**FITTING | {"batch_size": 1})
    with pytest.raises(RivalryError, match=r"^batch_size: 1 is too few for batch normalisation"):
        fit(victim, images, labels, plain(images, labels), None, keys, seed=0, accelerator="cpu")


def rates(**keys: object) -> list[float]:
    """The learning rate of every step: ten epochs of one batch each."""
    given = FittingKeys(**{"learning_rate": 0.5, "epochs": 10, **keys})
    taker = optimizer([{"params": list(model().parameters())}], given)
    plan, found = schedule(taker, given, steps=1), []
    for _ in range(10):
        found.append(taker.param_groups[0]["lr"])
        taker.step()
        if plan is not None:
            plan.step()
    return found


def test_schedules_are_what_their_names_say() -> None:
    assert rates() == [0.5] * 10
    assert rates(schedule="step", milestones=[2, 7], gamma=0.2) == pytest.approx([0.5] * 2 + [0.1] * 5 + [0.02] * 3)
    cosine = rates(schedule="cosine")
    assert cosine == pytest.approx([0.25 * (1 + math.cos(math.pi * step / 10)) for step in range(10)])
    cycle = rates(schedule="one_cycle")
    assert cycle[0] == pytest.approx(0.02)
    assert cycle.index(max(cycle)) == 2
    assert max(cycle) == pytest.approx(0.5)
    assert cycle[-1] < 1e-5


def test_optimizers_are_told_what_the_keys_say() -> None:
    made = {
        name: optimizer(
            [{"params": [*model().parameters()]}], FittingKeys(optimizer=name, weight_decay=0.03, **keys)
        ).defaults
        for name, keys in {"adam": {}, "adamw": {}, "sgd": {"nesterov": True}, "rmsprop": {"momentum": 0.4}}.items()
    }
    assert all(defaults["weight_decay"] == 0.03 for defaults in made.values())
    assert not made["adam"]["decoupled_weight_decay"]
    assert made["adamw"]["decoupled_weight_decay"]
    assert made["sgd"]["momentum"] == 0.9
    assert made["sgd"]["nesterov"]
    assert made["rmsprop"]["momentum"] == 0.4
    momentum = optimizer([{"params": list(model().parameters())}], FittingKeys(optimizer="rmsprop")).defaults[
        "momentum"
    ]
    assert momentum == 0


@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last])
@pytest.mark.parametrize("name", ["adam", "adamw", "sgd", "rmsprop"])
def test_fast_steps_are_those_of_pytorch_s_defaults(name: str, layout: torch.memory_format) -> None:
    """On a processor; up to the order in which a step rounds, however weights are laid out."""
    known = {
        "adam": torch.optim.Adam,
        "adamw": torch.optim.AdamW,
        "sgd": torch.optim.SGD,
        "rmsprop": torch.optim.RMSprop,
    }
    keys = FittingKeys(optimizer=name, weight_decay=0.01)
    own = {"momentum": 0.9} if name == "sgd" else {}
    convolutions = nn.Sequential(nn.Conv2d(3, 8, 3), nn.ReLU(), nn.Conv2d(8, 8, 3), nn.Flatten(), nn.Linear(128, 2))
    one, two, start = (deepcopy(convolutions).to(memory_format=layout) for _ in range(3))
    takers = (
        optimizer([{"params": list(one.parameters())}], keys),
        known[name](two.parameters(), lr=keys.learning_rate, weight_decay=0.01, **own),
    )
    images, labels = torch.rand(32, 3, 8, 8).to(memory_format=layout), torch.arange(32) % 2
    for _ in range(20):
        for victim, taker in zip((one, two), takers, strict=True):
            taker.zero_grad()
            nn.functional.cross_entropy(victim(images), labels).backward()
            taker.step()
    for moved, right, before in zip(*(victim.parameters() for victim in (one, two, start)), strict=True):
        assert not torch.equal(moved, before)
        torch.testing.assert_close(moved, right, rtol=1e-4, atol=1e-6)


def test_a_clipped_gradient_moves_weights_no_further_than_it_is_long() -> None:
    """One step of one batch: sgd without momentum moves by the learning rate times the gradient."""
    moved = {}
    for clipping in (None, 0.01):
        victim = model()
        before = weights(victim)
        keys = {"epochs": 1, "batch_size": 999, "learning_rate": 1.0, "optimizer": "sgd", "momentum": 0.0}
        learn(None, victim, gradient_clipping=clipping, **keys)
        moved[clipping] = float((weights(victim) - before).norm())
    assert moved[None] > 0.02
    assert moved[0.01] == pytest.approx(0.01, rel=1e-3)


def test_smoothed_labels_keep_a_victim_from_being_sure() -> None:
    """The loss is lowest where the right class has all that is not spread, and its third of what is."""
    images, labels = stripes()
    learned: dict[object, float] = {}
    for share in (None, 0.3):
        victim = model()
        learn(None, victim, label_smoothing=share, epochs=40, patience=40)
        confidence = victim.eval()(images.float() / 255).softmax(1)[torch.arange(len(labels)), labels]
        learned[share] = float(confidence.detach().median())
    assert learned[None] > 0.97
    assert learned[0.3] == pytest.approx(0.7 + 0.1, abs=0.05)


def test_an_average_of_weights_is_what_is_validated_and_kept() -> None:
    """With one step an epoch, the average after each is decay times the last one and the rest of the new weights."""
    keys = {"epochs": 3, "batch_size": 999, "learning_rate": 0.1, "optimizer": "sgd", "patience": 3}
    victim, seen = model(), []
    _, labels = stripes()

    def loss(learner: nn.Module, images: Tensor, targets: Tensor) -> Tensor:
        if not learner.training:
            seen.append(weights(learner))
        return plain(images, targets).loss(learner, images, targets)

    raw: list[Tensor] = []
    for epochs in (1, 2, 3):
        learner = model()
        outcome = learn(None, learner, **keys | {"epochs": epochs})
        assert outcome.best_epoch == epochs
        raw.append(weights(learner))
    outcome = learn(None, victim, Recipe(labels, loss), ema=0.75, **keys)
    expected = [raw[0], 0.75 * raw[0] + 0.25 * raw[1]]
    expected.append(0.75 * expected[1] + 0.25 * raw[2])
    for found, average in zip(seen, expected, strict=True):
        torch.testing.assert_close(found, average)
    torch.testing.assert_close(weights(victim), expected[outcome.best_epoch - 1])


def test_the_epoch_is_chosen_by_what_is_asked_for() -> None:
    images, labels = stripes()
    recipe = adversarial_training(images, labels, attack="fgsm", eps=0.1)
    columns = {"loss": "validation_loss", "accuracy": "validation_accuracy", "robust_accuracy": "robust_accuracy"}
    for rule, column in columns.items():
        outcome = learn(None, model(), recipe, choose_epoch_by=rule, epochs=6, patience=6, learning_rate=0.003)
        values = [row[column] for row in outcome.history]
        best = min(values) if rule == "loss" else max(values)
        assert outcome.best_epoch == 1 + values.index(best)
        assert outcome.history[-1]["robust_accuracy"] <= outcome.history[-1]["validation_accuracy"]


PICTURES = torch.arange(2 * 3 * 8 * 8).view(2, 3, 8, 8).repeat(200, 1, 1, 1) / 400


def drawn(**keys: object) -> Tensor:
    torch.manual_seed(0)
    return augmented(PICTURES, Augmentation(**keys))


def test_a_crop_is_a_piece_of_the_image_with_its_margin() -> None:
    found = drawn(crop=2)
    wide = pad(PICTURES, [2] * 4)
    places = []
    for image, before in zip(found, wide, strict=True):
        fits = [(y, x) for y in range(5) for x in range(5) if torch.equal(before[:, y : y + 8, x : x + 8], image)]
        assert fits
        places.append(fits[0])
    assert len(set(places)) == 25  # 400 images, 25 places


def test_half_of_the_images_are_mirrored() -> None:
    same = (drawn(flip=True) == PICTURES).flatten(1).all(dim=1)
    mirrored = (drawn(flip=True) == PICTURES.flip(3)).flatten(1).all(dim=1)
    assert (same ^ mirrored).all()
    assert 0.4 < mirrored.float().mean() < 0.6


def test_noise_is_another_for_each_pixel_and_stays_in_range() -> None:
    found = drawn(noise=0.05)
    inner = (PICTURES > 0.25) & (PICTURES < 0.75)
    assert float((found - PICTURES)[inner].std()) == pytest.approx(0.05, rel=0.02)
    assert float((found - PICTURES)[inner].mean()) == pytest.approx(0, abs=0.002)
    assert 0 <= float(found.min()) <= float(found.max()) <= 1


@pytest.mark.parametrize("side", [3, 4])
def test_a_hole_is_a_square_of_the_mean_colour(side: int) -> None:
    found = drawn(cutout=side)
    areas = set()
    for image, before in zip(found, PICTURES, strict=True):
        hole = (image != before).any(dim=0)
        rows, columns = hole.any(dim=1).sum(), hole.any(dim=0).sum()
        assert hole.sum() == rows * columns  # a rectangle: at an edge, a part of the square
        assert max(rows, columns) <= side
        torch.testing.assert_close(image[:, hole], before.mean(dim=(1, 2))[:, None].expand(3, int(hole.sum())))
        areas.add((int(rows), int(columns)))
    assert (side, side) in areas
    assert len(areas) > 1


def test_images_are_changed_anew_in_each_epoch_and_never_for_validation() -> None:
    images, labels = stripes()
    originals = {image.numpy().tobytes() for image in images.float() / 255}

    def seen(seed: int) -> dict[bool, list[bytes]]:
        shown: dict[bool, list[bytes]] = {True: [], False: []}

        def loss(victim: nn.Module, images: Tensor, targets: Tensor) -> Tensor:
            shown[victim.training] += [image.numpy().tobytes() for image in images]
            return plain(images, targets).loss(victim, images, targets)

        keys = FittingKeys(**FITTING | {"augmentation": {"noise": 0.1}})
        fit(model(), images, labels, Recipe(labels, loss), None, keys, seed=seed, accelerator="cpu")
        return shown

    first = seen(1)
    assert first == seen(1)
    assert first != seen(2)
    assert {*first[False]} <= originals
    assert not {*first[True]} & originals
    assert len({*first[True]}) == len(first[True])


def test_halves_need_a_gpu() -> None:
    with pytest.raises(RivalryError, match=r"precision: bf16-mixed needs a GPU, and this training runs on a processor"):
        learn(None, model(), precision="bf16-mixed")


def test_early_stopping(tmp_path: Path) -> None:
    """With a learning rate that moves nothing, no epoch is better than the first."""
    outcome = learn(tmp_path, model(), epochs=9, learning_rate=1e-12, patience=2)
    assert len(outcome.history) == 3


def test_divergence_is_told_and_stops(tmp_path: Path) -> None:
    _, labels = stripes()
    steep = Recipe(labels, lambda victim, images, _: 1e30 * victim(images).square().mean())
    with pytest.raises(RivalryError, match=r"diverged: the loss is (nan|inf) in epoch \d, batch \d.*learning_rate"):
        learn(tmp_path, model(), steep, optimizer="sgd", learning_rate=100.0)


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
        keys = FittingKeys(**FITTING | {"epochs": 40, "patience": 40, "learning_rate": 0.05})
        fit(victim, train_images, train_labels, recipe, None, keys, seed=7, accelerator="cpu")
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


def train_victim(
    data: Path,
    output: Path,
    method: str = "plain",
    *,
    poisoning: Path | None = None,
    seed: int = 3,
    **parameters: object,
) -> Path:
    parameters = {"temperature": 1.0} | parameters
    options = {"seed": seed, "accelerator": "cpu", "poisoning": poisoning}
    train(output.name, "mlp512", {}, method, parameters, FITTING, data, output, **options)
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


def test_a_student_learns_from_what_its_labels_are_taken_from(tmp_path: Path) -> None:
    """A teacher that never saw an image is wrong on about two in three."""
    images, labels = stripes()
    recipes = {
        rule: recipe_of("defensive_distillation", images, labels, tmp_path, temperature=2.0, labels_from=rule)
        for rule in ("teacher", "teacher_where_right", "truth_where_wrong")
    }
    soft = recipes["teacher"].targets
    torch.testing.assert_close(soft.sum(1), torch.ones(300))
    right = soft.argmax(1) == labels
    assert 0 < right.sum() < 300
    assert recipes["teacher"].learned is None
    assert torch.equal(recipes["teacher_where_right"].targets, soft)
    assert torch.equal(recipes["teacher_where_right"].learned, right)
    assert recipes["truth_where_wrong"].learned is None
    assert torch.equal(recipes["truth_where_wrong"].targets[right], soft[right])
    assert torch.equal(recipes["truth_where_wrong"].targets[~right], one_hot(labels, 3).float()[~right])


def test_images_that_are_not_learned_from_still_validate() -> None:
    _, labels = stripes()
    seen: dict[bool, Tensor] = {True: torch.zeros(3), False: torch.zeros(3)}

    def loss(victim: nn.Module, images: Tensor, targets: Tensor) -> Tensor:
        seen[victim.training] += one_hot(targets, 3).sum(0)
        return plain(images, targets).loss(victim, images, targets)

    learn(None, model(), Recipe(labels, loss, learned=labels != 1))
    assert seen[True][1] == 0
    assert (seen[True][[0, 2]] > 0).all()
    assert (seen[False] > 0).all()


def test_a_recipe_s_own_images_are_learned_from_and_validated_on_apart_from_what_they_were_made_of() -> None:
    """Each training image is replaced by three of one brightness, which is its row, and two images of no source."""
    images, labels = stripes(60)
    rows = torch.cat([torch.arange(60).repeat(3), torch.full((2,), -1)])
    numbers = torch.where(rows < 0, 200 + torch.arange(len(rows)), rows)
    own = numbers.float().view(-1, 1, 1, 1).expand(-1, 1, 6, 6)
    shown: dict[bool, set[float]] = {True: set(), False: set()}
    seen = {True: 0, False: 0}

    def loss(victim: nn.Module, images: Tensor, targets: Tensor) -> Tensor:
        assert torch.equal(targets, (255 * images[:, 0, 0, 0]).round().long() % 3)
        shown[victim.training] |= {float(number) for number in (255 * images[:, 0, 0, 0]).round()}
        seen[victim.training] += len(images)
        return plain(images, targets).loss(victim, images, targets)

    recipe = Recipe(numbers % 3, loss, images=own, labels=numbers % 3, sources=rows)
    # Of the training set, images 2 n and 2 n + 1 were made of one.
    keys = FittingKeys(**FITTING | {"epochs": 1})
    pairs = torch.arange(60) // 2
    fit(model(), images, labels, recipe, None, keys, seed=7, accelerator="cpu", sources=pairs)
    assert seen[True] + seen[False] == len(rows)
    assert len(shown[True] | shown[False]) == 62
    sides = [{int(number) // 2 if number < 60 else number for number in shown[mode]} for mode in (True, False)]
    assert not sides[0] & sides[1]
    assert len(sides[1]) == round(0.2 * 32)  # sources: 30 pairs, and the two images of none


@pytest.mark.parametrize(
    ("own", "fault"),
    [
        ({"images": torch.zeros(4, 1, 6, 6)}, "a recipe with images, labels or sources of its own needs all three"),
        ({"labels": torch.zeros(4)}, "a recipe with images, labels or sources of its own needs all three"),
        (
            {"images": torch.zeros(4, 3, 6, 6), "labels": torch.arange(4), "sources": torch.arange(4)},
            r"has images \(3, 6, 6\); those of the data set are \(1, 6, 6\)",
        ),
        (
            {"images": torch.zeros(4, 1, 6, 6), "labels": torch.arange(3), "sources": torch.arange(4)},
            r"has labels \(3,\), torch.int64; int64 \(4,\) is right",
        ),
        (
            {"images": torch.zeros(4, 1, 6, 6), "labels": torch.arange(4), "sources": torch.zeros(4)},
            r"has sources \(4,\), torch.float32; int64 \(4,\) is right",
        ),
        (
            {"images": torch.zeros(4, 1, 6, 6), "labels": torch.arange(4), "sources": torch.arange(4) + 297},
            "has sources above 299, the last row of the training images",
        ),
        (
            {"images": torch.zeros(3, 1, 6, 6), "labels": torch.arange(3), "sources": torch.arange(3)},
            "has 4 targets for 3 images",
        ),
    ],
)
def test_images_of_a_recipe_that_do_not_fit_are_told(own: dict[str, Tensor], fault: str) -> None:
    recipe = Recipe(torch.zeros(4, dtype=torch.int64), plain(*stripes(4)).loss, **own)
    with pytest.raises(RivalryError, match=f"^{fault}$"):
        learn(None, model(), recipe)


def test_a_teacher_that_is_always_wrong_leaves_nothing(tmp_path: Path) -> None:
    images, labels = stripes()
    wrong = (recipe_of("defensive_distillation", images, labels, tmp_path).targets.argmax(1) + 1) % 3
    with pytest.raises(RivalryError, match=r"teacher: .* misclassifies every training image; none is left"):
        recipe_of("defensive_distillation", images, wrong, tmp_path, labels_from="teacher_where_right")


def test_regularised_training_prices_weights_and_not_biases() -> None:
    images, labels = stripes(40)
    victim, pixels = model().eval(), images.float() / 255
    clean = plain(images, labels).loss(victim, pixels, labels)
    first, second = victim[1].weight, victim[4].weight
    priced = l1_l2(images, labels, l1=0.01, l2=0.0).loss(victim, pixels, labels)
    torch.testing.assert_close(priced - clean, 0.01 * (first.abs().sum() + second.abs().sum()))
    priced = l1_l2(images, labels, l1=0.0, l2=0.01).loss(victim, pixels, labels)
    torch.testing.assert_close(priced - clean, 0.01 * ((first**2).sum() + (second**2).sum()))
    torch.testing.assert_close(l1_l2(images, labels, l1=0.0, l2=0.0).loss(victim, pixels, labels), clean)


def test_numbers_that_lack_digits_are_zero_while_training_and_not_afterwards() -> None:
    """A price on weights makes many of them, with which processors compute slowly."""

    def left() -> int:
        return int((torch.full((1000,), 2e-38) / 4).view(torch.int32).count_nonzero())

    assert left() == 1000
    with denormals_are_zero():
        assert left() == 0
        with denormals_are_zero():
            pass
        assert left() == 0
    assert left() == 1000

    met = []
    victim = nn.Sequential(nn.Flatten(), nn.Linear(4, 2))

    def loss(victim: nn.Module, pixels: Tensor, targets: Tensor) -> Tensor:
        met.append(left())
        return nn.functional.cross_entropy(victim(pixels), targets)

    images, labels = torch.randint(256, (20, 1, 2, 2), dtype=torch.uint8), torch.arange(20) % 2
    fit(victim, images, labels, Recipe(labels, loss), None, FittingKeys(epochs=1), seed=0)
    assert {*met} == {0}
    assert left() == 1000


def test_a_warm_start_begins_with_another_s_weights(data: Path, tmp_path: Path) -> None:
    """With a learning rate that moves nothing, it ends with them, too."""
    first = train_victim(data, tmp_path / "victims/first")
    still = FITTING | {"learning_rate": 1e-12, "epochs": 1}
    second = tmp_path / "victims/second"
    options = {"seed": 99, "accelerator": "cpu"}
    train("second", "mlp512", {}, "plain", {"temperature": 1.0}, still, data, second, warm_start=first, **options)
    assert read_json(second / "victim.json")["warm_start"] == "first"
    images, _ = stripes(300, seed=1)
    torch.testing.assert_close(load_victim(first)(images.float() / 255), load_victim(second)(images.float() / 255))
    third = tmp_path / "victims/third"
    with pytest.raises(RivalryError, match=r"warm_start: .*victim.safetensors is of another network"):
        train("third", "mlp", {"units": 512}, "plain", {}, still, data, third, warm_start=first, **options)


def test_a_student_is_validated_by_the_truth_and_not_by_its_teacher(data: Path, tmp_path: Path) -> None:
    """A teacher that learned that every class is the next one: who agrees with it is always wrong."""
    mistaken = tmp_path / "mistaken"
    for split in ("train", "test"):
        tensors = read_tensors(data / f"{split}.safetensors")
        write_tensors(mistaken / f"{split}.safetensors", tensors | {"labels": (tensors["labels"] + 1) % 3})
    write_json(mistaken / "dataset.json", read_json(data / "dataset.json"))
    teacher = train_victim(mistaken, tmp_path / "victims/teacher")
    student = train_victim(
        data, tmp_path / "victims/student", "defensive_distillation", temperature=1.0, teacher=str(teacher)
    )
    assert read_json(teacher / "victim.json")["validation_accuracy"] > 0.9
    facts = read_json(student / "victim.json")
    assert facts["validation_accuracy"] < 0.1
    assert facts["clean_accuracy"] < 0.1
    curve = read_table(student / "training.csv")
    assert curve.loc[curve["epoch"] == facts["best_epoch"], "validation_accuracy"].item() < 0.1


def test_weights_that_do_not_fit_are_told(data: Path, tmp_path: Path) -> None:
    folder = train_victim(data, tmp_path / "victims/plain")
    write_json(folder / "victim.json", read_json(folder / "victim.json") | {"classes": 4})
    Place("train", folder).manifest.unlink()  # as of a folder that a user wrote
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


# ---- twins ----


def watched(monkeypatch: pytest.MonkeyPatch, module: str) -> dict[bool, list[Tensor]]:
    """The images that are trained on (True) and validated on (False) where `module` calls plain training."""
    shown: dict[bool, list[Tensor]] = {True: [], False: []}

    def recipe(images: Tensor, labels: Tensor, **_: object) -> Recipe:
        def loss(victim: nn.Module, images: Tensor, targets: Tensor) -> Tensor:
            shown[victim.training].extend(images.detach())
            return plain(images, targets).loss(victim, images, targets)

        return Recipe(labels, loss)

    monkeypatch.setattr(import_module(module), "plain", recipe)
    return shown


def distance_apart(shown: dict[bool, list[Tensor]], seen: Tensor | None = None) -> float:
    """The smallest Linf distance between an image trained on and one validated on, in the pixels that are `seen`."""
    trained, validated = (torch.stack(shown[mode]).flatten(1) for mode in (True, False))
    if seen is not None:
        trained, validated = trained[:, seen.flatten()], validated[:, seen.flatten()]
    return float(torch.cdist(trained, validated, p=torch.inf).min())


def test_a_split_keeps_what_is_made_of_one_image_together() -> None:
    generator = torch.Generator().manual_seed(0)
    for n, fraction in ((2, 0.5), (3, 0.9), (40, 0.1), (40, 0.01), (400, 0.25)):
        sources = torch.cat([torch.arange(n), torch.randint(n, (n,), generator=generator)])
        sources = sources[torch.randperm(2 * n, generator=generator)]
        held_out, learned = split_by_source(sources, fraction, seed=1)
        assert sorted([*held_out.tolist(), *learned.tolist()]) == list(range(2 * n))
        sides = [set(sources[rows].tolist()) for rows in (held_out, learned)]
        assert not sides[0] & sides[1]
        assert len(sides[0]) == min(max(1, round(fraction * n)), n - 1)


def test_one_image_cannot_be_split(tmp_path: Path) -> None:
    images, labels = stripes(1)
    with pytest.raises(RivalryError, match="1 training image: none can be held out for validation; give 2 or more"):
        fit(model(), images, labels, plain(images, labels), None, FittingKeys(), seed=0, accelerator="cpu")


def test_stamped_copies_and_their_originals_are_on_one_side(
    data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Images are noise: without the trigger's pixels, only twins are alike."""
    poison(
        "corner", "backdoor", {"trigger": "pattern", "target": 1, "fraction": 0.5}, data, tmp_path / "corner", seed=0
    )
    shown = watched(monkeypatch, "rivalry.training.plain")
    victim = train_victim(data, tmp_path / "victims/backdoored", poisoning=tmp_path / "corner")
    mask = Trigger.load(tmp_path / "corner").mask
    assert distance_apart(shown, mask == 0) > 0.1
    assert len({image.numpy().tobytes() for image in shown[True] + shown[False]}) == 450
    assert read_json(victim / "victim.json")["backdoor_target"] == 1


def test_a_poisoned_set_that_does_not_say_what_copies_are_of_is_told(data: Path, tmp_path: Path) -> None:
    tensors = read_tensors(data / "train.safetensors")
    write_tensors(tmp_path / "corner/train.safetensors", tensors)
    with pytest.raises(RivalryError, match=r"corner/train.safetensors: has no 'sources'; delete it and run again"):
        train_victim(data, tmp_path / "victims/backdoored", poisoning=tmp_path / "corner")


def test_attacked_images_and_their_originals_are_on_one_side(monkeypatch: pytest.MonkeyPatch) -> None:
    """Noise of .05 is far less than what tells two images of noise apart."""
    images, labels = stripes(240)
    victim = nn.Sequential(nn.Flatten(), nn.Linear(36, 3))
    with torch.no_grad():  # right by construction, so that every image has an attacked twin
        victim[1].bias.zero_()
        victim[1].weight.copy_(torch.eye(3).repeat_interleave(12, dim=1))
    shown = watched(monkeypatch, "rivalry.defenses._refit")
    detect = registry.method("defenses", "binary_input_detector").load()
    noise = {"method": "random_noise", "eps": 0.05}
    detect(victim, images, labels, 0, 64, attack=noise, architecture="cnn_mnist", epochs=1)
    assert len(shown[True]) + len(shown[False]) == 2 * 180
    assert distance_apart(shown) > 0.1


# ---- which checkpoints are of this very training ----


def test_a_checkpoint_of_another_training_is_not_resumed(
    data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folders: list[Path] = []

    def stop(*arguments: Any, **_: object) -> None:
        folders.append(arguments[4])
        raise PowerCut

    monkeypatch.setattr(training_fit, "fit", stop)

    def folder(method: str = "plain", *, seed: int = 3, **parameters: Any) -> Path:
        with pytest.raises(PowerCut):
            train_victim(data, tmp_path / "victim", method, seed=seed, **parameters)
        return folders[-1]

    def poisoned(trigger: str) -> Path:
        settings = {"trigger": trigger, "target": 1, "fraction": 0.5}
        poison("corner", "backdoor", settings, data, tmp_path / "corner", seed=0)
        return tmp_path / "corner"

    def taught(seed: int) -> str:
        save_untrained(tmp_path / "teacher", seed)
        return str(tmp_path / "teacher")

    def code(module: str) -> None:
        monkeypatch.setattr(training_stage, "code_hash", lambda *modules: module)

    assert folder() == folder()
    made = [
        folder(),
        folder(seed=4),
        folder(temperature=2.0),
        folder(poisoning=poisoned("pixel")),
        folder(poisoning=poisoned("pattern")),
        folder("defensive_distillation", teacher=taught(0)),
        folder("defensive_distillation", teacher=taught(1)),
        (code("as it was"), folder())[1],
        (code("mended"), folder())[1],
    ]
    threads = torch.get_num_threads()
    torch.set_num_threads(threads + 1)
    made.append(folder())
    torch.set_num_threads(threads)
    assert len(set(made)) == len(made)


# ---- whoever is handed a victim freezes it before the first question ----


def restless(classes: int = 3) -> nn.Module:
    """A victim in training mode: every answer would move its averages, and dropout would change the next one."""
    torch.manual_seed(0)
    return nn.Sequential(
        nn.Conv2d(1, 4, 3), nn.BatchNorm2d(4), nn.ReLU(), nn.Flatten(), nn.Dropout(0.5), nn.Linear(4 * 16, classes)
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
