"""Gather what the report says."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from rivalry import artifacts
from rivalry.errors import RivalryWarning
from rivalry.layout import Place
from rivalry.report.collecting import gather
from rivalry.report.summary import checked

if TYPE_CHECKING:
    from rivalry.layout import COMPUTED
    from rivalry.options import After, Configuration, Plan


def collect(
    results: Annotated[Path, After((*COMPUTED, "tabulate", "check", "draw"))],
    output: Path,
    *,
    config: Configuration,
    plan: Plan,
) -> None:
    """Gather every number of the report in report.json.

    Parameters
    ----------
    results : Path
        The folder of all results, tables and figures included.
    output : Path
        Usually results/report/report.json.
    config : dict
        The configuration with all defaults.
    plan : dict
        What it asked for; see `rivalry.plan.Plan.tables`.
    """
    report = gather(Path(results), config=config, plan=plan)
    artifacts.write_json(output, report)
    artifacts.write_manifest(Place("collect", output.parent), [output])
    if any(kind["warn"] or kind["fail"] for kind in report["check_summary"]):
        warnings.warn(checked(report), RivalryWarning, stacklevel=2)
