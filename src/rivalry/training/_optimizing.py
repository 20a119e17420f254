"""Who takes the steps of a training, and at which learning rates."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from torch.optim import SGD, Adam, AdamW, Optimizer, RMSprop
from torch.optim.lr_scheduler import CosineAnnealingLR, LRScheduler, MultiStepLR, OneCycleLR

from rivalry.training._fitting import FittingKeys


def optimizer(groups: Sequence[dict[str, Any]], keys: FittingKeys) -> Optimizer:
    """PyTorch's optimizer that the keys name; what a group of parameters says of itself overrules them."""
    rate, decay = keys.learning_rate, keys.weight_decay
    # On a processor, PyTorch's default goes tensor by tensor and operation by operation. `fused` does all of a step in
    # one pass over the numbers; on a GPU it would not go with clipped gradients in half precision.
    together: dict[str, Any] = {"foreach": True}
    if groups[0]["params"][0].device.type == "cpu":
        together = {"fused": True}
    if keys.optimizer == "adam":
        return Adam(groups, lr=rate, weight_decay=decay, **together)
    if keys.optimizer == "adamw":
        return AdamW(groups, lr=rate, weight_decay=decay, **together)
    if keys.optimizer == "rmsprop":
        return RMSprop(groups, lr=rate, momentum=keys.momentum or 0, weight_decay=decay, foreach=True)
    momentum = 0.9 if keys.momentum is None else keys.momentum
    return SGD(groups, lr=rate, momentum=momentum, nesterov=keys.nesterov, weight_decay=decay, **together)


def schedule(taker: Optimizer, keys: FittingKeys, steps: int) -> LRScheduler | None:
    """What sets the learning rate after each step, of which an epoch has `steps`; None for a constant one."""
    total = keys.epochs * steps
    if keys.schedule == "step":
        return MultiStepLR(taker, [epoch * steps for epoch in keys.milestones], keys.gamma or 0.1)
    if keys.schedule == "cosine":
        return CosineAnnealingLR(taker, total)
    if keys.schedule == "one_cycle":
        # The momentum stays what the key says; by default it would go from 0.95 to 0.85 and back.
        return OneCycleLR(taker, [group["lr"] for group in taker.param_groups], total, cycle_momentum=False)
    return None
