"""The colours of all figures, and how each attack looks: the same in every figure of a run, and no two alike.

An attack is known by its colour and its marker, for readers who see no colours too; lines have a dash besides.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass

INK = "#0b0c0e"
"""Colour of text and axes; in the SVG it becomes `currentColor`, so that it follows the page."""
GREY = "#8a8f98"
ALARM = "#d55e00"
CALM = "#0072b2"
# Okabe and Ito's colours without black and yellow, which vanish on a dark or on a light page.
HUES = ["#0072b2", "#e69f00", "#009e73", "#d55e00", "#56b4e9", "#cc79a7"]
Marker = str | tuple[int, int, int]
MARKERS: list[Marker] = ["o", "s", "^", "D", "v", "P", "X", "*", "<", ">", "d", "p", "h"]
Dash = str | tuple[float, ...]
DASHES: list[Dash] = ["", (4, 1.5), (1, 1.2), (6, 1.5, 1, 1.5), (3, 1, 1, 1, 1, 1)]
CONTROLS = ["random_noise", "semi_random_noise", "backdoor_trigger"]
"""Methods that optimise nothing; drawn in grey."""


@dataclass(frozen=True)
class Look:
    """How one attack is drawn, as seaborn's `palette`, `markers` and `dashes` want it."""

    color: str
    marker: Marker
    dash: Dash


def looks(methods: dict[str, tuple[str, str]]) -> dict[str, Look]:
    """The look of each attack of a run, no two alike in colour and marker.

    Entries of one method share its colour. The first attacks, as many as there are markers, differ in these already;
    controls, which optimise nothing, are apart in grey.

    Parameters
    ----------
    methods : dict
        Attack -> its method and goal, in the configuration's order, over all data sets: so an attack looks the same in
        every figure.
    """
    found: dict[str, Look] = {}
    optimised = list(dict.fromkeys(method for method, _ in methods.values() if method not in CONTROLS))
    used: Counter[str] = Counter()
    # Untargeted entries first, so that the plainest look of a colour is theirs.
    for attack, (method, _) in sorted(methods.items(), key=lambda item: item[1][1] == "targeted"):
        color = GREY if method in CONTROLS else HUES[optimised.index(method) % len(HUES)]
        place, used[color] = used[color], used[color] + 1
        start = 0 if color == GREY else HUES.index(color)
        found[attack] = Look(color, _marker(start, place), DASHES[place % len(DASHES)])
    return found


def _marker(start: int, place: int) -> Marker:
    """The marker of the `place`-th attack of a colour, which begins at the `start`-th: a star with ever more points
    once every marker has had its turn."""
    if place < len(MARKERS):
        return MARKERS[(start + len(HUES) * place) % len(MARKERS)]
    return (place, 1, 0)
