"""What a source of data is, and what it returns."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeVar

from rivalry.types import Count, Side

if TYPE_CHECKING:
    import numpy as np

Function = TypeVar("Function", bound=Callable[..., "Dataset"])


@dataclass(frozen=True)
class Dataset:
    """What a source returns: two splits, the names of the classes, and where all of it is from.

    `train_images` and `test_images` are uint8 (N,C,H,W), labels int64 (N,) and index `class_names`.
    `provenance` has `description`, `urls` (a list), `files` (name to 'algorithm:checksum'); where the publisher states
    one, `license`: the address of its text; and where the data set says less than its shape promises, `limit`: how so.
    """

    train_images: np.ndarray
    train_labels: np.ndarray
    test_images: np.ndarray
    test_labels: np.ndarray
    class_names: list[str]
    provenance: dict[str, Any]


def source(
    *,
    source: str = "",
    description: str = "",
    classes: Count | dict[str, Count] | None = None,
    train_images: Count | None = None,
    test_images: Count | None = None,
    images: Count | None = None,
    side: Side | None = None,
    files: tuple[str | tuple[str, ...], ...] = (),
    glance: str = "",
    chance: bool = True,
) -> Callable[[Function], Function]:
    """Mark a function as a source of data.

    `source` is the key of the work that describes it, if there is one. The rest is what is known beforehand, so that a
    configuration that does not fit is refused before anything runs: how many `classes` (or how many by the value of the
    parameter `labels`), `train_images` and `test_images` there are, `images` in both splits where a parameter
    `test_fraction` divides them, the pixels of a `side`, and the `files` that a mirror must hold; where one of several
    will do, these are a tuple of their own. Where that depends on the source's parameters, `glance` names a function in
    the same file: it is given them by name and returns what it can tell at once, a `Known`, or raises what the source
    would raise. It is called wherever a configuration is checked, so what it imports must be light. Without `chance`,
    the seed changes nothing, and configurations with different seeds can share what is prepared.
    """
    return lambda function: function
