"""Victims of other techniques, and what images crafted on one victim do to another.

Every victim here learned real handwritten digits, reduced to 1x8x8.
"""

from __future__ import annotations

from collections.abc import Callable
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
import yaml
from sklearn.datasets import load_digits
from sklearn.linear_model import LogisticRegression
from sklearn.multiclass import OneVsRestClassifier
from sklearn.neighbors import KNeighborsClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer
from sklearn.svm import SVC, LinearSVC
from sklearn.tree import DecisionTreeClassifier
from torch import Tensor

from rivalry import load_victim
from rivalry.artifacts import (
    read_json,
    read_table,
    read_tensors,
    write_json,
    write_manifest,
    write_tensors,
)
from rivalry.checks._evidence import Evidence
from rivalry.checks.strength import transfer as own_at_least
from rivalry.cli import main
from rivalry.config import Mistakes, load_config
from rivalry.data._splits import load_split
from rivalry.errors import RivalryError
from rivalry.figures._results import Results
from rivalry.figures.transfer import transfer as transfer_matrix
from rivalry.layout import Layout
from rivalry.plan import Plan
from rivalry.report.findings import _transferred
from rivalry.stages.attack import attack
from rivalry.stages.train import train
from rivalry.stages.transfer import transfer
from rivalry.statistics import wilson_interval
from rivalry.statistics.checked import CHECKED
from rivalry.statistics.columns import SPREADS, TRANSFERS, WORST_CASES
from rivalry.statistics.headlines import at_headline
from rivalry.statistics.transfers import transfer_rates

SEED = 5
N = 60
VICTIMS: dict[str, dict[str, Any]] = {
    "linear": {"l2": 100.0, "iterations": 100},
    "svm": {"kernel": "linear", "c": 1.0, "sample": 1000},
    "rbf": {"kernel": "rbf", "c": 1.0, "sample": 600},
    "tree": {"depth": 30, "leaf": 1},
    "knn": {"temperature": 0.03, "sample": 600},
}
ARCHITECTURES = {"rbf": "svm", "tree": "decision_tree"}


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A results folder with the data, the victims, and fgsm's images on those that have gradients."""
    results = tmp_path_factory.mktemp("transfer") / "results"
    digits = load_digits()
    images = torch.from_numpy((digits.images * 255 / 16).round()).to(torch.uint8)[:, None]
    labels = torch.from_numpy(digits.target).long()
    data = results / "data/digits"
    for name, rows in (("train", slice(0, 1400)), ("test", slice(1400, None))):
        write_tensors(data / f"{name}.safetensors", {"images": images[rows], "labels": labels[rows]})
    facts = {"dataset": "digits", "shape": [1, 8, 8], "classes": 10, "class_names": list("0123456789")}
    write_json(data / "dataset.json", facts | {"sha256": {"train": "a", "test": "b"}, "source": "digits"})
    place = Layout(results).data("digits")
    write_manifest(place, [place[role] for role in ("facts", "train", "test")])
    for name, parameters in VICTIMS.items():
        architecture = ARCHITECTURES.get(name, name)
        folder = results / "victims/digits" / name
        train(name, architecture, parameters, "scikit_learn", {}, {}, data, folder, seed=SEED, accelerator="cpu")
        craft(results, name, "fgsm", [0.0, 0.1, 0.3])
    return results


def craft(results: Path, victim: str, name: str, eps: list[float], **options: Any) -> Path:
    output = Layout(results).attack("digits", victim, name).folder
    attack(
        name,
        "fgsm",
        {"eps": eps},
        results / "data/digits",
        results / "victims/digits" / victim,
        output,
        victim_name=victim,
        images=N,
        data_seed=0,
        seed=1,
        **options,
    )
    return output


def replay(results: Path, source: str, victims: list[str], attacks: tuple[str, ...] = ("fgsm",)) -> pd.DataFrame:
    layout = Layout(results)
    place = layout.transfer("digits", source)
    sets = [layout.attack("digits", source, name).folder for name in attacks]
    transfer(results / "data/digits", sets, [results / "victims/digits" / name for name in victims], place.folder)
    return read_table(place["scores"])


def learned_from(results: Path, victim: str) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The normalised pixels and labels that a victim learned from, and the test split's pixels."""
    model = load_victim(results / "victims/digits" / victim)
    images, labels = split(results, "train")
    order = torch.randperm(len(labels), generator=torch.Generator().manual_seed(SEED))[: VICTIMS[victim].get("sample")]
    shown = images[order], split(results, "test")[0]
    pixels, test = (model.normalised(part).flatten(1).numpy() for part in shown)
    return pixels, labels[order].numpy(), test


