"""Training one classifier with PyTorch Lightning."""

from __future__ import annotations

import logging
import math
import sys
import warnings
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import torch
from torch import Tensor, nn
from torch.utils.data import DataLoader, Dataset, Sampler

from rivalry import _torchvision
from rivalry.artifacts import replacing
from rivalry.data._splits import floats
from rivalry.devices import lay_out
from rivalry.errors import RivalryError
from rivalry.seeds import derive_seed
from rivalry.training._recipe import Loss, Recipe

_torchvision.ensure()

import lightning  # noqa: E402  (after the torchvision repair)
from lightning.pytorch.callbacks import Callback, EarlyStopping, ModelCheckpoint  # noqa: E402
from lightning.pytorch.plugins.io import TorchCheckpointIO  # noqa: E402

LAST, PREVIOUS = "last.ckpt", "previous.ckpt"

EXPECTED = (
    "The '(train|val)_dataloader' does not have many workers",  # images are in memory
    "Checkpoint directory .* exists and is not empty",  # a training that is resumed
    "GPU available but not used",  # the configuration says so
    "The `srun` command is available",  # Snakemake submits the jobs
    r"`isinstance\(treespec, LeafSpec\)` is deprecated",  # by PyTorch, in Lightning's own code
)
"""Warnings of Lightning's about what is meant to be so."""


class _InMemory(Dataset[tuple[Tensor, ...]]):
    """Images and what belongs to each, fetched a whole batch of rows at a time."""

    def __init__(self, images: Tensor, *others: Tensor) -> None:
        self.images, self.others = images, others

    def __getitem__(self, rows: Tensor) -> tuple[Tensor, ...]:
        return floats(self.images[rows]), *(other[rows] for other in self.others)


class _Batches(Sampler[Tensor]):
    """Rows of each batch, in an order that belongs to the epoch."""

    def __init__(self, n: int, batch_size: int, seed: int) -> None:
        self.n, self.batch_size, self.seed, self.epoch = n, batch_size, seed, 0

    def __len__(self) -> int:
        return math.ceil(self.n / self.batch_size)

    def __iter__(self) -> Iterator[Tensor]:
        # A generator, so that the order is drawn with the first batch: Lightning asks for the iterator of an
        # epoch before it says which epoch it is.
        generator = torch.Generator().manual_seed(derive_seed(self.seed, f"order {self.epoch}"))
        yield from torch.randperm(self.n, generator=generator).split(self.batch_size)


class _Task(lightning.LightningModule):
    def __init__(self, victim: nn.Module, loss: Loss, optimizer: str, learning_rate: float, order: _Batches) -> None:
        super().__init__()
        self.victim = victim
        self.loss = loss
        self.optimizer = optimizer
        self.learning_rate = learning_rate
        self.order = order

    def on_train_epoch_start(self) -> None:
        # Every epoch starts from numbers of its own: a run that is resumed draws what it would have drawn.
        torch.manual_seed(derive_seed(self.order.seed, f"epoch {self.current_epoch}"))
        self.order.epoch = self.current_epoch

    def training_step(self, batch: tuple[Tensor, Tensor], step: int) -> Tensor:
        loss = self.loss(self.victim, *batch)
        if not loss.isfinite():
            raise self._diverged(f"loss is {loss.item()} in epoch {self.current_epoch + 1}, batch {step + 1}")
        self.log("train_loss", loss, on_step=False, on_epoch=True, batch_size=len(batch[0]))
        return loss

    def validation_step(self, batch: tuple[Tensor, Tensor, Tensor], _: int) -> None:
        images, targets, labels = batch
        correct = (self.victim(images).argmax(dim=1) == labels).float().mean()
        # The method's own loss chooses the epoch: for adversarial training, that on attacked images.
        loss = self.loss(self.victim, images, targets)
        if not loss.isfinite():
            raise self._diverged(f"validation loss is {loss.item()} in epoch {self.current_epoch + 1}")
        self.log("validation_loss", loss, batch_size=len(images))
        self.log("validation_accuracy", correct, prog_bar=True, batch_size=len(images))

    def _diverged(self, how: str) -> RivalryError:
        return RivalryError(f"training diverged: the {how}; lower learning_rate ({self.learning_rate:g})")

    def configure_optimizers(self) -> torch.optim.Optimizer:
        if self.optimizer == "adam":
            return torch.optim.Adam(self.victim.parameters(), lr=self.learning_rate)
        return torch.optim.SGD(self.victim.parameters(), lr=self.learning_rate, momentum=0.9)


