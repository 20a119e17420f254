"""Putting a test-time defense around a victim."""

from __future__ import annotations

import os
import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from rivalry import registry
from rivalry.answers import refuse_other_answers
from rivalry.artifacts import read_json, write_json, write_manifest, write_tensors
from rivalry.data._splits import load_split
from rivalry.defenses._defended import Defended
from rivalry.devices import device, moved
from rivalry.layout import Layout, Place
from rivalry.victims import load_victim

if TYPE_CHECKING:
    from rivalry.options import Accelerator, ParametersOf, Settings, Victim
    from rivalry.types import BatchSize, Natural


def defend(
    defense: str,
    method: str,
    parameters: Annotated[Settings, ParametersOf("defenses")],
    data: Path,
    victim: Victim,
    output: Path,
    *,
    victim_name: str,
    seed: Natural = 0,
    accelerator: Accelerator = "auto",
    batch_size: BatchSize = 64,
) -> None:
    """Put a defense around a victim.

    It is fitted; defense.safetensors, defense.json and what triggers were recovered are written.

    Where the defense suspects classes of a backdoor, `innocent_flagged` in defense.json lists those in which
    none was planted; the defense itself is not told.

    The defender owns the data set's clean training split. The victim's own weights stay in its folder, to
    which defense.json points; `rivalry.load_victim` puts both together.

    Parameters
    ----------
    defense : str
        Name of the defense.
    method : str
        A registered defense.
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
    seed : int
        Seeds the defense's random numbers.
    accelerator : str
        Where to compute.
    batch_size : int
        Images the victim is given at once.
    """
    started = time.perf_counter()
    declared = registry.method("defenses", method)
    about = read_json(Place("train", victim).facts)
    model = moved(load_victim(victim), device(accelerator), grey_gradients=about["shape"][0] == 1)
    train = load_split(data, "train")
    defended = declared.load()(model, train.images, train.labels, seed, batch_size, **parameters)
    declared.kept(defended, Defended)
    refuse_other_answers(method, defended.module, train.images[:2], about["classes"])

    own = {name: t for name, t in defended.module.state_dict().items() if not name.startswith("victim.")}
    dataset = read_json(Place("prepare", data).facts)["dataset"]
    place = Layout().defense(dataset, victim_name, defense).at(output)
    write_tensors(place["weights"], own)
    if defended.triggers is not None:
        write_tensors(place["triggers"], defended.triggers)
    planted, flagged = about.get("backdoor_target"), defended.facts.get("flagged")
    write_json(
        place.facts,
        {
            **place.about,
            "victim_folder": os.path.relpath(victim, output),
            "method": method,
            "kind": declared.traits["kind"],
            "parameters": parameters,
            "shape": about["shape"],
            "classes": about["classes"],
            "facts": defended.facts,
            "backdoor_target": planted,
            # A backdoor from each class to the next leaves none innocent.
            "innocent_flagged": None if flagged is None else [k for k in flagged if planted not in (k, "next")],
            "seed": seed,
            "source": declared.traits["source"],
            "seconds": time.perf_counter() - started,
        },
    )
    write_manifest(place, [*place.files, *([] if defended.triggers is None else [place["triggers"]])])
