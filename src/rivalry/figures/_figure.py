"""What a figure is: a function from a data set's results to drawings, which the draw stage calls by its name."""

from __future__ import annotations

import importlib
from collections.abc import Callable

from rivalry import registry
from rivalry.figures.results import Results
from rivalry.figures.style import Drawn

Figure = Callable[[Results], list[Drawn]]

_FIGURES: dict[str, Figure] = {}


def figure(function: Figure) -> Figure:
    """Mark a function as a figure, called as it is itself.

    It takes a data set's results and returns its drawings: one, or one per victim, norm or page. Where there is
    nothing to show it raises `Absent` with the reason.
    """
    name = function.__name__
    if name in _FIGURES:
        raise TypeError(f"two figures are called {name}: in {_FIGURES[name].__module__} and in {function.__module__}")
    _FIGURES[name] = function
    return function


def all_figures() -> dict[str, Figure]:
    """Every figure of this folder's modules, by its name."""
    for module in registry.modules("figures"):
        importlib.import_module(f"rivalry.figures.{module}")
    return dict(sorted(_FIGURES.items()))
