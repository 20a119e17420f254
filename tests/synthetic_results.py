"""A small, made-up `results/` folder in the shape that the pipeline writes, so that drawing and reporting can be
tested in seconds. Images are real handwritten digits and coloured discs; every outcome follows from one margin
per image, so that stronger attacks succeed where weaker ones do."""

from __future__ import annotations

import itertools
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from sklearn.datasets import load_digits
from statsmodels.stats.proportion import proportion_confint

from rivalry import artifacts
from rivalry.adversarial import CraftedSet, write_crafted
from rivalry.data._croissant import croissant
from rivalry.layout import Layout, trained, training
from rivalry.stages.evaluate import with_verdicts
from rivalry.statistics import compare, evaluated_matches, literature, sizes, undefended_matches, worst_case
from rivalry.statistics.checked import CHECKED
from rivalry.statistics.columns import (
    CERTIFIED,
    CLAIMS,
    COMPARISONS,
    FLAGS,
    PLANTINGS,
    QUERIES,
    REPORTED,
    SCORES,
    SCREENINGS,
    SIZE_CORRELATIONS,
    SIZES,
    SPREADS,
    TRANSFERS,
    TRIGGERS,
    WORST_CASES,
)
from rivalry.statistics.comparisons import Method
from rivalry.statistics.detection import flag_differences
from rivalry.statistics.merging import spreads
from rivalry.statistics.plantings import planting_rates
from rivalry.statistics.scores import DETECTED, clean_errors, joined, tested
from rivalry.statistics.screenings import screening_rates
from rivalry.statistics.triggers import trigger_rates

N = 48
EPS = [0.1, 0.2, 0.3]
MEAN = {"": 0.8, "_low": 0.75, "_high": 0.85}
SHAPES = ["circle", "square", "triangle", "star", "cross", "ring", "heart", "hexagon", "arrow", "moon"]

# name: (method, goal, sees, norm, eps, budget, strength, source)
ATTACKS: dict[str, tuple] = {
    "noise": ("random_noise", "untargeted", "nothing", "inf", [0.3], "fixed", 0.3, "fawzi2016"),
    "fgsm": ("fgsm", "untargeted", "gradients", "inf", EPS, "fixed", 1.0, "goodfellow2015"),
    "fgsm_targeted": ("fgsm", "targeted", "gradients", "inf", EPS, "fixed", 0.5, "goodfellow2015"),
    "i_fgsm": ("i_fgsm", "untargeted", "gradients", "inf", EPS, "fixed", 1.6, "kurakin2017"),
    "pgd": ("pgd", "untargeted", "gradients", "inf", EPS, "fixed", 1.7, "madry2018"),
    "deepfool": ("deepfool", "untargeted", "gradients", "2", None, "minimal", 9.0, "moosavi2016"),
    "hopskipjump": ("hopskipjump", "untargeted", "decisions", "2", None, "minimal", 11.0, "chen2020"),
    "universal": ("universal", "untargeted", "gradients", "inf", [0.3], "fixed", 0.6, "moosavi2017"),
    "trigger": ("backdoor_trigger", "targeted", "nothing", "0", None, "fixed", 0.0, "gu2017"),
}
VICTIMS = {"plain": 0.16, "distilled": 0.19, "adversarial": 0.5, "poisoned": 0.17}
DEFENSES = {
    "median3": ("spatial_smoothing", "preprocessor", {"power": "median", "window": 3}, "xu2018"),
    "mean3": ("spatial_smoothing", "preprocessor", {"power": "mean", "window": 3}, "xu2018"),
    "half_mean3": ("spatial_smoothing", "preprocessor", {"power": 0.5, "window": 3}, "xu2018"),
    "detector": ("binary_input_detector", "detector", {"epochs": 3, "attack": "fgsm"}, "metzen2017"),
    "cleanse": ("neural_cleanse", "transformer", {"steps": 100, "anomaly": 2.0}, "wang2019"),
}
FOUND = {"detection_accuracy": 0.9, "auc": 0.91, "auc_low": 0.88, "auc_high": 0.93}
FOUND |= {"false_alarms_at_1": 0.02, "flagged_at_1": 0.3, "flagged_at_1_low": 0.2, "flagged_at_1_high": 0.4}
FOUND |= {"false_alarms_at_5": 0.04, "flagged_at_5": 0.5, "flagged_at_5_low": 0.4, "flagged_at_5_high": 0.6}
GUARDED = {
    "digits": {"plain": ["median3", "mean3", "half_mean3", "detector"], "poisoned": ["cleanse"]},
    "shapes": {"plain": ["median3"]},
}
DATASETS = {"digits": (1, 28), "shapes": (3, 32)}
MEET = {
    "digits": (["plain", "adversarial", "poisoned"], list(ATTACKS)),
    "shapes": (["plain", "distilled"], ["fgsm", "pgd", "deepfool"]),
}
"""Which victims and attacks each data set has: everything on one, little on the other."""

