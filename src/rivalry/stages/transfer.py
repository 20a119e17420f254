"""Replaying adversarial images on victims that they were not made on."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import pandas as pd
import torch
from torch import Tensor, nn

from rivalry.adversarial import read_sets
from rivalry.answers import NO_ANSWER, answers, classify, reject_class
from rivalry.artifacts import read_json, write_manifest, write_table
from rivalry.attacks._goals import Goal
from rivalry.data._splits import load_split
from rivalry.devices import device, moved
from rivalry.errors import RivalryError
from rivalry.layout import Layout, Place
from rivalry.types import REFUSED
from rivalry.victims import load_victim

if TYPE_CHECKING:
    from rivalry.options import Accelerator, Attacks, Victims
    from rivalry.types import BatchSize

COLUMNS = [
    *("attack", "eps", "victim", "index", "label", "target", "attacked", "success_source"),
    *("clean_correct", "prediction", "success"),
]


def transfer(
    data: Path,
    attacks: Attacks,
    victims: Victims,
    output: Path,
    *,
    accelerator: Accelerator = "auto",
    batch_size: BatchSize = 64,
) -> None:
    """Replay a victim's adversarial images on other victims.

    scores.parquet is written, one row an image, set and victim.

    `attacked` and `success_source` are the attack's own, on the victim it was made on; `clean_correct` says that
    this victim has the unchanged image right; `success`: the source was attacked with it, this victim has it right
    unchanged, and the attack's goal is reached on this victim.

    Parameters
    ----------
    data : Path
        Folder of the data set.
    attacks : list of Path
        Folders of attacks on one and the same undefended victim, the source.
    victims : list of Path
        Folders of the victims that are shown the images; the source may be one of them.
    output : Path
        Folder to write into.
    accelerator : str
        Where to compute.
    batch_size : int
        Images classified at once.

    Raises
    ------
    RivalryError
        The attacks were made on several victims.
    """
    facts = {folder: read_json(Place("attack", folder).facts) for folder in attacks}
    sources = {(fact["victim"], fact["defense"]) for fact in facts.values()}
    if len(sources) > 1:
        made = ", ".join(sorted(victim for victim, _ in sources))
        raise RivalryError(f"--attacks: were made on several victims ({made}); name attacks on one")
    test = load_split(data, "test")
    tables = []
    for folder in victims:
        name = read_json(Place("train", folder).facts)["victim"]
        victim = moved(load_victim(folder), device(accelerator))
        clean: dict[bytes, Tensor] = {}  # by the images that an attack met, of which there are few different sets
        for attack, fact in facts.items():
            for images, rows in read_sets(Place("attack", attack)):
                index = torch.tensor(rows["index"].to_numpy())
                key = index.numpy().tobytes()
                if key not in clean:
                    clean[key] = _predictions(victim, test.floats(index), batch_size)
                rows = rows.rename(columns={"success": "success_source"}).assign(attack=fact["attack"], victim=name)
                tables.append(_replayed(rows, clean[key], _predictions(victim, images, batch_size)))
    place = Layout().transfer(facts[attacks[0]]["dataset"], sources.pop()[0]).at(output)
    write_table(place["scores"], pd.concat(tables, ignore_index=True))
    write_manifest(place)


def _replayed(rows: pd.DataFrame, clean: Tensor, predictions: Tensor) -> pd.DataFrame:
    labels, targets = (torch.tensor(rows[name].to_numpy()) for name in ("label", "target"))
    # A refusal, -1, is no success.
    reached = Goal(labels, targets if (targets >= 0).all() else None, REFUSED).reached(predictions)
    right = clean == labels
    attacked = torch.tensor(rows["attacked"].to_numpy(dtype=bool))
    success = (attacked & right & reached & (predictions != NO_ANSWER)).numpy()
    return rows.assign(clean_correct=right.numpy(), prediction=predictions.numpy(), success=success)[COLUMNS]


def _predictions(victim: nn.Module, images: Tensor, batch_size: int) -> Tensor:
    """Predicted classes of images (N,C,H,W), int64 (N,) on the CPU; -1: refused, -2: the victim answers NaN."""
    return answers(classify(victim, images, batch_size), reject_class(victim))[0].cpu()
