"""What published works say of training methods and defenses, set against what this run measured.

`literature.yaml` has the statements. A statement about a gain is about two classifiers: the one that it speaks of, and
its twin, which lacks the method. All its numbers are those of one row of comparisons.csv, and so are its tests. Rows
that only a statement asks for (`asked`) are part of that table and of its family.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Literal, NamedTuple

import pandas as pd
import yaml

from rivalry.artifacts import read_json
from rivalry.formatting import between, between_points, epsilon, missing, number, percent, points, probability
from rivalry.layout import Layout, trained
from rivalry.statistics.certified import certifies, farthest
from rivalry.statistics.columns import CLAIMS
from rivalry.statistics.comparisons import Method, attack_row, replayed_row, seen_from, worst_case_row
from rivalry.statistics.detection import learned
from rivalry.statistics.reported import fits
from rivalry.statistics.scores import ScoredMatch
from rivalry.statistics.tables import records
from rivalry.statistics.worst_case import Case, in_common, replayed_in_common

MARGIN = 0.05
"""A gain below this is none, as far as the literature's statements are concerned."""
BROKEN = 0.9
"""The share of images that an attack turns at least where it breaks a method."""
RESISTED = 0.1
"""And at most where a method resists it."""
ROUNDING = 1.01
"""Budgets that differ by less are one: 0.031 and 8/255."""

EXPECTED = {
    **{"gain": "gain", "no_gain": "no gain", "fooled": "fooled", "resists": "resists", "stronger": "stronger"},
    **{"larger": "larger", "smaller": "smaller"},
}
"""What a statement expects: its key, and the word in the table."""
OF_SIZE = ("larger", "smaller")
"""Of these: what is about the size of the changes that a victim needs."""
LEARNED = "learned"
"""What `of` says of a statement that is only about the attacks that a detector learned from."""
BEGINNING = "warm_start"
"""What `over` says of a twin that is the victim at which training began."""
ROLES = {"claim": "claim", "break": "known break", "limit": "known limit", "control": "control"}
"""What a statement is: a gain; what takes it away; that there is none, of what nobody calls a defense; and what is
expected although no source says it."""
ALL_ATTACKS, REPLAYED, FOOLING = "worst_case", "replayed", "fooling"
WORDS = {ALL_ATTACKS: "all attacks together", REPLAYED: "replayed images", FOOLING: "fooling images"}

Outcome = Literal["reproduced", "reproduced in part", "not reproduced", "not shown", "not measured"]

Row = dict[str, Any]

Who = tuple[str, str]
"""A classifier: victim and defense."""


@dataclass(frozen=True)
class Stated:
    """A statement of the literature about one classifier of a run.

    Attributes
    ----------
    dataset : str
    who : (victim, defense)
    name : str
        What the method is called.
    role : str
        A key of ROLES.
    expects : str
        A key of EXPECTED.
    under : list of str
        Methods of attacks, or a key of WORDS.
    than : str
        For "stronger": the method that is weaker.
    source : str
        Citation key; "" of a control.
    base : (victim, defense) or None
        The twin.
    note : str
        How the twin differs otherwise, or why there is none.
    eps : float or None
        The budget that it was trained for.
    norm : str
        In which norm; of what was trained for none, "".
    known : set of str
        Victims whose images it learned from, or may have.
    learned : dict
        Of a statement about the attacks that a detector learned from: their methods, and at which budget.
    """

    dataset: str
    who: Who
    name: str
    role: str
    expects: str
    under: Sequence[str]
    than: str
    source: str
    base: Who | None
    note: str
    eps: float | None
    norm: str
    known: frozenset[str]
    learned: Mapping[str, float] = field(default_factory=dict)


class Place(NamedTuple):
    """Where two classifiers meet: a norm and a budget, and the worst cases of both there."""

    norm: str
    eps: float
    mine: Case
    other: Case


def statements() -> dict[str, list[dict[str, Any]]]:
    """The entries of `literature.yaml`, about victims and about defenses."""
    content = yaml.safe_load(Path(__file__).with_name("literature.yaml").read_text(encoding="utf-8"))
    return {kind: content[kind] for kind in ("victims", "defenses")}


