from __future__ import annotations

import io
from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor, nn

from rivalry.defenses._defended import Defended, Preprocessed, defense, substituted
from rivalry.errors import RivalryError
from rivalry.types import Quality


@defense(kind="preprocessor", source="das2017")
def jpeg(
    victim: nn.Module, images: Tensor, labels: Tensor, seed: int, batch_size: int, *, quality: Quality = 75
) -> Defended:
    """JPEG compression: each image is written as a JPEG file and read again.

    Small changes of high frequency are rounded away with the cosine coefficients of blocks of 8x8 pixels; colours
    are halved in resolution. The coding has no useful slope, so gradients pass as if there were none of it.

    Parameters
    ----------
    quality : int
        1 to 95, as the JPEG library counts: the lower, the coarser.
    """
    if images.shape[1] not in (1, 3):
        raise RivalryError(f"jpeg: has grey and colour images, of 1 or 3 channels; these have {images.shape[1]}")
    return Defended(Preprocessed(JPEG(quality), victim), {})


def restore(victim: nn.Module, facts: Mapping[str, Any]) -> nn.Module:
    return Preprocessed(JPEG(**facts["parameters"]), victim)


class JPEG(nn.Module):
    """Images (N,C,H,W) in [0,1], C 1 or 3, to what a JPEG file keeps of them, of the same shape; see `jpeg`."""

    def __init__(self, quality: int) -> None:
        super().__init__()
        self.quality = quality

    def forward(self, images: Tensor) -> Tensor:
        pixels = (images.detach() * 255).round().to("cpu", torch.uint8).permute(0, 2, 3, 1).numpy()
        read = np.stack([self._coded(image) for image in pixels])
        return substituted(torch.from_numpy(read).permute(0, 3, 1, 2).to(images) / 255, images)

    def _coded(self, pixels: np.ndarray) -> np.ndarray:
        """What is read of the file of an image, uint8 (H,W,C)."""
        file = io.BytesIO()
        Image.fromarray(pixels.squeeze(2) if pixels.shape[2] == 1 else pixels).save(file, "JPEG", quality=self.quality)
        return np.asarray(Image.open(file)).reshape(pixels.shape)
