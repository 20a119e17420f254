"""What the report checks about its own results, from the files alone."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from safetensors import safe_open
from torch import Tensor, nn
from torch.nn.functional import cross_entropy

from rivalry.artifacts import read_json, read_table, write_manifest, write_table
from rivalry.attacks._norms import length as norm_length
from rivalry.data import Split, load_split
from rivalry.devices import device, moved
from rivalry.victims import load_victim

BATCH = 256
TOLERANCE = 1e-6
"""Rounding allowed on a budget, in units of the pixel range."""
SURE = 1e-3
"""Difference in probability that another batch size may make."""
TIE = 1e-4
"""Two best logits closer than this share of their size are a tie, which another batch size may break."""
NOTICEABLE = 0.01
"""Shares below this are noise, as far as warnings are concerned."""

Row = dict[str, Any]


@dataclass(frozen=True)
class Crafted:
    """One attack's set of images on disk, all its eps."""

    folder: Path
    victim: Path
    facts: dict[str, Any]
    scores: pd.DataFrame

    @property
    def subject(self) -> str:
        return f"{self.facts['attack']} on {self.folder.parent.name}"

    @property
    def budgets(self) -> list[tuple[float, pd.DataFrame]]:
        """Each eps, ascending, with its scores; one NaN without eps."""
        return [
            (float(rows["eps"].iloc[0]), rows.reset_index(drop=True))
            for _, rows in self.scores.groupby("eps", dropna=False)
        ]

    def images(self, eps: float) -> Iterator[tuple[slice, Tensor]]:
        """The images made at `eps`, batch by batch, with the rows they belong to."""
        with safe_open(self.folder / "adversarial.safetensors", framework="pt") as tensors:
            key = "images" if "images" in tensors.keys() else f"images_eps_{eps:g}"  # noqa: SIM118 (no mapping)
            images = tensors.get_slice(key)
            for start in range(0, images.get_shape()[0], BATCH):
                rows = slice(start, start + BATCH)
                yield rows, images[rows]


def check(results: Path, output: Path, *, plan: dict[str, Any], accelerator: str) -> None:
    """Write checks.csv: check, dataset, subject, status (pass, warn, fail), found, images (at most ten rows).

    Parameters
    ----------
    results, output : Path
        Folder of the run, and the folder for its tables.
    plan : dict
        What belongs to the run; see `rivalry.stages.tabulate`.
    accelerator : str
        auto, cpu or gpu: where victims predict again.
    """
    place = device(accelerator)
    rows: list[Row] = []
    for dataset in dict.fromkeys(dataset for dataset, _ in plan["victims"]):
        test = load_split(results / "data" / dataset, "test")
        classes = read_json(results / "data" / dataset / "dataset.json")["classes"]
        crafted = list(_crafted(results, dataset, plan))
        models = [results / "victims" / dataset / name for place_, name in plan["victims"] if place_ == dataset]
        models += [results / "defenses" / "/".join(names) for names in plan["evaluations"] if names[0] == dataset]
        found: list[Row] = []
        for one in crafted:
            found += check_images(one, test, place)
        found += check_same_images(crafted, test)
        for folder in models:
            victim = moved(load_victim(folder), place)
            subject = "+".join(folder.relative_to(results).parts[2:])
            found += check_logits(victim, subject, test, place)
            found += check_gradients(victim, subject, test, place)
        found += check_iterative(crafted)
        found += check_noise(crafted)
        found += check_masking(crafted)
        found += check_converged(crafted)
        found += check_transfer(crafted, _replayed(results, dataset, plan))
        for one in crafted:
            found += check_monotone(one)
            found += check_success(one, classes)
        found += check_broken_defenses(crafted, models)
        for _, victim_name, fooling in (names for names in plan["fooling"] if names[0] == dataset):
            folder = results / "fooling" / dataset / victim_name / fooling
            found += check_fooling(folder, results / "victims" / dataset / victim_name, place)
        rows += [{"dataset": dataset, **row} for row in found]
    columns = ["check", "dataset", "subject", "status", "found", "images"]
    write_table(output / "checks.csv", pd.DataFrame(rows, columns=columns))
    write_manifest(output, "check", [output / "checks.csv"])


