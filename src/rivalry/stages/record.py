"""Writing down what was asked for."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from rivalry.artifacts import write_json, write_manifest
from rivalry.config import load_config
from rivalry.plan import Plan


def record(content: dict[str, Any], output: Path) -> None:
    """Check a configuration; write it with all defaults as configuration.json, and its jobs as plan.json."""
    config = load_config(content, "the given configuration")
    write_json(output / "configuration.json", config.model.model_dump())
    write_json(output / "plan.json", Plan(config).tables())
    write_manifest(output, "record", [output / "configuration.json", output / "plan.json"])
