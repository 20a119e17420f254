"""What a method of making fooling images is, and how one is run."""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import torch
from torch import Tensor, nn
from tqdm import tqdm

from rivalry import registry
from rivalry.answers import answers, classify, reject_class
from rivalry.attacks._checked import CheckedVictim, checked_images, computing
from rivalry.attacks._oracles import ORACLES, Ledger, Scores
from rivalry.devices import frozen
from rivalry.errors import WrongArgument
from rivalry.parameters import checked
from rivalry.randomness import Random
from rivalry.seeds import derive_seed


@dataclass(frozen=True)
class Fooled:
    """One image for each of K classes; all tensors are on the CPU and (K,) unless said otherwise.

    Attributes
    ----------
    images : Tensor
        float32 (K,C,H,W) in [0,1]; image k is meant for class k.
    predictions : Tensor
        int64: the class that the victim takes each image for; -1 where it refuses, -2 where its answer is no number.
    confidence : Tensor
        float32: the victim's probability of the class that the image is meant for.
    iterations, queries, gradients : Tensor
        int64: the method's steps, and the forward and backward passes they took.
    finite : Tensor
        bool: the method met only finite numbers.
    """

    images: Tensor
    predictions: Tensor
    confidence: Tensor
    iterations: Tensor
    queries: Tensor
    gradients: Tensor
    finite: Tensor


class FoolingMethod:
    """A method of making fooling images, which its decorator makes of a function."""

    def __init__(self, function: Callable[..., Tensor], traits: dict[str, Any]) -> None:
        functools.update_wrapper(self, function)
        self.function = function
        self.method = registry.described("fooling", function, traits)

    def __call__(self, victim: Scores, grey: Tensor, random: Random, **parameters: Any) -> Tensor:
        """What the function makes when an oracle is there already; `run` has one made."""
        return self.function(victim, grey, random, **parameters)

    def run(
        self,
        victim: nn.Module,
        shape: Sequence[int],
        classes: int,
        *,
        seed: int = 0,
        batch_size: int = 64,
        progress: bool = False,
        device: torch.device | str = "cpu",
        **parameters: Any,
    ) -> Fooled:
        """Make one image per class; see `fool`."""
        parameters = checked(self.method, parameters, f"{self.method.name}: ")

        def fits(told_apart: int) -> None:
            if told_apart != classes:
                raise WrongArgument(f"classes: {classes} were asked for, and the victim tells apart {told_apart}")

        checked_victim = CheckedVictim(victim, fits)
        generators = [torch.Generator().manual_seed(derive_seed(seed, str(k))) for k in range(classes)]
        bar = tqdm(desc=self.method.name, unit=" passes", disable=not progress, mininterval=5)
        with computing(victim), frozen(victim), bar:
            grey = torch.full((classes, *shape), 0.5, device=device)
            ledger = Ledger(classes, lambda passes: bar.update(passes - bar.n))
            oracle = ORACLES[self.method.traits["sees"]](checked_victim, ledger, torch.arange(classes), batch_size)
            made = self.function(oracle, grey, Random(lambda: generators, grey.device), **parameters)
            images = checked_images(self.method.name, made, grey, "inf", None)
            logits = classify(checked_victim, images, batch_size).cpu()
        return Fooled(
            images=images.cpu(),
            predictions=answers(logits, reject_class(victim))[0],
            confidence=logits.softmax(dim=1).diagonal().clone(),
            iterations=ledger.iterations,
            queries=ledger.queries,
            gradients=ledger.gradients,
            finite=~ledger.broken,
        )


def fooling(
    *, sees: Literal["scores", "gradients"], source: str = ""
) -> Callable[[Callable[..., Tensor]], FoolingMethod]:
    """Register a function (victim, grey, random, *, ...) -> images as a method of making fooling images.

    It is handed an oracle, one grey image per class (K,C,H,W), row k standing for class k, and the classes' random
    numbers; it returns one image per class. `sees` is "scores" or "gradients"; `source` is its citation key.
    """
    return lambda function: FoolingMethod(function, {"sees": sees, "source": source})


def fool(
    method: str,
    victim: nn.Module,
    shape: Sequence[int],
    classes: int,
    *,
    seed: int = 0,
    batch_size: int = 64,
    progress: bool = False,
    device: torch.device | str = "cpu",
    **parameters: Any,
) -> Fooled:
    """Make one image per class.

    Parameters
    ----------
    method : str
        A registered method.
    victim : nn.Module
        Maps float32 images (N,C,H,W) in [0,1] to logits (N,K); it lies on `device`.
    shape, classes
        The images' (C,H,W), and K.
    seed : int
        Seeds each class's random numbers.
    batch_size : int
        Most images that the victim is given at once.
    progress : bool
        Show the number of forward passes on standard error.
    **parameters
        The method's own parameters.

    Raises
    ------
    WrongArgument
        A parameter that is unknown or wrong, or a victim that does not answer with K logits.
    RivalryError
        What the method returns are no such images, or they leave [0,1].
    """
    made: Fooled = (
        registry.method("fooling", method)
        .load()
        .run(victim, shape, classes, seed=seed, batch_size=batch_size, progress=progress, device=device, **parameters)
    )
    return made
