"""Training a victim."""

from __future__ import annotations

import hashlib
import json
import shutil
import time
import warnings
from importlib import import_module
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import pandas as pd
import torch
from torch import Tensor, nn

from rivalry import registry
from rivalry.answers import answers, classify, refuse_other_answers, reject_class
from rivalry.architectures._classifier import Classifier
from rivalry.architectures._layers import layers
from rivalry.artifacts import read_json, read_tensors, write_json, write_manifest, write_table, write_tensors
from rivalry.codehash import code_hash
from rivalry.data._splits import floats, load_split
from rivalry.devices import device, moved
from rivalry.errors import RivalryError, RivalryWarning
from rivalry.layout import Layout, Place
from rivalry.seeds import derive_seed
from rivalry.training._fitting import FittingKeys
from rivalry.training._recipe import Direct, Ready, Recipe
from rivalry.types import REFUSED

if TYPE_CHECKING:
    from rivalry.options import Accelerator, Fitting, ParametersOf, Poisoning, Settings, Trained
    from rivalry.types import Natural

CURVE = ["epoch", "train_loss", "validation_loss", "validation_accuracy", "robust_accuracy", "learning_rate"]


def train(
    victim: str,
    architecture: str | None,
    architecture_parameters: Annotated[Settings, ParametersOf("architectures", "architecture")],
    method: str,
    parameters: Annotated[Settings, ParametersOf("training")],
    fit: Annotated[Settings, Fitting()],
    data: Path,
    output: Path,
    *,
    seed: Natural = 0,
    accelerator: Accelerator = "auto",
    poisoning: Poisoning | None = None,
    warm_start: Trained | None = None,
) -> None:
    """Train a victim, or bring one that is trained already.

    It is measured on the whole test split.

    Parameters
    ----------
    victim : str
        Name of the victim.
    architecture : str, optional
        A registered architecture; none for a method that brings a network.
    architecture_parameters : dict
        Parameters of the architecture; `rivalry describe ARCHITECTURE` lists them.
    method : str
        A registered training method.
    parameters : dict
        Parameters of the method; `rivalry describe METHOD` lists them.
    fit : dict
        How it is trained in epochs: epochs, learning_rate, schedule, ... as in a configuration; empty for a method
        without epochs.
    data : Path
        Folder of the data set.
    output : Path
        Folder to write into. An interrupted training leaves its checkpoints there and resumes.
    seed : int
        Seeds the initial weights, the order of images and dropout.
    accelerator : str
        Where to compute.
    poisoning : Path, optional
        Folder of a poisoning, whose training set is used instead.
    warm_start : Path, optional
        Folder of a victim of the same architecture: its weights, and what it takes for normal, are begun with.
    """
    started = time.perf_counter()
    declared = registry.method("training", method)
    network = None if architecture is None else registry.method("architectures", architecture)
    if declared.brings != (network is None):
        fault = f"{method} brings its own; leave it out" if network else f"is missing; {method} trains one"
        raise RivalryError(f"architecture: {fault}")
    if network and network.in_epochs != declared.in_epochs:
        raise RivalryError(f"method: {method} cannot train {architecture}; scikit_learn trains what has no epochs")
    facts = read_json(Place("prepare", data).facts)
    planted: dict[str, Any] = {}
    if poisoning is None:
        split = load_split(data, "train")
        images, labels, sources = split.images, split.labels, torch.arange(len(split))
    else:
        poisoned = Place("poison", poisoning)
        tensors = read_tensors(poisoned["train"])
        if missing := {"images", "labels", "sources"} - tensors.keys():
            raise RivalryError(f"{poisoned['train']}: has no '{min(missing)}'; delete it and run again")
        images, labels, sources = (tensors[name] for name in ("images", "labels", "sources"))
        planted = read_json(poisoned.facts)

    place = Layout().victim(facts["dataset"], victim).at(output)
    description = {
        **place.about,
        "architecture": architecture,
        "architecture_parameters": architecture_parameters,
        "method": method,
        "parameters": parameters,
        "fitting": fit,
        "poisoning": planted.get("poisoning"),
        "warm_start": read_json(Place("train", warm_start).facts)["victim"] if warm_start else None,
        "backdoor_target": planted.get("target"),
        "shape": facts["shape"],
        "classes": facts["classes"],
        "class_names": facts["class_names"],
        "seed": seed,
        "source": declared.traits["source"],
    }
    begun = []
    if declared.traits.get("starts"):
        if warm_start is None:
            raise RivalryError(f"warm_start: is missing; {method} goes on with a trained victim")
        # Not imported above: other trainings do not depend on how victims are loaded.
        start = moved(import_module("rivalry.victims").load_victim(warm_start), device(accelerator))
        begun = [start, derive_seed(seed, "recipe")]
    recipe = declared.load()(images, labels, *begun, **parameters)
    declared.kept(recipe, Recipe, Direct, Ready)
    examples: tuple[Tensor, ...] = ()
    if isinstance(recipe, Recipe):
        try:
            examples = recipe.examples(images, labels, sources)
        except RivalryError as error:
            raise RivalryError(f"{method}: {error}") from error
    torch.manual_seed(derive_seed(seed, "weights"))
    history: list[dict[str, float]] = []
    best, guarded = None, {}
    checkpoints = output / ".checkpoints"
    if isinstance(recipe, Ready):
        model: nn.Module
        model, brought = recipe.bring(facts["class_names"])
        description |= brought
        for remark in brought.get("warnings", ()):
            warnings.warn(remark, RivalryWarning, stacklevel=2)
    else:
        assert network is not None
        pixels = floats(images)
        reject = facts["classes"] if declared.refuses else None
        if reject is not None:
            description |= {"reject_class": reject}
        outputs = facts["classes"] + (reject is not None)
        built = network.load()(facts["shape"], outputs, **architecture_parameters)
        network.kept(built, nn.Module)
        model = untrained = Classifier(
            built,
            channels=facts["shape"][0],
            mean=pixels.mean(dim=(0, 2, 3)),
            std=pixels.std(dim=(0, 2, 3)).clamp_min(1e-3),
            reject_class=reject,
        )
        del pixels
        if warm_start is not None:
            _begin_with(model, Place("train", warm_start)["weights"])
        if isinstance(recipe, Direct):
            recipe.fit(untrained, seed)
        elif not any(parameter.requires_grad for parameter in model.parameters()):
            raise RivalryError(f"{network.name}: the network has no parameters to train")
        else:
            refuse_other_answers(network.name, untrained, images[:2], facts["classes"])
            # Not imported above: a method without epochs neither runs it nor waits for Lightning.
            fitting_module = import_module("rivalry.training._fit")
            learned = *examples, recipe.targets, *model.state_dict().values()
            code = code_hash(*network.code, *declared.code, fitting_module.__name__, __name__)
            outcome = fitting_module.fit(
                model,
                images,
                labels,
                recipe,
                checkpoints / _fingerprint(learned, [description, code, device(accelerator).type]),
                FittingKeys(**fit),
                seed=seed,
                accelerator=accelerator,
                sources=sources,
            )
            history, best = outcome.history, outcome.best_epoch
            if recipe.tolerance is not None:
                guarded = {"collapsed_epoch": outcome.collapsed}

    predictions = predict(model.eval(), data)
    if reject_class(model) is not None:
        description |= {"refused_clean": float((predictions["prediction"] == REFUSED).mean())}
    write_tensors(place["weights"], dict(model.state_dict()))
    write_table(place["predictions"], predictions)
    columns = [*CURVE, *(name for row in history[:1] for name in row if name not in CURVE)]
    write_table(place["curve"], pd.DataFrame(history, columns=columns))
    write_json(
        place.facts,
        description
        | {
            "parameters_count": sum(p.numel() for p in model.parameters()),
            "layers": layers(model, facts["shape"]),
            "clean_accuracy": float((predictions["label"] == predictions["prediction"]).mean()),
            "validation_accuracy": history[best - 1]["validation_accuracy"] if best else None,
            "epochs_run": len(history) or None,
            "best_epoch": best,
            **guarded,
            "seconds": time.perf_counter() - started,
        },
    )
    write_manifest(place)
    shutil.rmtree(checkpoints, ignore_errors=True)


