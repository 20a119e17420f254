"""Published numbers on real MNIST, read from a finished run of config/course.yaml.

snakemake --cores 2 --configfile config/course.yaml
RIVALRY_RESULTS=results make test PYTEST='-m slow tests/test_published.py'
"""

from __future__ import annotations

import os
from pathlib import Path

import pandas as pd
import pytest

from rivalry.artifacts import read_json, read_table
from rivalry.statistics.columns import SCORES, TRANSFERS

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def results() -> Path:
    if "RIVALRY_RESULTS" not in os.environ:
        pytest.skip("RIVALRY_RESULTS names no results of config/course.yaml")
    return Path(os.environ["RIVALRY_RESULTS"])


@pytest.fixture(scope="module")
def scores(results: Path) -> pd.DataFrame:
    table = SCORES.read(results / "tables/scores.csv")
    return table[table["dataset"] == "mnist"]


def one(scores: pd.DataFrame, **where: object) -> pd.Series:
    """The single row in which every column has the given value."""
    rows = scores
    for column, value in ({"setting": "undefended"} | where).items():
        rows = rows[rows[column] == value]
    assert len(rows) == 1, f"{len(rows)} rows with {where}"
    return rows.iloc[0]


def clean_accuracy(results: Path, victim: str) -> float:
    return read_json(results / "victims/mnist" / victim / "victim.json")["clean_accuracy"]


def per_image(results: Path, victim: str, attack: str, eps: float | None = None) -> pd.DataFrame:
    table = read_table(results / "attacks/mnist" / victim / attack / "scores.parquet").set_index("index")
    return table if eps is None else table[table["eps"] == eps]


def test_a_small_convolutional_network_reads_mnist(results: Path) -> None:
    assert clean_accuracy(results, "plain") >= 0.989


def test_fgsm_leaves_less_than_half_and_pgd_nothing(scores: pd.DataFrame) -> None:
    assert one(scores, victim="plain", attack="fgsm", eps=0.3)["adversarial_accuracy"] < 0.5
    assert one(scores, victim="plain", attack="pgd", eps=0.3)["adversarial_accuracy"] == 0
    assert one(scores, victim="plain", attack="noise", eps=0.3)["adversarial_accuracy"] > 0.9


def test_i_fgsm_loses_no_image_to_fgsm_and_changes_less(results: Path) -> None:
    single, small = per_image(results, "plain", "fgsm", 0.3), per_image(results, "plain", "i_fgsm", 0.3)
    assert (small["success"] | ~single["success"]).all()
    both = single["success"] & small["success"]
    assert small.loc[both, "l2"].mean() < single.loc[both, "l2"].mean()


def test_deepfool_finds_small_perturbations_of_every_image(scores: pd.DataFrame) -> None:
    row = one(scores, victim="plain", attack="deepfool")
    assert row["success_rate"] == 1
    assert 0.15 < row["rho_adv"] < 0.25  # published: 0.2 for LeNet
    assert row["rho_adv"] < 0.5 * one(scores, victim="plain", attack="fgsm", eps=0.3)["rho_adv"]


def test_targeted_single_steps_overshoot_and_small_steps_do_not(scores: pd.DataFrame) -> None:
    large, small = (
        [one(scores, victim="plain", attack=attack, eps=eps)["success_rate"] for eps in (0.1, 0.3, 0.5)]
        for attack in ("fgsm_targeted", "i_fgsm_targeted")
    )
    assert small == sorted(small)
    assert large[2] < large[1]
    assert small[2] > large[2]


def test_adversarial_training_withstands_pgd(scores: pd.DataFrame) -> None:
    assert one(scores, victim="adversarial", attack="pgd", eps=0.3)["adversarial_accuracy"] >= 0.85


def test_a_backdoor_works_and_is_unlearned(results: Path, scores: pd.DataFrame) -> None:
    planted = one(scores, victim="backdoored", attack="trigger")
    control = one(scores, victim="plain", attack="trigger")
    cleansed = one(scores, victim="backdoored", attack="trigger", defense="cleanse", setting="oblivious")
    assert planted["success_rate"] > 0.99
    assert control["success_rate"] < 0.01
    assert abs(clean_accuracy(results, "backdoored") - clean_accuracy(results, "plain")) <= 0.002
    assert cleansed["success_rate"] < 0.01
    assert planted["clean_accuracy"] - cleansed["clean_accuracy"] <= 0.03


