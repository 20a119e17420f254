"""One model on one data set under the strong attacks: a configuration is written for it, and run."""

from __future__ import annotations

import hashlib
import importlib.util
import os
import re
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from rivalry import formatting, registry
from rivalry.artifacts import read_json, write_text
from rivalry.config import Config, Mistakes, load_config
from rivalry.config.models import DatasetEntry
from rivalry.config.paths import from_here
from rivalry.data._files import expanded
from rivalry.errors import RivalryError, nearest, one_line
from rivalry.external.spec import has_gradients
from rivalry.layout import EVALUATIONS, Layout
from rivalry.types import UserFile
from rivalry.usercode import packaged_file

FILE = "evaluation.yaml"
"""The configuration, in the folder of its results."""
SIGNATURE = "# As it was written; the check sum of what stands above: "
"""Begins its last line."""
SOURCES = {".npz": "npz", ".csv": "csv", ".tsv": "csv", ".parquet": "parquet"}
"""Which source reads a file, by its ending; a folder or archive is one of images."""
USUAL: dict[tuple[str, str | int], float] = {
    **{("digits", "inf"): 0.3, ("mnist", "inf"): 0.3, ("fashion_mnist", "inf"): 0.1},
    **{("cifar10", 2): 0.5, ("cifar100", 2): 0.5, ("svhn", 2): 0.5},
}
"""Budgets that the literature evaluates by; see `usual_budget`."""
OF_PHOTOGRAPHS = 8 / 255
"""The usual budget in L-infinity of all other data."""

CONTROL = "The control: random changes of the same size. What it turns, no attack deserves the credit for."
QUICK = "For comparison: one step, and many."
STRONG = (
    "The strong ensemble, as in AutoAttack (Croce and Hein, 2020). The report's worst case takes all attacks together."
)
ELSEWHERE = {"source": "--data", "path": "--data", "images": "--images"}
"""Keys of a data set that are options of their own."""

BLIND = "What needs no gradients, for the model has none: one attack sees its scores, one its decisions alone."


