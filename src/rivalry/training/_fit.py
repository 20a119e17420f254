"""Training one classifier with PyTorch Lightning."""

from __future__ import annotations

import logging
import signal
import sys
import threading
import time
import warnings
import zipfile
from collections import defaultdict
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import torch
from torch import Tensor, nn
from torch.nn.functional import one_hot
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn
from tqdm import tqdm

from rivalry import _torchvision
from rivalry.answers import classify
from rivalry.artifacts import replacing
from rivalry.data._splits import floats
from rivalry.devices import denormals_are_zero, device, device_of, frozen, lay_out
from rivalry.errors import RivalryError, RivalryWarning
from rivalry.formatting import duration
from rivalry.seeds import derive_seed
from rivalry.training._augmentation import augmented
from rivalry.training._fitting import FittingKeys
from rivalry.training._inner import evaluating
from rivalry.training._optimizing import optimizer, schedule
from rivalry.training._recipe import Recipe

_torchvision.ensure()

import lightning  # noqa: E402  (after the torchvision repair)
from lightning.pytorch.callbacks import Callback, EarlyStopping, ModelCheckpoint  # noqa: E402
from lightning.pytorch.plugins.io import TorchCheckpointIO  # noqa: E402

LAST, PREVIOUS = "last.ckpt", "previous.ckpt"

EXPECTED = (
    "Checkpoint directory .* exists and is not empty",  # a training that is resumed
    "GPU available but not used",  # the configuration says so
    "The `srun` command is available",  # Snakemake submits the jobs
    r"`isinstance\(treespec, LeafSpec\)` is deprecated",  # by PyTorch, in Lightning's own code
)
"""Warnings of Lightning's about what is meant to be so."""


class _Batches:
    """Images and what belongs to each, a whole batch of rows at a time.

    Those that are learned from come in an order that belongs to the epoch. A last one that would be alone joins the
    batch before: of one image, batch normalisation has no deviation.
    """

    def __init__(self, images: Tensor, *others: Tensor, batch_size: int, learned: bool, seed: int) -> None:
        self.images, self.others, self.learned, self.seed, self.epoch = images, others, learned, seed, 0
        n = len(images)
        alone = learned and batch_size > 1 and n > batch_size and n % batch_size == 1
        whole, rest = divmod(n - alone, batch_size)
        self.sizes = [batch_size] * whole + [rest] * (rest > 0)
        if alone:
            self.sizes[-1] += 1

    def __len__(self) -> int:
        return len(self.sizes)

    def __iter__(self) -> Iterator[tuple[Tensor, ...]]:
        # A generator, so that the order is drawn with the first batch: Lightning asks for the iterator of an
        # epoch before it says which epoch it is.
        order = torch.arange(len(self.images))
        if self.learned:
            generator = torch.Generator().manual_seed(derive_seed(self.seed, f"order {self.epoch}"))
            order = torch.randperm(len(self.images), generator=generator)
        for rows in order.split(self.sizes):
            yield floats(self.images[rows]), *(other[rows] for other in self.others)


class _Mean:
    """The mean of what is measured on batches. Lightning's `log` takes longer than a step of a small network."""

    def __init__(self) -> None:
        self.total, self.seen = torch.zeros(()), 0

    def add(self, value: Tensor, images: int) -> None:
        self.total = self.total.to(value.device) + value.detach() * images
        self.seen += images

    @property
    def value(self) -> Tensor:
        return self.total / self.seen


