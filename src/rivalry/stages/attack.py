"""Attacking a victim."""

from __future__ import annotations

import hashlib
import time
from pathlib import Path
from typing import Any

import pandas as pd
import torch
from torch import Tensor

from rivalry import registry
from rivalry.adversarial import CraftedSet, write_crafted
from rivalry.artifacts import read_json, write_json, write_manifest, write_table
from rivalry.attacks._attack import Result, choose_targets
from rivalry.data._splits import load_split, select_images
from rivalry.devices import device
from rivalry.layout import Layout, Place
from rivalry.poisoning._trigger import Trigger
from rivalry.victims import load_victim


def attack(
    attack: str,
    method: str,
    parameters: dict[str, Any],
    data: Path,
    victim: Path,
    output: Path,
    *,
    victim_name: str,
    images: int,
    data_seed: int,
    seed: int,
    target: int | str | None = None,
    batch_size: int = 64,
    accelerator: str = "auto",
) -> None:
    """Attack a victim, defended or not, on test images; every eps in `parameters` is a set of its own.

    Parameters
    ----------
    attack, method, parameters
        Its name, the registered attack and its parameters; `eps` may be a list.
    data, victim, output : Path
        Folders.
    victim_name : str
        How the victim is called, e.g. plain or plain+median3.
    images, data_seed : int
        How many test images, at most, and the seed that chose them.
    target : int or str, optional
        A class, "next" (label + 1), "random" or "least_likely"; None for an untargeted attack. The trigger of
        a backdoor brings its own target.
    """
    started = time.perf_counter()
    facts = read_json(Place("prepare", data).facts)
    declared = registry.method("attacks", method)
    run = declared.load().run
    model = load_victim(victim).to(device(accelerator))

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
    sets, tables, fits = [], [], []
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
        tables.append(score(result, clean, labels, targets, index, eps))

    place = Layout().attack(facts["dataset"], victim_name, attack).at(output)
    write_crafted(place, index, sets)
    write_table(place["scores"], pd.concat(tables, ignore_index=True))
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
    write_manifest(place)


def score(
    result: Result, clean: Tensor, labels: Tensor, targets: Tensor | None, index: Tensor, eps: float | None
) -> pd.DataFrame:
    """One row an image: what the attack achieved, at which perturbation and at which cost.

    `l0` counts changed pixels (places, whatever the channels); `l2_channels` and `linf_channels` are the norms
    of each channel's change, summed over channels.
    """
    change = (result.images - clean).flatten(2)
    whole = change.flatten(1)
    lengths = {
        "l0": (change != 0).any(dim=1).sum(dim=1).float(),
        "l2": whole.norm(dim=1),
        "linf": whole.abs().amax(dim=1),
        "l2_channels": change.norm(dim=2).sum(dim=1),
        "linf_channels": change.abs().amax(dim=2).sum(dim=1),
        "relative_l2": whole.norm(dim=1) / clean.flatten(1).norm(dim=1).clamp_min(1e-12),
    }
    columns = {
        "index": index,
        "label": labels,
        "target": torch.full_like(labels, -1) if targets is None else targets,
        "eps": torch.full((len(labels),), torch.nan if eps is None else eps, dtype=torch.float64),
        "clean_prediction": result.clean_predictions,
        "clean_correct": result.clean_predictions == labels,
        "attacked": result.attacked,
        "prediction": result.predictions,
        "confidence": result.confidence,
        "success": result.success,
        **lengths,
        "iterations": result.iterations,
        "queries": result.queries,
        "gradients": result.gradients,
        "finite": result.finite,
        "zero_gradient": result.zero_gradient,
        "seconds": result.seconds,
    }
    return pd.DataFrame({name: column.numpy() for name, column in columns.items()})
