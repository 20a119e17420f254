"""Gather everything that the page and the paper print, from the results of all stages."""

from __future__ import annotations

import platform
from importlib import metadata
from pathlib import Path
from typing import Any

import pandas as pd
import yaml

from rivalry import artifacts
from rivalry.figures.results import read_scored
from rivalry.report.findings import find
from rivalry.report.limits import limits
from rivalry.report.references import all_references, source_of
from rivalry.report.summary import rankings, summarise
from rivalry.statistics import marks, worst_case
from rivalry.statistics.rates import wilson_interval
from rivalry.statistics.trust import read_checks, summary
from rivalry.verification import COMPUTED, expected

# Works that the report's own words cite, whatever was run.
ALWAYS_CITED = [
    "athalye2018",
    "bonett2012",
    "carlini2019",
    "holm1979",
    "mcnemar1947",
    "mitchell1997",
    "tramer2020",
    "wilcoxon1945",
    "wilson1927",
]
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

SEEDED = {
    "train": ("victims", ["dataset", "victim"]),
    "attack": ("attacks", ["dataset", "victim", "attack"]),
    "poison": ("poisonings", ["dataset", "poisoning"]),
    "fool": ("fooling", ["dataset", "victim", "fooling"]),
}
"""Stages with a seed for each job: where their facts are, and what names a job."""


class _Plain(yaml.SafeDumper):
    """YAML that repeats a value rather than referring back to it."""

    def ignore_aliases(self, data: Any) -> bool:
        return True


def gather(results: Path, *, config: dict[str, Any], plan: dict[str, list]) -> dict[str, Any]:
    """Every fact of the report, as written to report.json."""
    checks = read_checks(results / "tables" / "checks.csv")
    report: dict[str, Any] = {
        "title": config["title"],
        "confidence": config["confidence"],
        "seed": config["seed"],
        "configuration": yaml.dump(config, Dumper=_Plain, sort_keys=False, allow_unicode=True, width=100),
        "environment": environment(),
        "datasets": [artifacts.read_json(results / "data" / name / "dataset.json") for name in plan["datasets"]],
        "poisonings": _facts(results, "poisoning", plan["poisonings"], "poisoning.json"),
        "victims": _victims(results, plan, config["confidence"]),
        "attacks": _facts(results, "attacks", plan["attacks"], "attack.json"),
        "defenses": _facts(results, "defenses", plan["evaluations"], "defense.json"),
        "fooling": _facts(results, "fooling", plan["fooling"], "fooling.json"),
        "scores": _records(read_scored(results / "tables" / "scores.csv")),
        "comparisons": _records(read_scored(results / "tables" / "comparisons.csv")),
        "transfers": _records(read_scored(results / "tables" / "transfers.csv")),
        "checks": checks,
        "check_summary": summary(checks),
        "reported": _records(artifacts.read_table(results / "tables" / "reported.csv")),
        "kept_apart": plan["kept_apart"] + artifacts.read_json(results / "tables" / "kept_apart.json"),
        "worst_cases": worst_case.read(results / "tables" / "worst_cases.csv"),
        "figures": {
            dataset: artifacts.read_json(results / "figures" / dataset / "figures.json") for dataset in plan["datasets"]
        },
        "hashes": _hashes(results, plan),
        "seeds": [],
        "run_times": _run_times(results) if config["record_times"] else [],
    }
    if not config["record_times"]:
        report["fooling"] = [fact | {"seconds": None} for fact in report["fooling"]]
    for stage, (entries, keys) in SEEDED.items():
        for fact in report[entries]:
            names = [fact[key] for key in keys]
            report["seeds"].append({"stage": stage, "what": ", ".join(names), "seed": fact["seed"]})
    for case in report["worst_cases"]:
        case["marks"] = marks.of_case(report["checks"], case)
    report["rankings"] = rankings(report)
    report["summary"] = summarise(report)
    report["limits"] = limits(report)
    report["findings"] = find(report)
    report["references"] = _references(report)
    return report


def environment() -> dict[str, Any]:
    """What the run was computed with."""
    versions = {}
    for package in PACKAGES:
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


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
        return next(line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    except (OSError, StopIteration):
        return platform.processor() or platform.machine()


def _facts(results: Path, room: str, entries: list[list[str]], name: str) -> list[dict[str, Any]]:
    return [artifacts.read_json(results.joinpath(room, *entry, name)) for entry in entries]


def _victims(results: Path, plan: dict[str, list], confidence: float) -> list[dict[str, Any]]:
    victims = _facts(results, "victims", plan["victims"], "victim.json")
    for fact in victims:
        n = artifacts.read_json(results / "data" / fact["dataset"] / "dataset.json")["n_test"]
        low, high = wilson_interval(round(fact["clean_accuracy"] * n), n, confidence)
        fact |= {"n_test": n, "clean_low": low, "clean_high": high}
    return victims


def _records(table: pd.DataFrame) -> list[dict[str, Any]]:
    """Rows as dictionaries; what is missing is None."""
    plain: list[Any] = table.astype(object).where(table.notna(), None).to_dict("records")
    return plain


def _hashes(results: Path, plan: dict[str, list]) -> list[dict[str, str]]:
    """Checksums of what the numbers rest on, as each stage wrote them down."""
    hashes = []
    for artifact in expected(plan):
        if artifact.stage in (*COMPUTED, "tabulate", "check"):
            manifest = artifacts.manifest_path(results / artifact.folder, artifact.stage)
            if manifest.is_file():  # not of folders that nobody computed, such as a test's
                files = artifacts.read_manifest(manifest)["files"]
                hashes += [{"file": str(artifact.folder / name), "sha256": value} for name, value in files.items()]
    return sorted(hashes, key=lambda row: row["file"])


def _run_times(results: Path) -> list[dict[str, Any]]:
    """Jobs and seconds per rule, from Snakemake's benchmarks; absent when the stages ran without it."""
    times: dict[str, list[float]] = {}
    for file in sorted((results / "benchmarks").rglob("*.tsv")):
        rule = file.relative_to(results / "benchmarks").parts[0].removesuffix(".tsv")
        times.setdefault(rule, []).extend(pd.read_csv(file, sep="\t")["s"].dropna().tolist())
    return [
        {"rule": rule, "jobs": len(seconds), "seconds": sum(seconds), "longest": max(seconds)}
        for rule, seconds in times.items()
        if seconds
    ]


def _references(report: dict[str, Any]) -> dict[str, dict[str, Any]]:
    """The works that this report cites, by key, sorted by author."""
    cited = set(ALWAYS_CITED)
    for fact in (*report["attacks"], *report["poisonings"], *report["fooling"]):
        cited.add(fact["source"])
    cited |= {source_of("defenses", fact["method"]) for fact in report["defenses"]}
    for fact in report["victims"]:
        cited |= {source_of("architectures", fact["architecture"]), source_of("training", fact["method"])}
    if report["transfers"]:
        cited.add("papernot2016transfer")
    known = all_references()
    return {key: known[key] for key in sorted(cited & known.keys(), key=lambda key: (known[key]["authors"], key))}
