"""The environment, the seeds, the run times and the checksums of a run."""

from __future__ import annotations

from rivalry.report.tables._table import Column, Row, Table


def seeds(report: Row) -> Table:
    return Table(
        "seeds",
        "Seeds",
        "Each job's seed is derived from the configuration's one seed: that of a training (of a victim, a poisoned "
        "training set or a defense) from what is trained, whatever it is called; all others from the job's own name.",
        [Column("stage", "stage"), Column("what", "job", width=0.55), Column("seed", "seed", "code")],
        report["seeds"],
        folded=True,
        printed=[],
    )


def run_times(report: Row) -> Table:
    return Table(
        "run-times",
        "Run times",
        "Wall time of the jobs that made these results, per rule; cached results count with the time they once took.",
        [
            Column("rule", "rule", "code"),
            Column("jobs", "jobs", "count"),
            Column("seconds", "all jobs", "time"),
            Column("longest", "longest job", "time"),
        ],
        report["run_times"],
        folded=True,
    )


def hashes(report: Row) -> Table:
    return Table(
        "hashes",
        "Checksums",
        "SHA-256 of every file that the numbers rest on, as recorded when it was written.",
        [Column("file", "file", "code", width=0.45), Column("sha256", "SHA-256", "code", width=0.5)],
        report["hashes"],
        folded=True,
        printed=[],
    )


def versions(report: Row) -> Table:
    facts = report["environment"]
    rows = [{"what": "Python", "version": facts["python"]}]
    rows += [{"what": name, "version": version} for name, version in facts["packages"].items()]
    rows += [
        {"what": "platform", "version": facts["platform"]},
        {"what": "processor", "version": facts["processor"]},
    ]
    return Table(
        "versions",
        "Environment",
        "The software and the machine that made this report.",
        [Column("what", "what", "code"), Column("version", "version", width=0.6)],
        rows,
        folded=True,
    )
