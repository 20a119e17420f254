"""Sentences follow from the rows beside them, at the corners too: each is made of rows that were written here."""

from __future__ import annotations

from typing import Any

import pytest

from rivalry.formatting import shortened
from rivalry.report import findings
from rivalry.statistics.rates import wilson_interval

Row = dict[str, Any]


def rate(name: str, hits: int, n: int, low: str = "low", high: str = "high") -> Row:
    """A rate with its interval; None where nothing was counted, as JSON has it."""
    ends = wilson_interval(hits, n) if n else (None, None)
    return {name: hits / n if n else None, low: ends[0], high: ends[1]}


def screened(poisoned: int, n: int, clean: int, m: int, name: str = "outliers") -> Row:
    found = rate("found", poisoned, n, "found_low", "found_high")
    alarms = rate("false_alarms", clean, m, "false_alarms_low", "false_alarms_high")
    return {"victim": "backdoored", "filter": name, "poisoning": "corner", "n_poisoned": n} | found | alarms


@pytest.mark.parametrize(
    ("rows", "verdict"),
    [
        ([screened(100, 100, 0, 900)], "noticed"),
        ([screened(0, 100, 45, 900)], "not noticed"),
        ([screened(5, 100, 45, 900)], "not noticed"),  # as many of the one as of the other
        ([screened(12, 100, 63, 900)], "not noticed"),  # intervals overlap
        ([screened(5, 100, 45, 900), screened(90, 100, 45, 900, "signatures")], "noticed"),
        ([screened(100, 100, 900, 900)], "not noticed"),  # everything is suspected
        ([screened(0, 0, 45, 900)], None),  # nothing was poisoned
    ],
)
def test_poison_is_noticed_where_more_of_it_is_found_than_of_clean_images(rows: list[Row], verdict: str | None) -> None:
    found = list(findings._noticed({"screening_rates": rows}))
    assert [one.verdict for one in found] == ([verdict] if verdict else [])
    for one in found:
        assert f"Of the {rows[0]['n_poisoned']} images" in one.text
        assert all(f"{row['filter']} {100 * row['found']:.1f} %" in one.text for row in rows)
        assert ("No filter is shown" in one.text) == (verdict == "not noticed")


@pytest.mark.parametrize(
    ("hits", "others", "n", "verdict"),
    [
        (100, 0, 100, "works"),
        (30, 2, 100, "works on some"),
        (0, 0, 100, "no success"),
        (0, 40, 100, "no success"),
        (1, 5, 100, "no more than by chance"),
        (30, 60, 100, "no more than by chance"),
        (1, 0, 1, "works on some"),
        (0, 0, 0, None),
    ],
)
def test_poisons_for_one_image_work_where_they_do_more_than_chance(
    hits: int, others: int, n: int, verdict: str | None
) -> None:
    about = {"victim": "plain", "targeted": "one_shot"}
    row = about | {"method": "feature_collision", "n_counted": n, "n_success": hits}
    row |= rate("success_rate", hits, n) | {"others": others / n if n else None}
    fact = about | {"poisons": 1, "parameters": {"retrain": "last_layer"}, "l2": 2.5, "target_l2": 9.75}
    found = list(findings._aimed({"plantings": [fact], "planting_rates": [row]}))
    assert [one.verdict for one in found] == ([verdict] if verdict else [])
    assert all(f"turned {100 * hits / n:.1f} %" in one.text and f"of {n} test images" in one.text for one in found)
    assert all(one.text.endswith("by an L2 of 2.50; their targets were 9.75 away.") for one in found)


def correlated(defense: str, verdict: str, rho: float | None = 0.3) -> Row:
    ends = (None, None) if verdict == "not measured" else (rho - 0.1, rho + 0.1) if rho is not None else (None, None)
    about = {"victim": "plain", "defense": defense, "over": "images", "size": "l2", "verdict": verdict, "rho": rho}
    return about | {"low": ends[0], "high": ends[1]}