def check_images(crafted: Crafted, test: Split, place: torch.device) -> Iterator[Row]:
    """Adversarial images are images, keep to their budget, and fool the victim as recorded.

    Everything is recomputed from the files: pixels within [0,1], the change within eps in the attack's norm,
    unattacked images untouched, and the victim's predictions made again.
    """
    victim = moved(load_victim(crafted.victim), place)
    norm = crafted.facts["norm"] if crafted.facts["norm"] == "inf" else int(crafted.facts["norm"])
    for eps, scores in crafted.budgets:
        faults: dict[str, list[int]] = {
            "outside [0,1]": [],
            "outside eps": [],
            "touched": [],
            "other": [],
            "tie": [],
        }
        for rows, images in crafted.images(eps):
            part = scores.iloc[rows]
            index = torch.tensor(part["index"].to_numpy())
            change = images - test.floats(index)
            inside = (images >= 0) & (images <= 1)
            faults["outside [0,1]"] += index[~inside.flatten(1).all(dim=1)].tolist()
            if not np.isnan(eps):
                size = norm_length(change, norm)
                # Rounding of float32 adds up over the pixels of an L2 norm.
                faults["outside eps"] += index[~(size <= eps + TOLERANCE * (1 + eps))].tolist()
            untouched = torch.tensor(~part["attacked"].to_numpy(dtype=bool))
            faults["touched"] += index[untouched & (change != 0).flatten(1).any(dim=1)].tolist()
            predicted, tied = _predict(victim, images.to(place))
            other = predicted != torch.tensor(_classes(victim, part["prediction"]))
            faults["other"] += index[other & ~tied].tolist()
            faults["tie"] += index[other & tied].tolist()
        subject = crafted.subject if np.isnan(eps) else f"{crafted.subject}, eps {eps:.4g}"
        said = {
            "outside [0,1]": ("fail", "images in [0,1]", "every pixel in [0,1]", "images leave [0,1]"),
            "outside eps": ("fail", "budget kept", "every change within its budget", "images exceed eps"),
            "touched": (
                "fail",
                "only attackable images touched",
                "the others untouched",
                "unattacked images changed",
            ),
            "other": (
                "fail",
                "predictions repeat",
                "predictions repeat from disk",
                "images are predicted otherwise",
            ),
            "tie": ("warn", "predictions repeat", "", "images lie on a boundary to rounding and flip"),
        }
        for fault, (status, name, fine, wrong) in said.items():
            if faults[fault]:
                yield _row(name, subject, status, f"{len(faults[fault])} of {len(scores)} {wrong}", faults[fault])
            elif fine:
                yield _row(name, subject, "pass", f"{len(scores)} images: {fine}")


def check_same_images(crafted: Sequence[Crafted], test: Split) -> Iterator[Row]:
    """All attacks met the same test images, so that a table has one denominator.

    The images' hash is recomputed from the test split, and recorded labels are compared with the split's.
    """
    counts: dict[int, list[str]] = {}
    wrong: list[str] = []
    hashes: dict[bytes, str] = {}
    for one in crafted:
        index = one.budgets[0][1]["index"].to_numpy()
        counts.setdefault(len(index), []).append(one.subject)
        if index.tobytes() not in hashes:
            hashes[index.tobytes()] = _images_hash(test, torch.tensor(index))
        labels = test.labels[torch.tensor(one.scores["index"].to_numpy())].numpy()
        if one.facts["images_sha256"] != hashes[index.tobytes()] or (one.scores["label"] != labels).any():
            wrong.append(one.subject)
    if wrong:
        yield _row(
            "same images",
            "test split",
            "fail",
            f"made on other images or labels than the split's: {_some(wrong)}",
        )
    if len(hashes) > 1:
        largest = max(counts)
        fewer = [f"{name} ({n})" for n, names in counts.items() if n < largest for name in names]
        words = f"{len(hashes)} sets of test images, {largest} images at most; fewer: {_some(fewer) or 'none'}"
        yield _row("same images", "all attacks", "warn" if fewer else "fail", words)
    elif hashes and not wrong:
        yield _row(
            "same images",
            "all attacks",
            "pass",
            f"{len(crafted)} attacks on the same {max(counts)} test images",
        )