def stated(layout: Layout, plan: dict[str, Any]) -> list[Stated]:
    """Every statement about a victim or a defended one of a run, in the plan's order."""
    facts = {(dataset, name): read_json(layout.victim(dataset, name).facts) for dataset, name in plan["victims"]}
    attacked = {(dataset, name) for dataset, name, _ in plan["attacks"]}
    entries = statements()
    found = []
    for (dataset, name), own in facts.items():
        others = {other: fact for (place, other), fact in facts.items() if place == dataset and other != name}
        parameters = own.get("parameters", {})
        known = frozenset(others.keys() & set(_texts(parameters)))
        seed = trained(name)[1]
        unlikely = {o for o in others if (dataset, o) not in attacked or o in known or trained(o)[1] != seed}
        for entry in entries["victims"]:
            if fits(entry["facts"], own) and not ("unless" in entry and fits(entry["unless"], own)):
                for role, statement in _listed(entry):
                    twin, note = _twin(statement.get("over", PLAIN), own, others, unlikely)
                    base = None if twin is None else (twin, "none")
                    about = (dataset, (name, "none"), entry["name"], role)
                    found.append(_stated(*about, statement, base, note, parameters, known))
    for dataset, name, defense in plan["evaluations"]:
        own = read_json(layout.defense(dataset, name, defense).facts)
        for entry in entries["defenses"]:
            if fits(entry["facts"], own):
                for role, statement in _listed(entry):
                    about = (dataset, (name, defense), entry["name"], role)
                    given = own.get("parameters", {})
                    limit = {"eps": farthest(given), "norm": "2"} if certifies(given) else {}
                    one = _stated(*about, statement, (name, "none"), "", limit, frozenset())
                    if statement.get("of") == LEARNED:
                        budgets = {attack["method"]: attack.get("eps", math.nan) for attack in learned(own)}
                        one = replace(one, under=[method for method in one.under if method in budgets], learned=budgets)
                    if one.under:
                        found.append(one)
    return found


PLAIN = {"method": "plain", "temperature": [1, None]}
"""What a victim's twin is, where a statement does not say it."""


def _stated(
    dataset: str,
    who: Who,
    name: str,
    role: str,
    statement: dict[str, Any],
    base: Who | None,
    note: str,
    parameters: dict[str, Any],
    known: frozenset[str],
) -> Stated:
    expects = next(key for key in EXPECTED if key in statement)
    rest = (statement[expects], statement.get("than", ""), statement.get("source", ""))
    eps = parameters.get("eps")
    norm = "" if eps is None else str(parameters.get("norm", "inf"))
    return Stated(dataset, who, name, role, expects, *rest, base, note, eps, norm, known)


def _listed(entry: dict[str, Any]) -> Iterator[tuple[str, dict[str, Any]]]:
    for role in ROLES:
        for statement in entry.get(f"{role}s", []):
            yield role, statement


def _texts(value: Any) -> Iterator[str]:
    """All texts in a parameter's value; of a path, which may be that of a victim's folder, the last part."""
    if isinstance(value, str):
        yield value.rsplit("/", 1)[-1]
    elif isinstance(value, dict | list):
        for part in value.values() if isinstance(value, dict) else value:
            yield from _texts(part)


def _twin(
    wanted: dict[str, Any] | str, own: dict[str, Any], others: dict[str, dict[str, Any]], unlikely: Collection[str]
) -> tuple[str | None, str]:
    """The victim that has the wanted facts, and the same network and data; and a note about it.

    Networks are the same if they have as many parameters: dropout, say, may differ, and is then noted.

    Of several, one that is not `unlikely` (never attacked, learned from, of another seed), then the one that was most
    alike in training, then the first of the configuration.
    """
    if isinstance(wanted, str):
        began = own.get(wanted)
        return (began, "") if began in others else (None, "the victim that it began at does not stand beside it")
    same = ("architecture", "parameters_count", "poisoning")
    fitting = [
        name
        for name, facts in others.items()
        if fits(wanted, facts) and all(facts.get(key) == own.get(key) for key in same)
    ]
    if not fitting:
        words = " ".join(str(value) for value in wanted.values() if isinstance(value, str))
        return None, f"no {words} victim of the same network and data stands beside it"
    unlike = {name: _unlike(own, others[name]) for name in fitting}
    twin = min(fitting, key=lambda name: (name in unlikely, len(unlike[name])))
    words = f"{twin} was trained with other {', '.join(unlike[twin])}" if unlike[twin] else ""
    return twin, words


