"""Bring a data set into the one form that everything else reads."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from rivalry import registry
from rivalry.artifacts import checksum, write_json, write_manifest, write_tensors
from rivalry.data._croissant import croissant
from rivalry.data._dataset import Dataset
from rivalry.data._fetch import Fetch
from rivalry.data._roles import Unfit
from rivalry.errors import RivalryError
from rivalry.layout import Layout

if TYPE_CHECKING:
    from rivalry.options import ParametersOf, Settings
    from rivalry.types import Count, Natural


def prepare(
    dataset: str,
    source: str,
    parameters: Annotated[Settings, ParametersOf("sources", "source")],
    output: Path,
    *,
    seed: Natural = 0,
    train_images: Count | None = None,
    mirror: str | None = None,
) -> None:
    """Bring a data set into canonical form.

    Its training split, its test split and its facts are written into the folder `output`: these as `dataset.json`, and
    as `croissant.json` for catalogues of data sets.

    Parameters
    ----------
    dataset : str
        Name of the data set, as in the configuration.
    source : str
        Where it comes from: one of `rivalry list sources`.
    parameters : dict
        Parameters of the source; `rivalry describe SOURCE` lists them.
    output : Path
        Folder to write into.
    seed : int
        Seeds what a source draws; the same for all data sets of one source.
    train_images : int, optional
        Training images to keep, at most: of each class its share. All are kept when left out.
    mirror : str, optional
        Folder or address that public files are read from instead of the internet; when left out, what the
        environment variable RIVALRY_DATA_MIRROR says.

    Raises
    ------
    RivalryError
        The data cannot be had, or are no data set that a classifier can be trained and tested on.
    """
    import numpy as np
    import torch

    from rivalry.data._sampling import sample

    method = registry.method("sources", source)
    try:
        data: Dataset = method.load()(Fetch(mirror), seed, **parameters)
    except Unfit as error:
        raise RivalryError(f"datasets.{dataset}.{error.key}: {error}") from error
    method.kept(data, Dataset)
    _check(dataset, data)
    classes = len(data.class_names)
    available = len(data.train_labels)
    if train_images is not None and train_images < available:
        if train_images < classes:
            raise RivalryError(
                f"datasets.{dataset}.train_images: {train_images} is less than one of each of its {classes} classes"
            )
        rows = sample(data.train_images, data.train_labels, train_images)
        data = replace(data, train_images=data.train_images[rows], train_labels=data.train_labels[rows])
    place = Layout().data(dataset).at(output)
    for split in ("train", "test"):
        images, labels = getattr(data, f"{split}_images"), getattr(data, f"{split}_labels")
        images = np.ascontiguousarray(images)
        write_tensors(place[split], {"images": torch.from_numpy(images), "labels": torch.from_numpy(labels)})
    facts = {
        "dataset": dataset,
        "source": source,
        "seed": seed,
        "parameters": parameters,
        "classes": classes,
        "class_names": data.class_names,
        "shape": data.train_images.shape[1:],
        "train_images": train_images,
        "n_train": len(data.train_labels),
        "n_train_available": available,
        "n_test": len(data.test_labels),
        "train_counts": np.bincount(data.train_labels, minlength=classes).tolist(),
        "test_counts": np.bincount(data.test_labels, minlength=classes).tolist(),
        "provenance": {**data.provenance, "citation": method.traits["source"]},
        "sha256": {split: checksum(place[split]) for split in ("train", "test")},
    }
    write_json(place.facts, facts)
    write_json(place["croissant"], croissant(facts, {split: place[split] for split in ("train", "test")}))
    write_manifest(place)


def _check(dataset: str, data: Dataset) -> None:
    """Refuse what is not uint8 (N,C,H,W) with int64 labels (N,), or lacks a class in a split."""
    import numpy as np

    where = f"datasets.{dataset}"
    classes = len(data.class_names)
    if not all(isinstance(name, str) for name in data.class_names) or len({*data.class_names}) < classes:
        raise RivalryError(f"{where}: class_names are {list(data.class_names)[:9]}; each class needs a text of its own")
    for name in ("train_images", "train_labels", "test_images", "test_labels"):
        if not isinstance(getattr(data, name), np.ndarray):
            kind = type(getattr(data, name)).__name__
            raise RivalryError(f"{where}: {name} is a {kind}; it must be an array of NumPy")
    if classes < 2:
        raise RivalryError(f"{where}: has {classes} class; a classifier needs at least 2")
    if data.train_images.shape[1:] != data.test_images.shape[1:]:
        raise RivalryError(
            f"{where}: training images are {data.train_images.shape[1:]}, "
            f"test images {data.test_images.shape[1:]}; they must be of one shape"
        )
    for split in ("train", "test"):
        images, labels = getattr(data, f"{split}_images"), getattr(data, f"{split}_labels")
        if images.dtype != np.uint8 or images.ndim != 4 or images.shape[1] not in (1, 3):
            raise RivalryError(
                f"{where}: {split} images are {images.dtype} {images.shape}, not uint8 (N, 1 or 3, H, W)"
            )
        if labels.dtype != np.int64 or labels.shape != images.shape[:1]:
            raise RivalryError(f"{where}: {split} labels are {labels.dtype} {labels.shape}, not int64 ({len(images)},)")
        outside = labels[(labels < 0) | (labels >= classes)]
        if len(outside):
            raise RivalryError(f"{where}: {split} has a label {outside[0]}; labels are 0 to {classes - 1}")
        absent = set(range(classes)) - set(labels.tolist())
        if absent:
            name = data.class_names[min(absent)]
            raise RivalryError(f"{where}: class '{name}' has no image in {split}; every class needs one in both splits")
    if missing := {"description", "urls", "files"} - {*(data.provenance or ())}:
        raise RivalryError(f"{where}: provenance lacks {', '.join(sorted(missing))}; see rivalry.plugins.Dataset")
