"""Training methods that hold what is inside a network: its kernels, its hidden features."""

from __future__ import annotations

import itertools
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from rivalry import registry
from rivalry.architectures._classifier import Classifier
from rivalry.errors import RivalryError
from rivalry.training._fit import LAST
from rivalry.training._recipe import Recipe
from rivalry.training.parseval import matrices, parseval
from rivalry.training.pcl import Prototypes, conformity, given, pcl
from rivalry.training.plain import plain
from test_training import PowerCut, learn, stripes, weights


def small() -> nn.Module:
    """A convolution, a grouped one, and two dense layers, the first with more outputs than inputs."""
    torch.manual_seed(0)
    return nn.Sequential(
        nn.Conv2d(1, 4, 3),
        nn.ReLU(),
        nn.Conv2d(4, 4, 3, groups=2),
        nn.ReLU(),
        nn.Flatten(),
        nn.Linear(16, 20),
        nn.ReLU(),
        nn.Linear(20, 3),
    )


# ---- resuming ----


RECIPES: dict[str, Any] = {
    "parseval": lambda images, labels: parseval(images, labels, beta=0.2),
    "pcl": lambda images, labels: pcl(images, labels, prototype_rate=0.1),
}


@pytest.mark.parametrize("method", RECIPES)
@pytest.mark.parametrize(
    "keys", [{}, {"schedule": "one_cycle", "patience": None, "ema": 0.9}], ids=["constant", "one cycle and average"]
)
def test_interrupted_it_ends_with_the_same_bytes(tmp_path: Path, method: str, keys: dict[str, object]) -> None:
    recipe: Recipe = RECIPES[method](*stripes())
    losses = itertools.count(1)

    def cut(*batch: Any) -> Tensor:
        if next(losses) == 25:
            raise PowerCut
        return recipe.loss(*batch)

    whole, again = small(), small()
    outcome = learn(None, whole, recipe, **keys)
    with pytest.raises(PowerCut):
        learn(tmp_path, small(), replace(recipe, loss=cut), **keys)
    assert learn(tmp_path, again, recipe, **keys) == outcome
    assert torch.equal(weights(again), weights(whole))


# ---- parseval ----


def singular_values(victim: nn.Module) -> list[Tensor]:
    return [torch.linalg.svdvals(matrices(part)) for part in victim if isinstance(part, nn.Linear | nn.Conv2d)]


def test_one_pull_is_the_paper_s_formula() -> None:
    victim = small()
    layer = victim[5]
    before, free = layer.weight.detach().clone(), victim[5].bias.detach().clone()
    retract = parseval(*stripes(20), beta=0.3).after_step
    assert retract is not None
    with torch.no_grad():
        retract(victim)
    torch.testing.assert_close(layer.weight, 1.3 * before - 0.3 * before @ before.T @ before)
    assert torch.equal(layer.bias, free)


def test_enough_pulls_make_rows_orthonormal_and_columns_where_there_are_more_rows_than_columns() -> None:
    victim = small()
    retract = parseval(*stripes(20), beta=0.3).after_step
    assert retract is not None
    with torch.no_grad():
        for _ in range(60):
            retract(victim)
    parts = {name: matrices(victim[name]).detach() for name in (0, 2, 5, 7)}
    assert parts[0].shape == (1, 4, 9)
    assert parts[2].shape == (2, 2, 18)  # each group by itself
    for name, w in parts.items():
        gram = w.mT @ w if name == 5 else w @ w.mT
        torch.testing.assert_close(gram, torch.eye(gram.shape[1]).expand_as(gram), atol=1e-5, rtol=0)


