"""Where to compute."""

from __future__ import annotations

import torch

from rivalry.errors import RivalryError


def device(accelerator: str) -> torch.device:
    """The device that `accelerator` (auto, cpu, gpu) means here."""
    if accelerator == "cpu" or (accelerator == "auto" and not torch.cuda.is_available()):
        return torch.device("cpu")
    if not torch.cuda.is_available():
        raise RivalryError(f"accelerator: {accelerator} was asked for, but PyTorch sees no GPU; use auto or cpu")
    return torch.device("cuda")
