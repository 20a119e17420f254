"""The tables of a run: scores, worst cases, comparisons, transfers, and reported against measured."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from rivalry.artifacts import write_json, write_manifest
from rivalry.statistics import worst_case
from rivalry.statistics.columns import COMPARISONS, REPORTED, SCORES, TRANSFERS, WORST_CASES
from rivalry.statistics.comparisons import compare, kept_apart
from rivalry.statistics.reported import set_against_reported
from rivalry.statistics.scores import Match, clean_errors, evaluated_matches, undefended_matches
from rivalry.statistics.transfers import transfer_rates

SETTINGS = ["undefended", "oblivious", "adaptive"]


def tabulate(
    results: Path,
    output: Path,
    *,
    plan: dict[str, Any],
    confidence: float,
    seed: int,
    record_times: bool,
) -> None:
    """Write scores.csv, worst_cases.csv, comparisons.csv, transfers.csv, reported.csv and kept_apart.json.

    Parameters
    ----------
    results, output : Path
        Folder of the run, and the folder for its tables.
    plan : dict
        What belongs to the run, so that left-over files are ignored: "victims" (data set, victim);
        "attacks" (data set, victim, attack), undefended;
        "evaluations" (data set, victim, defense); "transfers" (data set, source). Tables keep its order.
    confidence : float
        Coverage of all intervals, in (0,1).
    seed : int
        Seed of the bootstrap.
    record_times : bool
        Whether `seconds` is filled; without it two runs give the same bytes.
    """
    matches = [match for names in plan["attacks"] for match in undefended_matches(results, names, confidence)]
    matches += [match for names in plan["evaluations"] for match in evaluated_matches(results, names, confidence)]
    matches.sort(key=lambda match: _position(match, plan))
    scores = [match.row | ({} if record_times else {"seconds": None}) for match in matches]
    cases = worst_case.worst_cases(results, plan=plan, confidence=confidence)
    comparisons = compare(matches, clean_errors(results, plan), cases, confidence=confidence, seed=seed)
    reported = set_against_reported(results, matches, plan["victims"], confidence=confidence)

    SCORES.write(output / "scores.csv", scores)
    WORST_CASES.write(output / "worst_cases.csv", [case.row for case in cases])
    COMPARISONS.write(output / "comparisons.csv", comparisons)
    TRANSFERS.write(output / "transfers.csv", transfer_rates(results, plan, confidence))
    REPORTED.write(output / "reported.csv", reported)
    write_json(output / "kept_apart.json", kept_apart(matches))
    names = ("scores.csv", "worst_cases.csv", "comparisons.csv", "transfers.csv", "reported.csv", "kept_apart.json")
    write_manifest(output, "tabulate", [output / name for name in names])


def _position(match: Match, plan: dict[str, Any]) -> tuple[int, ...]:
    """Where the configuration names the match's data set and victim, its attack and its defense."""
    row = match.row
    names = {
        "victims": (row["dataset"], row["victim"]),
        "attacks": (row["dataset"], row["victim"], row["attack"]),
        "evaluations": (row["dataset"], row["victim"], row["defense"]),
    }
    places = {part: [tuple(entry) for entry in plan[part]] for part in names}
    # "none" is no defense of the plan and comes before all of them.
    found = [places[part].index(name) if name in places[part] else -1 for part, name in names.items()]
    return *found, SETTINGS.index(row["setting"])
