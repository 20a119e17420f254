"""What a figure is: a function from a data set's results to drawings, which the draw stage calls by its name."""

from __future__ import annotations

import importlib
from collections.abc import Callable
from dataclasses import dataclass

from matplotlib.figure import Figure

from rivalry import registry
from rivalry.figures._results import Results


class Absent(Exception):
    """This figure has nothing to show; the message is the reason."""


@dataclass(frozen=True)
class Drawn:
    """A finished drawing and the words that go with it.

    Attributes
    ----------
    name : str
        File name without suffix, unique within the data set.
    title, caption, alt : str
        The caption says how to read the figure; the alt text says what it shows, with numbers.
    figure : Figure
    group : str
        Figures of one group are variants (one per victim); the paper prints the first of each.
    """

    name: str
    title: str
    caption: str
    alt: str
    figure: Figure
    group: str = ""


Draw = Callable[[Results], list[Drawn]]

_FIGURES: dict[str, Draw] = {}


def figure(function: Draw) -> Draw:
    """Mark a function as a figure, called as it is itself.

    It takes a data set's results and returns its drawings: one, or one per victim, norm or page. Where there is
    nothing to show it raises `Absent` with the reason.
    """
    name = function.__name__
    if name in _FIGURES:
        raise TypeError(f"two figures are called {name}: in {_FIGURES[name].__module__} and in {function.__module__}")
    _FIGURES[name] = function
    return function


def all_figures() -> dict[str, Draw]:
    """Every figure of this folder's modules, by its name."""
    for module in registry.modules("figures"):
        importlib.import_module(f"rivalry.figures.{module}")
    return dict(sorted(_FIGURES.items()))