def check_logits(victim: nn.Module, subject: str, test: Split, place: torch.device) -> Iterator[Row]:
    """Victims return logits, not probabilities, and the same ones each time.

    Attacks on a softmax output meet vanishing gradients and make a victim look robust. A victim that answers
    otherwise each time has to be attacked in expectation (EOT).
    """
    images = test.floats(slice(BATCH)).to(place)
    with torch.no_grad():
        passes = [victim(images) for _ in range(5)]
    logits = passes[0]
    reject = getattr(victim, "reject_class", None)
    if not bool(logits.isfinite().all()):
        yield _row("logits", subject, "fail", "some outputs are not finite", _where(~logits.isfinite().all(dim=1)))
    elif bool((logits >= 0).all()) and bool(((logits.sum(dim=1) - 1).abs() < 1e-3).all()):
        yield _row("logits", subject, "fail", "outputs are probabilities: not negative, and each row sums to 1")
    else:
        words = f"{logits.shape[1]} outputs from {logits.min():.3g} to {logits.max():.3g}"
        yield _row("logits", subject, "pass", words + (", the last refuses" if isinstance(reject, int) else ""))
    spread = torch.stack([(other - logits).abs().amax(dim=1) for other in passes[1:]]).amax(dim=0)
    varying = spread > 1e-4 * logits.abs().amax(dim=1).clamp_min(1)
    if bool(varying.any()):
        words = f"five passes differ on {int(varying.sum())} of {len(images)} images: attacks need EOT"
        yield _row("passes agree", subject, "warn", words, _where(varying))
    else:
        yield _row("passes agree", subject, "pass", f"five passes agree on {len(images)} images")


def check_gradients(victim: nn.Module, subject: str, test: Split, place: torch.device) -> Iterator[Row]:
    """Gradients reach the pixels: the share of images whose loss gradient is zero or not finite.

    Where it is high, attacks on the loss fail for lack of a direction, not because the victim is robust.
    """
    images = test.floats(slice(BATCH)).to(place).requires_grad_(True)
    victim.requires_grad_(False)
    logits = victim(images)
    if not logits.requires_grad:
        yield _row("gradients", subject, "warn", "no gradient reaches the pixels: attacks need BPDA")
        return
    loss = cross_entropy(logits, test.labels[:BATCH].to(place), reduction="sum")
    (gradient,) = torch.autograd.grad(loss, images)
    flat = gradient.flatten(1)
    broken, zero = ~flat.isfinite().all(dim=1), (flat == 0).all(dim=1)
    words = f"of {len(flat)} images' loss gradients {_percent(zero)} are zero and {_percent(broken)} not finite"
    status = "fail" if bool(broken.any()) else "warn" if zero.float().mean() >= NOTICEABLE else "pass"
    yield _row("gradients", subject, status, words, _where(broken | zero))


def check_fooling(folder: Path, victim: Path, place: torch.device) -> Iterator[Row]:
    """Fooling images are images, and the victim is as sure of them as recorded, not surer and not less."""
    scores = read_table(folder / "scores.parquet")
    with safe_open(folder / "images.safetensors", framework="pt") as tensors:
        images = tensors.get_tensor("images")
    outside = ~((images >= 0) & (images <= 1)).flatten(1).all(dim=1)
    model = moved(load_victim(victim), place)
    with torch.no_grad():
        probabilities = torch.cat([model(part.to(place)).softmax(dim=1).cpu() for part in images.split(BATCH)])
    sure = probabilities.gather(1, torch.tensor(scores["target"].to_numpy())[:, None]).squeeze(1)
    other = ~((sure - torch.tensor(scores["confidence"].to_numpy())).abs() <= SURE)
    subject = f"{folder.name} on {victim.name}"
    for wrong, said in ((outside, "images leave [0,1]"), (other, "images have other confidences than recorded")):
        if bool(wrong.any()):
            words = f"{int(wrong.sum())} of {len(scores)} {said}"
            yield _row("fooling images repeat", subject, "fail", words, _where(wrong))
    if not bool((outside | other).any()):
        yield _row("fooling images repeat", subject, "pass", f"{len(scores)} images with the recorded confidences")


