from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from torch import Tensor, nn

from rivalry.answers import reject_class
from rivalry.defenses._defended import Defended, defense
from rivalry.types import Count


@defense(kind="access control", source="chen2020stateful")
def query_limit(
    victim: nn.Module, images: Tensor, labels: Tensor, seed: int, batch_size: int, *, queries: Count = 100
) -> Defended:
    """Query limit: the victim answers only so many questions about an image and its changed copies.

    It stands for whatever recognises that an attacker asks about the same image again, such as the stateful detection
    of Chen, Carlini and Wagner (2020), and is without fault: it never refuses anybody else, and nobody gets round it.
    So it bounds what such a defense can be worth. The first question is that about the clean image. What is asked
    beyond the limit is not answered; the attack goes on with what it has, and may plan with the limit.

    Only attacks that see decisions or scores ask the victim. An attack that sees gradients holds a copy of it, and one
    that is made on another victim asks that one: nothing is limited for them.

    Parameters
    ----------
    queries : int
        Most questions answered about an image.
    """
    return Defended(Limited(victim, queries), {})


def restore(victim: nn.Module, facts: Mapping[str, Any]) -> nn.Module:
    return Limited(victim, **facts["parameters"])


class Limited(nn.Module):
    """A victim that answers `queries` questions about an image; attacks' oracles keep to its `query_limit`."""

    def __init__(self, victim: nn.Module, queries: int) -> None:
        super().__init__()
        self.victim = victim
        self.query_limit = queries
        self.reject_class = reject_class(victim)

    def forward(self, images: Tensor) -> Tensor:
        """The victim's logits of float32 images (N,C,H,W) in [0,1]."""
        logits: Tensor = self.victim(images)
        return logits