def _unlike(one: dict[str, Any], other: dict[str, Any]) -> list[str]:
    """The keys of architecture and training in which two victims differ, and what they begin with."""
    a, b = (
        {**facts.get("architecture_parameters", {}), **facts.get("fitting", {}), "warm_start": facts.get("warm_start")}
        for facts in (one, other)
    )
    return [key for key in dict.fromkeys((*a, *b)) if a.get(key) != b.get(key)]


def asked(
    found: Sequence[Stated], matches: Sequence[ScoredMatch], cases: Sequence[Case], method: Method
) -> list[dict[str, Any]]:
    """The rows of comparisons that statements ask for and that no report without them has."""
    rows = []
    for one in found:
        for strong, weak in _attack_pairs(one, matches, cases):
            largest = all(
                match.row["eps"] >= other.row["eps"]
                for match in (strong, weak)
                for other in matches
                if (*_of(other.row), other.row["attack"]) == (*_of(match.row), match.row["attack"])
            )
            if not largest:
                rows.append(attack_row(weak, strong, method))
        for place in _places(one, cases):
            if one.under == [REPLAYED]:
                rows.append(replayed_row(place.mine, place.other, one.known, method))
            elif not place.mine.row["headline"]:
                rows.append(worst_case_row(place.mine, place.other, method))
    keys = ("kind", "dataset", "victim", "norm", "eps_a", "a", "b", "note")
    return list({tuple(row[key] for key in keys): row for row in rows}.values())


def _places(one: Stated, cases: Sequence[Case]) -> list[Place]:
    """Of each norm, the budget at which a statement about all attacks, or about replayed ones, is looked at."""
    met = _met(one, cases)
    places = []
    for norm in dict.fromkeys(place.norm for place in met):
        eps = _budget(one, norm, [place.eps for place in met if place.norm == norm], cases)
        places += [place for place in met if (place.norm, place.eps) == (norm, eps)]
    return places


def _met(one: Stated, cases: Sequence[Case]) -> list[Place]:
    """All norms and budgets at which such a statement could be looked at."""
    if one.base is None or one.under[0] not in WORDS:
        return []
    mine, other = (
        {(case.row["norm"], case.row["eps"]): case for case in cases if _of(case.row) == (one.dataset, *who)}
        for who in (one.who, one.base)
    )
    return [
        Place(norm, eps, case, other[norm, eps])
        for (norm, eps), case in mine.items()
        if eps is not None and (norm, eps) in other and _meet(one, case, other[norm, eps])
    ]


def _attack_pairs(
    one: Stated, matches: Sequence[ScoredMatch], cases: Sequence[Case]
) -> list[tuple[ScoredMatch, ScoredMatch]]:
    """The attacks that a statement calls stronger, each with the weaker one, at the budget at which it is looked at."""
    if one.expects != "stronger":
        return []
    mine = [m for m in matches if _of(m.row) == (one.dataset, *one.who) and m.row["goal"] == "untargeted"]
    pairs = [
        (strong, weak)
        for strong in mine
        for weak in mine
        if strong.attack["method"] in one.under
        and weak.attack["method"] == one.than
        and strong.row["norm"] == weak.row["norm"]
        and strong.row["eps"] == weak.row["eps"]
    ]
    chosen = []
    for norm in dict.fromkeys(strong.row["norm"] for strong, _ in pairs):
        met = [pair for pair in pairs if pair[0].row["norm"] == norm]
        eps = _budget(one, norm, [strong.row["eps"] for strong, _ in met], cases)
        chosen += [pair for pair in met if pair[0].row["eps"] == eps]
    return chosen


