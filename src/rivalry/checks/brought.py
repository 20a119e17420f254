"""What was remarked on a network from outside when it was brought."""

from __future__ import annotations

from collections.abc import Iterator

from rivalry.artifacts import read_json
from rivalry.checks._evidence import Evidence
from rivalry.checks._rows import Row, row


def brought(evidence: Evidence) -> Iterator[Row]:
    """Networks from outside, as they were when they were looked at on a few training images.

    Faults were refused then. What is left may be meant so, but it touches every number of the victim: an answer that
    is drawn anew each time, probabilities, which have fewer digits than logits, an accuracy that a likely mistake
    would explain.
    """
    for (victim,) in evidence.planned("victims"):
        facts = read_json(evidence.layout.victim(evidence.dataset, victim).facts)
        if "warnings" in facts:
            found = "; ".join(facts["warnings"]) or "nothing was remarked when it was brought"
            yield row("network from outside", victim, "warn" if facts["warnings"] else "pass", found, victim=victim)
