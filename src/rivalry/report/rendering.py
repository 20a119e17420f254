"""Fill the templates: escaping for HTML and LaTeX, and what of Python the templates may call."""

from __future__ import annotations

import re
import unicodedata
from pathlib import Path
from typing import Any

import jinja2
from markupsafe import Markup, escape

from rivalry import formatting
from rivalry.errors import RivalryError
from rivalry.report import tables
from rivalry.report.references import all_references
from rivalry.report.tables import Column, Row

TEMPLATES = Path(__file__).parents[3] / "report"
"""The checkout's templates; they are the user's to change."""


MOST_COMPARISONS = 48
"""Rows of one kind of comparison that the paper prints per data set; the page and comparisons.csv have all."""


class Tex(str):
    """Text that is LaTeX already and must not be escaped again."""


def environment(kind: str) -> jinja2.Environment:
    """The templates of a kind (html or latex); a name that is missing in report.json is an error.

    Everything a template prints is escaped, unless a function here made it.
    """
    folder = TEMPLATES / kind
    if not folder.is_dir():
        raise RivalryError(f"{folder}: no such folder; run from a checkout of the project, which holds the templates")
    common: dict[str, Any] = {
        "loader": jinja2.FileSystemLoader(folder),
        "undefined": jinja2.StrictUndefined,
        "trim_blocks": True,
        "lstrip_blocks": True,
        "keep_trailing_newline": True,
    }
    if kind == "html":
        made = jinja2.Environment(autoescape=True, finalize=_visible, **common)
        made.globals |= {"cell": html_cell, "cite": html_cite}
    else:
        made = jinja2.Environment(
            block_start_string="<%",
            block_end_string="%>",
            variable_start_string="<<",
            variable_end_string=">>",
            comment_start_string="<#",
            comment_end_string="#>",
            finalize=lambda value: value if isinstance(value, Tex) else tex(value),
            **common,
        )
        made.globals |= {
            "cells": tex_cells,
            "specification": tex_specification,
            "paper_rows": paper_rows,
            "shortened": shortened,
            "span": lambda table: sum(1 + bool(column.low) for column in paper_columns(table)),
            "heading": tex_heading,
            "cite": tex_cite,
            "bibitem": tex_bibitem,
            "address": tex_address,
            "verbatim": tex_verbatim,
            "breakable": tex_breakable,
            "clipped": clipped,
            "path": tex_path,
            "raw": Tex,  # what a macro returns is LaTeX already
            "name": tex_name,
        }
    made.globals |= {"tables": tables, "authors": authors, "formatting": formatting}
    made.filters |= {name: getattr(formatting, name) for name in ("percent", "between", "count", "epsilon", "duration")}
    return made


def _visible(value: Any) -> Any:
    """Text without the control characters that no page may hold."""
    return type(value)(formatting.INVISIBLE.sub("", value)) if isinstance(value, str) else value


def authors(reference: Row) -> str:
    """The authors as a citation names them: one, two, or the first and others."""
    families = [name.rsplit(" ", _initials(name))[0] for name in reference["authors"]]
    if len(families) > 2:
        return f"{families[0]} et al."
    return " and ".join(families)


def _initials(name: str) -> int:
    """How many words of a name in 'Family I. J.' form are initials."""
    return sum(part.endswith(".") for part in name.split())


def html_cite(key: str) -> Markup:
    """A link to a work in the list of references; a key that is not on file is printed as it is."""
    known = all_references()
    if key not in known:
        return Markup("<span>{}</span>").format(key or formatting.MISSING)
    return Markup('<a class="cite" href="#ref-{}">{} ({})</a>').format(key, authors(known[key]), known[key]["year"])


def html_cell(column: Column, row: Row) -> Markup:
    """A table cell, with the raw value by which it sorts and which the CSV file gets."""
    value, shown = row[column.key], tables.text(column, row)
    raw = "" if formatting.missing(value) else value
    classes = [f"f-{column.form}", f"k-{column.key.replace('_', '-')}"]
    numeric = column.form in tables.FORMS or column.form == "measure"
    if numeric:
        classes.append("num")
    style: str | Markup = ""
    if column.form == "rate" and raw != "":
        style = Markup(' style="--v:{:.4f}"').format(max(0.0, min(1.0, float(value))))
    body: str | Markup = escape(shown)
    if column.form == "cite":
        body = html_cite(str(raw))
    elif column.form in ("name", "code"):
        body = Markup("<code>{}</code>").format(shown)
    elif column.form == "mark" and raw:
        kind = "fail" if raw == "!" else "warn"
        body = Markup('<a class="mark {}" href="#self-checks" title="{}">{}</a>').format(kind, row["mark_says"], raw)
    elif column.form == "status":
        body = Markup('<span class="badge {}">{}</span>').format(shown, shown)
    ends = tables.interval(column, row)
    if ends:
        body += Markup(' <span class="ci">{}</span>').format(ends)
    return Markup('<td class="{}" data-sort="{}"{}>{}</td>').format(" ".join(classes), raw, style, body)


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
    return Tex("".join(_tex_letter(letter) for letter in formatting.printed(str(value))))


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


