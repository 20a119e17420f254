"""Facts about the tables of a run and its self-checks, on a toy run whose every number is known.

A toy image is three pixels and its class the brightest one. Images 0 to 3 are easy to turn (120 against
50), 4 to 6 hard (200 against 50); the victim takes image 7 for a 2, so it is never attacked. Attacks darken
the true pixel and brighten the next one.
"""

from __future__ import annotations

import hashlib
import json
import math
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
import yaml
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

from rivalry.adversarial import CraftedSet, write_crafted
from rivalry.artifacts import read_json, read_table, read_tensors, write_json, write_table, write_tensors
from rivalry.checks import _evidence as evidence
from rivalry.checks.same_images import same_images
from rivalry.errors import RivalryError
from rivalry.layout import Layout
from rivalry.stages.check import check
from rivalry.stages.evaluate import CARRIED, judged, with_verdicts
from rivalry.stages.tabulate import SETTINGS, tabulate
from rivalry.stages.train import predict
from rivalry.stages.transfer import _predictions
from rivalry.statistics import holm, reported
from rivalry.statistics.columns import CLAIMS, COMPARISONS, REPORTED, SCORES, TRIGGERS
from rivalry.statistics.comparisons import SIZED
from rivalry.statistics.reported import COUNTED, reported_numbers
from rivalry.statistics.scores import _told_apart

LABELS = torch.tensor([0, 1, 2, 0, 1, 2, 0, 1])
ALL = torch.arange(8)


def toy_images() -> torch.Tensor:
    images = torch.full((8, 1, 1, 3), 50, dtype=torch.uint8)
    images[ALL, 0, 0, LABELS] = torch.tensor([120] * 4 + [200] * 3 + [50], dtype=torch.uint8)
    images[7, 0, 0, 2] = 201  # else it would be image 5 under another label
    return images


class Toy(nn.Module):
    """Logits are ten times the pixels; `answer` may spoil them."""

    def __init__(self, answer=lambda logits: logits) -> None:
        super().__init__()
        self.answer = answer

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        return self.answer(10 * images.flatten(1))


class Run:
    """The files of a toy run, and the plan that names them."""

    def __init__(self, results: Path, source: str = "digits") -> None:
        self.results = results
        self.triggers: list[dict[str, Any]] = []
        self.plan: dict[str, Any] = {name: [] for name in ("victims", "attacks", "evaluations", "transfers", "fooling")}
        data = Layout(results).data("toy")
        write_tensors(data["test"], {"images": toy_images(), "labels": LABELS})
        write_tensors(data["train"], {"images": toy_images() + 1, "labels": LABELS})
        write_json(data.facts, {"dataset": "toy", "source": source, "classes": 3})

    def victim(self, name: str = "plain", wrong: tuple[int, ...] = (7,), **facts: Any) -> None:
        self.plan["victims"].append(["toy", name])
        place = Layout(self.results).victim("toy", name)
        prediction = [int(label + 1) % 3 if row in wrong else int(label) for row, label in enumerate(LABELS)]
        table = {"index": ALL, "label": LABELS, "prediction": prediction, "confidence": 0.8}
        write_table(place["predictions"], pd.DataFrame(table))
        own = {
            "method": "plain",
            "architecture": "cnn_mnist",
            "poisoning": None,
            "parameters": {},
            "fitting": {},
            "classes": 3,
        }
        write_json(place.facts, own | facts)

    def attack(
        self,
        name: str = "fgsm",
        eps: tuple[float, ...] | None = (0.2, 0.4),
        *,
        victim: str = "plain",
        stops: bool = False,
        strength: float = 1.0,
        aim: int | None = None,
        rows: torch.Tensor = ALL,
        **facts: Any,
    ) -> None:
        """Full steps of eps, or (`stops`) just over the boundary; towards `aim`, or the next class."""
        if "+" not in victim:
            self.plan["attacks"].append(["toy", victim, name])
        clean, labels = toy_images()[rows].float() / 255, LABELS[rows]
        predictions = clean.flatten(1).argmax(dim=1)
        target = (labels + 1) % 3 if aim is None else torch.full_like(labels, aim)
        attacked = (predictions == labels) & (labels != target)
        each = torch.arange(len(rows))
        needed = (clean[each, 0, 0, labels] - clean[each, 0, 0, target]) / 2 + 0.01
        sets, tables = [], []
        for value in eps or [math.nan]:
            full = torch.full_like(needed, strength * (1 if eps is None else value))
            amount = torch.where(attacked, torch.minimum(full, needed) if stops else full, 0)
            images = clean.clone()
            images[each, 0, 0, labels] -= amount
            images[each, 0, 0, target] += amount
            images = images.clamp(0, 1)
            sets.append(CraftedSet(images, value))
            length = (images - clean).flatten(1).norm(dim=1)
            prediction = images.flatten(1).argmax(dim=1)
            success = attacked & (prediction != labels if aim is None else prediction == target)
            columns = {
                "index": rows,
                "label": labels,
                "target": torch.full_like(labels, -1) if aim is None else target,
                "eps": value,
                "clean_prediction": predictions,
                "clean_correct": predictions == labels,
                "attacked": attacked,
                "prediction": prediction,
                "confidence": 0.75,
                "success": success,
                "l0": 2.0 * attacked,
                "l2": length,
                "linf": (images - clean).flatten(1).abs().amax(dim=1),
                "l2_channels": length,
                "linf_channels": (images - clean).flatten(1).abs().amax(dim=1),
                "relative_l2": length / clean.flatten(1).norm(dim=1),
                "iterations": 4 if stops else 1,
                "queries": 5,
                "gradients": each,
                "finite": each != 1,
                "zero_gradient": each == 0,
                "seconds": 0.5,
            }
            tables.append(
                pd.DataFrame({k: v.numpy() if isinstance(v, torch.Tensor) else v for k, v in columns.items()})
            )
        place = Layout(self.results).attack("toy", victim, name)
        write_crafted(place, rows, sets)
        write_table(place["scores"], pd.concat(tables))
        plain, _, defense = victim.partition("+")
        own = {
            "dataset": "toy",
            "victim": plain,
            "defense": defense or "none",
            "attack": name,
            "method": name,
            "parameters": {},
            "goal": "untargeted" if aim is None else "targeted",
            "target": aim,
            "sees": "gradients",
            "norm": "2" if eps is None else "inf",
            "budget": "minimal" if eps is None else "fixed",
            "images_sha256": hashlib.sha256(clean.numpy().tobytes()).hexdigest(),
        }
        write_json(place.facts, own | facts)

    def detector(self, name: str = "bid") -> None:
        """Refuses image 0 when clean; of fgsm's at eps .2 those of images 0 to 2, and when adaptive none."""
        self.plan["evaluations"].append(["toy", "plain", name])
        layout, facts = Layout(self.results), {"thresholds": {"1": 0.5, "5": 0.15}}
        write_json(layout.defense("toy", "plain", name).facts, {"kind": "detector", "method": "bid", "facts": facts})
        self.attack("fgsm", (0.2,), victim=f"plain+{name}")
        table = read_table(layout.attack("toy", f"plain+{name}", "fgsm")["scores"])
        parts = [("", "clean", [0]), ("fgsm", "oblivious", [0, 1, 2]), ("fgsm", "adaptive", [])]
        rows = []
        for attack, setting, refused in parts:
            part = table.assign(attack=attack, setting=setting, flagged=table["index"].isin(refused))
            if setting == "clean":
                part = part.assign(eps=math.nan, prediction=part["clean_prediction"], attacked=False, success=False)
            part["score"] = np.where(
                part["flagged"], 0.6 if setting == "clean" else 0.9, 0.1 if setting == "clean" else 0.2
            )
            part["prediction"] = part["prediction"].mask(part["flagged"], -1)
            part["success"] = part["success"] & ~part["flagged"]
            rows.append(part.drop(columns=["iterations", "finite", "zero_gradient", "clean_prediction", "confidence"]))
        evaluated = with_verdicts(pd.concat(rows, ignore_index=True))
        write_table(layout.evaluation("toy", "plain", name)["scores"], evaluated)

    def tables(self, times: bool = True, folder: str = "tables", **plan: Any) -> dict[str, pd.DataFrame]:
        output = self.results / folder
        tabulate(self.results, output, plan=self.plan | plan, confidence=0.95, seed=3, record_times=times)
        tables = {"scores": SCORES, "comparisons": COMPARISONS, "reported": REPORTED}
        return {name: table.read(output / f"{name}.csv") for name, table in tables.items()}

    def checks(self) -> pd.DataFrame:
        CLAIMS.write(self.results / "tables/claims.csv", [])  # see test_literature.py
        TRIGGERS.write(self.results / "tables/triggers.csv", self.triggers)
        check(self.results, self.results / "tables", plan=self.plan, accelerator="cpu")
        return pd.read_csv(self.results / "tables/checks.csv", dtype=str, keep_default_na=False)


