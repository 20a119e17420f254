"""Making training images that turn single test images, and training again on them."""

from __future__ import annotations

import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import pandas as pd
import torch

from rivalry import registry
from rivalry.artifacts import read_json, write_json, write_manifest, write_table, write_tensors
from rivalry.data._splits import load_split
from rivalry.devices import device, moved
from rivalry.errors import RivalryError
from rivalry.layout import Layout, Place
from rivalry.targeted_poisoning._targeted import Targeted
from rivalry.victims import load_victim

if TYPE_CHECKING:
    from rivalry.options import Accelerator, ParametersOf, Settings, Victim
    from rivalry.types import BatchSize, Natural


def plant(
    targeted: str,
    method: str,
    parameters: Annotated[Settings, ParametersOf("targeted_poisonings")],
    data: Path,
    victim: Victim,
    output: Path,
    *,
    victim_name: str,
    seed: Natural = 0,
    batch_size: BatchSize = 64,
    accelerator: Accelerator = "auto",
) -> None:
    """Make training images that turn single test images, and train the victim again on them, for each test image.

    planting.json, scores.parquet, one row a test image, and poisons.safetensors are written.

    Parameters
    ----------
    targeted : str
        Name of the targeted poisoning.
    method : str
        A registered targeted poisoning.
    parameters : dict
        All parameters of the method; `rivalry describe METHOD` lists them.
    data : Path
        Folder of the data set.
    victim : Path
        Folder of the victim that is trained again.
    output : Path
        Folder to write into.
    victim_name : str
        Name of the victim.
    seed : int
        Chooses the test images, and seeds the trainings.
    batch_size : int
        Images the victim is given at once.
    accelerator : str
        Where to compute.
    """
    started = time.perf_counter()
    facts = read_json(Place("prepare", data).facts)
    declared = registry.method("targeted_poisonings", method)
    train, test = load_split(data, "train"), load_split(data, "test")
    model = moved(load_victim(victim), device(accelerator))
    given = (train.images, train.labels, test.images, test.labels)
    made = declared.load()(model, *given, seed, batch_size, **parameters)
    declared.kept(made, Targeted)
    if made.poisons.dtype != torch.uint8 or made.poisons.shape[2:] != test.images.shape[1:]:
        raise RivalryError(
            f"{method}: poisons are {made.poisons.dtype} {tuple(made.poisons.shape)}; "
            f"they must be uint8 (T, P, {', '.join(map(str, test.images.shape[1:]))})"
        )
    labels = test.labels[made.rows]
    counted = made.control == labels
    success = counted & made.success
    place = Layout().planting(facts["dataset"], victim_name, targeted).at(output)
    write_tensors(place["images"], {"poisons": made.poisons, "bases": made.bases, "rows": made.rows})
    table = {"index": made.rows, "label": labels, "target": made.wanted, "control": made.control, "after": made.after}
    table |= {"counted": counted, "success": success} | made.columns
    write_table(place["scores"], pd.DataFrame({name: values.numpy() for name, values in table.items()}))
    write_json(
        place.facts,
        {
            **place.about,
            "method": method,
            "parameters": parameters,
            "n": len(made.rows),
            "n_counted": int(counted.sum()),
            "n_success": int(success.sum()),
            "n_other": int((counted & (made.after != labels) & (made.after != made.wanted)).sum()),
            "poisons": made.poisons.shape[1],
            **{name: float(values.double().mean()) for name, values in made.columns.items()},
            "facts": made.facts,
            "seed": seed,
            "seconds": time.perf_counter() - started,
            "source": declared.traits["source"],
        },
    )
    write_manifest(place)
