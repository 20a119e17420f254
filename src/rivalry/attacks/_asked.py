"""Which numbers of questions an attack's progress is noted at."""

from __future__ import annotations

ASKED = tuple(sorted({10**7} | {round(step * 10**power) for power in range(7) for step in (1, 1.5, 2, 3, 5, 7)}))
"""Numbers of questions after which is noted what has been achieved: a few in every power of ten."""
