"""What a test-time defense is."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Any, TypeVar, cast

import torch
from torch import Tensor, nn

from rivalry.answers import reject_class
from rivalry.devices import device_of, frozen
from rivalry.randomness import Random
from rivalry.seeds import derive_seed
from rivalry.types import DefenseKind, Sides

F = TypeVar("F", bound=Callable[..., "Defended"])


@dataclass(frozen=True)
class Defended:
    """What a defense returns.

    Attributes
    ----------
    module : nn.Module
        The defended classifier: images (N,C,H,W) in [0,1] to logits, (N,K) or, with `reject_class`, (N,K+1).
    facts : dict
        What was found out on the way, in JSON's types.
    triggers : dict of Tensor, optional
        `mask` (K,1,H,W) and `pattern` (K,C,H,W), both in [0,1]: the trigger recovered for each class.
    """

    module: nn.Module
    facts: dict[str, Any]
    triggers: dict[str, Tensor] | None = None


def defense(
    *,
    kind: DefenseKind,
    source: str = "",
    backdoors: bool = False,
    side: Sides | int | None = None,
) -> Callable[[F], F]:
    """Register a function (victim, images, labels, seed, batch_size, *, ...) -> Defended.

    The victim is frozen while the function runs: in evaluation mode, its parameters needing no gradients.

    Parameters
    ----------
    kind : str
        preprocessor: changes images before the victim sees them. detector: may refuse an image. transformer:
        returns another classifier. access control: limits what may be asked of the victim.
    source : str, optional
        Citation key of the paper.
    backdoors : bool
        Whether it removes backdoors by training the victim on, in epochs. Around clean victims it shows false alarms.
    side : int or mapping, optional
        How many pixels the shorter side of images must have; or a parameter -> its values -> that for each.
    """

    def register(function: F) -> F:
        @functools.wraps(function)
        def fitted(victim: nn.Module, images: Tensor, *arguments: Any, **parameters: Any) -> Defended:
            with frozen(victim, grey_gradients=images.shape[1] == 1):
                made = function(victim, images, *arguments, **parameters)
                # What a method made anew may still be on the processor; it belongs beside the victim.
                if isinstance(made, Defended) and isinstance(made.module, nn.Module):
                    made.module.to(device_of(victim, images))
                return made

        return cast(F, fitted)

    return register


def substituted(values: Tensor, stand_in: Tensor) -> Tensor:
    """The values of one tensor with the gradients of another of the same shape, its stand-in.

    For steps of a defense whose own gradients are useless, such as rounding: every attack then follows the stand-in's.
    The backward pass differentiable approximation of Athalye, Carlini and Wagner (2018).
    """
    if _own.get():
        return values + 0 * stand_in  # which has gradients, though they may be zero
    apply: Callable[[Tensor, Tensor], Tensor] = _Substituted.apply
    return apply(values, stand_in)


_own: ContextVar[bool] = ContextVar("own gradients", default=False)


@contextmanager
def own_gradients() -> Iterator[None]:
    """Inside, defenses have the gradients of their own steps: no stand-ins, and one draw, no mean over several.

    To see whether they lead attacks astray; whoever attacks a defense in earnest does it outside.
    """
    before = _own.set(True)
    try:
        yield
    finally:
        _own.reset(before)


def clipped(images: Tensor) -> Tensor:
    """Images cut off to [0,1], with the gradients that they have when they are not."""
    return substituted(images.clamp(0, 1), images)


class _Substituted(torch.autograd.Function):
    @staticmethod
    def forward(_: Any, values: Tensor, stand_in: Tensor) -> Tensor:
        return values.view_as(values)

    @staticmethod
    def backward(_: Any, gradient: Tensor) -> tuple[None, Tensor]:
        return None, gradient


class Preprocessed(nn.Module):
    """A victim behind a preprocessor (images in [0,1] to images in [0,1]): again a classifier."""

    def __init__(self, preprocessor: nn.Module, victim: nn.Module) -> None:
        super().__init__()
        self.preprocessor = preprocessor
        self.victim = victim
        self.reject_class = reject_class(victim)

    def forward(self, images: Tensor) -> Tensor:
        """The victim's logits of float32 images (N,C,H,W) in [0,1]."""
        logits: Tensor = self.victim(self.preprocessor(images))
        return logits


