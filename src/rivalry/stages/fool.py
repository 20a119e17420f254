"""Making images without an object in which a victim is sure to see one."""

from __future__ import annotations

import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import pandas as pd
import torch
from torch import Tensor

from rivalry import registry
from rivalry.answers import reject_class
from rivalry.artifacts import read_json, write_json, write_manifest, write_table, write_tensors
from rivalry.data._splits import Split, load_split, select_images
from rivalry.devices import device, moved
from rivalry.fooling._fooling import fool as make_images
from rivalry.layout import Layout, Place
from rivalry.types import REFUSED
from rivalry.victims import load_victim

if TYPE_CHECKING:
    from rivalry.options import Accelerator, ParametersOf, Settings, Victim
    from rivalry.types import BatchSize, Fraction, Natural

REAL = 200
"""Test images whose distances to the training images say how far apart real images are."""

CHUNK = 4096
"""Training images held as floats at once."""


def fool(
    fooling: str,
    method: str,
    parameters: Annotated[Settings, ParametersOf("fooling")],
    data: Path,
    victim: Victim,
    output: Path,
    *,
    victim_name: str,
    confidence: Fraction = 0.99,
    data_seed: Natural = 0,
    seed: Natural = 0,
    batch_size: BatchSize = 64,
    accelerator: Accelerator = "auto",
) -> None:
    """Make images without an object in which a victim is sure to see one.

    There is one for each class; images.safetensors, scores.parquet and fooling.json are written.

    Parameters
    ----------
    fooling : str
        Name of the fooling method.
    method : str
        A registered method.
    parameters : dict
        All parameters of the method; `rivalry describe METHOD` lists them.
    data : Path
        Folder of the data set.
    victim : Path
        Folder of the victim. On the command line also a network from outside, such as my_model.py:build: it is brought
        into the folder `victim` below the output first.
    output : Path
        Folder to write into.
    victim_name : str
        Name of the victim.
    confidence : float
        An image succeeds when the victim takes it for its class with at least this probability.
    data_seed : int
        Chooses the test images, whose distances to the training images are given beside those of the images made.
    seed : int
        Seeds the method's random numbers.
    batch_size : int
        Images the victim is given at once.
    accelerator : str
        Where to compute.
    """
    started = time.perf_counter()
    facts = read_json(Place("prepare", data).facts)
    declared = registry.method("fooling", method)
    where = device(accelerator)
    model = moved(load_victim(victim), where)
    made = make_images(
        method,
        model,
        facts["shape"],
        facts["classes"],
        seed=seed,
        batch_size=batch_size,
        progress=True,
        device=where,
        **parameters,
    )
    train, test = load_split(data, "train"), load_split(data, "test")
    real = test.floats(select_images(len(test), min(REAL, len(test)), data_seed))
    nearest = _nearest(made.images, train)
    scores = pd.DataFrame(
        {
            "target": torch.arange(facts["classes"]).numpy(),
            "prediction": made.predictions.numpy(),
            "confidence": made.confidence.numpy(),
            "success": (made.predictions == torch.arange(facts["classes"])).numpy()
            & (made.confidence >= confidence).numpy(),
            "nearest_l2": nearest.numpy(),
            "iterations": made.iterations.numpy(),
            "queries": made.queries.numpy(),
            "gradients": made.gradients.numpy(),
            "finite": made.finite.numpy(),
        }
    )
    refused = {} if reject_class(model) is None else {"refused_rate": (scores["prediction"] == REFUSED).mean()}
    place = Layout().fooling(facts["dataset"], victim_name, fooling).at(output)
    write_tensors(place["images"], {"images": made.images, "targets": torch.arange(facts["classes"])})
    write_table(place["scores"], scores)
    write_json(
        place.facts,
        {
            **place.about,
            "method": method,
            "parameters": parameters,
            "sees": declared.traits["sees"],
            "asked_confidence": confidence,
            "n": facts["classes"],
            "n_success": int(scores["success"].sum()),
            "success_rate": scores["success"].mean(),
            "median_confidence": scores["confidence"].median(),
            "least_confidence": scores["confidence"].min(),
            "mean_nearest_l2": scores["nearest_l2"].mean(),
            "real_nearest_l2": float(_nearest(real, train).median()),
            "n_real": len(real),
            "queries": scores["queries"].mean(),
            "gradients": scores["gradients"].mean(),
            "seed": seed,
            "seconds": time.perf_counter() - started,
            "source": declared.traits["source"],
            **refused,
        },
    )
    write_manifest(place)


def _nearest(images: Tensor, train: Split) -> Tensor:
    """L2 distance of each image (N,C,H,W) to the nearest training image, (N,)."""
    nearest = torch.full((len(images),), torch.inf)
    for rows in torch.arange(len(train)).split(CHUNK):
        distances = torch.cdist(images.flatten(1), train.floats(rows).flatten(1))
        nearest = torch.minimum(nearest, distances.amin(dim=1))
    return nearest