def _meet(one: Stated, mine: Case, other: Case) -> bool:
    """Whether the attacks that a statement is about were run on both; of all attacks together, by two methods."""
    if one.under == [REPLAYED]:
        return not replayed_in_common(mine, other, one.known)[0][0].empty
    if not (mine.measured and other.measured):
        return False
    held, _, names = in_common(mine, other)
    return not held[0].empty and len({tried.method for tried in mine.attacks if tried.name in names}) > 1


def _of(row: Row) -> tuple[str, str, str]:
    return row["dataset"], row["victim"], row["defense"]


def _budget(one: Stated, norm: str, met: Sequence[float], cases: Sequence[Case]) -> float | None:
    """The budget to look at: the largest that it was trained for, or up to the one that the report compares at.

    None where it met only larger ones than it was trained for, or another norm. Without a budget (NaN) there is nothing
    to choose.
    """
    if one.eps is not None:
        allowed = [eps for eps in met if norm == one.norm and (math.isnan(eps) or eps <= one.eps * ROUNDING)]
        return max(allowed, default=None)
    if not met or any(math.isnan(eps) for eps in met):
        return met[0] if met else None
    rows = [case.row for case in cases]
    headline = next(
        (r["eps"] for r in rows if r["headline"] and (r["dataset"], r["norm"]) == (one.dataset, norm)), None
    )
    limit = math.inf if headline is None else headline
    return max((eps for eps in met if eps <= limit), default=min(met))


def judged(
    found: Sequence[Stated],
    matches: Sequence[ScoredMatch],
    cases: Sequence[Case],
    comparisons: pd.DataFrame,
    foolings: Sequence[Row] = (),
) -> pd.DataFrame:
    """One row for each statement and each attack or norm under which it was looked at, with what came of it.

    A statement that nothing here measures keeps one row, whose note says why.

    Parameters
    ----------
    found : sequence of Stated
    matches, cases
        Of the run.
    comparisons : DataFrame
        With the rows of `asked`.
    foolings : sequence of dict
        From `scores.fooling_rates`.
    """
    table = _Table(records(comparisons), matches, cases, foolings)
    rows = []
    for one in found:
        measured = list(table.measured(one))
        if not measured:
            words = [WORDS.get(name, name) for name in one.under]
            nothing = {"under": " or ".join(words), "outcome": "not measured", "note": table.reason(one)}
            measured = [nothing | {"base": one.base[0] if one.base and one.expects in ("gain", "no_gain") else ""}]
        about = {"dataset": one.dataset, "victim": one.who[0], "defense": one.who[1], "name": one.name}
        about |= {"role": one.role, "expects": EXPECTED[one.expects], "than": one.than, "source": one.source}
        rows += [about | row for row in measured]
    return CLAIMS.frame(rows)