class Randomised(nn.Module):
    """A victim behind a preprocessor that draws random numbers: again a classifier.

    Asked without gradients, it answers for one draw. Asked with gradients, it answers with the mean log-probabilities
    over several, so that an attack follows the expectation over them (EOT; Athalye, Carlini and Wagner, 2018), and
    counts so many passes. What an image draws follows from its pixels, so that results do not depend on batches.

    Parameters
    ----------
    preprocessor : nn.Module
        Maps images (N,C,H,W) in [0,1] and their `Random` to images in [0,1].
    victim : nn.Module
        Maps images (N,C,H,W) in [0,1] to logits (N,K).
    draws : int
        How many an attacker with gradients takes the mean over.
    seed : int
        Seeds the draws.
    """

    def __init__(self, preprocessor: nn.Module, victim: nn.Module, draws: int, seed: int) -> None:
        super().__init__()
        self.preprocessor = preprocessor
        self.victim = victim
        self.draws = draws
        self.seed = seed

    def forward(self, images: Tensor) -> Tensor:
        """Logits (N,K) of float32 images (N,C,H,W) in [0,1]."""
        if not images.requires_grad:
            return self._answer(images, "deployed")
        draws = 1 if _own.get() else self.draws
        several = [self._answer(images, f"draw {number}").log_softmax(dim=1) for number in range(draws)]
        return torch.stack(several).mean(dim=0)

    def redraw(self) -> None:
        """Draw other numbers from now on, as a deployed classifier does whenever it is asked again."""
        self.seed = derive_seed(self.seed, "again")

    def _answer(self, images: Tensor, name: str) -> Tensor:
        random = Random.for_images(images.detach(), derive_seed(self.seed, name))
        logits: Tensor = self.victim(self.preprocessor(images, random))
        return logits


class Rejecting(nn.Module):
    """A victim that refuses what its detector takes for adversarial, as one classifier of K+1 classes.

    After Carlini and Wagner (2017), "Adversarial examples are not easily detected", so that an attack on this
    classifier evades victim and detector together. Their extra logit is a product with the victim's largest
    one; here the detector's logit is added to it, which is right for negative logits too and scales neither
    side.

    Parameters
    ----------
    detector : nn.Module
        Maps images (N,C,H,W) in [0,1] to logits (N,2) of clean and adversarial.
    victim : nn.Module
        Maps them to logits (N,K).
    threshold : Tensor
        Scalar: the log odds of "adversarial" above which an image is refused.
    classes : int
        K, which is also the class that means refusal.
    """

    threshold: Tensor

    def __init__(self, detector: nn.Module, victim: nn.Module, threshold: Tensor, classes: int) -> None:
        super().__init__()
        self.detector = detector
        self.victim = victim
        self.register_buffer("threshold", threshold)
        self.reject_class = classes

    def forward(self, images: Tensor) -> Tensor:
        """Logits (N,K+1) of float32 images (N,C,H,W) in [0,1]; the last wins for refused images only."""
        return self.judged(self.victim(images), self.detector(images))

    def judged(self, logits: Tensor, suspicion: Tensor) -> Tensor:
        """The same from the victim's logits (N,K) and the detector's (N,2)."""
        # Relative to the victim's best class, whose logit becomes exactly 0: no rounding can hide an excess.
        relative = logits - logits.amax(dim=1, keepdim=True)
        excess = log_odds(suspicion) - self.threshold
        return torch.cat([relative, excess[:, None]], dim=1)

    def suspicion(self, logits: Tensor) -> Tensor:
        """The detector's log odds of "adversarial", float64 (N,), from this model's logits (N,K+1).

        Of a detector that is sure, probabilities would all round to 1, and could not be put in order.
        """
        return logits[:, self.reject_class].double() + self.threshold


def log_odds(logits: Tensor) -> Tensor:
    """Log odds (N,) of the second of two classes, from their logits (N,2)."""
    return logits[:, 1] - logits[:, 0]