@pytest.mark.parametrize(
    ("rows", "verdict", "said"),
    [
        ([correlated("jpeg", "larger ones more")], "in all", "Larger changes are caught more easily by jpeg on plain"),
        ([correlated("jpeg", "larger ones less", -0.3)], "in none", "Smaller changes are caught more easily by jpeg"),
        (
            [correlated("jpeg", "larger ones more"), correlated("pca", "not shown", 0.02)],
            "not in all",
            "no such connection is shown for pca on plain",
        ),
        (
            [correlated("jpeg", "larger ones more"), correlated("pca", "hardly related", 0.02)],
            "not in all",
            "by jpeg on plain (0.300 [0.200 to 0.400]); size hardly matters to pca on plain (0.0200",
        ),
        ([correlated("jpeg", "hardly related", 0.02)], "in none", "Size hardly matters to jpeg on plain"),
        ([correlated("jpeg", "not shown", 0.0)], "in none", "No such connection is shown for jpeg on plain"),
        ([correlated("jpeg", "not measured", None)], None, ""),
        ([], None, ""),
    ],
)
def test_larger_changes_are_said_to_be_caught_where_the_interval_says_so(
    rows: list[Row], verdict: str | None, said: str
) -> None:
    found = list(findings._sizes({"size_correlations": rows}))
    assert [one.verdict for one in found] == ([verdict] if verdict else [])
    assert all(said in one.text for one in found)


def stamped(share: float, hits: int, control: int | None, n: int = 200) -> Row:
    name = f"poisoned_{share:g}" if share else "plain"
    about = {"victim": name, "attack": "trigger", "class": "", "poisoning": name if share else "", "n": n}
    about |= {"trigger_of": "poisoned_0.1", "share_of_all": share, "share_of_target": None}
    clean = {"control": "", "control_rate": None, "control_low": None, "control_high": None}
    if control is not None and share:
        clean = {"control": "plain"} | rate("control_rate", control, n, "control_low", "control_high")
    return about | rate("success_rate", hits, n) | clean


@pytest.mark.parametrize(
    ("hits", "control", "verdict", "smallest"),
    [
        ((0, 100, 200), 2, "works", "1.0"),
        ((200, 200, 200), 2, "works", "0.1"),
        ((0, 0, 30), 0, "works on some", "10.0"),
        ((0, 30, 200), 0, "works", "1.0"),
        ((0, 0, 0), 0, "no effect shown", None),
        ((2, 3, 4), 3, "no effect shown", None),
        ((200, 200, 200), 200, "no effect shown", None),  # a control of one class
        ((200, 200, 200), None, "no control", None),
    ],
)
def test_the_share_that_a_trigger_needs_is_the_first_beyond_its_control(
    hits: tuple[int, ...], control: int | None, verdict: str, smallest: str | None
) -> None:
    rows = [stamped(share, count, control) for share, count in zip((0.001, 0.01, 0.1), hits, strict=True)]
    shares = {row["poisoning"]: row["share_of_all"] for row in rows}
    part = {
        "triggers": rows,
        "victims": [{"victim": row["victim"], "poisoning": row["poisoning"]} for row in rows],
        "poisonings": [
            {"poisoning": name, "method": "backdoor", "share_of_all": share, "parameters": {"fraction": share}}
            for name, share in shares.items()
        ],
    }
    (one,) = findings._needed(part)
    assert one.verdict == verdict
    assert ("The smallest share" in one.text) == (smallest is not None)
    assert smallest is None or one.text.endswith(f"does more than there is {smallest} %.")
    assert (one.tone == "open") == (control is None)


@pytest.mark.parametrize(
    ("hits", "verdict"), [((0, 0), "not fooled"), ((10, 0), "fooled"), ((3, 0), "partly fooled"), ((10, 10), "fooled")]
)
def test_a_victim_is_fooled_where_a_method_reaches_all_classes(hits: tuple[int, int], verdict: str) -> None:
    facts = [
        {
            "dataset": "digits",
            "victim": "plain",
            "fooling": name,
            "n": 10,
            "n_success": count,
            "success_rate": count / 10,
        }
        | {"asked_confidence": 0.99}
        for name, count in zip(("ascent", "patterns"), hits, strict=True)
    ]
    (one,) = findings._fooled({"fooling": facts, "checks": []})
    assert one.verdict == verdict
    assert all(f"{fact['n_success']} of 10 classes in those that {fact['fooling']} made" in one.text for fact in facts)


def attacked(strongest: str, left: float, eps: float | None = 0.3, **own: Any) -> Row:
    about = {"victim": "plain", "defense": "none", "reason": "", "headline": True, "marks": [], "norm": "inf"}
    sizes = {"n": 100, "n_right": 98, "median_distance": None, "attacks": ["fgsm", "pgd"]}
    return about | sizes | {"eps": eps, "strongest": strongest, "strongest_accuracy": left, "accuracy": left} | own