LAYERS = [
    {"layer": "", "kind": "Classifier", "kernel": "", "output": [10], "parameters": 0},
    {"layer": "network", "kind": "Sequential", "kernel": "", "output": [10], "parameters": 0},
    {"layer": "network.0", "kind": "Conv2d", "kernel": "3×3, stride 2", "output": [32, 13, 13], "parameters": 320},
    {"layer": "network.1", "kind": "ReLU", "kernel": "", "output": [32, 13, 13], "parameters": 0},
    {"layer": "network.2", "kind": "Flatten", "kernel": "", "output": [5408], "parameters": 0},
    {"layer": "network.<b>_3", "kind": "Läyer_&_Co", "kernel": "", "output": [10], "parameters": 90_640},
    {"layer": "network.unused", "kind": "Linear", "kernel": "", "output": None, "parameters": 0},
]
"""The last names are a user's own."""

CONFIG: dict[str, Any] = {
    "title": "Digits & shapes: 100% <script>alert('x')</script> \\input{/etc/passwd} #1 $x_y^2$ ~ {ε ≤ 0.3} 数",
    "seed": 20,
    "confidence": 0.95,
    "record_times": True,
    "data_mirror": "</script><img src=x onerror=alert(1)> \\end{document} 50 % of #2 & $3",
    "datasets": {"digits": {"source": "digits", "images": N}, "shapes": {"source": "shapes", "images": N}},
    "attacks": {name: {"method": a[0], "eps": a[4]} for name, a in ATTACKS.items()},
}

PLAN: dict[str, list] = {
    "datasets": list(DATASETS),
    "generators": [],
    "poisonings": [["digits", "badnets"]],
    "victims": [[d, v] for d, (victims, _) in MEET.items() for v in victims],
    "attacks": [
        [d, v, a]
        for d, (victims, attacks) in MEET.items()
        for v in victims
        for a in attacks
        if a != "trigger" or v in ("plain", "poisoned")
    ],
    "evaluations": [[d, v, f] for d, guards in GUARDED.items() for v, names in guards.items() for f in names],
    "adaptive": [],
    "fooling": [["digits", "plain", "ascent"], ["digits", "plain", "patterns"], ["digits", "adversarial", "ascent"]],
    "screenings": [["digits", "poisoned", "spectral"]],
    "plantings": [["digits", "plain", "frogs"]],
    "transfers": [["digits", "plain"], ["digits", "adversarial"]],
    "without_chance": [["digits", "poisoned"]],
    "kept_apart": [
        {
            "what": "digits: adaptive noise on plain+median3",
            "reason": "noise looks at no victim, so knowing the defense changes nothing",
        }
    ],
}

KEPT_APART = [
    {
        "what": "digits, plain: fgsm_targeted apart from fgsm, i_fgsm, pgd",
        "reason": "a targeted attack is scored on its target, an untargeted one on any error",
    }
]


def plan_of(seeds: int) -> dict[str, list]:
    """The plan in which every victim is trained so often; but one on each data set leaves nothing to chance."""
    repeated = {"victims": 1, "attacks": 1, "evaluations": 1}
    plan = PLAN | {
        key: [
            [*names[:place], training(names[place], seed), *names[place + 1 :]]
            for names in PLAN[key]
            for seed in range(1, 1 + (1 if [names[0], names[place]] in PLAN["without_chance"] else seeds))
        ]
        for key, place in repeated.items()
    }
    return plan


