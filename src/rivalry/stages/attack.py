"""Attacking a victim."""

from __future__ import annotations

import hashlib
import time
from pathlib import Path
from typing import Any

import pandas as pd
import torch
from torch import Tensor

import rivalry.attacks
from rivalry import registry
from rivalry.artifacts import read_json, write_json, write_manifest, write_table, write_tensors
from rivalry.attacks import Result
from rivalry.data import load_split, select_images
from rivalry.devices import device
from rivalry.errors import RivalryError
from rivalry.poisoning._trigger import Trigger
from rivalry.seeds import derive_seed
from rivalry.victims import load_victim

TARGET_RULES = ("next", "random", "least_likely")
"""Rules by which a target is chosen per image, besides a class number."""


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
        How many test images, and the seed that chose them.
    target : int or str, optional
        A class, "next" (label + 1), "random" or "least_likely"; None for an untargeted attack. The trigger of
        a backdoor brings its own target.
    """
    started = time.perf_counter()
    facts = read_json(data / "dataset.json")
    declared = registry.method("attacks", method)
    run = getattr(rivalry.attacks, method).run
    model = load_victim(victim).to(device(accelerator))

    test = load_split(data, "test")
    index = select_images(len(test.labels), images, data_seed)
    clean, labels = test.images[index].float() / 255, test.labels[index]
    if "poisoning" in parameters:
        target = Trigger.load(parameters["poisoning"]).target
    targets = None
    if target is not None:
        targets = choose_targets(target, model, clean, labels, facts["classes"], seed)

    budgets = parameters.get("eps")
    settings = [parameters | {"eps": eps} for eps in budgets] if isinstance(budgets, list) else [parameters]
    tensors: dict[str, Tensor] = {"index": index}
    tables = []
    for setting in settings:
        result = run(model, clean, labels, targets=targets, seed=seed, batch_size=batch_size, progress=True, **setting)
        eps = setting.get("eps")
        tensors["images" if len(settings) == 1 else f"images_eps_{eps:g}"] = result.images
        tables.append(score(result, clean, labels, targets, index, eps))

    write_tensors(output / "adversarial.safetensors", tensors)
    write_table(output / "scores.parquet", pd.concat(tables, ignore_index=True))
    plain, _, defense = victim_name.partition("+")
    reference = {key: Path(value).name for key, value in parameters.items() if key == "poisoning"}
    write_json(
        output / "attack.json",
        {
            "dataset": facts["dataset"],
            "victim": plain,
            "defense": defense or "none",
            "attack": attack,
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
            "seed": seed,
            "seconds": time.perf_counter() - started,
            "source": declared.traits["source"],
        },
    )
    names = ("adversarial.safetensors", "scores.parquet", "attack.json")
    write_manifest(output, "attack", [output / name for name in names])


def choose_targets(
    rule: int | str, victim: torch.nn.Module, images: Tensor, labels: Tensor, classes: int, seed: int
) -> Tensor:
    """The class each image (N,C,H,W) shall be taken for, int64 (N,).

    A class number is the same for all; "next" is label + 1, cyclically; "random" a class other than the label,
    drawn per image; "least_likely" the one the victim finds least likely on the clean image.
    """
    if isinstance(rule, int):
        if not 0 <= rule < classes:
            raise RivalryError(f"target: {rule} is no class of this data set; its classes are 0 to {classes - 1}")
        return torch.full_like(labels, rule)
    if rule == "next":
        return (labels + 1) % classes
    if rule == "random":
        generator = torch.Generator().manual_seed(derive_seed(seed, "targets"))
        return (labels + torch.randint(1, classes, labels.shape, generator=generator)) % classes
    place = next((p.device for p in victim.parameters()), torch.device("cpu"))
    with torch.no_grad():
        logits = torch.cat([victim(part.to(place))[:, :classes].cpu() for part in images.split(256)])
    return logits.scatter(1, labels[:, None], torch.inf).argmin(dim=1)


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