def split(results: Path, name: str) -> tuple[Tensor, Tensor]:
    rows = load_split(results / "data/digits", name)
    return rows.floats(), rows.labels


# ---- victims ----

THEIRS: dict[str, Callable[[int], Any]] = {
    "linear": lambda d: LogisticRegression(C=0.01, max_iter=100),
    "svm": lambda d: make_pipeline(
        FunctionTransformer(lambda pixels: pixels / np.sqrt(d)), LinearSVC(C=1.0, random_state=SEED)
    ),
    "rbf": lambda d: OneVsRestClassifier(SVC(C=1.0, gamma="scale")),
    "tree": lambda d: DecisionTreeClassifier(random_state=SEED),
    "knn": lambda d: KNeighborsClassifier(600, algorithm="brute", weights=lambda far: np.exp(-(far**2) / 0.03 / d)),
}


@pytest.mark.parametrize("name", VICTIMS)
def test_a_saved_victim_predicts_what_scikit_learn_predicts(name: str, run: Path) -> None:
    pixels, labels, test = learned_from(run, name)
    expected = THEIRS[name](pixels.shape[1]).fit(pixels, labels).predict(test)
    images, truth = split(run, "test")
    with torch.no_grad():
        predictions = load_victim(run / "victims/digits" / name)(images).argmax(dim=1)
    assert (predictions.numpy() == expected).mean() > 0.997  # one image of 397 may lie on a boundary
    facts = read_json(run / "victims/digits" / name / "victim.json")
    assert float((predictions == truth).float().mean()) == pytest.approx(facts["clean_accuracy"])
    assert facts["clean_accuracy"] > (0.7 if name == "tree" else 0.85)
    assert facts["epochs_run"] is None


@pytest.mark.parametrize("name", ["linear", "svm", "rbf", "tree"])
def test_logits_are_scikit_learn_s_scores(name: str, run: Path) -> None:
    pixels, labels, test = learned_from(run, name)
    theirs = THEIRS[name](pixels.shape[1]).fit(pixels, labels)
    with torch.no_grad():
        logits = load_victim(run / "victims/digits" / name)(split(run, "test")[0])
    if name in ("linear", "tree"):
        np.testing.assert_allclose(logits.softmax(dim=1).numpy(), theirs.predict_proba(test), atol=2e-4)
    else:
        np.testing.assert_allclose(logits.numpy(), theirs.decision_function(test), atol=5e-3)


@pytest.mark.parametrize("name", ["linear", "svm", "rbf", "knn"])
def test_gradients_are_the_logits_slopes(name: str, run: Path) -> None:
    victim = load_victim(run / "victims/digits" / name).double()
    images = split(run, "test")[0][:2].double()
    assert torch.autograd.gradcheck(victim, images.requires_grad_(True), eps=1e-6, atol=1e-4)


def test_a_tree_has_a_gradient_of_zero(run: Path) -> None:
    victim, images = load_victim(run / "victims/digits/tree"), split(run, "test")[0]
    images.requires_grad_(True)
    (gradient,) = torch.autograd.grad(victim(images).logsumexp(dim=1).sum(), images)
    assert gradient.shape == images.shape
    assert not gradient.any()
    scores = read_table(Layout(run).attack("digits", "tree", "fgsm")["scores"])
    assert not scores["success"].any()
    assert scores.loc[scores["attacked"], "zero_gradient"].all()


def test_a_cold_vote_is_that_of_the_nearest_image(run: Path, tmp_path: Path) -> None:
    folder = tmp_path / "nearest"
    cold = {"temperature": 1e-4, "sample": 600}
    train("nearest", "knn", cold, "scikit_learn", {}, {}, run / "data/digits", folder, seed=SEED, accelerator="cpu")
    pixels, labels, test = learned_from(run, "knn")
    expected = KNeighborsClassifier(1).fit(pixels, labels).predict(test)
    with torch.no_grad():
        predictions = load_victim(folder)(split(run, "test")[0]).argmax(dim=1)
    assert (predictions.numpy() == expected).mean() > 0.997


