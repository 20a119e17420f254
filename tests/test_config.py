"""A wrong configuration is told in one line each: file, key path, what was given, what would be right."""

from __future__ import annotations

import copy
import inspect
import json
import re
import shlex
import shutil
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import torch
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from torch import nn

from rivalry import registry
from rivalry.artifacts import read_json
from rivalry.cli import main
from rivalry.config import (
    Mistakes,
    check_machine,
    contradictions,
    entry_models,
    json_schema,
    load_config,
    read_files,
    read_yaml,
)
from rivalry.describe import configuration_page
from rivalry.errors import RivalryError
from rivalry.plan import Plan
from rivalry.stages.prepare import prepare

ROOT = Path(__file__).parent.parent
NORMS = [("inf", "inf"), (float("inf"), "inf"), ("Linf", "inf"), ("L2", 2), (2, 2)]

SHIPPED = ["config.yaml", *(str(file.relative_to(ROOT)) for file in sorted(ROOT.glob("config/**/*.yaml")))]

GOOD = """
seed: 3
datasets:
  digits: {source: digits, images: 50}
  shapes: {source: shapes}
poisonings:
  corner: {method: backdoor, target: 3}
victims:
  plain: {method: plain, architecture: lenet5, per_dataset: {shapes: {epochs: 3}}}
  teacher: {method: plain, architecture: lenet5, temperature: 20.0}
  distilled: {method: defensive_distillation, architecture: lenet5, teacher: teacher, temperature: 20.0}
  backdoored: {method: plain, architecture: lenet5, poisoning: corner}
attacks:
  fgsm: {method: fgsm, eps: [0.1, 0.3], per_dataset: {shapes: {eps: 0.03}}}
  fgsm_to_3: {method: fgsm, eps: 0.3, target: 3}
  deepfool: {method: deepfool}
  trigger: {method: backdoor_trigger, poisoning: corner}
fooling:
  ascent: {method: gradient_ascent, prior: blur, confidence: 0.9}
defenses:
  median: {method: spatial_smoothing, kind: median}
  detector: {method: binary_input_detector, attack: fgsm}
  cleanse: {method: neural_cleanse}
matches:
  - {datasets: [digits, shapes], victims: [plain, distilled], attacks: [fgsm, deepfool], defenses: [median, detector]}
  - {datasets: [digits], victims: [backdoored], attacks: [trigger], defenses: [cleanse], fooling: [ascent]}
"""

BOMB = "".join(f"a{i}: &a{i} [{', '.join([f'*a{i - 1}'] * 10)}]\n" for i in range(1, 9))
"""A few lines that stand for a thousand million values."""

