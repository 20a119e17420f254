"""The tables of a run: scores, worst cases, comparisons, transfers, triggers; printed numbers, claims against ours."""

from __future__ import annotations

import math
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from rivalry.artifacts import write_json, write_manifest
from rivalry.layout import Layout, trained, training
from rivalry.statistics import literature, worst_case
from rivalry.statistics.certified import certified
from rivalry.statistics.columns import (
    CERTIFIED,
    CLAIMS,
    COMPARISONS,
    FLAGS,
    PLANTINGS,
    QUERIES,
    REPORTED,
    SCORES,
    SCREENINGS,
    SIZE_CORRELATIONS,
    SIZES,
    SPREADS,
    TRANSFERS,
    TRIGGERS,
    WORST_CASES,
)
from rivalry.statistics.comparisons import Method, compare, kept_apart
from rivalry.statistics.detection import flag_differences
from rivalry.statistics.merging import spreads
from rivalry.statistics.plantings import planting_rates
from rivalry.statistics.query_curves import query_curves
from rivalry.statistics.reported import set_against_reported
from rivalry.statistics.scores import (
    ScoredMatch,
    clean_errors,
    evaluated_matches,
    fooling_rates,
    joined,
    tested,
    undefended_matches,
)
from rivalry.statistics.screenings import screening_rates
from rivalry.statistics.sizes import caught, correlations, points
from rivalry.statistics.tables import records
from rivalry.statistics.transfers import transfer_rates
from rivalry.statistics.triggers import trigger_rates

if TYPE_CHECKING:
    from rivalry.layout import COMPUTED
    from rivalry.options import After, Plan
    from rivalry.types import Flag, Natural, OpenFraction

OF_VICTIMS = ("victims", "attacks", "evaluations")
"""Of the plan, what names victims in the second place."""
SETTINGS = ["undefended", "oblivious", "adaptive"]


def tabulate(
    results: Annotated[Path, After(COMPUTED)],
    output: Path,
    *,
    plan: Plan,
    confidence: OpenFraction = 0.95,
    seed: Natural = 0,
    record_times: Flag = True,
) -> None:
    """Make the tables: scores, worst cases, comparisons, transfers, triggers, flags, claims, printed numbers.

    Parameters
    ----------
    results : Path
        Folder of the run.
    output : Path
        Folder to write into.
    plan : dict
        What belongs to the run, so that left-over files are ignored: "victims" (data set, victim);
        "attacks" (data set, victim, attack), undefended;
        "evaluations" (data set, victim, defense); "transfers" (data set, source); "fooling" (data set, victim,
        fooling). Tables keep its order. Of a victim that was trained several times, each training is one: plain,
        plain@2, ... "without_chance" (data set, victim): what would be the same with any seed.
    confidence : float
        Confidence level of all intervals, in (0,1).
    seed : int
        Seed of the bootstrap.
    record_times : bool
        Whether `seconds` is filled; without it two runs give the same bytes.
    """
    layout = Layout.of(results, plan)
    matches = [match for names in plan["attacks"] for match in undefended_matches(layout, names, confidence)]
    matches += [match for names in plan["evaluations"] for match in evaluated_matches(layout, names, confidence)]
    matches.sort(key=lambda match: _position(match, plan))
    if not record_times:
        for match in matches:
            match.row["seconds"] = math.nan
    cases = worst_case.worst_cases(layout, plan=plan, confidence=confidence)
    method = Method(confidence, frozenset((dataset, victim) for dataset, victim in plan.get("without_chance", [])))
    together, whole = joined(matches), worst_case.joined(cases)
    first = plan | {key: [names for names in plan[key] if trained(names[1])[1] == 1] for key in OF_VICTIMS}
    stated = literature.stated(layout, first)
    besides = literature.asked(stated, together, whole, method)
    comparisons = compare(together, clean_errors(layout, plan), whole, besides, method=method, seed=seed)
    foolings = fooling_rates(layout, plan["fooling"], confidence)
    reported = set_against_reported(layout, together, plan["victims"], confidence=confidence)

    tables = layout.tables.at(output)
    SCORES.write(tables["scores"], [match.row for match in matches])
    WORST_CASES.write(tables["worst_cases"], [case.row for case in cases])
    COMPARISONS.write(tables["comparisons"], comparisons)
    transfers = transfer_rates(layout, plan, confidence)
    TRANSFERS.write(tables["transfers"], transfers)
    PLANTINGS.write(tables["planting_rates"], planting_rates(layout, plan, confidence))
    SCREENINGS.write(tables["screening_rates"], screening_rates(layout, plan, confidence))
    TRIGGERS.write(tables["triggers"], trigger_rates(layout, plan, confidence))
    CLAIMS.write(tables["claims"], literature.judged(stated, together, whole, comparisons, foolings))
    of_trainings = {
        "victims": tested(layout, plan),
        "scores": [match.row for match in matches],
        "worst_cases": [case.row for case in cases],
        "transfers": records(transfers),
    }
    FLAGS.write(tables["flags"], flag_differences(matches, confidence))
    SPREADS.write(tables["spreads"], spreads(of_trainings, confidence))
    QUERIES.write(tables["queries"], query_curves(layout, plan, [case.row for case in cases], confidence))
    images = caught(layout, plan)
    SIZES.write(tables["sizes"], points(images, confidence))
    SIZE_CORRELATIONS.write(tables["size_correlations"], correlations(images, confidence, seed))
    CERTIFIED.write(tables["certified"], certified(layout, plan, confidence))
    REPORTED.write(tables["reported"], reported)
    write_json(tables["kept_apart"], kept_apart(together))
    write_manifest(tables)


def _position(match: ScoredMatch, plan: dict[str, Any]) -> tuple[int, ...]:
    """Where the configuration names the match's data set and victim, its attack and its defense."""
    row = match.row
    victim = training(row["victim"], row["seed"])
    names = {
        "victims": (row["dataset"], victim),
        "attacks": (row["dataset"], victim, row["attack"]),
        "evaluations": (row["dataset"], victim, row["defense"]),
    }
    places = {part: [tuple(entry) for entry in plan[part]] for part in names}
    # "none" is no defense of the plan and comes before all of them.
    found = [places[part].index(name) if name in places[part] else -1 for part, name in names.items()]
    return *found, SETTINGS.index(row["setting"])
