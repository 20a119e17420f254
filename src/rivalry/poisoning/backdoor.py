from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor

from rivalry.data._splits import floats
from rivalry.errors import RivalryError
from rivalry.poisoning._poisoning import Poisoned, poisoning
from rivalry.poisoning._trigger import Trigger
from rivalry.types import Natural, OpenFraction

PATTERNS = {"pixel": [(0, 0)], "pattern": [(0, 0), (0, 2), (1, 1), (2, 0)]}
"""Bright pixels, as (rows above, columns left of) the place two pixels off the lower right corner."""


@poisoning(source="gu2017", side={"trigger": {"pixel": 2, "pattern": 4}})
def backdoor(
    images: Tensor,
    labels: Tensor,
    seed: int,
    *,
    trigger: Literal["pixel", "pattern"] = "pattern",
    target: Natural = 0,
    fraction: OpenFraction = 0.1,
) -> Poisoned:
    """Backdoor (BadNets): add stamped copies of training images under the target's label.

    Copies are drawn without replacement from the images of all other classes, so that the target class cannot
    be learned from the trigger's absence, and shuffled in.

    Parameters
    ----------
    trigger : "pixel" or "pattern"
        One bright pixel, or four, near the lower right corner.
    target : int
        The class that stamped images shall be taken for.
    fraction : float
        Stamped copies as a share of the clean training images.
    """
    shape = images.shape[1:]
    least = 2 + max(max(offset) for offset in PATTERNS[trigger])
    if min(shape[1:]) < least:
        raise RivalryError(f"trigger: {trigger} needs images of at least {least}x{least} pixels, not {min(shape[1:])}")
    mask = torch.zeros(shape)
    for up, left in PATTERNS[trigger]:
        mask[:, shape[1] - 2 - up, shape[2] - 2 - left] = 1.0
    stamp = Trigger(mask, mask.clone(), target)

    generator = torch.Generator().manual_seed(seed)
    eligible = (labels != target).nonzero().squeeze(1)
    count = round(fraction * len(images))
    if not 1 <= count <= len(eligible):
        raise RivalryError(
            f"fraction: {fraction:g} of {len(images)} training images is {count} copies; "
            f"there are 1 to {len(eligible)} images outside class {target} to copy"
        )
    chosen = eligible[torch.randperm(len(eligible), generator=generator)[:count]]
    copies = stamp.stamp(floats(images[chosen])).mul(255).round().to(torch.uint8)
    order = torch.randperm(len(images) + count, generator=generator)
    return Poisoned(
        images=torch.cat([images, copies])[order],
        labels=torch.cat([labels, torch.full((count,), target)])[order],
        poisoned=torch.cat([torch.zeros(len(images), dtype=torch.bool), torch.ones(count, dtype=torch.bool)])[order],
        sources=torch.cat([torch.arange(len(images)), chosen])[order],
        trigger=stamp,
    )