WRONG: list[tuple[str, Any, str]] = [
    # top level
    ("seed", "1e-3", "seed: '1e-3' is text to YAML; write 1.0e-3"),
    ("seed", -1, "seed: -1 is wrong: should be greater than or equal to 0"),
    ("seed", True, "seed: true is wrong: should be a valid integer"),
    ("confidence", 95, "confidence: 95 is wrong: should be less than 1"),
    ("sede", 3, "sede: unknown key; did you mean 'seed'?"),
    ("plugins", "mine.py", "plugins: 'mine.py' is no list; write [mine.py]"),
    ("title", ["a"], "title: ['a'] is wrong: should be a valid string"),
    ("accelerator", "cuda", "accelerator: 'cuda' is unknown; did you mean 'cpu'?"),
    ("batch_size", 0, "batch_size: 0 is wrong: should be greater than or equal to 1"),
    ("record_times", "yes", "record_times: 'yes' is wrong: should be a valid boolean"),
    ("threads", {"atack": 2}, "threads.atack: unknown key; did you mean 'attack'?"),
    ("data_mirror", "/nowhere/at/all", "data_mirror: '/nowhere/at/all' is no folder"),
    ("results", ".", "results: '.' holds the folder in which the run works; name a folder of its own"),
    ("results", "/", "results: '/' holds the folder in which the run works"),
    ("results", "a{b}", "results: 'a{b}' has a brace or a character that cannot be printed; name it otherwise"),
    ("results", "/dev/null", "results: '/dev/null' is a file; name a folder"),
    ("results", 3, "results: 3 is a number to YAML; write it in quotes"),
    ("prepared", "..", "prepared: '..' holds the folder in which the run works"),
    ("prepared", "results", "prepared: 'results' is also the folder of results; name another, or leave this key out"),
    ("datasets", {}, "datasets: a mapping is wrong: dictionary should have at least 1 item"),
    ("matches", [], "matches: [] is wrong: list should have at least 1 item"),
    ("victims", None, "victims: is empty; give a value, or leave this key out"),
    # data sets
    ("datasets.digits.source", "mnits", "datasets.digits.source: 'mnits' is unknown; did you mean 'mnist'?"),
    ("datasets.digits.images", "all", "datasets.digits.images: 'all' is wrong: should be a valid integer"),
    ("datasets.mine", {"source": "image_folder"}, "datasets.mine.path: is missing"),
    (
        "datasets.mine",
        {"source": "image_folder", "path": ".", "size": 10**9},
        "datasets.mine.size: 1000000000 is wrong",
    ),
    ("datasets.mine", {"source": "image_folder", "path": "no/such"}, "datasets.mine.path: 'no/such' does not exist"),
    ("datasets.my data", {"source": "digits"}, "datasets.my data: is no valid name; use letters"),
    ("datasets.../up", {"source": "digits"}, "datasets.../up: is no valid name"),
    ("datasets.Digits", {"source": "digits"}, "datasets.Digits: differs from another name only in case"),
    ("datasets.shapes.images", 5000, "datasets.shapes.images: 5000 is more than its 1000 test images"),
    ("attacks.deepfool.images", 60, "attacks.deepfool.images: 60 is more than datasets.digits.images, 50"),
    # victims
    ("victims.plain.method", "plane", "victims.plain.method: 'plane' is unknown; did you mean 'plain'?"),
    ("victims.plain", {"architecture": "lenet5"}, "victims.plain.method: is missing; one of "),
    ("victims.plain", {"method": "plain"}, "victims.plain.architecture: is missing; the network"),
    ("victims.plain.architecture", "lenet", "victims.plain.architecture: 'lenet' is unknown; did you mean 'lenet5'?"),
    ("victims.plain.epochs", 2.5, "victims.plain.epochs: 2.5 is wrong: should be a valid integer"),
    ("victims.plain.epocs", 2, "victims.plain.epocs: unknown key; did you mean 'epochs'?"),
    ("victims.plain.learning_rate", "1e-3", "victims.plain.learning_rate: '1e-3' is text to YAML; write 1.0e-3"),
    ("victims.plain.learning_rate", 0, "victims.plain.learning_rate: 0 is wrong: should be greater than 0"),
    ("victims.plain.learning_rate", float("nan"), "victims.plain.learning_rate: nan is wrong"),
    ("victims.plain.poisoning", "corners", "victims.plain.poisoning: 'corners' is not in poisonings; did you mean"),
    (
        "victims.plain.architecture_parameters",
        {"dropuot": 0.1},
        "victims.plain.architecture_parameters.dropuot: unknown key of lenet5",
    ),
    ("victims.distilled.teacher", "techer", "victims.distilled.teacher: 'techer' is not in victims; did you mean"),
    ("victims.distilled.teacher", "distilled", "victims.distilled.teacher: goes in a circle: distilled -> distilled"),
    ("victims.distilled.teacher", "plain", "victims.distilled.teacher: 'plain' is trained at temperature 1;"),
    ("victims.plain.per_dataset", {"shape": {}}, "victims.plain.per_dataset.shape: no such data set; did you mean"),
    (
        "victims.plain.per_dataset",
        {"shapes": {"epochs": "x"}},
        "victims.plain.per_dataset.shapes.epochs: 'x' is wrong: should be a valid integer",
    ),
    (
        "victims.plain.per_dataset",
        {"shapes": {"method": "adversarial_training"}},
        "victims.plain.per_dataset.shapes.method: cannot differ between data sets",
    ),
    # attacks
    (
        "attacks.fgsm.eps",
        8,
        "attacks.fgsm.eps: 8 is out of range; pixels lie in [0,1], so at most 1 (8/255 is 0.03137)",
    ),
    ("attacks.fgsm.eps", -0.1, "attacks.fgsm.eps[0]: -0.1 is wrong: should be greater than or equal to 0"),
    ("attacks.fgsm.eps", "1e-1", "attacks.fgsm.eps[0]: '1e-1' is text to YAML; write 1.0e-1"),
    ("attacks.fgsm.eps", [], "attacks.fgsm.eps: [] is wrong: value should have at least 1 item"),
    ("attacks.fgsm.eps", [0.1, 0.1], "attacks.fgsm.eps: [0.1, 0.1] names a budget twice"),
    ("attacks.fgsm.eps", 10**100, "attacks.fgsm.eps[0]: 1000000"),
    (
        "attacks.fgsm",
        {"method": "i_fgsm", "eps": [0.0314, 0.3], "eps_step": 0.005},
        "attacks.fgsm.eps_step: 10 steps of 0.005 reach no further than 0.05, and eps is 0.3; make them longer, or",
    ),
    (
        "attacks.fgsm",
        {"method": "pgd", "norm": 2, "eps": 5.0, "step_size": 0.1},
        "attacks.fgsm.step_size: 40 steps of 0.1 reach no further than 4, and eps is 5",
    ),
    ("attacks.fgsm", {"method": "bim", "step_size": 8}, "attacks.fgsm.step_size: 8 is out of range; pixels lie in"),
    ("attacks.fgsm", {"method": "one_pixel", "population": 1}, "attacks.fgsm.population: 1 is wrong"),
    ("attacks.fgsm", {"method": "jsma", "theta": 0}, "attacks.fgsm.theta: 0 is wrong: should not be 0"),
    ("attacks.fgsm.images", 10**9, "attacks.fgsm.images: 1000000000 is wrong: should be less than or equal to"),
    ("victims.plain.epochs", 10**100, "victims.plain.epochs: 100000"),
    ("victims.plain.batch_size", 10**9, "victims.plain.batch_size: 1000000000 is wrong"),
    ("threads", {"train": 10**6}, "threads.train: 1000000 is wrong: should be less than or equal to 1024"),
    ("fooling.ascent.step_size", 8, "fooling.ascent.step_size: 8 is wrong"),
    ("attacks.fgsm.epsilon", 0.1, "attacks.fgsm.epsilon: unknown key; did you mean 'eps'?"),
    ("attacks.fgsm.target", 10, "attacks.fgsm.target: 10 is no class of digits (digits); its classes are 0 to 9"),
    ("attacks.fgsm.target", "nearest", "attacks.fgsm.target: 'nearest' is unknown; did you mean 'next'?"),
    ("attacks.deepfool.target", 3, "attacks.deepfool.target: deepfool has no targeted form; leave this key out"),
    ("attacks.deepfool.norm", 1, "attacks.deepfool.norm: 1 is unknown; valid: 2, inf"),
    ("attacks.trigger.target", 3, "attacks.trigger.target: the trigger's target is its poisoning's"),
    ("attacks.trigger.poisoning", "x", "attacks.trigger.poisoning: 'x' is not in poisonings; valid: corner"),
    ("attacks.fgsm", "fgsm", "attacks.fgsm: 'fgsm' is wrong: should be a valid dictionary"),
    ("poisonings.corner.target", 12, "poisonings.corner.target: 12 is no class of digits"),
    ("poisonings.corner.fraction", 0, "poisonings.corner.fraction: 0 is wrong: should be greater than 0"),
    # how a victim is trained in epochs
    *(
        (f"victims.plain.per_dataset.shapes.{key}", value, f"victims.plain.per_dataset.shapes.{key}: {fault}")
        for key, value, fault in [
            ("momentum", 0.9, "adam has none; use optimizer sgd or rmsprop, or leave this key out"),
            ("nesterov", True, "adam has no such momentum; use optimizer sgd"),
            ("milestones", [1], "schedule constant has none; use schedule step, or leave this key out"),
            ("gamma", 0.5, "schedule constant has none; use schedule step, or leave this key out"),
            ("gamma", 1.0, "1.0 is wrong: should be less than 1"),
            ("choose_epoch_by", "robust_accuracy", "robust_accuracy needs a method that attacks; use accuracy or loss"),
            ("choose_epoch_by", "robust", "'robust' is unknown; did you mean 'robust_accuracy'?"),
            ("precision", "bf16", "'bf16' is unknown; did you mean 'bf16-mixed'?"),
            ("label_smoothing", 1, "1 is wrong: should be less than 1"),
            ("schedul", "step", "unknown key; did you mean 'schedule'?"),
            ("warm_start", "teach", "'teach' is not in victims; did you mean 'teacher'?"),
            ("warm_start", "plain", "goes in a circle: plain -> plain; one must be trained before the other"),
        ]
    ),
    (
        "victims.plain",
        {"method": "plain", "architecture": "cnn_mnist", "warm_start": "teacher"},
        "victims.plain.warm_start: 'teacher' is lenet5; its weights fit cnn_mnist only if it is one, too",
    ),
    (
        "victims.plain",
        {"method": "scikit_learn", "architecture": "linear", "warm_start": "teacher"},
        "victims.plain.warm_start: scikit_learn begins with no weights; leave this key out",
    ),
    *(
        (f"victims.plain{where}.augmentation", {key: value}, f"victims.plain{where}.augmentation.{key}: {fault}")
        for key, value, fault in [
            ("crp", 4, "unknown key; did you mean 'crop'?"),
            ("epochs", 4, "unknown key; valid: crop, flip, noise, cutout"),
            ("noise", 2, "2 is wrong: should be less than or equal to 1"),
            ("flip", 1, "1 is wrong: should be a valid boolean"),
            ("crop", -1, "-1 is wrong: should be greater than or equal to 0"),
        ]
        for where in ("", ".per_dataset.shapes")
    ),
    ("victims.plain.augmentation", "flip", "victims.plain.augmentation: 'flip' is wrong: should be a valid dictionary"),
    ("victims.plain.schedule", "step", "victims.plain.milestones: is missing; schedule step needs the epochs"),
    *(
        ("victims.plain.per_dataset.shapes", {"schedule": "step", "epochs": 9, "milestones": milestones}, fault)
        for milestones, fault in [
            ([9], "victims.plain.per_dataset.shapes.milestones: 9 is never reached; training has 9 epochs"),
            ([5, 5], "victims.plain.per_dataset.shapes.milestones: [5, 5] does not rise"),
            ([0], "victims.plain.per_dataset.shapes.milestones[0]: 0 is wrong"),
        ]
    ),
    (
        "victims.plain.per_dataset.shapes",
        {"schedule": "one_cycle", "epochs": 6, "patience": 5},
        "victims.plain.per_dataset.shapes.patience: would end schedule one_cycle early",
    ),
    (
        "victims.plain.per_dataset.shapes",
        {"optimizer": "sgd", "momentum": 0, "nesterov": True},
        "victims.plain.per_dataset.shapes.nesterov: needs a momentum above 0",
    ),
    (
        "victims.plain",
        {"method": "adversarial_training", "architecture": "lenet5", "precision": "16-mixed"},
        "victims.plain.precision: 16-mixed loses the small gradients that an attack follows; use bf16-mixed",
    ),
    # defenses
    ("defenses.median.kind", "mode", "defenses.median.kind: 'mode' is unknown"),
    ("defenses.median.window", 4, "defenses.median.window: 4 is unknown; valid: 3, 5, 7"),
    ("defenses.detector.attack", "fsgm", "defenses.detector.attack: 'fsgm' is not in attacks; did you mean 'fgsm'?"),
    ("defenses.detector.attack", ["fgsm", "fsgm"], "defenses.detector.attack: 'fsgm' is not in attacks; did you mean"),
    ("defenses.detector.attack", ["fgsm", "trigger"], "defenses.detector.attack: 'trigger' cannot make examples to"),
    ("defenses.detector.attack", [], "defenses.detector.attack: "),
    ("defenses.detector.attack", "trigger", "defenses.detector.attack: 'trigger' cannot make examples to learn from"),
    ("attacks.fgsm", {"method": "universal"}, "defenses.detector.attack: 'fgsm' cannot make examples to learn from"),
    ("attacks.fgsm", {"method": "one_pixel", "eps": 0.5}, "attacks.fgsm.eps: 0.5 is no whole number"),
    ("attacks.fgsm", {"method": "illc", "target": 3}, "attacks.fgsm.target: illc has a target of its own"),
    ("attacks.fgsm", {"method": "universal", "target": "next"}, "attacks.fgsm.target: universal has no targeted form"),
    (
        "attacks.fgsm",
        {"method": "adversarial_patch", "target": "next"},
        "attacks.fgsm.target: adversarial_patch makes one thing",
    ),
    # fooling
    ("fooling.ascent.prior", "blurr", "fooling.ascent.prior: 'blurr' is unknown; did you mean 'blur'?"),
    ("fooling.ascent.confidence", 99, "fooling.ascent.confidence: 99 is wrong: should be less than or equal to 1"),
    ("fooling.ascent.method", "map_elite_cppn", "fooling.ascent.method: 'map_elite_cppn' is unknown; did you mean"),
    # matches
    ("matches.0.fooling", ["ascnt"], "matches[0].fooling: 'ascnt' is not defined; did you mean 'ascent'?"),
    ("matches.1.fooling", ["ascent"] * 2, "matches[1].fooling: 'ascent' is listed twice"),
    ("matches.0.datasets", ["digit"], "matches[0].datasets: 'digit' is not defined; did you mean 'digits'?"),
    ("matches.0.datasets", [], "matches[0].datasets: [] is wrong: list should have at least 1 item"),
    ("matches.0.victims", ["plain", "plain"], "matches[0].victims: 'plain' is listed twice"),
    ("matches.0.attacks", ["fgsm", "cw"], "matches[0].attacks: 'cw' is not defined;"),
    ("attack_sets", {"fgsm": ["deepfool"]}, "attack_sets.fgsm: an attack is called so, too; give the set another name"),
    ("attack_sets", {"all": ["fsgm"]}, "attack_sets.all: 'fsgm' is not in attacks; did you mean 'fgsm'?"),
    ("attack_sets", {"all": []}, "attack_sets.all: [] is wrong: list should have at least 1 item"),
    ("matches.0.settings", ["adaptiv"], "matches[0].settings[0]: 'adaptiv' is unknown; did you mean 'adaptive'?"),
    ("matches.0.defences", [], "matches[0].defences: unknown key; did you mean 'defenses'?"),
    ("matches.0", "all", "matches[0]: 'all' is wrong: should be a valid dictionary"),
    # values that YAML reads as something else, values of several kinds, names that are pydantic's own
    ("title", 2020, "title: 2020 is a number to YAML; write it in quotes"),
    ("title", "a\ud800b", "title: 'a\\ud800b' holds half a character"),
    ("matches.0.victims", [False], "matches[0].victims[0]: false is a truth value to YAML; write it in quotes"),
    ("attacks.fgsm.target", 1.5, "attacks.fgsm.target: 1.5 is wrong: should be a valid integer"),
    ("attacks.fgsm.target", -1, "attacks.fgsm.target: -1 is wrong: should be greater than or equal to 0"),
    ("attacks.fgsm.eps", [0.001 * i for i in range(101)], "attacks.fgsm.eps: [0.0, 0.001, "),
    ("victims.int", {"method": "plain", "architecture": "lenet5", "epochs": "x"}, "victims.int.epochs: 'x' is wrong"),
    ("attacks.str", {"method": "fgsm", "eps": "x"}, "attacks.str.eps[0]: 'x' is wrong"),
    ("victims.plain.per_dataset", {"int": {}}, "victims.plain.per_dataset.int: no such data set"),
    (
        "victims.plain.per_dataset",
        {"shapes": 3},
        "victims.plain.per_dataset.shapes: 3 is wrong: should be a valid dict",
    ),
    (
        "victims.plain.per_dataset",
        {"shapes": {"per_dataset": {}}},
        "victims.plain.per_dataset.shapes.per_dataset: cannot",
    ),
    # what the data or the victim cannot give
    ("datasets.digits.images", 451, "datasets.digits.images: 451 is more than its 450 test images"),
    ("datasets.mine", {"source": "image_folder", "path": "x" * 5000}, "datasets.mine.path: 'xxx"),
    ("datasets.mine", {"source": "image_folder", "path": "a\0b"}, "datasets.mine.path: 'a\\x00b' does not exist"),
    ("data_mirror", "x" * 5000, "data_mirror: 'xxx"),
    (
        "victims.plain",
        {"method": "scikit_learn", "architecture": "decision_tree"},
        "matches[0].attacks: all follow gradients, and those of 'plain' are zero",
    ),
]
SEVERAL = {"attacks.fgsm.target=10", "matches.0.defenses=['cleanse']"}
"""Mistakes in WRONG that break more than one thing: two data sets lack the class, two victims have no backdoor."""


