"""What an attack is, and how one is run."""

from __future__ import annotations

import functools
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields
from typing import Any

import torch
from torch import Tensor, nn
from tqdm import tqdm

from rivalry.attacks._goals import Goal
from rivalry.attacks._oracles import ORACLES, Ledger
from rivalry.attacks._random import Random
from rivalry.devices import frozen
from rivalry.errors import RivalryError
from rivalry.seeds import derive_seed

BAR = "{desc}: {n} of {total} images |{bar:20}| {elapsed}<{remaining}{postfix}"
"""Whoever shows a run reads "n of total images" in the job's log."""


@dataclass(frozen=True)
class Result:
    """What an attack did to N images; all tensors are on the CPU and (N,) unless said otherwise.

    Attributes
    ----------
    images : Tensor
        float32 (N,C,H,W) in [0,1]. Images that were not attacked are returned untouched.
    attacked : Tensor
        bool: the clean image was classified correctly, so that there was something to attack.
    success : Tensor
        bool: attacked, and the goal was reached.
    clean_predictions, predictions : Tensor
        int64: the victim's classes before and after.
    confidence : Tensor
        float32: the victim's probability of `predictions`.
    iterations, queries, gradients : Tensor
        int64: the attack's steps, and the forward and backward passes they took.
    zero_gradient, finite : Tensor
        bool: the attack met an all-zero gradient; it met only finite numbers.
    seconds : Tensor
        float64: the image's share of its batch's wall time.
    fitted : Fitted or None
        What was made beforehand, from other images, for attacks that do so.
    """

    images: Tensor
    attacked: Tensor
    success: Tensor
    clean_predictions: Tensor
    predictions: Tensor
    confidence: Tensor
    iterations: Tensor
    queries: Tensor
    gradients: Tensor
    zero_gradient: Tensor
    finite: Tensor
    seconds: Tensor
    fitted: Fitted | None = None


@dataclass(frozen=True)
class Fitted:
    """What an attack made once, from training images, to use on every image: a perturbation, a patch, a model.

    Attributes
    ----------
    tensors : dict of Tensor
        By name, on the CPU.
    images : int
        How many images it was fitted to.
    queries, gradients : int
        The victim's forward and backward passes that it took, all images together.
    zero_gradient, not_finite : int
        For how many images it met an all-zero gradient, and a number that is not finite.
    seconds : float
        Wall time.
    """

    tensors: dict[str, Tensor]
    images: int
    queries: int
    gradients: int
    zero_gradient: int
    not_finite: int
    seconds: float


