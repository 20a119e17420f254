"""How numbers are printed, the same in figures, page and paper."""

from __future__ import annotations

import math
import re
import unicodedata
from collections.abc import Sequence

from anyascii import anyascii

MISSING = "–"
NORMS = {"0": "L0", "1": "L1", "2": "L2", "inf": "L∞", "patch": "patch"}
SEES = {
    "nothing": "nothing",
    "decisions": "decisions only",
    "scores": "scores",
    "gradients": "gradients",
}


Number = float | str | None
"""A number as tables hold it; None, NaN and the empty text of a CSV cell say that there is none."""


def missing(value: object) -> bool:
    return value is None or value == "" or (isinstance(value, float) and math.isnan(value))


def _value(given: Number) -> float:
    return float(given or 0)


INVISIBLE = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\ufffe\uffff]")
"""Characters that neither XML nor a page may hold."""
SYMBOLS = "–—−×∞≤≥±→←↑↓↔⇒≠≈∑∏√∂∇∈∅∩∪⊂“”‘’…€"
"""What is printed as it is besides Latin and Greek letters."""
_PRINTED = re.compile(rf"[\n\x20-\x7e\u00a0-\u017f\u0391-\u03a1\u03a3-\u03a9\u03ac-\u03ce{SYMBOLS}]")
_NOT_IN_LATEX = "ĦħĸĿŀŉŦŧſ"


def printed(text: str) -> str:
    """Any text in letters that the paper and its figures have on every machine: Latin and Greek ones and some symbols.

    Others are spelled in Latin letters (中 as Zhong): LaTeX and Matplotlib come without a font that has them. The page
    shows them as they are. Of control characters and marks of direction nothing can be seen; they are left out.
    """
    text = unicodedata.normalize("NFC", text.replace("\t", " "))
    return "".join(
        letter if _PRINTED.match(letter) and letter not in _NOT_IN_LATEX else _spelled(letter) for letter in text
    )


def _spelled(letter: str) -> str:
    if unicodedata.category(letter)[0] == "C":
        return ""
    return anyascii(letter) or ("" if unicodedata.category(letter)[0] == "M" else f"[U+{ord(letter):04X}]")


def percent(fraction: Number) -> str:
    """A fraction as a percentage with one decimal and no unit: 0.299 is '29.9'."""
    return MISSING if missing(fraction) else f"{100 * _value(fraction):.1f}"


def fine_percent(fraction: Number) -> str:
    """A share as a percentage without unit; small ones are not rounded to 0.0: 0.0001 is '0.01'."""
    small = not missing(fraction) and 0 < _value(fraction) < 0.0005
    return f"{100 * _value(fraction):.1g}" if small else percent(fraction)


def points(fraction: Number) -> str:
    """A difference of fractions in percentage points, signed: -0.0109 is '−1.1'."""
    if missing(fraction):
        return MISSING
    text = f"{100 * _value(fraction):+.1f}"
    return "0.0" if text in ("+0.0", "-0.0") else text.replace("-", "−")


def between(low: Number, high: Number) -> str:
    """A confidence interval of a fraction, in percent: '28.1–30.8'."""
    return MISSING if missing(low) or missing(high) else f"{percent(low)}–{percent(high)}"


def between_points(low: Number, high: Number) -> str:
    """A confidence interval of a difference, in percentage points: '−0.2 to +2.4'.

    An end near 0 gets the digits that show on which side of 0 it lies, since verdicts say so: 0.00031 is '+0.03'.
    """
    return MISSING if missing(low) or missing(high) else f"{_sided(low)} to {_sided(high)}"


def _sided(fraction: Number) -> str:
    end = 100 * _value(fraction)
    if end == 0 or abs(end) >= 0.05:
        return points(fraction)
    return f"{end:+.{-math.floor(math.log10(abs(end)))}f}".replace("-", "−")


def spread(rates: Sequence[float] | None) -> str:
    """The lowest and the highest rate of several trainings, in percent: '41.7–50.0'; of one training nothing."""
    return between(min(rates), max(rates)) if rates and len(rates) > 1 else MISSING


def number(value: Number) -> str:
    """Three significant digits, without an exponent in the range of norms and times."""
    if missing(value):
        return MISSING
    amount = _value(value)
    if amount == 0 or 1e-4 <= abs(amount) < 1e6:
        decimals = 0 if abs(amount) >= 100 else max(0, 2 - math.floor(math.log10(abs(amount)))) if amount else 0
        return f"{amount:,.{decimals}f}".replace("-", "−")
    return f"{amount:.2e}".replace("-", "−")


def count(value: Number) -> str:
    return MISSING if missing(value) else f"{round(_value(value)):,}"


def epsilon(value: Number) -> str:
    """A budget as it is written in a configuration: 0.3, 0.0314."""
    return MISSING if missing(value) else f"{_value(value):.4g}"


def probability(value: Number) -> str:
    """A p-value: '0.034', or '< 0.001'.

    One that three digits would round to a usual level gets more of them, so that 0.0498 is not '0.050'.
    """
    if missing(value):
        return MISSING
    p = round(_value(value), 9)
    text = f"{p:.3f}"
    for digits in range(4, 10):
        if float(text) == p or not text.endswith("0"):
            break
        text = f"{p:.{digits}f}"
    return "< 0.001" if p < 0.001 else text


def duration(seconds: Number) -> str:
    """A run time: '3.2 s', '4 min 05 s', '2 h 10 min'."""
    if missing(seconds):
        return MISSING
    seconds = _value(seconds)
    if seconds < 59.95:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    if minutes < 60:
        return f"{minutes} min {rest:02d} s"
    return f"{minutes // 60} h {minutes % 60:02d} min"


def plural(amount: int, noun: str) -> str:
    return f"{amount:,} {noun}" + ("" if amount == 1 else "s")


def listing(words: list[str]) -> str:
    """'a', 'a and b', 'a, b and c'."""
    return words[0] if len(words) == 1 else f"{', '.join(words[:-1])} and {words[-1]}" if words else "none"


def shortened(words: list[str], most: int = 6) -> str:
    """`listing` of up to `most` words; of more, the first ones and how many others there are: 'a, b and 5 more'."""
    return listing(words if len(words) <= most else [*words[: most - 2], f"{len(words) - most + 2} more"])


def guarded(victim: str, defense: str) -> str:
    """How a victim is called, alone or behind a defense."""
    return victim if defense == "none" else f"{victim} + {defense}"


def tied(names: str) -> str:
    """The first of some attacks that are equal, and how many more there are: 'pgd (and 2 equal)'."""
    first, *others = names.split(", ")
    return f"{first} (and {len(others)} equal)" if others else first


def setting(name: str, value: object) -> str:
    """One configured parameter, readably: 'steps 40', 'eps 0.1, 0.2, 0.3'; of a path only the last part."""
    values = value if isinstance(value, list | tuple) else [value]
    return f"{name} {', '.join(plain(item).rsplit('/', 1)[-1] for item in values)}"


def plain(value: object) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, float):
        return f"{value:.4g}"
    if isinstance(value, dict):
        return f"({settings(value)})"
    return "none" if value is None else str(value)


def settings(parameters: dict[str, object]) -> str:
    return "; ".join(setting(name, value) for name, value in parameters.items()) or MISSING