@dataclass(frozen=True)
class Evaluation:
    """What is asked.

    Attributes
    ----------
    model : str
        What names the network; see `rivalry.external.spec`.
    data : str
        A source that needs no path, or the path of images.
    network : dict
        What the network is given: keys of the training method `external`.
    settings : dict
        Parameters of the data's source.
    norm : "inf" or 2
    budgets : list of float
        Empty: the usual one.
    images : int or None
        None: as many as a configuration takes.
    seed : int
    results : Path or None
        Folder of the results; None: one that is named by model and data.
    """

    model: str
    data: str
    network: Mapping[str, Any]
    settings: Mapping[str, Any]
    norm: str | int
    budgets: Sequence[float]
    images: int | None
    seed: int
    results: Path | None

    @property
    def victim(self) -> str:
        """What the model is called in the report."""
        return _name(self.model)

    @property
    def source(self) -> str:
        """Which source reads the data.

        Raises
        ------
        RivalryError
            The data are neither there nor the name of a source.
        """
        if Path(self.data).suffix.lower() in SOURCES:
            return SOURCES[Path(self.data).suffix.lower()]
        names = [name for name in registry.names("sources") if not _needs_path(name)]
        if self.data in names:
            return self.data
        if not expanded(self.data).exists():
            raise RivalryError(f"--data: there is no '{self.data}'; give a path, or {nearest(self.data, names)}")
        return "image_folder"

    @property
    def dataset(self) -> str:
        """What the data are called in the report."""
        return _name(self.data)

    @property
    def folder(self) -> Path:
        return self.results or Path(EVALUATIONS) / f"{self.victim}-on-{self.dataset}"

    def eps(self) -> list[float]:
        """The budgets.

        Raises
        ------
        RivalryError
            None is given, and none is usual.
        """
        if self.budgets:
            return [*self.budgets]
        usual = USUAL.get((self.source, self.norm), OF_PHOTOGRAPHS if self.norm == "inf" else None)
        if usual is None:
            raise RivalryError(f"--eps: no budget in L{self.norm} is usual for {self.dataset}; give one")
        return [float(f"{usual:.6g}")]

    def content(self, classes: int | None) -> list[tuple[str, dict[str, Any]]]:
        """The configuration's attacks, each with the comment that stands above it, or ""."""
        eps = self.eps()
        bounded = {"norm": self.norm, "eps": eps if len(eps) > 1 else eps[0]}
        attacks: list[tuple[str, dict[str, Any]]] = [(CONTROL, {"method": "random_noise", **bounded})]
        if not has_gradients(self.model):
            blind = {"method": "hopskipjump", "norm": self.norm}
            return [*attacks, (BLIND, {"method": "square", **bounded}), ("", blind)]
        if self.norm == "inf":
            attacks.append((QUICK, {"method": "fgsm", "eps": bounded["eps"]}))
        # 40 steps of a tenth lead four times as far as the ball is wide.
        step = float(f"{max(eps) / 10:.3g}")
        attacks.append(
            ("" if self.norm == "inf" else QUICK, {"method": "pgd", **bounded, "step_size": step, "steps": 40})
        )
        several = "apgd_targeted" if classes is None or classes > 3 else "apgd_dlr"
        strong = [{"method": "apgd_ce", **bounded}, {"method": several, **bounded}]
        strong += [{"method": "fab", "norm": self.norm}, {"method": "square", **bounded}]
        return attacks + [(STRONG if number == 0 else "", one) for number, one in enumerate(strong)]

    def text(self, classes: int | None) -> str:
        """The configuration, complete and commented."""
        network = {"method": "external", "model": self.model, **self.network}
        marks = registry.method("training", "external").parameters
        for key, value in network.items():
            if key in marks and (mark := marks[key].mark(UserFile)) and isinstance(value, str):
                network[key] = self._seen_from_file(value, mark)
        data: dict[str, Any] = {"source": self.source}
        if self.images is not None:
            data["images"] = self.images
        if _needs_path(self.source):
            data["path"] = self._seen_from_file(self.data, UserFile())
        most = self.images or DatasetEntry.model_fields["images"].default
        attacks = self.content(classes)
        names = [attack["method"] for _, attack in attacks]
        lines = [
            f"# How robust is {one_line(self.model)} on {one_line(self.data)}?",
            "# Written by `rivalry evaluate-model`, which runs it; so does, from the same folder,",
            "#   snakemake --snakefile path/to/rivalry/Snakefile --cores 2 "
            f"--configfile {one_line(str(self.folder / FILE))}",
            "# config/README.md explains every key. Paths are relative to this file;",
            "# `results` is relative to the folder in which Snakemake runs.",
            *_dumped(
                {
                    "title": f"{self.model} on {self.data}",
                    "seed": self.seed,
                    "results": str(self.folder).replace("$", "$$"),
                }
            ),
            "",
            f"# At most {most} test images (key `images`), the same ones for all attacks.",
            *_dumped({"datasets": {self.dataset: data | dict(self.settings)}}),
            "",
            *_dumped({"victims": {self.victim: network}}),
            "",
            f"# Budgets are in the data's own pixels, which lie in [0,1], and in L{self.norm}.",
            "attacks:",
        ]
        for comment, attack in attacks:
            lines += [f"  # {comment}"] if comment else []
            lines += [f"  {line}" for line in _dumped({attack["method"]: attack})]
        match = {"datasets": [self.dataset], "victims": [self.victim], "attacks": names}
        return "\n".join([*lines, "", *_dumped({"matches": [match]}), ""])

    def _seen_from_file(self, value: str, mark: UserFile) -> str:
        """A value whose path is relative to this folder, as the configuration's file has it."""
        path, behind = mark.split(value)
        if not path or packaged_file(path):
            return value
        whole, folder, here = Path(os.path.abspath(expanded(path))), Path(os.path.abspath(self.folder)), Path.cwd()
        together = whole.is_relative_to(here) and folder.is_relative_to(here)
        return (os.path.relpath(whole, folder) if together else str(whole)).replace("$", "$$") + behind

    def checked(self, text: str) -> Config:
        """The configuration as the run will read it.

        Raises
        ------
        Mistakes
            In terms of this command's options.
        """
        content = yaml.safe_load(text)
        try:
            return load_config(from_here(content, self.folder, content, "x"), "x")
        except Mistakes as mistakes:
            raise Mistakes(list(dict.fromkeys(self._as_option(line) for line in mistakes.lines))) from mistakes

    def _as_option(self, line: str) -> str:
        line = line.removeprefix("x: ")
        for key, option in (
            (f"victims.{self.victim}.model", "MODEL"),
            (f"victims.{self.victim}.", "--"),
            (f"datasets.{self.dataset}.path", "--data"),
            (f"datasets.{self.dataset}.images", "--images"),
            (f"datasets.{self.dataset}.", "--with "),
            (f"datasets.{self.dataset}", "--data"),
            ("results", "--results"),
        ):
            if line.startswith(key):
                return option + line.removeprefix(key)
        return re.sub(r"^attacks\.\w+\.(eps|norm)(\[\d+\])?", r"--\1", line)


def _signed(text: str) -> str:
    """A configuration with a last line that tells whether somebody has edited it since."""
    return f"{text}{SIGNATURE}{hashlib.sha256(text.encode()).hexdigest()[:16]}\n"


