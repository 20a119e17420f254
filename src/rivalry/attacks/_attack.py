"""What an attack is, and how one is run."""

from __future__ import annotations

import functools
import time
from collections.abc import Callable, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from tqdm import tqdm

from rivalry.attacks._goals import Goal
from rivalry.attacks._oracles import ORACLES, Ledger
from rivalry.attacks._random import Random


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
        int64: gradient steps (for attacks without gradients: rounds of queries), forward and backward passes.
    zero_gradient, finite : Tensor
        bool: the attack met an all-zero gradient; it met only finite numbers.
    seconds : Tensor
        float64: the image's share of its batch's wall time.
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


class Attack:
    """A registered attack: its function, what it sees, and the bookkeeping around it."""

    def __init__(self, function: Callable[..., Tensor], sees: str, goals: Sequence[str]) -> None:
        functools.update_wrapper(self, function)
        self.name = function.__name__
        self.function = function
        self.sees = sees
        self.goals = tuple(goals)

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
        if images.dim() != 4 or images.dtype != torch.float32 or len(images) != len(labels):
            raise ValueError("images must be float32 (N,C,H,W) with one label each")
        if len(images) and not (images.min() >= 0 and images.max() <= 1):
            raise ValueError("images must lie in [0,1]")
        kind = "untargeted" if targets is None else "targeted"
        if kind not in self.goals:
            raise ValueError(f"{self.name} has no {kind} form")
        results = []
        with _frozen(victim):
            batches = torch.arange(len(images)).split(batch_size)
            for rows in tqdm(batches, self.name, disable=not progress, mininterval=5, unit="batch"):
                goal = Goal(labels[rows], None if targets is None else targets[rows], _reject_class(victim))
                results.append(self._run_batch(victim, images[rows], goal, seed, parameters))
        return Result(**{name: torch.cat([vars(r)[name] for r in results]) for name in vars(results[0])})

    def _run_batch(
        self, victim: nn.Module, images: Tensor, goal: Goal, seed: int, parameters: dict[str, Any]
    ) -> Result:
        started = time.perf_counter()
        device = next((p.device for p in victim.parameters()), torch.device("cpu"))
        images = images.to(device)
        goal = Goal(goal.labels.to(device), None if goal.targets is None else goal.targets.to(device), goal.reject)
        n = len(images)
        ledger = Ledger(n)
        oracle = ORACLES[self.sees](victim, ledger, torch.arange(n), n)

        clean = oracle.decisions(images)
        attackable = clean == goal.labels
        if goal.targets is not None:
            attackable &= goal.labels != goal.targets
        rows = attackable.nonzero().squeeze(1)
        adversarial = images.clone()
        if len(rows):
            chosen = images[rows]
            found = self.function(
                oracle.on(rows), chosen, goal[rows], Random.for_images(chosen, seed), **parameters
            ).detach()
            finite = found.flatten(1).isfinite().all(dim=1)
            ledger.broken[rows[~finite].cpu()] = True
            adversarial[rows] = torch.where(finite.view(-1, 1, 1, 1), found, chosen)

        with torch.no_grad():
            logits = victim(adversarial)
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
            iterations=ledger.rounds,
            queries=ledger.queries,
            gradients=ledger.gradients,
            zero_gradient=ledger.flat,
            finite=~ledger.broken,
            seconds=torch.full((n,), elapsed / n, dtype=torch.float64),
        )


def attack(
    *, sees: str, goals: Sequence[str], norms: Sequence[str | int], budget: str, source: str
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
    """
    return lambda function: Attack(function, sees, goals)


def _reject_class(victim: nn.Module) -> int | None:
    reject = getattr(victim, "reject_class", None)
    return reject if isinstance(reject, int) else None


@contextmanager
def _frozen(victim: nn.Module) -> Any:
    """The victim in evaluation mode, its parameters needing no gradients; as it was afterwards."""
    training = [module for module in victim.modules() if module.training]
    learning = [parameter for parameter in victim.parameters() if parameter.requires_grad]
    victim.eval().requires_grad_(False)
    try:
        yield
    finally:
        for module in training:
            module.training = True
        for parameter in learning:
            parameter.requires_grad_(True)