class _Table:
    """What a run measured, to be looked up."""

    def __init__(
        self,
        comparisons: list[Row],
        matches: Sequence[ScoredMatch],
        cases: Sequence[Case],
        foolings: Sequence[Row],
    ) -> None:
        self.comparisons, self.matches, self.cases, self.foolings = comparisons, matches, cases, foolings

    def measured(self, one: Stated) -> Iterator[Row]:
        if one.under == [FOOLING]:
            for fact in self.foolings:
                if (fact["dataset"], fact["victim"], "none") == (one.dataset, *one.who) and fact["n"]:
                    yield {
                        **{"under": fact["fooling"], "n": fact["n"], "value": fact["rate"]},
                        **{"low": fact["low"], "high": fact["high"]},
                        "outcome": outcome(one.expects, fact["rate"], fact["low"], fact["high"], significant=False),
                    }
        elif one.expects == "fooled":
            yield from self._fooled(one)
        elif one.expects == "stronger":
            yield from self._stronger(one)
        elif one.expects in OF_SIZE:
            yield from self._needed(one)
        elif one.base is not None and one.under[0] in WORDS:
            kind = "replayed" if one.under == [REPLAYED] else "worst case"
            for place in _places(one, self.cases):
                for row in self._between(one, kind, eps=place.eps, norm=place.norm):
                    yield self._row(one, row, WORDS[one.under[0]])
        elif one.base is not None:
            for attack, eps in self._attacks(one, self._met_by_both(one)):
                for row in self._between(one, self._kind(one), eps=eps, attack=attack):
                    yield self._row(one, row, attack)

    def _kind(self, one: Stated) -> str:
        return "victim" if one.who[1] == "none" else "defense"

    def _mine(self, one: Stated) -> list[ScoredMatch]:
        """The matches of attacks that a statement names with the classifier that it is about.

        A defense's claims are about attackers who do not know it.
        """
        setting = "undefended" if one.who[1] == "none" else "oblivious" if one.role == "claim" else "adaptive"
        return [
            match
            for match in self.matches
            if _of(match.row) == (one.dataset, *one.who)
            and match.row["setting"] == setting
            and match.attack["method"] in one.under
        ]

    def _met_by_both(self, one: Stated) -> list[ScoredMatch]:
        return [
            match
            for match in self._mine(one)
            if self._between(one, self._kind(one), eps=match.row["eps"], attack=match.row["attack"])
        ]

    def _attacks(self, one: Stated, matches: Iterable[ScoredMatch]) -> Iterator[tuple[str, float]]:
        """Each attack at the one budget at which the statement is looked at."""
        met: dict[tuple[str, str, str], list[float]] = {}
        for match in matches:
            place = (match.row["attack"], match.attack["method"], match.row["norm"])
            met.setdefault(place, []).append(match.row["eps"])
        for (attack, method, norm), budgets in met.items():
            if method in one.learned:
                eps = next((eps for eps in budgets if _same(eps, one.learned[method])), None)
            else:
                eps = _budget(one, norm, budgets, self.cases)
            if eps is not None:
                yield attack, eps

    def _between(self, one: Stated, kind: str, *, eps: float, attack: str = "", norm: str = "") -> list[Row]:
        """The tested comparison of a classifier with its twin: one row or none."""
        assert one.base is not None
        sides = sorted([one.who, one.base])
        return [
            row
            for row in self.comparisons
            if row["kind"] == kind
            and row["dataset"] == one.dataset
            and sorted([(row["victim_a"], row["defense_a"]), (row["victim_b"], row["defense_b"])]) == sides
            and row["attack"] == attack
            and norm in ("", row["norm"])
            and _same(row["eps_a"], eps)
            and (kind != "defense" or row["setting"] == ("oblivious" if one.role == "claim" else "adaptive"))
            and row["holm_p"] is not None
        ][:1]

    def _row(self, one: Stated, row: Row, under: str) -> Row:
        assert one.base is not None
        seen = seen_from(row, one.who)
        clean = next((r for r in self._between(one, "clean", eps=math.nan) if r["significant"]), None)
        notes = [row["note"], one.note]
        if clean is not None:
            mine, other = seen_from(clean, one.who)["accuracies"]
            notes.append(
                f"without an attack, {100 * mine:.1f} % of the test images are right against {100 * other:.1f} %"
            )
        return {
            "under": under,
            "norm": row["norm"],
            "eps": math.nan if row["eps_a"] is None else row["eps_a"],
            "base": one.base[0],
            "n": seen["n"],
            "accuracy": seen["accuracies"][0],
            "base_accuracy": seen["accuracies"][1],
            "value": seen["ahead"],
            **{key: seen[key] for key in ("low", "high", "holm_p", "significant")},
            "outcome": outcome(one.expects, seen["ahead"], seen["low"], seen["high"], seen["significant"]),
            "note": "; ".join(note for note in notes if note),
        }

    def _fooled(self, one: Stated) -> Iterator[Row]:
        mine = [match for match in self._mine(one) if match.row["n_attacked"]]
        for attack, eps in self._attacks(one, mine):
            row = next(m.row for m in mine if m.row["attack"] == attack and _same(m.row["eps"], eps))
            value, low, high = (row[f"success_{key}"] for key in ("rate", "low", "high"))
            yield {
                **{"under": attack, "norm": row["norm"], "eps": eps, "n": row["n_attacked"]},
                **{"value": value, "low": low, "high": high},
                "outcome": outcome("fooled", value, low, high, significant=False),
            }

    def _stronger(self, one: Stated) -> Iterator[Row]:
        """Whether an attack turns more images than another: two attacks that are compared at one budget."""
        for strong, weak in _attack_pairs(one, self.matches, self.cases):
            names, eps = {strong.row["attack"], weak.row["attack"]}, strong.row["eps"]
            for row in self.comparisons:
                if (row["kind"], *_of(row)) != ("attack", one.dataset, *one.who) or row["holm_p"] is None:
                    continue
                if {row["attack_a"], row["attack_b"]} == names and _same(row["eps_a"], eps):
                    seen = seen_from(row, (*one.who, weak.row["attack"]))
                    yield {
                        **{"under": strong.row["attack"], "norm": row["norm"], "eps": eps, "n": seen["n"]},
                        **{"base": weak.row["attack"], "note": row["note"], "value": seen["ahead"]},
                        **{"accuracy": seen["accuracies"][1], "base_accuracy": seen["accuracies"][0]},
                        **{key: seen[key] for key in ("low", "high", "holm_p", "significant")},
                        "outcome": outcome("stronger", seen["ahead"], seen["low"], seen["high"], seen["significant"]),
                    }

    def _needed(self, one: Stated) -> Iterator[Row]:
        """Whether an attack needs larger changes on a victim than on its twin: the comparison of their sizes."""
        if one.base is None:
            return
        sides = sorted([one.who[0], one.base[0]])
        for attack in dict.fromkeys(match.row["attack"] for match in self._mine(one)):
            for row in self.comparisons:
                if (row["kind"], row["dataset"], row["attack"]) != ("needed", one.dataset, attack):
                    continue
                if sorted([row["victim_a"], row["victim_b"]]) != sides or row["holm_p"] is None:
                    continue
                turn = 1 if row["victim_a"] == one.who[0] else -1
                ends = [math.nan if row[end] is None else turn * row[end] for end in ("low", "high")]
                value, (low, high) = turn * row["median_difference"], sorted(ends)
                yield {
                    **{"under": attack, "norm": row["norm"], "eps": math.nan, "base": one.base[0], "n": row["n_a"]},
                    **{"value": value, "low": low, "high": high, "note": row["note"]},
                    **{key: row[key] for key in ("holm_p", "significant")},
                    "outcome": outcome(one.expects, value, low, high, row["significant"]),
                }

    def reason(self, one: Stated) -> str:
        """Why nothing here measures a statement."""
        if one.base is None and one.expects in ("gain", "no_gain", *OF_SIZE):
            return one.note
        if one.expects in OF_SIZE:
            if not self._mine(one):
                return f"this run does not attack it with {' or '.join(one.under)}"
            return f"{one.base[0] if one.base else 'its twin'} and it did not lose an image to the same attack"
        if one.learned and one.base is not None and self._met_by_both(one):
            return "it met other budgets than that at which it learned from the attack"
        if _met(one, self.cases) or (one.base is not None and self._met_by_both(one)):
            return "it met only larger budgets than it was trained for, or another norm"
        words = " or ".join(one.under)
        if one.under == [FOOLING]:
            return "no fooling images were made for it"
        if one.under == [REPLAYED]:
            return "no image of a third victim was replayed on both"
        if one.under == [ALL_ATTACKS]:
            reasons = [
                case.row["reason"]
                for who in (one.who, one.base)
                for case in self.cases
                if who is not None and _of(case.row) == (one.dataset, *who) and case.row["reason"]
            ]
            return reasons[0] if reasons else "no two attacks of one norm and budget were aimed at both"
        if not self._mine(one):
            return f"this run does not attack it with {words}"
        if one.expects == "fooled":
            return "there was no image to attack"
        if one.expects == "stronger":
            return f"{words} and {one.than} were not run on it at one budget"
        return f"{one.base[0] if one.base else 'its twin'} did not meet the same attack at the same budget"


