"""Sources of data sets.

A source is one function in one file, `name(fetch, seed, *, <configuration>) -> Dataset`. `stages.prepare`
writes what it returns as safetensors; everything else reads these with `load_split`.
"""

from rivalry.registry import open_room

open_room(__name__, load_split="_splits")