def test_distillation_costs_little_and_is_broken(results: Path, scores: pd.DataFrame) -> None:
    assert clean_accuracy(results, "plain") - clean_accuracy(results, "distilled") <= 0.015
    assert one(scores, victim="distilled", attack="deepfool")["success_rate"] == 1


def test_carlini_and_wagner_fool_every_image_with_the_smallest_change(scores: pd.DataFrame) -> None:
    for victim in ("plain", "distilled", "adversarial"):
        assert one(scores, victim=victim, attack="cw")["success_rate"] == 1
    assert one(scores, victim="plain", attack="cw")["mean_l2"] <= 1.45
    assert one(scores, victim="plain", attack="cw_targeted")["success_rate"] == 1


def test_momentum_random_starts_and_the_strong_ensemble(scores: pd.DataFrame) -> None:
    left = {
        attack: one(scores, victim="plain", attack=attack, eps=0.3)["adversarial_accuracy"]
        for attack in ("fgsm", "rand_fgsm", "mi_fgsm", "bim", "apgd_ce", "apgd_dlr")
    }
    assert left["mi_fgsm"] < 0.01
    assert max(left["bim"], left["apgd_ce"], left["apgd_dlr"]) == 0
    robust = {
        attack: one(scores, victim="adversarial", attack=attack, eps=0.3)["adversarial_accuracy"]
        for attack in ("fgsm", "pgd", "apgd_ce", "apgd_dlr")
    }
    assert max(robust["apgd_ce"], robust["apgd_dlr"]) <= robust["pgd"] <= robust["fgsm"]


def test_saliency_maps_change_few_features(scores: pd.DataFrame) -> None:
    row = one(scores, victim="plain", attack="jsma")
    assert row["success_rate"] >= 0.97  # published: 97 % on LeNet, with 4 % of the features
    assert row["mean_l0"] < 0.05 * 784


def test_decisions_approach_what_gradients_find_as_queries_grow(results: Path, scores: pd.DataFrame) -> None:
    presets = ["hopskipjump_course", "hopskipjump_fast", "hopskipjump_recommended"]
    rows = [one(scores, victim="plain", attack=attack) for attack in presets]
    assert all(row["success_rate"] == 1 for row in rows)
    assert [row["queries"] for row in rows] == sorted(row["queries"] for row in rows)
    sizes = [row["median_l2"] for row in rows]
    assert sizes == sorted(sizes, reverse=True)
    floor = one(scores, victim="plain", attack="cw")["median_l2"]
    assert floor <= sizes[-1] < 1.15 * floor


def test_a_longer_first_step_needs_fewer(scores: pd.DataFrame) -> None:
    plain, dynamic = (one(scores, victim="plain", attack=name) for name in ("deepfool", "dynamic_deepfool"))
    assert dynamic["success_rate"] >= plain["success_rate"]
    assert dynamic["iterations"] < plain["iterations"]


def test_one_change_for_all_images_beats_noise_of_its_size(scores: pd.DataFrame) -> None:
    noise = one(scores, victim="plain", attack="noise", eps=0.3)["success_rate"]
    assert one(scores, victim="plain", attack="universal", eps=0.3)["success_rate"] > 2 * noise


def test_transfer_between_techniques(results: Path) -> None:
    table = TRANSFERS.read(results / "tables/transfers.csv")
    table = table[(table["dataset"] == "mnist") & (table["eps"] == 0.3)]
    rate = table.set_index(["attack", "source", "victim"])["transfer_rate"]
    assert rate["pgd", "linear", "svm"] > rate["pgd", "plain", "svm"]  # alike techniques
    assert rate["fgsm", "plain", "tree"] > rate["fgsm", "plain", "knn"]
    for source in ("plain", "linear"):
        assert rate["mi_fgsm", source, "svm"] >= rate["i_fgsm", source, "svm"]