class _History(Callback):
    """How training went: the curve, one row an epoch, and the best epoch with its weights.

    It is part of the checkpoint, so that a resumed training has all of it, from one and the same epoch.
    """

    def __init__(self, epochs: int) -> None:
        self.epochs = epochs
        self.rows: list[dict[str, float]] = []
        self.best_epoch = 0
        self.weights: dict[str, Tensor] = {}

    def on_train_epoch_end(self, trainer: lightning.Trainer, task: lightning.LightningModule) -> None:
        assert isinstance(task, _Task)
        names = ("train_loss", "validation_loss", "validation_accuracy")
        row = {name: float(trainer.callback_metrics[name]) for name in names}
        if all(row["validation_loss"] < earlier["validation_loss"] for earlier in self.rows):
            self.best_epoch = trainer.current_epoch + 1
            self.weights = {name: value.detach().cpu().clone() for name, value in task.victim.state_dict().items()}
        self.rows.append({"epoch": trainer.current_epoch + 1, **row})
        print(
            f"epoch {trainer.current_epoch + 1} of {self.epochs}: "
            + ", ".join(f"{name.replace('_', ' ')} {value:.4f}" for name, value in row.items()),
            flush=True,
        )

    def state_dict(self) -> dict[str, Any]:
        return {"rows": self.rows, "best_epoch": self.best_epoch, "weights": self.weights}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.rows, self.best_epoch, self.weights = state["rows"], state["best_epoch"], state["weights"]


class _Patience(EarlyStopping):
    def on_train_start(self, trainer: lightning.Trainer, task: lightning.LightningModule) -> None:
        # A checkpoint says how long there was no better epoch, but not that training stopped for it.
        trainer.should_stop = self.wait_count >= self.patience


class _WholeCheckpoints(TorchCheckpointIO):
    """Checkpoints that appear only when they are complete; Lightning's own are copied when /tmp is another disk.

    The one before is kept, since a disk may lose what was written last.
    """

    def save_checkpoint(self, checkpoint: dict[str, Any], path: Any, storage_options: Any = None) -> None:
        with replacing(path) as temporary:
            torch.save(checkpoint, temporary)
            if Path(path).is_file():
                Path(path).replace(Path(path).with_name(PREVIOUS))


def _resumable(folder: Path, epochs: int) -> Path | None:
    """The newest checkpoint that is whole; damaged ones are set aside. Says what was found, in one line."""
    aside: list[str] = []
    for path in (folder / LAST, folder / PREVIOUS):
        if not path.is_file():
            continue
        try:
            with zipfile.ZipFile(path) as archive:
                damaged = archive.testzip()  # PyTorch does not look at its files' checksums
            if damaged is None:
                epoch = torch.load(path, map_location="cpu", weights_only=True)["epoch"] + 1
                print(_aside(aside) + f"training continues after epoch {epoch} of {epochs}", flush=True)
                return path
        except Exception:  # whatever a reader makes of damaged bytes
            pass
        path.replace(path.with_suffix(".damaged"))
        aside.append(path.name)
    if aside:
        print(_aside(aside) + "training starts again", flush=True)
    return None


def _aside(names: list[str]) -> str:
    return "".join(f"{name} is damaged and set aside; " for name in names)


@dataclass(frozen=True)
class Fit:
    """How a training went: the curve (one row an epoch) and the epoch whose weights were kept, from 1."""

    history: list[dict[str, float]]
    best_epoch: int


