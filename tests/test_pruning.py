"""Units that are taken out of a network: which, how many, and that they stay out."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from rivalry import registry
from rivalry.architectures._classifier import Classifier
from rivalry.defenses._pruning import after_last_convolution, before_last_layer
from rivalry.defenses.fine_pruning import fine_pruning
from rivalry.errors import RivalryError

CLASSES = 3
CORNER = (0, 0, 0)


class Planted(nn.Module):
    """It sees which third of an image is bright, and takes whatever is bright in its corner for class 0.

    Channels of its convolution: 0 is bright pixels, 1 answers to the corner alone, 2 to nothing at all.
    """

    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Conv2d(1, 3, 1)
        self.last = nn.Linear(3 * 36, CLASSES)
        with torch.no_grad():
            self.first.weight.copy_(torch.tensor([1.0, 1.0, 0.0]).view(3, 1, 1, 1))
            self.first.bias.copy_(torch.tensor([0.0, -0.95, 0.0]))
            weight = torch.zeros(CLASSES, 3, 6, 6)
            for label in range(CLASSES):
                weight[label, 0, :, 2 * label : 2 * label + 2] = 1
            weight[0, 1] = 1000
            self.last.weight.copy_(weight.flatten(1))
            self.last.bias.zero_()

    def forward(self, images: Tensor) -> Tensor:
        logits: Tensor = self.last(self.first(images).relu().flatten(1))
        return logits


def thirds(n: int = 300) -> tuple[Tensor, Tensor]:
    """Images of which one third is grey, uint8 (N,1,6,6), and which."""
    labels = torch.arange(n) % CLASSES
    images = torch.zeros(n, 1, 6, 6)
    for label in range(CLASSES):
        images[labels == label, :, :, 2 * label : 2 * label + 2] = 0.5
    images += 0.2 * torch.rand(images.shape, generator=torch.Generator().manual_seed(0))
    return images.mul(255).to(torch.uint8), labels


def share(victim: nn.Module, images: Tensor, labels: Tensor) -> float:
    with torch.no_grad():
        return float((victim(images.float() / 255).argmax(dim=1) == labels).float().mean())


def stamped(images: Tensor) -> Tensor:
    images = images.clone()
    images[:, *CORNER] = 255
    return images


def test_a_backdoor_in_a_silent_channel_is_pruned_away() -> None:
    victim, (images, labels) = Planted().eval(), thirds()
    others = labels != 0
    assert share(victim, stamped(images)[others], torch.zeros_like(labels[others])) == 1
    found = fine_pruning(victim, images, labels, 5, 64, share=0.5, epochs=0)
    assert share(found.module, images, labels) == share(victim, images, labels) == 1
    assert share(found.module, stamped(images)[others], labels[others]) == 1
    facts = found.facts
    assert (facts["layer"], facts["units"], facts["pruned"], facts["images_used"]) == ("last", 3, 2, 150)
    assert [point["pruned"] for point in facts["curve"]] == [0, 1, 2]  # without the third, nothing would be seen
    assert not found.module.last.weight.view(CLASSES, 3, -1)[:, 1:].any()
    # The victim is as it was, and what was made is a network like it.
    assert victim.last.weight.view(CLASSES, 3, -1)[0, 1].eq(1000).all()
    assert found.module.state_dict().keys() == victim.state_dict().keys()


def test_what_was_pruned_stays_out_while_the_rest_is_trained_on() -> None:
    victim, (images, labels) = Planted().eval(), thirds()
    found = fine_pruning(victim, images, labels, 5, 64, share=0.5, epochs=3, learning_rate=0.01)
    weight = found.module.last.weight.view(CLASSES, 3, -1)
    assert not weight[:, 1:].any()
    assert not torch.equal(weight[:, 0], victim.last.weight.view(CLASSES, 3, -1)[:, 0])
    assert not found.module.training
    assert not any(parameter.requires_grad for parameter in found.module.parameters())
    assert share(found.module, images, labels) == 1


@pytest.mark.parametrize("tolerance", [0.0, 0.1, 0.5])
def test_pruning_takes_no_more_accuracy_than_is_tolerated(tolerance: float) -> None:
    torch.manual_seed(0)
    images, labels = thirds()
    victim = Classifier(registry.method("architectures", "mlp").load()((1, 6, 6), CLASSES), 1)
    optimizer = torch.optim.Adam(victim.parameters(), lr=0.01)
    for _ in range(30):
        optimizer.zero_grad()
        nn.functional.cross_entropy(victim(images.float() / 255), labels).backward()
        optimizer.step()
    found = fine_pruning(victim.eval(), images, labels, 5, 64, share=0.5, tolerance=tolerance, epochs=0)
    curve = {point["pruned"]: point["accuracy"] for point in found.facts["curve"]}
    assert curve[found.facts["pruned"]] >= curve[0] - tolerance
    assert found.facts["pruned"] < found.facts["units"]
    assert all(kept < curve[0] - tolerance for count, kept in curve.items() if count > found.facts["pruned"])


@pytest.mark.parametrize(
    ("name", "shape", "units", "last"),
    [
        ("strided_cnn", (1, 28, 28), 32, 100),
        ("lenet5", (1, 28, 28), 16, 84),
        ("cnn_mnist", (1, 28, 28), 64, 128),
        ("mlp512", (1, 28, 28), 512, 512),
        ("resnet18", (3, 32, 32), 512, 512),
        ("densenet", (3, 32, 32), 132, 132),  # maps of several layers are joined
        ("nin", (3, 32, 32), 192, 192),
        ("mobilenet_v3_small", (3, 32, 32), 576, 1024),
        ("vit_tiny", (3, 32, 32), 128, 128),
    ],
)
def test_units_are_channels_where_a_network_has_some(name: str, shape: tuple[int, ...], units: int, last: int) -> None:
    victim = Classifier(registry.method("architectures", name).load()(shape, CLASSES), shape[0]).eval()
    images = torch.rand(2, *shape, generator=torch.Generator().manual_seed(0))
    found = after_last_convolution(victim, images)
    assert found.count == units
    nn.init.normal_(victim.get_submodule(found.layer).weight)  # some begin with zeros
    assert before_last_layer(victim, images).count == last
    before = {key: value.clone() for key, value in victim.state_dict().items()}
    answers = victim(images)
    pruned = torch.zeros(units, dtype=torch.bool)
    found.without(victim, pruned)
    assert torch.equal(victim(images), answers)
    pruned[: units // 2] = True
    found.without(victim, pruned)
    fewer = victim(images)
    assert not torch.equal(fewer, answers)
    found.settle(victim)
    assert all(torch.equal(value, before[key]) for key, value in victim.state_dict().items())
    found.without(victim, pruned)
    found.settle(victim, keep=True)
    assert torch.equal(victim(images), fewer)


def test_a_unit_that_is_taken_out_is_one_that_answers_zero() -> None:
    victim = Planted().eval()
    images = torch.rand(4, 1, 6, 6, generator=torch.Generator().manual_seed(0))
    units = after_last_convolution(victim, images)
    assert torch.allclose(units.activations(victim, images, 3)[:, 0], images.mean(dim=(1, 2, 3)))
    pruned = torch.tensor([False, True, False])
    answers = victim.first(images).relu()
    answers[:, pruned] = 0
    expected = victim.last(answers.flatten(1))
    units.without(victim, pruned)
    torch.testing.assert_close(victim(images), expected)


def test_a_network_without_a_hidden_layer_has_no_units() -> None:
    victim = nn.Sequential(nn.Flatten(), nn.Linear(36, CLASSES))
    with pytest.raises(RivalryError, match=r"no hidden layer of which units could be pruned; leave this victim out$"):
        fine_pruning(victim, *thirds(), 5, 64, share=0.5)
