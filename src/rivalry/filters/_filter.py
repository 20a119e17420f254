"""What a filter of training images is."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, TypeVar

import torch
from torch import Tensor, nn

from rivalry.data._splits import floats
from rivalry.devices import device_of, frozen
from rivalry.errors import RivalryError
from rivalry.training.pcl import given, last

F = TypeVar("F", bound=Callable[..., "Screened"])


@dataclass(frozen=True)
class Screened:
    """What a filter says of N training images.

    Attributes
    ----------
    scores : Tensor
        float (N,): the higher, the more suspicious, over all classes.
    flagged : Tensor
        bool (N,): what the method itself would take out.
    facts : dict
        What else is to be recorded.
    """

    scores: Tensor
    flagged: Tensor
    facts: dict[str, Any] = field(default_factory=dict)


def filtering(*, source: str = "") -> Callable[[F], F]:
    """Register a function (victim, images, labels, seed, batch_size, *, ...) -> Screened; `source` is its citation key.

    It is given the victim that learned from a training set, and that set: uint8 (N,C,H,W) and int64 (N,). Whether an
    image is poisoned it is not told.
    """
    return lambda function: function


def hidden(victim: nn.Module, images: Tensor, batch_size: int) -> tuple[Tensor, str]:
    """What the victim's last layer is given, float32 (N,D), and that layer's name.

    Raises
    ------
    RivalryError
        The victim has no hidden layer.
    """
    where = device_of(victim, images)
    kept: list[Tensor] = []
    with frozen(victim, grey_gradients=False):
        try:
            (layer,) = last(victim, floats(images[:2]).to(where), 1)
        except RivalryError as error:
            raise RivalryError("the filter looks at a hidden layer, and the victim has none; leave it out") from error
        for part in images.split(batch_size):
            with torch.no_grad(), given(victim, [layer]) as features:
                victim(floats(part).to(where))
            kept.append(features[layer].cpu())
    return torch.cat(kept), layer