@pytest.fixture
def run(tmp_path: Path) -> Run:
    run = Run(tmp_path)
    run.victim()
    return run


@pytest.fixture
def toy_victim(monkeypatch: pytest.MonkeyPatch) -> Any:
    """Use a module as every victim of the run."""

    def use(module: nn.Module) -> None:
        monkeypatch.setattr(evidence, "load_victim", lambda folder: module)

    use(Toy())
    return use


def row(table: pd.DataFrame, **wanted: Any) -> pd.Series:
    for name, value in wanted.items():
        table = table[table[name] == value]
    assert len(table) == 1
    return table.iloc[0]


def test_every_column_of_an_undefended_row(run):
    run.attack("fgsm", (0.2, 0.4))
    scores = run.tables()["scores"]
    assert list(scores.columns) == SCORES.columns
    found = row(scores, eps=0.2)
    words = {
        "dataset": "toy",
        "victim": "plain",
        "attack": "fgsm",
        "defense": "none",
        "setting": "undefended",
    }
    words |= {"goal": "untargeted", "sees": "gradients", "norm": "inf", "budget": "fixed"}
    assert found[list(words)].to_dict() == words
    easy, length = 4 / 7, 0.2 * math.sqrt(2)
    clean = math.sqrt(120**2 + 2 * 50**2) / 255
    numbers = {
        "seed": 1,
        "n": 8,
        "n_attacked": 7,
        "n_crafted": 7,
        "clean_accuracy": 7 / 8,
        "clean_low": 0.52911,
        "clean_high": 0.97759,
        "adversarial_accuracy": 3 / 8,
        "adversarial_low": 0.13684,
        "adversarial_high": 0.69426,
        "success_rate": easy,
        "success_low": 0.25046,
        "success_high": 0.84178,
        **{f"clean_confidence{end}": 0.8 for end in ("", "_low", "_high")},
        **{f"confidence{end}": 0.75 for end in ("", "_low", "_high")},
        "mean_l0": 2,
        "median_l0": 2,
        "mean_l2": length,
        "median_l2": length,
        "mean_linf": 0.2,
        "median_linf": 0.2,
        "mean_l2_channels": length,
        "mean_linf_channels": 0.2,
        **{f"rho_adv{end}": length / clean for end in ("", "_low", "_high")},
        "iterations": 1,
        "queries": 5,
        "gradients": 3,
        "zero_gradient_share": 1 / 7,
        "non_finite": 1,
        "macro_precision": 7 / 18,
        "macro_recall": 7 / 18,
        "seconds": 0.5,
    }
    assert found[list(numbers)].to_dict() == pytest.approx(numbers, abs=1e-5)
    assert found["target"] == ""
    rates = ("flagged_clean", "flagged_adversarial", "flagged_at_1", "flagged_at_5", "auc")
    detected = {f"{rate}{end}" for rate in rates for end in ("", "_low", "_high")}
    detected |= {"false_alarms_at_1", "false_alarms_at_5", "detection_accuracy"}
    assert found[[*detected]].isna().all()
    assert set(SCORES.columns) == {*words, *numbers, "target", "eps", *detected}


def test_sizes_are_of_successes_only(run):
    run.attack("fgsm", (0.01,))
    run.attack("deepfool", None, stops=True)
    scores = run.tables()["scores"]
    assert row(scores, attack="fgsm")[["mean_l2", "median_linf", "rho_adv"]].isna().all()
    minimal = row(scores, attack="deepfool")
    assert minimal["success_rate"] == 1
    assert math.isnan(minimal["eps"])
    # Four easy images at 35/255 + .01 and three hard ones at 75/255 + .01.
    assert minimal["mean_linf"] == pytest.approx((4 * 35 + 3 * 75) / 7 / 255 + 0.01)
    assert minimal["median_linf"] == pytest.approx(35 / 255 + 0.01)


@pytest.mark.parametrize("clean", [[0.9, 0.1, 0.2, 0.3], [0.5, 0.5, 0.5, 0.5]])
def test_scores_of_unchanged_images_are_told_apart_by_chance(clean):
    """Whichever images an attack met: beside others, harder for the victim, nothing would be 0.5."""
    images = pd.Series(clean)
    found = _told_apart(images, images[::-1], 0.95)
    assert found["auc"] == 0.5
    assert found["auc_low"] < 0.5 < found["auc_high"]


def test_targeted_rows_count_the_target_and_the_true_class_apart(run):
    run.attack("aimed", (0.2,), aim=2)
    found = row(run.tables()["scores"], attack="aimed")
    # Images 2 and 5 are of class 2; of 0, 1, 3 (easy), 4, 6 (hard) the easy ones reach it.
    assert found["n_attacked"] == 5
    assert found["success_rate"] == 3 / 5
    assert found["adversarial_accuracy"] == 4 / 8
    assert found["target"] == "2"


