"""Victims that learn from other victims or from an attack: what the plan waits for, and what is refused."""

from __future__ import annotations

import re
from typing import Any

import pytest
import yaml

from rivalry.config import Mistakes, load_config
from rivalry.plan import Plan

SOURCES = """
datasets: {digits: {source: digits, images: 50}}
victims:
  plain: {method: plain, architecture: lenet5}
  mlp: {method: plain, architecture: mlp512}
  ensemble: {method: ensemble_adversarial_training, architecture: lenet5, sources: [plain, mlp]}
  tuned: {method: adversarial_fine_tuning, architecture: lenet5, warm_start: plain, attack: pgd}
attacks:
  pgd: {method: pgd, eps: [0.1, 0.3], images: 20}
  patch: {method: adversarial_patch, target: 0}
matches: [{datasets: [digits], victims: [ensemble, tuned], attacks: [patch]}]
"""


def planned(text: str = SOURCES, **keys: Any) -> Plan:
    return Plan(load_config(yaml.safe_load(text) | keys, "c.yaml"))


def test_a_victim_that_names_several_waits_for_the_training_of_its_own_seed_of_each() -> None:
    plan = planned(seeds=2)
    for victim, others in (("ensemble", ("plain", "mlp")), ("ensemble@2", ("plain@2", "mlp@2"))):
        options, inputs = plan.train_options("digits", victim), plan.train_inputs("digits", victim)
        for other in others:
            assert ("digits", other) in plan.victims
            place = plan.layout.victim("digits", other)
            assert f'"{place.folder}"' in options
            assert {*place.files} <= {*inputs}


def test_an_attack_to_learn_from_is_told_in_full_and_its_code_counts() -> None:
    plan = planned()
    assert '"method": "pgd"' in plan.train_options("digits", "tuned")
    assert '"eps": [0.1, 0.3]' in plan.train_options("digits", "tuned")
    assert "rivalry.attacks.pgd" in plan.modules("train", "digits", "tuned")
    assert plan.unused() == []


def test_the_seed_of_an_ensemble_follows_from_all_of_its_sources() -> None:
    seeds = set()
    for sources in ("[plain, mlp]", "[mlp, plain]", "[plain]"):
        options = planned(SOURCES.replace("[plain, mlp]", sources)).train_options("digits", "ensemble")
        seeds |= {*re.findall(r"--seed (\d+)", options)}
    assert len(seeds) == 3


@pytest.mark.parametrize(
    ("old", "new", "line"),
    [
        ("[plain, mlp]", "[plain, nobody]", "victims.ensemble.sources: 'nobody' is not in victims; "),
        ("[plain, mlp]", "[mlp, mlp]", "victims.ensemble.sources: 'mlp' is listed twice"),
        ("[plain, mlp]", "[]", "victims.ensemble.sources: "),
        ("[plain, mlp]", "[ensemble]", "victims.ensemble.sources: goes in a circle: ensemble -> ensemble; "),
        (
            "{method: plain, architecture: mlp512}",
            "{method: scikit_learn, architecture: decision_tree}",
            "victims.ensemble.sources: 'mlp' has no gradients to attack it by; leave it out",
        ),
        (
            "warm_start: plain, ",
            "",
            "victims.tuned.warm_start: is missing; adversarial_fine_tuning goes on with a trained victim",
        ),
        (
            "attack: pgd}",
            "attack: patch}",
            "victims.tuned.attack: 'patch' cannot make examples to learn from; use an untargeted attack that makes",
        ),
    ],
)
def test_victims_that_learn_from_others_and_cannot(old: str, new: str, line: str) -> None:
    assert old in SOURCES
    with pytest.raises(Mistakes) as raised:
        planned(SOURCES.replace(old, new))
    assert any(one.startswith(f"c.yaml: {line}") for one in raised.value.lines), raised.value.lines
