"""Writing down what was asked for."""

from __future__ import annotations

import json
import os
import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

from rivalry.artifacts import write_json, write_manifest
from rivalry.config.reading import load_config, read_files
from rivalry.errors import RivalryWarning
from rivalry.layout import Place
from rivalry.plan import Plan


def _here(path: str | Path) -> str:
    path = Path(path).resolve()
    return str(path.relative_to(Path.cwd()) if path.is_relative_to(Path.cwd()) else path)


def _above(output: str | Path) -> str:
    """This folder as the folder of results sees it, so that both may be moved together."""
    results = Path(output).resolve().parent
    return os.path.relpath(Path.cwd(), results) if results.is_relative_to(Path.cwd()) else str(Path.cwd())


def record(what: Literal["configuration", "plan"], config: Path, /, output: Path) -> None:
    """Write down a checked configuration with all defaults, or its plan.

    Parameters
    ----------
    what : str
        What to write down; for the plan, see `rivalry.plan.Plan.tables`.
    config : Path
        A configuration in YAML; or in JSON, as the workflow writes one down, with paths that hold from the working
        directory.
    output : Path
        The file to write, as JSON.

    Raises
    ------
    Mistakes
        The configuration is wrong.
    """
    # JSON is read as such: YAML takes 1e-05 for a text.
    content = json.loads(config.read_text(encoding="utf-8")) if config.suffix == ".json" else read_files([config])
    checked = load_config(content, config)
    if what == "configuration":
        write_json(output, checked.recorded())
    else:
        plan = Plan(checked)
        write_json(output, plan.tables())
        if unused := plan.unused():
            warnings.warn(f"in no match, so not used: {', '.join(unused)}", RivalryWarning, stacklevel=2)
    write_manifest(Place(f"record_{what}", output.parent), [output])


def record_run(
    output: str | Path, *, snakefile: str | Path, configfiles: Sequence[str | Path], config: Mapping[str, Any]
) -> None:
    """Write down how Snakemake was called, and where, for who has to call it again.

    Parameters
    ----------
    output : path
    snakefile, configfiles : path or paths
        Those below this folder are written relative to it, so that it may be moved.
    config : dict
        What `--config` set.
    """
    facts = {
        "directory": _above(output),
        "snakefile": _here(snakefile),
        "configfiles": [_here(file) for file in configfiles],
        "config": {key: value if isinstance(value, str) else json.dumps(value) for key, value in config.items()},
    }
    output = Path(output)
    write_json(output, facts)
    write_manifest(Place("record_run", output.parent), [output])
