"""Networks that torchvision and timm know by name, with the weights that were published for them.

Weights are fetched like data sets: from the mirror where there is one, and checked against the part of their SHA-256
that stands in their file's name.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from importlib import import_module
from typing import Any

from torch import nn

from rivalry import _torchvision
from rivalry.data._fetch import Fetch, Remote
from rivalry.errors import RivalryError, nearest, one_line
from rivalry.external.weights import load_state, read_weights

MOST = 8 << 30
"""Bound on the bytes of one file of weights."""
CHECKSUM = re.compile(r"-([0-9a-f]{8,64})\.\w+$")
"""How the name of a file ends that was published with the beginning of its SHA-256."""


@dataclass(frozen=True)
class Preset:
    """What published weights were trained to be given.

    Attributes
    ----------
    size : (int, int)
        Height and width.
    mean, std : list of float
        Per channel, of pixels from 0 to 1.
    """

    size: tuple[int, int]
    mean: list[float]
    std: list[float]


def published(
    library: str,
    name: str,
    weights: str | None,
    arguments: Mapping[str, Any],
    fetch: Fetch | None = None,
    *,
    learned: bool = True,
) -> tuple[nn.Module, Preset | None]:
    """A network of a library, by its name.

    Parameters
    ----------
    library : str
        "torchvision" or "timm".
    name : str
        What the library calls the network.
    weights : str, optional
        What the library calls its published weights, or DEFAULT; None: untrained.
    arguments : dict
        What the library's builder is called with, such as num_classes.
    fetch : Fetch, optional
        Where files come from; None: as the environment says.
    learned : bool
        Whether the weights are fetched and loaded. Without, the network is as it is with them, but untrained.

    Returns
    -------
    nn.Module, Preset or None
        In evaluation mode, and what its weights want; None without published weights.

    Raises
    ------
    RivalryError
        The library or its network is not there, takes other arguments, or its weights cannot be had.
    """
    build = BUILDERS[library]
    for own in ("weights", "pretrained", "pretrained_cfg", "checkpoint_path"):
        if own in arguments:
            raise RivalryError(f"arguments: {own} is none of them; name published weights, or a file, under weights")
    network, preset = build(name, weights, arguments, (fetch or Fetch()) if learned else None)
    return network.eval(), preset


def _torchvision_network(
    name: str, weights: str | None, arguments: Mapping[str, Any], fetch: Fetch | None
) -> tuple[nn.Module, Preset | None]:
    _torchvision.ensure()
    models = import_module("torchvision.models")
    known = models.list_models(module=models)
    if name not in known:
        raise RivalryError(f"model: torchvision knows no classifier '{name}'; {nearest(name, known)}")
    if weights is None:
        with _told(f"torchvision:{name}"):
            return models.get_model(name, weights=None, **arguments), None
    entries = models.get_model_weights(name)
    if weights not in entries.__members__:
        raise RivalryError(
            f"weights: torchvision publishes no {one_line(weights)} of {name}; "
            f"{nearest(weights, [*entries.__members__])}"
        )
    entry = entries[weights]
    wanted = entry.transforms()
    height, width = (wanted.crop_size * 2)[:2]
    preset = Preset((height, width), list(wanted.mean), list(wanted.std))
    if fetch is None:
        with _told(f"torchvision:{name}"):
            return models.get_model(name, weights=None, **{**_as_with(entry, name), **arguments}), preset
    path = fetch(_remote("torchvision", entry.url))
    # Its builder asks for weights by this function, and does more with them than load them.
    interface: Any = import_module("torchvision.models._api")
    downloading = interface.load_state_dict_from_url
    interface.load_state_dict_from_url = lambda *_, **__: load_state(path)
    try:
        with _told(f"torchvision:{name}"):
            return models.get_model(name, weights=entry, **arguments), preset
    finally:
        interface.load_state_dict_from_url = downloading


def _as_with(entry: Any, name: str) -> dict[str, Any]:
    """The arguments that torchvision's builders set where they are given weights."""
    made: dict[str, Any] = {}
    if name.startswith("vit_"):
        made["image_size"] = entry.meta["min_size"][0]
    if name in ("googlenet", "inception_v3"):
        made |= {"transform_input": True, "aux_logits": False, "init_weights": False}
    return made


def _timm_network(
    name: str, weights: str | None, arguments: Mapping[str, Any], fetch: Fetch | None
) -> tuple[nn.Module, Preset | None]:
    _torchvision.ensure()
    try:
        timm = import_module("timm")
    except ImportError as error:
        raise RivalryError(
            "model: needs the package timm, which is not installed; pip install 'rivalry[models]'"
        ) from error
    known = timm.list_models()
    if name.split(".")[0] not in known:
        raise RivalryError(f"model: timm knows no network '{one_line(name)}'; {nearest(name, known)}")
    if weights is None:
        with _told(f"timm:{name}"):
            return timm.create_model(name, pretrained=False, **arguments), None
    tags = timm.list_models(f"{name.split('.')[0]}.*", pretrained=True)
    tagged = name if weights == "DEFAULT" else f"{name.split('.')[0]}.{weights}"
    about = timm.get_pretrained_cfg(tagged, allow_unregistered=False) if tagged in (name, *tags) else None
    if about is None:
        raise RivalryError(f"weights: timm publishes none for {one_line(tagged)}; {nearest(tagged, tags)}")
    if not about.url or CHECKSUM.search(about.url) is None:
        raise RivalryError(
            f"weights: timm publishes those of {one_line(tagged)} without a checksum, at "
            f"{about.hf_hub_id or about.url}; download the file and give its path"
        )
    preset = Preset(tuple(about.input_size[1:]), list(about.mean), list(about.std))
    if fetch is None:
        with _told(f"timm:{name}"):
            return timm.create_model(tagged, pretrained=False, **arguments), preset
    tensors = read_weights(fetch(_remote("timm", about.url)))
    with _told(f"timm:{name}"):
        # As a state dict, timm looks for nothing elsewhere.
        given = {"state_dict": tensors, "custom_load": False}
        return timm.create_model(tagged, pretrained=True, pretrained_cfg_overlay=given, **arguments), preset


Builder = Callable[[str, str | None, Mapping[str, Any], Fetch | None], tuple[nn.Module, Preset | None]]
BUILDERS: Mapping[str, Builder] = {"torchvision": _torchvision_network, "timm": _timm_network}


def _remote(library: str, url: str) -> Remote:
    """A published file of weights; in a mirror, it lies in the library's folder."""
    found = CHECKSUM.search(url)
    if found is None:
        raise RivalryError(f"weights: {url} was published without a checksum; download it and give the file's path")
    return Remote(
        f"{library}/{url.rpartition('/')[2]}", f"sha256:{found[1]}", (url,), most=MOST, whole=len(found[1]) == 64
    )


@contextmanager
def _told(where: str) -> Iterator[None]:
    """What a library raises, on one line."""
    try:
        yield
    except RivalryError:
        raise
    except Exception as error:  # a library's builders raise whatever they like
        lines = str(error).strip().splitlines() or [type(error).__name__]
        raise RivalryError(f"arguments: {where} cannot be built with them ({one_line(lines[0])})") from error
