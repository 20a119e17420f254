"""The inner attack of adversarial training: images that raise a victim's loss as it is now.

PyTorch's own generator draws starting points. Every epoch seeds it, so that a training that is resumed draws what it
would have drawn.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy

from rivalry.norms import column, steepest, within


@contextmanager
def evaluating(victim: nn.Module) -> Iterator[None]:
    """The victim in evaluation mode, so that the attacked and the deployed network are the same; then as it was."""
    training = victim.training
    victim.eval()
    try:
        yield
    finally:
        victim.train(training)


def random_change(images: Tensor, norm: str | int, eps: float) -> Tensor:
    """For each image (N,C,H,W), a random change from the ball of radius `eps`; it may lead out of [0,1]."""
    if norm == "inf":
        return torch.empty_like(images).uniform_(-eps, eps)
    radius = torch.rand(len(images), device=images.device).pow(1 / images[0].numel())
    return eps * column(radius, images) * steepest(torch.randn_like(images), norm)


def ascend(
    victim: nn.Module,
    start: Tensor,
    loss: Callable[[Tensor], Tensor],
    *,
    around: Tensor,
    norm: str | int = "inf",
    eps: float,
    step_size: float,
    steps: int,
) -> Tensor:
    """Steepest ascent of a loss inside a ball and [0,1].

    Parameters
    ----------
    victim : nn.Module
        Asked in evaluation mode.
    start : Tensor
        float32 (N,C,H,W), where to begin.
    loss : function
        Logits (N,K) -> scalar.
    around : Tensor
        Images (N,C,H,W), the middles of the balls.
    norm, eps, step_size, steps
        The balls and the steps inside them.
    """
    current = start
    with evaluating(victim), torch.enable_grad():
        for _ in range(steps):
            current = current.detach().requires_grad_(True)
            (gradient,) = torch.autograd.grad(loss(victim(current)), current)
            current = within(current.detach() + step_size * steepest(gradient, norm), around, norm, eps)
    return current.detach()


def measured(victim: nn.Module, images: Tensor, targets: Tensor, *, norm: str | int = "inf", eps: float) -> Tensor:
    """Images as robust accuracy is measured on them: attacked by ten steps of eps / 4, whatever training does.

    Large inner steps can teach a victim to withstand exactly those steps and nothing else; so it is measured by
    smaller ones.
    """
    return ascend(
        victim,
        images,
        lambda logits: cross_entropy(logits, targets),
        around=images,
        norm=norm,
        eps=eps,
        step_size=eps / 4,
        steps=10,
    )
