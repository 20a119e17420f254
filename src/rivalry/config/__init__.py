"""The configuration: what it may say, what is wrong with one that says something else, and what it says on a data set.

The JSON schema for editors (workflow/schemas) is generated from the models, and every mistake becomes one line.
"""

from rivalry.config.mistakes import Mistakes
from rivalry.config.models import LISTS, SECTIONS, Match, Threads, Transfer, VictimEntry, entry_models
from rivalry.config.reading import check_machine, load_config, read_files, read_yaml
from rivalry.config.resolving import Config, config_model, json_schema

__all__ = [
    "LISTS",
    "SECTIONS",
    "Config",
    "Match",
    "Mistakes",
    "Threads",
    "Transfer",
    "VictimEntry",
    "check_machine",
    "config_model",
    "entry_models",
    "json_schema",
    "load_config",
    "read_files",
    "read_yaml",
]