def test_detector_rows_count_refusals_of_attacked_images_as_handled(run):
    run.attack("fgsm", (0.2, 0.4))
    run.detector()
    scores = run.tables()["scores"]
    assert scores["setting"].tolist() == ["undefended", "undefended", "oblivious", "adaptive"]
    blind = row(scores, setting="oblivious")
    assert (blind["victim"], blind["defense"]) == ("plain", "bid")
    # Clean, image 7 is wrong and 0 is refused. Attacked, 0 (refused, as it is clean) is lost, 1 and 2 are refused,
    # 3 is fooled, 4 to 6 hold.
    assert blind["clean_accuracy"] == 6 / 8
    assert blind["adversarial_accuracy"] == 5 / 8
    assert (blind["n_attacked"], blind["n_crafted"]) == (6, 7)
    assert blind["success_rate"] == pytest.approx(1 / 6)
    assert blind["flagged_clean"] == 1 / 8
    assert blind["flagged_adversarial"] == pytest.approx(3 / 7)
    # Three scores of .9 beat those of all seven images unchanged, four of .2 all but the .6.
    assert blind["auc"] == pytest.approx(45 / 49)
    assert blind["auc_low"] < 0.75 < blind["auc"] < blind["auc_high"] < 1
    # Of the clean ones only the .6 lies above either threshold, of the attacked ones three above .5 and all above .15.
    assert (blind["false_alarms_at_1"], blind["false_alarms_at_5"]) == (1 / 8, 1 / 8)
    assert (blind["flagged_at_1"], blind["flagged_at_5"]) == (pytest.approx(3 / 7), 1)
    assert blind["detection_accuracy"] == pytest.approx((3 / 7 + 7 / 8) / 2)
    assert blind["flagged_at_5_low"] < blind["flagged_at_5_high"] == 1
    assert blind["iterations"] == 1
    assert row(scores, setting="adaptive")["success_rate"] == pytest.approx(3 / 6)


def answered(**columns: Any) -> pd.DataFrame:
    """Rows as a defended victim judges them, a clean one and an oblivious one per image, before any verdict."""
    table = pd.DataFrame(columns)
    n = len(table)
    clean = table.assign(setting="clean", attack="", attacked=False, flagged=table["clean_flagged"])
    clean["prediction"] = table["clean_prediction"].mask(table["clean_flagged"], -1)
    rows = table.assign(setting="oblivious", attack="fgsm")
    rows["prediction"] = rows["prediction"].mask(rows["flagged"], -1)
    both = pd.concat([clean, rows], ignore_index=True).assign(index=[*range(n), *range(n)])
    wrong = (both["prediction"] != both["label"]) & ~both["flagged"]
    return both.assign(success=wrong, target=-1)


def test_a_detector_that_refuses_everything_gains_nothing():
    n = 5
    rows = with_verdicts(
        answered(
            label=[0] * n,
            clean_prediction=[0] * n,
            clean_flagged=[True] * n,
            prediction=[1] * n,
            flagged=[True] * n,
            attacked=[True] * n,
        )
    )
    assert not rows["handled"].any()
    assert not rows["clean_handled"].any()
    assert not rows["success"].any()


@pytest.mark.parametrize(
    ("clean", "attacked", "seen", "handled", "success"),
    [
        # (prediction, flagged) clean and under attack; the label is 0.
        pytest.param((0, False), True, (0, False), True, False, id="withstands"),
        pytest.param((0, False), True, (1, False), False, True, id="is fooled"),
        pytest.param((0, False), True, (1, True), True, False, id="refuses what was attacked"),
        pytest.param((0, False), False, (0, False), True, False, id="of the target's class"),
        pytest.param((1, False), False, (1, False), False, False, id="errs without an attack"),
        pytest.param((1, False), False, (1, True), False, False, id="refuses what was left alone"),
        pytest.param((0, True), False, (0, True), False, False, id="refused clean and left alone"),
        pytest.param((0, True), True, (1, True), False, False, id="refused clean and attacked"),
        pytest.param((0, True), True, (1, False), False, False, id="lost clean, not to the attack"),
        pytest.param((1, False), True, (0, False), False, False, id="right only under attack"),
    ],
)
def test_what_an_image_counts_for(clean, attacked, seen, handled, success):
    rows = with_verdicts(
        answered(
            label=[0],
            clean_prediction=[clean[0]],
            clean_flagged=[clean[1]],
            prediction=[seen[0]],
            flagged=[seen[1]],
            attacked=[attacked],
        )
    )
    found = rows[rows["setting"] == "oblivious"].iloc[0]
    assert (found["handled"], found["success"]) == (handled, success)


@given(
    st.lists(
        st.tuples(*(st.integers(0, 2),) * 3, *(st.booleans(),) * 3),
        min_size=1,
        max_size=30,
    )
)
def test_no_accuracy_under_attack_is_above_the_clean_one(images):
    names = ("label", "clean_prediction", "prediction", "clean_flagged", "flagged", "attacked")
    rows = with_verdicts(answered(**dict(zip(names, map(list, zip(*images, strict=True)), strict=True))))
    sets = rows.groupby("setting")[["clean_handled", "handled", "success"]].sum()
    assert sets.loc["clean", "handled"] == sets.loc["oblivious", "clean_handled"]
    assert sets.loc["oblivious", "handled"] <= sets.loc["clean", "handled"]
    unfair = rows["success"] & (rows["handled"] | ~rows["attacked"])
    assert not unfair.any()
    # What an untargeted attack takes from the clean accuracy is what it succeeds on.
    through = rows[rows["attacked"] & rows["clean_handled"]]
    assert sets.loc["oblivious", "handled"] == sets.loc["clean", "handled"] - through["success"].sum()


class Fixed(nn.Module):
    """Answers the same logits (N,K), whatever the images."""

    def __init__(self, logits: torch.Tensor) -> None:
        super().__init__()
        self.logits = nn.Parameter(logits)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        return self.logits[: len(images)]


INF = math.inf


@pytest.mark.parametrize(
    ("logits", "label", "predicted"),
    [
        # In single precision the softmax of both is 1/2 exactly, and its first maximum is class 0.
        pytest.param([0.0, 1e-8, -99.0], 1, 1, id="a lead that the softmax rounds away"),
        pytest.param([1e8 - 8, 1e8, 0.0], 0, 1, id="large logits"),
        pytest.param([-INF, -2.0, -INF], 1, 1, id="log-probabilities of a forest"),
        pytest.param([0.0, math.nan, 1.0], 1, -2, id="NaN at the label"),
        pytest.param([3.0, math.nan, 1.0], 0, -2, id="NaN beside the label"),
        pytest.param([math.nan] * 3, 0, -2, id="nothing but NaN"),
        pytest.param([-INF] * 3, 0, -2, id="no class is possible"),
    ],
)
def test_predictions_are_the_logits_maximum_and_never_right_by_accident(logits, label, predicted, tmp_path):
    table = pd.DataFrame({"index": [0], "label": [label], "target": [-1], "eps": [0.1], "attacked": [True]})
    table = table.assign(attack="fgsm", setting="clean", **dict.fromkeys(CARRIED, 0.0))
    victim, images = Fixed(torch.tensor([logits])), torch.zeros(1, 1, 1, 3)
    found = judged(victim, images, table, 8).iloc[0]
    assert found["prediction"] == predicted
    assert found["success"] == (predicted not in (label, -2))
    confidence = torch.tensor(logits).softmax(dim=0)[max(predicted, 0)].item()
    assert found["confidence"] == pytest.approx(confidence, nan_ok=True)
    # So does what training records of a victim, and what replayed images are taken for.
    write_tensors(tmp_path / "test.safetensors", {"images": images.byte(), "labels": torch.tensor([label])})
    assert predict(victim, tmp_path)["prediction"].tolist() == [predicted]
    assert _predictions(victim, images, 8).tolist() == [predicted]


