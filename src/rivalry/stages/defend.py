"""Putting a test-time defense around a victim."""

from __future__ import annotations

import os
import time
from pathlib import Path
from typing import Any

from rivalry import registry
from rivalry.artifacts import read_json, write_json, write_manifest, write_tensors
from rivalry.data._splits import load_split
from rivalry.devices import device, moved
from rivalry.layout import Layout, Place
from rivalry.victims import load_victim


def defend(
    defense: str,
    method: str,
    parameters: dict[str, Any],
    data: Path,
    victim: Path,
    output: Path,
    *,
    dataset: str,
    victim_name: str,
    seed: int,
    accelerator: str = "auto",
    batch_size: int = 64,
) -> None:
    """Fit a defense of one victim; write defense.safetensors, defense.json and what triggers were recovered.

    Where the defense suspects classes of a backdoor, `innocent_flagged` in defense.json lists those in which
    none was planted; the defense itself is not told.

    The defender owns the data set's clean training split. The victim's own weights stay in its folder, to
    which defense.json points; `rivalry.load_victim` puts both together.

    Parameters
    ----------
    defense, method, parameters
        Its name, the registered defense and all of its parameters.
    data, victim, output : Path
        Folders.
    dataset, victim_name : str
        What they are called.
    seed : int
        Seeds the defense's random numbers.
    accelerator : str
        auto, cpu or gpu.
    batch_size : int
        Images the victim is given at once.
    """
    started = time.perf_counter()
    declared = registry.method("defenses", method)
    about = read_json(Place("train", victim).facts)
    model = moved(load_victim(victim), device(accelerator), grey_gradients=about["shape"][0] == 1)
    train = load_split(data, "train")
    defended = declared.load()(model, train.images, train.labels, seed, batch_size, **parameters)

    own = {name: t for name, t in defended.module.state_dict().items() if not name.startswith("victim.")}
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
            "innocent_flagged": None if flagged is None else [k for k in flagged if k != planted],
            "seed": seed,
            "source": declared.traits["source"],
            "seconds": time.perf_counter() - started,
        },
    )
    write_manifest(place, [*place.files, *([] if defended.triggers is None else [place["triggers"]])])