def _begin_with(model: nn.Module, file: Path) -> None:
    """Give a network the weights of a trained one."""
    try:
        model.load_state_dict(read_tensors(file))
    except RuntimeError as error:
        fault = str(error).splitlines()[-1].strip()
        raise RivalryError(f"warm_start: {file} is of another network: {fault}") from error


def _fingerprint(tensors: tuple[Tensor, ...], facts: list[object]) -> str:
    """Of everything that the weights depend on: checkpoints of a different training must not be resumed."""
    versions = [version(package) for package in ("torch", "lightning")]
    digest = hashlib.sha256(json.dumps([facts, versions, torch.get_num_threads()], sort_keys=True).encode())
    for tensor in tensors:
        digest.update(tensor.numpy().tobytes())
    return digest.hexdigest()[:16]


def predict(victim: nn.Module, data: Path) -> pd.DataFrame:
    """A victim's answer to every test image: index, label, prediction (-1: refused, -2: it answers NaN), confidence."""
    test = load_split(data, "test")
    predictions, confidence = answers(classify(victim, test.images, 256), reject_class(victim))
    return pd.DataFrame(
        {
            "index": range(len(test.labels)),
            "label": test.labels.numpy(),
            "prediction": predictions.numpy(),
            "confidence": confidence.numpy(),
        }
    )