def changed(path: str, value: Any) -> dict[str, Any]:
    """The good configuration with one key set."""
    content = copy.deepcopy(yaml.safe_load(GOOD))
    place: Any = content
    section, _, rest = path.partition(".")
    if section == "datasets" and not rest.startswith(("digits.", "shapes.")):
        keys = [section, rest] if rest else [section]  # names may hold dots
    else:
        keys = path.split(".")
    *parents, last = [int(key) if key.isdigit() else key for key in keys]
    for key in parents:
        place = place[key]
    place[last] = value
    return content


def test_every_contradiction_is_looked_for() -> None:
    made = [function for _, function in inspect.getmembers(contradictions, inspect.isfunction)]
    here = {f for f in made if f.__module__ == contradictions.__name__ and not f.__name__.startswith("_")}
    assert here == {*contradictions.CONTRADICTIONS, contradictions.contradictions}


def test_the_good_configuration_is_accepted() -> None:
    plan = Plan(load_config(yaml.safe_load(GOOD)))
    assert ("shapes", "teacher") in plan.victims  # nobody lists it; a student needs it


@pytest.mark.parametrize(("path", "value", "line"), WRONG, ids=[f"{p}={v}"[:60] for p, v, _ in WRONG])
def test_every_mistake_is_one_line(path: str, value: Any, line: str) -> None:
    with pytest.raises(Mistakes) as caught:
        load_config(changed(path, value), "my.yaml")
    assert any(found.startswith(f"my.yaml: {line}") for found in caught.value.lines), caught.value.lines
    for found in caught.value.lines:
        assert found.isprintable()
        assert len(found) < 300
    if not isinstance(value, dict) and f"{path}={value}" not in SEVERAL:
        assert len(caught.value.lines) == 1, caught.value.lines


