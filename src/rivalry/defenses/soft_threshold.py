from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

import numpy as np
import pywt
import torch
from torch import Tensor, nn

from rivalry.defenses._defended import Defended, Preprocessed, defense, substituted
from rivalry.errors import RivalryError
from rivalry.types import Levels, Positive


@defense(
    kind="preprocessor",
    source="donoho1995",
    side={"levels": {1: 2, 2: 4, 3: 8, 4: 16, 5: 32, 6: 64, 7: 128, 8: 256}},
)
def soft_threshold(
    victim: nn.Module,
    images: Tensor,
    labels: Tensor,
    seed: int,
    batch_size: int,
    *,
    rule: Literal["bayes", "universal"] = "bayes",
    sigma: Positive = 0.04,
    wavelet: Literal["haar", "db2", "db4", "sym4"] = "haar",
    levels: Levels = 2,
) -> Defended:
    """Soft thresholding: the wavelet coefficients of each channel are drawn towards 0, and small ones become 0.

    Taken for noise is what is small at one place and scale (Donoho, 1995); Shaham et al. (2018) put it before a
    classifier. What leaves [0,1] is cut off. The slope is 0 where a coefficient is, so gradients pass as if there were
    no threshold.

    Parameters
    ----------
    rule : "bayes" or "universal"
        How far: bayes (Chang, Yu and Vetterli, 2000), sigma squared over the standard deviation of what is not noise,
        for each image, level and direction its own; universal (Donoho), sigma times the root of 2 log(pixels).
    sigma : float
        Standard deviation of the noise, of pixels in [0,1].
    wavelet : str
        Haar's, Daubechies' of 2 or 4 vanishing moments, or the symlet of 4.
    levels : int
        Times that height and width are halved.
    """
    most = pywt.dwt_max_level(min(images.shape[2:]), wavelet)
    if levels > most:
        raise RivalryError(f"levels: {levels} is too many for {wavelet} and these images; at most {most}")
    return Defended(Preprocessed(SoftThreshold(rule, sigma, wavelet, levels), victim), {})


def restore(victim: nn.Module, facts: Mapping[str, Any]) -> nn.Module:
    return Preprocessed(SoftThreshold(**facts["parameters"]), victim)


class SoftThreshold(nn.Module):
    """Images (N,C,H,W) in [0,1] to images of the same shape; see `soft_threshold`."""

    def __init__(self, rule: str, sigma: float, wavelet: str, levels: int) -> None:
        super().__init__()
        self.rule, self.sigma, self.wavelet, self.levels = rule, sigma, wavelet, levels

    def forward(self, images: Tensor) -> Tensor:
        pixels = images.detach().cpu().numpy()
        rough, *details = pywt.wavedec2(pixels, self.wavelet, mode="symmetric", level=self.levels)
        details = [tuple(self._shrunk(band, pixels[0, 0].size) for band in bands) for bands in details]
        height, width = images.shape[2:]
        smooth = pywt.waverec2([rough, *details], self.wavelet, mode="symmetric")[..., :height, :width]
        return substituted(torch.from_numpy(smooth.clip(0, 1)).to(images), images)

    def _shrunk(self, band: np.ndarray, pixels: int) -> np.ndarray:
        """Coefficients (N,C,h,w) of images of so many pixels, drawn towards 0."""
        if self.rule == "universal":
            threshold = self.sigma * np.sqrt(2 * np.log(pixels))
        else:
            signal = np.square(band).mean(axis=(2, 3), keepdims=True) - self.sigma**2
            threshold = self.sigma**2 / np.sqrt(np.maximum(signal, np.finfo(band.dtype).tiny))
        shrunk: np.ndarray = np.sign(band) * np.maximum(np.abs(band) - threshold, 0)
        return shrunk
