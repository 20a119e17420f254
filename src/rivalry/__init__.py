"""rivalry: one configuration in, one comparative report on adversarial machine learning out."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from rivalry.victims import load_victim

__version__ = "0.1.0"
__all__ = ["__version__", "load_victim"]


def __getattr__(name: str) -> Any:
    # Importing the package must stay light: reading a configuration needs no PyTorch.
    if name == "load_victim":
        from rivalry.victims import load_victim

        return load_victim
    if name in {"attacks", "data", "defenses", "poisoning", "statistics", "training", "architectures"}:
        return importlib.import_module(f"rivalry.{name}")
    raise AttributeError(f"module 'rivalry' has no attribute '{name}'")