class _Task(lightning.LightningModule):
    def __init__(
        self,
        victim: nn.Module,
        recipe: Recipe,
        keys: FittingKeys,
        learned: _Batches,
        classes: int,
        auxiliary: nn.Module | None,
        classifies: bool,
    ) -> None:
        super().__init__()
        self.victim = victim
        # A part of this module, as the average below, so that checkpoints hold it, too.
        self.auxiliary = auxiliary
        self.recipe = recipe
        self.keys = keys
        self.learned = learned
        self.classes = classes
        self.classifies = classifies
        self.average = (
            None
            if keys.ema is None
            else AveragedModel(victim, multi_avg_fn=get_ema_multi_avg_fn(keys.ema), use_buffers=True)
        )

    def __setattr__(self, name: str, value: Any) -> None:
        # Lightning notes the name of each hook here, some fifty times a step, and a module asks of each whether it is
        # a weight.
        if name == "_current_fx_name":
            self.__dict__[name] = value
        else:
            super().__setattr__(name, value)

    @property
    def kept(self) -> nn.Module:
        """The victim as it is validated and kept."""
        if self.average is None:
            return self.victim
        average: nn.Module = self.average.module
        return average

    def on_train_epoch_start(self) -> None:
        # Every epoch starts from numbers of its own: a run that is resumed draws what it would have drawn.
        torch.manual_seed(derive_seed(self.learned.seed, f"epoch {self.current_epoch}"))
        self.learned.epoch = self.current_epoch
        self.train_loss = _Mean()

    def transfer_batch_to_device(self, batch: tuple[Tensor, ...], device: torch.device, _: int) -> tuple[Tensor, ...]:
        return tuple(part.to(device) for part in batch)

    def training_step(self, batch: tuple[Tensor, Tensor], step: int) -> Tensor:
        images, targets = batch
        if self.keys.augmentation is not None:
            images = augmented(images, self.keys.augmentation)
        loss = self._loss(self.victim, images, targets)
        if not (isinstance(loss, Tensor) and loss.shape == () and loss.requires_grad):
            given = tuple(loss.shape) if isinstance(loss, Tensor) and loss.shape else f"a {type(loss).__name__}"
            raise RivalryError(f"the method's loss is {given}; it must be one number that has a gradient: loss.mean()")
        if not loss.isfinite():
            raise self._diverged(f"loss is {loss.item()} in epoch {self.current_epoch + 1}, batch {step + 1}")
        self.train_loss.add(loss, len(images))
        return loss

    def on_train_batch_end(self, *_: object) -> None:
        if self.recipe.after_step is not None:
            with torch.no_grad():
                self.recipe.after_step(self.victim)
        if self.average is not None:
            self.average.update_parameters(self.victim)

    def on_validation_epoch_start(self) -> None:
        self.measured: defaultdict[str, _Mean] = defaultdict(_Mean)

    def validation_step(self, batch: tuple[Tensor, Tensor, Tensor], _: int) -> None:
        images, targets, labels = batch
        measured = {"validation_accuracy": _share_right(self.kept, images, labels)} if self.classifies else {}
        # The method's own loss: for adversarial training, that on attacked images.
        if self.recipe.attacked is None:
            loss = self._loss(self.kept, images, targets)
        else:
            loss, attacked = self.recipe.attacked(self.kept, images, self._smoothed(targets))
            measured["robust_accuracy"] = _share_right(self.kept, attacked, labels)
        if not loss.isfinite():
            raise self._diverged(f"validation loss is {loss.item()} in epoch {self.current_epoch + 1}")
        for name, value in ({"validation_loss": loss} | measured).items():
            self.measured[name].add(value, len(images))

    def on_validation_epoch_end(self) -> None:
        self.log_dict({name: mean.value for name, mean in self.measured.items()})

    def _loss(self, victim: nn.Module, images: Tensor, targets: Tensor) -> Tensor:
        given = () if self.auxiliary is None else (self.auxiliary,)
        return self.recipe.loss(victim, images, self._smoothed(targets), *given)

    def _smoothed(self, targets: Tensor) -> Tensor:
        """Targets, classes or probabilities, of which a share is spread over all classes."""
        share = self.keys.label_smoothing
        if share is None:
            return targets
        if targets.dim() == 1:
            targets = one_hot(targets, self.classes).float()
        return (1 - share) * targets + share / self.classes

    def _diverged(self, how: str) -> RivalryError:
        return RivalryError(f"training diverged: the {how}; lower learning_rate ({self.keys.learning_rate:g})")

    def configure_optimizers(self) -> Any:
        groups: list[dict[str, Any]] = [{"params": list(self.victim.parameters())}]
        if self.auxiliary is not None:
            rate = self.recipe.auxiliary_rate or self.keys.learning_rate
            groups.append({"params": list(self.auxiliary.parameters()), "lr": rate, "weight_decay": 0.0})
        taker = optimizer(groups, self.keys)
        rates = schedule(taker, self.keys, len(self.learned))
        if rates is None:
            return taker
        return {"optimizer": taker, "lr_scheduler": {"scheduler": rates, "interval": "step"}}


def _share_right(victim: nn.Module, images: Tensor, labels: Tensor) -> Tensor:
    right: Tensor = victim(images).argmax(dim=1) == labels
    return right.float().mean()


BETTER: dict[str, tuple[str, Literal["min", "max"]]] = {
    "loss": ("validation_loss", "min"),
    "accuracy": ("validation_accuracy", "max"),
    "robust_accuracy": ("robust_accuracy", "max"),
}
"""What an epoch can be the best in: the column of the curve, and whether the smallest or the largest is best."""