def make(results: Path, seeds: int = 1) -> Path:
    """Write the whole folder (everything but figures/ and report/) and return it; `seeds` trainings of each victim."""
    layout, whole = Layout(results), plan_of(seeds)
    scores: list[dict] = []
    for number, (dataset, (channels, size)) in enumerate(DATASETS.items()):
        scores += _Dataset(layout, dataset, channels, size, np.random.default_rng(number)).write(whole)
    tables = results / "tables"
    SCORES.write(tables / "scores.csv", scores)
    plan = whole | {"transfers": []}  # they are a table alone, without the images behind it
    cases = worst_case.worst_cases(layout, plan=plan, confidence=CONFIG["confidence"])
    WORST_CASES.write(tables / "worst_cases.csv", [case.row for case in cases])
    matches = [one for names in plan["attacks"] for one in undefended_matches(layout, names, CONFIG["confidence"])]
    matches += [one for names in plan["evaluations"] for one in evaluated_matches(layout, names, CONFIG["confidence"])]
    method = Method(CONFIG["confidence"], {(dataset, victim) for dataset, victim in plan["without_chance"]})
    together, all_cases = joined(matches), worst_case.joined(cases)
    stated = literature.stated(layout, PLAN)
    besides = literature.asked(stated, together, all_cases, method)
    comparisons = compare(together, clean_errors(layout, plan), all_cases, besides, method=method, seed=CONFIG["seed"])
    COMPARISONS.write(tables / "comparisons.csv", comparisons)
    transfers = [row | {"seed": seed} for row in _transfers() for seed in range(1, seeds + 1)]
    TRANSFERS.write(tables / "transfers.csv", transfers)
    PLANTINGS.write(tables / "plantings.csv", planting_rates(layout, plan, CONFIG["confidence"]))
    SCREENINGS.write(tables / "screenings.csv", screening_rates(layout, plan, CONFIG["confidence"]))
    TRIGGERS.write(tables / "triggers.csv", trigger_rates(layout, plan, CONFIG["confidence"]))
    of_trainings = {
        "victims": tested(layout, plan),
        "scores": scores,
        "worst_cases": [case.row for case in cases],
        "transfers": transfers,
    }
    SPREADS.write(tables / "spreads.csv", spreads(of_trainings, CONFIG["confidence"]))
    FLAGS.write(tables / "flags.csv", flag_differences(matches, CONFIG["confidence"]))
    CHECKED.write(tables / "checks.csv", _checks())
    CLAIMS.write(tables / "claims.csv", literature.judged(stated, together, all_cases, comparisons))
    REPORTED.write(tables / "reported.csv", _reported())
    QUERIES.write(tables / "queries.csv", _queries())
    images = sizes.caught(layout, plan)
    SIZES.write(tables / "sizes.csv", sizes.points(images, CONFIG["confidence"]))
    SIZE_CORRELATIONS.write(tables / "size_correlations.csv", sizes.correlations(images, CONFIG["confidence"], 0))
    CERTIFIED.write(tables / "certified.csv", _certified())
    artifacts.write_json(tables / "kept_apart.json", KEPT_APART)
    artifacts.write_manifest(layout.tables, sorted(tables.glob("*.csv")))
    return results