def check_iterative(crafted: Sequence[Crafted]) -> Iterator[Row]:
    """Many steps are at least as strong as one, image by image, at the same eps.

    Where one step fools the victim and many do not, gradients mislead.
    """
    gradient = [one for one in crafted if one.facts["sees"] == "gradients"]
    for single in gradient:
        for eps, one_step in single.budgets:
            if np.isnan(eps) or one_step["iterations"].max() > 1:
                continue
            for other in gradient:
                if not _same_game(single, other):
                    continue
                for other_eps, steps in other.budgets:
                    if other_eps == eps and steps["iterations"].max() > 1:
                        subject = f"{other.subject} against {single.facts['attack']}, eps {eps:.4g}"
                        yield _stronger("iterative at least single-step", subject, steps, one_step)


def check_noise(crafted: Sequence[Crafted]) -> Iterator[Row]:
    """An attack that sees gradients is at least as strong as noise of the same size."""
    for noise in crafted:
        if noise.facts["sees"] != "nothing" or "poisoning" in noise.facts["parameters"]:
            continue
        for one in crafted:
            if one.facts["sees"] != "gradients" or not _same_game(noise, one):
                continue
            for eps, blind in noise.budgets:
                for other_eps, seeing in one.budgets:
                    if other_eps == eps:
                        subject = f"{one.subject} against {noise.facts['attack']}, eps {eps:.4g}"
                        yield _stronger("white-box at least noise", subject, seeing, blind)


def check_masking(crafted: Sequence[Crafted]) -> Iterator[Row]:
    """An attack that sees only scores or decisions does not beat the ones that see gradients.

    Where it does, gradients mislead: the victim masks them, and gradient attacks overrate it. Compared are, at a
    common eps, all gradient attacks of the norm taken together, and for attacks that seek the smallest change,
    its median size on the images that both fooled.
    """
    for one in crafted:
        if one.facts["sees"] not in ("scores", "decisions"):
            continue
        rivals = [other for other in crafted if other.facts["sees"] == "gradients" and _same_game(one, other)]
        for eps, blind in one.budgets:
            if not np.isnan(eps):
                seeing = [rows for other in rivals for at, rows in other.budgets if at == eps]
                if seeing:
                    subject = f"{one.subject} against the gradient attacks, eps {eps:.4g}"
                    yield _stronger("black box at most white box", subject, _together(seeing), blind)
                continue
            size = {"inf": "linf", "2": "l2", "0": "l0"}[str(one.facts["norm"])]
            minimal = [rows for other in rivals for at, rows in other.budgets if np.isnan(at)]
            if minimal:
                fooled = [rows.loc[rows["success"]].set_index("index")[size] for rows in minimal]
                both = pd.concat(fooled).groupby(level=0).min().rename("seeing").to_frame()
                both = both.join(blind.loc[blind["success"]].set_index("index")[size].rename("blind"), how="inner")
                if both.empty:
                    continue
                seen, unseen = both["seeing"].median(), both["blind"].median()
                smaller = both.index[both["blind"] < (1 - NOTICEABLE) * both["seeing"]].tolist()
                words = f"median {size} {unseen:.3g} against {seen:.3g} on {len(both)} images that both fooled; "
                words += f"smaller on {len(smaller)} of them"
                status = "fail" if unseen < (1 - NOTICEABLE) * seen else "warn" if smaller else "pass"
                subject = f"{one.subject} against the gradient attacks"
                yield _row("black box at most white box", subject, status, words, smaller)


