"""Facts about what defenses cost, and about the words for what they are worth."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from rivalry.defenses._costs import Peak, costs
from rivalry.report.summary import standing
from rivalry.report.tables.defenses import _clean


class Steps(nn.Module):
    """Makes tensors whose sizes are known: 4 bytes a number."""

    def __init__(self, keep: bool) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.zeros(7))
        self.register_buffer("seen", torch.zeros(3, dtype=torch.int64))
        self.keep = keep

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        first = images + 1
        second = first + 1
        if not self.keep:
            del first
        third = second + 1
        return third.flatten(1)[:, :2]


@pytest.mark.parametrize(("keep", "alive"), [(True, 3), (False, 2)])
def test_memory_is_what_tensors_hold_at_once(keep: bool, alive: int) -> None:
    spent = costs(Steps(keep), torch.rand(10, 1, 5, 5), 4)
    assert spent["memory"] == alive * 25 * 4
    assert spent["stored"] == 7 * 4 + 3 * 8
    assert spent["seconds"] > 0


def test_views_and_changes_in_place_take_no_memory() -> None:
    images = torch.rand(2, 1, 4, 4)
    with Peak() as peak:
        made = images * 2
        made.add_(1).view(-1).clamp_(0, 1)
    assert peak.most == 2 * 16 * 4


def test_what_is_given_up_does_not_add_up() -> None:
    with torch.no_grad(), Peak() as peak:
        for _ in range(50):
            torch.zeros(100)
    assert peak.most <= 2 * 400


@pytest.mark.parametrize(
    ("ahead", "low", "high", "significant", "words"),
    [
        (0.3, 0.2, 0.4, True, "keeps more"),
        (-0.1, -0.2, -0.02, True, "keeps less"),
        (0.0, -0.03, 0.03, False, "gains nothing"),
        # An interval that reaches beyond five points leaves the question open.
        (0.02, -0.06, 0.1, False, "no difference shown"),
        (0.0, -0.2, 0.2, False, "no difference shown"),
    ],
)
def test_a_defense_is_broken_only_where_it_gained_and_the_test_leaves_no_room_for_a_gain(
    ahead: float, low: float, high: float, significant: bool, words: str
) -> None:
    test = {"ahead": ahead, "low": low, "high": high, "significant": significant}
    bare = {"accuracy": 0.1, "oblivious_accuracy": None}
    fallen = words in ("keeps less", "gains nothing")
    for unknown in (None, 0.1, 0.14, 0.2, 0.9):
        mine = {"accuracy": 0.1 + ahead, "oblivious_accuracy": unknown}
        promised = unknown is not None and unknown > 0.14
        right = "broken when the attacker knows it" if fallen and promised else words
        assert standing(test, {"kind": "preprocessor"}, mine, bare) == right
        right = "nothing against who holds a copy" if fallen else words
        assert standing(test, {"kind": "access control"}, mine, bare) == right
        assert standing(test, {"kind": "transformer"}, mine, bare) == "not made against this"


def test_clean_accuracy_is_that_of_the_most_images() -> None:
    """Its change is of all of them, too: of fewer, the two numbers would not fit together."""
    names = {"dataset": "digits", "victim": "plain", "defense": "median3"}
    scores = [names | {"n": n, "clean_accuracy": clean} for n, clean in ((100, 0.59), (500, 0.52), (200, 0.6))]
    assert _clean({"scores": scores, "comparisons": []}, "digits", ("plain", "median3"))["clean"] == 0.52