def test_attacked_images_without_a_clean_row_are_refused(run):
    run.attack("fgsm", (0.2,))
    run.detector()
    table = read_table(Layout(run.results).evaluation("toy", "plain", "bid")["scores"])
    with pytest.raises(RivalryError, match="fgsm: has images that are not evaluated clean"):
        with_verdicts(table[(table["setting"] != "clean") | (table["index"] < 5)])


def test_left_over_files_are_ignored_and_rows_follow_the_plan(run):
    run.attack("b")
    run.attack("a")
    run.attack("stale")
    run.plan["attacks"].pop()
    assert run.tables()["scores"]["attack"].tolist() == ["b", "b", "a", "a"]


def test_numbers_do_not_depend_on_the_order_of_the_plan(run):
    run.victim("hard", wrong=(1, 2))
    for name in ("fgsm", "pgd", "deepfool"):
        run.attack(name, None if name == "deepfool" else (0.2, 0.4), stops=name != "fgsm")
        run.attack(name, None if name == "deepfool" else (0.2, 0.4), victim="hard", strength=0.4)
    one = run.tables()
    other = run.tables(folder="other", attacks=run.plan["attacks"][::-1])

    def ordered(table: pd.DataFrame) -> pd.DataFrame:
        return table.sort_values(["victim", "attack", "eps"]).reset_index(drop=True)

    pd.testing.assert_frame_equal(ordered(one["scores"]), ordered(other["scores"]))
    for _, first in one["comparisons"].iterrows():
        same = other["comparisons"]
        same = same[(same["kind"] == first["kind"]) & (same["victim"].fillna("") == (first["victim"] or ""))]
        if first["kind"] in ("attack", "budget"):
            mirror = same[(same["a"] == first["b"]) & (same["b"] == first["a"])].iloc[0]
            assert (mirror["low"], mirror["high"]) == pytest.approx((-first["high"], -first["low"]))
            assert mirror["holm_p"] == pytest.approx(first["holm_p"], nan_ok=True)
            assert mirror["verdict"] == first["verdict"]


def test_without_times_two_runs_give_the_same_bytes(run):
    run.attack()
    run.tables(times=False, folder="one")
    file = Layout(run.results).attack("toy", "plain", "fgsm")["scores"]
    write_table(file, read_table(file).assign(seconds=7.0))
    run.tables(times=False, folder="two")
    for name in ("scores.csv", "comparisons.csv", "transfers.csv", "reported.csv", "kept_apart.json"):
        assert (run.results / "one" / name).read_bytes() == (run.results / "two" / name).read_bytes()
    assert SCORES.read(run.results / "one/scores.csv")["seconds"].isna().all()


def test_a_run_without_attacks_has_empty_tables(run):
    tables = run.tables()
    assert list(tables["scores"].columns) == SCORES.columns
    assert tables["comparisons"].empty


def test_attacks_are_compared_at_their_largest_eps_image_by_image(run):
    run.attack("fgsm", (0.2, 0.4))
    run.attack("weak", (0.1, 0.2))
    found = row(run.tables()["comparisons"], kind="attack")
    assert (found["a"], found["b"]) == ("fgsm (eps 0.4)", "weak (eps 0.2)")
    assert (found["eps_a"], found["eps_b"], found["n_a"], found["n_b"]) == (0.4, 0.2, 8, 8)
    # fgsm turns all seven and image 7 is wrong anyway; weak turns the four easy ones.
    assert (found["error_a"], found["error_b"], found["difference"]) == (1, 5 / 8, 3 / 8)
    half = 1.96 * math.sqrt(5 / 8 * 3 / 8 / 8)
    assert (found["low"], found["high"]) == pytest.approx((3 / 8 - half, 3 / 8 + half))
    half = 1.96 * math.sqrt((5 / 10 - 0.09) / 10)
    assert (found["paired_low"], found["paired_high"]) == pytest.approx((0.3 - half, 0.3 + half))
    assert (found["discordant_a"], found["discordant_b"]) == (3, 0)
    assert not found["like_for_like"]
    assert math.isnan(found["mcnemar_p"])
    assert math.isnan(found["holm_p"])
    assert not found["significant"]
    assert found["verdict"] == "not tested: not like for like"
    assert found["note"] == "budgets differ: eps 0.4 (Linf) against eps 0.2 (Linf)"


def test_budgets_are_compared_where_both_attacks_succeed(run):
    run.attack("fgsm", (0.4,))
    run.attack("deepfool", None, stops=True)
    found = row(run.tables()["comparisons"], kind="budget")
    assert found["n_a"] == 7
    difference = math.sqrt(2) * (0.4 - 35 / 255 - 0.01)
    assert found["median_difference"] == pytest.approx(difference, rel=1e-5)
    assert found["low"] <= found["median_difference"] <= found["high"]
    assert math.isnan(found["wilcoxon_p"])
    assert found["verdict"] == "not tested: not like for like"
    assert found["note"].startswith("budgets differ: eps 0.4 (Linf) against minimal L2")


def test_victims_with_each_other_and_defenses_with_none(run):
    run.victim("hard", wrong=(0, 1, 7))
    run.attack("fgsm", (0.2,))
    run.attack("fgsm", (0.2,), victim="hard", strength=0.5)
    run.detector()
    table = run.tables()["comparisons"]
    hard = row(table, kind="victim")
    assert (hard["a"], hard["b"], hard["attack"]) == ("plain", "hard", "fgsm")
    assert (hard["victim_a"], hard["victim_b"], hard["attack_a"], hard["attack_b"]) == ("plain", "hard", "fgsm", "fgsm")
    assert (hard["error_a"], hard["error_b"], hard["discordant_a"]) == (5 / 8, 1 / 8, 4)
    blind = row(table, kind="defense", setting="oblivious")
    assert (blind["error_a"], blind["error_b"]) == (3 / 8, 5 / 8)  # images 0 and 7 are lost clean
    assert "without knowing" in blind["note"]
    adaptive = row(table, kind="defense", setting="adaptive")
    assert (adaptive["error_a"], adaptive["mcnemar_p"]) == (5 / 8, 1)
    clean = row(table, kind="clean", a="plain", b="hard")
    assert (clean["error_a"], clean["error_b"], clean["n_a"]) == (1 / 8, 3 / 8, 8)
    assert row(table, kind="clean", defense="bid")["error_a"] == 2 / 8


