"""Every random number comes from the configuration's one seed and what it is drawn for."""

from __future__ import annotations

import hashlib


def derive_seed(seed: int, *names: str) -> int:
    """A seed in [0, 2**63) for the job called `names`; adding or reordering other jobs does not change it."""
    digest = hashlib.sha256("\0".join([str(seed), *names]).encode()).digest()
    return int.from_bytes(digest[:8], "big") >> 1
