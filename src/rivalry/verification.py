"""Whether everything that a plan asks for is there and is what was written, and how to make again what is not."""

from __future__ import annotations

import os
import shlex
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rivalry.artifacts import checksum, identify, read_json, read_manifest
from rivalry.errors import RivalryError
from rivalry.layout import MANIFESTS, Layout, Place


def expected(plan: dict[str, Any], layout: Layout) -> Iterator[Place]:
    """What the jobs of a plan write; see `rivalry.plan.Plan.tables`."""
    yield layout.plan
    yield layout.configuration
    yield from (layout.data(dataset) for dataset in plan["datasets"])
    yield from (layout.generator(*names) for names in plan["generators"])
    yield from (layout.poisoning(*names) for names in plan["poisonings"])
    yield from (layout.victim(*names) for names in plan["victims"])
    yield from (layout.attack(*names) for names in (*plan["attacks"], *plan["adaptive"]))
    for names in plan["evaluations"]:
        yield layout.defense(*names)
        yield layout.evaluation(*names)
    yield from (layout.fooling(*names) for names in plan["fooling"])
    yield from (layout.screening(*names) for names in plan.get("screenings", []))
    yield from (layout.planting(*names) for names in plan.get("plantings", []))
    yield from (layout.transfer(*names) for names in plan["transfers"])
    yield layout.tables
    yield layout.checks
    yield from (layout.figures(dataset) for dataset in plan["datasets"])
    yield from (layout.report, layout.page, layout.paper, layout.pdf)


def identify_all(layout: Layout, plan: dict[str, Any], stages: tuple[str, ...]) -> None:
    """Make sure that the folders of these stages are there and hold what the plan says.

    Raises
    ------
    RivalryError
        One does not.
    """
    for place in expected(plan, layout):
        if place.stage in stages:
            identify(place)


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
    layout = Layout(results)
    try:
        read_manifest(layout.plan.manifest)
        plan = read_json(layout.plan.facts)
        layout = Layout.of(results, plan)
    except RivalryError:
        # Without the plan nothing else can be judged; Snakemake writes it anew and sees what is missing.
        what = "is missing or damaged, so that nothing else can be looked at"
        return 1, [Fault(layout.plan.facts, what, layout.plan.target)], []
    checked, faults, manifests = 0, [], {layout.run.manifest}
    for place in expected(plan, layout):
        manifests.add(place.manifest)
        if place.stage == "pdf" and not place.manifest.exists() and not place.target.exists():
            continue  # there was no LaTeX
        for file, what in _faults(place):
            checked += 1
            if what:
                faults.append(Fault(file, what, place.target))
    left_over = {found.parent for found in results.rglob(MANIFESTS) if found not in manifests}
    return checked, faults, sorted(left_over - {manifest.parent for manifest in manifests})


def _faults(place: Place) -> Iterator[tuple[Path, str]]:
    """Every file of a place, its manifest first, and what is wrong with it, or ''."""
    listed: dict[str, str] = {}
    try:
        found = read_manifest(place.manifest)
        listed, about = found["files"], found["about"]
        wrong = [key for key, name in place.about.items() if about.get(key) != name]
        yield place.manifest, ", ".join(f"belongs to {key} {about.get(key)}, not {place.about[key]}" for key in wrong)
    except RivalryError:
        yield place.manifest, "differs from what was written" if place.manifest.is_file() else "is missing"
    for file in dict.fromkeys((*place.files, *(place.folder / name for name in listed))):
        if not file.is_file():
            yield file, "is missing"
        elif listed:
            yield file, "" if listed.get(file.name) == checksum(file) else "differs from what was written"


def repair(results: Path, faults: list[Fault]) -> str:
    """The command, for a shell in the folder from which it is called, that makes again what is at fault.

    Raises
    ------
    RivalryError
        Nothing tells with which configuration the results were made.
    """
    run = read_json(Layout(results).run.facts)
    worked_in = (results / run.get("directory", "..")).resolve()
    words = ["snakemake", "--cores", "all"]
    if run["snakefile"] != "Snakefile":
        words += ["--snakefile", run["snakefile"]]
    if run["configfiles"]:
        words += ["--configfile", *run["configfiles"]]
    if run["config"]:
        words += ["--config", *(f"{key}={value}" for key, value in run["config"].items())]
    targets = dict.fromkeys(_seen_from(worked_in, fault.target) for fault in faults)
    there = "" if worked_in == Path.cwd() else f"cd {shlex.quote(str(worked_in))} && "
    return there + shlex.join([*words, "--forcerun", *targets])


def _seen_from(folder: Path, path: Path) -> str:
    """A path as the workflow in a folder knows it: relative below the folder, else absolute."""
    whole = Path(os.path.abspath(path))
    return str(whole.relative_to(folder) if whole.is_relative_to(folder) else whole)