def outcome(expects: str, value: float, low: float, high: float, significant: bool) -> Outcome:
    """What the numbers of one row say of a statement.

    Parameters
    ----------
    expects : str
        A key of EXPECTED.
    value, low, high : float
        The share of images that fool it ("fooled", "resists"), or how many more images are kept (or turned:
        "stronger"), as fractions; or by how much longer changes it needs ("larger", "smaller"); with the interval.
    significant : bool
        Whether the paired test shows a difference.
    """
    if expects in OF_SIZE:
        wanted = low > 0 if expects == "larger" else high < 0
        opposite = high < 0 if expects == "larger" else low > 0
        return "reproduced" if significant and wanted else "not reproduced" if significant and opposite else "not shown"
    # As they are printed: no verdict says "below 5" of a 5.0.
    value, low, high = (round(number, 3) for number in (value, low, high))
    if expects == "resists":
        return "reproduced" if value <= RESISTED else "not reproduced" if low > RESISTED else "not shown"
    if expects == "fooled":
        return "reproduced" if value >= BROKEN else "not reproduced" if high < BROKEN else "not shown"
    shown, none = significant and value > 0, high < MARGIN
    if expects == "no_gain":
        return "reproduced" if none else "not reproduced" if shown else "not shown"
    return "reproduced" if shown else "not reproduced" if none or significant else "not shown"


