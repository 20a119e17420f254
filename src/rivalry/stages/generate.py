"""Training a generator of images."""

from __future__ import annotations

import shutil
import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import pandas as pd

from rivalry.artifacts import read_json, write_json, write_manifest, write_table, write_tensors
from rivalry.codehash import code_hash
from rivalry.data._splits import load_split
from rivalry.devices import device
from rivalry.generative import wgan
from rivalry.generative.keys import GeneratorKeys
from rivalry.layout import Layout, Place
from rivalry.stages.train import _fingerprint
from rivalry.training import _fit

if TYPE_CHECKING:
    from rivalry.options import Accelerator, Generating, Settings
    from rivalry.types import Natural


def generate(
    generator: str,
    parameters: Annotated[Settings, Generating()],
    data: Path,
    output: Path,
    *,
    seed: Natural = 0,
    accelerator: Accelerator = "auto",
) -> None:
    """Train a generator of images like those of a data set.

    It sees the clean training images and no labels. Defenses that project images onto what it can make name it, and
    poisonings that move images between others; `rivalry.generative.wgan.load_generator` loads it.

    Parameters
    ----------
    generator : str
        Name of the generator.
    parameters : dict
        How it is built and trained: latent, width, epochs, ... as in a configuration.
    data : Path
        Folder of the data set.
    output : Path
        Folder to write into. An interrupted training leaves its checkpoints there and resumes.
    seed : int
        Seeds weights, the order of images and latent points.
    accelerator : str
        Where to compute.
    """
    started = time.perf_counter()
    about = read_json(Place("prepare", data).facts)
    images, keys = load_split(data, "train").images, GeneratorKeys(**parameters)
    code = code_hash(wgan.__name__, _fit.__name__, __name__)
    checkpoints = output / ".checkpoints"
    own = checkpoints / _fingerprint((images,), [parameters, seed, code, device(accelerator).type])
    made, outcome = wgan.train_generator(images, keys, own, seed=seed, accelerator=accelerator)
    place = Layout().generator(about["dataset"], generator).at(output)
    write_tensors(place["weights"], dict(made.state_dict()))
    write_table(place["curve"], pd.DataFrame(outcome.history).rename(columns={"validation_loss": "energy_distance"}))
    write_json(
        place.facts,
        {
            **place.about,
            "parameters": parameters,
            "shape": about["shape"],
            "images_given": len(images),
            "parameters_count": sum(parameter.numel() for parameter in made.parameters()),
            "best_epoch": outcome.best_epoch,
            "energy_distance": outcome.history[outcome.best_epoch - 1]["validation_loss"],
            "seed": seed,
            "source": "gulrajani2017",
            "seconds": time.perf_counter() - started,
        },
    )
    write_manifest(place)
    shutil.rmtree(checkpoints, ignore_errors=True)
