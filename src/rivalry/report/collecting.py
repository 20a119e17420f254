"""Gather everything that the page and the paper print, from the results of all stages."""

from __future__ import annotations

import os
import platform
from collections.abc import Callable
from importlib import metadata
from pathlib import Path
from typing import Any

import pandas as pd
import yaml

from rivalry import artifacts, registry
from rivalry.external.spec import parse
from rivalry.layout import COMPUTED, Layout, Place, trained
from rivalry.references import source_of, works
from rivalry.report.findings import find
from rivalry.report.limits import limits
from rivalry.report.summary import rankings, summarise
from rivalry.statistics import marks
from rivalry.statistics.checked import CHECKED
from rivalry.statistics.columns import SPREADS, TABLES
from rivalry.statistics.merging import KINDS, over_seeds
from rivalry.statistics.rates import wilson_interval
from rivalry.statistics.tables import records
from rivalry.statistics.trust import summary
from rivalry.verification import expected

PACKAGES = [
    "rivalry",
    "torch",
    "torchvision",
    "lightning",
    "numpy",
    "scipy",
    "scikit-learn",
    "statsmodels",
    "pandas",
    "matplotlib",
    "seaborn",
    "snakemake",
]

FACTS: dict[str, tuple[str, Callable[..., Place]]] = {
    "datasets": ("datasets", Layout.data),
    "poisonings": ("poisonings", Layout.poisoning),
    "victims": ("victims", Layout.victim),
    "attacks": ("attacks", Layout.attack),
    "defenses": ("evaluations", Layout.defense),
    "fooling": ("fooling", Layout.fooling),
    "screenings": ("screenings", Layout.screening),
    "plantings": ("plantings", Layout.planting),
}
"""Entries of report.json that hold the facts of one job each: the plan's list of these jobs, and where each lies."""


METHODS = {
    "datasets": {"source": "sources"},
    "poisonings": {"method": "poisonings"},
    "victims": {"method": "training", "architecture": "architectures"},
    "attacks": {"method": "attacks"},
    "defenses": {"method": "defenses"},
    "fooling": {"method": "fooling"},
    "screenings": {"method": "filters"},
    "plantings": {"method": "targeted_poisonings"},
}
"""By the entry of report.json: which of its facts name a method, and of what kind."""


class _Plain(yaml.SafeDumper):
    """YAML that repeats a value rather than referring back to it."""

    def ignore_aliases(self, data: Any) -> bool:
        return True


def gather(results: Path, *, config: dict[str, Any], plan: dict[str, Any]) -> dict[str, Any]:
    """Every fact of the report, as written to report.json."""
    layout = Layout.of(results, plan)
    report: dict[str, Any] = {
        "title": config["title"],
        "confidence": config["confidence"],
        "seed": config["seed"],
        "configuration": yaml.dump(config, Dumper=_Plain, sort_keys=False, allow_unicode=True, width=100),
        "seeds": [],
    }
    spreads = records(SPREADS.read(layout.tables["spreads"]))
    report["trainings"] = {}
    for entry, (jobs, place) in FACTS.items():
        report[entry] = []
        report["trainings"][entry] = []
        for job in plan[jobs]:
            names = [job] if isinstance(job, str) else job
            where = place(layout, *names)
            fact = artifacts.read_json(where.facts)
            if "victim" in fact:
                fact["victim"], fact["training"] = trained(fact["victim"])
            first = fact.get("training", 1) == 1
            (report if first else report["trainings"])[entry].append(fact)
            if "seed" in fact:
                report["seeds"].append({"stage": where.stage, "what": ", ".join(names), "seed": fact["seed"]})
            if entry == "defenses":
                fact["cost"] = artifacts.read_json(layout.evaluation(*names)["costs"])
            if not config["record_times"]:
                fact["seconds"] = None
                for cost in (fact["cost"][side] for side in ("defended", "undefended") if "cost" in fact):
                    cost["seconds"] = None
    report["environment"] = environment([fact for fact in report["victims"] if "prepared" in fact])
    for name, table in TABLES.items():
        rows = records(table.read(layout.tables[name]))
        report[name] = over_seeds(name, rows, spreads) if name in KINDS else rows
        if name in KINDS:
            report["trainings"][name] = rows if len(rows) > len(report[name]) else []
    report |= {
        "checks": (checks := records(CHECKED.read(layout.checks["checks"]))),
        "check_summary": summary(checks),
        "kept_apart": plan["kept_apart"] + artifacts.read_json(layout.tables["kept_apart"]),
        "figures": {dataset: artifacts.read_json(layout.figures(dataset).facts) for dataset in plan["datasets"]},
        "hashes": _hashes(layout, plan),
        "run_times": _run_times(layout) if config["record_times"] else [],
    }
    tested = {fact["dataset"]: fact["n_test"] for fact in report["datasets"]}
    for fact in (*report["victims"], *report["trainings"]["victims"]):
        n = tested[fact["dataset"]]
        low, high = wilson_interval(round(fact["clean_accuracy"] * n), n, config["confidence"])
        fact |= {"n_test": n, "clean_low": low, "clean_high": high}
    together = over_seeds("victims", map(_outcome, (*report["victims"], *report["trainings"]["victims"])), spreads)
    if report["trainings"]["victims"]:
        report["trainings"]["victims"] = [*map(dict, report["victims"]), *report["trainings"]["victims"]]
    for fact, outcome in zip(report["victims"], together, strict=True):
        fact |= outcome
        fact["chance"] = [fact["dataset"], fact["victim"]] not in plan.get("without_chance", [])
    for case in report["worst_cases"]:
        case["marks"] = marks.of_case(checks, case)
    report["rankings"] = rankings(report)
    report["summary"] = summarise(report)
    report["plugins"] = _plugins(report)
    report["limits"] = limits(report)
    report["findings"] = find(report)
    sources = {fact.get("source", "") for entry in FACTS for fact in report[entry]}
    sources |= {source_of("architectures", fact["architecture"] or "") for fact in report["victims"]}
    sources |= {fact["provenance"]["citation"] for fact in report["datasets"]}
    sources |= {row["source"] for row in report["claims"]}
    report["references"] = works(sources)
    return report


