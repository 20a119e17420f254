"""What a network that a user brings is told before anything is computed with it."""

from __future__ import annotations

import re
import textwrap
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import torch
from sklearn.datasets import load_digits
from sklearn.linear_model import LogisticRegression
from torch import Tensor, nn

from rivalry.errors import RivalryError
from rivalry.external.preflight import preflight
from rivalry.external.wrapping import Wrapped
from rivalry.usercode import imported

DIGITS = [str(digit) for digit in range(10)]


@cache
def grey() -> tuple[Tensor, Tensor]:
    """Real digits, uint8 (N,1,8,8), and their classes."""
    images, labels = load_digits(return_X_y=True)
    return torch.from_numpy(images * 255 / 16).round().byte().view(-1, 1, 8, 8), torch.from_numpy(labels).long()


@cache
def coloured() -> tuple[Tensor, Tensor]:
    """Real digits in red on a background of blue noise, and their classes."""
    images, labels = grey()
    noise = torch.randint(0, 256, images.shape, dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
    return torch.cat([images, images // 2, noise], dim=1), labels


@cache
def trained(data: Callable[[], tuple[Tensor, Tensor]] = grey, shift: float = 0.0, scale: float = 1 / 255) -> nn.Module:
    """A network that knows the digits, where their pixels are given as (uint8 * scale + shift)."""
    images, labels = data()
    pixels = images.flatten(1).float() / 255
    found = LogisticRegression(C=10, max_iter=300).fit(pixels.numpy(), labels.numpy())
    layer = nn.Linear(pixels.shape[1], 10)
    # The same answers, of pixels in the other scale.
    factor = 1 / (255 * scale)
    with torch.no_grad():
        weight = torch.from_numpy(found.coef_).float() * factor
        layer.weight.copy_(weight)
        layer.bias.copy_(torch.from_numpy(found.intercept_).float() - shift * weight.sum(dim=1))
    return nn.Sequential(nn.Flatten(), layer).eval()


def look(network: nn.Module, *, data: Callable[[], tuple[Tensor, Tensor]] = grey, **options: Any) -> list[str]:
    images, labels = data()
    about = {name: options.pop(name) for name in ("source", "gradients") if name in options}
    return preflight(Wrapped(network, **options).eval(), images, labels, names=DIGITS, **about)


def test_a_sound_network_gets_no_word() -> None:
    assert look(trained()) == []
    assert look(trained(coloured), data=coloured) == []
    assert look(trained(scale=1.0), range_=(0, 255)) == []
    assert look(nn.Sequential(trained(), nn.LogSoftmax(dim=1))) == []


class Around(nn.Module):
    """A sound network, and what is done with its images and answers."""

    def __init__(self, network: nn.Module, change: Callable[[Tensor, nn.Module], Any]) -> None:
        super().__init__()
        self.network, self.change = network, change

    def forward(self, images: Tensor) -> Any:
        return self.change(images, self.network)


def around(change: Callable[[Tensor, nn.Module], Any], network: nn.Module | None = None) -> nn.Module:
    return Around(network or trained(), change)


def batch_statistics() -> nn.Module:
    return nn.Sequential(
        nn.BatchNorm2d(1, affine=False, track_running_stats=False), trained(shift=-0.8, scale=2.7 / 255)
    )


FAULTS: dict[str, tuple[Callable[[], nn.Module], dict[str, Any], str]] = {
    "another size": (
        lambda: nn.Sequential(nn.Flatten(), nn.Linear(784, 10)),
        {},
        "model: it fails when it is given (16, 1, 8, 8) (RuntimeError: mat1 and mat2 shapes cannot be multiplied "
        "(16x64 and 784x10)); if it takes another size or other channels, say so in input: {size: ..., channels: ...}",
    ),
    "another number of classes": (
        lambda: nn.Sequential(nn.Flatten(), nn.Linear(64, 1000)),
        {},
        "model: it gives (16, 1000) for 16 images of 10 classes, where logits are (16, 10); build it for 10 classes, "
        "with arguments if it takes them",
    ),
    "an answer for each pixel": (
        lambda: nn.Conv2d(1, 10, 1),
        {},
        "model: it gives (16, 10, 8, 8) for 16 images of 10 classes, where logits are (16, 10); build it for 10 "
        "classes, with arguments if it takes them",
    ),
    "classes, not logits": (
        lambda: around(lambda images, network: network(images).argmax(dim=1)),
        {},
        "model: the network gives torch.int64, not logits; leave out its argmax",
    ),
    "a sparse answer": (
        lambda: around(lambda images, network: network(images).to_sparse()),
        {},
        "model: the network gives a tensor of layout torch.sparse_coo; have it give its logits as a dense one",
    ),
    "an answer without values": (
        lambda: around(lambda images, network: network(images).to("meta")),
        {},
        "model: the network gives a tensor without values; have it give its logits as a dense one",
    ),
    "NaN": (
        lambda: around(lambda images, network: network(images) * 0 / 0),
        {},
        "model: it answers NaN for 256 of 256 training images; look for a logarithm, root or division of 0 in it, or "
        "for pixels in another range (input, normalize)",
    ),
    "a softmax": (
        lambda: nn.Sequential(trained(), nn.Softmax(dim=1)),
        {},
        "outputs: it gives probabilities (each image's sum to 1), not logits; leave out its softmax, or say outputs: "
        "probabilities",
    ),
    "no softmax": (
        lambda: around(lambda images, network: network(images).clamp(-1, 1)),
        {"outputs": "probabilities"},
        "outputs: it gives numbers from -1 to 1, which are no probabilities; say outputs: logits",
    ),
    "sigmoids": (
        lambda: around(lambda images, network: network(images).clamp(-0.1, 0.1).sigmoid()),
        {"outputs": "probabilities"},
        "outputs: what it gives for an image sums to 4.95 to 5.05, and probabilities to 1; leave out its sigmoid, and "
        "say outputs: logits",
    ),
    "the same for all": (
        lambda: around(lambda images, network: network(images * 0)),
        {},
        "model: it answers the same for all 256 training images; are its weights missing, or pixels in another range "
        "(input)?",
    ),
    "no gradient": (
        lambda: around(lambda images, network: network(images).detach()),
        {},
        "model: no gradient leads from its answer to the images; have its forward() use no torch.no_grad(), .detach(), "
        ".data or NumPy",
    ),
    "a gradient that is NaN": (
        lambda: around(lambda images, network: network(images) + (images * 0).sqrt().sum() * 0),
        {},
        "model: its gradients are NaN or infinite for 16 of 16 training images; look for a logarithm, root or division "
        "of 0 in its forward()",
    ),
    "statistics of the batch": (
        batch_statistics,
        {},
        "model: it answers 2 of 2 images otherwise in batches of 1: an answer depends on the other images; a batch "
        "normalisation must use its training's statistics",
    ),
    "batches of one size": (
        lambda: around(lambda images, network: network(images.view(-1, 2, 1, 8, 8).flatten(0, 1))),
        {},
        "model: it fails when it is given (1, 1, 8, 8) (RuntimeError: shape '[-1, 2, 1, 8, 8]' is invalid for input of "
        "size 64); if it takes another size or other channels, say so in input: {size: ..., channels: ...}",
    ),
    "untrained": (
        lambda: _untrained(),
        {},
        "model: 4% of 256 training images are classified right, and chance is 10%; no other normalisation, range, "
        "order of channels or of classes explains it; give the weights of a training on these data",
    ),
    "pixels to 255": (
        lambda: trained(scale=1.0),
        {},
        "model: 9% of 256 training images are classified right, all as 4, and chance is 10%; with input: {range: [0, "
        "255]} it would be 100%",
    ),
    "another order of classes": (
        lambda: around(lambda images, network: network(images).roll(1, dims=1)),
        {},
        "model: 0% of 256 training images are classified right, and chance is 10%; with classes: ['9', '0', '1', '2', "
        "'3', '4', '5', '6', '7', '8'] it would be 100%",
    ),
    "an order of classes that is wrong": (
        lambda: trained(),
        {"order": [*range(1, 10), 0]},
        "model: 0% of 256 training images are classified right, and chance is 10%; with classes: ['0', '1', '2', '3', "
        "'4', '5', '6', '7', '8', '9'] it would be 100%",
    ),
}


def _untrained() -> nn.Module:
    torch.manual_seed(3)
    return nn.Sequential(nn.Flatten(), nn.Linear(64, 32), nn.ReLU(), nn.Linear(32, 10))


@pytest.mark.parametrize("mistake", FAULTS)
def test_every_fault_is_one_line_that_says_what_would_be_right(mistake: str) -> None:
    make, options, line = FAULTS[mistake]
    with pytest.raises(RivalryError) as refused:
        look(make(), **options)
    assert str(refused.value) == line


WARNINGS: dict[str, tuple[Any, ...]] = {
    "random": (
        lambda: around(lambda images, network: network(nn.functional.dropout(images, 0.1))),
        {},
        "the network answers 32 of 32 images otherwise the second time (a dropout that ignores eval()?): attacks would "
        "need EOT, and the report marks its numbers",
    ),
    "probabilities": (
        lambda: nn.Sequential(trained(), nn.Softmax(dim=1)),
        {"outputs": "probabilities"},
        "the network gives probabilities, which are less precise than logits; have it give its logits if you can",
    ),
    "certain probabilities": (
        lambda: around(lambda images, network: (100 * network(images)).softmax(dim=1)),
        {"outputs": "probabilities"},
        "the network gives probabilities, which are less precise than logits: for 16 of 16 images one is exactly 1, "
        "where gradients are lost; have it give its logits if you can",
        "its gradients are exactly 0 for 16 of 16 training images: attacks that follow gradients fail there, which is "
        "no robustness; add attacks that see scores or decisions",
    ),
    "no slope": (
        lambda: around(lambda images, network: network((images * 4).round() / 4)),
        {},
        "its gradients are exactly 0 for 16 of 16 training images: attacks that follow gradients fail there, which is "
        "no robustness; add attacks that see scores or decisions",
    ),
    "no normalisation": (
        lambda: trained(shift=-1, scale=2 / 255),
        {},
        "84% of 256 training images are classified right; with normalize: {mean: [0.3053], std: [0.3759]} it would be "
        "99%",
    ),
    "another normalisation": (
        lambda: trained(),
        {"mean": [1.5], "std": [0.2]},
        "69% of 256 training images are classified right; with no normalize and no range in input it would be 100%",
    ),
    "channels in reverse": (
        lambda: around(lambda images, network: network(images.flip(1)), trained(coloured)),
        {"data": coloured},
        "25% of 256 training images are classified right; with the channels in the order blue, green, red it would be "
        "100%",
    ),
}


PERCENT = re.compile(r"\d+%")


@pytest.mark.parametrize("doubt", WARNINGS)
def test_what_may_be_meant_so_is_said_and_not_refused(doubt: str) -> None:
    make, options, *lines = WARNINGS[doubt]
    said = look(make(), **options)
    assert [PERCENT.sub("%", line) for line in said] == [PERCENT.sub("%", line) for line in lines]
    numbers = [[int(number[:-1]) for line in part for number in PERCENT.findall(line)] for part in (said, lines)]
    assert numbers[0] == pytest.approx(numbers[1], abs=2)  # a trained network; processors differ in last digits


def dark_or_bright() -> tuple[Tensor, Tensor]:
    """Grey images, and whether each is brighter than the middle."""
    images = torch.randint(0, 256, (200, 1, 1, 1), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
    return images.expand(200, 1, 4, 4).contiguous(), (images.flatten() > 127).long()


def test_one_probability_that_was_taken_for_a_logit_is_found() -> None:
    images, labels = dark_or_bright()
    network = around(lambda images, _: (20 * (images.mean(dim=(1, 2, 3)) - 0.5)).sigmoid())
    assert preflight(Wrapped(network, outputs="sigmoid").eval(), images, labels, names=["dark", "bright"]) == [
        "the network gives probabilities, which are less precise than logits; have it give its logits if you can"
    ]
    with pytest.raises(RivalryError, match="all as bright, and chance is 50%; with outputs: sigmoid it would be 100%"):
        preflight(Wrapped(network).eval(), images, labels, names=["dark", "bright"])


@pytest.mark.filterwarnings("ignore:.*torch.jit:DeprecationWarning")
def test_what_fails_in_torchscript_is_told_without_its_trace() -> None:
    script = torch.jit.script(nn.Sequential(nn.Flatten(), nn.Linear(63, 10)))
    with pytest.raises(RivalryError) as refused:
        look(script)
    fault = "(RuntimeError: mat1 and mat2 shapes cannot be multiplied (16x64 and 63x10))"
    assert str(refused.value).startswith(f"model: it fails when it is given (16, 1, 8, 8) {fault}")


def test_a_network_without_gradients_is_asked_for_none() -> None:
    assert look(around(lambda images, network: network(images).detach()), gradients=False) == []


def test_a_line_of_the_users_file_is_named(tmp_path: Path) -> None:
    file = tmp_path / "my_model.py"
    file.write_text(
        textwrap.dedent("""
            from torch import nn

            class Net(nn.Module):
                def forward(self, images):
                    return images.flatten(1) @ undefined
        """)
    )
    build = imported(str(file), "Net")
    assert callable(build)
    with pytest.raises(RivalryError) as refused:
        look(build(), source=str(file))
    assert str(refused.value).startswith(
        f"model: it fails when it is given (16, 1, 8, 8) ({file}, line 6: NameError: name 'undefined' is not defined)"
    )


def test_the_network_is_afterwards_as_it_was() -> None:
    network = trained().train()
    before = {name: tensor.clone() for name, tensor in network.state_dict().items()}
    victim = Wrapped(network)
    preflight(victim, *grey(), names=DIGITS)
    assert victim.training
    assert all(parameter.requires_grad for parameter in network.parameters())
    assert all(bool((tensor == before[name]).all()) for name, tensor in network.state_dict().items())
    network.eval()
