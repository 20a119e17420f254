from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor

from rivalry.data._splits import floats
from rivalry.errors import RivalryError
from rivalry.poisoning._poisoning import Poisoned, poisoning
from rivalry.poisoning._trigger import drawn
from rivalry.types import Natural, OpenFraction, Share, UserPath


@poisoning(source="gu2017", side={"trigger": {"pixel": 2, "pattern": 4}})
def backdoor(
    images: Tensor,
    labels: Tensor,
    seed: int,
    *,
    trigger: Literal["pixel", "pattern", "image"] = "pattern",
    target: Natural | Literal["next"] = 0,
    fraction: OpenFraction = 0.1,
    image: UserPath | None = None,
    size: Share = 0.25,
    corners: Literal[1, 4] = 1,
    amplitude: Share = 1.0,
) -> Poisoned:
    """Backdoor (BadNets): add stamped copies of training images under another label.

    Copies are drawn without replacement from the images of all other classes, so that the target class cannot
    be learned from the trigger's absence, and shuffled in.

    Parameters
    ----------
    trigger : "pixel", "pattern" or "image"
        One bright pixel, or four, near the lower right corner; or a small image there.
    target : int or "next"
        The class that stamped images shall be taken for (single target); next: the one after their own, and 0 after
        the last (all-to-all).
    fraction : float
        Stamped copies as a share of all clean training images.
    image : str, optional
        The PNG or JPEG file that trigger image inserts.
    size : float
        Its side as a share of the shorter side of the training images.
    corners : 1 or 4
        4: the trigger is in all corners, mirrored.
    amplitude : float
        How far pixels are moved towards the trigger's, at most; at 1 they take its values.
    """
    classes = int(labels.max()) + 1
    stamp = drawn(trigger, images.shape[1:], target, image=image, size=size, corners=corners, amplitude=amplitude)
    generator = torch.Generator().manual_seed(seed)
    eligible = (labels != stamp.wanted(labels, classes)).nonzero().squeeze(1)
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
        labels=torch.cat([labels, stamp.wanted(labels[chosen], classes)])[order],
        poisoned=torch.cat([torch.zeros(len(images), dtype=torch.bool), torch.ones(count, dtype=torch.bool)])[order],
        sources=torch.cat([torch.arange(len(images)), chosen])[order],
        trigger=stamp,
    )
