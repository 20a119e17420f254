"""From runs to the CSV file's rows, verdicts and Markdown tables."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, field
from statistics import median
from typing import Any

from contests import Contest
from measuring import PassCost, Run, version

OURS = "rivalry"


@dataclass
class Entry:
    """One library in one contest: its runs by batch, and why there are no more of them if one failed."""

    runs: dict[int, list[Run]] = field(default_factory=lambda: defaultdict(list))
    failure: str = ""

    @property
    def batch(self) -> int:
        """The batch at which it was fastest."""
        return min(self.runs, key=lambda batch: median(run.seconds for run in self.runs[batch]))

    @property
    def run(self) -> Run:
        """The first of that batch; the others differ in their time only."""
        return self.runs[self.batch][0]

    @property
    def milliseconds(self) -> list[float]:
        """Per image, of all runs of that batch."""
        return [1e3 * run.seconds / len(run.success) for run in self.runs[self.batch]]

    @property
    def success_rate(self) -> float:
        return sum(self.run.success) / len(self.run.success)

    @property
    def median_norm(self) -> float | None:
        """Over the successes."""
        return _median(norm for norm, success in zip(self.run.norm, self.run.success, strict=True) if success)


@dataclass(frozen=True)
class Verdict:
    """One question to one contest: the answer, and the numbers it rests on, ours first."""

    answer: bool | None
    numbers: str


def tabulate(contest: Contest, entries: dict[str, Entry], cost: PassCost) -> list[dict[str, Any]]:
    """The contest's rows of the CSV file."""
    table = []
    for library, entry in entries.items():
        row: dict[str, Any] = {
            "contest": contest.name,
            "library": library,
            "version": version(library),
            "attack": contest.calls[library].attack,
            "goal": "targeted" if contest.targeted else "untargeted",
            "norm": contest.norm,
            "eps": contest.eps,
            "failure": entry.failure,
        }
        if entry.runs:
            run, times = entry.run, entry.milliseconds
            row |= {
                "images": len(run.success),
                "batch": entry.batch,
                "rounds": len(times),
                "success_rate": entry.success_rate,
                "median_norm": entry.median_norm,
                "ms": median(times),
                "ms_least": min(times),
                "ms_most": max(times),
                "forwards": run.forwards,
                "backwards": run.backwards,
                "ms_of_passes": 1e3 * (run.forwards * cost.forward + run.backwards * cost.backward),
                "outside": run.outside,
            }
        table.append(row)
    return table


def judge(contest: Contest, entries: dict[str, Entry]) -> list[Verdict]:
    """Ours against its peers: as successful as any, no larger on common successes, no slower than the fastest.

    Peers that fooled no image do not count.
    """
    ours = entries[OURS]
    peers = {name: entry for name, entry in entries.items() if name != OURS and entry.runs and entry.success_rate}
    if not peers:
        return [Verdict(None, "")] * 3
    best = max(peers, key=lambda name: peers[name].success_rate)
    successful = Verdict(
        ours.success_rate >= peers[best].success_rate,
        f"{ours.success_rate:.0%} / {peers[best].success_rate:.0%} {best}",
    )
    small = Verdict(None, "")
    pairs = {}
    for name, entry in peers.items():
        if contest.eps is None and (pair := _on_common(ours.run, entry.run)):
            pairs[name] = pair
    if pairs:
        tightest = max(pairs, key=lambda name: pairs[name][0] / max(pairs[name][1], 1e-9))
        mine, theirs = (_short(value) for value in pairs[tightest])
        # What is printed alike is alike.
        small = Verdict(float(mine) <= float(theirs), f"{mine} / {theirs} {tightest}")
    fastest = min(peers, key=lambda name: median(peers[name].milliseconds))
    time, best_time = median(ours.milliseconds), median(peers[fastest].milliseconds)
    return [successful, small, Verdict(time <= best_time, f"{_short(time)} / {_short(best_time)} {fastest}")]


def _on_common(ours: Run, theirs: Run) -> tuple[float, float] | None:
    """Median norms over the images that both fooled."""
    both = [mine and other for mine, other in zip(ours.success, theirs.success, strict=True)]
    if not any(both):
        return None
    mine, other = (median(norm for norm, kept in zip(run.norm, both, strict=True) if kept) for run in (ours, theirs))
    return mine, other


def render(rows: list[dict[str, Any]], verdicts: dict[str, list[Verdict]], conditions: str) -> str:
    """Everything as Markdown."""
    floors = {row["contest"]: row.get("ms_of_passes") for row in rows if row["library"] == OURS}
    answers = {True: "yes", False: "no", None: "–"}
    judged = []
    for name, asked in verdicts.items():
        cells = [cell for verdict in asked for cell in (answers[verdict.answer], verdict.numbers)]
        judged.append([name, *cells, _short(floors[name])])
    measured = []
    for row in rows:
        rate = f"{row['success_rate']:.0%}" if "success_rate" in row else "–"
        numbers = [_short(row.get(key)) for key in ("median_norm", "ms", "forwards", "backwards", "batch")]
        remarks = [row["failure"], f"{row['outside']} outside" if row.get("outside") else ""]
        library = f"{row['library']} {row['version']}"
        measured.append([row["contest"], library, row["attack"], rate, *numbers, "; ".join(filter(None, remarks))])
    asked_of = ["as successful", "success", "as small", "median norm", "as fast", "ms per image", "floor"]
    numbers_of = ["success", "median norm", "ms per image", "forwards", "backwards", "batch"]
    return "\n".join(
        [
            conditions,
            "",
            "## Verdicts: ours / peer",
            "",
            *_table(["contest", *asked_of], judged),
            "",
            "## Every library",
            "",
            *_table(["contest", "library", "attack", *numbers_of, "remarks"], measured),
            "",
        ]
    )


def _table(head: list[str], rows: list[list[str]]) -> list[str]:
    lines = [head, ["---"] * len(head), *rows]
    return [f"| {' | '.join(cell.replace('|', '/') for cell in line)} |" for line in lines]


def _median(values: Iterable[float]) -> float | None:
    values = list(values)
    return median(values) if values else None


def _short(value: object) -> str:
    """Three significant digits."""
    if not isinstance(value, int | float):
        return "–"
    return f"{value:.0f}" if abs(value) >= 100 else f"{value:.3g}"
