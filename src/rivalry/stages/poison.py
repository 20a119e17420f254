"""Poisoning a training set."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import torch
from torch import Tensor

from rivalry import registry
from rivalry.artifacts import read_json, write_json, write_manifest, write_tensors
from rivalry.data._splits import load_split
from rivalry.errors import RivalryError, RivalryWarning
from rivalry.layout import Layout, Place
from rivalry.poisoning._poisoning import Poisoned
from rivalry.poisoning._trigger import Trigger

if TYPE_CHECKING:
    from rivalry.options import ParametersOf, Settings
    from rivalry.types import Natural

SEEN = 256
"""Training images that show whether a trigger covers anything."""


def poison(
    poisoning: str,
    method: str,
    parameters: Annotated[Settings, ParametersOf("poisonings")],
    data: Path,
    output: Path,
    *,
    seed: Natural = 0,
) -> None:
    """Poison a training set.

    The poisoned one, its trigger and its facts are written into `output`.

    Parameters
    ----------
    poisoning : str
        Name of the poisoning.
    method : str
        A registered poisoning.
    parameters : dict
        Parameters of the method; `rivalry describe METHOD` lists them.
    data : Path
        Folder of the data set.
    output : Path
        Folder to write into.
    seed : int
        Chooses the images.

    Raises
    ------
    RivalryError
        The target class does not exist in this data set.
    """
    facts = read_json(Place("prepare", data).facts)
    target = parameters["target"]
    if isinstance(target, int) and target >= facts["classes"]:
        raise RivalryError(
            f"poisonings.{poisoning}.target: {target} is no class of {facts['dataset']}; "
            f"its classes are 0 to {facts['classes'] - 1}"
        )
    clean = load_split(data, "train")
    declared = registry.method("poisonings", method)
    poisoned = declared.load()(clean.images, clean.labels, seed, **parameters)
    declared.kept(poisoned, Poisoned)
    _check(method, poisoned, clean.images, facts["classes"])
    if declared.traits.get("clean_labels", False) and not torch.equal(poisoned.labels, clean.labels[poisoned.sources]):
        raise RivalryError(
            f"{method}: says that labels stay as they are, and changes some; label them as their sources"
        )
    aim = poisoned.trigger.target
    share = None if aim == "next" else _share(poisoned.poisoned[poisoned.labels == aim])
    if not int(poisoned.poisoned.sum()):
        raise RivalryError(f"{method}: poisons no image; raise its fraction")
    if _unseen(poisoned.trigger, clean.floats(slice(SEEN))):
        raise RivalryError(
            f"{method}: its trigger changes no pixel of the first {min(SEEN, len(clean))} training images; "
            "raise its size or amplitude"
        )
    if share == 1:
        warnings.warn(
            f"{method}: every training image of class {aim} is poisoned; a victim may need the trigger to know it",
            RivalryWarning,
            stacklevel=2,
        )
    place = Layout().poisoning(facts["dataset"], poisoning).at(output)
    write_tensors(
        place["train"],
        {
            "images": poisoned.images,
            "labels": poisoned.labels,
            "poisoned": poisoned.poisoned.to(torch.uint8),
            "sources": poisoned.sources,
        },
    )
    poisoned.trigger.save(output)
    write_json(
        place.facts,
        {
            **place.about,
            "method": method,
            "parameters": parameters,
            "seed": seed,
            "target": aim,
            "n_train": len(poisoned.images),
            "n_poisoned": int(poisoned.poisoned.sum()),
            "share_of_all": _share(poisoned.poisoned),
            "share_of_target": share,
            "clean_labels": declared.traits.get("clean_labels", False),
            "trigger_pixels": int(poisoned.trigger.mask.amax(dim=0).count_nonzero()),
            "facts": poisoned.facts,
            "source": declared.traits["source"],
        },
    )
    write_manifest(place)


def _unseen(trigger: Trigger, images: Tensor) -> bool:
    """Whether images (N,C,H,W) in [0,1] look the same with the trigger, once they are stored in eight bits."""
    stamped = trigger.stamp(images)
    return torch.equal(stamped.mul(255).round(), images.mul(255).round())


def _share(poisoned: Tensor) -> float:
    """The poisoned ones among images, bool (N,)."""
    return float(poisoned.double().mean())


def _check(method: str, poisoned: Poisoned, clean: Tensor, classes: int) -> None:
    """Refuse what is no poisoned training set of this data set."""
    n = len(poisoned.images)
    wanted = {
        "images": (torch.uint8, (n, *clean.shape[1:])),
        "labels": (torch.int64, (n,)),
        "poisoned": (torch.bool, (n,)),
        "sources": (torch.int64, (n,)),
    }
    for name, (kind, shape) in wanted.items():
        own = getattr(poisoned, name)
        given = f"{own.dtype} {tuple(own.shape)}" if isinstance(own, Tensor) else type(own).__name__
        if given != (right := f"{kind} {shape}"):
            raise RivalryError(f"{method}: {name} are {given}; they must be {right}".replace("torch.", ""))
    for name, most in (("labels", classes), ("sources", len(clean))):
        own = getattr(poisoned, name)
        if n and not 0 <= int(own.min()) <= int(own.max()) < most:
            raise RivalryError(f"{method}: {name} are {own.min()} to {own.max()}; they must be 0 to {most - 1}")
    trigger = poisoned.trigger
    if not isinstance(trigger, Trigger) or trigger.mask.shape != clean.shape[1:]:
        raise RivalryError(f"{method}: trigger must be a Trigger whose mask is {tuple(clean.shape[1:])}")