class Attack:
    """A registered attack: its function, what it sees, and the bookkeeping around it."""

    def __init__(
        self,
        function: Callable[..., Tensor],
        sees: str,
        goals: Sequence[str],
        target: str | None,
        fitted: bool,
    ) -> None:
        functools.update_wrapper(self, function)
        self.name = function.__name__
        self.function = function
        self.sees = sees
        self.goals = tuple(goals)
        self.target = target
        self._fit: Callable[..., dict[str, Tensor]] | None = function.__globals__["fit"] if fitted else None

    def __call__(self, victim: nn.Module, images: Tensor, labels: Tensor, **options: Any) -> Tensor:
        """Adversarial images, float32 (N,C,H,W) in [0,1]; see `run` for the options."""
        return self.run(victim, images, labels, **options).images

    def run(
        self,
        victim: nn.Module,
        images: Tensor,
        labels: Tensor,
        *,
        targets: Tensor | None = None,
        training: tuple[Tensor, Tensor] | None = None,
        seed: int = 0,
        batch_size: int = 64,
        progress: bool = False,
        **parameters: Any,
    ) -> Result:
        """Attack images in batches.

        Parameters
        ----------
        victim : nn.Module
            Maps float32 images (N,C,H,W) in [0,1] to logits (N,K).
        images, labels : Tensor
            float32 (N,C,H,W) in [0,1] and int64 (N,).
        targets : Tensor, optional
            int64 (N,): classes to reach. Images of that class are not attacked.
        training : tuple of Tensor, optional
            Other images and labels, like `images` and `labels`; needed, and used, by attacks that make
            something to use on every image.
        seed : int
            Seeds the attack's random numbers, together with each image's content.
        batch_size : int
            Images attacked at once, and the most the victim is ever given at once: bounds the memory.
        progress : bool
            Show a progress bar on standard error.
        **parameters
            The attack's own parameters.

        Raises
        ------
        ValueError
            Images outside [0,1] or not (N,C,H,W), or a goal this attack does not pursue.
        """
        _check(images, labels)
        if targets is None and self.target is not None:
            targets = choose_targets(self.target, victim, images, labels, seed)
        kind = "untargeted" if targets is None else "targeted"
        if kind not in self.goals:
            raise ValueError(f"{self.name} has no {kind} form")
        if self._fit is not None and training is None:
            raise ValueError(f"{self.name} needs `training`: images, and their labels, to fit to")
        if self._fit is not None and targets is not None and len(targets.unique()) > 1:
            raise ValueError(f"{self.name} makes one thing for all images, so all need the same target")
        fitted, results = None, []
        still = frozen(victim, grey_gradients=self.sees == "gradients" and images.shape[1] == 1)
        with still, tqdm(total=len(images), desc=self.name, disable=not progress, miniters=0, bar_format=BAR) as bar:
            bar.mininterval = 5
            if self._fit is not None and training is not None:
                target = None if targets is None else targets[:1]
                fitted = self._fit_to(*training, target, victim, seed, batch_size, parameters, bar)
            for rows in torch.arange(len(images)).split(batch_size):
                goal = Goal(labels[rows], None if targets is None else targets[rows], _reject_class(victim))
                results.append(self._run_batch(victim, images[rows], goal, seed, batch_size, parameters, fitted, bar))
                bar.update(len(rows))
        tensors = [field.name for field in fields(Result) if field.name != "fitted"]
        return Result(**{name: torch.cat([getattr(r, name) for r in results]) for name in tensors}, fitted=fitted)

    def _fit_to(
        self,
        images: Tensor,
        labels: Tensor,
        target: Tensor | None,
        victim: nn.Module,
        seed: int,
        batch_size: int,
        parameters: dict[str, Any],
        bar: tqdm[Any],
    ) -> Fitted:
        assert self._fit is not None
        _check(images, labels)
        started = time.perf_counter()
        device = _device(victim)
        images, n = images.to(device), len(images)
        goal = Goal(labels.to(device), None if target is None else target.expand(n).to(device), _reject_class(victim))
        ledger = Ledger(n, functools.partial(_say, bar, "fitting, "))
        oracle = ORACLES[self.sees](victim, ledger, torch.arange(n), batch_size)
        settings = (self.function.__kwdefaults__ or {}) | parameters  # the defaults stand in the attack alone
        tensors = self._fit(oracle, images, goal, Random.for_images(images, seed), **settings)
        return Fitted(
            tensors={name: tensor.detach().cpu() for name, tensor in tensors.items()},
            images=n,
            queries=int(ledger.queries.sum()),
            gradients=int(ledger.gradients.sum()),
            zero_gradient=int(ledger.flat.sum()),
            not_finite=int(ledger.broken.sum()),
            seconds=time.perf_counter() - started,
        )

    def _run_batch(
        self,
        victim: nn.Module,
        images: Tensor,
        goal: Goal,
        seed: int,
        batch_size: int,
        parameters: dict[str, Any],
        fitted: Fitted | None,
        bar: tqdm[Any],
    ) -> Result:
        started = time.perf_counter()
        device = _device(victim)
        images = images.to(device)
        goal = Goal(goal.labels.to(device), None if goal.targets is None else goal.targets.to(device), goal.reject)
        made = [] if fitted is None else [{name: tensor.to(device) for name, tensor in fitted.tensors.items()}]
        n = len(images)
        ledger = Ledger(n, functools.partial(_say, bar, ""))
        oracle = ORACLES[self.sees](victim, ledger, torch.arange(n), batch_size)

        clean = oracle.clean_decisions(images)
        attackable = clean == goal.labels
        if goal.targets is not None:
            attackable &= goal.labels != goal.targets
        rows = attackable.nonzero().squeeze(1)
        adversarial = images.clone()
        if len(rows):
            asked, chosen = oracle.handed(images, rows)
            random = Random.for_images(chosen, seed)
            found = self.function(asked, chosen, goal[rows], random, *made, **parameters).detach()
            finite = found.flatten(1).isfinite().all(dim=1)
            ledger.broken[rows[~finite].cpu()] = True
            adversarial[rows] = torch.where(finite.view(-1, 1, 1, 1), found, chosen)

        logits = oracle.outcome(adversarial)
        # Not the softmax's maximum: rounding makes ties of what the logits tell apart.
        predictions = logits.argmax(dim=1)
        confidence = logits.softmax(dim=1).gather(1, predictions[:, None]).squeeze(1)
        elapsed = time.perf_counter() - started
        return Result(
            images=adversarial.cpu(),
            attacked=attackable.cpu(),
            success=(attackable & goal.reached(predictions)).cpu(),
            clean_predictions=clean.cpu(),
            predictions=predictions.cpu(),
            confidence=confidence.cpu(),
            iterations=ledger.iterations,
            queries=ledger.queries,
            gradients=ledger.gradients,
            zero_gradient=ledger.flat,
            finite=~ledger.broken,
            seconds=torch.full((n,), elapsed / n, dtype=torch.float64),
        )