def test_two_holm_families_worst_cases_and_all_other_kinds(run):
    run.victim("hard", wrong=(0, 1, 7))
    run.victim("soft", wrong=(3,))
    for victim, strength in (("plain", 1.0), ("hard", 0.1), ("soft", 0.5)):
        run.attack("fgsm", (0.4,), victim=victim, strength=strength)
        run.attack("pgd", (0.4,), victim=victim, strength=strength)
    run.attack("deepfool", None, stops=True)
    table = run.tables()["comparisons"]
    assert {"attack", "budget", "victim", "clean", "worst case"} == set(table["kind"])
    worst = table["kind"] == "worst case"
    for name, part in (("primary", table[worst]), ("secondary", table[~worst])):
        family = table[table["family"] == name]
        assert len(family) > 2
        assert family.index.equals(part.index[part["like_for_like"]])
        p = family["mcnemar_p"].fillna(family["wilcoxon_p"])
        assert family["holm_p"].tolist() == pytest.approx(holm(p.tolist()))
        assert (family["significant"] == (family["holm_p"] < 0.05)).all()
        assert family.loc[~family["significant"], "verdict"].str.startswith("not distinguishable").all()
    rest = table[table["family"] == ""]
    assert len(rest)  # fgsm and deepfool have other budgets
    assert rest[["holm_p", "mcnemar_p", "wilcoxon_p"]].isna().all(axis=None)
    assert not rest["significant"].any()
    assert rest["verdict"].str.startswith("not tested").all()


def test_every_two_victims_are_compared(run):
    for name in ("hard", "soft"):
        run.victim(name, wrong=(1,))
    for name in ("plain", "hard", "soft"):
        run.attack("fgsm", (0.2, 0.4), victim=name)
    table = run.tables()["comparisons"]
    pairs = {("plain", "hard"), ("plain", "soft"), ("hard", "soft")}
    victims = table[table["kind"] == "victim"]
    assert sorted(zip(victims["a"], victims["b"], victims["eps_a"], strict=True)) == sorted(
        (a, b, eps) for a, b in pairs for eps in (0.2, 0.4)
    )
    assert set(zip(table[table["kind"] == "clean"]["a"], table[table["kind"] == "clean"]["b"], strict=True)) == pairs


def test_every_two_defenses_are_compared_in_the_same_setting(run):
    run.attack("fgsm", (0.2,))
    run.detector("one")
    run.detector("two")
    table = run.tables()["comparisons"]
    names = {setting: [f"plain behind {name}, {setting}" for name in ("one", "two")] for setting in SETTINGS[1:]}
    wanted = {(name, "plain") for both in names.values() for name in both} | {tuple(both) for both in names.values()}
    pairs = table[table["kind"] == "defense"]
    assert len(pairs) == len(wanted)
    assert set(zip(pairs["a"], pairs["b"], strict=True)) == wanted
    clean = table[table["kind"] == "clean"]
    assert set(zip(clean["a"], clean["b"], strict=True)) == {
        ("plain behind one", "plain"),
        ("plain behind two", "plain"),
        ("plain behind one", "plain behind two"),
    }


def test_attacks_whose_budget_nothing_measures_are_not_like_for_like(run):
    """A patch of 3 pixels and one of 12 have no eps, yet not the same budget; on two victims one patch has."""
    run.victim("hard", wrong=(0,))
    for victim in ("plain", "hard"):
        for name in ("small", "large"):
            run.attack(name, None, victim=victim, budget="fixed", norm="patch", parameters={"scale": 0.1})
    table = run.tables()["comparisons"].set_index("kind")
    assert not table.loc[["attack", "budget"], "like_for_like"].any()
    assert table.loc["victim", "like_for_like"].all()


def test_worst_cases_are_compared_image_by_image_under_what_was_aimed_at_both(run):
    run.victim("hard", wrong=(0,))
    run.attack("fgsm", (0.2,))
    run.attack("pgd", (0.2,), strength=0.8)
    run.attack("only_here", (0.2,), strength=2.0)
    run.attack("fgsm", (0.2,), victim="hard", strength=0.5)
    run.attack("pgd", (0.2,), victim="hard", strength=0.1)
    tables = run.tables()
    found = row(tables["comparisons"], kind="worst case")
    assert (found["victim_a"], found["victim_b"], found["norm"], found["eps_a"]) == ("plain", "hard", "inf", 0.2)
    # Under fgsm and pgd plain loses the four easy images and image 7; hard loses image 0, and holds the others.
    assert (found["error_a"], found["error_b"], found["n_a"]) == (5 / 8, 1 / 8, 8)
    assert (found["discordant_a"], found["discordant_b"]) == (4, 0)
    assert found["note"] == "under fgsm, pgd"
    assert found["family"] == "primary"


def test_worst_cases_of_other_attacks_are_not_like_for_like(run):
    run.victim("hard", wrong=(0,))
    for victim, names in (("plain", ("fgsm", "pgd")), ("hard", ("apgd", "square"))):
        for name in names:
            run.attack(name, (0.2,), victim=victim)
    found = row(run.tables()["comparisons"], kind="worst case")
    assert (found["verdict"], found["note"]) == ("not tested: not like for like", "no attack was aimed at both")
    assert math.isnan(found["holm_p"])


def says(found: pd.Series) -> str:
    """What a row of error rates may say, worked out from its numbers alone."""
    if math.isnan(found["holm_p"]):
        return "not tested"
    if found["holm_p"] >= 0.05 or found["error_a"] == found["error_b"]:
        return "not distinguishable"
    return str(found["a"] if found["error_a"] > found["error_b"] else found["b"])


def test_every_verdict_follows_from_the_numbers_of_its_row(run):
    run.victim("hard", wrong=(1, 2))
    for victim in ("plain", "hard"):
        run.attack("fgsm", (0.2, 0.4), victim=victim)
        run.attack("nothing", (0.4,), victim=victim, strength=0.0)
        run.attack("all", (0.4,), victim=victim, strength=9.0)
        run.attack("aimed", (0.4,), victim=victim, aim=2)
        run.attack("deepfool", None, victim=victim, stops=True)
    run.detector()
    table = run.tables()["comparisons"]
    rates = table[~table["kind"].isin(SIZED)]
    assert len(rates) > 20
    for _, found in rates.iterrows():
        said = found["verdict"]
        assert said.startswith(says(found)), said
        if "interval contains 0" in said:
            assert found["paired_low"] <= 0 <= found["paired_high"]
        if "interval excludes 0" in said:
            assert not found["paired_low"] <= 0 <= found["paired_high"]


def test_fewer_images_are_compared_on_the_shared_ones(run):
    run.attack("fgsm", (0.2,))
    run.attack("few", (0.2,), rows=torch.tensor([0, 4, 7]))
    found = row(run.tables()["comparisons"], kind="attack")
    assert (found["n_a"], found["error_a"], found["error_b"]) == (3, 2 / 3, 2 / 3)
    assert "on the 3 images both saw" in found["note"]