def test_distances_are_held_a_part_at_a_time(run: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    # In double precision: how single precision rounds depends on the part's size and on the threads.
    victim, images = load_victim(run / "victims/digits/knn").double(), split(run, "test")[0][:50].double()
    with torch.no_grad():
        whole = victim(images)
        monkeypatch.setattr(import_module("rivalry.architectures.knn"), "MOST", 600 * 7)
        torch.testing.assert_close(victim(images), whole)


def test_two_classes_are_two_logits(tmp_path: Path) -> None:
    digits = load_digits(n_class=2)
    images = torch.from_numpy((digits.images * 255 / 16).round()).to(torch.uint8)[:, None]
    tensors = {"images": images, "labels": torch.from_numpy(digits.target).long()}
    for name in ("train", "test"):
        write_tensors(tmp_path / f"{name}.safetensors", tensors)
    facts = {"dataset": "two", "shape": [1, 8, 8], "classes": 2, "class_names": ["0", "1"], "sha256": {}}
    write_json(tmp_path / "dataset.json", facts)
    for name, parameters in VICTIMS.items():
        architecture = ARCHITECTURES.get(name, name)
        train(name, architecture, parameters, "scikit_learn", {}, {}, tmp_path, tmp_path / name, seed=SEED)
        with torch.no_grad():
            logits = load_victim(tmp_path / name)(images.float() / 255)
        assert logits.shape == (360, 2)
        assert float((logits.argmax(dim=1) == tensors["labels"]).float().mean()) > 0.99


def test_a_sample_without_some_class_is_told(run: Path, tmp_path: Path) -> None:
    few = {"temperature": 0.03, "sample": 5}
    with pytest.raises(RivalryError, match=r"5 training images hold only \d of 10 classes.*parameters.sample"):
        train("few", "knn", few, "scikit_learn", {}, {}, run / "data/digits", tmp_path / "few", seed=SEED)


def test_a_pair_that_does_not_fit_is_told_by_the_command(run: Path, tmp_path: Path, capsys: Any) -> None:
    words = ["train", "--victim", "x", "--architecture", "knn", "--method", "plain"]
    assert main([*words, "--data", str(run / "data/digits"), "--output", str(tmp_path / "x")]) == 1
    assert capsys.readouterr().err.startswith("rivalry: method: plain cannot train knn")


def test_weights_of_another_tree_are_no_mistake_but_those_of_other_classes_are(run: Path, tmp_path: Path) -> None:
    folder = tmp_path / "tree"
    folder.mkdir()
    for name in ("victim.json", "victim.safetensors"):
        (folder / name).write_bytes((run / "victims/digits/tree" / name).read_bytes())
    assert load_victim(folder)(torch.rand(3, 1, 8, 8)).shape == (3, 10)
    write_json(folder / "victim.json", read_json(folder / "victim.json") | {"classes": 4})
    with pytest.raises(RivalryError, match=r"victim.safetensors: does not fit its description"):
        load_victim(folder)


# ---- replaying ----


def test_on_its_source_a_set_does_what_the_attack_did(run: Path) -> None:
    for source in VICTIMS:
        scores = replay(run, source, [source])
        own = read_table(Layout(run).attack("digits", source, "fgsm")["scores"])
        assert (scores["success"].to_numpy() == own["success"].to_numpy()).all()
        assert (scores["prediction"].to_numpy() == own["prediction"].to_numpy()).all()
        assert (scores["clean_correct"].to_numpy() == own["clean_correct"].to_numpy()).all()


def test_images_without_noise_fool_nobody(run: Path) -> None:
    scores = replay(run, "linear", list(VICTIMS))
    assert set(scores["victim"]) == set(VICTIMS)
    unchanged = scores[scores["eps"] == 0]
    assert len(unchanged) == N * len(VICTIMS)
    assert not unchanged["success"].any()
    assert scores.loc[scores["eps"] == 0.3, "success"].mean() > 0.3


def test_a_replay_is_what_the_victim_says_of_the_stored_images(run: Path) -> None:
    scores = replay(run, "linear", ["tree", "rbf"])
    stored = read_tensors(Layout(run).attack("digits", "linear", "fgsm")["images"])
    truth = split(run, "test")[1][stored["index"]]
    for name in ("tree", "rbf"):
        with torch.no_grad():
            predicted = load_victim(run / "victims/digits" / name)(stored["images_eps_0.3"]).argmax(dim=1)
        rows = scores[(scores["victim"] == name) & (scores["eps"] == 0.3)]
        assert (rows["prediction"].to_numpy() == predicted.numpy()).all()
        wrong = (predicted != truth).numpy() & rows["attacked"].to_numpy() & rows["clean_correct"].to_numpy()
        assert (rows["success"].to_numpy() == wrong).all()


def test_targeted_sets_must_hit_their_target_on_the_other_victim(run: Path) -> None:
    craft(run, "linear", "to_3", [0.3], target=3)
    scores = replay(run, "linear", ["linear", "rbf"], ("fgsm", "to_3"))
    aimed = scores[scores["attack"] == "to_3"]
    assert (aimed.loc[aimed["success"], "prediction"] == 3).all()
    assert not aimed.loc[aimed["label"] == 3, "success"].any()
    assert aimed["success"].any()
    elsewhere = aimed["attacked"] & aimed["clean_correct"] & ~aimed["prediction"].isin([3])
    assert (elsewhere & (aimed["prediction"] != aimed["label"])).any()
    assert not aimed.loc[elsewhere, "success"].any()


def test_sets_of_several_sources_are_refused(run: Path, tmp_path: Path) -> None:
    sets = [Layout(run).attack("digits", name, "fgsm").folder for name in ("linear", "rbf")]
    with pytest.raises(RivalryError, match=r"made on several victims \(linear, rbf\)"):
        transfer(run / "data/digits", sets, [run / "victims/digits/linear"], tmp_path)


def test_the_table_counts_images_that_both_have_right(run: Path) -> None:
    replay(run, "linear", list(VICTIMS))
    replay(run, "rbf", ["rbf", "linear"])
    plan = {"transfers": [["digits", "rbf"], ["digits", "linear"]]}
    table = transfer_rates(Layout(run), plan, 0.95)
    assert list(table.columns) == TRANSFERS.columns
    assert len(table) == 3 * (2 + len(VICTIMS))
    assert table["eps"].is_monotonic_increasing
    right = {name: read_table(run / "victims/digits" / name / "predictions.parquet") for name in VICTIMS}
    right = {name: (rows["label"] == rows["prediction"]).to_numpy() for name, rows in right.items()}
    index = read_table(Layout(run).attack("digits", "linear", "fgsm")["scores"])["index"].unique()
    for row in table[table["eps"] == 0.3].to_dict("records"):
        assert row["n"] == (right[row["source"]] & right[row["victim"]])[index].sum()
        fooled = round(row["transfer_rate"] * row["n"])
        assert (row["low"], row["high"]) == pytest.approx(wilson_interval(fooled, row["n"]))
        assert row["n_fooling"] <= row["n"]
    itself = table[(table["source"] == table["victim"]) & (table["eps"] > 0)]
    assert (itself["rate_fooling"] == 1).all()


def test_no_transfers_give_an_empty_table(run: Path) -> None:
    table = transfer_rates(Layout(run), {"transfers": []}, 0.95)
    assert list(table.columns) == TRANSFERS.columns
    assert table.empty


# ---- what the report makes of it ----


def against(run: Path, victim: str, source: str) -> Evidence:
    """A run of fgsm on a victim, with the sets of a source replayed on it."""
    plan = {"attacks": [["digits", victim, "fgsm"]], "transfers": [["digits", source]], "evaluations": []}
    return Evidence(Layout(run), "digits", plan, torch.device("cpu"))


def test_a_replay_that_beats_the_victim_s_own_set_is_told(run: Path) -> None:
    replay(run, "linear", list(VICTIMS))
    assert list(own_at_least(against(run, "linear", "linear"))) == []  # only other sources count
    (row,) = [row for row in own_at_least(against(run, "tree", "linear")) if row["subject"].endswith("0.3")]
    assert row["check"] == "white-box at least transfer"
    assert row["status"] == "warn"  # a tree's own gradients are zero, and fgsm is a single step
    assert "that of linear on" in row["found"]
    assert row["images"]
    assert (row["victim"], row["defense"], row["attack"], row["eps"]) == ("tree", "none", "fgsm", 0.3)
    many = against(run, "tree", "linear")
    many.crafted[0].scores["iterations"] = 10
    assert [row["status"] for row in own_at_least(many)] == ["pass", "fail", "fail"]


def test_a_victim_s_own_set_that_is_strongest_passes(run: Path) -> None:
    replay(run, "rbf", ["rbf", "linear"])
    rows = list(own_at_least(against(run, "linear", "rbf")))
    assert [row["status"] for row in rows] == ["pass"] * 3


def test_a_replay_without_an_attacked_image_is_no_pass(run: Path) -> None:
    replay(run, "rbf", ["rbf", "linear"])
    nothing = against(run, "linear", "rbf")
    nothing.crafted[0].scores["attacked"] = False
    assert [row["status"] for row in own_at_least(nothing)] == ["warn"] * 3


def test_the_headline_is_one_budget_per_attack() -> None:
    def rows(attack: str, *budgets: float | None) -> list[dict[str, Any]]:
        return [{"attack": attack, "norm": "inf", "eps": eps} for eps in budgets]

    replayed = [*rows("fgsm", 0.1, 0.2, 0.3), *rows("pgd", 0.2), *rows("big", 0.5), *rows("free", None)]
    cases = [{"norm": "inf", "eps": eps, "headline": eps == 0.25} for eps in (0.1, 0.25, None)]
    shown = at_headline(replayed, cases)
    assert [(row["attack"], row["eps"]) for row in shown] == [("fgsm", 0.2), ("pgd", 0.2), ("big", 0.5), ("free", None)]
    shown = at_headline(replayed, [])
    assert [(row["attack"], row["eps"]) for row in shown] == [("fgsm", 0.3), ("pgd", 0.2), ("big", 0.5), ("free", None)]


def test_the_finding_names_both_ends_and_leaves_out_noise_and_sources() -> None:
    def row(attack: str, source: str, victim: str, rate: float) -> dict[str, Any]:
        ends = dict(zip(("low", "high"), wilson_interval(round(100 * rate), 100), strict=True))
        about = {"dataset": "digits", "attack": attack, "norm": "inf", "eps": 0.2, "goal": "untargeted", "n": 100}
        fooling = {"n_fooling": 0, "rate_fooling": None} if rate < 0.1 else {"n_fooling": 50, "rate_fooling": 0.9}
        return about | {"source": source, "victim": victim, "transfer_rate": rate} | ends | fooling

    rows = [row("fgsm", "a", "a", 1.0), row("fgsm", "a", "b", 0.7), row("fgsm", "b", "a", 0.02)]
    sees = [{"attack": "fgsm", "sees": "gradients"}, {"attack": "noise", "sees": "nothing"}]
    part = {"attacks": sees, "checks": [], "worst_cases": []}
    (finding,) = _transferred(part | {"transfers": [*rows, row("noise", "a", "b", 0.9)]})
    assert finding[:3] == ("Transfer of fgsm", "transfers", "neutral")
    assert "crafted on a fool b in 70.0 % [60.4–78.1] and 90.0 % of 50" in finding[3]
    assert "crafted on b fool a in 2.0 % [0.6–7.0] and – of 0" in finding[3]
    (finding,) = _transferred(part | {"transfers": rows[2:]})
    assert (finding.verdict, finding.tone) == ("little transfer shown", "neutral")


def test_the_matrix_says_what_the_table_says(run: Path) -> None:
    replay(run, "linear", list(VICTIMS))
    plan: dict[str, list] = {
        "victims": [["digits", name] for name in VICTIMS],
        "transfers": [["digits", "linear"]],
    }
    table = transfer_rates(Layout(run), plan, 0.95)
    TRANSFERS.write(run / "tables/transfers.csv", table)
    WORST_CASES.write(run / "tables/worst_cases.csv", [])
    CHECKED.write(run / "tables/checks.csv", [])
    SPREADS.write(run / "tables/spreads.csv", [])
    (drawn,) = transfer_matrix(Results(run, "digits", plan))
    for row in table[table["eps"] == 0.3].to_dict("records"):
        assert f"{row['victim']} {100 * row['transfer_rate']:.1f} %" in drawn.alt
    texts = [text.get_text() for text in drawn.figure.axes[0].texts]
    assert len(texts) == len(VICTIMS)
    assert [text.get_text() for text in drawn.figure.axes[0].get_xticklabels()] == list(VICTIMS)


# ---- configuration ----

GOOD = """
datasets:
  digits: {source: digits, images: 50}
  shapes: {source: shapes}
poisonings:
  corner: {method: backdoor, target: 3}
victims:
  plain: {method: plain, architecture: lenet5}
  tree: {method: scikit_learn, architecture: decision_tree}
  knn: {method: scikit_learn, architecture: knn, architecture_parameters: {sample: 500}}
  poisoned: {method: scikit_learn, architecture: svm, poisoning: corner}
attacks:
  noise: {method: random_noise, eps: 0.3}
  fgsm: {method: fgsm, eps: 0.3}
  trigger: {method: backdoor_trigger, poisoning: corner}
defenses:
  cleanse: {method: neural_cleanse}
matches:
  - {datasets: [digits], victims: [plain], attacks: [noise]}
  - {datasets: [digits], victims: [poisoned], attacks: [trigger]}
transfers:
  - {datasets: [digits], sources: [tree, plain], victims: [knn], attacks: [fgsm, noise]}
  - {datasets: [digits], sources: [plain], victims: [tree, knn], attacks: [fgsm]}
"""

WRONG: list[tuple[list[Any], Any, str]] = [
    (
        ["victims", "knn", "method"],
        "plain",
        "victims.knn.architecture: plain cannot train knn; use method scikit_learn",
    ),
    (
        ["victims", "plain", "method"],
        "scikit_learn",
        "victims.plain.architecture: scikit_learn cannot train lenet5; it trains decision_tree, knn, linear, svm",
    ),
    (
        ["victims", "svm"],
        {"method": "adversarial_training", "architecture": "svm"},
        "victims.svm.architecture: adversarial_training cannot train svm; use method scikit_learn",
    ),
    (["victims", "tree", "epochs"], 5, "victims.tree.epochs: scikit_learn trains without epochs; leave this key out"),
    (
        ["victims", "tree", "per_dataset"],
        {"shapes": {"patience": 2}},
        "victims.tree.per_dataset.shapes.patience: scikit_learn trains without epochs",
    ),
    (
        ["victims", "knn", "architecture_parameters"],
        {"neighbours": 3},
        "victims.knn.architecture_parameters.neighbours: unknown key of knn; valid: temperature, sample",
    ),
    (["transfers", 0, "sources"], ["tre"], "transfers[0].sources: 'tre' is not defined; did you mean 'tree'?"),
    (["transfers", 0, "victims"], ["knn", "knn"], "transfers[0].victims: 'knn' is listed twice"),
    (["transfers", 1, "attacks"], [], "transfers[1].attacks: [] is wrong: list should have at least 1 item"),
    (["transfers", 1, "source"], ["tree"], "transfers[1].source: unknown key; did you mean 'sources'?"),
    (["transfers", 0], {"datasets": ["digits"]}, "transfers[0].sources: is missing; names from `victims`"),
    (["transfers", 0], "all", "transfers[0]: 'all' is wrong: should be a valid dictionary"),
    (
        ["matches", 1, "defenses"],
        ["cleanse"],
        "matches[1].defenses: 'cleanse' retrains its victim in epochs, which scikit_learn does not",
    ),
]


@pytest.mark.parametrize(("path", "value", "line"), WRONG, ids=[".".join(map(str, path)) for path, _, _ in WRONG])
def test_every_mistake_is_one_line(path: list[Any], value: Any, line: str) -> None:
    content = yaml.safe_load(GOOD)
    place = content
    for key in path[:-1]:
        place = place[key]
    place[path[-1]] = value
    with pytest.raises(Mistakes) as caught:
        load_config(content, "my.yaml")
    assert any(found.startswith(f"my.yaml: {line}") for found in caught.value.lines), caught.value.lines


def test_a_plan_joins_sources_and_keeps_blind_ones_apart() -> None:
    plan = Plan(load_config(yaml.safe_load(GOOD)))
    assert plan.transfers == {
        ("digits", "tree"): {"attacks": ["noise"], "victims": ["tree", "knn"]},
        ("digits", "plain"): {"attacks": ["fgsm", "noise"], "victims": ["plain", "knn", "tree"]},
    }
    assert ("digits", "plain", "fgsm") in plan.attacks
    assert ("digits", "tree", "fgsm") not in plan.attacks
    assert {("digits", "knn"), ("digits", "tree")} <= set(plan.victims)
    assert plan.kept_apart == [
        {
            "what": "digits: fgsm on tree, to be replayed",
            "reason": "fgsm follows gradients, and those of a decision tree are zero",
        }
    ]
    assert "--fit" not in plan.train_options("digits", "knn")
    assert "--victims results/victims/digits/plain" in plan.transfer_options("digits", "plain")


def test_a_configuration_without_transfers_plans_none() -> None:
    content = {key: value for key, value in yaml.safe_load(GOOD).items() if key != "transfers"}
    assert Plan(load_config(content)).transfers == {}


def test_a_transfer_s_code_is_that_of_its_victims_too() -> None:
    plan = Plan(load_config(yaml.safe_load(GOOD)))
    assert plan.modules("transfer", "digits", "plain") == [
        "rivalry.stages.transfer",
        "rivalry.architectures.lenet5",
        "rivalry.architectures.knn",
        "rivalry.architectures.decision_tree",
    ]
