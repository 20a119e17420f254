"""AutoAttack: the strong attacks one after the other, each on the images that are left."""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from typing import Any, Literal

from torch import Tensor, nn

from rivalry.attacks._attack import Numbers
from rivalry.attacks._result import Result
from rivalry.attacks.apgd_ce import apgd_ce
from rivalry.attacks.apgd_targeted import apgd_targeted
from rivalry.attacks.fab import fab
from rivalry.attacks.square import square
from rivalry.norms import length

OUTCOME = ("images", "predictions", "confidence")
COUNTS = ("iterations", "queries", "gradients", "seconds")


def autoattack(
    victim: nn.Module,
    images: Tensor,
    labels: Numbers,
    *,
    eps: float,
    norm: Literal["inf", 2] = "inf",
    steps: int = 100,
    queries: int = 5000,
    seed: int = 0,
    batch_size: int = 64,
    progress: bool = False,
) -> Result:
    """The worst that four strong attacks do to each image: apgd_ce, apgd_targeted, fab and square, in this order.

    This is the standard version of AutoAttack (Croce and Hein 2020): an image that an attack has turned within eps is
    not attacked again. It is no attack of the registry, for in a configuration the four are named themselves, and the
    report's worst cases take them together; as a fifth it would count them twice.

    Parameters
    ----------
    victim, images, labels, seed, batch_size, progress
        As for every attack; see `rivalry.attacks.pgd.run`.
    eps : float
        Budget in units of the [0,1] pixel range.
    norm : "inf" or 2
        Norm of the budget.
    steps : int
        Steps of the attacks that follow gradients.
    queries : int
        Most tries of `square` per image.

    Returns
    -------
    Result
        What the last attack that an image met made of it. Counts and seconds are sums over all that it met; `parts`
        holds each attack's own result, on the images that were left to it.

    Raises
    ------
    WrongArgument
        As from every attack.

    Examples
    --------
    >>> from rivalry.attacks import autoattack
    >>> worst = autoattack(victim, images, labels, eps=0.1)
    >>> [*worst.parts]
    ['apgd_ce', 'apgd_targeted', 'fab', 'square']
    """
    common: dict[str, Any] = {"seed": seed, "batch_size": batch_size, "progress": progress}
    first = apgd_ce.run(victim, images, labels, norm=norm, eps=eps, steps=steps, **common)
    columns = {name: getattr(first, name).clone() for name in (*OUTCOME, *COUNTS, "success", "zero_gradient", "finite")}
    parts = {"apgd_ce": first}
    for run in (
        partial(apgd_targeted.run, norm=norm, eps=eps, steps=steps),
        partial(fab.run, norm=norm, steps=steps),
        partial(square.run, norm=norm, eps=eps, queries=queries),
    ):
        left = (first.attacked & ~columns["success"]).nonzero().squeeze(1)
        part = run(victim, first.clean[left], first.labels[left], **common)
        if part.eps is None:  # it looks for the smallest change, however long that is
            part = replace(part, eps=eps, success=part.success & (length(part.images - part.clean, norm) <= eps))
        parts[part.attack] = part
        columns["success"][left] = part.success
        columns["zero_gradient"][left] |= part.zero_gradient
        columns["finite"][left] &= part.finite
        for name in OUTCOME:
            columns[name][left] = getattr(part, name)
        for name in COUNTS:
            columns[name][left] += getattr(part, name)
    return replace(first, attack="autoattack", parts=parts, **columns)
