"""The environment that a run gives its jobs."""

from __future__ import annotations

import os
import sys
from pathlib import Path

ALLOCATOR = {"MALLOC_MMAP_THRESHOLD_": str(2**25), "MALLOC_TRIM_THRESHOLD_": str(2**30)}
"""Environment of a process that trains or attacks on a CPU: memory that one pass frees is kept for the next. The GNU C
library else hands it back and has it mapped anew, page by page, at every pass. Other C libraries ignore it."""


def export_environment(source: str, mirror: str | None) -> None:
    """Give the jobs of this process this very package and Python, and the mirror that the configuration names."""
    os.environ["PYTHONPATH"] = os.pathsep.join(filter(None, [source, os.environ.get("PYTHONPATH")]))
    os.environ["PATH"] = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])
    for variable, value in ALLOCATOR.items():
        os.environ.setdefault(variable, value)
    if mirror:
        os.environ["RIVALRY_DATA_MIRROR"] = mirror
