"""Training one classifier with PyTorch Lightning."""

from __future__ import annotations

import logging
import math
import sys
import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import torch
from torch import Tensor, nn
from torch.utils.data import DataLoader, Dataset, Sampler

from rivalry import _torchvision
from rivalry.devices import lay_out
from rivalry.errors import RivalryError
from rivalry.seeds import derive_seed
from rivalry.training._recipe import Loss, Recipe

_torchvision.ensure()

import lightning  # noqa: E402  (after the torchvision repair)
from lightning.pytorch.callbacks import Callback, EarlyStopping, ModelCheckpoint  # noqa: E402


class _InMemory(Dataset):
    """Images and targets, fetched a whole batch of rows at a time."""

    def __init__(self, images: Tensor, targets: Tensor) -> None:
        self.images, self.targets = images, targets

    def __getitem__(self, rows: Tensor) -> tuple[Tensor, Tensor]:
        return self.images[rows].float() / 255, self.targets[rows]


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
            raise RivalryError(
                f"training diverged: the loss is {loss.item()} in epoch {self.current_epoch + 1}, "
                f"batch {step + 1}; lower learning_rate ({self.learning_rate:g})"
            )
        self.log("train_loss", loss, on_step=False, on_epoch=True, batch_size=len(batch[0]))
        return loss

    def validation_step(self, batch: tuple[Tensor, Tensor], _: int) -> None:
        images, targets = batch
        truth = targets if targets.dim() == 1 else targets.argmax(dim=1)
        correct = (self.victim(images).argmax(dim=1) == truth).float().mean()
        # The method's own loss chooses the epoch: for adversarial training, that on attacked images.
        self.log("validation_loss", self.loss(self.victim, images, targets), batch_size=len(images))
        self.log("validation_accuracy", correct, prog_bar=True, batch_size=len(images))

    def configure_optimizers(self) -> torch.optim.Optimizer:
        if self.optimizer == "adam":
            return torch.optim.Adam(self.victim.parameters(), lr=self.learning_rate)
        return torch.optim.SGD(self.victim.parameters(), lr=self.learning_rate, momentum=0.9)


class _History(Callback):
    """The training curve, one row an epoch; part of the checkpoint, so that a resumed run has all of it."""

    def __init__(self, epochs: int) -> None:
        self.epochs = epochs
        self.rows: list[dict[str, float]] = []

    def on_train_epoch_end(self, trainer: lightning.Trainer, task: lightning.LightningModule) -> None:
        names = ("train_loss", "validation_loss", "validation_accuracy")
        row = {name: float(trainer.callback_metrics[name]) for name in names}
        self.rows.append({"epoch": trainer.current_epoch + 1, **row})
        print(
            f"epoch {trainer.current_epoch + 1} of {self.epochs}: "
            + ", ".join(f"{name.replace('_', ' ')} {value:.4f}" for name, value in row.items()),
            flush=True,
        )

    def state_dict(self) -> dict[str, Any]:
        return {"rows": self.rows}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.rows = state["rows"]


@dataclass(frozen=True)
class Fit:
    """How a training went: the curve (one row an epoch) and the epoch whose weights were kept, from 1."""

    history: list[dict[str, float]]
    best_epoch: int


def fit(
    victim: nn.Module,
    images: Tensor,
    recipe: Recipe,
    checkpoints: Path,
    *,
    seed: int,
    epochs: int,
    batch_size: int,
    learning_rate: float,
    optimizer: Literal["adam", "sgd"],
    patience: int,
    validation_fraction: float,
    accelerator: str = "auto",
) -> Fit:
    """Train `victim` in place and leave it with the weights of its best epoch.

    The best epoch has the lowest loss, as the recipe defines it, on a validation split carved from the training
    images. A checkpoint is written after each epoch; a training that finds one in `checkpoints` resumes there and
    ends with the weights it would have had without the interruption.

    Parameters
    ----------
    victim : nn.Module
        Maps images (N,C,H,W) in [0,1] to logits (N,K).
    images : Tensor
        Training images, uint8 (N,C,H,W); the recipe has a target for each.
    recipe : Recipe
        Targets and loss.
    checkpoints : Path
        Folder for checkpoints, of this very training.
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

    Raises
    ------
    RivalryError
        The loss is no longer finite.
    """
    order = torch.randperm(len(images), generator=torch.Generator().manual_seed(derive_seed(seed, "split")))
    held_out = max(1, round(validation_fraction * len(images)))
    validation, training = order[:held_out], order[held_out:]
    row_order = _Batches(len(training), batch_size, seed)
    batches = DataLoader(
        _InMemory(images[training], recipe.targets[training]),
        sampler=row_order,
        batch_size=None,
        # Its own: a loader draws a number for its workers, before or after an epoch's seed is set.
        generator=torch.Generator(),
    )
    validation_batches = DataLoader(
        _InMemory(images[validation], recipe.targets[validation]),
        sampler=torch.arange(held_out).split(batch_size),
        batch_size=None,
    )

    best = ModelCheckpoint(
        checkpoints,
        filename="best",
        monitor="validation_loss",
        save_last=True,
        save_on_train_epoch_end=True,  # after everything that belongs to the epoch, the history included
        enable_version_counter=False,
    )
    history = _History(epochs)
    task = _Task(victim, recipe.loss, optimizer, learning_rate, row_order)
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", module="lightning")
        logging.getLogger("lightning.pytorch").setLevel(logging.ERROR)
        trainer = lightning.Trainer(
            accelerator=accelerator,
            devices=1,
            max_epochs=epochs,
            callbacks=[history, best, EarlyStopping("validation_loss", patience=patience)],
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
        last = checkpoints / "last.ckpt"
        trainer.fit(
            task,
            batches,
            validation_batches,
            ckpt_path=last if last.is_file() else None,
            weights_only=True,
        )
    state = torch.load(best.best_model_path, map_location="cpu", weights_only=True)
    victim.cpu()
    task.load_state_dict(state["state_dict"])
    return Fit(history.rows, best_epoch=state["epoch"] + 1)
