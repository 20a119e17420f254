"""Crafted sets: what is written is read back, whole or in pieces, and only one module names it on disk."""

from __future__ import annotations

import ast
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch

from rivalry.adversarial import CraftedSet, open_crafted, read_sets, write_crafted
from rivalry.artifacts import open_tensors, write_table
from rivalry.layout import Place

SOURCES = Path(__file__).parent.parent / "src/rivalry"
INDEX = torch.tensor([4, 1, 7])


def a_set(eps: float | None) -> CraftedSet:
    return CraftedSet(torch.rand(3, 1, 2, 2), eps, {"patch": torch.rand(1, 2, 2)})


@pytest.mark.parametrize("budgets", [[None], [0.1], [0.1, 0.25]])
def test_each_eps_is_read_back_as_it_was_written(budgets: list[float | None], tmp_path: Path) -> None:
    place, sets = Place("attack", tmp_path), [a_set(eps) for eps in budgets]
    write_crafted(place, INDEX, sets)
    with open_crafted(place) as crafted, open_crafted(place, "np") as arrays:
        assert crafted.index == arrays.index == INDEX.tolist()
        for one in sets:
            assert crafted.count(one.eps) == 3
            assert torch.equal(crafted.images(one.eps), one.images)
            assert np.array_equal(arrays.images(one.eps, slice(1, 2)), one.images[1:2].numpy())
            assert crafted.fitted(one.eps).keys() == {"patch"}
            assert torch.equal(crafted.fitted(one.eps)["patch"], one.fitted["patch"])


def test_scores_are_put_in_the_order_of_their_images(tmp_path: Path) -> None:
    place, sets = Place("attack", tmp_path), [a_set(0.1), a_set(0.25)]
    write_crafted(place, INDEX, sets)
    write_table(place["scores"], pd.DataFrame({"eps": [0.25] * 3 + [0.1] * 3, "index": [1, 4, 7] * 2}))
    found = list(read_sets(place))
    assert [rows["eps"].unique().tolist() for _, rows in found] == [[0.25], [0.1]]
    assert all(rows["index"].tolist() == INDEX.tolist() for _, rows in found)
    assert torch.equal(found[0][0], sets[1].images)


def test_the_names_of_crafted_sets_on_disk_are_written_once(tmp_path: Path) -> None:
    write_crafted(Place("attack", tmp_path), INDEX, [a_set(0.1), a_set(0.25)])
    with open_tensors(Place("attack", tmp_path)["images"]) as tensors:
        names = {"images_eps_0.1", "images_eps_0.25", "fitted_eps_0.1.patch", "fitted_eps_0.25.patch", "index"}
        assert set(tensors.keys()) == names
    parts = ("images_eps", "fitted_eps", "fitted.")
    for file in SOURCES.rglob("*.py"):
        for node in ast.walk(ast.parse(file.read_text())):
            if isinstance(node, ast.Constant) and isinstance(node.value, str) and "\n" not in node.value:
                named = node.value.startswith((*parts, "_eps_"))
                assert not named or file.name == "adversarial.py", f"{file}:{node.lineno}"