OUTCOME = ("validation_accuracy", "epochs_run", "best_epoch", "seconds", "clean_accuracy", "clean_low", "clean_high")
"""What differs between trainings of a victim."""


def _outcome(fact: dict[str, Any]) -> dict[str, Any]:
    return {name: fact[name] for name in ("dataset", "victim", "n_test", *OUTCOME)}


def _plugins(report: dict[str, Any]) -> list[dict[str, str]]:
    """The methods of users' own files that the report's numbers rest on: kind, name and file."""
    used = {
        (kind, fact[key]): None
        for entry, keys in METHODS.items()
        for key, kind in keys.items()
        for fact in report[entry]
        if fact[key] is not None
    }
    methods = (registry.in_use().methods.get(kind, {}).get(name) for kind, name in used)
    return [
        {"kind": registry.singular(method.kind), "name": method.name, "file": Path(method.file).name}
        for method in methods
        if method is not None
    ]


def environment(brought: list[dict[str, Any]]) -> dict[str, Any]:
    """What the run was computed with; of packages that not every run needs, those that networks from outside are of."""
    versions = {}
    also = {package: None for fact in brought for package in _packages(fact["parameters"]["model"])}
    for package in [*PACKAGES, *(package for package in also if package not in PACKAGES)]:
        try:
            versions[package] = metadata.version(package)
        except metadata.PackageNotFoundError:
            versions[package] = "not installed as a package"
    return {
        "python": platform.python_version(),
        "platform": platform.platform(),
        "processor": _processor(),
        "packages": versions,
    }


def _packages(model: str) -> list[str]:
    """The packages that run a network from outside, as package indexes call them."""
    spec = parse(model)
    if spec.kind != "code":
        return {"timm": ["timm"], "onnx": ["onnxruntime"], "skops": ["skops"]}.get(spec.kind, [])
    return metadata.packages_distributions().get(spec.source.partition(".")[0], [])


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
        return next(line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    except (OSError, StopIteration):
        return platform.processor() or platform.machine()


def _hashes(layout: Layout, plan: dict[str, Any]) -> list[dict[str, str]]:
    """Checksums of what the numbers rest on, as each stage wrote them down."""
    hashes = []
    for place in expected(plan, layout):
        # Folders that nobody computed, such as a test's, have no manifest.
        if place.stage in (*COMPUTED, "tabulate", "check") and place.manifest.is_file():
            folder = Path(os.path.relpath(place.folder, layout.root))
            files = artifacts.read_manifest(place.manifest)["files"]
            hashes += [{"file": str(folder / name), "sha256": value} for name, value in files.items()]
    return sorted(hashes, key=lambda row: row["file"])


def _run_times(layout: Layout) -> list[dict[str, Any]]:
    """Jobs and seconds per rule, from Snakemake's benchmarks; absent when the stages ran without it."""
    times: dict[str, list[float]] = {}
    for rule, file in layout.benchmarks():
        times.setdefault(rule, []).extend(pd.read_csv(file, sep="\t")["s"].dropna().tolist())
    return [
        {"rule": rule, "jobs": len(seconds), "seconds": sum(seconds), "longest": max(seconds)}
        for rule, seconds in times.items()
        if seconds
    ]