class _Dataset:
    def __init__(self, layout: Layout, dataset: str, channels: int, size: int, rng: np.random.Generator) -> None:
        self.layout, self.dataset, self.rng = layout, dataset, rng
        images, self.labels = _images(channels, size, rng)
        self.images = (images * 255).astype(np.uint8).astype(np.float32) / 255
        self.names = [str(k) for k in range(10)] if dataset == "digits" else SHAPES
        self.rows: list[dict] = []

    def write(self, plan: dict[str, list]) -> list[dict]:
        """Write the data set's files; the rows of its scores."""
        self._data()
        for victim in (name for dataset, name in plan["victims"] if dataset == self.dataset):
            self._victim(victim, VICTIMS[trained(victim)[0]])
        return self.rows

    def _data(self) -> None:
        place = self.layout.data(self.dataset)
        tensors = {
            "images": torch.from_numpy((self.images * 255).round().astype(np.uint8)),
            "labels": torch.from_numpy(self.labels.astype(np.int64)),
        }
        files = [place["train"], place["test"]]
        for file in files:
            artifacts.write_tensors(file, tensors)
        counts = np.bincount(self.labels, minlength=10).tolist()
        facts = {
            "dataset": self.dataset,
            "source": self.dataset,
            "parameters": {"test_fraction": 0.2},
            "classes": 10,
            "class_names": self.names,
            "shape": list(self.images.shape[1:]),
            "n_train": N,
            "n_train_available": N,
            "n_test": N,
            "train_counts": counts,
            "test_counts": counts,
            "provenance": {
                "description": "scikit-learn's handwritten digits" if self.dataset == "digits" else "procedural",
                "urls": ["https://archive.ics.uci.edu/dataset/80"] if self.dataset == "digits" else [],
                "citation": "alpaydin1998" if self.dataset == "digits" else "",
                "files": {},
            },
            "sha256": {"train": artifacts.checksum(files[0]), "test": artifacts.checksum(files[1])},
        }
        artifacts.write_json(place.facts, facts)
        artifacts.write_json(place["croissant"], croissant(facts, {split: place[split] for split in ("train", "test")}))
        artifacts.write_manifest(place)

    def _victim(self, victim: str, scale: float) -> None:
        rng = self.rng
        place = self.layout.victim(self.dataset, victim)
        correct = rng.random(N) < 0.95
        margin = np.abs(rng.normal(scale, scale / 3, N)) + 0.01
        prediction = np.where(correct, self.labels, (self.labels + 1) % 10)
        confidence = rng.uniform(0.8, 1.0, N)
        artifacts.write_tensors(place["weights"], {"w": torch.full((2,), scale)})
        epochs = np.arange(1, 7)
        artifacts.write_table(
            place["curve"],
            pd.DataFrame(
                {
                    "epoch": epochs,
                    "train_loss": 2 * np.exp(-epochs / 2) + scale / 4,
                    "validation_loss": 2 * np.exp(-epochs / 2.2) + scale / 3 + 0.05,
                    "validation_accuracy": 1 - 0.5 * np.exp(-epochs / 1.5) - scale / 10,
                    "robust_accuracy": 0.6 - 0.4 * np.exp(-epochs / 2) if victim == "adversarial" else np.nan,
                }
            ),
        )
        artifacts.write_table(
            place["predictions"],
            pd.DataFrame(
                {
                    "index": np.arange(N),
                    "label": self.labels,
                    "prediction": prediction,
                    "confidence": confidence,
                }
            ),
        )
        artifacts.write_json(
            place.facts,
            {
                "dataset": self.dataset,
                "victim": victim,
                "architecture": "cnn_mnist" if self.dataset == "digits" else "cnn_cifar",
                "method": {"distilled": "defensive_distillation", "adversarial": "adversarial_training"}.get(
                    trained(victim)[0], "plain"
                ),
                "parameters": {},
                "fitting": {"epochs": 6, "learning_rate": 0.001, "optimizer": "adam"},
                "poisoning": "badnets" if victim == "poisoned" else None,
                "shape": list(self.images.shape[1:]),
                "classes": 10,
                "class_names": self.names,
                "seed": 123,
                "parameters_count": 90_960,
                "layers": LAYERS,
                "clean_accuracy": float(correct.mean()),
                "validation_accuracy": 0.95,
                "epochs_run": 6,
                "best_epoch": 5,
                "seconds": 21.5,
                "source": {"distilled": "papernot2016", "adversarial": "madry2018"}.get(
                    trained(victim)[0], "goodfellow2016"
                ),
            },
        )
        artifacts.write_manifest(place)
        if victim == "poisoned":
            self._poisoning()
            self._screening(victim)
        for attack in [a for d, v, a in PLAN["attacks"] if (d, v) == (self.dataset, trained(victim)[0])]:
            self._attack(victim, victim, attack, correct, margin)
        if [self.dataset, victim, "frogs"] in PLAN["plantings"]:
            self._planting(victim)
        for fooling in [f for d, v, f in PLAN["fooling"] if (d, v) == (self.dataset, victim)]:
            self._fooling(victim, fooling)
        for defense in GUARDED[self.dataset].get(trained(victim)[0], []):
            self._defense(victim, defense, correct, margin)

    def _poisoning(self) -> None:
        place = self.layout.poisoning(self.dataset, "badnets")
        shape = self.images.shape[1:]
        mask = torch.zeros(shape)
        mask[:, -4:, -4:] = 1
        artifacts.write_tensors(
            place["trigger"],
            {"mask": mask, "pattern": mask.clone(), "target": torch.tensor(0), "amplitude": torch.tensor(1.0)},
        )
        images = torch.from_numpy((self.images * 255).astype(np.uint8))
        poisoned = torch.arange(N) < 5
        images[poisoned] = torch.where(mask > 0, 255, images[poisoned]).to(torch.uint8)
        labels = torch.from_numpy(np.where(poisoned, 0, self.labels)).long()
        tensors = {"images": images, "labels": labels, "poisoned": poisoned.to(torch.uint8), "sources": torch.arange(N)}
        artifacts.write_tensors(place["train"], tensors)
        artifacts.write_json(
            place.facts,
            {
                "dataset": self.dataset,
                "poisoning": "badnets",
                "method": "backdoor",
                "parameters": {"trigger": "pattern", "target": 0, "fraction": 0.1},
                "seed": 9,
                "target": 0,
                "n_train": N,
                "n_poisoned": 5,
                "share_of_all": 5 / N,
                "share_of_target": 0.4,
                "trigger_pixels": 16,
                "facts": {},
                "source": "gu2017",
            },
        )

    def _screening(self, victim: str) -> None:
        place = self.layout.screening(self.dataset, victim, "spectral")
        poisoned = np.arange(N) < 5
        table = {
            "row": np.arange(N),
            "label": np.where(poisoned, 0, self.labels),
            "poisoned": poisoned,
            "score": np.where(poisoned, 9.0, np.arange(N) / N),
        }
        artifacts.write_table(place["scores"], pd.DataFrame(table))
        about = {"dataset": self.dataset, "victim": victim, "filter": "spectral", "method": "spectral_signatures"}
        about |= {"parameters": {"expected": 0.1}, "poisoning": "badnets", "asked_false_alarms": 0.05}
        counts = {"n": N, "n_poisoned": 5, "n_found": 4, "n_false": 2, "n_flagged": 5, "n_flagged_false": 3}
        artifacts.write_json(place.facts, about | counts | {"auc": 0.97, "seed": 4, "source": "tran2018"})
        artifacts.write_manifest(place)

    def _planting(self, victim: str) -> None:
        place = self.layout.planting(self.dataset, victim, "frogs")
        rows, images = torch.arange(8), torch.from_numpy((self.images * 255).astype(np.uint8))
        tensors = {"poisons": images[10:18, None], "bases": torch.arange(10, 18)[:, None], "rows": rows}
        artifacts.write_tensors(place["images"], tensors)
        labels = self.labels[:8]
        success = np.arange(8) < 5
        table = {"index": rows, "label": labels, "target": (labels + 1) % 10, "counted": True, "success": success}
        table |= {"control": labels, "after": np.where(success, (labels + 1) % 10, labels)}
        artifacts.write_table(place["scores"], pd.DataFrame(table))
        about = {"dataset": self.dataset, "victim": victim, "targeted": "frogs", "method": "feature_collision"}
        about |= {
            "parameters": {"retrain": "last_layer", "poisons": 1},
            "poisons": 1,
            "l2": 2.5,
            "linf": 0.5,
            "target_l2": 9.5,
        }
        counts = {"n": 8, "n_counted": 8, "n_success": 5, "n_other": 0}
        artifacts.write_json(place.facts, about | counts | {"seed": 4, "seconds": 2.0, "source": "shafahi2018"})
        artifacts.write_manifest(place)

    def _fooling(self, victim: str, fooling: str) -> None:
        rng = np.random.default_rng(5)
        place = self.layout.fooling(self.dataset, victim, fooling)
        table = pd.DataFrame(
            {
                "target": np.arange(10),
                "prediction": np.arange(10),
                "confidence": np.where(np.arange(10) < 8, 0.99995, 0.6),
                "success": np.arange(10) < 8,
                "nearest_l2": rng.uniform(8, 12, 10),
                "queries": 101,
                "gradients": 100,
            }
        )
        images = torch.from_numpy(rng.uniform(size=(10, *self.images.shape[1:])).astype(np.float32))
        artifacts.write_tensors(place["images"], {"images": images, "targets": torch.arange(10)})
        artifacts.write_table(place["scores"], table)
        artifacts.write_json(
            place.facts,
            {
                "dataset": self.dataset,
                "victim": victim,
                "fooling": fooling,
                "method": "gradient_ascent" if fooling == "ascent" else "map_elites_cppn",
                "parameters": {"steps": 100} if fooling == "ascent" else {"generations": 300},
                "sees": "gradients" if fooling == "ascent" else "scores",
                "asked_confidence": 0.99,
                "n": 10,
                "n_success": 8,
                "success_rate": 0.8,
                "median_confidence": 0.99995,
                "least_confidence": 0.6,
                "mean_nearest_l2": table["nearest_l2"].mean(),
                "real_nearest_l2": 6.25,
                "n_real": N,
                "queries": 101,
                "gradients": 100,
                "seed": 8,
                "seconds": 1.5,
                "source": "nguyen2015",
            },
        )
        artifacts.write_manifest(place)

    def _simulate(self, victim: str, attack: str, correct: np.ndarray, margin: np.ndarray) -> tuple[list, pd.DataFrame]:
        _, goal, sees, _, eps_list, _, strength, _ = ATTACKS[attack]
        rng, shape = self.rng, self.images.shape
        target = np.where(goal == "targeted", (self.labels + 1) % 10, -1) if attack != "trigger" else np.zeros(N, int)
        attacked = correct & (self.labels != target)
        frames, sets = [], []
        for eps in eps_list or [float("nan")]:
            fitted = {}
            if attack == "trigger":
                change = np.zeros(shape)
                change[:, :, -4:, -4:] = 1 - self.images[:, :, -4:, -4:]
                hit = rng.random(N) < (0.97 if victim == "poisoned" else 0.02)
            elif attack in ("deepfool", "hopskipjump"):
                direction = rng.normal(size=shape)
                norm = np.sqrt((direction**2).sum((1, 2, 3), keepdims=True))
                change = direction / norm * margin[:, None, None, None] * strength
                hit = np.ones(N, bool)
            else:
                change = eps * np.sign(rng.normal(size=shape[1:] if attack == "universal" else shape))
                hit = strength * eps > margin
                if attack == "universal":
                    fitted["perturbation"] = torch.from_numpy(change.astype(np.float32))[None]
            success = hit & attacked
            images = np.where(attacked[:, None, None, None], np.clip(self.images + change, 0, 1), self.images)
            sets.append(CraftedSet(torch.from_numpy(images.astype(np.float32)), eps, fitted))
            delta = (images - self.images).reshape(N, -1)
            wrong = (self.labels + 1) % 10 if goal == "untargeted" else target
            frames.append(
                pd.DataFrame(
                    {
                        "index": np.arange(N),
                        "label": self.labels,
                        "target": target,
                        "eps": eps,
                        "clean_prediction": np.where(correct, self.labels, (self.labels + 1) % 10),
                        "clean_correct": correct,
                        "attacked": attacked,
                        "prediction": np.where(success | ~correct, wrong, self.labels),
                        "confidence": rng.uniform(0.5, 1, N),
                        "success": success,
                        "l0": (np.abs(images - self.images).max(1) > 1e-6).sum((1, 2)).astype(float),
                        "l2": np.sqrt((delta**2).sum(1)),
                        "linf": np.abs(delta).max(1),
                        "l2_channels": np.sqrt((delta**2).sum(1)) * 1.1,
                        "linf_channels": np.abs(delta).max(1) * 1.1,
                        "relative_l2": np.sqrt((delta**2).sum(1) / (self.images.reshape(N, -1) ** 2).sum(1)),
                        "iterations": 1 if attack == "fgsm" else 10,
                        "queries": 10,
                        "gradients": 10 if sees == "gradients" else 0,
                        "finite": True,
                        "zero_gradient": rng.random(N) < (0.2 if victim.startswith("distilled") else 0.0),
                        "seconds": 0.01,
                    }
                )
            )
        return sets, pd.concat(frames, ignore_index=True)

    def _attack(
        self, victim: str, folder_name: str, attack: str, correct: np.ndarray, margin: np.ndarray
    ) -> pd.DataFrame:
        method, goal, sees, norm, eps, budget, strength, source = ATTACKS[attack]
        sets, table = self._simulate(victim, attack, correct, margin)
        place = self.layout.attack(self.dataset, folder_name, attack)
        write_crafted(place, torch.arange(N), sets)
        artifacts.write_table(place["scores"], table)
        parameters = {"poisoning": "badnets"} if attack == "trigger" else {"steps": 10} if strength > 1.5 else {}
        facts = {
            "dataset": self.dataset,
            "victim": victim,
            "defense": folder_name.partition("+")[2] or "none",
            "attack": attack,
            "method": method,
            "parameters": parameters,
            "goal": goal,
            "target": None if goal == "untargeted" else 0 if attack == "trigger" else "next",
            "sees": sees,
            "norm": norm,
            "eps": eps,
            "budget": budget,
            "n": N,
            "fits": [{"images": 20, "queries": 300, "gradients": 250, "seconds": 1.5}]
            if attack == "universal"
            else None,
            "images_sha256": "0" * 64,
            "seed": 7,
            "seconds": 3.2,
            "source": source,
        }
        artifacts.write_json(place.facts, facts)
        artifacts.write_manifest(place)
        if folder_name == victim:
            for value, part in table.groupby("eps", dropna=False):
                self._score(victim, attack, "none", "undefended", value, part, correct)
        return table

    def _defense(self, victim: str, defense: str, correct: np.ndarray, margin: np.ndarray) -> None:
        method, kind, parameters, source = DEFENSES[defense]
        rng = self.rng
        place = self.layout.defense(self.dataset, victim, defense)
        facts: dict[str, Any] = {}
        if kind == "detector":
            facts = {"attack": {"method": "fgsm", "eps": 0.3}, "thresholds": {"1": 0.59, "5": 0.57}}
        if kind == "transformer":
            facts = {
                "anomaly_index": [3.4, *rng.uniform(0, 1.6, 9).round(2).tolist()],
                "mask_l1": [9.0, *rng.uniform(40, 80, 9).round(1).tolist()],
                "flagged": [0],
                **{"layer": "network.5", "units": 32, "pruned": 8},
                "curve": [{"pruned": 0, "accuracy": 0.98}, {"pruned": 8, "accuracy": 0.96}],
            }
            channels, height, width = self.images.shape[1:]
            mask = torch.rand(10, 1, height, width) * 0.4
            mask[0] = 0
            mask[0, :, -4:, -4:] = 0.9
            triggers = {"mask": mask, "pattern": torch.rand(10, channels, height, width)}
            artifacts.write_tensors(place["triggers"], triggers)
        artifacts.write_tensors(place["weights"], {"weights": torch.zeros(3)})
        artifacts.write_json(
            place.facts,
            {
                "dataset": self.dataset,
                "victim": victim,
                "defense": defense,
                "method": method,
                "kind": kind,
                "parameters": parameters,
                "facts": facts,
                "backdoor_target": 0 if victim == "poisoned" else None,
                "innocent_flagged": [] if kind == "transformer" else None,
                "source": source,
                "seconds": 4.0,
            },
        )
        defended = correct & (rng.random(N) < (0.75 if kind == "transformer" else 0.96))
        flags_clean = (rng.random(N) < 0.06) & (kind == "detector")
        frames = [
            pd.DataFrame(
                {
                    "attack": "",
                    "setting": "clean",
                    "eps": np.nan,
                    "index": np.arange(N),
                    "label": self.labels,
                    "target": -1,
                    "attacked": False,
                    "prediction": np.where(flags_clean, -1, np.where(defended, self.labels, (self.labels + 1) % 10)),
                    "flagged": flags_clean,
                    "score": rng.uniform(0, 0.6, N) if kind == "detector" else np.nan,
                    "success": False,
                }
            )
        ]
        for attack in ["fgsm", "pgd", "deepfool"] if kind != "transformer" else ["trigger", "fgsm"]:
            for setting in ("oblivious", "adaptive"):
                gain = {"median3": 1.8, "mean3": 1.1, "half_mean3": 0.9}.get(defense, 1.3)
                easier = margin * gain if setting == "adaptive" else margin * 3
                if setting == "adaptive":
                    if kind == "transformer":
                        continue
                    table = self._attack(victim, f"{victim}+{defense}", attack, defended, easier)
                else:
                    _, table = self._simulate("plain" if kind == "transformer" else victim, attack, defended, easier)
                    if attack == "deepfool":
                        table["success"] &= rng.random(N) < 0.3
                count = len(table) // N
                flagged = (rng.random(len(table)) < (0.9 if setting == "oblivious" else 0.2)) & (kind == "detector")
                frame = table[["eps", "index", "label", "target", "attacked", "l0", "l2", "linf", "l2_channels"]].copy()
                frame["linf_channels"], frame["relative_l2"] = table["linf_channels"], table["relative_l2"]
                frame["queries"], frame["gradients"], frame["seconds"] = 10, 10, 0.01
                frame["attack"], frame["setting"], frame["flagged"] = attack, setting, flagged
                handled = np.tile(defended & ~flags_clean, count)
                frame["success"] = table["success"] & ~flagged & handled
                wrong = (frame["label"] + 1) % 10
                frame["prediction"] = np.where(
                    flagged, -1, np.where(frame["success"] | ~np.tile(defended, count), wrong, frame["label"])
                )
                frame["score"] = np.where(flagged, 0.9, 0.3) if kind == "detector" else np.nan
                frames.append(frame)
                for value, part in frame.groupby("eps", dropna=False):
                    self._score(victim, attack, defense, setting, value, part, defended & ~flags_clean, flags_clean)
        evaluation = self.layout.evaluation(self.dataset, victim, defense)
        artifacts.write_table(evaluation["scores"], with_verdicts(pd.concat(frames, ignore_index=True)))
        artifacts.write_json(evaluation["costs"], _costs(N))
        artifacts.write_manifest(evaluation)

    def _score(
        self,
        victim: str,
        attack: str,
        defense: str,
        setting: str,
        eps: float,
        part: pd.DataFrame,
        clean: np.ndarray,
        flags_clean: np.ndarray | None = None,
    ) -> None:
        _, goal, sees, norm, _, budget, _, _ = ATTACKS[attack]
        flagged = part["flagged"].to_numpy() if "flagged" in part else np.zeros(len(part), bool)
        held = clean & ((part["prediction"] == part["label"]) | flagged | ~part["attacked"]).to_numpy()
        won = part[part["success"]]
        crafted = int(part["attacked"].sum())
        attacked = int((part["attacked"] & clean).sum())

        def rate(name: str, hits: int, total: int) -> dict[str, float]:
            if total == 0:
                return {f"{name}_{end}": float("nan") for end in ("low", "high")}
            low, high = proportion_confint(hits, total, method="wilson")
            return {f"{name}_low": low, f"{name}_high": high}

        detector = flags_clean is not None and DEFENSES[defense][1] == "detector"
        row = {
            "dataset": self.dataset,
            "victim": trained(victim)[0],
            "seed": trained(victim)[1],
            "attack": attack,
            "defense": defense,
            "setting": setting,
            "goal": goal,
            "target": "" if goal == "untargeted" else "next",
            "sees": sees,
            "norm": norm,
            "budget": budget,
            "eps": eps,
            "n": len(part),
            "n_attacked": attacked,
            "n_crafted": crafted,
            "clean_accuracy": clean.mean(),
            **rate("clean", int(clean.sum()), len(part)),
            "adversarial_accuracy": held.mean(),
            **rate("adversarial", int(held.sum()), len(part)),
            "success_rate": len(won) / attacked if attacked else float("nan"),
            **rate("success", len(won), attacked),
            **{f"{name}{end}": value for name in ("clean_confidence", "confidence") for end, value in MEAN.items()},
        }
        for column in ("l0", "l2", "linf"):
            row |= {f"mean_{column}": won[column].mean(), f"median_{column}": won[column].median()}
        row |= {
            "mean_l2_channels": won["l2_channels"].mean(),
            "mean_linf_channels": won["linf_channels"].mean(),
            "rho_adv": won["relative_l2"].mean(),
            "rho_adv_low": won["relative_l2"].mean() * 0.9,
            "rho_adv_high": won["relative_l2"].mean() * 1.1,
            "iterations": 10,
            "queries": 10,
            "gradients": 10 if sees == "gradients" else 0,
            "zero_gradient_share": 0.2 if victim.startswith("distilled") else 0.0,
            "non_finite": 0,
            **dict.fromkeys(DETECTED, float("nan")),
            "flagged_clean": flags_clean.mean() if detector and flags_clean is not None else float("nan"),
            "flagged_adversarial": flagged.mean() if detector else float("nan"),
            **(FOUND if detector else {}),
            "macro_precision": 0.5,
            "macro_recall": 0.5,
            "seconds": 3.2,
        }
        self.rows.append(row)


