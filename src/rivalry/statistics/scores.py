"""One row of scores for each match, and beside it the few columns per image that comparisons need.

Rates: `clean_accuracy`, `adversarial_accuracy` and the macro measures are over all evaluated images, those
that the victim gets wrong unattacked included; `success_rate` is over the `n_attacked` that were attacked and
that the (defended) victim handles unattacked. Confidences are means over all evaluated images, of the probability of
whatever class is given, unattacked and attacked. Perturbation sizes are over those on which the attack succeeded,
and empty when there are none. Work (iterations, queries, gradients, seconds), `flagged_adversarial` and `auc` are
over the `n_crafted` images that the attack changed: in an oblivious set those that the undefended victim has right.
So are `flagged_at_1` and `flagged_at_5`, what a detector flags at the threshold that 1 % and 5 % of held-out clean
training images exceed; `false_alarms_at_1` and `_at_5` are the shares of these clean test images that exceed it.
`detection_accuracy` is the share of right verdicts, at the detector's own threshold, on as many clean images as
attacked ones.

A detector, or a victim that can refuse, handles an image by refusing it when it was attacked, and by classifying it
correctly without refusing it when it was not. An image that is lost clean is lost under attack, so no accuracy under
attack is above the clean one.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pandas as pd
from sklearn.metrics import precision_recall_fscore_support, roc_auc_score

from rivalry.artifacts import read_json, read_table
from rivalry.layout import Layout, defended, trained
from rivalry.statistics.merging import grouped, means
from rivalry.statistics.rates import auc_interval, mean_interval, wilson_interval
from rivalry.types import FALSE_ALARMS, REFUSED

SIZES = ["l0", "l2", "linf"]
WORK = ["iterations", "queries", "gradients"]
DETECTED = [
    *(f"{rate}{end}" for rate in ("flagged_clean", "flagged_adversarial", "auc") for end in ("", "_low", "_high")),
    *(f"flagged_at_{100 * share:g}{end}" for share in FALSE_ALARMS for end in ("", "_low", "_high")),
    *(f"false_alarms_at_{100 * share:g}" for share in FALSE_ALARMS),
    "detection_accuracy",
]
TRACES = ["iterations", "zero_gradient", "finite"]
"""What only the attack's own table records, not the evaluation of a defense."""


@dataclass(frozen=True)
class ScoredMatch:
    """One data set x victim x attack x defense at one eps.

    `row` is its row of scores; `images`, indexed by row of the test split, has `wrong` (the victim errs;
    for a targeted attack: gives the target), `success` (of an attacked image) and `l2`. Images of the
    target class are left out. Where matches of several trainings
    were `joined`, `single` are these, and numbers in `row` are means. `flags`, of victims that may refuse, says by row
    of the test split whether the `clean` image and the `adversarial` one are refused, NaN where it was not attacked.
    """

    row: dict[str, Any]
    images: pd.DataFrame
    attack: dict[str, Any]
    defense: dict[str, Any] | None
    single: tuple[ScoredMatch, ...] = ()
    flags: pd.DataFrame | None = None

    @property
    def trainings(self) -> tuple[ScoredMatch, ...]:
        """The match of every training, in the order of seeds."""
        return self.single or (self,)

    @property
    def name(self) -> str:
        """The attack and its budget, for readers."""
        eps = self.row["eps"]
        return self.row["attack"] if np.isnan(eps) else f"{self.row['attack']} (eps {eps:.4g})"

    @property
    def trigger(self) -> bool:
        """Whether the attack stamps the trigger of a poisoning."""
        return "poisoning" in self.attack["parameters"]


def undefended_matches(layout: Layout, names: Sequence[str], confidence: float) -> list[ScoredMatch]:
    """The matches of one attack with one victim, one an eps; `names` are data set, victim, attack."""
    dataset, victim, attack = names
    place = layout.attack(dataset, victim, attack)
    facts, scores = read_json(place.facts), read_table(place["scores"])
    refuses = _refuses(layout, dataset, victim)
    scores["clean_handled"] = scores["clean_prediction"] == scores["label"]
    scores["clean_flagged"] = scores["clean_prediction"] == REFUSED
    scores["flagged"] = scores["prediction"] == REFUSED
    answers = read_table(layout.victim(dataset, victim)["predictions"]).set_index("index")
    scores["clean_confidence"] = scores["index"].map(answers["confidence"])
    right = scores["prediction"] == scores["label"]
    scores["handled"] = scores["clean_handled"] & (right | scores["flagged"] | ~scores["attacked"])
    return [
        _scored(images, facts, None, {"defense": "none", "setting": "undefended"}, confidence, refuses=refuses)
        for _, images in scores.groupby("eps", dropna=False)
    ]