def tex_breakable(value: Any) -> Tex:
    """Text that may break after the separators of names and paths, and within long codes."""
    text = ""
    for part in re.split(r"(?<=[_\-+/,=:])(?! )|(?<=\.)(?=[A-Za-z])|(?<= )", str(value)):
        pieces = [part[k : k + 8] for k in range(0, len(part), 8)] if len(part) > 20 else [part]
        text += ("\\allowbreak{}" if text and not text.endswith(" ") else "") + "\\allowbreak{}".join(map(tex, pieces))
    return Tex(text)


def clipped(text: str, most: int = 300) -> str:
    """Text that the paper has room for; TeX takes no line of any length."""
    return text if len(text) <= most else f"{text[:most]}…"


def tex_verbatim(text: str) -> Tex:
    """Lines of code as they are, each in typewriter type, indented, and free to wrap."""
    lines = []
    for line in text.splitlines():
        code = line.lstrip(" ")
        indent = f"\\hspace*{{{0.5 * (len(line) - len(code)):g}em}}"
        lines.append(f"\\codeline{{{indent}{tex_breakable(clipped(code, 1000))}}}")
    return Tex("\n".join(lines))


def tex_cite(key: str) -> Tex:
    """A citation of a work on file; a key that is not is printed as it is."""
    return Tex(f"\\citet{{{key}}}") if key in all_references() else tex(key or formatting.MISSING)


def tex_bibitem(key: str, reference: Row) -> Tex:
    full = ", ".join(name.rsplit(" ", _initials(name))[0] for name in reference["authors"])
    return Tex(f"\\bibitem[{{{tex(authors(reference))}({reference['year']}){tex(full)}}}]{{{key}}}")


def tex_address(url: str) -> Tex:
    """A link that prints its address."""
    return Tex(f"\\url{{{url}}}")


def tex_path(*parts: str) -> Tex:
    """A path for \\includegraphics, which takes underscores as they are."""
    return Tex("\\detokenize{" + "/".join(parts) + "}")


def tex_name(name: str) -> Tex:
    """The name of a label: no letter of it means anything to LaTeX."""
    return Tex(re.sub(r"[^A-Za-z0-9:-]", lambda letter: f"-{ord(letter[0]):x}-", name))


def paper_columns(table: tables.Table) -> list[Column]:
    return [column for column in table.columns if column.paper]


def paper_rows(table: tables.Table) -> list[Row]:
    """The rows that the paper has room for: like-for-like comparisons, and transfers at one budget."""
    keys = {column.key for column in table.columns}
    if "like" in keys:
        return [row for row in table.rows if row["like"] == "yes"][:MOST_COMPARISONS]
    if "figure" in keys:
        return [row for row in table.rows if row["figure"] == "yes"]
    return table.rows


def shortened(table: tables.Table) -> str:
    """What a caption says about the rows that the paper leaves out."""
    rows = formatting.plural(len(table.rows) - len(paper_rows(table)), "more row")
    if any(column.key == "like" for column in table.columns):
        return f"Like-for-like comparisons only; {rows} in comparisons.csv."
    return f"At the figures' budgets only; {rows} in transfers.csv."


def tex_specification(table: tables.Table) -> Tex:
    """The column types of a table in the paper."""
    return Tex("@{}" + "".join(_tex_type(column) for column in paper_columns(table)) + "@{}")


def _tex_type(column: Column) -> str:
    if column.form in ("rate", "points"):
        sign = "+" if column.form == "points" else ""
        return f"S[table-format={sign}3.1]" + ("@{\\hspace{3pt}}l" if column.low else "")
    if column.form in tables.FORMS or column.form == "measure":
        return "r" + ("@{\\hspace{3pt}}l" if column.low else "")
    return f"P{{{column.width}\\linewidth}}" if column.width else "l"


def tex_heading(table: tables.Table) -> Tex:
    """The line of column titles; long titles over numbers are broken between words."""
    titles = []
    for column in paper_columns(table):
        words = column.title.replace(" %", "\u00a0%").split(" ")
        shown = str(tex(" ".join(words)))
        numeric = column.form in tables.FORMS or column.form == "measure"
        if numeric and len(words) > 1:
            shown = "\\shortstack{" + "\\\\".join(tex(word) for word in words) + "}"
        titles.append(f"\\multicolumn{{2}}{{c}}{{{shown}}}" if column.low else f"{{{shown}}}")
    return Tex(" & ".join(titles))


def tex_cells(table: tables.Table, row: Row) -> Tex:
    """A row's cells."""
    cells = []
    for column in paper_columns(table):
        shown = tables.text(column, row)
        if column.form in ("rate", "points"):
            number = shown.replace("−", "-")
            cells.append(number if shown != formatting.MISSING else "{--}")
        elif column.form == "cite":
            cells.append(tex_cite("" if formatting.missing(row[column.key]) else row[column.key]))
        elif column.form in ("name", "code"):
            cells.append(f"\\texttt{{{tex_breakable(shown)}}}")
        elif column.form == "status":
            cells.append(f"\\status{tex(shown)}")
        elif column.form in tables.FORMS:
            cells.append(tex(shown))
        else:
            cells.append(tex_breakable(shown) if column.width else tex(shown))
        if column.low:
            ends = tables.interval(column, row)
            cells.append(f"\\interval{{{tex(ends)}}}" if ends else "")
    return Tex(" & ".join(cells))