def test_what_makes_no_sense_is_kept_apart_with_a_reason(run):
    run.attack("fgsm", (0.2,), rows=torch.arange(4))
    run.attack("late", (0.2,), rows=torch.arange(4, 8))
    run.attack("aimed", (0.2,), aim=2)
    run.attack("stamp", None, aim=2, parameters={"poisoning": "badnets"}, sees="nothing")
    assert run.tables()["comparisons"].empty
    apart = {entry["what"]: entry["reason"] for entry in read_json(run.results / "tables/kept_apart.json")}
    assert "scored on its target" in apart["toy, plain: aimed apart from fgsm, late"]
    assert "trigger" in apart["toy, plain: stamp apart from fgsm, late, aimed"]
    assert "share no test image" in apart["toy, plain: fgsm apart from late"]


def test_targeted_comparisons_count_the_target(run):
    run.victim("hard", wrong=(7,))
    run.attack("aimed", (0.2,), aim=2)
    run.attack("aimed", (0.2,), aim=2, victim="hard", strength=0.5)
    found = row(run.tables()["comparisons"], kind="victim")
    # Six images are not of class 2; on plain the easy 0, 1, 3 become it.
    assert (found["n_a"], found["error_a"], found["error_b"]) == (6, 3 / 6, 0)


def test_reported_numbers_meet_matches_by_method_and_eps_not_by_name(tmp_path):
    run = Run(tmp_path, source="mnist")
    run.victim("anything")
    run.attack("some_name", (0.2, 0.3), victim="anything", method="fgsm", strength=0.8)
    table = run.tables()["reported"]
    found = row(table[table["where"] == "3.2.1, figure 15"], reported=0.299)
    assert found["what"] == "anything under some_name (eps 0.3)"
    assert (found["measured"], found["metric"]) == (3 / 8, "adversarial_accuracy")
    assert found["low"] < 3 / 8 < found["high"]
    assert bool(found["within"]) is True
    absent = row(table, reported=0.2881)
    assert math.isnan(absent["measured"])
    assert absent["note"].endswith("not in this configuration")
    assert (found["mark"], absent["mark"]) == ("agrees", "not measured")
    assert set(table["source"]) == {"S0", "S3", "S4"}
    clean = row(table[table["where"] == "2.5, figure 3"], metric="clean_accuracy")
    assert (clean["measured"], clean["what"]) == (7 / 8, "anything")


def test_other_data_sets_have_an_empty_reported_table(run):
    run.attack()
    table = run.tables()["reported"]
    assert table.empty
    assert list(table.columns)[:3] == ["source", "where", "dataset"]


def test_reported_entries_name_only_what_is_registered_and_those_that_wait_do_wait():
    file = Path(reported.__file__).with_name("reported.yaml")
    content = yaml.safe_load(file.read_text(encoding="utf-8"))
    assert [reported.unregistered(entry) for entry in content["numbers"] if reported.unregistered(entry)] == []
    assert [entry for entry in content["waiting"] if not reported.unregistered(entry)] == []


def test_a_number_that_waits_says_for_what(tmp_path, monkeypatch):
    waiting = {
        "source": "S0",
        "where": "somewhere",
        "dataset": "mnist",
        "victim": {"architecture": "capsules"},
        "metric": "clean_accuracy",
        "value": 0.5,
        "note": "printed twice",
    }
    monkeypatch.setattr(reported, "reported_numbers", lambda: [waiting])
    run = Run(tmp_path, source="mnist")
    run.victim("anything")
    run.attack("some_name", (0.3,), victim="anything", method="fgsm")
    table = run.tables()["reported"]
    assert list(table["note"]) == ["printed twice; there is no capsules here"]
    assert list(table["mark"]) == ["not comparable"]
    assert table["measured"].isna().all()


def test_what_the_documents_contradict_is_noted():
    """S0's figure 4: success and accuracy under attack share one hundred percent, and the printed ones do not."""
    rows = [entry for entry in reported_numbers() if (entry["source"], entry["where"]) == ("S0", "2.5, figure 4")]
    rates = [entry for entry in rows if entry["metric"] in ("success_rate", "adversarial_accuracy")]
    assert len(rates) == 18
    assert all("do not add up" in entry["note"] for entry in rates)
    course = [
        e for e in reported_numbers() if e["source"] == "S0" and e["where"].startswith(("3.2.1, figure", "3.3.1"))
    ]
    assert all("eps = 3" in e["note"] for e in course if e["attack"].get("eps") == 0.3)


REPORTED_ENTRY = {"source": "S9", "where": "table 1", "dataset": "mnist", "victim": {"method": "plain"}}


@pytest.mark.parametrize(
    ("entry", "mark", "measured"),
    [
        ({"metric": "clean_accuracy", "value": 0.9}, "agrees", 7 / 8),
        ({"metric": "clean_accuracy", "value": 0.2}, "differs", 7 / 8),
        ({"metric": "clean_accuracy", "value": 0.9, "not_comparable": "five classes"}, "not comparable", 7 / 8),
        ({"metric": "confidence", "value": 0.8}, "agrees", 0.8),
        ({"metric": "macro_recall", "value": 0.8}, "no interval", 8 / 9),
        # Of the four budgets, .01 turns none of eight images, .2 the four easy ones, .4 and .5 all but none.
        ({"metric": "rho_adv", "value": 9, "attack": {"method": "fgsm", "misclassified": 0.9}}, "differs", 0.4),
        ({"metric": "rho_adv", "value": 9, "attack": {"method": "fgsm", "misclassified": 0.6}}, "differs", 0.2),
        ({"metric": "confidence", "value": 0.75, "attack": {"method": "fgsm", "eps": 0.5}}, "agrees", 0.75),
        ({"metric": "rho_adv", "value": 0.1, "attack": {"method": "fgsm", "eps": 0.01}}, "not measured", math.nan),
        ({"metric": "rho_adv", "value": 0.1, "attack": {"method": "deepfool"}}, "not measured", math.nan),
    ],
)
def test_a_printed_number_is_marked_by_what_was_measured(tmp_path, monkeypatch, entry, mark, measured):
    monkeypatch.setattr(reported, "reported_numbers", lambda: [REPORTED_ENTRY | entry])
    run = Run(tmp_path, source="mnist")
    run.victim("anything")
    run.attack("some_name", (0.01, 0.2, 0.4, 0.5), victim="anything", method="fgsm")
    tables = run.tables()
    found = tables["reported"].iloc[0]
    if "misclassified" in entry.get("attack", {}):
        # rho_adv there is that of the score at the budget; the printed 9 is outside of any interval.
        measured = row(tables["scores"], eps=measured)["rho_adv"]
    assert found["mark"] == mark
    assert found["measured"] == pytest.approx(measured, nan_ok=True)
    within = None if pd.isna(found["within"]) else bool(found["within"])
    assert within == {"agrees": True, "differs": False}.get(mark)
    assert ("five classes" in found["note"]) == ("not_comparable" in entry)


