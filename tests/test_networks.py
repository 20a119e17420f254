"""The layers of networks: found by hooks, and shown so that every parameter is in one row."""

from __future__ import annotations

import warnings
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from rivalry import registry
from rivalry.architectures._classifier import Classifier
from rivalry.architectures._layers import layers
from rivalry.report.tables.networks import ALL, MOST, layer_rows, networks

Found = list[dict[str, Any]]


def parameters(network: nn.Module) -> int:
    return sum(parameter.numel() for parameter in network.parameters())


def total(rows: Found) -> int:
    return sum(row["parameters"] for row in rows)


@pytest.mark.parametrize("name", registry.names("architectures"))
@pytest.mark.parametrize("shape", [(1, 28, 28), (3, 40, 24)])
def test_every_parameter_of_an_architecture_is_in_one_row(name: str, shape: tuple[int, ...]) -> None:
    network = Classifier(registry.method("architectures", name).load()(shape, 7), shape[0]).eval()
    found = layers(network, shape)
    assert total(found) == total(layer_rows(found)) == parameters(network)
    assert len(layer_rows(found)) <= MOST
    assert found[0] == {"layer": "", "kind": "Classifier", "kernel": "", "output": [7], "parameters": 0}
    assert not any(part._forward_hooks or part._forward_pre_hooks for part in network.modules())


def test_the_course_reports_network_reads_as_the_course_printed_it() -> None:
    """S0's figure 5, without the activations' rows and with the channels first."""
    network = Classifier(registry.method("architectures", "cnn_cifar").load()((3, 32, 32), 10), 3).eval()
    rows = [row for row in layer_rows(layers(network, (3, 32, 32))) if row["kind"] != "ReLU"]
    assert [(row["kind"], row["output"], row["parameters"]) for row in rows] == [
        ("Conv2d", "32×32×32", 896),
        ("Conv2d", "32×30×30", 9248),
        ("MaxPool2d", "32×15×15", 0),
        ("Dropout", "32×15×15", 0),
        ("Conv2d", "64×15×15", 18_496),
        ("Conv2d", "64×13×13", 36_928),
        ("MaxPool2d", "64×6×6", 0),
        ("Dropout", "64×6×6", 0),
        ("Flatten", "2304", 0),
        ("Linear", "512", 1_180_160),
        ("Dropout", "512", 0),
        ("Linear", "10", 5130),
    ]
    assert {row["kernel"] for row in rows} == {"3×3", "2×2", ""}


class Odd(nn.Module):
    """What users write: a list, a module used twice, tied weights, own tensors, parts that nothing calls."""

    def __init__(self) -> None:
        super().__init__()
        self.last = nn.Linear(4, 2)
        self.twice = nn.Linear(12, 12)
        self.tied = nn.Linear(12, 12)
        self.tied.weight = self.twice.weight
        self.blocks = nn.ModuleList(nn.Linear(12, 12) for _ in range(3))
        self.scale = nn.Parameter(torch.ones(1))
        self.unused = nn.Linear(5, 5)
        self.free = nn.ParameterList([nn.Parameter(torch.zeros(3))])
        self.several = Several()

    def forward(self, images: Tensor) -> Tensor:
        found = images.flatten(1) * self.scale
        for block in self.blocks:
            found = block(found)
        answer: Tensor = self.last(self.several(self.tied(self.twice(self.twice(found))))["first"][0])
        return answer


class Several(nn.Module):
    def forward(self, found: Tensor) -> dict[str, list[Tensor]]:
        return {"first": [found[:, :4]], "second": []}


def test_odd_networks_are_listed_in_the_order_of_their_calls() -> None:
    found = layers(Odd().eval(), (3, 2, 2))
    assert [tuple(row.values()) for row in layer_rows(found)] == [
        ("scale", "Parameter", "", "1", 1),
        ("blocks.0 to blocks.2", "3 × Linear", "", "12", 3 * 156),
        ("twice", "Linear", "", "12", 156),
        ("tied", "Linear", "", "12", 12),
        ("several", "Several", "", "4", 0),
        ("last", "Linear", "", "2", 10),
        ("unused", "Linear", "", None, 30),
        ("free", "ParameterList", "", None, 3),
    ]
    assert total(found) == parameters(Odd())