@pytest.mark.parametrize(
    ("case", "verdict", "said"),
    [
        (attacked("pgd", 0.0), "pgd", "pgd leaves least: 0.0 % of 100 images; all together leave 0.0 %."),
        (attacked("", 0.98), "measured by size", "fools it on any image."),
        (attacked("pgd", 0.1, attacks=["pgd"]), "pgd", "Of 1 attack at"),
        (attacked("", None, None, median_distance=1.25), "measured by size", "has a median of 1.25 over 98 images."),
        (attacked("", None, None), None, ""),  # no size either
        (attacked("", None, reason="no attack"), None, ""),
    ],
)
def test_the_strongest_attack_is_named_only_where_one_fools(case: Row, verdict: str | None, said: str) -> None:
    part = {"attacks": [{"victim": "plain"}], "worst_cases": [case]}
    found = list(findings._strongest(part))
    assert [one.verdict for one in found] == ([verdict] if verdict else [])
    assert all(said in one.text for one in found)


def compared(significant: bool, a: int = 0, b: int = 0, kind: str = "attack", fair: bool = True) -> Row:
    names = {"a": "fgsm", "b": "pgd", "victim": "plain", "kind": kind, "like_for_like": fair}
    return names | {"significant": significant, "discordant_a": a, "discordant_b": b}


@pytest.mark.parametrize(
    ("rows", "said"),
    [
        ([compared(True)], None),
        ([compared(False, fair=False)], None),
        ([], None),
        ([compared(False), compared(True)], "1 of 2 like-for-like comparisons cannot tell the two sides apart (1 of"),
        ([compared(False, 3, 2)], "1 of 1 like-for-like comparison cannot tell the two sides apart (0 of"),
        ([compared(False, kind="budget")], "(0 of them agree on every image)."),
    ],
)
def test_comparisons_that_tell_nothing_apart_are_counted(rows: list[Row], said: str | None) -> None:
    found = list(findings._ties({"comparisons": rows}))
    assert len(found) == (said is not None)
    assert all(said in one.text for one in found if said)


@pytest.mark.parametrize(
    ("accuracies", "said"),
    [
        ({"plain": 0.99}, "is 99.0 % (plain)."),
        ({"plain": 0.99, "robust": 0.95}, "is from 95.0 % (robust) to 99.0 % (plain)."),
        ({"plain": 0.99, "robust": 0.99}, "is 99.0 % of each of the 2 victims."),
    ],
)
def test_clean_accuracies_are_those_of_the_best_and_worst(accuracies: dict[str, float], said: str) -> None:
    about = {"dataset": "digits", "n_test": 10_000}
    victims = [about | {"victim": name, "clean_accuracy": value} for name, value in accuracies.items()]
    (one,) = findings._clean({"victims": victims, "checks": []})
    assert one.text.endswith(said)
    assert "all 10,000 test images" in one.text


def test_defenses_that_nobody_attacked_knowingly_are_named_together() -> None:
    about = {"dataset": "digits", "victim": "plain", "kind": "detector", "parameters": {}}
    names = {"a": "none was run", "b": "none was run", "c": "only cw was run", "d": ""}
    cases = [about | {"defense": name, "reason": reason} for name, reason in names.items()]
    part = {"defenses": [about | {"defense": name} for name in names], "rankings": [], "worst_cases": cases}
    said = [(finding.topic, finding.verdict, finding.text) for finding in findings._defended(part)]
    assert said == [
        (
            "2 defenses on plain",
            "not measured",
            "No robustness is claimed for plain behind a and b (none was run).",
        ),
        ("c on plain", "not measured", "No robustness is claimed for plain behind c (only cw was run)."),
        ("d on plain", "not measured", "No robustness is claimed for plain behind d."),
    ]


@pytest.mark.parametrize(
    ("count", "said"),
    [(0, "none"), (1, "a"), (2, "a and b"), (6, "a, b, c, d, e and f"), (7, "a, b, c, d and 3 more")],
)
def test_long_lists_are_cut_and_counted(count: int, said: str) -> None:
    assert shortened(list("abcdefghij")[:count]) == said