EFFORT = {"steps", "restarts", "iterations", "generations", "queries", "search_steps"}
"""Parameters that say how long an attack tries."""


def check_converged(crafted: Sequence[Crafted]) -> Iterator[Row]:
    """Twice the effort changes little: success moves by less than a point.

    Where two entries of one attack differ only in steps, restarts, iterations, generations or queries, one of
    them at least twice the other's.
    """
    for short in crafted:
        for long in crafted:
            if short.facts["method"] != long.facts["method"] or not _same_game(short, long):
                continue
            a, b = short.facts["parameters"], long.facts["parameters"]
            other = {key for key in a if a[key] != b.get(key)} - {"eps"}
            if len(other) != 1 or not other <= EFFORT or b[min(other)] < 2 * a[min(other)]:
                continue
            for eps, few in short.budgets:
                for at, many in long.budgets:
                    if eps != at and not (np.isnan(eps) and np.isnan(at)):
                        continue
                    both = few.merge(many, on="index", suffixes=("", "_many")).set_index("index")
                    both = both[both["attacked"] & both["attacked_many"]]
                    if both.empty:
                        continue
                    gain = both["success_many"].mean() - both["success"].mean()
                    key = min(other)
                    words = f"from {a[key]} to {b[key]} {key} success moves by {100 * gain:+.1f} points"
                    won = both.index[both["success_many"] & ~both["success"]].tolist()
                    subject = f"{long.subject} against {short.facts['attack']}" + (
                        "" if np.isnan(eps) else f", eps {eps:.4g}"
                    )
                    yield _row("converged", subject, "pass" if abs(gain) < NOTICEABLE else "warn", words, won)


def check_transfer(crafted: Sequence[Crafted], replayed: pd.DataFrame) -> Iterator[Row]:
    """What is crafted on a victim fools it at least as often as what is crafted on another and replayed.

    Where it does not, the victim's own gradients mislead. For each victim, attack and eps, with the source whose
    images do best against it: compared are images that both sources' attacks were after, with the same target.
    """
    for one in crafted:
        if one.facts["defense"] != "none":
            continue
        mine = replayed[(replayed["victim"] == one.facts["victim"]) & (replayed["attack"] == one.facts["attack"])]
        for eps, own in one.budgets:
            at = mine[mine["eps"].isna() if np.isnan(eps) else mine["eps"] == eps]
            rivals = []
            for source, images in at[at["source"] != one.facts["victim"]].groupby("source", sort=False):
                both = own.merge(images, on=["index", "target"], suffixes=("", "_replayed")).set_index("index")
                both = both[both["attacked"] & both["attacked_replayed"]]
                if len(both):
                    rivals.append((both["success_replayed"].mean() - both["success"].mean(), source, both))
            if not rivals:
                continue
            excess, source, both = max(rivals, key=lambda rival: rival[0])
            lost = both.index[both["success_replayed"] & ~both["success"]].tolist()
            words = f"its own set fools it on {_percent(both['success'])} of {len(both)} images, "
            words += f"that of {source} on {_percent(both['success_replayed'])}"
            single = own["iterations"].max() <= 1
            words += ": one step may overshoot" if excess > 0 and single else ""
            status = "pass" if excess <= 0 else "fail" if excess > NOTICEABLE and not single else "warn"
            subject = one.subject if np.isnan(eps) else f"{one.subject}, eps {eps:.4g}"
            yield _row("white-box at least transfer", subject, status, words, lost if excess > 0 else [])


