"""Fitting a network within a defense."""

from __future__ import annotations

from typing import Literal

from torch import Tensor, nn

from rivalry.devices import device_of
from rivalry.training._fitting import FittingKeys
from rivalry.training.plain import plain


def refit(
    network: nn.Module,
    images: Tensor,
    labels: Tensor,
    sources: Tensor | None = None,
    *,
    seed: int,
    epochs: int,
    learning_rate: float,
    optimizer: Literal["adam", "rmsprop"] = "adam",
) -> nn.Module:
    """Train `network` in place by cross-entropy; its best epoch by a held-out tenth is kept.

    Parameters
    ----------
    network : nn.Module
        Maps images (N,C,H,W) in [0,1] to logits.
    images, labels : Tensor
        float32 (N,C,H,W) in [0,1] and int64 (N,).
    sources : Tensor, optional
        int64 (N,): which image each was made of; see `rivalry.training._fit.fit`.
    seed, epochs, learning_rate, optimizer
        As everywhere.

    Returns
    -------
    nn.Module
        `network`, on the device it was on, in evaluation mode.
    """
    from rivalry.training._fit import fit  # Lightning, which restoring a defense does not need

    device = device_of(network, images)
    fit(
        network,
        images * 255,  # the scale of stored images, but unrounded: adversarial changes may be small
        labels,
        plain(images, labels),
        None,
        FittingKeys(epochs=epochs, batch_size=64, learning_rate=learning_rate, optimizer=optimizer, patience=epochs),
        seed=seed,
        accelerator="gpu" if device.type == "cuda" else "cpu",
        sources=sources,
    )
    return network.to(device).eval()