def attack(
    *,
    sees: str,
    goals: Sequence[str],
    norms: Sequence[str | int],
    budget: str,
    source: str,
    target: str | None = None,
    fitted: bool = False,
) -> Callable[[Callable[..., Tensor]], Attack]:
    """Register a function as an attack.

    Parameters
    ----------
    sees : "nothing", "decisions", "scores" or "gradients"
        What the attacker knows of the victim; decides which oracle the function is handed.
    goals : list of "untargeted", "targeted"
        Goals it can pursue.
    norms : list of "inf", 2, 0
        Norms it can bound or minimise, the default first.
    budget : "fixed" or "minimal"
        Whether it succeeds as well as it can within eps, or seeks the smallest perturbation.
    source : str
        Citation key of the paper.
    target : str, optional
        The rule by which the attack chooses its targets, where that is part of it.
    fitted : bool
        Whether it makes something from training images first. Its file then also defines `fit`, with the same
        parameters (victim, images, goal, random, *, ...), which returns a dict of tensors; the attack is handed
        that after `random`. With a target, all images have the same one. Its parameter `training_images` says
        from how many images.
    """
    return lambda function: Attack(function, sees, goals, target, fitted)


def choose_targets(rule: int | str, victim: nn.Module, images: Tensor, labels: Tensor, seed: int) -> Tensor:
    """The class each image (N,C,H,W) shall be taken for, int64 (N,).

    A class number is the same for all; "next" is label + 1, cyclically; "random" a class other than the label,
    drawn per image; "least_likely" the one the victim finds least likely on the clean image.
    """
    with frozen(victim), torch.no_grad():
        logits = torch.cat([victim(part.to(_device(victim))).cpu() for part in images.split(64)])
    classes = logits.shape[1] - (_reject_class(victim) is not None)
    if isinstance(rule, int):
        if not 0 <= rule < classes:
            raise RivalryError(f"target: {rule} is no class of this data set; its classes are 0 to {classes - 1}")
        return torch.full_like(labels, rule)
    if rule == "next":
        return (labels + 1) % classes
    if rule == "random":
        generator = torch.Generator().manual_seed(derive_seed(seed, "targets"))
        return (labels + torch.randint(1, classes, labels.shape, generator=generator)) % classes
    return logits[:, :classes].scatter(1, labels[:, None], torch.inf).argmin(dim=1)


def _check(images: Tensor, labels: Tensor) -> None:
    if images.dim() != 4 or images.dtype != torch.float32 or len(images) != len(labels):
        raise ValueError("images must be float32 (N,C,H,W) with one label each")
    if len(images) and not (images.min() >= 0 and images.max() <= 1):
        raise ValueError("images must lie in [0,1]")


def _device(victim: nn.Module) -> torch.device:
    return next((parameter.device for parameter in victim.parameters()), torch.device("cpu"))


def _say(bar: tqdm[Any], prefix: str, passes: int) -> None:
    """The batch's passes so far, beside the bar; it is drawn every few seconds at most."""
    bar.set_postfix_str(f"{prefix}{passes} passes", refresh=False)
    bar.update(0)


def _reject_class(victim: nn.Module) -> int | None:
    reject = getattr(victim, "reject_class", None)
    return reject if isinstance(reject, int) else None
