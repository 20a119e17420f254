"""What a poisoning is."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, TypeVar

from torch import Tensor

from rivalry.poisoning._trigger import Trigger
from rivalry.types import Sides

F = TypeVar("F", bound=Callable[..., "Poisoned"])


@dataclass(frozen=True)
class Poisoned:
    """A poisoned training set.

    Attributes
    ----------
    images, labels : Tensor
        uint8 (N,C,H,W) and int64 (N,).
    poisoned : Tensor
        Which of them the attacker made, bool (N,).
    sources : Tensor
        Which clean training image each is or was made of, int64 (N,).
    trigger : Trigger
        What brings the backdoor about.
    facts : dict
        What was found out on the way, in JSON's types.
    """

    images: Tensor
    labels: Tensor
    poisoned: Tensor
    sources: Tensor
    trigger: Trigger
    facts: dict[str, Any] = field(default_factory=dict)


def poisoning(*, source: str = "", clean_labels: bool = False, side: Sides | None = None) -> Callable[[F], F]:
    """Register a function (images, labels, seed, *, ...) -> Poisoned.

    Parameters
    ----------
    source : str, optional
        Its citation key.
    clean_labels : bool
        Whether every image keeps the label of what it was made of.
    side : mapping, optional
        A parameter -> its values -> how many pixels the shorter side of images must have for each.
    """
    return lambda function: function
