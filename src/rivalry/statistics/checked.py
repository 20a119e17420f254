"""What self-checks leave behind: the table checks.csv."""

from __future__ import annotations

from rivalry.statistics.tables import Table

CHECKED = Table(
    ("text", "check dataset subject status found images victim defense attack"), ("number", "eps"), ("count", "seed")
)
"""One row a result: what was checked, on what, whether it passed, what was found, test images that caused it, and whose
numbers it touches (`rivalry.statistics.touching`); of which training, where it is about one victim."""

LYING = "gradients that lie"
"""The check of what a defense does to gradients; what it found stands beside the defense."""

STATUSES = ("pass", "warn", "fail")