def test_a_retracted_network_lengthens_no_perturbation() -> None:
    """Convolutions read a pixel several times; their scale makes up for it."""
    victim = small()
    retract = parseval(*stripes(20), beta=0.3).after_step
    assert retract is not None
    with torch.no_grad():
        for _ in range(60):
            retract(victim)
    jacobian = torch.autograd.functional.jacobian(lambda image: victim(image)[0], torch.rand(1, 1, 6, 6))
    assert 0 < torch.linalg.matrix_norm(jacobian.flatten(1), ord=2) <= 1
    layer = victim[0]
    image = torch.rand(50, 1, 40, 40) - 0.5
    lengthened = (layer(image) - layer.bias.view(-1, 1, 1)).flatten(1).norm(dim=1) / image.flatten(1).norm(dim=1)
    assert lengthened.max() <= 1


def test_training_keeps_singular_values_near_one_and_plain_training_does_not() -> None:
    options = {"epochs": 12, "optimizer": "sgd", "learning_rate": 0.05, "patience": 12}
    held, free = small(), small()
    outcome = learn(None, held, parseval(*stripes(), beta=0.3), **options)
    learn(None, free, plain(*stripes()), **options)
    assert outcome.history[outcome.best_epoch - 1]["validation_accuracy"] > 0.9
    assert all(values.min() > 0.9 and values.max() < 1.1 for values in singular_values(held))
    assert any(values.min() < 0.5 or values.max() > 1.5 for values in singular_values(free))


def test_however_large_the_weights_no_pull_throws_them_farther() -> None:
    victim = small()
    retract = parseval(*stripes(20), beta=0.9).after_step
    assert retract is not None
    with torch.no_grad():
        for layer in (0, 2, 5, 7):
            victim[layer].weight *= 100
        largest = [max(float(values.max()) for values in singular_values(victim))]
        for _ in range(400):
            retract(victim)
            largest.append(max(float(values.max()) for values in singular_values(victim)))
    assert all(after <= before + 1e-3 for before, after in itertools.pairwise(largest) if before > 1.1)
    assert largest[-1] < 1.1


# ---- pcl ----


def test_the_loss_is_the_paper_s_formula() -> None:
    """One image at 3 from its prototype; the others are at 4 and 5 from it, and at 5 and 4 from its prototype."""
    prototypes = torch.tensor([[0.0, 0.0], [3.0, 4.0], [0.0, 4.0]])
    features, labels = torch.tensor([[3.0, 0.0]]), torch.tensor([0])
    expected = 3 - ((4 + 5) + (5 + 4)) / 2
    torch.testing.assert_close(conformity(features, labels, prototypes), torch.tensor(expected))
    # A second image of another class, on its prototype: 0 - ((5 + 5) + (3 + 3)) / 2.
    both = conformity(torch.tensor([[3.0, 0.0], [3.0, 4.0]]), torch.tensor([0, 1]), prototypes)
    torch.testing.assert_close(both, torch.tensor((expected - 8) / 2))


def test_it_adds_to_cross_entropy_and_takes_smoothed_labels() -> None:
    images, labels = stripes(40)
    victim, pixels = small().eval(), images.float() / 255
    recipe = pcl(images, labels, weight=0.5)
    assert recipe.auxiliary is not None
    prototypes = recipe.auxiliary(victim, pixels[:2])
    assert isinstance(prototypes, Prototypes)
    with given(victim, prototypes.names) as features:
        clean = plain(images, labels).loss(victim, pixels, labels)
    parts = sum(conformity(features[n], labels, w) for n, w in zip(prototypes.names, prototypes.points, strict=True))
    torch.testing.assert_close(recipe.loss(victim, pixels, labels, prototypes), clean + 0.5 * parts)
    soft = 0.9 * nn.functional.one_hot(labels, 3) + 0.1 / 3
    smoothed = plain(images, labels).loss(victim, pixels, soft)
    torch.testing.assert_close(recipe.loss(victim, pixels, soft, prototypes), smoothed + 0.5 * parts)


