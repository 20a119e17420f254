"""Write the report: the page, the paper, and the paper's PDF."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import tempfile
from pathlib import Path
from typing import Any, Literal

from rivalry import artifacts, registry
from rivalry.errors import RivalryError
from rivalry.layout import Layout, Place
from rivalry.report.html import page
from rivalry.report.latex import paper

NO_LATEX = (
    "no LaTeX found, so no PDF: install the Debian packages latexmk texlive-latex-recommended "
    "texlive-latex-extra texlive-science lmodern, or run Snakemake with --software-deployment-method conda "
    "(envs/latex.yaml)"
)


def report(format: Literal["html", "latex", "pdf"], /, input: Path, output: Path) -> None:
    """Render report.json as HTML, LaTeX or PDF.

    Parameters
    ----------
    format : str
        What to write.
    input : Path
        report.json, or report.tex to make a PDF of.
    output : Path
        The file to write.
    """
    {"html": render_html, "latex": render_latex, "pdf": compile_pdf}[format](input, output)


def render_html(facts: Path, output: Path) -> None:
    """Write the page: one file that needs no other and no network.

    Parameters
    ----------
    facts : Path
        report.json, in a folder of results that holds the figures too.
    output : Path
        The page.
    """
    report = artifacts.read_json(facts)
    folders = _figures(facts, report)
    drawings = {
        dataset: {one["name"]: artifacts.read_text(folders[dataset] / one["files"]["svg"]) for one in listed["figures"]}
        for dataset, listed in report["figures"].items()
    }
    with registry.using(registry.Plugins(works=report["references"])):  # those of plugins are among them
        artifacts.write_text(output, page(report, drawings))
    artifacts.write_manifest(Place("html", output.parent), [output])


def render_latex(facts: Path, output: Path) -> None:
    """Write the paper; it compiles as it is and takes the figures from where they were drawn.

    Parameters
    ----------
    facts : Path
        report.json, in a folder of results that holds the figures too.
    output : Path
        The paper.
    """
    report = artifacts.read_json(facts)
    folders = {
        dataset: Path(os.path.relpath(folder, Path(output).parent)).as_posix()
        for dataset, folder in _figures(facts, report).items()
    }
    with registry.using(registry.Plugins(works=report["references"])):
        artifacts.write_text(output, paper(report, folders))
    artifacts.write_manifest(Place("latex", output.parent), [output])


def _figures(facts: Path, report: dict[str, Any]) -> dict[str, Path]:
    """Where each data set's figures lie."""
    layout = Layout(Path(facts).parent.parent)
    return {dataset: layout.figures(dataset).folder for dataset in report["figures"]}


def compile_pdf(source: Path, output: Path) -> bool:
    """Compile the paper; the same source gives the same bytes.

    Returns
    -------
    bool
        False when no LaTeX is installed; one line on standard output then says what to install.

    Raises
    ------
    RivalryError
        LaTeX failed; the line is its first error.
    """
    source, output = Path(source).resolve(), Path(output)
    artifacts.check_bytes(source)
    # The figures that the paper shows; others may be left over from an earlier configuration.
    for name in re.findall(r"\\includegraphics\[.*?\]\{\\detokenize\{(.*?)\}\}", source.read_text(encoding="utf-8")):
        artifacts.check_bytes(source.parent / name)
    with tempfile.TemporaryDirectory(prefix="rivalry-latex-") as folder:
        if shutil.which("latexmk") and shutil.which("pdflatex"):
            options = ["-pdf", "-norc", "-interaction=nonstopmode", "-halt-on-error", "-no-shell-escape"]
            command = ["latexmk", *options, f"-outdir={folder}", source.name]
        elif shutil.which("tectonic"):
            command = ["tectonic", "--untrusted", "--keep-logs", "--outdir", folder, source.name]
        else:
            print(NO_LATEX)
            return False
        fixed_time = {"SOURCE_DATE_EPOCH": "0", "FORCE_SOURCE_DATE": "1", "max_print_line": "10000"}
        run = subprocess.run(
            command,
            cwd=source.parent,
            env=os.environ | fixed_time,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            errors="replace",
        )
        pdf = Path(folder) / f"{source.stem}.pdf"
        if run.returncode != 0 or not pdf.is_file():
            raise RivalryError(f"{source}: LaTeX failed: {_first_error(Path(folder) / f'{source.stem}.log', run)}")
        with artifacts.replacing(output) as temporary:
            shutil.copyfile(pdf, temporary)
    artifacts.write_manifest(Place("pdf", output.parent), [output])
    return True


def _first_error(log: Path, run: subprocess.CompletedProcess[str]) -> str:
    output = log.read_text(encoding="utf-8", errors="replace") if log.is_file() else ""
    output += run.stdout + run.stderr
    found = re.search(r"^! (.*(?:\n(?!l\.\d).*)*\nl\.\d+.*)|^error: (.*)", output, re.MULTILINE)
    if not found:
        return f"exit status {run.returncode}"
    return re.sub(r"\s+", " ", found[1] or found[2])[:300]
