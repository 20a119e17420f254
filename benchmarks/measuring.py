"""Runs each library in a process of its own and measures what comes out."""

from __future__ import annotations

import copy
import multiprocessing
import os
import random
import time
from collections.abc import Callable
from dataclasses import dataclass
from importlib import metadata
from multiprocessing.connection import Connection
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
import torch
from contests import Contest
from libraries import LIBRARIES, Task
from torch import Tensor, nn

import rivalry
from rivalry.answers import classify
from rivalry.data._splits import load_split
from rivalry.devices import lay_out

PASS_BATCHES = (16, 32, 64, 128)


@dataclass(frozen=True)
class Arena:
    """Where all contests take place.

    Attributes
    ----------
    victim, data : Path
        Folders.
    rows, training_rows : list of int
        Images of the test split to attack, and of the training split for attacks that are fitted.
    threads : int
        For PyTorch, in every process.
    channels_last : bool
        Whether every library is handed the victim with its weights' channels last.
    """

    victim: Path
    data: Path
    rows: list[int]
    training_rows: list[int]
    threads: int
    channels_last: bool


@dataclass(frozen=True)
class Question:
    """One run: a contest on the first `images` images, `batch` at once."""

    contest: Contest
    images: int
    batch: int


@dataclass(frozen=True)
class Run:
    """What a run came to.

    Attributes
    ----------
    seconds : float
        Wall time.
    success : list of bool
        By image: reached the goal, within [0,1] and eps.
    norm : list of float
        By image, in the contest's norm.
    forwards, backwards : float
        The victim's passes, per image.
    outside : int
        How many images were not finite, left [0,1] or broke the budget.
    """

    seconds: float
    success: list[bool]
    norm: list[float]
    forwards: float
    backwards: float
    outside: int


@dataclass(frozen=True)
class PassCost:
    """What one image's forward and backward pass cost in seconds, at the batch and in the layout that are cheapest."""

    forward: float
    backward: float


class Failure(Exception):
    """A library raised an error or ran out of time."""


class Worker:
    """A process with one library in it, started when it is first asked, and again after it had to be stopped."""

    def __init__(self, library: str, arena: Arena) -> None:
        self.library = library
        self._arena = arena
        self._process: Any = None

    def ask(self, question: Question | None, limit: float) -> Any:
        """A Run; or a PassCost if there is no question.

        Raises
        ------
        Failure
            The library raised an error, which is its message, or took more than `limit` seconds.
        """
        if self._process is None:
            context = multiprocessing.get_context("spawn")
            self._pipe, theirs = context.Pipe()
            self._process = context.Process(target=_serve, args=(theirs, self.library, self._arena), daemon=True)
            self._process.start()
            theirs.close()
        try:
            self._pipe.send(question)
            answered = self._pipe.poll(limit)
            answer = self._pipe.recv() if answered else None
        except (EOFError, OSError):
            self.stop()
            raise Failure("the process died") from None
        if not answered:
            self.stop()
            raise Failure(f"not done after {limit:g} s")
        if isinstance(answer, Failure):
            raise answer
        return answer

    def stop(self, patience: float = 0) -> None:
        """End the process; it has `patience` seconds to do so itself."""
        if self._process is not None:
            self._pipe.close()
            self._process.join(patience)
            self._process.kill()
            self._process.join()
            self._process = None


def version(library: str) -> str:
    """The installed version of a library."""
    distribution, _ = LIBRARIES[library]
    return rivalry.__version__ if distribution is None else metadata.version(distribution)


def correct_rows(victim: nn.Module, data: Path, split: str, count: int) -> list[int]:
    """The first `count` images of a split, in a fixed random order, that the victim classifies correctly."""
    images = load_split(data, split)
    # Not sorted: the first half of MNIST's test images is the easier one.
    rows = torch.randperm(len(images), generator=torch.Generator().manual_seed(0))[: 2 * count + 20]
    right = classify(victim, images.images[rows], 64).argmax(dim=1) == images.labels[rows]
    if right.sum() < count:
        raise SystemExit(f"the victim classifies only {int(right.sum())} of {len(rows)} {split} images correctly")
    return rows[right][:count].tolist()