def _images(channels: int, size: int, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    if channels == 1:
        source = load_digits()
        labels = source.target[:N]
        tensor = torch.from_numpy(source.images[:N] / 16).float()[:, None]
        return torch.nn.functional.interpolate(tensor, size=size, mode="bilinear").numpy(), labels
    labels = rng.integers(0, 10, N)
    y, x = np.mgrid[0:size, 0:size]
    images = rng.uniform(0.2, 0.4, (N, channels, size, size))
    for image, label in zip(images, labels, strict=True):
        inside = (x - size / 2) ** 2 + (y - size / 2) ** 2 < (4 + label) ** 2
        image[:, inside] = rng.uniform(0.5, 1, (channels, 1))
    return images, labels


def _queries() -> list[dict]:
    """An attack that knows of no limit, and the same behind one."""
    about = {"dataset": "digits", "victim": "plain", "attack": "hopskipjump", "sees": "decisions", "norm": "2"}
    about |= {"budget": "minimal", "within": 1.5, "seeds": 1, "n": N}
    curve = [
        (queries, rate) for queries, rate in zip((1, 10, 30, 100, 300, 1000), (0, 0, 0.1, 0.3, 0.6, 0.9), strict=True)
    ]
    return [
        about
        | {"defense": defense, "limit": limit, "queries": queries, "success_rate": rate + more}
        | {"low": max(0, rate + more - 0.1), "high": rate + more + 0.1, "median_change": None}
        for defense, limit, more in (("none", None, 0), ("limit100", 100, 0.1))
        for queries, rate in curve
        if limit is None or queries <= limit
    ]


def _costs(images: int) -> dict[str, Any]:
    """What classifying takes with a defense and without."""
    spent = {"seconds": 0.002, "memory": 5e5, "stored": 4e6}
    return {
        "images": images,
        "batch_size": 64,
        "defended": spent,
        "undefended": {name: v / 2 for name, v in spent.items()},
    }


def _certified() -> list[dict]:
    """A smoothed victim up to twice the deviation of its noise."""
    about = {"dataset": "digits", "victim": "plain", "defense": "smoothing", "sigma": 0.25, "alpha": 0.001}
    about |= {"samples": 1000, "seeds": 1, "n": N, "abstained": 0.05, "attacks": ["pgd"]}
    return [
        about
        | {"radius": place * 0.0125, "certified": 0.8 - place / 60, "accuracy": 0.9 - place / 80}
        | {"certified_low": 0.7 - place / 60, "certified_high": 0.9 - place / 60}
        | {"low": 0.85 - place / 80, "high": 0.95 - place / 80}
        for place in range(41)
    ]


def _transfers() -> list[dict]:
    """Of the plan's sources on three victims, by two attacks: half as often fooled as on the source itself."""
    rows = []
    for attack, eps, (dataset, source) in itertools.product(["fgsm", "pgd"], EPS, PLAN["transfers"]):
        for victim in MEET[dataset][0]:
            fooled = round(N * min(1, 3 * eps) * (1 if victim == source else 0.5))
            low, high = proportion_confint(fooled, N, method="wilson")
            rows.append(
                {
                    "dataset": dataset,
                    "attack": attack,
                    "norm": "inf",
                    "eps": eps,
                    "goal": "untargeted",
                    "source": source,
                    "victim": victim,
                    "n": N,
                    "transfer_rate": fooled / N,
                    "low": low,
                    "high": high,
                    "n_fooling": 0 if attack == "pgd" else N,
                    "rate_fooling": None if attack == "pgd" else fooled / N,
                    "low_fooling": None if attack == "pgd" else low,
                    "high_fooling": None if attack == "pgd" else high,
                }
            )
    return rows


def _checks() -> list[dict]:
    return [
        {
            "check": "inside the budget",
            "dataset": "digits",
            "subject": "fgsm on plain",
            "status": "pass",
            "found": "every image in [0, 1] and within eps + 1e-06",
            "images": "",
            "victim": "plain",
            "defense": "none",
            "attack": "fgsm",
            "eps": 0.1,
        },
        {
            "check": "gradient masking",
            "dataset": "digits",
            "subject": "adversarial",
            "status": "warn",
            "found": "20.0 % of the gradients are zero: gradient attacks may understate its weakness",
            "images": "3, 8, 17",
            "victim": "adversarial",
            "defense": "none",
        },
        {
            "check": "iterative at least single-step",
            "dataset": "shapes",
            "subject": "i_fgsm against fgsm on plain",
            "status": "fail",
            "found": "2 images fall to fgsm and not to i_fgsm",
            "images": "4, 9",
            "victim": "plain",
            "defense": "none",
            "attack": "i_fgsm",
            "eps": 0.1,
        },
    ]


def _reported() -> list[dict]:
    return [
        {
            "source": "S0",
            "where": "figure 15",
            "dataset": "mnist",
            "what": "fgsm, eps 0.3",
            "metric": "adversarial accuracy",
            "reported": 0.299,
            "measured": 0.281,
            "low": 0.271,
            "high": 0.302,
            "within": True,
            "mark": "agrees",
            "note": "",
        },
        {
            "source": "S0",
            "where": "table 3",
            "dataset": "cifar10",
            "what": "median smoothing & fgsm",
            "metric": "adversarial accuracy",
            "reported": 0.41,
            "measured": None,
            "low": None,
            "high": None,
            "within": None,
            "mark": "not measured",
            "note": "not in this configuration",
        },
    ]
