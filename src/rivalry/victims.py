"""Loading victims, defended ones included."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from torch import Tensor, nn

from rivalry import registry
from rivalry.architectures._classifier import Classifier
from rivalry.artifacts import read_json, read_tensors
from rivalry.errors import RivalryError
from rivalry.layout import Place


def build_classifier(facts: Mapping[str, Any]) -> Classifier:
    """The untrained classifier of `facts` (architecture, architecture_parameters, shape, classes, reject_class)."""
    architecture = _known("architectures", facts["architecture"])
    reject = facts.get("reject_class")
    outputs = facts["classes"] + (reject is not None)
    network = architecture.load()(facts["shape"], outputs, **facts["architecture_parameters"])
    return Classifier(network, channels=facts["shape"][0], reject_class=reject)


def _built(facts: Mapping[str, Any]) -> nn.Module:
    """The classifier of a victim's facts, before it is given its tensors."""
    if facts["architecture"] is not None:
        return build_classifier(facts)
    brought: nn.Module = _known("training", facts["method"]).load("restore")(facts)
    return brought


def _known(kind: str, name: str) -> registry.Method:
    if name not in registry.names(kind):
        raise RivalryError(
            f"there is no {registry.singular(kind)} '{name}' here; if a file of yours defines it, name that: "
            f"--plugins FILE, or rivalry.use_plugins(FILE)"
        )
    return registry.method(kind, name)


def load_victim(folder: str | Path) -> nn.Module:
    """The classifier in a folder that `rivalry train` or `rivalry defend` wrote, in evaluation mode.

    Parameters
    ----------
    folder : path
        Of a victim or a defended one; `rivalry.layout.Layout.classifier` tells where a workflow's lie.

    Returns
    -------
    nn.Module
        Maps float32 images (N,C,H,W) in [0,1] to logits (N,K); (N,K+1) with attribute `reject_class` where the
        victim, or a detector before it, may refuse the image.

    Examples
    --------
    >>> import rivalry
    >>> victim = rivalry.load_victim("results/victims/digits/plain")
    """
    folder = Path(folder)
    victim_files, defense_files = Place("train", folder), Place("defend", folder)
    if defense_files.facts.is_file():
        facts = read_json(defense_files.facts)
        inner = Path(os.path.normpath(folder / facts["victim_folder"]))
        about = read_json(Place("train", inner).facts)
        for key in ("dataset", "victim"):
            if about.get(key) != facts.get(key):
                raise RivalryError(f"{inner}: is {key} {about.get(key)}, but {folder} defends {facts.get(key)}")
        victim = load_victim(inner)
        restore = _known("defenses", facts["method"]).load("restore")
        defended: nn.Module = restore(victim, facts)
        _load(defended, defense_files["weights"], partial=True)
    else:
        defended = _built(read_json(victim_files.facts))
        _load(defended, victim_files["weights"])
    return defended.eval()


def _load(module: nn.Module, path: Path, *, partial: bool = False) -> None:
    tensors: dict[str, Tensor] = read_tensors(path)
    try:
        missing, unexpected = module.load_state_dict(tensors, strict=not partial)
    except RuntimeError as error:
        fault = str(error).splitlines()[-1].strip()
        raise RivalryError(f"{path}: does not fit its description: {fault}") from error
    # A defense's own file leaves out the victim that it stands before.
    missing = [name for name in missing if not name.startswith("victim.")]
    for fault, entries in (("unexpected", unexpected), ("missing", missing)):
        if entries:
            raise RivalryError(f"{path}: does not fit its description: {fault} {', '.join(entries)}")
