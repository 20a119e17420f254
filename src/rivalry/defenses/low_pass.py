from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
from scipy.fft import dct
from torch import Tensor, nn

from rivalry.defenses._defended import Defended, Preprocessed, clipped, defense
from rivalry.types import Share


@defense(kind="preprocessor", source="shaham2018")
def low_pass(
    victim: nn.Module, images: Tensor, labels: Tensor, seed: int, batch_size: int, *, cutoff: Share = 0.5
) -> Defended:
    """Low-pass filter: the high frequencies of each channel are taken away.

    Frequencies are those of the discrete cosine transform of the whole image, which, unlike Fourier's, sees no edge
    between opposite borders. What leaves [0,1] is cut off; gradients pass as if it were not.

    Parameters
    ----------
    cutoff : float
        In (0,1]: the largest frequency that is kept, as a share of the highest that pixels can show; of two
        directions, the length of both together counts.
    """
    return Defended(Preprocessed(LowPass(cutoff, images.shape[2:]), victim), {})


def restore(victim: nn.Module, facts: Mapping[str, Any]) -> nn.Module:
    return Preprocessed(LowPass(**facts["parameters"], size=facts["shape"][1:]), victim)


class LowPass(nn.Module):
    """Images (N,C,H,W) in [0,1] of height and width `size` to images of the same shape; see `low_pass`."""

    rows: Tensor
    columns: Tensor
    kept: Tensor

    def __init__(self, cutoff: float, size: Sequence[int]) -> None:
        super().__init__()
        height, width = size
        for name, side in (("rows", height), ("columns", width)):
            transform = torch.from_numpy(dct(np.eye(side), axis=0, norm="ortho")).float()
            self.register_buffer(name, transform, persistent=False)
        frequency = torch.hypot(torch.arange(height)[:, None] / height, torch.arange(width) / width)
        self.register_buffer("kept", frequency <= cutoff, persistent=False)

    def forward(self, images: Tensor) -> Tensor:
        frequencies = self.rows @ images @ self.columns.T
        return clipped(self.rows.T @ (self.kept * frequencies) @ self.columns)