def test_a_share_that_no_budget_reaches_is_not_measured(tmp_path, monkeypatch):
    entry = {"metric": "rho_adv", "value": 0.2, "attack": {"method": "fgsm", "misclassified": 0.9}}
    monkeypatch.setattr(reported, "reported_numbers", lambda: [REPORTED_ENTRY | entry])
    run = Run(tmp_path, source="mnist")
    run.victim("anything")
    run.attack("some_name", (0.01, 0.2), victim="anything", method="fgsm")
    found = run.tables()["reported"].iloc[0]
    assert (found["mark"], found["note"]) == ("not measured", "90 % are misclassified at none of the budgets")


def test_times_are_set_against_printed_ones_only_where_they_are_recorded(tmp_path, monkeypatch):
    entry = {"metric": "seconds", "value": 4, "attack": {"method": "fgsm", "eps": 0.2}, "not_comparable": "elsewhere"}
    monkeypatch.setattr(reported, "reported_numbers", lambda: [REPORTED_ENTRY | entry])
    run = Run(tmp_path, source="mnist")
    run.victim("anything")
    run.attack("some_name", (0.2,), victim="anything", method="fgsm")
    found = run.tables()["reported"].iloc[0]
    assert (found["mark"], found["measured"]) == ("not comparable", 0.5)
    found = run.tables(times=False)["reported"].iloc[0]
    assert (found["mark"], math.isnan(found["measured"])) == ("not measured", True)


def test_as_many_numbers_are_entered_as_the_documents_print():
    """S2: 3 and 3 accuracies, 2 with pcl, 10 of table 1. S3: 6, 8 x 6, 2 x 4. S4: 3, and 6 networks' 28 + 10."""
    counted = Counter(entry["source"] for entry in reported_numbers())
    assert {source: counted[source] for source in ("S2", "S3", "S4")} == {"S2": 18, "S3": 62, "S4": 41}
    distillation = [entry for entry in reported_numbers() if str(entry["where"]).startswith("2.4, figure")]
    # Of eight rows of four numbers each, the two without an attack are printed in both figures.
    assert len(distillation) == 8 * 4 - 4 * 2


def test_reported_entries_are_rates_or_sizes_of_known_columns():
    clean_only = {"clean_accuracy", "confidence", "macro_precision", "macro_recall"}
    for entry in reported_numbers():
        assert 0 <= entry["value"] <= (100 if entry["metric"] == "seconds" else 1), entry
        assert entry["dataset"] in {"mnist", "cifar10", "ilsvrc2012"}
        assert entry["metric"] in (SCORES.columns if "attack" in entry or "defense" in entry else clean_only), entry
    assert set(COUNTED) <= set(SCORES.columns)


def run_only(run: Run, check: Any) -> pd.DataFrame:
    """The rows of one check, for files that others cannot read."""
    evidence_ = evidence.Evidence(Layout(run.results), "toy", run.plan, torch.device("cpu"))
    return pd.DataFrame(check(evidence_))


def status(table: pd.DataFrame, name: str) -> list[str]:
    return table.loc[table["check"] == name, "status"].tolist()


def test_a_sound_run_passes_every_check(run, toy_victim):
    run.attack("noise", (0.2, 0.4), strength=0.1, sees="nothing")
    run.attack("fgsm", (0.2, 0.4))
    run.attack("pgd", (0.2, 0.4), stops=True)
    run.attack("aimed", (0.2, 0.4), aim=2)
    table = run.checks()
    assert table[table["status"] != "pass"].empty
    assert len(status(table, "iterative at least single-step")) == 2 * 1
    assert len(status(table, "white-box at least noise")) == 2 * 2
    assert len(status(table, "success grows with eps")) == 4


def tamper(run: Run, eps: float, pixel: tuple[int, int], change: float) -> None:
    file = Layout(run.results).attack("toy", "plain", "fgsm")["images"]
    tensors = read_tensors(file)
    tensors[f"images_eps_{eps:g}"][pixel[0], 0, 0, pixel[1]] += change
    write_tensors(file, tensors)


@pytest.mark.parametrize(
    ("pixel", "change", "check", "image"),
    [
        ((0, 2), 0.9, "images in [0,1]", "0"),
        ((4, 0), 0.25, "budget kept", "4"),
        ((7, 0), 0.01, "only attackable images touched", "7"),
        ((5, 2), -0.2, "predictions repeat", "5"),
    ],
)
def test_tampered_images_are_found(run, toy_victim, pixel, change, check, image):
    run.attack("fgsm", (0.2, 0.4))
    tamper(run, 0.2, pixel, change)
    table = run.checks()
    found = table[(table["check"] == check) & table["subject"].str.contains("eps 0.2")]
    assert found["status"].tolist() == ["fail"]
    assert found["images"].tolist() == [image]


def test_a_wrong_prediction_on_disk_is_found(run, toy_victim):
    run.attack("fgsm", (0.4,))
    file = Layout(run.results).attack("toy", "plain", "fgsm")["scores"]
    scores = read_table(file)
    scores.loc[2, "prediction"] = 2
    write_table(file, scores)
    table = run.checks()
    assert row(table, check="predictions repeat")["images"] == "2"
    assert row(table, check="scored on its goal")[["status", "images"]].tolist() == ["fail", "2"]


@pytest.mark.parametrize(
    ("pixel", "confidence", "status"), [(1.0, 0.9999, "pass"), (1.2, 0.9999, "fail"), (1.0, 0.9, "fail")]
)
def test_fooling_images_are_shown_to_the_victim_again(run, toy_victim, pixel, confidence, status):
    place = Layout(run.results).fooling("toy", "plain", "ascent")
    images = pixel * torch.eye(3).view(3, 1, 1, 3)
    write_tensors(place["images"], {"images": images})
    write_table(place["scores"], pd.DataFrame({"target": [0, 1, 2], "confidence": [0.9999, confidence, 0.9999]}))
    run.plan["fooling"].append(["toy", "plain", "ascent"])
    assert row(run.checks(), check="fooling images repeat", subject="ascent on plain")["status"] == status


def test_targeted_attacks_scored_by_mere_error_are_found(run, toy_victim):
    run.attack("aimed", (0.4,), aim=2)
    file = Layout(run.results).attack("toy", "plain", "aimed")["scores"]
    scores = read_table(file)
    scores["success"] = scores["prediction"] != scores["label"]
    write_table(file, scores)
    assert row(run.checks(), check="scored on its goal")[["status", "images"]].tolist() == ["fail", "7"]


def test_attacks_on_other_images_are_found(run, toy_victim):
    run.attack("fgsm", (0.4,), images_sha256="0" * 64)
    assert status(run.checks(), "same images") == ["fail"]


def test_different_denominators_are_said(run, toy_victim):
    run.attack("fgsm", (0.4,))
    run.attack("few", (0.4,), rows=torch.tensor([0, 4, 7]))
    found = row(run.checks(), check="same images")
    assert found[["status", "subject", "attack"]].tolist() == ["pass", "few on plain", "few"]
    assert "3 of the 8" in found["found"]