def check_monotone(crafted: Crafted) -> Iterator[Row]:
    """A larger eps does not save images: success does not fall as eps grows.

    A single step may overshoot, so for it a fall is only remarked on.
    """
    budgets = crafted.budgets
    if len(budgets) < 2:
        return
    rates = [rows.loc[rows["attacked"], "success"].mean() for _, rows in budgets]
    falls = [
        (small, large, low - high)
        for (small, _), (large, _), low, high in zip(budgets, budgets[1:], rates, rates[1:], strict=False)
        if high < low
    ]
    if not falls:
        words = f"success never falls: {100 * rates[0]:.1f} % to {100 * rates[-1]:.1f} % over {len(rates)} eps"
        yield _row("success grows with eps", crafted.subject, "pass", words)
        return
    small, large, fall = max(falls, key=lambda one: one[2])
    single = crafted.scores["iterations"].max() <= 1
    status = "fail" if fall > NOTICEABLE and not single else "warn"
    words = f"success falls by {100 * fall:.1f} points from eps {small:.4g} to {large:.4g}"
    words += ": one step may overshoot" if single else ""
    rows = {eps: part.set_index("index") for eps, part in budgets}
    lost = rows[small].index[rows[small]["success"] & ~rows[large]["success"].reindex(rows[small].index)]
    yield _row("success grows with eps", crafted.subject, status, words, lost.tolist())


def check_success(crafted: Crafted, classes: int) -> Iterator[Row]:
    """Success is what the goal says: the target for targeted attacks, any wrong class for the others.

    Only images that the victim got right, and that are not of the target's class, count. Recomputed from the
    recorded predictions; a refusal is no success.
    """
    scores = crafted.scores
    targeted = crafted.facts["goal"] == "targeted"
    attackable = (scores["clean_prediction"] == scores["label"]) & (scores["label"] != scores["target"])
    # A refusal is recorded as -1 or as the class after the last, neither of which is a class of the data set.
    wrong = (scores["prediction"] != scores["label"]) & scores["prediction"].between(0, classes - 1)
    reached = scores["prediction"] == scores["target"] if targeted else wrong
    other = scores[(scores["success"] != (attackable & reached)) | (scores["attacked"] != attackable)]
    goal = "hitting the target" if targeted else "any wrong class"
    if len(other):
        words = f"{len(other)} of {len(scores)} rows are not scored on {goal}"
        yield _row("scored on its goal", crafted.subject, "fail", words, other["index"].tolist())
    else:
        words = f"{scores['success'].sum()} of {scores['attacked'].sum()} attacked rows succeed by {goal}"
        yield _row("scored on its goal", crafted.subject, "pass", words)


def check_broken_defenses(crafted: Sequence[Crafted], models: Sequence[Path]) -> Iterator[Row]:
    """Defenses known to be broken do break: a run that cannot break distillation attacks too weakly."""
    for folder in models:
        facts = folder / "victim.json"
        if not facts.is_file() or read_json(facts)["method"] != "defensive_distillation":
            continue
        rates = {}
        for one in crafted:
            if one.victim == folder and one.facts["goal"] == "untargeted" and one.facts["sees"] != "nothing":
                for eps, rows in one.budgets:
                    name = one.facts["attack"] + ("" if np.isnan(eps) else f" (eps {eps:.4g})")
                    rates[name] = rows.loc[rows["attacked"], "success"].mean()
        if not rates:
            yield _row("broken defenses break", folder.name, "warn", "no untargeted attack meets it in this run")
            continue
        best = max(rates, key=lambda name: rates[name])
        words = f"the strongest attack, {best}, fools {100 * rates[best]:.1f} %"
        if rates[best] >= 0.9:
            yield _row("broken defenses break", folder.name, "pass", words)
        else:
            yield _row(
                "broken defenses break",
                folder.name,
                "warn",
                words + ": too weak an attack, not a robust victim",
            )


def _crafted(results: Path, dataset: str, plan: dict[str, Any]) -> Iterator[Crafted]:
    folders = [
        (results / "attacks" / dataset / victim / attack, results / "victims" / dataset / victim)
        for place, victim, attack in plan["attacks"]
        if place == dataset
    ]
    for place, victim, defense in plan["evaluations"]:
        if place == dataset:
            evaluated = read_table(results / "evaluations" / place / victim / defense / "scores.parquet")
            adaptive = evaluated.loc[evaluated["setting"] == "adaptive", "attack"].unique()
            attacks = results / "attacks" / dataset / f"{victim}+{defense}"
            folders += [(attacks / name, results / "defenses" / dataset / victim / defense) for name in adaptive]
    for folder, attacked in folders:
        yield Crafted(folder, attacked, read_json(folder / "attack.json"), read_table(folder / "scores.parquet"))


