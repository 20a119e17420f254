"""Attacking a victim."""

from __future__ import annotations

import hashlib
import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import pandas as pd
import torch
from torch import Tensor

from rivalry import registry
from rivalry.adversarial import CraftedSet, write_crafted
from rivalry.answers import reject_class
from rivalry.artifacts import read_json, write_json, write_manifest, write_table
from rivalry.attacks._asked import ASKED
from rivalry.attacks._attack import choose_targets
from rivalry.data._splits import load_split, select_images
from rivalry.devices import device
from rivalry.layout import Layout, Place
from rivalry.poisoning._trigger import Trigger
from rivalry.types import REFUSED
from rivalry.victims import load_victim

if TYPE_CHECKING:
    from rivalry.options import Accelerator, ParametersOf, Settings, Victim
    from rivalry.types import BatchSize, Count, Natural


def attack(
    attack: str,
    method: str,
    parameters: Annotated[Settings, ParametersOf("attacks")],
    data: Path,
    victim: Victim,
    output: Path,
    *,
    victim_name: str,
    images: Count = 500,
    data_seed: Natural = 0,
    seed: Natural = 0,
    target: int | str | None = None,
    batch_size: BatchSize = 64,
    accelerator: Accelerator = "auto",
) -> None:
    """Attack a victim, defended or not.

    It is attacked on test images; every eps in `parameters` is a set of its own. In scores.parquet, `prediction` is -1
    where the victim refuses the image, -2 where it answers NaN. Of attacks that see decisions or scores,
    queries.parquet has the smallest change (`size`, in the attack's norm) with which the goal had been reached by
    so many `queries`: a row for each image, eps and number of queries at which it became smaller.

    Parameters
    ----------
    attack : str
        Name of the attack.
    method : str
        A registered attack.
    parameters : dict
        Parameters of the method, where `eps` may be a list; `rivalry describe METHOD` lists them.
    data : Path
        Folder of the data set.
    victim : Path
        Folder of the victim. On the command line also a network from outside, such as my_model.py:build: it is brought
        into the folder `victim` below the output first.
    output : Path
        Folder to write into.
    victim_name : str
        Name of the victim, e.g. plain or plain+median3.
    images : int
        How many test images, at most.
    data_seed : int
        Chooses the test images.
    seed : int
        Seeds the attack's random numbers.
    target : int or str, optional
        A class, "next" (label + 1), "random" or "least_likely"; none for an untargeted attack. The trigger of
        a backdoor brings its own target.
    batch_size : int
        Images attacked at once.
    accelerator : str
        Where to compute.
    """
    started = time.perf_counter()
    facts = read_json(Place("prepare", data).facts)
    declared = registry.method("attacks", method)
    run = declared.load().run
    model = load_victim(victim).to(device(accelerator))
    reject = reject_class(model)

    test = load_split(data, "test")
    index = select_images(len(test.labels), min(images, len(test.labels)), data_seed)
    clean, labels = test.floats(index), test.labels[index]
    if "poisoning" in parameters:
        target = Trigger.load(parameters["poisoning"]).target
    targets = None
    if target is not None:
        targets = choose_targets(target, model, clean, labels, seed)
    training = None
    if declared.traits.get("fitted"):
        pool = load_split(data, "train")
        chosen = select_images(len(pool), min(parameters["training_images"], len(pool)), seed)
        training = pool.floats(chosen), pool.labels[chosen]

    budgets = parameters.get("eps")
    settings = [parameters | {"eps": eps} for eps in budgets] if isinstance(budgets, list) else [parameters]
    sets, tables, fits, curves = [], [], [], []
    for setting in settings:
        result = run(
            model,
            clean,
            labels,
            targets=targets,
            training=training,
            seed=seed,
            batch_size=batch_size,
            progress=True,
            **setting,
        )
        eps = setting.get("eps")
        sets.append(CraftedSet(result.images, eps, result.fitted.tensors if result.fitted else {}))
        if result.fitted is not None:
            fits.append({name: value for name, value in vars(result.fitted).items() if name != "tensors"})
        if result.progress is not None:
            curves.append(_improvements(result.progress, index).assign(eps=float("nan") if eps is None else eps))
        table = result.to_frame(index)
        if reject is not None:
            told = ["clean_prediction", "prediction"]
            table[told] = table[told].replace(reject, REFUSED)
        tables.append(table)

    place = Layout().attack(facts["dataset"], victim_name, attack).at(output)
    write_crafted(place, index, sets)
    write_table(place["scores"], pd.concat(tables, ignore_index=True))
    if curves:
        write_table(place["queries"], pd.concat(curves, ignore_index=True))
    reference = {key: Path(value).name for key, value in parameters.items() if key == "poisoning"}
    write_json(
        place.facts,
        {
            **place.about,
            "method": method,
            "parameters": parameters | reference,
            "goal": "untargeted" if target is None else "targeted",
            "target": target,
            "sees": declared.traits["sees"],
            "norm": str(parameters.get("norm", declared.traits["norms"][0])),
            "budget": declared.traits["budget"],
            "eps": [setting["eps"] for setting in settings] if "eps" in parameters else None,
            "n": len(index),
            "images_sha256": hashlib.sha256(clean.numpy().tobytes()).hexdigest(),
            "fits": fits or None,
            "seed": seed,
            "seconds": time.perf_counter() - started,
            "source": declared.traits["source"],
        },
    )
    write_manifest(place, [*place.files, *([place["queries"]] if curves else [])])


def _improvements(smallest: Tensor, index: Tensor) -> pd.DataFrame:
    """Where the smallest change of an image, (N,Q) after ASKED[q] queries, became smaller: index, queries, size."""
    before = torch.nn.functional.pad(smallest[:, :-1], (1, 0), value=torch.inf)
    rows, columns = (smallest < before).nonzero(as_tuple=True)
    found = {"index": index[rows], "queries": torch.tensor(ASKED)[columns], "size": smallest[rows, columns]}
    return pd.DataFrame({name: values.numpy() for name, values in found.items()})