def test_attacks_on_as_many_other_images_fail_beside_a_smaller_set(run, toy_victim):
    run.attack("fgsm", (0.4,), rows=torch.tensor([0, 1, 2, 3]))
    run.attack("pgd", (0.4,), rows=torch.tensor([0, 1, 2, 3]))
    run.attack("other", (0.4,), rows=torch.tensor([1, 2, 3, 4]))
    run.attack("part", (0.4,), rows=torch.tensor([0, 1]))
    run.attack("foreign", (0.4,), rows=torch.tensor([0, 5]))
    found = run.checks().query("check == 'same images'").set_index("attack")
    assert found["status"].to_dict() == {"other": "fail", "part": "pass", "foreign": "fail"}
    assert found["images"].to_dict() == {"other": "4", "part": "", "foreign": "5"}


@pytest.mark.parametrize("images", [[0, 1, 2, 2], [3, 2, 1, 9], [3, 2, 1, 0]])
def test_an_attack_met_each_image_once_and_the_same_at_each_eps(run, toy_victim, images):
    run.attack("fgsm", (0.2, 0.4), rows=torch.arange(4))
    file = Layout(run.results).attack("toy", "plain", "fgsm")["scores"]
    scores = read_table(file)
    scores.loc[scores["eps"] == 0.2, "index"] = images
    write_table(file, scores)
    assert "fail" in status(run_only(run, same_images), "same images")


def test_a_softmax_victim_is_found(run, toy_victim):
    toy_victim(Toy(lambda logits: logits.softmax(dim=1)))
    table = run.checks()
    assert status(table, "logits") == ["fail"]
    assert status(table, "passes agree") == ["pass"]


def test_a_random_victim_is_found(run, toy_victim):
    toy_victim(Toy(lambda logits: logits + torch.rand_like(logits)))
    found = row(run.checks(), check="passes agree")
    assert found["status"] == "warn"
    assert "EOT" in found["found"]


def test_masked_broken_and_missing_gradients_are_found(run, toy_victim):
    toy_victim(Toy(lambda logits: 1000 * logits))
    assert status(run.checks(), "gradients") == ["warn"]
    toy_victim(Toy(lambda logits: logits + (logits - logits.detach()).sqrt()))
    assert status(run.checks(), "gradients") == ["fail"]
    toy_victim(Toy(lambda logits: logits.detach()))
    found = row(run.checks(), check="gradients")
    assert found["status"] == "warn"
    assert "BPDA" in found["found"]


def test_a_weak_iterative_attack_is_found(run, toy_victim):
    run.attack("fgsm", (0.2,))
    run.attack("pgd", (0.2,), stops=True, strength=0.5)
    found = row(run.checks(), check="iterative at least single-step")
    assert found[["status", "images"]].tolist() == ["fail", "0, 1, 2, 3"]


def test_an_attack_weaker_than_noise_is_found(run, toy_victim):
    run.attack("noise", (0.2,), sees="nothing")
    run.attack("fgsm", (0.2,), strength=0.5)
    assert status(run.checks(), "white-box at least noise") == ["fail"]


def test_a_black_box_attack_that_beats_gradients_is_found(run, toy_victim):
    run.attack("fgsm", (0.2,), strength=0.5)
    run.attack("square", (0.2,), sees="scores")
    found = row(run.checks(), check="black box at most white box")
    assert found[["status", "images"]].tolist() == ["fail", "0, 1, 2, 3"]
    run.attack("pgd", (0.2,))
    assert status(run.checks(), "black box at most white box") == ["pass"]


@pytest.mark.parametrize(("strength", "verdict"), [(0.99, "pass"), (0.5, "fail")])
def test_a_decision_attack_with_smaller_changes_than_gradients_need_is_found(run, toy_victim, strength, verdict):
    run.attack("deepfool", None)
    run.attack("hopskipjump", None, sees="decisions", strength=strength)
    run.attack("hopskipjump_inf", None, sees="decisions", strength=0.1, norm="inf")  # another norm, no rival
    found = run.checks().query("check == 'black box at most white box'")
    assert found["status"].tolist() == [verdict]
    assert found["images"].tolist() == ["" if verdict == "pass" else "0, 1, 2, 3, 4, 5, 6"]


@pytest.mark.parametrize(("strength", "verdict"), [(1.0, "pass"), (0.5, "warn")])
def test_an_attack_that_more_steps_make_stronger_is_found(run, toy_victim, strength, verdict):
    run.attack("pgd_short", (0.2,), method="pgd", parameters={"steps": 20, "norm": "inf"}, strength=strength)
    run.attack("pgd_long", (0.2,), method="pgd", parameters={"steps": 40, "norm": "inf"})
    run.attack("pgd_other", (0.2,), method="pgd", parameters={"steps": 80, "norm": 2}, norm="2")  # another norm
    found = run.checks().query("check == 'converged'")
    assert found["status"].tolist() == [verdict]
    assert found["images"].tolist() == ["" if verdict == "pass" else "0, 1, 2, 3"]


@pytest.mark.parametrize(("stops", "verdict"), [(True, "fail"), (False, "warn")])
def test_success_that_falls_with_eps_is_found(run, toy_victim, stops, verdict):
    run.attack("fgsm", (0.2, 0.4), stops=stops)
    file = Layout(run.results).attack("toy", "plain", "fgsm")["scores"]
    scores = read_table(file)
    scores.loc[scores["eps"] == 0.4, "success"] = False
    write_table(file, scores)
    found = row(run.checks(), check="success grows with eps")
    assert found[["status", "images"]].tolist() == [verdict, "0, 1, 2, 3"]


def test_adaptive_attacks_are_checked_on_the_defended_victim(run, toy_victim):
    run.attack("fgsm", (0.2, 0.4))
    run.detector()
    table = run.checks()
    assert "fgsm on plain+bid, eps 0.2" in set(table["subject"])
    assert row(table, check="logits", subject="plain+bid")["status"] == "pass"


def test_tables_are_recorded_in_manifests(run, toy_victim):
    run.attack()
    run.tables()
    run.checks()
    for stage, files in (("tabulate", 16), ("check", 1)):
        manifest = json.loads((run.results / f"tables/.{stage}.manifest.json").read_text())
        assert len(manifest["files"]) == files


@pytest.mark.parametrize(
    ("method", "architecture", "learned", "printed"),
    [
        ("binary_input_detector", "lenet5", "fgsm", {0.37, 0.0, 0.76}),
        ("binary_input_detector", "densenet", "fgsm", {1.0, 0.5}),
        ("feature_detector", None, "fgsm", {0.62, 0.0, 0.95}),
        ("feature_detector", None, "deepfool", set()),
        ("binary_input_detector", "lenet5", "i_fgsm", set()),
    ],
)
def test_printed_detectors_stand_beside_those_of_their_network_that_learned_the_same(
    method, architecture, learned, printed
):
    facts = {"method": method, "parameters": {"architecture": architecture}, "facts": {"attack": {"method": learned}}}
    entries = [one for one in reported.reported_numbers() if (one["source"], one["where"]) == ("S0", "2.2, table 2")]
    found = {
        one["value"]
        for one in entries
        if one["dataset"] == "cifar10" and "defense" in one and reported.fits(one["defense"], facts)
    }
    assert found == printed
