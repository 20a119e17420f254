"""Makes PyPI's torchvision importable beside a PyTorch it was not built for.

On Linux, PyPI's torchvision is built for CUDA. Beside a CPU-only PyTorch its compiled extension cannot be
loaded, and its Python part fails on import since it describes operators that the extension defines.
With it fails all that imports it (torchmetrics, Lightning). The operators' schemas alone are enough for what
this project uses.
"""

from __future__ import annotations

import importlib.util
from functools import cache
from importlib.machinery import EXTENSION_SUFFIXES, ExtensionFileLoader, FileFinder
from pathlib import Path

SCHEMAS = [
    "nms(Tensor dets, Tensor scores, float iou_threshold) -> Tensor",
    "qnms(Tensor dets, Tensor scores, float iou_threshold) -> Tensor",
]


@cache
def ensure() -> object:
    """Call before the first import of torchvision or Lightning; does nothing where torchvision works.

    Returns
    -------
    library
        The `torch.library.Library` that defines the operators as long as it lives, for which this function's
        cache sees; None where none is needed.
    """
    package = importlib.util.find_spec("torchvision")
    if package is None or package.origin is None:
        return None

    import torch

    folder = str(Path(package.origin).parent)
    extension = FileFinder(folder, (ExtensionFileLoader, EXTENSION_SUFFIXES)).find_spec("_C")
    if extension is not None and extension.origin is not None:
        try:
            torch.ops.load_library(extension.origin)
            return None
        except OSError:
            pass
    library = torch.library.Library("torchvision", "DEF")
    for schema in SCHEMAS:
        library.define(schema)
    return library