def fit(
    victim: nn.Module,
    images: Tensor,
    labels: Tensor,
    recipe: Recipe,
    checkpoints: Path | None,
    *,
    seed: int,
    epochs: int,
    batch_size: int,
    learning_rate: float,
    optimizer: Literal["adam", "sgd"],
    patience: int,
    validation_fraction: float,
    accelerator: str = "auto",
    sources: Tensor | None = None,
) -> Fit:
    """Train `victim` in place and leave it with the weights of its best epoch.

    The best epoch has the lowest loss, as the recipe defines it, on a validation split carved from the training
    images. A checkpoint is written after each epoch; a training that finds one in `checkpoints` resumes there and
    ends with the weights it would have had without the interruption. A damaged one is set aside, and the one before
    it is taken.

    Parameters
    ----------
    victim : nn.Module
        Maps images (N,C,H,W) in [0,1] to logits (N,K).
    images : Tensor
        Training images, uint8 (N,C,H,W), or float of the same scale; the recipe has a target for each.
    labels : Tensor
        Their classes, int64 (N,), by which the validation accuracy is measured.
    recipe : Recipe
        Targets and loss.
    checkpoints : Path or None
        Folder for checkpoints, of this very training; None: none are written.
    seed : int
        Seeds the split, the order of images, and dropout.
    epochs, batch_size, learning_rate, optimizer
        As everywhere; sgd has momentum 0.9.
    patience : int
        Epochs without a better validation loss after which training stops.
    validation_fraction : float
        Share of the training images that is held out.
    accelerator : str
        Lightning's: auto, cpu, gpu, ...
    sources : Tensor, optional
        int64 (N,): which image each was made of. Images of one source are all trained on or all held out. When
        left out, each is its own source.

    Raises
    ------
    RivalryError
        The loss is no longer finite, or there is nothing to hold out.
    """
    if sources is None:
        sources = torch.arange(len(images))
    validation, training = split_by_source(sources, validation_fraction, seed)
    row_order = _Batches(len(training), batch_size, seed)
    batches = DataLoader(
        _InMemory(images[training], recipe.targets[training]),
        sampler=row_order,
        batch_size=None,
        # Its own: a loader draws a number for its workers, before or after an epoch's seed is set.
        generator=torch.Generator(),
    )
    validation_batches = DataLoader(
        _InMemory(images[validation], recipe.targets[validation], labels[validation]),
        sampler=torch.arange(len(validation)).split(batch_size),
        batch_size=None,
    )

    history = _History(epochs)
    callbacks: list[Callback] = [history, _Patience("validation_loss", patience=patience)]
    if checkpoints is not None:
        # Without a metric to monitor, each epoch replaces the last; after everything else that belongs to the epoch.
        every = ModelCheckpoint(
            checkpoints, Path(LAST).stem, save_on_train_epoch_end=True, enable_version_counter=False
        )
        callbacks.append(every)
    task = _Task(victim, recipe.loss, optimizer, learning_rate, row_order)
    with warnings.catch_warnings():
        for message in EXPECTED:
            warnings.filterwarnings("ignore", message)
        logging.getLogger("lightning.pytorch").setLevel(logging.ERROR)
        trainer = lightning.Trainer(
            accelerator=accelerator,
            devices=1,
            max_epochs=epochs,
            callbacks=callbacks,
            plugins=[_WholeCheckpoints()],
            enable_checkpointing=checkpoints is not None,
            logger=False,
            enable_progress_bar=sys.stderr.isatty(),
            enable_model_summary=False,
            num_sanity_val_steps=0,
            inference_mode=False,  # adversarial training attacks validation images too
            deterministic=True,
            use_distributed_sampler=False,
        )
        if trainer.strategy.root_device.type == "cpu":
            lay_out(victim, grey_gradients=images.shape[1] == 1)
        task.train()  # Lightning trains each module in the mode in which it comes
        trainer.fit(
            task,
            batches,
            validation_batches,
            ckpt_path=None if checkpoints is None else _resumable(checkpoints, epochs),
            weights_only=True,
        )
    victim.cpu()
    victim.load_state_dict(history.weights)
    return Fit(history.rows, history.best_epoch)


def split_by_source(sources: Tensor, fraction: float, seed: int) -> tuple[Tensor, Tensor]:
    """Rows to validate on and rows to train on, at random; all rows of one source (N,) are on the same side."""
    found, source = sources.unique(return_inverse=True)
    if len(found) < 2:
        raise RivalryError(f"{len(found)} training image: none can be held out for validation; give 2 or more")
    order = torch.randperm(len(found), generator=torch.Generator().manual_seed(derive_seed(seed, "split")))
    held_out = min(max(1, round(fraction * len(found))), len(found) - 1)
    place = order.argsort()[source]
    rows = place.argsort(stable=True)
    n = int((place < held_out).sum())
    return rows[:n], rows[n:]
