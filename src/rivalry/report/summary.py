"""The first screen: what was compared, who leads, which defenses survive, what the checks say, and what it took."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from typing import Any

from rivalry.formatting import (
    NORMS,
    between,
    between_points,
    count,
    duration,
    epsilon,
    guarded,
    listing,
    number,
    percent,
    plural,
    points,
    probability,
    shortened,
    spread,
)
from rivalry.statistics import marks
from rivalry.statistics.certified import certifies
from rivalry.statistics.comparisons import seen_from
from rivalry.statistics.headlines import ranking
from rivalry.statistics.literature import MARGIN

Fact = dict[str, Any]


def rankings(report: Fact) -> list[Fact]:
    """The headline of each data set and norm.

    Returns
    -------
    list of dict
        dataset, norm, eps (None where no attack had a budget), rows: the headline rows of worst_cases, best first. Of
        each data set, what has a budget comes first.
    """
    found: dict[tuple[str, str], list[Fact]] = {}
    for row in report["worst_cases"]:
        if row["headline"]:
            found.setdefault((row["dataset"], row["norm"]), []).append(row)
    places = [
        {"dataset": dataset, "norm": norm, "eps": rows[0]["eps"], "rows": ranking(rows)}
        for (dataset, norm), rows in found.items()
    ]
    order = list(dict.fromkeys(place["dataset"] for place in places))
    return sorted(places, key=lambda place: (order.index(place["dataset"]), place["eps"] is None))


def summarise(report: Fact) -> list[Fact]:
    """Five sentences: topic and text, each from the tables alone; before them what is doubtful."""
    return [
        *(
            {"topic": "Doubtful", "text": f"{fact['victim']} on {fact['dataset']}: {text}."}
            for fact, text in doubted(report)
        ),
        {"topic": "Compared", "text": _compared(report)},
        {"topic": "Ahead", "text": _ahead(report)},
        {"topic": "Defenses", "text": _survivors(report)},
        {"topic": "Self-checks", "text": checked(report)},
        {"topic": "Effort", "text": _effort(report)},
    ]


def leader(report: Fact, place: Fact) -> str:
    """Who leads one ranking and by how much; says so where there is nothing to say."""
    rows = [row for row in place["rows"] if not row["reason"]]
    budget = within(place)
    if place["eps"] is None:
        return _needs_most(rows, budget)
    if not any(row["strongest"] for row in rows):
        return f"{budget}, no attack turned any image, so there was nothing to withstand and nobody leads"
    best, n = rows[0], len(rows)
    keeps = f"{guarded(best['victim'], best['defense'])} keeps {percent(best['accuracy'])} % "
    keeps += f"[{between(best['low'], best['high'])}] of {best['n']} images (clean {percent(best['clean_accuracy'])} %)"
    if best["seeds"] > 1:
        keeps += f", the mean of {best['seeds']} trainings ({spread(best['accuracy_seeds'])} %)"
    if best["accuracy"] == 0:
        if n == 1:
            name = guarded(best["victim"], best["defense"])
            return f"{budget}, only {name} was measured; it keeps none of its {plural(best['n'], 'image')}"
        return f"{budget}, none of {plural(n, 'classifier')} keeps any of its images"
    if n == 1:
        return f"{budget}, only {keeps.replace(' keeps', ' was measured; it keeps')}"
    second = rows[1]
    name = guarded(second["victim"], second["defense"])
    test = paired(report, place, best, second)
    against = f"{name} {percent(second['accuracy'])} %"
    if test is None or test["holm_p"] is None:
        why = "they did not meet the same attacks" if test is None else test["note"] or "they are not like for like"
        return f"{budget}, {keeps}, {against}; the two were not tested against each other, since {why}"
    difference = f"{points(test['ahead'])} points [{between_points(test['low'], test['high'])}]"
    if any(abs(mine - row["accuracy"]) > 1e-9 for mine, row in zip(test["accuracies"], (best, second), strict=True)):
        shared = " against ".join(f"{percent(mine)} %" for mine in test["accuracies"])
        difference = f"on the {test['n']} images and under the attacks that both met {shared}, {difference}"
    if not test["significant"]:
        return f"{budget}, {keeps} and {against}: the two cannot be told apart ({difference}, {_p(test)})"
    return f"{budget}, {keeps}, {difference} more than {name}, the next ({_p(test)})"


def paired(report: Fact, place: Fact, one: Fact, other: Fact) -> Fact | None:
    """The paired test of two rows of a ranking, as `seen_from` gives it; None where they were not compared."""
    mine, theirs = ((row["victim"], row["defense"]) for row in (one, other))
    for row in report["comparisons"]:
        if row["kind"] != "worst case" or row["dataset"] != place["dataset"] or row["norm"] != place["norm"]:
            continue
        met = [(row["victim_a"], row["defense_a"]), (row["victim_b"], row["defense_b"])]
        if row["eps_a"] == place["eps"] and sorted(met) == sorted([mine, theirs]):
            return seen_from(row, mine)
    return None


def judged_at(report: Fact, fact: Fact) -> Iterator[Fact]:
    """The places of the rankings at which a defense is judged, those with a budget.

    What certifies a radius promises nothing beyond it: in its norm it is judged at the budget of its claim instead.
    """
    for place in report["rankings"]:
        if place["eps"] is None or place["dataset"] != fact["dataset"]:
            continue
        eps = place["eps"]
        if certifies(fact["parameters"]):
            about = ("dataset", "victim", "defense")
            eps = next(
                (
                    row["eps"]
                    for row in report["claims"]
                    if row["role"] == "claim" and row["norm"] == place["norm"] and row["eps"] is not None
                    if all(row[key] == fact[key] for key in about)
                ),
                eps,
            )
        if eps != place["eps"]:
            met = (place["dataset"], place["norm"], eps)
            rows = [row for row in report["worst_cases"] if (row["dataset"], row["norm"], row["eps"]) == met]
            place = place | {"eps": eps, "rows": rows}
        yield place


BROKEN = "broken when the attacker knows it"
NO_LIMIT = "nothing against who holds a copy"
REPAIR = "not made against this"
"""Of what mends poisoned victims: it promises nothing about changed test images."""


def standing(test: Fact, fact: Fact, mine: Fact, bare: Fact) -> str:
    """What the paired test of a defended victim against the undefended one says of the defense, in words.

    It has fallen to the undefended victim where it keeps less, or where no gain is shown and the whole interval lies
    below five points. Then it is broken if it keeps at least five points more while attackers do not know it.

    Parameters
    ----------
    test : dict
        That of `paired`, seen from the defended side: under attacks that know the defense.
    fact : dict
        The defense.
    mine, bare : dict
        The rows of worst_cases.csv with it and without.
    """
    if fact["kind"] == "transformer":
        return REPAIR
    if test["significant"] and test["ahead"] > 0:
        return "keeps more"
    if not test["significant"] and test["high"] >= MARGIN:
        return "no difference shown"
    if fact["kind"] == "access control":
        return NO_LIMIT
    unknown = mine["oblivious_accuracy"]
    if unknown is not None and unknown - bare["accuracy"] >= MARGIN:
        return BROKEN
    return "keeps less" if test["significant"] else "gains nothing"


def within(place: Fact) -> str:
    norm = NORMS[place["norm"]]
    if place["eps"] is None:
        return f"{place['dataset']}, {norm} of any size"
    return f"{place['dataset']}, {norm} ε {epsilon(place['eps'])}"


def doubted(report: Fact) -> list[tuple[Fact, str]]:
    """Networks from outside of which something was remarked when they were brought, and what that was."""
    return [(fact, "; ".join(fact["warnings"])) for fact in report["victims"] if fact.get("warnings")]


def checked(report: Fact) -> str:
    """What the self-checks say, by kind."""
    kinds = report["check_summary"]
    if not kinds:
        return "No self-check was made."
    failed = [kind["check"] for kind in kinds if kind["fail"]]
    warned = [kind["check"] for kind in kinds if kind["warn"] and not kind["fail"]]
    text = f"Of {plural(len(kinds), 'kind')} of self-checks, {len(kinds) - len(failed) - len(warned)} passed throughout"
    text += f"; {plural(len(warned), 'kind')} warned at least once ({listing(warned)})" if warned else ""
    text += f"; {plural(len(failed), 'kind')} failed at least once ({listing(failed)})" if failed else "; none failed"
    return f"{text}."


def _compared(report: Fact) -> str:
    met = Counter((fact["dataset"], fact["victim"]) for fact in report["attacks"])
    attacked = {(fact["dataset"], fact["victim"]) for fact in report["attacks"]}
    parts = []
    for dataset in (fact["dataset"] for fact in report["datasets"]):
        sizes = sorted({fact["n"] for fact in report["attacks"] if fact["dataset"] == dataset})
        images = f"{sizes[0]:,}" if len(sizes) == 1 else f"{sizes[0]:,} to {sizes[-1]:,}" if sizes else "no"
        victims = sum(place == dataset for place, _ in attacked)
        parts.append(
            f"{'each of ' if victims > 1 else ''}{plural(victims, 'victim')} on {images} test images of {dataset}"
        )
    most = plural(max(met.values(), default=0), "attack")
    text = f"{'Up to ' if len({*met.values()}) > 1 else ''}{most} met {listing(parts)}"
    if report["defenses"]:
        text += f", and {plural(len(report['defenses']), 'defended victim')}"
    return f"{text}."


def _ahead(report: Fact) -> str:
    limited = [place for place in report["rankings"] if place["eps"] is not None] or report["rankings"]
    if not limited:
        return "Nobody: no classifier met two attacks of one norm, so nothing was ranked."
    text = "; ".join(leader(report, place) + _doubts(place) for place in limited)
    return f"{text[0].upper()}{text[1:]}."


def _doubts(place: Fact) -> str:
    """Which self-checks touch the number of who stands first."""
    return _touched([row for row in place["rows"] if not row["reason"]][:1], "the first")


def _touched(rows: list[Fact], whose: str) -> str:
    """Which self-checks touch the numbers of some rows, each kind once; "" where none does."""
    touching = marks.kinds([mark for row in rows for mark in row["marks"]])
    return f" (self-checks about {whose}: {marks.words(touching)})" if touching else ""


def _needs_most(rows: list[Fact], budget: str) -> str:
    """Who needs the largest change, where no attack had a budget."""
    if not rows[0]["n_right"]:
        return f"{budget}, there is no image that all of these classifiers had right, so sizes are not ranked"
    held = [guarded(row["victim"], row["defense"]) for row in rows if row["median_distance"] is None]
    parts = [f"fewer than half of the images of {listing(held)} fell"] if held else []
    needed = [row for row in rows if row["median_distance"] is not None]
    if needed:
        most = max(needed, key=lambda row: row["median_distance"])
        name = guarded(most["victim"], most["defense"])
        size = number(most["median_distance"])
        n_right = most["n_right"]
        parts.append(
            f"only {name} was measured; the smallest change that turns an image has a median of {size} over the "
            f"{plural(n_right, 'image')} that it had right"
            if len(rows) == 1
            else f"{name} needs the largest change, median {size} over the {n_right} images that all had right "
            "(not tested)"
        )
    return f"{budget}, {', and '.join(parts)}"


def _survivors(report: Fact) -> str:
    """Which defended victims keep more images than without the defense, against attackers who know it."""
    if not report["defenses"]:
        return "This run has none."
    better = []
    tested, ahead = set(), set()
    unknown: dict[tuple[str, str], list[str]] = {}
    for fact in report["defenses"]:
        if fact["kind"] == "transformer":  # it mends poisoned victims
            continue
        who = fact["victim"], fact["defense"]
        for place in judged_at(report, fact):
            rows = {(row["victim"], row["defense"]): row for row in place["rows"]}
            row, bare = rows.get(who), rows.get((fact["victim"], "none"))
            if row is None:
                continue
            test = paired(report, place, row, bare) if bare else None
            if bare is None or row["reason"] or test is None or test["holm_p"] is None:
                unknown.setdefault(who, []).append(within(place))
                continue
            tested.add((place["dataset"], *who))
            if test["significant"] and test["ahead"] > 0:
                ahead.add((place["dataset"], *who))
                gain = f"{points(test['ahead'])} points [{between_points(test['low'], test['high'])}]"
                name = f"{fact['defense']} on {fact['victim']} ({within(place)})"
                better.append(f"{name}, {gain}{_touched([row, bare], 'these numbers')}")
    if not (tested or unknown):
        return "No defense met an attacker who knows it within a budget."
    text = f"Against attackers who know the defense, {len(ahead)} of {plural(len(tested), 'defended victim')} "
    text += f"{'is' if 1 in (len(ahead), len(tested)) else 'are'} shown to keep more images than without it"
    if not tested:
        text = "No defended victim could be tested against itself without the defense"
    text += f": {'; '.join(better)}" if better else ""
    alike: dict[tuple[str, str], list[str]] = {}
    for (victim, defense), places in unknown.items():
        alike.setdefault((victim, "; ".join(places)), []).append(defense)
    names = [f"{shortened(defenses)} on {victim} ({places})" for (victim, places), defenses in alike.items()]
    text += f". Not measured: {'; '.join(names)}" if names and tested else ""
    return f"{text}."


def _effort(report: Fact) -> str:
    scores = report["trainings"]["scores"] or report["scores"]
    made = [row for row in scores if row["setting"] in ("undefended", "adaptive")]
    attacks = [*report["attacks"], *report["trainings"]["attacks"]]
    work = {
        name: sum((row[name] or 0) * row["n_crafted"] for row in made)
        + sum(fit[name] for fact in attacks for fit in fact.get("fits") or [])
        for name in ("queries", "gradients")
    }
    brought = sum(fact["architecture"] is None for fact in report["victims"])
    times = Counter(fact["seeds"] for fact in report["victims"] if fact["architecture"] is not None)
    victims = [
        f"{plural(number, 'victim')} trained {'once' if seeds == 1 else f'{seeds} times'}{' each' * (number > 1)}"
        for seeds, number in sorted(times.items(), reverse=True)
    ]
    victims += [f"{plural(brought, 'victim')} from outside"] if brought else []
    text = listing(victims)
    text += f", {count(work['queries'])} forward and {count(work['gradients'])} gradient passes of attacks"
    seconds = sum(row["seconds"] for row in report["run_times"])
    if seconds:
        jobs = sum(row["jobs"] for row in report["run_times"])
        text += f"; {plural(jobs, 'job')} that took {duration(seconds)} in all"
    return f"{text}. Seed {report['seed']}."


def _p(test: Fact) -> str:
    p = probability(test["holm_p"])
    return f"Holm's p {p}" if p.startswith("<") else f"Holm's p = {p}"