GUARDED = "train_robust_accuracy"
"""The column of the curve, where there is a guard."""
GUARDS = 256
"""Training images that a guard looks at."""


@dataclass(frozen=True)
class _Guard:
    """Training images on which it is seen that a victim withstands only the attack that it was trained with."""

    attacked: Callable[[nn.Module, Tensor, Tensor], tuple[Tensor, Tensor]]
    tolerance: float
    images: Tensor
    labels: Tensor

    def accuracy(self, victim: nn.Module) -> float:
        """The victim's accuracy on them, attacked."""
        place = device_of(victim, self.images)
        images, labels = self.images.to(place), self.labels.to(place)
        with evaluating(victim), torch.no_grad():
            return float(_share_right(victim, self.attacked(victim, images, labels)[1], labels))


class _History(Callback):
    """How training went: the curve, one row an epoch, and the best epoch with its weights.

    It is part of the checkpoint, so that a resumed training has all of it, from one and the same epoch.
    """

    KEPT = ("rows", "best_epoch", "collapsed", "weights")

    def __init__(self, keys: FittingKeys, guard: _Guard | None) -> None:
        self.epochs = keys.epochs
        self.guard = guard
        self.column, self.direction = BETTER[keys.choose_epoch_by]
        self.rows: list[dict[str, float]] = []
        self.best_epoch = 0
        self.collapsed: int | None = None
        self.weights: dict[str, Tensor] = {}

    def on_train_start(self, trainer: lightning.Trainer, task: lightning.LightningModule) -> None:
        self.started, self.before = time.perf_counter(), len(self.rows)
        trainer.should_stop |= self.collapsed is not None

    def on_train_epoch_start(self, trainer: lightning.Trainer, task: lightning.LightningModule) -> None:
        self.rate = trainer.optimizers[0].param_groups[0]["lr"]

    def on_train_epoch_end(self, trainer: lightning.Trainer, task: lightning.LightningModule) -> None:
        assert isinstance(task, _Task)
        names = ("validation_loss", "validation_accuracy", "robust_accuracy")
        row = {"train_loss": float(task.train_loss.value)}
        row |= {name: float(trainer.callback_metrics[name]) for name in names if name in trainer.callback_metrics}
        if self.guard is not None:
            row[GUARDED] = self.guard.accuracy(task.victim)
            if row[GUARDED] < max((earlier[GUARDED] for earlier in self.rows), default=0) - self.guard.tolerance:
                self.collapsed = trainer.current_epoch + 1
                trainer.should_stop = True
        if self.collapsed is None and all(self._is_better(row, earlier) for earlier in self.rows):
            self.best_epoch = trainer.current_epoch + 1
            self.weights = {name: value.detach().cpu().clone() for name, value in task.kept.state_dict().items()}
        self.rows.append({"epoch": trainer.current_epoch + 1, **row, "learning_rate": self.rate})
        seconds = (time.perf_counter() - self.started) / (len(self.rows) - self.before)
        left = seconds * (self.epochs - len(self.rows))
        with tqdm.external_write_mode():  # a bar in a terminal makes room
            print(
                f"epoch {trainer.current_epoch + 1} of {self.epochs}: "
                + ", ".join(f"{name.replace('_', ' ')} {value:.4f}" for name, value in row.items())
                + f", learning rate {self.rate:.3g}, {duration(seconds)} an epoch"
                + (f", {duration(left)} left" if left and self.collapsed is None else ""),
                flush=True,
            )

    def _is_better(self, row: dict[str, float], earlier: dict[str, float]) -> bool:
        new, old = row[self.column], earlier[self.column]
        return new < old if self.direction == "min" else new > old

    def state_dict(self) -> dict[str, Any]:
        return {name: getattr(self, name) for name in self.KEPT}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        for name in self.KEPT:
            setattr(self, name, state[name])


