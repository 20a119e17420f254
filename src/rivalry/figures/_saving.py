"""How a drawing is written: fit for a page that is light or dark and for a paper, and the same bytes each time."""

from __future__ import annotations

import re
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import matplotlib.pyplot as plt
from matplotlib.figure import Figure
from matplotlib.text import Text
from matplotlib.ticker import FixedLocator

from rivalry import artifacts
from rivalry.figures._figure import Drawn
from rivalry.figures._looks import INK
from rivalry.formatting import INVISIBLE, printed


def save(drawn: Drawn, folder: Path, prefix: str) -> dict[str, str]:
    """Write the figure as .svg for the page and as .pdf for the paper; the same figure gives the same bytes.

    Returns the two file names by suffix.
    """
    names = {suffix: f"{drawn.name}.{suffix}" for suffix in ("svg", "pdf")}
    with _spelled(drawn.figure):
        drawn.figure.draw_without_rendering()
        drawn.figure.set_layout_engine("none")  # it has done its work; both files have the same layout
        with artifacts.replacing(folder / names["pdf"]) as temporary:
            drawn.figure.savefig(temporary, metadata={"CreationDate": None, "Creator": None, "Producer": None})
    with artifacts.replacing(folder / names["svg"]) as temporary, warnings.catch_warnings():
        # The page's reader may have what Matplotlib's font lacks.
        warnings.filterwarnings("ignore", message="Glyph .* missing")
        drawn.figure.savefig(temporary, metadata={"Date": None, "Creator": None})
        temporary.write_text(_for_a_page(temporary.read_text(encoding="utf-8"), prefix), encoding="utf-8")
    plt.close(drawn.figure)
    return names


@contextmanager
def _spelled(figure: Figure) -> Iterator[None]:
    """The figure in letters that its font has; when it has its own back, they take no more room than these did."""
    axes = [axis for one in figure.axes for axis in (one.xaxis, one.yaxis)]
    named = [axis for axis in axes if isinstance(axis.get_major_locator(), FixedLocator)]
    ticks = [(axis, [label.get_text() for label in axis.get_ticklabels()]) for axis in named]
    ticks = [(axis, labels) for axis, labels in ticks if list(map(printed, labels)) != labels]
    texts = [(text, text.get_text()) for text in figure.findobj(Text) if printed(text.get_text()) != text.get_text()]
    for axis, labels in ticks:
        axis.set_ticklabels(list(map(printed, labels)))
    for text, words in texts:
        text.set_text(printed(words))
    yield
    for axis, labels in ticks:
        axis.set_ticklabels(labels)
    for text, words in texts:
        text.set_text(words)


def _for_a_page(svg: str, prefix: str) -> str:
    """Make an SVG fit to be inlined: ink follows the page, the page's font, identifiers unique on the page."""
    svg = re.sub(r"<metadata>.*?</metadata>\s*", "", svg[svg.index("<svg") :], flags=re.DOTALL)
    # Numbered as they come: those of Matplotlib before 3.10 hold addresses in memory.
    used = dict.fromkeys(re.findall(r"(?:url\(#|href=\"#)([^)\"]+)", svg))
    names = {name: f"{prefix}-{place}" for place, name in enumerate(used)}

    def fit(tag: re.Match[str]) -> str:
        made = tag[0].replace(INK, "currentColor")
        made = re.sub(r"font: ([^;\"]*?px) [^;\"]*", r"font: \1 system-ui, 'DejaVu Sans', sans-serif", made)
        made = re.sub(r' id="([^"]+)"', lambda m: f' id="{names[m[1]]}"' if m[1] in names else "", made)
        return re.sub(r"(url\(#|href=\"#)([^)\"]+)", lambda m: m[1] + names[m[2]], made)

    # Tags only: what stands between them is the user's.
    return re.sub(r"<[^>]*>", fit, INVISIBLE.sub("", svg))
