"""Whatever users write reaches every language it passes through as it is: text that would mean something there, and
each of the places that it is written to and read from."""

from __future__ import annotations

import argparse
import json
import os
import shlex
import shutil
import subprocess
import sys
import xml.etree.ElementTree as ET
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import jinja2
import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from rivalry import artifacts
from rivalry.cli import Settings, main
from rivalry.config import load_config
from rivalry.figures import _figure, _looks, _saving
from rivalry.figures import _style as style
from rivalry.formatting import printed
from rivalry.plan import _words
from rivalry.report import html, latex
from rivalry.report.collecting import _Plain
from rivalry.stages.record import record
from rivalry.stages.report import compile_pdf

ROOT = Path(__file__).parent.parent

NASTY = [
    "$5_to_$20",
    "$\\frac{1}{2}$ \\alpha",
    "{MNIST} {{x}} {} {0} {wildcards.dataset}",
    "%s %(a)d 50 %",
    "R&D #1 <b>x</b> </text></svg> &amp;",
    "<script>alert(1)</script>",
    "\\input{/etc/passwd} \\write18{ls} \\end{document}",
    "$(touch PWNED) `touch PWNED` ; touch PWNED & | > x",
    "' \" ''' \"\"\" \\ \\' \\n",
    "- a: b # c",
    "007",
    "1e5",
    "true",
    "null",
    "NaN",
    "inf",
    "a, b; c",
    "=1+1",
    "font: 12px serif; } x",
    '" id="a" href="#b" url(#c)',
    _looks.INK,
    "a--b --> ]]>",
    "~/x ../y *.png ?[a-z]",
    "_private ^up_ ~ |",
    "<< x >> <% y %> {{ z }}",
    "αβγ Ωμέγα",
    "Ärger café ﬁ",
    "中文 日本語 한국어",
    "кошка",
    "x\u0301 \u202eabc",
    "😀",
]


# ---- command lines ----


def parsed(words: list[str]) -> dict[str, Any]:
    parser = argparse.ArgumentParser()
    parser.add_argument("--set", nargs="+", action=Settings, default={})
    return parser.parse_args(words).set


@pytest.mark.parametrize("text", NASTY)
def test_a_command_line_hands_over_any_text(text: str, tmp_path: Path) -> None:
    command = f"printf '%s\\0' {_words({'set': {'path': text}})}"
    done = subprocess.run(command, shell=True, cwd=tmp_path, capture_output=True, check=True)
    assert parsed(done.stdout.decode().split("\0")[:-1]) == {"path": text}
    assert not list(tmp_path.iterdir())


numbers = st.one_of(st.booleans(), st.none(), st.integers(), st.floats(allow_nan=False, allow_infinity=False))
plain_json = st.recursive(
    st.one_of(numbers, st.text()), lambda inner: st.one_of(st.lists(inner), st.dictionaries(st.text(), inner))
)


@settings(deadline=None, max_examples=300)
@given(plain_json)
def test_options_read_back_as_they_were_written(value: Any) -> None:
    assert repr(parsed(shlex.split(_words({"set": {"key": value}})))["key"]) == repr(value)


@pytest.mark.parametrize("value", [5e-05, 1e16, 1e-320, 1.7976931348623157e308, 10**30, "😀", "\u2028", "a\nb", [1e-7]])
def test_options_that_yaml_alone_would_misread(value: Any) -> None:
    assert parsed(shlex.split(_words({"set": {"key": value}}))) == {"key": value}


def test_people_may_write_yaml_on_the_command_line() -> None:
    given = parsed(["--set", "eps=[0.1, .2]", "norm=inf", "flag=yes", "name=a b", "none="])
    assert given == {"eps": [0.1, 0.2], "norm": "inf", "flag": True, "name": "a b", "none": None}


# ---- files ----


@pytest.mark.parametrize("text", [*NASTY, "a\a\x00b", "x" * 200_000])
def test_a_recorded_configuration_holds_any_text(text: str, tmp_path: Path) -> None:
    content = yaml.safe_load(
        """
        datasets: {digits: {source: digits}}
        victims: {plain: {method: plain, architecture: lenet5}}
        attacks: {fgsm: {method: fgsm, eps: 0.1}}
        matches: [{datasets: [digits], victims: [plain], attacks: [fgsm]}]
        """
    )
    (tmp_path / "c.yaml").write_text(json.dumps(content | {"title": text}), encoding="utf-8")
    record("configuration", tmp_path / "c.yaml", tmp_path / "configuration.json")
    recorded = artifacts.read_json(tmp_path / "configuration.json")
    assert recorded["title"] == text
    listed = yaml.dump(recorded, Dumper=_Plain, sort_keys=False, allow_unicode=True, width=100)
    assert yaml.safe_load(listed) == recorded
    assert load_config(recorded).title == text


# ---- figures ----