def test_the_nearest_prototype_names_the_class_and_is_no_part_of_the_victim(tmp_path: Path) -> None:
    victim = small()
    names = list(victim.state_dict())
    learn(tmp_path, victim, pcl(*stripes(), weight=1.0, prototype_rate=0.01), epochs=12, patience=12)
    assert list(victim.state_dict()) == names
    stored = torch.load(tmp_path / LAST, weights_only=True)["state_dict"]
    images, labels = stripes(200, seed=1)
    with torch.no_grad(), given(victim.eval(), ["5", "7"]) as features:
        victim(images.float() / 255)
    for name, size, points in (("5", 16, "auxiliary.points.0"), ("7", 20, "auxiliary.points.1")):
        assert stored[points].shape == (3, size)
        found = torch.cdist(features[name], stored[points]).argmin(dim=1)
        assert (found == labels).float().mean() > 0.9


def test_prototypes_learn_at_their_own_rate(tmp_path: Path) -> None:
    """With sgd without momentum, ten times the rate moves them ten times as far in one step."""
    moved = {}
    for rate in (0.01, 0.1):
        options = {"epochs": 1, "batch_size": 999, "optimizer": "sgd", "momentum": 0.0, "learning_rate": 1e-9}
        recipe = pcl(*stripes(), prototype_rate=rate)
        assert recipe.auxiliary is not None
        begun: list[Tensor] = []

        def begin(victim: nn.Module, images: Tensor, recipe: Recipe = recipe, begun: list[Tensor] = begun) -> nn.Module:
            assert recipe.auxiliary is not None
            prototypes = recipe.auxiliary(victim, images)
            begun.append(next(prototypes.parameters()).detach().clone())
            return prototypes

        learn(tmp_path / str(rate), small(), replace(recipe, auxiliary=begin), **options)
        ended = torch.load(tmp_path / str(rate) / LAST, weights_only=True)["state_dict"]["auxiliary.points.0"]
        moved[rate] = ended - begun[0]
    assert moved[0.01].abs().max() > 0
    torch.testing.assert_close(moved[0.1], 10 * moved[0.01], rtol=1e-3, atol=1e-6)


@pytest.mark.parametrize(
    "name", [name for name in registry.names("architectures") if registry.method("architectures", name).in_epochs]
)
def test_every_architecture_has_hidden_layers_to_restrict(name: str) -> None:
    torch.manual_seed(0)
    victim = Classifier(registry.method("architectures", name).load()((3, 32, 32), 4), channels=3).eval()
    recipe = pcl(*stripes(10), layers=1)
    assert recipe.auxiliary is not None
    pixels = torch.rand(2, 3, 32, 32)
    prototypes = recipe.auxiliary(victim, pixels)
    loss = recipe.loss(victim, pixels, torch.tensor([0, 3]), prototypes)
    slopes = torch.autograd.grad(loss, list(victim.parameters()), allow_unused=True)
    assert loss.isfinite()
    assert all(slope.isfinite().all() for slope in slopes if slope is not None)


def test_the_layers_are_those_of_the_course_report() -> None:
    """After the average pooling, and after the last dense layer before the output."""
    network = registry.method("architectures", "mobilenet_v3_small").load()((3, 32, 32), 10)
    recipe = pcl(*stripes(10), layers=2)
    assert recipe.auxiliary is not None
    prototypes = recipe.auxiliary(network.eval(), torch.rand(2, 3, 32, 32))
    assert isinstance(prototypes, Prototypes)
    assert prototypes.names == ["classifier.0", "classifier.3"]
    assert [tuple(points.shape) for points in prototypes.points] == [(10, 576), (10, 1024)]


@pytest.mark.parametrize(
    ("layers", "said"),
    [
        (4, "layers: 4 hidden layers are to be restricted, and the network has 3 that can be"),
        (["5", "linear"], "layers: the network has no 'linear'; valid: 0, 1, 2, 3, 4, 5, 6, 7"),
        (["6.spare"], "layers: '6.spare' takes no part when the network is given an image"),
    ],
)
def test_layers_that_are_not_there_are_told(layers: int | list[str], said: str) -> None:
    victim = small()
    victim[6].spare = nn.Linear(2, 2)
    if layers != ["6.spare"]:
        del victim[6].spare
    with pytest.raises(RivalryError, match=rf"^{said}$"):
        learn(None, victim, pcl(*stripes(), layers=layers))
