"""Any text as LaTeX that prints it."""

from __future__ import annotations

import re
import unicodedata
from typing import Any

from rivalry.formatting import printed


class Tex(str):
    """Text that is LaTeX already and must not be escaped again."""


_TEX = {
    "\\": r"\textbackslash{}",
    "{": r"\{",
    "}": r"\}",
    "$": r"\$",
    "&": r"\&",
    "#": r"\#",
    "%": r"\%",
    "_": r"\_",
    "^": r"\textasciicircum{}",
    "~": r"\textasciitilde{}",
    "<": r"\textless{}",
    ">": r"\textgreater{}",
    "|": r"\textbar{}",
    '"': r"\textquotedbl{}",
    "'": r"\textquotesingle{}",
    "`": r"\textasciigrave{}",
    "-": "-{}",  # no ligature to a dash, no ?` or !` either
    "?": "?{}",
    "!": "!{}",
    "–": "--",
    "—": "---",
    "“": "``",
    "”": "''",
    "‘": "`",
    "’": "'",
    "…": r"\dots{}",
    "\u00a0": "~",
    "\n": " ",
    "\t": " ",
}
_MATH = {
    "−": "-",
    "×": "\\times",
    "∞": "\\infty",
    "≤": "\\leq",
    "≥": "\\geq",
    "±": "\\pm",
    "→": "\\rightarrow",
    "←": "\\leftarrow",
    "↑": "\\uparrow",
    "↓": "\\downarrow",
    "↔": "\\leftrightarrow",
    "⇒": "\\Rightarrow",
    "≠": "\\neq",
    "≈": "\\approx",
    "∑": "\\sum",
    "∏": "\\prod",
    "√": "\\surd",
    "∂": "\\partial",
    "∇": "\\nabla",
    "∈": "\\in",
    "∅": "\\emptyset",
    "∩": "\\cap",
    "∪": "\\cup",
    "⊂": "\\subset",
    "ε": "\\varepsilon",
    "ς": "\\varsigma",
    "ο": "o",
}
_MARKS = {"\u0301": "\\acute", "\u0308": "\\ddot"}
"""Accents of Greek letters, each around what it stands on."""


def tex(value: Any) -> Tex:
    """Any text as LaTeX that prints it, in the letters that LaTeX has everywhere (`formatting.printed`)."""
    return Tex("".join(_tex_letter(letter) for letter in printed(str(value))))


def _tex_letter(letter: str) -> str:
    if letter in _TEX:
        return _TEX[letter]
    if letter in _MATH:
        return f"\\ensuremath{{{_MATH[letter]}}}"
    return f"\\ensuremath{{{_greek(letter)}}}" if "\u0370" <= letter <= "\u03ff" else letter


def _greek(letter: str) -> str:
    """A Greek letter in mathematics; capitals that look like Latin ones are those."""
    base, *marks = list(unicodedata.normalize("NFD", letter))
    name = unicodedata.name(base).rpartition(" ")[2].lower().replace("lamda", "lambda")
    made = _MATH.get(base) or f"\\{name if base.islower() else name.capitalize()}"
    if base in _CAPITALS:
        made = f"\\mathrm{{{_CAPITALS[base]}}}"
    for mark in marks:
        made = f"{_MARKS[mark]}{{{made}}}"
    return made


_CAPITALS = dict(zip("ΑΒΕΖΗΙΚΜΝΟΡΤΧ", "ABEZHIKMNOPTX", strict=True))


def breakable(value: Any) -> Tex:
    """Text that may break after the separators of names and paths, and within long codes."""
    text = ""
    for part in re.split(r"(?<=[_\-+/,=:])(?! )|(?<=\.)(?=[A-Za-z])|(?<= )", str(value)):
        pieces = [part[k : k + 8] for k in range(0, len(part), 8)] if len(part) > 20 else [part]
        text += ("\\allowbreak{}" if text and not text.endswith(" ") else "") + "\\allowbreak{}".join(map(tex, pieces))
    return Tex(text)
