"""Where to compute."""

from __future__ import annotations

import torch

from rivalry.errors import RivalryError


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