class _Counter:
    """Counts the images that go through a victim, and the gradients that come back."""

    def __init__(self, victim: nn.Module) -> None:
        self.forwards = self.backwards = 0
        self._rows = 1
        self._grad = torch.autograd.grad
        torch.autograd.grad = self._watched_grad
        victim.register_forward_hook(self._forward)

    def _forward(self, victim: nn.Module, inputs: Any, logits: Tensor) -> None:
        self.forwards += len(logits)
        if logits.requires_grad:
            logits.register_hook(self._backward)

    def _backward(self, gradient: Tensor) -> None:
        self.backwards += self._rows * len(gradient)

    def _watched_grad(self, outputs: Any, inputs: Any, grad_outputs: Any = None, *args: Any, **options: Any) -> Any:
        """Hooks of a batched call are called once, with all rows but one hidden: this notes how many there are."""
        if options.get("is_grads_batched"):
            self._rows = len(grad_outputs if isinstance(grad_outputs, Tensor) else grad_outputs[0])
        try:
            return self._grad(outputs, inputs, grad_outputs, *args, **options)
        finally:
            self._rows = 1


def _serve(pipe: Connection, library: str, arena: Arena) -> None:
    silence = os.open(os.devnull, os.O_WRONLY)
    os.dup2(silence, 1)
    os.dup2(silence, 2)
    torch.set_num_threads(arena.threads)
    victim = rivalry.load_victim(arena.victim).requires_grad_(False)
    if arena.channels_last:
        lay_out(victim)
    test, train = load_split(arena.data, "test"), load_split(arena.data, "train")
    images, labels = test.floats(arena.rows), test.labels[arena.rows]
    training = train.floats(arena.training_rows), train.labels[arena.training_rows]
    counter = _Counter(victim)
    while True:
        try:
            question = pipe.recv()
        except EOFError:
            return
        if question is None:
            pipe.send(_pass_cost(victim, images))
            continue
        n = question.images
        classes = len(victim(images[:1])[0])
        targets = (labels[:n] + 1) % classes if question.contest.targeted else None
        task = Task(
            victim, images[:n].clone(), labels[:n].clone(), targets, training, question.contest.eps, question.batch
        )
        try:
            pipe.send(_run(task, question.contest, library, counter))
        except Exception as error:
            pipe.send(Failure(f"{type(error).__name__}: {error}".splitlines()[0]))


def _run(task: Task, contest: Contest, library: str, counter: _Counter) -> Run:
    _, craft = LIBRARIES[library]
    torch.manual_seed(0)
    np.random.seed(0)  # noqa: NPY002 - the generator that libraries draw from
    random.seed(0)
    counter.forwards = counter.backwards = 0
    originals = task.images.clone()
    started = time.perf_counter()
    adversarial = craft(task, contest.calls[library]).detach().float()
    if library != "rivalry":  # whose attacks ask both themselves: which images are right, and which were fooled
        for images in (originals, adversarial):
            classify(task.victim, images, task.batch)
    seconds = time.perf_counter() - started
    n = len(originals)
    forwards, backwards = counter.forwards / n, counter.backwards / n

    clipped = adversarial.nan_to_num(0).clamp(0, 1)
    norm = _length(clipped - originals, contest.norm)
    inside = adversarial.isfinite().flatten(1).all(dim=1) & (
        (adversarial - clipped).abs().flatten(1).amax(dim=1) < 1e-5
    )
    if contest.eps is not None:
        inside &= norm <= contest.eps + 1e-5
    with torch.no_grad():
        predictions = task.victim(clipped).argmax(dim=1)
    reached = predictions != task.labels if task.targets is None else predictions == task.targets
    return Run(seconds, (inside & reached).tolist(), norm.tolist(), forwards, backwards, int((~inside).sum()))


def _length(change: Tensor, norm: str | int) -> Tensor:
    if norm == 0:
        # Changed pixels; not those that only went through another unit and back.
        return (change.abs() > 1e-4).any(dim=1).flatten(1).sum(dim=1).float()
    return torch.linalg.vector_norm(change.flatten(1), ord=torch.inf if norm == "inf" else 2, dim=1)


def _pass_cost(victim: nn.Module, images: Tensor) -> PassCost:
    def forward(images: Tensor) -> None:
        with torch.no_grad():
            victim(images)

    def both(images: Tensor) -> None:
        images = images.detach().requires_grad_(True)
        torch.autograd.grad(victim(images).amax(dim=1).sum(), images)

    costs = []
    victim = copy.deepcopy(victim)
    for usual in (True, False):
        lay_out(victim, grey_gradients=usual)
        alone, together = (
            min(_seconds(work, images[torch.arange(batch) % len(images)]) / batch for batch in PASS_BATCHES)
            for work in (forward, both)
        )
        costs.append((alone, together - alone))
    return PassCost(*(min(column) for column in zip(*costs, strict=True)))


def _seconds(work: Callable[[Tensor], None], images: Tensor, repeats: int = 7) -> float:
    times = []
    for _ in range(repeats):
        started = time.perf_counter()
        work(images)
        times.append(time.perf_counter() - started)
    return median(times)
