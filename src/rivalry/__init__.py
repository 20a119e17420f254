"""rivalry: one configuration in, one comparative report on adversarial machine learning out."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rivalry import architectures as architectures
    from rivalry import attacks as attacks
    from rivalry import data as data
    from rivalry import defenses as defenses
    from rivalry import filters as filters
    from rivalry import fooling as fooling
    from rivalry import plugins as plugins
    from rivalry import poisoning as poisoning
    from rivalry import statistics as statistics
    from rivalry import training as training
    from rivalry.loading import load_victim as load_victim
    from rivalry.usermethods import use_plugins as use_plugins

__version__ = "0.1.0"
__all__ = [
    "__version__",
    "architectures",
    "attacks",
    "data",
    "defenses",
    "filters",
    "fooling",
    "load_victim",
    "plugins",
    "poisoning",
    "statistics",
    "training",
    "use_plugins",
]


def __dir__() -> list[str]:
    return __all__


if not TYPE_CHECKING:  # which would let any name pass

    def __getattr__(name: str) -> object:
        # Importing the package must stay light: reading a configuration needs no PyTorch.
        if name in ("load_victim", "use_plugins"):
            module = {"load_victim": "loading", "use_plugins": "usermethods"}[name]
            return getattr(importlib.import_module(f"rivalry.{module}"), name)
        if name in __all__:
            return importlib.import_module(f"rivalry.{name}")
        raise AttributeError(f"module 'rivalry' has no attribute '{name}'")
