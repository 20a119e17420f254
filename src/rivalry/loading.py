"""Loading a classifier in Python: what a run has made, or a network from outside."""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

from torch import nn

from rivalry import registry
from rivalry.artifacts import read_json
from rivalry.data._splits import load_split
from rivalry.errors import RivalryWarning, WrongArgument
from rivalry.external.building import bring
from rivalry.external.spec import names_network
from rivalry.layout import Place
from rivalry.parameters import checked
from rivalry.victims import load_victim as load_folder


def load_victim(
    victim: str | Path,
    *,
    weights: str | Path | None = None,
    arguments: Mapping[str, Any] | None = None,
    normalize: Mapping[str, Sequence[float]] | None = None,
    input: Mapping[str, Any] | None = None,
    outputs: Literal["logits", "probabilities", "sigmoid"] | None = None,
    classes: Sequence[str | int] | None = None,
    data: str | Path | None = None,
) -> nn.Module:
    """A classifier, in evaluation mode: one that a run has made, or a network from outside.

    Parameters
    ----------
    victim : path or str
        The folder that `rivalry train` or `rivalry defend` wrote; `rivalry.layout.Layout.classifier` tells where a
        workflow's lie. Or what names a network from outside, such as "my_model.py:build" or "torchvision:resnet18".
    weights, arguments, normalize, input, outputs, classes
        What a network from outside is given, as in a configuration; `rivalry describe external` explains them.
    data : path, optional
        Folder of a prepared data set: the network is looked at on a few of its training images first, and what is
        remarkable and no fault for certain is a warning. Needed for names in `classes`.

    Returns
    -------
    nn.Module
        Maps float32 images (N,C,H,W) in [0,1] to logits (N,K); (N,K+1) with attribute `reject_class` where the
        victim, or a detector before it, may refuse the image.

    Raises
    ------
    RivalryError
        There is no such victim; or a network from outside cannot be brought, or is not what it is said to be. One line.

    Examples
    --------
    >>> import rivalry
    >>> victim = rivalry.load_victim("results/victims/digits/plain")
    >>> mine = rivalry.load_victim("my_model.py:build", weights="weights.safetensors")
    """
    own: dict[str, Any] = {"weights": weights, "arguments": arguments, "normalize": normalize, "input": input}
    own |= {"outputs": outputs, "classes": classes}
    given = {key: _plain(value) for key, value in own.items() if value is not None}
    if names_network(str(victim)):
        return _brought({"model": str(victim)} | given, data)
    for key in [*given, *(["data"] if data is not None else [])]:
        raise WrongArgument(f"load_victim: {key}: is about a network such as 'my_model.py:build'; {victim} is a folder")
    return load_folder(victim)


def _plain(value: Any) -> Any:
    """The value as YAML would have it: what a type check takes, without tuples and paths."""
    if isinstance(value, Mapping):
        return {key: _plain(item) for key, item in value.items()}
    if isinstance(value, Path):
        return str(value)
    return [_plain(item) for item in value] if isinstance(value, list | tuple) else value


def _brought(given: dict[str, Any], data: str | Path | None) -> nn.Module:
    method = registry.method("training", "external")
    told = checked(method, given, "load_victim: ")
    if data is None:
        if any(isinstance(one, str) for one in told.get("classes") or ()):
            raise WrongArgument("load_victim: classes: names need data=, a prepared data set's folder; or give numbers")
        numbers = [str(number) for number in range(len(told.get("classes") or ()))]
        return bring(**told, class_names=numbers).victim
    names, split = read_json(Place("prepare", Path(data)).facts)["class_names"], load_split(data, "train")
    victim, about = method.load()(split.images, split.labels, **told).bring(names)
    for remark in about["warnings"]:
        warnings.warn(remark, RivalryWarning, stacklevel=3)
    ready: nn.Module = victim
    return ready
