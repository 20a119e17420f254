"""Rows of attacks under each victim, in as many figures as fit on pages."""

from __future__ import annotations

import pandas as pd

from rivalry.figures._results import Results

ROW = 0.225
"""Inches that a row needs at 9-point text."""
MOST_ROWS = 30
"""Rows that one figure holds: what can be read on a printed page."""
Page = list[tuple[str, pd.DataFrame]]


def pages(data: Results, scores: pd.DataFrame) -> list[Page]:
    """Each victim's rows, in the configuration's order."""
    found: list[Page] = [[]]
    for victim in data.victims:
        part = scores[scores["victim"] == victim]
        for start in range(0, len(part), MOST_ROWS):
            chunk = part.iloc[start : start + MOST_ROWS]
            if found[-1] and sum(len(rows) for _, rows in found[-1]) + len(chunk) > MOST_ROWS:
                found.append([])
            found[-1].append((victim, chunk))
    return found


def numbered(name: str, title: str, number: int, of: int) -> tuple[str, str]:
    """Name and title of one of several pages; the first keeps the name."""
    if of == 1:
        return name, title
    return name if number == 1 else f"{name}_{number}", f"{title} ({number} of {of})"
