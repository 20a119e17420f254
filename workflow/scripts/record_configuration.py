"""Record the configuration that Snakemake was given; on a command line, it might be longer than systems allow."""

import json
import sys
from pathlib import Path
from typing import Any

from rivalry.stages.record import record

job: Any = snakemake  # noqa: F821 (Snakemake defines it)

with open(job.log[0], "w", encoding="utf-8") as log:
    sys.stdout = sys.stderr = log
    record(json.loads(job.params.content), Path("results"))