def evaluated_matches(layout: Layout, names: Sequence[str], confidence: float) -> list[ScoredMatch]:
    """The matches of all attacks with one defended victim, oblivious and adaptive.

    `names` are data set, victim, defense.
    """
    dataset, victim, defense = names
    scores = read_table(layout.evaluation(dataset, victim, defense)["scores"])
    facts = read_json(layout.defense(dataset, victim, defense).facts)
    refuses = facts["kind"] == "detector" or _refuses(layout, dataset, victim)
    clean = scores[scores["setting"] == "clean"].set_index("index")
    matches = []
    adversarial = scores[scores["setting"] != "clean"]
    for (attack, setting), rows in adversarial.groupby(["attack", "setting"], sort=False):
        attacked = defended(victim, defense) if setting == "adaptive" else victim
        place = layout.attack(dataset, attacked, str(attack))
        attack_facts = read_json(place.facts)
        traces = read_table(place["scores"])[["index", "eps", *TRACES]]
        rows = rows.drop(columns=[name for name in TRACES if name in rows])
        for _, images in rows.merge(traces, on=["index", "eps"], how="left").groupby("eps", dropna=False):
            if "confidence" in clean:
                images["clean_confidence"] = images["index"].map(clean["confidence"])
            if refuses:
                images = images.join(clean[["flagged", "score"]].add_prefix("clean_"), on="index")
            context = {"defense": defense, "setting": str(setting)}
            matches.append(_scored(images, attack_facts, facts, context, confidence, refuses=refuses))
    return matches


def _refuses(layout: Layout, dataset: str, victim: str) -> bool:
    """Whether a victim without a defense may refuse an image."""
    return read_json(layout.victim(dataset, victim).facts).get("reject_class") is not None


def tested(layout: Layout, plan: dict[str, Any]) -> list[dict[str, Any]]:
    """Each training's accuracy on the whole test split, without an attack: dataset, victim, clean_accuracy, n_test."""
    rows = []
    for dataset, name in plan["victims"]:
        predictions = read_table(layout.victim(dataset, name)["predictions"])
        right = predictions["prediction"] == predictions["label"]
        victim = trained(name)[0]
        rows.append({"dataset": dataset, "victim": victim, "clean_accuracy": right.mean(), "n_test": len(right)})
    return rows


def joined(matches: Sequence[ScoredMatch]) -> list[ScoredMatch]:
    """One match for all trainings of a victim."""
    groups = grouped("scores", matches, lambda match: match.row)
    return [
        replace(of[0], row=means("scores", [one.row for one in of]), single=tuple(of)) if len(of) > 1 else of[0]
        for of in groups
    ]


def clean_errors(layout: Layout, plan: dict[str, Any]) -> dict[tuple[str, str, str], list[pd.Series]]:
    """Whether each victim errs on each clean test image: by (data set, victim, defense) of each training, by row.

    Victims alone ("none") are measured on the whole test split, defended ones on the evaluated images.
    """
    errors: dict[tuple[str, str, str], list[pd.Series]] = {}
    for dataset, victim in plan["victims"]:
        rows = read_table(layout.victim(dataset, victim)["predictions"]).set_index("index")
        wrong = rows["prediction"] != rows["label"]
        errors.setdefault((dataset, trained(victim)[0], "none"), []).append(wrong)
    for dataset, victim, defense in plan["evaluations"]:
        rows = read_table(layout.evaluation(dataset, victim, defense)["scores"])
        rows = rows[rows["setting"] == "clean"].set_index("index")
        errors.setdefault((dataset, trained(victim)[0], defense), []).append(~rows["handled"])
    return errors


def fooling_rates(layout: Layout, names: Sequence[Sequence[str]], confidence: float) -> list[dict[str, Any]]:
    """The facts of sets of fooling images (data set, victim, fooling), and the share that fools: rate, low, high."""
    found = []
    for dataset, victim, fooling in names:
        place = layout.fooling(dataset, victim, fooling)
        fools = read_table(place["scores"])["success"]
        found.append(read_json(place.facts) | rate(("rate", "low", "high"), fools, confidence))
    return found


