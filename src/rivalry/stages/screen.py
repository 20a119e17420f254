"""Looking for poisoned images in the training set of a victim."""

from __future__ import annotations

import math
import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import pandas as pd
import torch
from sklearn.metrics import roc_auc_score
from torch import Tensor

from rivalry import registry
from rivalry.artifacts import read_json, read_tensors, write_json, write_manifest, write_table
from rivalry.data._splits import load_split
from rivalry.devices import device, moved
from rivalry.errors import RivalryError
from rivalry.filters._filter import Screened
from rivalry.layout import Layout, Place
from rivalry.victims import load_victim

if TYPE_CHECKING:
    from rivalry.options import Accelerator, ParametersOf, Poisoning, Settings, Victim
    from rivalry.types import BatchSize, Natural, OpenFraction


def screen(
    filter: str,
    method: str,
    parameters: Annotated[Settings, ParametersOf("filters")],
    data: Path,
    victim: Victim,
    output: Path,
    *,
    victim_name: str,
    poisoning: Poisoning | None = None,
    false_alarms: OpenFraction = 0.05,
    seed: Natural = 0,
    batch_size: BatchSize = 64,
    accelerator: Accelerator = "auto",
) -> None:
    """Look for poisoned images in the training set of a victim.

    screening.json and scores.parquet, one row a training image, are written.

    Parameters
    ----------
    filter : str
        Name of the filter.
    method : str
        A registered filter.
    parameters : dict
        All parameters of the method; `rivalry describe METHOD` lists them.
    data : Path
        Folder of the data set.
    victim : Path
        Folder of the victim that learned from the training set.
    output : Path
        Folder to write into.
    victim_name : str
        Name of the victim.
    poisoning : Path, optional
        Folder of the poisoning that made the training set; without it, that is the data set's own, and whatever is
        flagged is a false alarm.
    false_alarms : float
        Share of the clean images whose flagging is put up with: poisoned images are found where they are more
        suspicious than all but this share of the clean ones.
    seed : int
        Seeds the method's random numbers.
    batch_size : int
        Images the victim is given at once.
    accelerator : str
        Where to compute.
    """
    started = time.perf_counter()
    facts = read_json(Place("prepare", data).facts)
    declared = registry.method("filters", method)
    if poisoning is None:
        split = load_split(data, "train")
        images, labels, sources = split.images, split.labels, torch.arange(len(split))
        poisoned = torch.zeros(len(split), dtype=torch.bool)
    else:
        tensors = read_tensors(Place("poison", poisoning)["train"])
        images, labels, sources = (tensors[name] for name in ("images", "labels", "sources"))
        poisoned = tensors["poisoned"].bool()
    model = moved(load_victim(victim), device(accelerator))
    found = declared.load()(model, images, labels, seed, batch_size, **parameters)
    declared.kept(found, Screened)
    for name, values, kind in (("scores", found.scores, "floats"), ("flagged", found.flagged, "bools")):
        right = values.is_floating_point() if kind == "floats" else values.dtype == torch.bool
        if values.shape != labels.shape or not right:
            raise RivalryError(
                f"{method}: {name} are {values.dtype} {tuple(values.shape)}; they must be {kind}, one each"
            )
    scores = found.scores.double()
    if scores.isnan().any():
        raise RivalryError(f"{method}: {int(scores.isnan().sum())} of {len(scores)} scores are no numbers")
    threshold = _threshold(scores[~poisoned], false_alarms)
    above = scores > threshold
    place = Layout().screening(facts["dataset"], victim_name, filter).at(output)
    write_table(
        place["scores"],
        pd.DataFrame(
            {
                "row": torch.arange(len(labels)).numpy(),
                "label": labels.numpy(),
                "source": sources.numpy(),
                "poisoned": poisoned.numpy(),
                "score": scores.numpy(),
                "found": above.numpy(),
                "flagged": found.flagged.numpy(),
            }
        ),
    )
    write_json(
        place.facts,
        {
            **place.about,
            "method": method,
            "parameters": parameters,
            "poisoning": None if poisoning is None else read_json(Place("poison", poisoning).facts)["poisoning"],
            "asked_false_alarms": false_alarms,
            "threshold": threshold if math.isfinite(threshold) else None,
            "n": len(labels),
            "n_poisoned": int(poisoned.sum()),
            "n_found": int(above[poisoned].sum()),
            "n_false": int(above[~poisoned].sum()),
            "n_flagged": int(found.flagged[poisoned].sum()),
            "n_flagged_false": int(found.flagged[~poisoned].sum()),
            "auc": float(roc_auc_score(poisoned, scores)) if 0 < int(poisoned.sum()) < len(poisoned) else None,
            "facts": found.facts,
            "seed": seed,
            "seconds": time.perf_counter() - started,
            "source": declared.traits["source"],
        },
    )
    write_manifest(place)


def _threshold(clean: Tensor, false_alarms: float) -> float:
    """The least score that at most a share of clean scores (N,) exceed; minus infinity where there are none."""
    if not len(clean):
        return -math.inf
    allowed = math.floor(false_alarms * len(clean))
    return float(clean.sort(descending=True)[0][min(allowed, len(clean) - 1)])
