"""Measuring a defended victim on clean and on adversarial images."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
import torch
from torch import Tensor, nn

from rivalry.adversarial import read_sets
from rivalry.answers import NO_ANSWER, answers, classify, reject_class
from rivalry.artifacts import read_json, write_json, write_manifest, write_table
from rivalry.attacks._goals import Goal
from rivalry.data._splits import load_split, select_images
from rivalry.defenses._costs import costs
from rivalry.defenses._defended import Randomised, Rejecting
from rivalry.defenses.randomised_smoothing import Smoothed
from rivalry.devices import device, device_of, moved
from rivalry.errors import RivalryError
from rivalry.layout import Layout, Place
from rivalry.types import REFUSED
from rivalry.victims import load_victim

if TYPE_CHECKING:
    from rivalry.options import Accelerator, Attacks, Defended
    from rivalry.types import BatchSize, Count, Natural

TIMED = 256
"""Clean images on which it is measured what classifying takes, at most."""
SIZES = ["l0", "l2", "linf", "l2_channels", "linf_channels", "relative_l2"]
CARRIED = [*SIZES, "queries", "gradients", "seconds"]
"""What an evaluation takes over from the attack: the sizes of its perturbations and what they cost."""

ANSWERED = ["prediction", "confidence", "flagged", "score", "success"]
JUDGED = ["attack", "setting", "eps", "index", "label", "target", "attacked", *ANSWERED, *CARRIED]
COLUMNS = [*JUDGED, "clean_handled", "handled"]


def evaluate(
    data: Path,
    defended: Defended,
    output: Path,
    *,
    oblivious: Attacks = (),
    adaptive: Attacks = (),
    images: Count = 500,
    data_seed: Natural = 0,
    accelerator: Accelerator = "auto",
    batch_size: BatchSize = 64,
) -> None:
    """Measure a defense against adversarial images.

    The defended victim classifies, or refuses, clean and adversarial test images; scores.parquet is written, and
    costs.json with what it takes to classify an image with and without the defense (`rivalry.defenses._costs`).

    It has one row an image of each set. `prediction` is -1 for a refused image, -2 where the victim answers NaN.
    `attacked`: the victim that the attack was made on had it right, so that it was changed. `clean_handled`,
    `handled` and `success` are as `with_verdicts` says. Of a smoothed victim, certificates.parquet has the class and
    the certified radius of each clean image. `score` is a detector's log odds of "adversarial", NaN for
    other defenses.

    Parameters
    ----------
    data : Path
        Folder of the data set.
    defended : Path
        Folder of a defense, which `rivalry.stages.defend` wrote.
    output : Path
        Folder to write into.
    oblivious : list of Path
        Folders of attacks on the undefended victim, made without knowing the defense.
    adaptive : list of Path
        Folders of attacks on the defended victim.
    images : int
        How many clean test images, at most.
    data_seed : int
        Chooses the test images.
    accelerator : str
        Where to compute.
    batch_size : int
        Images classified at once.

    Raises
    ------
    RivalryError
        An attack was made on another victim than its setting says, or on images that are not among the clean ones.
    """
    about = read_json(Place("defend", defended).facts)
    victim = moved(load_victim(defended), device(accelerator))
    if isinstance(victim, Randomised):
        victim.redraw()  # no attacker knows what the classifier draws when it meets the image
    test = load_split(data, "test")
    index = select_images(len(test), min(images, len(test)), data_seed)
    rows = pd.DataFrame({"index": index.numpy(), "label": test.labels[index].numpy(), "target": -1})
    rows = rows.assign(attack="", setting="clean", eps=np.nan, attacked=False, **dict.fromkeys(CARRIED, 0.0))
    tables = [judged(victim, test.floats(index), rows, batch_size)]
    for setting, folders in (("oblivious", oblivious), ("adaptive", adaptive)):
        for folder in folders:
            facts = read_json(Place("attack", folder).facts)
            right = (about["victim"], about["defense"] if setting == "adaptive" else "none")
            if (facts["victim"], facts["defense"]) != right:
                raise RivalryError(
                    f"{folder}: was made on {facts['victim']} with defense {facts['defense']}; "
                    f"for the {setting} setting it must be made on {right[0]} with defense {right[1]}"
                )
            for adversarial, rows in read_sets(Place("attack", folder)):
                rows = rows.assign(attack=facts["attack"], setting=setting)
                tables.append(judged(victim, adversarial, rows, batch_size))
    place = Layout().evaluation(about["dataset"], about["victim"], about["defense"]).at(output)
    write_table(place["scores"], with_verdicts(pd.concat(tables, ignore_index=True)))
    bare = moved(load_victim(Path(os.path.normpath(defended / about["victim_folder"]))), device(accelerator))
    few = test.floats(index[:TIMED])
    spent = {"defended": costs(victim, few, batch_size), "undefended": costs(bare, few, batch_size)}
    write_json(place["costs"], {"images": len(few), "batch_size": batch_size, **spent})
    if isinstance(victim, Smoothed):
        write_table(place["certificates"], certificates(victim, test.floats(index), index, batch_size))
    write_manifest(place, [*place.files, *([place["certificates"]] if isinstance(victim, Smoothed) else [])])


def certificates(victim: Smoothed, images: Tensor, index: Tensor, batch_size: int) -> pd.DataFrame:
    """The class and the certified L2 radius of clean images (N,C,H,W): index, prediction, radius."""
    found = [victim.certify(part.to(device_of(victim, images))) for part in images.split(batch_size)]
    classes, radii = (torch.cat(parts).numpy() for parts in zip(*found, strict=True))
    return pd.DataFrame({"index": index.numpy(), "prediction": classes, "radius": radii})


def judged(victim: nn.Module, images: Tensor, rows: pd.DataFrame, batch_size: int) -> pd.DataFrame:
    """What a defended victim makes of images (N,C,H,W); `rows` has their label, target, attacked, ...

    `success` says only whether the goal is reached by an image that is let through.
    """
    logits = classify(victim, images, batch_size)
    predictions, confidence = (found.cpu() for found in answers(logits, reject_class(victim)))
    score = torch.full(predictions.shape, torch.nan, dtype=torch.float64)
    if isinstance(victim, Rejecting):
        score = victim.suspicion(logits).cpu()

    labels, targets = (torch.tensor(rows[name].to_numpy()) for name in ("label", "target"))
    goal = Goal(labels, targets if (targets >= 0).all() else None, REFUSED)
    return rows.assign(
        prediction=predictions.numpy(),
        flagged=(predictions == REFUSED).numpy(),
        confidence=confidence.numpy(),
        score=score.numpy(),
        success=(goal.reached(predictions) & (predictions != NO_ANSWER)).numpy(),
    )[JUDGED]


def with_verdicts(rows: pd.DataFrame) -> pd.DataFrame:
    """The judged rows of all sets with what they count for, image by image; the sets' clean one is among them.

    `clean_handled`: the image's clean copy is classified correctly and not refused. `handled`: in an adversarial
    set, the same, and where the image was attacked, what came of it is refused or classified correctly. So an image
    that was not attacked is scored as the clean image that it is, and one that is lost clean is lost under attack:
    an attacker could leave it as it is. Neither refusing nor erring makes a defense look better under attack.
    `success`: the image was attacked, is handled clean, and the goal is reached by what is let through.

    Raises
    ------
    RivalryError
        An attack met images that are not in the clean set.
    """
    right = rows["prediction"] == rows["label"]
    clean = rows["setting"] == "clean"
    verdicts = right[clean].set_axis(rows.loc[clean, "index"])
    strange = rows.loc[~rows["index"].isin(verdicts.index), "attack"]
    if len(strange):
        raise RivalryError(f"{strange.iloc[0]}: has images that are not evaluated clean; attack fewer")
    handled_clean = verdicts.loc[rows["index"]].to_numpy(dtype=bool)
    return rows.assign(
        clean_handled=handled_clean,
        handled=handled_clean & (right | rows["flagged"] | ~rows["attacked"]),
        success=rows["success"] & rows["attacked"] & handled_clean,
    )