@pytest.fixture(scope="module")
def drawn(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A figure with nasty text in its title, at its rows, in its legend and beside what is drawn."""
    folder = tmp_path_factory.mktemp("drawn")
    style.use_style()
    figure, axes = style.plt.subplots(figsize=(style.WIDTH, 30))
    style.rows_axis(axes, NASTY)
    axes.set_title("\n".join(NASTY))
    for row, text in enumerate(NASTY):
        style.beside(axes, row, text)
    style.legend(figure, [style.key(text) for text in NASTY], columns=1)
    _saving.save(_figure.Drawn("nasty", "", "", "", figure), folder, "digits-nasty")
    return folder


def test_a_figure_of_the_page_shows_any_text_as_it_is(drawn: Path) -> None:
    elements = list(ET.parse(drawn / "nasty.svg").iter())
    assert not [element.tag for element in elements if "script" in element.tag]
    shown = "\n".join("".join(element.itertext()) for element in elements if element.tag.endswith("}text"))
    for text in NASTY:
        assert shown.count(text) >= 4, text  # title, row, legend, beside


def test_a_figure_of_the_paper_has_a_letter_for_everything(drawn: Path) -> None:
    from pypdf import PdfReader

    shown = "".join(PdfReader(drawn / "nasty.pdf").pages[0].extract_text().split())
    for text in ("$5_to_$20", "\\alpha", "ZhongWen", "RiBenYu", "koshka", "Ωμέγα", "café"):
        assert shown.count(text) == 4, text


def test_what_is_spelled_stays_as_it_is_when_spelled_again() -> None:
    for text in NASTY:
        assert printed(printed(text)) == printed(text)
        assert printed(text).isprintable()


# ---- page and paper ----


def render(made: jinja2.Environment, template: str, text: Any) -> str:
    return made.overlay(loader=jinja2.DictLoader({"t": template})).get_template("t").render(text=text)


class Texts(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.texts: list[str] = []

    def handle_starttag(self, tag: str, attrs: Any) -> None:
        self.tags.append(tag)

    def handle_data(self, data: str) -> None:
        self.texts.append(data)


@pytest.mark.parametrize("text", [*NASTY, "a\a\x00b"])
def test_the_page_shows_any_text(text: str) -> None:
    page = Texts()
    page.feed(render(html.environment(), "<p>{{ text }}</p>", text))
    page.close()
    assert page.tags == ["p"]
    assert "".join(page.texts) == text.replace("\a", "").replace("\x00", "")


@pytest.mark.skipif(not shutil.which("latexmk"), reason="needs latexmk")
def test_the_paper_prints_any_text(tmp_path: Path) -> None:
    """All that is nasty, and every letter of Latin, Greek and Cyrillic, as text, as a heading and as code."""
    from pypdf import PdfReader

    template = (ROOT / "report/latex/report.tex.j2").read_text(encoding="utf-8")
    head = template.partition("%>\n")[2].partition("\\title{")[0]
    letters = "".join(map(chr, [*range(0x20, 0x7F), *range(0xA0, 0x180), *range(0x370, 0x530)]))
    body = (
        "\\title{<< clipped(text | join(' ')) >>}\n\\begin{document}\n\\maketitle\n<% for one in text %>\n"
        "\\section{<< clipped(one) >>}\n<< clipped(one, 1000) >>\n<< verbatim(one) >>\n<% endfor %>\n\\end{document}\n"
    )
    text = [*NASTY, letters, "a\a\x00b", "x" * 200_000, "a b " * 50_000]
    (tmp_path / "t.tex").write_text(render(latex.environment(), head + body, text), encoding="utf-8")
    compile_pdf(tmp_path / "t.tex", tmp_path / "t.pdf")
    shown = "".join("".join(page.extract_text() for page in PdfReader(tmp_path / "t.pdf").pages).split())
    for said in ("$5_to_$20", "ZhongWen", "koshka", "<script>", "\\input{/etc/passwd}", "$(touchPWNED)", "αβγ"):
        assert said in shown, said


# ---- terminals ----


@pytest.mark.parametrize("arguments", [["describe", "pgd"], ["list"], ["validate", "Ω.yaml"], ["describe", "\a中"]])
@pytest.mark.parametrize("encoding", ["latin-1", "ascii"])
def test_a_terminal_of_any_encoding_is_written_to(arguments: list[str], encoding: str) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "rivalry", *arguments],
        capture_output=True,
        env=os.environ | {"PYTHONPATH": str(ROOT / "src"), "PYTHONIOENCODING": encoding},
    )
    assert b"Traceback" not in done.stderr, done.stderr
    assert done.returncode == (arguments[-1] not in ("pgd", "list"))


@pytest.mark.parametrize("name", ["a\x1b[31mb.yaml", "a\nb.yaml", "\x07", "\udcff.yaml"])
@pytest.mark.parametrize("command", ["validate", "describe"])
def test_a_message_moves_no_cursor(command: str, name: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([command, name]) == 1
    said = capsys.readouterr().err.removesuffix("\n")
    assert said
    assert said.isprintable(), said