def test_weights_to_begin_with_have_the_same_shape() -> None:
    start = {"method": "plain", "architecture": "mlp", "architecture_parameters": {"units": 16, "dropout": 0.0}}
    content = changed("victims.start", start)
    content["victims"]["plain"] = start | {"architecture_parameters": {"units": 16}, "warm_start": "start"}
    load_config(content)  # no weight depends on dropout
    content["victims"]["start"] = start | {"architecture_parameters": {}}
    with pytest.raises(Mistakes, match=r"victims\.plain\.warm_start: 'start' has units 625, and this victim 16; make"):
        load_config(content)


def test_several_mistakes_are_all_told_at_once() -> None:
    content = changed("attacks.fgsm.eps", -1) | {"sede": 1}
    content["victims"]["plain"]["epochs"] = 0
    with pytest.raises(Mistakes) as caught:
        load_config(content)
    assert len(caught.value.lines) == 3


def test_an_entry_may_take_over_another_s_keys(tmp_path) -> None:
    file = tmp_path / "f.yaml"
    file.write_text("attacks:\n  a: &a {method: pgd, steps: 3}\n  b:\n    <<: *a\n    steps: 6\n")
    assert read_yaml(file)["attacks"]["b"] == {"method": "pgd", "steps": 6}


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("seed: 1\nvictims:\n  a: {}\n  a: {}\n", "f.yaml:4: 'a' is defined twice; names must differ"),
        ("seed: [1\n", "f.yaml:2: "),
        ("- a\n- b\n", "f.yaml: is no configuration; config/README.md lists every key"),
        ("", "f.yaml: is no configuration"),
        ("seed: !!python/object/apply:os.system [ls]\n", "f.yaml:1: "),
        ("? [a]\n: 1\n", "f.yaml:1: a list or mapping is no key"),
        ("? {a: b}\n: 1\n", "f.yaml:1: a list or mapping is no key"),
        ("victims:\n  no: {}\n", "f.yaml:2: 'no' is a truth value to YAML; write \"no\""),
        ("victims:\n  8: {}\n", "f.yaml:2: '8' is a number to YAML; write \"8\""),
        ("victims:\n  007: {}\n", "f.yaml:2: '007' is a number to YAML; write \"007\""),
        ("2020-01-01: 1\n", "f.yaml:1: '2020-01-01' is a date to YAML"),
        ("~: 1\n", "f.yaml:1: '~' is nothing to YAML"),
        ("a:\n\t- b\n", "f.yaml:2: a tab stands where YAML wants spaces"),
        ("a: " + "[" * 1000, "f.yaml: is nested too deeply"),
        ("a: " + "[" * 100_000, "f.yaml: is nested too deeply"),
        ("a: &x [*x]\n", "f.yaml:1: "),
        ("a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n" + BOMB, "f.yaml: holds over 100,000 values once what * refers to"),
        ("a: *b\n", "f.yaml:1: found undefined alias"),
        ("--- 1\n--- 2\n", "f.yaml:2: "),
        ("a: 2020-13-45\n", "f.yaml: month must be in 1..12"),
        (b"\xff\xfes\x00e\x00e\x00d\x00", "f.yaml: is not UTF-8 text; save it as UTF-8"),
        (b"title: caf\xe9\n", "f.yaml: is not UTF-8 text; save it as UTF-8"),
        (b"title: a\0b\n", "f.yaml: unacceptable character #x0000"),
    ],
    ids=lambda value: str(value)[:30],
)
def test_a_file_that_is_no_configuration_is_told_with_its_line(
    text: str | bytes, line: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("f.yaml").write_bytes(text.encode() if isinstance(text, str) else text)
    with pytest.raises(Mistakes) as caught:
        read_yaml("f.yaml")
    assert caught.value.lines[0].startswith(line)
    assert len(caught.value.lines) == 1


def test_a_byte_order_mark_and_pairs_that_json_writes_are_read(tmp_path: Path) -> None:
    (tmp_path / "f.yaml").write_bytes(b'\xef\xbb\xbf{"title": "\\ud83d\\ude00 \\u4e2d"}')
    assert read_yaml(tmp_path / "f.yaml") == {"title": "😀 中"}


anything = st.recursive(
    st.one_of(
        st.none(), st.booleans(), st.integers(), st.floats(), st.text(), st.sampled_from(["fgsm", "digits", "plain"])
    ),
    lambda inner: st.one_of(
        st.lists(inner, max_size=3), st.dictionaries(st.one_of(st.text(), st.integers(), st.none()), inner, max_size=3)
    ),
    max_leaves=6,
)
PLACES = [
    *("datasets", "victims", "attacks", "matches", "transfers", "threads", "title", "seed", "nonsense", "defenses"),
    *("datasets.digits", "victims.plain", "attacks.fgsm", "attacks.fgsm.eps", "attacks.fgsm.target", "matches.0"),
    *("victims.plain.per_dataset", "victims.plain.architecture_parameters", "victims.distilled.teacher"),
    *("attacks.fgsm.per_dataset.shapes", "victims.plain.poisoning", "defenses.detector.attack", "matches.0.datasets"),
    *("datasets.digits.source", "victims.plain.architecture", "attacks.fgsm.method", "poisonings.corner"),
]


@settings(deadline=None, max_examples=100)
@given(path=st.sampled_from(PLACES), value=anything)
def test_nonsense_anywhere_is_told_in_lines(path: str, value: Any) -> None:
    told = ["nothing"]
    try:
        Plan(load_config(changed(path, value)))
    except Mistakes as mistakes:
        told = mistakes.lines
    assert told
    assert all(line.isprintable() and len(line) < 1000 for line in told)


def pictures(folder: Path, splits: dict[str, int], classes: list[str], size: tuple[int, int] = (16, 20)) -> Path:
    for split, count in splits.items():
        for name in classes:
            (folder / split / name).mkdir(parents=True)
            for i in range(count):
                Image.new("L", size, i).save(folder / split / name / f"{i}.png")
    return folder


def with_pictures(path: Path, **keys: Any) -> dict[str, Any]:
    content = changed("datasets.mine", {"source": "image_folder", "path": str(path), **keys})
    content["matches"].append({"datasets": ["mine"], "victims": ["plain"], "attacks": ["fgsm"]})
    return content


@pytest.mark.parametrize("archived", ["", "zip", "tar", "gztar"])
def test_what_a_folder_of_images_holds_is_known_beforehand(archived: str, tmp_path: Path) -> None:
    path = pictures(tmp_path / "im", {"train": 3, "test": 2}, ["cat", "dog {x}"])
    if archived:
        path = Path(shutil.make_archive(str(path), archived, path))
    config = load_config(with_pictures(path))
    assert config.images_of("mine") == 4
    assert config.images("fgsm", "mine") == 4
    assert config.recorded()["datasets"]["mine"]["images"] == 4
    assert "--images 4" in Plan(config).attack_options("mine", "plain", "fgsm")

    def lines(**changes: Any) -> list[str]:
        content = with_pictures(path, **changes.pop("keys", {}))
        for section, entries in changes.items():
            for name, keys in entries.items():
                content[section][name] |= keys
        with pytest.raises(Mistakes) as caught:
            load_config(content, "c.yaml")
        return caught.value.lines

    assert lines(keys={"images": 5}) == ["c.yaml: datasets.mine.images: 5 is more than its 4 test images"]
    assert lines(attacks={"fgsm": {"target": 2}})[0].startswith("c.yaml: attacks.fgsm.target: 2 is no class of mine")
    least = "needs images of at least 10x10 pixels; those of mine are 8 wide or high"
    found = lines(victims={"plain": {"architecture": "cnn_cifar"}}, keys={"size": 8})
    assert found == [f"c.yaml: victims.plain.architecture: cnn_cifar {least}"]
    copying = {"method": "substitute", "architecture": "cnn_cifar", "eps": 0.1}
    found = lines(attacks={"fgsm": copying}, keys={"size": 8})
    assert f"c.yaml: attacks.fgsm.architecture: cnn_cifar {least}" in found
    content = with_pictures(path)
    content["matches"][0]["attacks"].append("fgsm_to_3")  # mine has no class 3, and never meets it
    assert ("digits", "plain", "fgsm_to_3") in Plan(load_config(content)).attacks


SMALL = [
    (3, "poisonings.corner.trigger", "pattern", "pattern needs images of at least 4x4 pixels; those of mine are 3"),
    (1, "poisonings.corner.trigger", "pixel", "pixel needs images of at least 2x2 pixels; those of mine are 1"),
    (3, "defenses.median.window", 7, "7 needs images of at least 4x4 pixels; those of mine are 3"),
    (2, "defenses.median.window", 5, "5 needs images of at least 3x3 pixels; those of mine are 2"),
    (5, "victims.backdoored.augmentation", {"crop": 5}, "crop: 5 is as much as a whole image; those of mine are 5"),
    (5, "victims.backdoored.augmentation", {"cutout": 9}, "cutout: 9 is as much as a whole image; those of mine are 5"),
]


@pytest.mark.parametrize(("side", "path", "value", "line"), SMALL)
def test_what_does_not_fit_in_the_images_is_found_beforehand(side, path, value, line, tmp_path: Path) -> None:
    folder = pictures(tmp_path / "im", {"train": 2, "test": 2}, ["cat", "dog"], (side + 1, side))
    content = with_pictures(folder)
    section, name, key = path.split(".")
    content["victims"]["backdoored"]["architecture"] = "mlp512"
    content["poisonings"]["corner"] |= {"target": 1, "trigger": "pixel"}
    content["defenses"] = {"median": {"method": "spatial_smoothing"}}
    content[section][name][key] = value
    content["matches"] = [
        {"datasets": ["mine"], "victims": ["backdoored"], "attacks": ["fgsm"], "defenses": ["median"]}
    ]
    if path != "defenses.median.window":
        content["matches"][0]["defenses"] = []
    content["transfers"] = []
    with pytest.raises(Mistakes) as caught:
        load_config(content, "c.yaml")
    (found,) = caught.value.lines
    assert found.startswith(f"c.yaml: {path}{'.' if isinstance(value, dict) else ': '}{line}")
    shutil.rmtree(folder)
    pictures(folder, {"train": 2, "test": 2}, ["cat", "dog"], (20, 20))
    load_config(content)


def test_a_value_that_says_nothing_of_a_side_needs_none(tmp_path: Path) -> None:
    folder = pictures(tmp_path / "im", {"train": 2, "test": 2}, ["cat", "dog"], (20, 20))
    content = with_pictures(folder)
    content["poisonings"]["corner"] |= {"target": 1, "trigger": "image", "image": str(next(folder.glob("**/*.png")))}
    content["defenses"] = {"several": {"method": "denoising_autoencoder", "layers": 3}}
    content["matches"] = [
        {"datasets": ["mine"], "victims": ["backdoored"], "attacks": ["fgsm"], "defenses": ["several"]}
    ]
    content["transfers"] = []
    load_config(content)


@pytest.mark.parametrize(("kind", "name"), [("poisonings", "backdoor"), ("defenses", "spatial_smoothing")])
def test_a_method_refuses_images_exactly_below_the_side_that_it_declares(kind: str, name: str) -> None:
    method = registry.method(kind, name)

    def tried(side: int, **parameters: Any) -> None:
        images = torch.zeros(30, 1, side, side + 3)
        if kind == "poisonings":
            method.load()(images.byte(), torch.arange(30) % 3, 0, **parameters)
        else:
            method.load()(nn.Flatten(), images, torch.arange(30), 0, 8, **parameters).module(images)

    for parameter, sides in method.traits["side"].items():
        for value, least in sides.items():
            tried(least, **{parameter: value})
            with pytest.raises(RivalryError, match=f"^{parameter}: {value} needs images of at least {least}x{least}"):
                tried(least - 1, **{parameter: value})


def test_one_class_is_none(tmp_path: Path) -> None:
    path = pictures(tmp_path / "im", {"train": 2, "test": 2}, ["cat"])
    with pytest.raises(Mistakes, match=r"datasets\.mine: has 1 class; a classifier needs at least 2"):
        load_config(with_pictures(path))


def test_a_source_says_truly_how_many_images_it_has_and_how_large(tmp_path: Path) -> None:
    config = load_config(changed("datasets.shapes", {"source": "shapes", "n_train": 20, "n_test": 10, "images": 10}))
    for dataset in ("digits", "shapes"):
        source, parameters = config.parameters("datasets", dataset, dataset)
        prepare(dataset, source, parameters, tmp_path / dataset, seed=1, mirror=None)
        facts = read_json(tmp_path / dataset / "dataset.json")
        about = config.about(dataset)
        assert (about.classes, about.test_images, about.side) == (facts["classes"], facts["n_test"], facts["shape"][1])


@pytest.mark.parametrize("name", registry.names("architectures"))
def test_an_architecture_takes_images_from_its_least_side_on(name: str) -> None:
    method = registry.method("architectures", name)
    least = method.traits.get("side", 1)

    def answer(side: int) -> torch.Tensor:
        shape = (3, side, least + 3)
        answered: torch.Tensor = method.load()(shape, 4).eval()(torch.zeros(2, *shape))
        return answered

    assert answer(least).shape == (2, 4)
    if least > 1:
        with pytest.raises((RuntimeError, RivalryError)):
            answer(least - 1)


@pytest.mark.parametrize("name", registry.names("architectures"))
def test_an_architectures_defaults_may_be_written_down(name: str) -> None:
    method = registry.method("architectures", name)
    entry = {"method": "plain" if method.in_epochs else "scikit_learn", "architecture": name}
    written = json.loads(json.dumps(method.defaults))
    config = load_config(changed("victims.another", entry | {"architecture_parameters": written}))
    assert config.entry("victims", "another", "shapes")["architecture_parameters"] == written


def test_a_gpu_that_is_not_there_is_told_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("torch.cuda.is_available", lambda: False)
    check_machine(load_config(changed("accelerator", "auto")), "c.yaml")
    with pytest.raises(Mistakes, match=r"c\.yaml: accelerator: gpu was asked for, but PyTorch sees no GPU"):
        check_machine(load_config(changed("accelerator", "gpu")), "c.yaml")
    with pytest.raises(Mistakes, match=r"c\.yaml: victims\.teacher\.precision: bf16-mixed needs a GPU; use 32"):
        check_machine(load_config(changed("victims.teacher.precision", "bf16-mixed")), "c.yaml")


def test_attacks_that_would_follow_no_gradient_are_kept_apart() -> None:
    content = changed("victims.plain", {"method": "scikit_learn", "architecture": "decision_tree"})
    content["attacks"]["square"] = {"method": "square", "eps": 0.1}
    content["matches"][0] |= {"attacks": ["fgsm", "deepfool", "square"], "defenses": ["median"]}
    plan = Plan(load_config(content))
    assert [attack for dataset, victim, attack in plan.attacks if (dataset, victim) == ("digits", "plain")] == [
        "square"
    ]
    assert plan.evaluations["digits", "plain", "median"] == {"oblivious": ["square"], "adaptive": ["square"]}
    apart = {"what": "digits: fgsm on plain", "reason": "fgsm follows gradients, and those of a decision tree are zero"}
    assert apart in plan.kept_apart
    content["matches"] = [{"datasets": ["digits"], "victims": ["plain"], "attacks": ["fgsm", "square"]}]
    unused = Plan(load_config(content)).unused()
    assert "attacks.fgsm" not in unused, "a match names it, though it attacks nobody"
    assert "attacks.deepfool" in unused


@pytest.mark.parametrize("path", ["im {a}", "im $(x) `y` ;'\"&|*?", "ünï 中", "im\nx"])
def test_changes_in_a_folder_of_any_name_are_noticed(path: str, tmp_path: Path) -> None:
    folder = pictures(tmp_path / path, {"train": 1, "test": 1}, ["cat", "dog"])
    plan = Plan(load_config(with_pictures(folder)))
    before = plan.files_state("datasets", "mine", "mine")
    assert before == plan.files_state("datasets", "mine", "mine")
    Image.new("L", (16, 20)).save(folder / "test/cat/new.png")
    assert plan.files_state("datasets", "mine", "mine") != before
    assert plan.files_state("datasets", "digits", "digits") == ""


def test_a_missing_file_is_told() -> None:
    with pytest.raises(Mistakes, match=r"nowhere\.yaml: No such file"):
        read_yaml("nowhere.yaml")


def test_overrides_count_only_on_their_data_set() -> None:
    config = load_config(yaml.safe_load(GOOD))
    assert config.entry("attacks", "fgsm", "digits")["eps"] == [0.1, 0.3]
    assert config.entry("attacks", "fgsm", "shapes")["eps"] == [0.03]
    assert config.entry("victims", "plain", "shapes")["epochs"] == 3


def test_a_plan_keeps_apart_what_makes_no_sense() -> None:
    plan = Plan(load_config(yaml.safe_load(GOOD)))
    assert plan.evaluations["digits", "backdoored", "cleanse"] == {"oblivious": ["trigger"], "adaptive": []}
    assert plan.kept_apart == [
        {
            "what": "digits: adaptive trigger on backdoored+cleanse",
            "reason": "trigger looks at no victim, so knowing the defense changes nothing",
        }
    ]


def test_unused_entries_are_known() -> None:
    content = yaml.safe_load(GOOD)
    assert Plan(load_config(content)).unused() == ["attacks.fgsm_to_3"]


def test_a_set_stands_for_its_attacks_each_once() -> None:
    content = yaml.safe_load(GOOD)
    content["attack_sets"] = {"both": ["fgsm", "deepfool"], "one": ["deepfool"]}
    content["matches"][0]["attacks"] = ["one", "both", "fgsm"]
    content["transfers"] = [{"datasets": ["digits"], "sources": ["plain"], "victims": ["plain"], "attacks": ["one"]}]
    config = load_config(content)
    assert config.matches[0].attacks == ["deepfool", "fgsm"]
    assert config.transfers[0].attacks == ["deepfool"]
    assert load_config(config.recorded()).recorded() == config.recorded()


@pytest.mark.parametrize("file", SHIPPED)
def test_shipped_configurations_are_valid_and_fit_the_schema(file: str) -> None:
    plan = Plan(load_config(read_files([ROOT / file]), file))
    jsonschema.validate(read_yaml(ROOT / file), json_schema())
    assert plan.unused() == []
    first = (ROOT / file).read_text().splitlines()[0]
    assert first.startswith("# yaml-language-server: $schema=")
    assert (ROOT / file).parent.joinpath(first.partition("=")[2]).is_file()


def test_the_schema_on_disk_is_the_models() -> None:
    on_disk = json.loads((ROOT / "workflow/schemas/config.schema.json").read_text())
    assert on_disk == json_schema(), "run: rivalry schema > workflow/schemas/config.schema.json"


def test_the_schema_rejects_what_the_models_reject() -> None:
    for content in (changed("attacks.fgsm.epsilon", 0.1), changed("victims.plain.epochs", 0), {}):
        with pytest.raises(jsonschema.ValidationError):
            jsonschema.validate(content, json_schema())


def test_every_key_is_documented() -> None:
    for section in (
        "datasets",
        "poisonings",
        "victims",
        "attacks",
        "defenses",
        "filters",
        "targeted_poisonings",
        "fooling",
    ):
        for name, model in entry_models(section).items():
            for key, field in model.model_fields.items():
                assert field.description, f"{section}.{name}.{key} has no description"


def test_the_page_of_keys_is_the_models() -> None:
    on_disk = (ROOT / "config/README.md").read_text()
    assert on_disk == configuration_page(), "run: rivalry schema --page > config/README.md"


@pytest.mark.parametrize(("spelled", "norm"), NORMS)
def test_a_norm_is_written_down_in_one_way(spelled: Any, norm: str | int) -> None:
    content = yaml.safe_load(GOOD)
    content["attacks"]["deepfool"]["norm"] = spelled
    assert load_config(content).parameters("attacks", "deepfool", "digits")[1]["norm"] == norm


COMMANDS = [
    (["attack", "--method", "pgd", "--set", "eps=8"], "--set eps: 8 is out of range; pixels lie in [0,1]"),
    (["attack", "--method", "pgd", "--set", "eps=[0.1,8]"], "--set eps: 8 is out of range"),
    (["attack", "--method", "pgd", "--set", "eps=[0.1,0.1]"], "--set eps: [0.1, 0.1] names a budget twice"),
    (
        ["attack", "--method", "pgd", "--set", "eps=[0.1,0.10000001]"],
        "--set eps: [0.1, 0.10000001] names a budget twice",
    ),
    (["attack", "--method", "pgd", "--set", "steps=-1"], "--set steps: -1 is wrong: should be greater than"),
    (["attack", "--method", "pgd", "--set", "steps=2"], "--set step_size: 2 steps of 0.01 reach no further than 0.02"),
    (["attack", "--method", "pgd", "--set", "norm=1"], "--set norm: 1 is unknown; valid: 2, inf"),
    (["attack", "--method", "pgd", "--set", "epss=1"], "--set epss: pgd has no such parameter; did you mean 'eps'?"),
    (["attack", "--method", "one_pixel", "--set", "population=1"], "--set population: 1 is wrong"),
    (["attack", "--method", "backdoor_trigger"], "--set poisoning: is missing"),
    (
        ["defend", "--method", "binary_input_detector", "--set", "attack=fgs"],
        "--set attack: 'fgs' is no attack; did you",
    ),
    (
        ["defend", "--method", "binary_input_detector", "--set", "attack={method: fgsm, eps: 8}"],
        "--set attack.eps: 8 is",
    ),
    (["defend", "--method", "binary_input_detector", "--set", "attack=[1]"], "--set attack: [1] is wrong"),
    (
        ["defend", "--method", "binary_input_detector", "--set", 'attack=["fgsm", {"method": "pgd", "eps": 8}]'],
        "--set attack[1].eps: 8 is",
    ),
    (
        ["defend", "--method", "binary_input_detector", "--set", "attack={method: fgsm}", "sample=3"],
        "--set sample: 3 is wrong: should be greater than or equal to 4",
    ),
    (["defend", "--method", "spatial_smoothing", "--set", "window=4"], "--set window: 4 is unknown; valid: 3, 5, 7"),
    (["fool", "--method", "gradient_ascent", "--set", "steps=0"], "--set steps: 0 is wrong"),
    (["train", "--architecture", "svm", "--architecture-set", "sample=0"], "--architecture-set sample: 0 is wrong"),
    (
        ["train", "--architecture", "mlp512", "--fit", "epochs="],
        "--fit epochs: is empty; give a value",
    ),
    (["train", "--architecture", "mlp512", "--fit", f"epochs={10**100}"], "--fit epochs: 10000"),
    (["train", "--architecture", "mlp512", "--fit", "learning_rate=-1"], "--fit learning_rate: -1 is wrong"),
    (["train", "--architecture", "mlp512", "--fit", "optimizer=adamm"], "--fit optimizer: 'adamm' is unknown; did you"),
    (
        ["train", "--architecture", "mlp512", "--fit", 'augmentation={"crp": 4}'],
        "--fit augmentation.crp: unknown key; di",
    ),
    (["train", "--architecture", "svm", "--fit", "epochs=4"], "--fit epochs: scikit_learn trains without epochs"),
    (["train", "--architecture", "mlp512", "--fit", "momentum=0.5"], "--fit momentum: adam has none"),
    (["train", "--architecture", "mlp512", "--fit", "schedule=step"], "--fit milestones: is missing"),
    (["train", "--architecture", "mlp512", "--fit", "rate=1"], "--fit rate: unknown key; "),
    (["poison", "--method", "backdoor", "--set", "fraction=2"], "--set fraction: 2 is wrong: should be less than 1"),
]


@pytest.mark.parametrize(("words", "message"), COMMANDS)
def test_parameters_on_the_command_line_are_checked_before_work(
    words: list[str], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    needed = {"attack": ["attack", "victim-name"], "defend": ["defense", "victim-name"], "train": ["victim", "method"]}
    needed |= {"fool": ["fooling", "victim-name"], "poison": ["poisoning"]}
    method = "scikit_learn" if "svm" in words else "plain"
    named = [part for name in needed[words[0]] for part in (f"--{name}", method if name == "method" else "some")]
    folders = ["data", "output", *(["victim"] if words[0] not in ("train", "poison") else [])]
    nowhere = [part for name in folders for part in (f"--{name}", "/nowhere")]
    assert main([*words, *named, *nowhere]) == 1
    printed = capsys.readouterr().err
    assert printed.startswith(f"rivalry: {message}")
    assert printed.count("\n") == 1


@pytest.mark.parametrize("option", ["--batch-size=0", "--batch-size=x", "--images=-3", "--threads=1.5", "--seed=-1"])
def test_numbers_on_the_command_line_are_checked(option: str, capsys: pytest.CaptureFixture[str]) -> None:
    words = ["--attack=a", "--method=pgd", "--victim-name=v", "--data=/x", "--victim=/x", "--output=/x"]
    with pytest.raises(SystemExit):
        main(["attack", *words, option])
    printed = capsys.readouterr().err
    assert printed.startswith(f"rivalry: argument {option.split('=')[0]}: ")
    assert printed.count("\n") == 1


@pytest.mark.parametrize("file", SHIPPED)
def test_the_command_line_takes_what_the_plan_writes(
    file: str, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Every job comes as far as looking for its data: its parameters are right."""
    monkeypatch.setattr("rivalry.cli._limit_threads", lambda threads: None)
    plan = Plan(load_config(read_files([ROOT / file]), file))
    jobs = [("poison", plan.poison_options(*job)) for job in plan.poisonings]
    jobs += [("train", plan.train_options(*job)) for job in plan.victims]
    jobs += [("defend", plan.defend_options(*job)) for job in plan.defenses]
    jobs += [("evaluate", plan.evaluate_options(*job)) for job in plan.evaluations]
    jobs += [("fool", plan.fool_options(*job)) for job in plan.foolings]
    jobs += [("screen", plan.screen_options(*job)) for job in plan.screenings]
    jobs += [("plant", plan.plant_options(*job)) for job in plan.plantings]
    jobs += [("attack", plan.attack_options(*job)) for job in plan.attacks]
    jobs += [("transfer", plan.transfer_options(*job)) for job in plan.transfers]
    monkeypatch.chdir(tmp_path)
    for stage, options in jobs:
        assert main([stage, *shlex.split(options)]) == 1
        printed = capsys.readouterr().err
        assert re.match(r"rivalry: results/\S*data/\S*: no such file", printed), printed
