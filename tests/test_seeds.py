"""Training seeds: they belong to what is trained, and not to its name."""

from __future__ import annotations

import re
from copy import deepcopy
from pathlib import Path
from typing import Any

import pytest
import yaml

from rivalry.artifacts import read_tensors
from rivalry.config import Mistakes, load_config
from rivalry.config.trainings import seeds_of, training_seed
from rivalry.layout import Layout, Place, defended, parts, trained, training
from rivalry.plan import Plan
from rivalry.stages.prepare import prepare
from rivalry.stages.train import train

ROOT = Path(__file__).parent.parent
SMOKE = yaml.safe_load((ROOT / "config/smoke.yaml").read_text())


def renamed(content: dict[str, Any], old: str, new: str) -> dict[str, Any]:
    """The same configuration with an entry called otherwise, wherever it is named."""

    def told(value: Any) -> Any:
        if isinstance(value, dict):
            return {key: item if key in ("method", "source") else told(item) for key, item in value.items()}
        return [told(item) for item in value] if isinstance(value, list) else new if value == old else value

    return {
        section: {new if name == old else name: told(entry) for name, entry in entries.items()}
        if isinstance(entries, dict)
        else told(entries)
        for section, entries in content.items()
    }


def with_entry(section: str, name: str, **keys: object) -> dict[str, Any]:
    """The smoke configuration with other keys of an entry."""
    content = deepcopy(SMOKE)
    content[section].setdefault(name, {}).update(keys)
    return content


def seed_of(content: dict[str, Any], *entries: tuple[str, str], dataset: str = "digits") -> int:
    return training_seed(load_config(content), dataset, *entries)


@pytest.mark.parametrize(
    ("entries", "old"),
    [
        ([("victims", "distilled")], "distilled"),
        ([("victims", "distilled")], "teacher"),
        ([("victims", "backdoored")], "corner"),
        ([("poisonings", "corner")], "corner"),
        ([("victims", "plain"), ("defenses", "detector")], "detector"),
        ([("victims", "plain"), ("defenses", "detector")], "fgsm"),
        ([("victims", "plain"), ("defenses", "detector")], "plain"),
    ],
)
def test_a_name_changes_no_seed(entries: list[tuple[str, str]], old: str) -> None:
    content = renamed(SMOKE, old, "called_otherwise")
    content["victims"]["adversarial"]["attack"] = "fgsm"  # a method, no entry
    new = [(section, "called_otherwise" if name == old else name) for section, name in entries]
    assert seed_of(content, *new) == seed_of(SMOKE, *entries)


def test_a_data_set_s_name_changes_no_seed() -> None:
    content = renamed(SMOKE, "digits", "numbers")
    assert seed_of(content, ("victims", "plain"), dataset="numbers") == seed_of(SMOKE, ("victims", "plain"))


@pytest.mark.parametrize(
    ("section", "name", "keys"),
    [
        ("victims", "distilled", {"epochs": 5}),
        ("victims", "distilled", {"architecture_parameters": {"dropout": 0.1}, "architecture": "mlp"}),
        ("victims", "distilled", {"labels_from": "truth_where_wrong"}),
        ("victims", "teacher", {"epochs": 5}),
        ("datasets", "digits", {"train_images": 500}),
    ],
)
def test_what_is_trained_changes_the_seed(section: str, name: str, keys: dict[str, object]) -> None:
    victim = ("victims", "distilled")
    assert seed_of(with_entry(section, name, **keys), victim) != seed_of(SMOKE, victim)


@pytest.mark.parametrize(
    ("section", "name", "keys"),
    [
        ("victims", "plain", {"batch_size": 128, "optimizer": "adam"}),
        ("victims", "plain", {"per_dataset": {"digits": {"learning_rate": 0.001}}}),
        ("datasets", "digits", {"images": 50}),
    ],
)
def test_saying_a_default_and_what_is_measured_change_no_seed(section: str, name: str, keys: dict[str, object]) -> None:
    victim = ("victims", "plain")
    assert seed_of(with_entry(section, name, **keys), victim) == seed_of(SMOKE, victim)


def test_an_architecture_s_default_changes_no_seed() -> None:
    victim = ("victims", "knn")
    usual = with_entry("victims", "knn", architecture_parameters={"sample": 300, "temperature": 0.03})
    other = with_entry("victims", "knn", architecture_parameters={"sample": 300, "temperature": 0.04})
    assert seed_of(usual, victim) == seed_of(SMOKE, victim) != seed_of(other, victim)


def test_the_configuration_s_seed_changes_every_seed() -> None:
    for entry in (("victims", "plain"), ("poisonings", "corner")):
        assert seed_of(SMOKE | {"seed": 2}, entry) != seed_of(SMOKE, entry)


def test_entries_that_say_the_same_are_trained_alike(tmp_path: Path) -> None:
    """The name of a victim is in none of its weights."""
    prepare("digits", "digits", {}, tmp_path / "data", seed=1, mirror=None, train_images=200)
    content = with_entry("victims", "again", **SMOKE["victims"]["plain"])
    seeds = [seed_of(content, ("victims", name)) for name in ("plain", "again")]
    assert seeds[0] == seeds[1]
    for name, seed in zip(("plain", "again"), seeds, strict=True):
        train(name, "lenet5", {}, "plain", {}, {"epochs": 1}, tmp_path / "data", tmp_path / name, seed=seed)
    plain, again = (read_tensors(Place("train", tmp_path / name)["weights"]) for name in ("plain", "again"))
    assert all(plain[name].equal(again[name]) for name in plain)


