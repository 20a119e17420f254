"""Whether everything that a plan asks for is there and is what was written, and how to make again what is not."""

from __future__ import annotations

import shlex
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rivalry.artifacts import checksum, identify, manifest_path, read_json, read_manifest
from rivalry.errors import RivalryError


@dataclass(frozen=True)
class Artifact:
    """What one job writes into `folder`, below the results.

    Attributes
    ----------
    stage : str
    folder : Path
    files : tuple of str
        Those that are always there; the manifest may list more.
    about : dict
        The names that the manifest must hold.
    target : Path
        What Snakemake knows the job by.
    """

    stage: str
    folder: Path
    files: tuple[str, ...]
    about: dict[str, str]
    target: Path


def expected(plan: dict[str, Any]) -> Iterator[Artifact]:
    """The artifacts of a plan (see `rivalry.plan.Plan.tables`), by paths relative to the results."""
    files: tuple[str, ...]

    def artifact(stage: str, folder: str, *files: str, target: str | None = None, **about: str) -> Artifact:
        return Artifact(stage, Path(folder), files, about, Path(folder) / files[0] if target is None else Path(target))

    for name in ("plan", "configuration"):
        yield artifact(f"record_{name}", ".", f"{name}.json")
    for dataset in plan["datasets"]:
        files = ("dataset.json", "train.safetensors", "test.safetensors")
        yield artifact("prepare", f"data/{dataset}", *files, dataset=dataset)
    for dataset, poisoning in plan["poisonings"]:
        files = ("poisoning.json", "train.safetensors", "trigger.safetensors")
        yield artifact("poison", f"poisoning/{dataset}/{poisoning}", *files, dataset=dataset, poisoning=poisoning)
    for dataset, victim in plan["victims"]:
        files = ("victim.json", "victim.safetensors", "predictions.parquet", "training.csv")
        yield artifact("train", f"victims/{dataset}/{victim}", *files, dataset=dataset, victim=victim)
    for dataset, attacked, attack in (*plan["attacks"], *plan["adaptive"]):
        victim, _, defense = attacked.partition("+")
        about = {"dataset": dataset, "victim": victim, "defense": defense or "none", "attack": attack}
        files = ("attack.json", "adversarial.safetensors", "scores.parquet")
        yield artifact("attack", f"attacks/{dataset}/{attacked}/{attack}", *files, **about)
    for dataset, victim, defense in plan["evaluations"]:
        about, place = {"dataset": dataset, "victim": victim, "defense": defense}, f"{dataset}/{victim}/{defense}"
        yield artifact("defend", f"defenses/{place}", "defense.json", "defense.safetensors", **about)
        yield artifact("evaluate", f"evaluations/{place}", "scores.parquet", **about)
    for dataset, victim, fooling in plan["fooling"]:
        files = ("fooling.json", "images.safetensors", "scores.parquet")
        about = {"dataset": dataset, "victim": victim, "fooling": fooling}
        yield artifact("fool", f"fooling/{dataset}/{victim}/{fooling}", *files, **about)
    for dataset, source in plan["transfers"]:
        yield artifact("transfer", f"transfers/{dataset}/{source}", "scores.parquet", dataset=dataset, source=source)
    files = ("scores.csv", "worst_cases.csv", "comparisons.csv", "transfers.csv", "reported.csv", "kept_apart.json")
    yield artifact("tabulate", "tables", *files)
    yield artifact("check", "tables", "checks.csv")
    for dataset in plan["datasets"]:
        folder = f"figures/{dataset}"
        yield artifact("draw", folder, "figures.json", target=folder, dataset=dataset)
    for stage, file in (("collect", "report.json"), ("html", "report.html"), ("latex", "report.tex")):
        yield artifact(stage, "report", file)
    yield artifact("pdf", "report", "report.pdf")


TABULATED = ("prepare", "poison", "train", "attack", "defend", "evaluate", "transfer")
"""Stages that the tables are made of."""
COMPUTED = (*TABULATED, "fool")
"""Stages before checks, figures and report."""


def identify_all(results: Path, plan: dict[str, Any], stages: tuple[str, ...] = COMPUTED) -> None:
    """Make sure that the folders of these stages are there and hold what the plan says.

    Raises
    ------
    RivalryError
        One does not.
    """
    for artifact in expected(plan):
        if artifact.stage in stages:
            identify(results / artifact.folder, artifact.stage, **artifact.about)


@dataclass(frozen=True)
class Fault:
    """A file that is not what was written; `target` is what Snakemake makes again."""

    file: Path
    what: str
    target: Path


def verify(results: Path) -> tuple[int, list[Fault], list[Path]]:
    """Compare all that a run's plan asks for with its manifests.

    Returns
    -------
    int
        How many files were looked at.
    list of Fault
    list of Path
        Folders of earlier plans: whole or not, nothing reads them.
    """
    plan_file = results / "plan.json"
    try:
        read_manifest(manifest_path(results, "record_plan"))
        plan = read_json(plan_file)
    except RivalryError:
        # Without the plan nothing else can be judged; Snakemake writes it anew and sees what is missing.
        return 1, [Fault(plan_file, "is missing or damaged, so that nothing else can be looked at", plan_file)], []
    checked, faults, manifests = 0, [], {manifest_path(results, "record_run")}
    for artifact in expected(plan):
        manifest = manifest_path(results / artifact.folder, artifact.stage)
        manifests.add(manifest)
        if artifact.stage == "pdf" and not manifest.exists() and not (results / artifact.target).exists():
            continue  # there was no LaTeX
        for file, what in _faults(results, artifact):
            checked += 1
            if what:
                faults.append(Fault(file, what, results / artifact.target))
    left_over = {found.parent for found in results.rglob(".*.manifest.json") if found not in manifests}
    return checked, faults, sorted(left_over - {manifest.parent for manifest in manifests})


def _faults(results: Path, artifact: Artifact) -> Iterator[tuple[Path, str]]:
    """Every file of an artifact, its manifest first, and what is wrong with it, or ''."""
    folder = results / artifact.folder
    manifest = manifest_path(folder, artifact.stage)
    listed: dict[str, str] = {}
    try:
        found = read_manifest(manifest)
        listed, about = found["files"], found["about"]
        wrong = [key for key, name in artifact.about.items() if about.get(key) != name]
        yield manifest, ", ".join(f"belongs to {key} {about.get(key)}, not {artifact.about[key]}" for key in wrong)
    except RivalryError:
        yield manifest, "differs from what was written" if manifest.is_file() else "is missing"
    for name in dict.fromkeys((*artifact.files, *listed)):
        file = folder / name
        if not file.is_file():
            yield file, "is missing"
        elif listed:
            yield file, "" if listed.get(name) == checksum(file) else "differs from what was written"


def repair(results: Path, faults: list[Fault]) -> str:
    """The command that makes again what is at fault, for a shell in the folder that holds the results.

    Raises
    ------
    RivalryError
        Nothing tells with which configuration the results were made.
    """
    run = read_json(results / "run.json")
    words = ["snakemake", "--cores", "all"]
    if run["snakefile"] != "Snakefile":
        words += ["--snakefile", run["snakefile"]]
    if run["configfiles"]:
        words += ["--configfile", *run["configfiles"]]
    if run["config"]:
        words += ["--config", *(f"{key}={value}" for key, value in run["config"].items())]
    targets = dict.fromkeys(str(fault.target.relative_to(results.parent)) for fault in faults)
    return shlex.join([*words, "--forcerun", *targets])
