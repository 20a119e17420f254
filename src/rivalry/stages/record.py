"""Writing down what was asked for."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from rivalry.artifacts import write_json, write_manifest


def record(content: dict[str, Any], output: str | Path) -> None:
    """Write a checked configuration with all defaults, or its plan, as JSON; see `rivalry.plan.Plan.tables`."""
    output = Path(output)
    write_json(output, content)
    write_manifest(output.parent, f"record_{output.stem}", [output])
