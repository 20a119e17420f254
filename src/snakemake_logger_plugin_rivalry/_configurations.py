"""Snakemake reads what --configfile names before it reads the Snakefile, and with another reader: it answers some files
with a traceback, and runs code that one may hold (`__use_yte__`). A log handler is what it makes before that."""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
from pathlib import Path

import yaml


def refuse_unreadable(arguments: list[str]) -> None:
    """End with what `rivalry validate` says of the first file that is no plain YAML mapping, if there is one."""
    parser = argparse.ArgumentParser(add_help=False, allow_abbrev=False)
    parser.add_argument("--configfile", "--configfiles", nargs="+", action="extend", default=[])
    for file in parser.parse_known_args(arguments)[0].configfile:
        if not _is_plain(file):
            source = {"PYTHONPATH": os.pathsep.join([str(Path(__file__).parents[1]), os.environ.get("PYTHONPATH", "")])}
            validated = subprocess.run([sys.executable, "-m", "rivalry", "validate", file], env=os.environ | source)
            sys.exit(validated.returncode or 1)


def _is_plain(file: str) -> bool:
    try:
        with open(file, encoding="utf-8") as text:
            content = yaml.safe_load(text)
    except Exception:
        return False  # whatever it is, validate says it in one line
    return isinstance(content, dict) and "__use_yte__" not in content
