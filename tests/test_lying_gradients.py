"""Facts about the self-check of gradients that lie, on the toy run of test_tables.py, with rounding before its victim.

Rounding has no slope, so that no attack gets anywhere by the defense's own gradients.
"""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
import torch
from torch import Tensor, nn

from rivalry.artifacts import read_table, write_json, write_table
from rivalry.checks.lying_gradients import has_stand_in
from rivalry.defenses._defended import Preprocessed, clipped, own_gradients, substituted
from rivalry.defenses.spatial_smoothing import Smoothing
from rivalry.layout import Layout
from rivalry.report.tables.defenses import _gradients
from rivalry.statistics.checked import LYING
from test_checks import use
from test_random_defenses import noisy
from test_tables import ALL, Run, Toy


class Rounding(nn.Module):
    """Pixels to multiples of 1/255, as they are stored."""

    def forward(self, images: Tensor) -> Tensor:
        return substituted((images * 255).round() / 255, images)


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Run:
    use(monkeypatch, Preprocessed(Rounding(), Toy()))
    run = Run(tmp_path)
    run.victim()
    return run


def attacked(run: Run, rows: Tensor = ALL, **strengths: float) -> pd.DataFrame:
    """The check's rows, where attacks that know the defense are as strong as that: bim, and square."""
    layout, tables = Layout(run.results), []
    run.plan["evaluations"].append(["toy", "plain", "round"])
    write_json(layout.defense("toy", "plain", "round").facts, {"kind": "preprocessor", "method": "bit_depth"})
    for name, strength in strengths.items():
        about: dict[str, Any] = {"sees": "scores"} if name == "square" else {}
        if name == "bim":
            about = {"parameters": {"steps": 20, "step_size": 0.05}}
        run.attack(name, (0.4,), victim="plain+round", rows=rows, strength=strength, stops=name != "fgsm", **about)
        table = read_table(layout.attack("toy", "plain+round", name)["scores"])
        tables.append(table.assign(attack=name, setting="adaptive"))
    write_table(layout.evaluation("toy", "plain", "round")["scores"], pd.concat(tables))
    return run.checks().query(f"check == '{LYING}'")


@pytest.mark.parametrize(
    ("strengths", "status", "verdict"),
    [
        ({"bim": 1.0}, "pass", "were not run on all of them: its own gradients lie"),
        ({"bim": 1.0, "square": 0.0}, "pass", "fool 0.0 %: its own gradients lie, and only the stand-ins break it"),
        ({"bim": 1.0, "square": 1.0}, "pass", "its own gradients lie, which attacks without gradients find out, too"),
        ({"bim": 0.0, "square": 0.0}, "warn", "where nothing falls, nothing is known of gradients"),
        ({"bim": 0.0, "square": 1.0}, "fail", "the stand-ins are not the strongest, and the defense is overrated"),
    ],
)
def test_what_breaks_a_defense_is_told(run: Run, strengths: dict[str, float], status: str, verdict: str) -> None:
    (row,) = attacked(run, **strengths).to_dict("records")
    assert (row["status"], row["defense"], row["attack"], row["eps"]) == (status, "round", "bim", "0.4")
    assert row["found"].startswith("bim fools 0.0 % of 7 images by the gradients of the defense's own steps, ")
    assert row["found"].endswith(verdict)


def test_of_equals_an_attack_of_many_steps_is_run_again(run: Run) -> None:
    (row,) = attacked(run, fgsm=1.0, bim=1.0).to_dict("records")
    assert row["attack"] == "bim"


def test_where_nothing_was_attacked_nothing_is_said_of_gradients(run: Run) -> None:
    (row,) = attacked(run, rows=torch.tensor([7]), bim=1.0).to_dict("records")
    assert (row["status"], row["found"]) == ("warn", "no image was attacked")


def test_a_defense_without_stand_ins_is_not_looked_at(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    use(monkeypatch, Preprocessed(nn.Identity(), Toy()))
    assert attacked(run, bim=1.0).empty


def test_only_inside_are_gradients_a_step_s_own() -> None:
    pixels = torch.tensor([0.2, 1.6], requires_grad=True)

    def slopes(made: Tensor) -> list[float]:
        return torch.autograd.grad(made.sum(), pixels)[0].tolist()

    with own_gradients():
        assert slopes(substituted(pixels.round(), pixels)) == [0, 0]
        assert slopes(substituted(torch.ones(2), pixels)) == [0, 0]
        assert slopes(clipped(pixels)) == [1, 0]
        assert clipped(pixels).tolist() == pytest.approx([0.2, 1])
    assert slopes(substituted(pixels.round(), pixels)) == [1, 1]


def test_one_draw_has_other_gradients_than_several() -> None:
    images = noisy()[1][:2]
    assert has_stand_in(noisy(draws=4)[0], images)
    assert not has_stand_in(noisy(draws=1)[0], images)
    assert not has_stand_in(Preprocessed(Smoothing("median", 3), noisy()[0].victim), images)


def test_a_defense_s_caption_tells_what_was_found_of_it() -> None:
    about = {"dataset": "toy", "victim": "plain", "defense": "round"}
    found = {
        "check": LYING,
        "subject": "bim on plain+round, eps 0.4",
        "found": "its own gradients lie",
        "eps": math.nan,
    }
    report = {"checks": [found | about, found | about | {"defense": "other"}, found | about | {"check": "logits"}]}
    assert _gradients(report, about) == " Self-check, bim on plain+round, eps 0.4: its own gradients lie."