class _Bar(Callback):
    """One line in a terminal, overwritten: how far the training is, how fast it goes, and the time left."""

    def __init__(self, epochs: int, images: int) -> None:
        self.epochs, self.images = epochs, images

    def on_train_start(self, trainer: lightning.Trainer, task: lightning.LightningModule) -> None:
        self.bar = tqdm(
            desc=self._epoch(trainer),
            total=self.epochs * self.images,
            initial=trainer.current_epoch * self.images,
            bar_format="{desc} [{bar:20}] {rate_noinv_fmt}, {remaining} left",
            unit=" images",
            ascii=".#",  # in any terminal
            smoothing=0,
            dynamic_ncols=True,
            leave=False,
        )

    def on_train_epoch_start(self, trainer: lightning.Trainer, task: lightning.LightningModule) -> None:
        self.bar.set_description_str(self._epoch(trainer))

    def on_train_batch_end(
        self, trainer: lightning.Trainer, task: lightning.LightningModule, _: Any, batch: Any, step: int
    ) -> None:
        self.bar.update(len(batch[0]))

    def on_train_end(self, trainer: lightning.Trainer, task: lightning.LightningModule) -> None:
        self.bar.close()

    def on_exception(
        self, trainer: lightning.Trainer, task: lightning.LightningModule, exception: BaseException
    ) -> None:
        self.bar.close()

    def _epoch(self, trainer: lightning.Trainer) -> str:
        return f"epoch {trainer.current_epoch + 1} of {self.epochs}"


class _Signals(Callback):
    """SIGTERM ends a training at once, as it ends all else; Lightning would end it later, with status 0."""

    def __init__(self) -> None:
        self.handler = signal.getsignal(signal.SIGTERM)

    def on_train_start(self, trainer: lightning.Trainer, task: lightning.LightningModule) -> None:
        if threading.current_thread() is threading.main_thread():
            signal.signal(signal.SIGTERM, self.handler)


class _Patience(EarlyStopping):
    def on_train_start(self, trainer: lightning.Trainer, task: lightning.LightningModule) -> None:
        # A checkpoint says how long there was no better epoch, but not that training stopped for it.
        trainer.should_stop |= self.wait_count >= self.patience


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
    """The newest checkpoint that is whole; damaged ones are set aside. Says what was found."""
    aside = False
    for path in (folder / LAST, folder / PREVIOUS):
        if not path.is_file():
            continue
        try:
            with zipfile.ZipFile(path) as archive:
                damaged = archive.testzip()  # PyTorch does not look at its files' checksums
            if damaged is None:
                epoch = torch.load(path, map_location="cpu", weights_only=True)["epoch"] + 1
                print(f"training continues after epoch {epoch} of {epochs}", flush=True)
                return path
        except Exception:  # whatever a reader makes of damaged bytes
            pass
        path.replace(path.with_suffix(".damaged"))
        warnings.warn(f"{path.name} is damaged and set aside: epochs are trained again", RivalryWarning, stacklevel=2)
        aside = True
    if aside:
        print("training starts again", flush=True)
    return None


@dataclass(frozen=True)
class Fit:
    """How a training went: the curve (one row an epoch) and the epoch whose weights were kept, from 1.

    `collapsed` is the epoch of catastrophic overfitting, after which training stopped; None if there was none.
    """

    history: list[dict[str, float]]
    best_epoch: int
    collapsed: int | None = None


