"""The paper: LaTeX that compiles as it is."""

from __future__ import annotations

import re
from collections.abc import Callable

import jinja2

from rivalry import formatting
from rivalry.references import Work, all_references, authors, surnames, works
from rivalry.report import templates
from rivalry.report.sections import Report, cited, shown
from rivalry.report.tables._table import Column, Row, Table, interval, text
from rivalry.report.tex import Tex, breakable, tex


def paper(report: Report, folders: dict[str, str]) -> str:
    """The paper; `folders` are those of each data set's figures, seen from its own."""
    sections = shown(report, paper=True)
    return templates.render(
        environment(),
        "report.tex.j2",
        report=report,
        sections=sections,
        works=works({*report["references"], *cited(sections)}),
        folders=folders,
    )


def environment() -> jinja2.Environment:
    """The paper's templates. Everything they print is escaped, unless a function here made it."""
    made = templates.environment(
        "latex",
        block_start_string="<%",
        block_end_string="%>",
        variable_start_string="<<",
        variable_end_string=">>",
        comment_start_string="<#",
        comment_end_string="#>",
        finalize=lambda value: value if isinstance(value, Tex) else tex(value),
    )
    made.globals |= {
        "words": words,
        "specification": specification,
        "heading": heading,
        "cells": cells,
        "bibitem": bibitem,
        "address": address,
        "verbatim": verbatim,
        "breakable": breakable,
        "clipped": clipped,
        "path": path,
        "raw": Tex,  # what a macro returns is LaTeX already
        "name": name,
    }
    return made


def clipped(text: str, most: int = 300) -> str:
    """Text that the paper has room for; TeX takes no line of any length."""
    return text if len(text) <= most else f"{text[:most]}…"


def verbatim(text: str) -> Tex:
    """Lines of code as they are, each in typewriter type, indented, and free to wrap."""
    lines = []
    for line in text.splitlines():
        code = line.lstrip(" ")
        indent = f"\\hspace*{{{0.5 * (len(line) - len(code)):g}em}}"
        lines.append(f"\\codeline{{{indent}{breakable(clipped(code, 1000))}}}")
    return Tex("\n".join(lines))


def words(paragraph: str) -> Tex:
    """A paragraph of a section's words."""
    made: dict[str, Callable[[str], str]] = {
        "text": tex,
        "strong": lambda piece: f"\\textbf{{{tex(piece)}}}",
        "cite": lambda keys: f"\\citep{{{keys}}}",
    }
    return Tex("".join(made[kind](piece) for kind, piece in templates.pieces(paragraph)))


def _source(key: str) -> Tex:
    """A citation of a work on file; a key that is not is printed as it is."""
    return Tex(f"\\citet{{{key}}}") if key in all_references() else tex(key or formatting.MISSING)


def bibitem(key: str, work: Work) -> Tex:
    full = ", ".join(surnames(work))
    return Tex(f"\\bibitem[{{{tex(authors(work))}({work['year']}){tex(full)}}}]{{{key}}}")


def address(url: str) -> Tex:
    """A link that prints its address."""
    return Tex(f"\\url{{{url}}}")


def path(*parts: str) -> Tex:
    """A path for \\includegraphics, which takes underscores as they are."""
    return Tex("\\detokenize{" + "/".join(parts) + "}")


def name(name: str) -> Tex:
    """The name of a label: no letter of it means anything to LaTeX."""
    return Tex(re.sub(r"[^A-Za-z0-9:-]", lambda letter: f"-{ord(letter[0]):x}-", name))


def specification(table: Table) -> Tex:
    """The column types of a table in the paper."""
    return Tex("@{}" + "".join(_tex_type(column) for column in table.columns) + "@{}")


def _tex_type(column: Column) -> str:
    if column.form in ("rate", "points"):
        sign = "+" if column.form == "points" else ""
        return f"S[table-format={sign}3.1]" + ("@{\\hspace{3pt}}l" if column.low else "")
    if column.numeric:
        return "r" + ("@{\\hspace{3pt}}l" if column.low else "")
    return f"P{{{column.width}\\linewidth}}" if column.width else "l"


def heading(table: Table) -> Tex:
    """The line of column titles; long titles over numbers are broken between words."""
    titles = []
    for column in table.columns:
        words = column.title.replace(" %", "\u00a0%").split(" ")
        shown = str(tex(" ".join(words)))
        numeric = column.numeric
        if numeric and len(words) > 1:
            shown = "\\shortstack{" + "\\\\".join(tex(word) for word in words) + "}"
        titles.append(f"\\multicolumn{{2}}{{c}}{{{shown}}}" if column.low else f"{{{shown}}}")
    return Tex(" & ".join(titles))


def cells(table: Table, row: Row) -> Tex:
    """A row's cells."""
    cells = []
    for column in table.columns:
        shown = text(column, row)
        if column.form in ("rate", "points"):
            number = shown.replace("−", "-")
            cells.append(number if shown != formatting.MISSING else "{--}")
        elif column.form == "cite":
            cells.append(_source("" if formatting.missing(row[column.key]) else row[column.key]))
        elif column.form in ("name", "code"):
            cells.append(f"\\texttt{{{breakable(shown)}}}")
        elif column.form == "status":
            cells.append(f"\\status{tex(shown)}")
        elif column.numeric:
            cells.append(tex(shown))
        else:
            cells.append(breakable(shown) if column.width else tex(shown))
        if column.low:
            ends = interval(column, row)
            cells.append(f"\\interval{{{tex(ends)}}}" if ends else "")
    return Tex(" & ".join(cells))