def _scored(
    images: pd.DataFrame,
    attack: dict[str, Any],
    defense: dict[str, Any] | None,
    context: dict[str, str],
    confidence: float,
    *,
    refuses: bool,
) -> ScoredMatch:
    crafted = images[images["attacked"]]
    attacked = crafted[crafted["clean_handled"]]
    fooled = attacked[attacked["success"]]
    targeted = attack["goal"] == "targeted"
    victim, seed = trained(attack["victim"])
    row: dict[str, Any] = {
        "dataset": attack["dataset"],
        "victim": victim,
        "seed": seed,
        "attack": attack["attack"],
        **context,
        "goal": attack["goal"],
        "target": attack.get("target"),
        "sees": attack["sees"],
        "norm": attack["norm"],
        "budget": attack["budget"],
        "eps": float(images["eps"].iloc[0]),
        "n": len(images),
        "n_attacked": len(attacked),
        "n_crafted": len(crafted),
        **rate(("clean_accuracy", "clean_low", "clean_high"), images["clean_handled"], confidence),
        **rate(("adversarial_accuracy", "adversarial_low", "adversarial_high"), images["handled"], confidence),
        **rate(("success_rate", "success_low", "success_high"), attacked["success"], confidence),
        **_mean("clean_confidence", images, confidence),
        **_mean("confidence", images, confidence),
    }
    for size in SIZES:
        row[f"mean_{size}"], row[f"median_{size}"] = fooled[size].mean(), fooled[size].median()
    row |= {f"mean_{size}": fooled[size].mean() for size in ("l2_channels", "linf_channels")}
    row["rho_adv"] = fooled["relative_l2"].mean()
    row["rho_adv_low"], row["rho_adv_high"] = mean_interval(fooled["relative_l2"], confidence)
    row |= {name: crafted[name].mean() for name in WORK}
    row["zero_gradient_share"] = crafted["zero_gradient"].mean()
    row["non_finite"] = int((~crafted["finite"].astype(bool)).sum())
    row |= dict.fromkeys(DETECTED, np.nan)
    flags = None
    if refuses:
        row |= rate(("flagged_clean", "flagged_clean_low", "flagged_clean_high"), images["clean_flagged"], confidence)
        names = ("flagged_adversarial", "flagged_adversarial_low", "flagged_adversarial_high")
        row |= rate(names, crafted["flagged"], confidence)
        row["detection_accuracy"] = (row["flagged_adversarial"] + 1 - row["flagged_clean"]) / 2
        met = images.set_index("index")
        flags = pd.DataFrame({"clean": met["clean_flagged"], "adversarial": met["flagged"].where(met["attacked"])})
    if defense is not None and defense["kind"] == "detector":
        thresholds = defense.get("facts", {}).get("thresholds", {})
        row |= _told_apart(crafted["clean_score"], crafted["score"], confidence)
        row |= _above(thresholds, images["clean_score"], crafted["score"], confidence)
    row["macro_precision"], row["macro_recall"] = macro_measures(images["label"], images["prediction"])
    row["seconds"] = crafted["seconds"].mean()

    aimed = images[images["label"] != images["target"]].set_index("index")
    success = aimed["success"] & aimed["attacked"] & aimed["clean_handled"]
    slim = pd.DataFrame({"wrong": success if targeted else ~aimed["handled"], "success": success, "l2": aimed["l2"]})
    return ScoredMatch(row, slim, attack, defense, flags=flags)


def _told_apart(clean: pd.Series, attacked: pd.Series, confidence: float) -> dict[str, float]:
    """How well a detector's scores tell attacked images from the same ones unchanged.

    Others among the clean images are harder for the victim, and look different: beside them an attack that changes
    nothing would not get 0.5.
    """
    judged = pd.concat([clean, attacked])
    if attacked.empty or judged.isna().any():
        return {}
    auc = float(roc_auc_score(np.repeat([0, 1], [len(clean), len(attacked)]), judged))
    low, high = auc_interval(auc, len(clean), len(attacked), confidence)
    return {"auc": auc, "auc_low": low, "auc_high": high}


def _above(thresholds: dict[str, float], clean: pd.Series, attacked: pd.Series, confidence: float) -> dict[str, float]:
    """What lies above each threshold, of all clean images and of the attacked ones."""
    found: dict[str, float] = {}
    if attacked.empty or clean.isna().any() or attacked.isna().any():
        return found
    for share, threshold in thresholds.items():
        found[f"false_alarms_at_{share}"] = float((clean > threshold).mean())
        name = f"flagged_at_{share}"
        found |= rate((name, f"{name}_low", f"{name}_high"), attacked > threshold, confidence)
    return found


def _mean(name: str, images: pd.DataFrame, confidence: float) -> dict[str, float]:
    """The mean of a column and its interval; NaN where there is no such column."""
    if name not in images:
        return {}
    low, high = mean_interval(images[name], confidence)
    # A mean in single precision, with the digits that it has.
    return {name: float(str(images[name].mean())), f"{name}_low": low, f"{name}_high": high}


def macro_measures(labels: pd.Series, predictions: pd.Series) -> tuple[float, float]:
    """Precision and recall averaged over the labels' classes; 0 where a class is never predicted."""
    precision, recall, _, _ = precision_recall_fscore_support(
        labels, predictions, labels=sorted(labels.unique()), average="macro", zero_division=0
    )
    return float(precision), float(recall)


def rate(names: tuple[str, str, str], hits: pd.Series, confidence: float) -> dict[str, float]:
    """The share of hits and its Wilson interval, under three names; NaN of nothing."""
    low, high = wilson_interval(int(hits.sum()), len(hits), confidence) if len(hits) else (np.nan, np.nan)
    return dict(zip(names, (hits.mean(), low, high), strict=True))