def _replayed(results: Path, dataset: str, plan: dict[str, Any]) -> pd.DataFrame:
    """Every set that was replayed on a data set, with its source; an image counts as attacked if its victim has it
    right."""
    tables = [
        read_table(results / "transfers" / place / source / "scores.parquet").assign(source=source)
        for place, source in plan["transfers"]
        if place == dataset
    ]
    if not tables:
        return pd.DataFrame(columns=["victim", "attack", "eps", "source"])
    table = pd.concat(tables, ignore_index=True)
    return table.assign(attacked=table["attacked"] & table["clean_correct"])


def _images_hash(test: Split, index: Tensor) -> str:
    digest = hashlib.sha256()
    for rows in index.split(BATCH):
        digest.update(test.floats(rows).numpy().tobytes())
    return digest.hexdigest()


def _predict(victim: nn.Module, images: Tensor) -> tuple[Tensor, Tensor]:
    """Predicted classes, and where the two best logits are equal to rounding; both (N,) on the CPU."""
    with torch.no_grad():
        logits = victim(images)
    best = logits.topk(2, dim=1)
    tied = best[0][:, 0] - best[0][:, 1] <= TIE * logits.abs().amax(dim=1)
    return best[1][:, 0].cpu(), tied.cpu()


def _classes(victim: nn.Module, predictions: pd.Series) -> np.ndarray:
    """Recorded predictions as the victim's own outputs: -1, a refusal, is its reject class."""
    reject = getattr(victim, "reject_class", None)
    return predictions.to_numpy() if reject is None else predictions.replace(-1, reject).to_numpy()


def _same_game(a: Crafted, b: Crafted) -> bool:
    """Whether two attacks differ in nothing but the attack: victim, goal, target and norm agree."""
    return a is not b and a.victim == b.victim and all(a.facts[k] == b.facts[k] for k in ("goal", "target", "norm"))


def _stronger(check: str, subject: str, strong: pd.DataFrame, weak: pd.DataFrame) -> Row:
    """Whether what should be stronger is: image by image, and if not, at least in its rate."""
    both = strong.merge(weak, on="index", suffixes=("", "_weak")).set_index("index")
    both = both[both["attacked"] & both["attacked_weak"]]
    if both.empty:
        return _row(check, subject, "warn", "no attacked image in common")
    lost = both.index[both["success_weak"] & ~both["success"]].tolist()
    rate, weak_rate = both["success"].mean(), both["success_weak"].mean()
    words = f"{len(lost)} of {len(both)} images fall to the weaker one only; "
    words += f"{100 * rate:.1f} % against {100 * weak_rate:.1f} %"
    status = "pass" if not lost else "fail" if rate < weak_rate - NOTICEABLE else "warn"
    return _row(check, subject, status, words, lost)


def _together(sets: Sequence[pd.DataFrame]) -> pd.DataFrame:
    """Several attacks as one: an image is fooled where any of them fooled it, attacked where all tried."""
    rows = pd.concat(sets)
    tried = rows.groupby("index")["attacked"].agg(["all", "size"])
    together = rows.groupby("index")["success"].any().to_frame("success")
    together["attacked"] = tried["all"] & (tried["size"] == len(sets))
    return together.reset_index()


def _where(mask: Tensor) -> list[int]:
    return mask.nonzero().squeeze(1).tolist()


def _percent(mask: Tensor | pd.Series) -> str:
    share = mask.float().mean() if isinstance(mask, Tensor) else mask.mean()
    return f"{100 * share:.1f} %"


def _some(names: Sequence[str]) -> str:
    return ", ".join(names[:10]) + (f" and {len(names) - 10} more" if len(names) > 10 else "")


def _row(check: str, subject: str, status: str, found: str, images: Sequence[int] = ()) -> Row:
    listed = ", ".join(str(row) for row in images[:10])
    return {"check": check, "subject": subject, "status": status, "found": found, "images": listed}
