"""Checks the configuration before anything else and says which jobs it asks for."""

import hashlib
import json
import os
import shutil
import sys
from pathlib import Path

from snakemake.logging import logger

# The package beside this workflow, for the Snakefile and, through the environment, for every job.
SOURCE = str(Path(workflow.basedir) / "src")
sys.path.insert(0, SOURCE)

from rivalry import forking
from rivalry.artifacts import sweep, write_json
from rivalry.config import Mistakes, check_machine, load_config, read_files
from rivalry.environment import export_environment
from rivalry.layout import COMPUTED, JOINED, NAME, TRAINING, defended
from rivalry.plan import Plan
from rivalry.stages.record import record_run
from rivalry.verification import expected

# A configuration named on the command line replaces the default. It is read here: Snakemake's own reader takes `no`
# for false, drops the first of two equal names, and fails with a traceback.
CONFIG_FILES = list(map(str, workflow.config_settings.configfiles)) or ["config.yaml"]
try:
    CONTENT = read_files(CONFIG_FILES, workflow.config_settings.config)
    PLAN = Plan(load_config(CONTENT, CONFIG_FILES[-1]))
    if (
        workflow.resource_settings.nodes is None
    ):  # jobs run here, not on the nodes of a cluster
        check_machine(PLAN.config, CONFIG_FILES[-1])
except Mistakes as mistakes:
    # Not an exception: Snakemake would wrap a traceback around it.
    print(mistakes, file=sys.stderr)
    sys.stderr.flush()
    os._exit(1)

# Where every file lies, by the names of data set, victim, ...; in rules these are wildcards. Functions of wildcards are
# given them in the order in which the output's path has them.
LAYOUT = PLAN.layout

export_environment(SOURCE, PLAN.config.data_mirror)

# For the jobs that record it; outside the results, since nobody asked for it. Each folder of results has its own, since
# two configurations may run side by side.
GIVEN = f".snakemake/rivalry-given/{hashlib.sha256(str(LAYOUT.root).encode()).hexdigest()[:12]}.json"
write_json(GIVEN, CONTENT)

# A PDF is made where something can make it: a LaTeX that is installed, or conda's tectonic.
MAKES_PDF = bool(shutil.which("latexmk") or shutil.which("tectonic")) or any(
    method.name == "CONDA" for method in workflow.deployment_settings.deployment_method
)
REPORTS = [
    LAYOUT.page.target,
    LAYOUT.paper.target,
    *([LAYOUT.pdf.target] if MAKES_PDF else []),
]
NO_PDF = (
    []
    if MAKES_PDF
    else [
        "no PDF: there is no LaTeX here; install latexmk texlive-latex-recommended texlive-latex-extra texlive-science "
        "lmodern (Debian's names), or add --software-deployment-method conda (envs/latex.yaml), and run again"
    ]
)


def templates(kind):
    """A template's files by relative paths: a folder that is moved is still the same."""
    files = (Path(workflow.basedir) / "report" / kind).iterdir()
    return sorted(os.path.relpath(file) for file in files)


def made(*stages):
    """What all jobs of these stages make: one file of each, or its folder."""
    places = expected(PLAN.tables(), LAYOUT)
    return [place.target for place in places if place.stage in stages]


wildcard_constraints:
    dataset=NAME,
    generator=NAME,
    poisoning=NAME,
    victim=TRAINING,
    defended=JOINED,
    attack=NAME,
    defense=NAME,
    fooling=NAME,
    filter=NAME,
    targeted=NAME,


FORKING = []  # keeps the process's standard input open as long as this one lives


onstart:
    for folder in (LAYOUT.root, LAYOUT.data_sets):
        sweep(folder)
    # Jobs that compute here, in this very environment, need not import PyTorch each.
    if (
        workflow.resource_settings.nodes is None
        and not workflow.deployment_settings.deployment_method
    ):
        FORKING.append(forking.start())
    record_run(
        LAYOUT.run.facts,
        snakefile=workflow.main_snakefile,
        configfiles=workflow.config_settings.configfiles,
        config=workflow.config_settings.config or {},
    )


onsuccess:
    written = [f"report: {path}" for path in REPORTS if path.is_file()]
    for line in written and [*written, *NO_PDF]:
        logger.info(line, extra={"for_users": True})
