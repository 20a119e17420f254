"""Where to compute, and how weights lie there."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from itertools import chain
from typing import TypeVar

import torch
from torch import Tensor, nn

from rivalry.errors import RivalryError

Module = TypeVar("Module", bound=nn.Module)

INDIFFERENT = (__name__.split(".")[0], "torch.nn", "torchvision", "timm")
"""Packages whose modules compute the same with the channels last."""


def device(accelerator: str) -> torch.device:
    """The device that `accelerator` (auto, cpu, gpu) means here; a GPU is told to compute as repeatably as a CPU."""
    if accelerator == "cpu" or (accelerator == "auto" and not torch.cuda.is_available()):
        return torch.device("cpu")
    if not torch.cuda.is_available():
        raise RivalryError(f"accelerator: {accelerator} was asked for, but PyTorch sees no GPU; use auto or cpu")
    # Convolutions in TF32 round to ten bits, which moves predictions at a boundary; and the fastest algorithm need
    # not add up in the same order twice.
    torch.backends.cudnn.allow_tf32 = False
    torch.backends.cudnn.deterministic = True
    return torch.device("cuda")


@contextmanager
def denormals_are_zero() -> Iterator[None]:
    """Numbers below 1e-38, which lack some of their digits, count as zero on a CPU; afterwards as before.

    Weights with a price on them, and their gradients, shrink to such numbers, and a processor computes slowly with
    them. It holds for this thread and for those that it starts. Finished victims are not to be attacked in here: where
    one is very sure, such numbers can be all that is left of a gradient.
    """
    before = float(torch.tensor(2e-38) / 4) == 0
    torch.set_flush_denormal(True)
    try:
        yield
    finally:
        torch.set_flush_denormal(before)


def device_of(victim: object, images: Tensor) -> torch.device:
    """Where a classifier is; one without tensors is where the images are."""
    tensors = chain(victim.parameters(), victim.buffers()) if isinstance(victim, nn.Module) else iter(())
    return next((tensor.device for tensor in tensors), images.device)


def moved(module: Module, where: torch.device, *, grey_gradients: bool = False) -> Module:
    """The module, moved to a device and laid out for it."""
    module.to(where)
    lay_out(module, grey_gradients=grey_gradients)
    return module


def lay_out(module: nn.Module, *, grey_gradients: bool = False) -> None:
    """Have convolutions that are on a CPU store their weights as they are used fastest; the values stay as they are.

    That is with the channels last, unless images of one channel are differentiated: the way back through max
    pooling is slower then, and nothing makes up for it. Sums are added up in another order in the two layouts, so
    that logits differ in their last digits. A network with parts that somebody else wrote keeps the usual layout: in
    it, `x.view(len(x), -1)` after a convolution would fail.
    """
    known = all(
        f"{type(part).__module__}.".startswith(tuple(f"{name}." for name in INDIFFERENT)) for part in module.modules()
    )
    layout = torch.channels_last if known and not grey_gradients else torch.contiguous_format
    for parameter in module.parameters():
        if parameter.dim() == 4 and parameter.device.type == "cpu":
            parameter.data = parameter.data.contiguous(memory_format=layout)


@contextmanager
def frozen(module: nn.Module, *, grey_gradients: bool = False) -> Iterator[None]:
    """The module in evaluation mode, its parameters needing no gradients and laid out for speed; then as it was.

    Whoever is handed a classifier asks it nothing before this: in training mode, an answer depends on the other
    images and on chance, and moves the averages of batch normalisation.
    """
    stored = [(parameter, parameter.data) for parameter in module.parameters()]
    training = [part for part in module.modules() if part.training]
    learning = [parameter for parameter in module.parameters() if parameter.requires_grad]
    for parameter in learning:  # one by one, which TorchScript's modules can, too
        parameter.requires_grad_(False)
    lay_out(module.eval(), grey_gradients=grey_gradients)
    try:
        yield
    finally:
        for part in training:
            part.training = True
        for parameter in learning:
            parameter.requires_grad_(True)
        for parameter, values in stored:
            parameter.data = values
