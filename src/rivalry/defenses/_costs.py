"""What it costs to ask a classifier: time, and the memory that tensors take meanwhile."""

from __future__ import annotations

import time
import weakref
from collections.abc import Iterator
from itertools import chain
from typing import Any, cast

import torch
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode

from rivalry.answers import classify
from rivalry.devices import device_of, frozen


def costs(classifier: nn.Module, images: Tensor, batch_size: int) -> dict[str, float]:
    """What it takes to classify images, float32 (N,C,H,W) in [0,1], N at least 1.

    Returns
    -------
    dict
        seconds: wall time an image, in batches, after one batch that does not count. memory: the most bytes an image
        that tensors made on the way hold at once, in one batch; what a library holds inside of one operation is not
        seen. stored: bytes of parameters and buffers.
    """
    with frozen(classifier):
        first = images[:batch_size].to(device_of(classifier, images))
        peak = Peak()
        with torch.no_grad(), peak:
            classifier(first)
        started = time.perf_counter()
        classify(classifier, images, batch_size)
        seconds = (time.perf_counter() - started) / len(images)
    own = chain(classifier.parameters(), classifier.buffers())
    return {
        "seconds": seconds,
        "memory": peak.most / len(first),
        "stored": sum(tensor.numel() * tensor.element_size() for tensor in own),
    }


class Peak(TorchDispatchMode):
    """Inside, counts the bytes of the tensors that operations make, until nothing refers to them."""

    def __init__(self) -> None:
        cast(Any, super()).__init__()
        self.most = 0
        self._now = 0

    def __torch_dispatch__(self, function: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        given = {tensor.untyped_storage().data_ptr() for tensor in _tensors((args, kwargs))}
        made = function(*args, **(kwargs or {}))
        for tensor in _tensors(made):
            storage = tensor.untyped_storage()
            if storage.data_ptr() not in given:
                self._now += storage.nbytes()
                weakref.finalize(storage, self._freed, storage.nbytes())
        self.most = max(self.most, self._now)
        return made

    def _freed(self, size: int) -> None:
        self._now -= size


def _tensors(value: Any) -> Iterator[Tensor]:
    """The dense tensors among arguments or results."""
    if isinstance(value, Tensor):
        if value.layout == torch.strided:
            yield value
    elif isinstance(value, dict):
        yield from _tensors(tuple(value.values()))
    elif isinstance(value, list | tuple):
        for one in value:
            yield from _tensors(one)