def fit(
    victim: nn.Module,
    images: Tensor,
    labels: Tensor | None,
    recipe: Recipe,
    checkpoints: Path | None,
    keys: FittingKeys,
    *,
    seed: int,
    accelerator: str = "auto",
    sources: Tensor | None = None,
) -> Fit:
    """Train `victim` in place and leave it with the weights of its best epoch.

    The best epoch is that on a validation split carved from the training images, by the loss as the recipe defines
    it or by what `keys.choose_epoch_by` says. A checkpoint is written after each epoch; a training that finds one in
    `checkpoints` resumes there and ends with the weights it would have had without the interruption. A damaged one
    is set aside, and the one before it is taken.

    Parameters
    ----------
    victim : nn.Module
        Maps images (N,C,H,W) in [0,1] to logits (N,K).
    images : Tensor
        Training images, uint8 (N,C,H,W), or float of the same scale; the recipe has a target for each, or brings
        images of its own.
    labels : Tensor or None
        Their classes, int64 (N,), by which the validation accuracy is measured; None: what is trained tells none.
    recipe : Recipe
        Targets and loss.
    checkpoints : Path or None
        Folder for checkpoints, of this very training; None: none are written.
    keys : FittingKeys
        How long, by whom, at which rates, and what the epoch that is kept is best in.
    seed : int
        Seeds the split, the order of images, and dropout.
    accelerator : str
        auto, cpu or gpu.
    sources : Tensor, optional
        int64 (N,): which image each was made of. Images of one source are all trained on or all held out. When
        left out, each is its own source.

    Raises
    ------
    RivalryError
        The loss is no longer finite, there is nothing to hold out, batches of one image meet batch normalisation, or
        precision needs a GPU and there is none.
    """
    if keys.precision != 32 and device(accelerator).type == "cpu":
        raise RivalryError(f"precision: {keys.precision} needs a GPU, and this training runs on a processor; use 32")
    normalised = any(isinstance(part, nn.BatchNorm1d | nn.BatchNorm2d) for part in victim.modules())
    if keys.batch_size == 1 and normalised:
        raise RivalryError("batch_size: 1 is too few for batch normalisation, which needs at least 2 images")
    if sources is None:
        sources = torch.arange(len(images))
    classifies = labels is not None
    images, labels, sources = recipe.examples(images, sources if labels is None else labels, sources)
    validation, training = split_by_source(sources, keys.validation_fraction, seed)
    if recipe.learned is not None:
        training = training[recipe.learned[training]]
    targets, size = recipe.targets, keys.batch_size
    batches = _Batches(images[training], targets[training], batch_size=size, learned=True, seed=seed)
    held_out = images[validation], targets[validation], labels[validation]
    validation_batches = _Batches(*held_out, batch_size=size, learned=False, seed=seed)

    guard = None
    if recipe.attacked is not None and recipe.tolerance is not None:
        rows = training[:GUARDS]
        guard = _Guard(recipe.attacked, recipe.tolerance, floats(images[rows]), labels[rows])
    history = _History(keys, guard)
    column, direction = BETTER[keys.choose_epoch_by]
    callbacks: list[Callback] = [history, _Signals(), _Patience(column, mode=direction, patience=keys.most_idle)]
    if sys.stderr.isatty():
        callbacks.append(_Bar(keys.epochs, len(training)))
    if checkpoints is not None:
        # Without a metric to monitor, each epoch replaces the last; after everything else that belongs to the epoch.
        every = ModelCheckpoint(
            checkpoints, Path(LAST).stem, save_on_train_epoch_end=True, enable_version_counter=False
        )
        callbacks.append(every)
    classes = 0 if keys.label_smoothing is None else classify(victim, images[:1], 1).shape[1]
    auxiliary = None
    if recipe.auxiliary is not None:
        torch.manual_seed(derive_seed(seed, "auxiliary"))
        with frozen(victim), torch.no_grad():
            auxiliary = recipe.auxiliary(victim, floats(images[:2]))
    task = _Task(victim, recipe, keys, batches, classes, auxiliary, classifies)
    with warnings.catch_warnings():
        for message in EXPECTED:
            warnings.filterwarnings("ignore", message)
        logging.getLogger("lightning.pytorch").setLevel(logging.ERROR)
        trainer = lightning.Trainer(
            accelerator=accelerator,
            devices=1,
            max_epochs=keys.epochs,
            precision=keys.precision,
            gradient_clip_val=keys.gradient_clipping,
            callbacks=callbacks,
            plugins=[_WholeCheckpoints()],
            enable_checkpointing=checkpoints is not None,
            logger=False,
            enable_progress_bar=False,
            enable_model_summary=False,
            num_sanity_val_steps=0,
            inference_mode=False,  # adversarial training attacks validation images too
            deterministic=True,
            use_distributed_sampler=False,
        )
        if trainer.strategy.root_device.type == "cpu":
            lay_out(victim, grey_gradients=images.shape[1] == 1)
        task.train()  # Lightning trains each module in the mode in which it comes
        try:
            with denormals_are_zero():
                trainer.fit(
                    task,
                    batches,
                    validation_batches,
                    ckpt_path=None if checkpoints is None else _resumable(checkpoints, keys.epochs),
                    weights_only=True,
                )
        except SystemExit as stop:
            if isinstance(stop.__context__, KeyboardInterrupt):  # which Lightning turned into a failure
                raise stop.__context__ from None
            raise
    victim.cpu()
    victim.load_state_dict(history.weights)
    if history.collapsed is not None:
        most, now = max(row[GUARDED] for row in history.rows), history.rows[-1][GUARDED]
        warnings.warn(
            f"catastrophic overfitting in epoch {history.collapsed}: {GUARDED.replace('_', ' ')} fell from {most:.4f} "
            f"to {now:.4f}; training stops, and epoch {history.best_epoch} is kept",
            RivalryWarning,
            stacklevel=2,
        )
    return Fit(history.rows, history.best_epoch, history.collapsed)


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