# ---- which jobs there are ----


def planned(seeds: int, **keys: object) -> Plan:
    return Plan(load_config(SMOKE | {"seeds": seeds} | keys))


def commands(plan: Plan) -> dict[tuple[str, ...], str]:
    """The command line of every job up to the tables, by its stage and names."""
    return (
        {("train", *names): plan.train_options(*names) for names in plan.victims}
        | {("attack", *names): plan.attack_options(*names) for names in plan.attacks}
        | {("defend", *names): plan.defend_options(*names) for names in plan.evaluations}
        | {("evaluate", *names): plan.evaluate_options(*names) for names in plan.evaluations}
        | {("fool", *names): plan.fool_options(*names) for names in plan.foolings}
        | {("screen", *names): plan.screen_options(*names) for names in plan.screenings}
        | {("plant", *names): plan.plant_options(*names) for names in plan.plantings}
        | {("transfer", *names): plan.transfer_options(*names) for names in plan.transfers}
    )


def test_more_seeds_run_only_what_is_new_and_fewer_run_nothing() -> None:
    """All jobs of fewer seeds are among those of more, word for word; but a source that is trained once is shown to
    more victims."""
    once, thrice = commands(planned(1)), commands(planned(3))
    assert {names for names in once if thrice[names] != once[names]} == {("transfer", "digits", "linear")}
    assert all(any("@" in name for name in names) for names in thrice.keys() - once.keys())
    assert len([names for names in thrice if names[0] == "train"]) == 1 + 3 * 8


def test_a_name_tells_victim_and_seed() -> None:
    assert [training("plain", seed) for seed in (1, 2, 11)] == ["plain", "plain@2", "plain@11"]
    assert [trained(name) for name in ("plain", "plain@2", "plain@11")] == [("plain", 1), ("plain", 2), ("plain", 11)]
    assert parts(defended("plain@2", "median3")) == ("plain@2", "median3")
    assert Layout().victim("digits", "plain@2").folder == Path("results/victims/digits/plain@2")


def test_what_names_a_victim_names_the_training_of_the_same_seed() -> None:
    plan = planned(3, victims=SMOKE["victims"] | {"warm": SMOKE["victims"]["plain"] | {"warm_start": "plain"}})
    plan.victims.append(("digits", "warm@3"))
    assert 'teacher="results/victims/digits/teacher@2"' in plan.train_options("digits", "distilled@2")
    assert "--warm-start results/victims/digits/plain@3" in plan.train_options("digits", "warm@3")
    assert Path("results/victims/digits/teacher@2/victim.safetensors") in plan.train_inputs("digits", "distilled@2")
    assert plan.transfers["digits", "knn@2"]["victims"] == ["knn@2", "linear", "svm@2", "tree@2"]
    assert plan.transfers["digits", "linear"]["victims"][:4] == ["linear", "svm", "svm@2", "svm@3"]


@pytest.mark.parametrize(
    ("keys", "taught_by"),
    [
        ({}, ["teacher", "teacher@2", "teacher@3"]),
        ({"seeds": 1}, ["teacher", "teacher", "teacher"]),
        ({"seeds": 2}, ["teacher", "teacher@2", "teacher"]),
        ({"seeds": 5}, ["teacher", "teacher@2", "teacher@3"]),
    ],
)
def test_what_says_how_often_it_is_trained_is_trained_no_more_often_for_others(
    keys: dict[str, object], taught_by: list[str]
) -> None:
    content = with_entry("victims", "teacher", **keys)
    content["victims"]["distilled"]["seeds"] = 3
    plan = Plan(load_config(content))
    found = [re.findall(r'teacher="results/victims/digits/([\w@]+)"', plan.train_options("digits", name))[0]
             for name in ("distilled", "distilled@2", "distilled@3")]  # fmt: skip
    assert found == taught_by
    trained_there = {name for _, name in plan.victims if name.startswith("teacher")}
    assert trained_there == set(taught_by)


def test_every_training_has_a_seed_of_its_own_and_all_meet_the_same_attack() -> None:
    plan = planned(3)
    seeds = [re.findall(r"--seed (\d+)", plan.train_options(*names))[0] for names in plan.victims]
    assert len(set(seeds)) == len(seeds)
    attacks = [
        re.findall(r"--seed (\d+)", plan.attack_options("digits", name, "pgd"))[0] for name in ("plain", "plain@2")
    ]
    assert attacks[0] == attacks[1]


@pytest.mark.parametrize(
    ("victim", "keys", "times"),
    [
        ("plain", {}, 3),
        ("plain", {"seeds": 2}, 2),
        ("linear", {}, 1),
        ("knn", {}, 3),
        ("knn", {"architecture_parameters": {"sample": 5000}}, 1),  # as many as there are: nothing is drawn
        ("tree", {}, 3),
    ],
)
def test_what_leaves_nothing_to_chance_is_trained_once(victim: str, keys: dict[str, Any], times: int) -> None:
    content = with_entry("victims", victim, **keys) | {"seeds": 3}
    assert list(seeds_of(load_config(content), victim, "digits")) == list(range(1, times + 1))


def test_seeds_of_what_leaves_nothing_to_chance_are_refused() -> None:
    with pytest.raises(
        Mistakes, match=r"victims.linear.seeds: linear leaves nothing to chance here; leave this key out"
    ):
        load_config(with_entry("victims", "linear", seeds=2))