def together(role: str, outcomes: Sequence[str]) -> Outcome:
    """What the rows of one role say of a classifier together: one break is enough, all else may hold in part."""
    measured = [one for one in outcomes if one != "not measured"]
    if not measured:
        return "not measured"
    if "reproduced" in measured:
        return "reproduced" if role == "break" or {*measured} == {"reproduced"} else "reproduced in part"
    return "not shown" if "not shown" in measured else "not reproduced"


def expected(row: Row) -> str:
    """What the literature says of a classifier, or a control, in words without "it"; of a row of claims.csv."""
    under = row["under"]
    return {
        "gain": f"gains under {under}",
        "no gain": f"gains nothing under {under}",
        "fooled": f"falls to {under}",
        "resists": f"resists {under}",
        "stronger": f"falls to {under} more than to {row['than']}",
        "larger": f"needs larger changes under {under}",
        "smaller": f"needs smaller changes under {under}",
    }[row["expects"]]


def found(row: Row) -> str:
    """What this run measured, in words; of a row of claims.csv."""
    under = row["under"] + ("" if missing(row["eps"]) else f" (ε {epsilon(row['eps'])})")
    if row["outcome"] == "not measured":
        return f"{under} not measured, since {row['note']}"
    if row["expects"] in ("fooled", "resists"):
        return f"{under} fools {percent(row['value'])} % [{between(row['low'], row['high'])}] of {row['n']} images"
    p = probability(row["holm_p"])
    about = f"({row['n']} images, Holm's p {p if p.startswith('<') else f'= {p}'})"
    if row["expects"] in OF_SIZE:
        turn, word = (1, "more") if row["value"] >= 0 else (-1, "less")
        low, high = (None, None) if missing(row["low"]) else sorted(turn * row[end] for end in ("low", "high"))
        ends = "" if low is None else f" [{number(low)} to {number(high)}]"
        much = f"{number(turn * row['value'])}{ends} {word}"
        return f"by {under} it needs {much} L2 than {row['base']}, in the median {about}"
    text = f"{points(row['value'])} points [{between_points(row['low'], row['high'])}]"
    if row["expects"] == "stronger":
        return f"{under} turns {text} more than {row['base']} {about}"
    return f"under {under} it keeps {text} over {'no defense' if row['defense'] != 'none' else row['base']} {about}"


def _same(one: float | None, other: float | None) -> bool:
    none = [value is None or math.isnan(value) for value in (one, other)]
    return all(none) if any(none) else one == other
