"""The page: one HTML file."""

from __future__ import annotations

from typing import Any

import jinja2
from markupsafe import Markup, escape

from rivalry import formatting
from rivalry.references import all_references, authors, works
from rivalry.report import templates
from rivalry.report.sections import Report, cited, shown
from rivalry.report.tables._table import Column, Row, interval, text


def page(report: Report, drawings: dict[str, dict[str, str]]) -> str:
    """The page, with the drawings of each data set by their names, as SVG."""
    sections = shown(report, paper=False)
    return templates.render(
        environment(),
        "report.html.j2",
        report=report,
        sections=sections,
        works=works({*report["references"], *cited(sections)}),
        drawings=drawings,
    )


def environment() -> jinja2.Environment:
    """The page's templates. Everything they print is escaped, unless a function here made it."""
    made = templates.environment("html", autoescape=True, finalize=_visible)
    made.globals |= {"cell": cell, "words": words}
    return made


def _visible(value: Any) -> Any:
    """Text without the control characters that no page may hold."""
    return type(value)(formatting.INVISIBLE.sub("", value)) if isinstance(value, str) else value


def words(paragraph: str) -> Markup:
    """A paragraph of a section's words."""
    made = {"text": escape, "strong": Markup("<strong>{}</strong>").format, "cite": _citations}
    return Markup("").join(made[kind](piece) for kind, piece in templates.pieces(paragraph))


def _citations(keys: str) -> Markup:
    """Works in parentheses, each a link to the list of references."""
    known = all_references()
    link = Markup('<a class="cite" href="#ref-{}">{}, {}</a>').format
    return Markup("({})").format(
        Markup("; ").join(link(key, authors(known[key]), known[key]["year"]) for key in keys.split(","))
    )


def _source(key: str) -> Markup:
    """A link to a work in the list of references; a key that is not on file is printed as it is."""
    known = all_references()
    if key not in known:
        return Markup("<span>{}</span>").format(key or formatting.MISSING)
    return Markup('<a class="cite" href="#ref-{}">{} ({})</a>').format(key, authors(known[key]), known[key]["year"])


def cell(column: Column, row: Row) -> Markup:
    """A table cell, with the raw value by which it sorts and which the CSV file gets."""
    value, shown = row[column.key], text(column, row)
    raw = "" if formatting.missing(value) else shown if column.form == "spread" else value
    classes = [f"f-{column.form}", f"k-{column.key.replace('_', '-')}"]
    if column.numeric:
        classes.append("num")
    style: str | Markup = ""
    if column.form == "rate" and raw != "":
        style = Markup(' style="--v:{:.4f}"').format(max(0.0, min(1.0, float(value))))
    body: str | Markup = escape(shown)
    if column.form == "cite":
        body = _source(str(raw))
    elif column.form in ("name", "code"):
        body = Markup("<code>{}</code>").format(shown)
    elif column.form == "mark" and raw:
        kind = "fail" if raw == "!" else "warn"
        body = Markup('<a class="mark {}" href="#self-checks" title="{}">{}</a>').format(kind, row["mark_reasons"], raw)
    elif column.form == "status":
        body = Markup('<span class="badge {}">{}</span>').format(shown, shown)
    ends = interval(column, row)
    if ends:
        body += Markup(' <span class="ci">{}</span>').format(ends)
    return Markup('<td class="{}" data-sort="{}"{}>{}</td>').format(" ".join(classes), raw, style, body)