@pytest.mark.parametrize(
    ("layer", "kernel"),
    [
        (nn.Conv2d(3, 3, 3, stride=2), "3×3, stride 2"),
        (nn.Conv2d(3, 6, (5, 3), stride=(1, 2), padding=2, groups=3), "5×3, stride 1×2, 3 groups"),
        (nn.MaxPool2d(2), "2×2"),
        (nn.MaxPool2d(3, 2), "3×3, stride 2"),
        (nn.AvgPool2d(3, 1), "3×3, stride 1"),
        (nn.AdaptiveAvgPool2d(1), ""),
        (nn.Linear(8, 2), ""),
    ],
)
def test_kernels(layer: nn.Module, kernel: str) -> None:
    assert layers(layer, (3, 8, 8))[0]["kernel"] == kernel


def test_torchscript_is_one_piece() -> None:
    inner = nn.Sequential(nn.Flatten(), nn.Linear(12, 2))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        found = layers(nn.Sequential(nn.Identity(), torch.jit.script(inner)), (3, 2, 2))
    assert [(row["layer"], row["kind"], row["parameters"]) for row in found[1:]] == [
        ("0", "Identity", 0),
        ("1", "Sequential", 26),
    ]


def block(width: int) -> nn.Module:
    return nn.Sequential(nn.Conv2d(3, width, 1), nn.BatchNorm2d(width), nn.ReLU(), nn.Conv2d(width, 3, 1))


def test_deep_networks_are_folded_and_equal_neighbours_are_one_row() -> None:
    deep = nn.Sequential(
        *(nn.Sequential(*(block(2 + number) for _ in range(20))) for number in range(3)), nn.Flatten(), nn.Linear(12, 2)
    )
    found = layers(deep.eval(), (3, 2, 2))
    assert [(row["layer"], row["kind"], row["kernel"], row["parameters"]) for row in layer_rows(found)][:2] == [
        ("0.0 to 0.19", "20 × Sequential", "2 Conv2d, 1 BatchNorm2d", 20 * parameters(block(2))),
        ("1.0 to 1.19", "20 × Sequential", "2 Conv2d, 1 BatchNorm2d", 20 * parameters(block(3))),
    ]
    long = nn.Sequential(nn.Sequential(*(block(2 + number % 2) for number in range(8))), nn.Flatten(), nn.Linear(12, 2))
    rows = layer_rows(layers(long.eval(), (3, 2, 2)))
    assert [row["layer"] for row in rows] == [*(f"0.{number}" for number in range(8)), "1", "2"]
    alike = nn.Sequential(nn.Sequential(*(block(2) for _ in range(8))), nn.Flatten(), nn.Linear(12, 2))
    rows = layer_rows(layers(alike.eval(), (3, 2, 2)))
    assert len(rows) == 8 * 4 + 2 <= ALL  # of one row for the eight, three would be left
    assert total(rows) == parameters(alike)


def test_a_module_around_one_other_is_shown_and_not_what_is_in_it() -> None:
    network = registry.method("architectures", "mobilenet_v3_small").load()((3, 32, 32), 10)
    rows = layer_rows(layers(Classifier(network, 3).eval(), (3, 32, 32)))
    assert [row["kind"] for row in rows if "InvertedResidual" in row["kind"]][4] == "2 × InvertedResidual"
    assert "Sequential" not in {row["kind"] for row in rows}


def test_one_table_for_each_network_and_none_for_what_is_no_network() -> None:
    plain = layers(nn.Sequential(nn.Flatten(), nn.Linear(12, 2)).eval(), (3, 2, 2))
    tree = layers(nn.Sequential(nn.Flatten()), (3, 2, 2))[:1]

    def fact(dataset: str, victim: str, architecture: str | None, found: Found, **more: object) -> dict[str, Any]:
        about = {"dataset": dataset, "victim": victim, "architecture": architecture, "layers": found}
        return about | {"shape": [3, 2, 2], "parameters": {}, "parameters_count": total(found)} | more

    victims = [
        fact("a", "one", "small", plain),
        fact("a", "tree", "decision_tree", tree),
        fact("a", "two", "small", plain),
        fact("b", "one", "small", plain),
        fact("b", "own", None, plain, parameters={"model": "mine.py:Net"}),
    ]
    first, second = networks({"victims": victims})
    assert (first.name, first.title) == ("network-1", "small for images of 3×2×2")
    assert first.note.startswith("The network of one, two on a; one on b: 26 parameters in all.")
    assert second.title == "mine.py:Net for images of 3×2×2"
