"""What the report checks about its own results, from the files alone."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from rivalry.artifacts import write_manifest
from rivalry.checks import CHECKS
from rivalry.checks._evidence import Evidence
from rivalry.devices import device
from rivalry.layout import Layout, trained
from rivalry.statistics.checked import CHECKED

if TYPE_CHECKING:
    from rivalry.layout import COMPUTED
    from rivalry.options import Accelerator, After, Plan


def check(
    results: Annotated[Path, After((*COMPUTED, "tabulate"))],
    output: Path,
    *,
    plan: Plan,
    accelerator: Accelerator = "auto",
) -> None:
    """Check the results against themselves.

    checks.csv has one row a result. Its columns: `check`, `dataset`, `subject`; `status` (pass, warn, fail); `found`;
    `images`, ten at most, that caused it. And which numbers it touches: `victim`, `defense` ("none" is one), `attack`
    (several with spaces between) and `eps`, each empty where it concerns all of them; see
    `rivalry.statistics.touching`. `seed` is the number of the victim's training.

    Parameters
    ----------
    results : Path
        Folder of the run.
    output : Path
        Folder to write into.
    plan : dict
        What belongs to the run; see `rivalry.stages.tabulate`.
    accelerator : str
        Where victims predict again.
    """
    where = device(accelerator)
    rows = []
    for dataset in dict.fromkeys(dataset for dataset, _ in plan["victims"]):
        evidence = Evidence(Layout.of(results, plan), dataset, plan, where)
        for check in CHECKS:
            for row in check(evidence):
                victim, seed = trained(row["victim"])
                rows.append({"dataset": dataset, **row, "victim": victim, "seed": seed if victim else None})
    place = Layout(results).checks.at(output)
    CHECKED.write(place["checks"], rows)
    write_manifest(place)
