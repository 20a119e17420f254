"""Facts about which self-checks touch a number, and how kinds are counted."""

from __future__ import annotations

import math
from pathlib import Path

import pytest

from rivalry.statistics import summary, touching
from rivalry.statistics.checked import CHECKED
from rivalry.statistics.tables import records


def check(name: str, status: str = "warn", **touched: object) -> dict[str, object]:
    empty = {"dataset": "digits", "victim": "", "defense": "", "attack": "", "eps": None}
    return {"check": name, "status": status} | empty | touched


CHECKS = [
    check("data"),
    check("gradients", victim="plain", defense="none"),
    check("detector", victim="plain", defense="bid"),
    check("fewer images", attack="deepfool"),
    check("pgd", "fail", victim="plain", defense="none", attack="pgd", eps=0.2),
    check("adaptive pgd", victim="plain", defense="bid", attack="pgd", eps=0.2),
    check("masked", victim="plain", defense="none", attack="pgd fgsm", eps=0.4),
    check("two efforts", victim="plain", defense="none", attack="hsj hsj_long"),
    check("sound", "pass", victim="plain", defense="none", attack="pgd", eps=0.2),
    check("elsewhere", dataset="shapes"),
]


@pytest.mark.parametrize(
    ("number", "touched"),
    [
        ({"victim": "plain", "defense": "none", "attack": "pgd", "eps": 0.2}, {"data", "gradients", "pgd"}),
        ({"victim": "plain", "defense": "none", "attack": "pgd", "eps": 0.4}, {"data", "gradients", "masked"}),
        (
            {"victim": "plain", "defense": "none", "attack": "fgsm", "eps": 0.1 + 0.2 + 0.1},
            {"data", "gradients", "masked"},
        ),
        (
            {"victim": "plain", "defense": "none", "attack": "hsj", "eps": math.nan},
            {"data", "gradients", "two efforts"},
        ),
        ({"victim": "plain", "defense": "bid", "attack": "pgd", "eps": 0.2}, {"data", "detector", "adaptive pgd"}),
        ({"victim": "svm", "defense": "none", "attack": "deepfool", "eps": math.nan}, {"data", "fewer images"}),
        ({"victim": "svm", "defense": "none", "attack": "pgd", "eps": 0.2}, {"data"}),
        ({"victim": "plain", "defense": "none", "attack": "pgd", "eps": math.nan}, {"data", "gradients"}),
        # A worst case over all attacks at one eps.
        (
            {"victim": "plain", "defense": "none", "eps": 0.2},
            {"data", "gradients", "pgd", "fewer images", "two efforts"},
        ),
        # An oblivious set was made on the undefended victim and is answered by the defended one.
        (
            {"victim": "plain", "defense": "bid", "attack": "pgd", "eps": 0.2, "setting": "oblivious"},
            {"data", "detector", "pgd"},
        ),
        (
            {"victim": "plain", "defense": "bid", "attack": "pgd", "eps": 0.2, "setting": "adaptive"},
            {"data", "detector", "adaptive pgd"},
        ),
    ],
)
def test_what_touches_a_number(number, touched):
    assert {row["check"] for row in touching(CHECKS, dataset="digits", **number)} == touched


def test_failures_come_first_and_passes_never():
    found = touching(CHECKS, dataset="digits", victim="plain")
    assert found[0]["check"] == "pgd"
    assert "pass" not in {row["status"] for row in found}


def test_empty_cells_read_the_same_from_every_source():
    for nothing in (None, math.nan, ""):
        row = check("all", attack=nothing, victim=nothing, defense=nothing, eps=nothing)
        assert touching([row], dataset="digits", victim="plain", defense="none", attack="pgd", eps=0.2) == [row]


def test_names_survive_the_table(tmp_path: Path):
    names = {"dataset": "007", "victim": "1e5", "defense": "none", "attack": "NA"}
    rows = [check("names", **names, eps=0.2), check("names", "fail", **names | {"attack": ""}, eps=None)]
    CHECKED.write(tmp_path / "checks.csv", rows)
    read = records(CHECKED.read(tmp_path / "checks.csv"))
    assert all(row.items() <= found.items() for row, found in zip(rows, read, strict=True))
    assert touching(read, dataset="007", victim="1e5", defense="none", attack="NA", eps=0.2) == [read[1], read[0]]


def test_kinds_are_counted():
    rows = [check("a", "pass"), check("b", "fail"), check("a", "warn"), check("a", "pass")]
    assert summary(rows) == [
        {"check": "a", "n": 3, "pass": 2, "warn": 1, "fail": 0},
        {"check": "b", "n": 1, "pass": 0, "warn": 0, "fail": 1},
    ]
    assert summary([]) == []