def write(evaluation: Evaluation) -> Path:
    """Write the configuration, once it is sure that it is right as far as that can be told without running it.

    One that was written before is replaced as long as nobody has edited it and no report was made of it: the model
    may have failed its first look.

    Returns
    -------
    Path
        Its file.

    Raises
    ------
    RivalryError
        Something is wrong, or the folder of results is another evaluation's.
    """
    for key in evaluation.settings.keys() & ELSEWHERE.keys():
        raise RivalryError(f"--with {key}: is said by {ELSEWHERE[key]}")
    if evaluation.folder.is_file():
        raise RivalryError(f"--results: '{evaluation.folder}' is a file; name a folder")
    classes = evaluation.checked(evaluation.text(None)).about(evaluation.dataset).classes
    text = _signed(evaluation.text(classes))
    evaluation.checked(text)
    folder, file = evaluation.folder, evaluation.folder / FILE
    if file.is_file():
        before = file.read_text(encoding="utf-8")
        own = before == _signed(before.rpartition(SIGNATURE)[0]) and not Layout(folder).page.target.is_file()
        if before != text and not own:
            raise RivalryError(f"--results: {file} is of another evaluation; name another folder, or delete {folder}")
    elif folder.is_dir() and any(folder.iterdir()):
        raise RivalryError(f"--results: {folder} holds something else; name another folder")
    try:
        write_text(file, text)
    except OSError as error:
        raise RivalryError(f"--results: {folder} cannot be written into ({error.strerror})") from error
    return file


def run(file: Path, cores: str) -> int:
    """Have Snakemake run a configuration; returns its exit status.

    Raises
    ------
    RivalryError
        There is no Snakemake here, or no workflow beside this package.
    """
    source = registry.PACKAGE.parent
    snakefile = source.parent / "Snakefile"
    if not snakefile.is_file():
        raise RivalryError(
            f"the workflow is not installed with the package: run {file} in a checkout of rivalry, by snakemake "
            "--cores 2 --configfile ..."
        )
    if importlib.util.find_spec("snakemake") is None:
        raise RivalryError("there is no Snakemake here; install it: pip install snakemake")
    paths = os.pathsep.join(filter(None, [str(source), os.environ.get("PYTHONPATH")]))
    command = [sys.executable, "-m", "snakemake", "--snakefile", str(snakefile), "--cores", cores, "--configfile"]
    return subprocess.run([*command, str(file)], env=os.environ | {"PYTHONPATH": paths}).returncode


def outcome(evaluation: Evaluation) -> Iterator[str]:
    """What a finished run found and what to doubt in it, a line each, and where its report is."""
    from rivalry.statistics.columns import WORST_CASES
    from rivalry.statistics.tables import records

    layout = Layout(evaluation.folder)
    for remark in read_json(layout.victim(evaluation.dataset, evaluation.victim).facts)["warnings"]:
        yield f"warning: {remark}"
    for case in records(WORST_CASES.read(layout.tables["worst_cases"])):
        if not case["headline"] or case["eps"] is None:
            continue
        within = f"within L{case['norm']} {formatting.epsilon(case['eps'])}"
        if case["reason"]:
            yield f"worst case {within}: not measured; {case['reason']}"
            continue
        interval, clean = formatting.between(case["low"], case["high"]), formatting.percent(case["clean_accuracy"])
        yield f"{case['victim']} on {case['dataset']}: {clean} % of {case['n']} images are right without an attack"
        worst = formatting.percent(case["accuracy"])
        yield f"worst case {within}: {worst} % (95 % interval {interval} %), under {', '.join(case['attacks'])}"
    yield f"report: {layout.page.target}"


def _needs_path(source: str) -> bool:
    path = registry.method("sources", source).parameters.get("path")
    return path is not None and path.required


def _name(text: str) -> str:
    """A name of the configuration for what a path or a network is called: its last part, without odd characters."""
    last = re.sub(r"\.(py|zip|tar|tgz|gz|npz|csv|tsv|parquet|pt|pth|onnx|skops)(?=:|$)", "", Path(text).name.lower())
    return re.sub(r"[^A-Za-z0-9_-]+", "-", last).strip("-_")[:63] or "it"


def _dumped(content: Mapping[str, Any]) -> list[str]:
    """YAML, each entry of a section on a line of its own."""
    lines = []
    for key, value in content.items():
        nested = (
            isinstance(value, dict) and any(isinstance(one, dict) for one in value.values()) and "method" not in value
        )
        if nested:
            lines += [f"{key}:", *(f"  {line}" for line in _dumped(value))]
        elif key == "matches":
            lines += [f"{key}:", *(f"  - {_flow(one)}" for one in value)]
        else:
            lines.append(f"{key}: {_flow(value)}")
    return lines


def _flow(value: Any) -> str:
    text = yaml.safe_dump(value, default_flow_style=True, sort_keys=False, allow_unicode=True, width=2**31)
    return text.removesuffix("\n").removesuffix("\n...")
