"""Each sentence of the first screen follows from the tables beside it, in every corner."""

from __future__ import annotations

from typing import Any

import pytest

from rivalry.report import findings
from rivalry.report.summary import checked, leader, paired, rankings, summarise
from rivalry.statistics.rates import wilson_interval

PLACE: dict[str, Any] = {"dataset": "digits", "norm": "inf", "eps": 0.2}


def case(victim: str, accuracy: float | None, defense: str = "none", **other: Any) -> dict[str, Any]:
    """A headline row at L∞ ε 0.2; `accuracy` None says that it was not measured."""
    row = {
        **PLACE,
        "headline": True,
        "victim": victim,
        "defense": defense,
        "n": 200,
        "clean_accuracy": 0.97,
        "accuracy": accuracy,
        "seeds": 1,
        "low": None if accuracy is None else max(0.0, accuracy - 0.05),
        "high": None if accuracy is None else min(1.0, accuracy + 0.05),
        "strongest": "apgd_ce",
        "strongest_accuracy": accuracy,
        "oblivious_accuracy": None,
        "median_distance": None,
        "n_right": 120,
        "attacks": ["apgd_ce", "square"],
        "marks": [],
        "reason": "" if accuracy is not None else "square alone was run",
    }
    return row | other


def against(a: dict[str, Any], b: dict[str, Any], difference: float, p: float | None, **other: Any) -> dict[str, Any]:
    """The comparison of two rows: `difference` is error of a minus error of b."""
    row = {
        "dataset": a["dataset"],
        "kind": "worst case",
        "norm": a["norm"],
        "victim_a": a["victim"],
        "defense_a": a["defense"],
        "attack_a": "",
        "victim_b": b["victim"],
        "defense_b": b["defense"],
        "eps_a": a["eps"],
        "eps_b": b["eps"],
        "n_a": 200,
        "error_a": 1 - (a["accuracy"] or 0),
        "error_b": 1 - (b["accuracy"] or 0),
        "difference": difference,
        "paired_low": difference - 0.04,
        "paired_high": difference + 0.04,
        "holm_p": p,
        "significant": p is not None and p < 0.05,
        "like_for_like": p is not None,
        "note": "" if p is not None else "different attacks",
    }
    return row | other


def ranked(
    *rows: dict[str, Any], comparisons: tuple[dict[str, Any], ...] = ()
) -> tuple[dict[str, Any], dict[str, Any]]:
    """A report of these rows, and its one ranking."""
    report: dict[str, Any] = {"worst_cases": list(rows), "comparisons": list(comparisons)}
    report["rankings"] = rankings(report)
    (place,) = report["rankings"]
    return report, place


def test_a_leader_needs_a_test() -> None:
    first, second = case("robust", 0.62), case("plain", 0.31)
    said = leader(*ranked(second, first, comparisons=(against(first, second, -0.31, 0.0001),)))
    assert said == (
        "digits, L∞ ε 0.2, robust keeps 62.0 % [57.0–67.0] of 200 images (clean 97.0 %), "
        "+31.0 points [+27.0 to +35.0] more than plain, the next (Holm's p < 0.001)"
    )


def test_a_test_on_fewer_attacks_or_images_says_so() -> None:
    first, second = case("robust", 0.62), case("plain", 0.31)
    row = against(first, second, -0.3, 0.0001) | {"error_a": 0.38, "error_b": 0.68, "n_a": 150}
    said = leader(*ranked(first, second, comparisons=(row,)))
    assert "on the 150 images and under the attacks that both met 62.0 % against 32.0 %, +30.0 points" in said


def test_which_side_is_called_a_changes_nothing() -> None:
    first, second = case("robust", 0.62), case("plain", 0.31)
    one = leader(*ranked(first, second, comparisons=(against(first, second, -0.31, 0.0001),)))
    other = leader(*ranked(first, second, comparisons=(against(second, first, 0.31, 0.0001),)))
    assert one == other


@pytest.mark.parametrize("p", [0.05, 0.4, 1.0])
def test_no_leader_without_significance(p: float) -> None:
    first, second = case("robust", 0.33), case("plain", 0.31)
    said = leader(*ranked(first, second, comparisons=(against(first, second, -0.02, p),)))
    assert "the two cannot be told apart" in said
    assert "more than" not in said


def test_equal_rates_have_no_leader() -> None:
    first, second = case("robust", 0.31), case("plain", 0.31)
    said = leader(*ranked(first, second, comparisons=(against(first, second, 0.0, 1.0),)))
    assert "cannot be told apart (0.0 points" in said


@pytest.mark.parametrize("comparisons", [(), (against(case("robust", 0.6), case("plain", 0.3), -0.3, None),)])
def test_what_was_not_tested_is_not_ranked_in_words(comparisons: tuple[dict[str, Any], ...]) -> None:
    said = leader(*ranked(case("robust", 0.6), case("plain", 0.3), comparisons=comparisons))
    assert "were not tested against each other" in said
    assert "points" not in said


def test_another_norm_or_budget_is_not_borrowed() -> None:
    first, second = case("robust", 0.62), case("plain", 0.31)
    report, place = ranked(first, second)
    for other in ({"norm": "2"}, {"eps_a": 0.1, "eps_b": 0.1}, {"dataset": "shapes"}, {"kind": "victim"}):
        report["comparisons"] = [against(first, second, -0.31, 0.0001, **other)]
        assert paired(report, place, first, second) is None


def test_nothing_to_withstand() -> None:
    rows = [case(name, 0.97, strongest="") for name in ("robust", "plain")]
    said = leader(*ranked(*rows, comparisons=(against(*rows, 0.0, 1.0),)))
    assert "nothing to withstand" in said
    assert "keeps" not in said


def test_nobody_keeps_anything() -> None:
    rows = [case(name, 0.0) for name in ("robust", "plain")]
    assert "none of 2 classifiers keeps any" in leader(*ranked(*rows, comparisons=(against(*rows, 0.0, 1.0),)))


def test_one_classifier_alone_leads_nobody() -> None:
    said = leader(*ranked(case("plain", 0.3), case("tree", None)))
    assert "only plain was measured; it keeps 30.0 %" in said
    assert leader(*ranked(case("plain", 0.0))).endswith("only plain was measured; it keeps none of its 200 images")
    said = leader(*ranked(case("plain", 0.0, eps=None, median_distance=1.25)))
    assert said.endswith(
        "the smallest change that turns an image has a median of 1.25 over the 120 images that it had right"
    )
    assert "needs" not in said


def test_without_a_budget_sizes_rank() -> None:
    rows = [case(name, 0.0, eps=None, median_distance=size) for name, size in (("a", 0.5), ("b", 1.25))]
    assert "b needs the largest change, median 1.25 over the 120 images that all had right" in leader(*ranked(*rows))
    strangers = [row | {"n_right": 0, "median_distance": None} for row in rows]
    assert "no image that all of these classifiers had right" in leader(*ranked(*strangers))
    held = case("c", 0.6, eps=None)
    assert "fewer than half of the images of c fell" in leader(*ranked(*rows, held))


def whole(*rows: dict[str, Any], comparisons: tuple[dict[str, Any], ...] = (), **other: Any) -> dict[str, str]:
    """The five sentences by topic."""
    report = {
        "datasets": [{"dataset": "digits"}],
        "victims": [{"victim": name, "architecture": "lenet5", "seeds": 1} for name in ("plain", "robust")],
        "trainings": {"scores": [], "attacks": []},
        "attacks": [
            {"dataset": "digits", "victim": "plain", "attack": name, "n": 200} for name in ("apgd_ce", "square")
        ],
        "defenses": [],
        "scores": [],
        "run_times": [],
        "check_summary": [],
        "seed": 0,
    }
    defended = dict.fromkeys((row["victim"], row["defense"]) for row in rows if row["defense"] != "none")
    report["defenses"] = [
        {"dataset": "digits", "victim": victim, "defense": defense, "kind": "preprocessor", "parameters": {}}
        for victim, defense in defended
    ]
    report |= {"worst_cases": list(rows), "comparisons": list(comparisons)} | other
    report["rankings"] = rankings(report)
    return {item["topic"]: item["text"] for item in summarise(report)}


def test_a_defense_survives_only_by_a_test_against_none() -> None:
    bare, better, same = case("plain", 0.2), case("plain", 0.5, "median"), case("plain", 0.21, "mean")
    untested, unknown = case("plain", 0.9, "loud"), case("plain", None, "new")
    said = whole(
        *(bare, better, same, untested, unknown),
        comparisons=(against(better, bare, -0.3, 0.0001), against(same, bare, -0.01, 0.9)),
    )["Defenses"]
    assert said.startswith(
        "Against attackers who know the defense, 1 of 2 defended victims is shown to keep more images than"
    )
    assert "median on plain (digits, L∞ ε 0.2), +30.0 points [+26.0 to +34.0]" in said
    assert "mean on plain" not in said
    assert said.endswith("Not measured: loud and new on plain (digits, L∞ ε 0.2).")


def test_of_many_defenses_without_a_measure_the_first_are_named_and_all_are_counted() -> None:
    unknown = [case("plain", None, f"d{number}") for number in range(9)]
    bare, same = case("plain", 0.2), case("plain", 0.21, "mean")
    said = whole(bare, same, *unknown, comparisons=(against(same, bare, -0.01, 0.9),))["Defenses"]
    assert said.endswith("Not measured: d0, d1, d2, d3 and 5 more on plain (digits, L∞ ε 0.2).")


def test_doubts_about_a_defense_and_its_twin_stand_beside_the_gain() -> None:
    bare, better = case("plain", 0.5), case("plain", 0.8, "median")
    weaker = {"status": "warn", "check": "b", "found": ""}
    wrong = {"status": "fail", "check": "a", "found": ""}
    tests = (against(better, bare, -0.3, 0.0001),)
    assert "self-checks" not in whole(bare, better, comparisons=tests)["Defenses"]
    better["marks"], bare["marks"] = [weaker], [wrong, weaker]
    said = whole(bare, better, comparisons=tests)["Defenses"]
    assert said.endswith("+30.0 points [+26.0 to +34.0] (self-checks about these numbers: fail: a; warn: b).")


def test_a_defense_that_loses_images_does_not_survive() -> None:
    bare, worse = case("plain", 0.5), case("plain", 0.2, "median")
    said = whole(bare, worse, comparisons=(against(worse, bare, 0.3, 0.0001),))["Defenses"]
    assert "0 of 1 defended victim is shown to keep more images" in said


def test_what_mends_a_poisoned_victim_is_no_defense_against_changed_images() -> None:
    bare, mended, same = case("plain", 0.2), case("plain", 0.2, "cleanse"), case("plain", 0.21, "mean")
    facts = [
        {"dataset": "digits", "victim": "plain", "defense": "cleanse", "kind": "transformer"},
        {"dataset": "digits", "victim": "plain", "defense": "mean", "kind": "preprocessor", "parameters": {}},
    ]
    tests = (against(mended, bare, 0.0, 1.0), against(same, bare, -0.01, 0.9))
    said = whole(bare, mended, same, comparisons=tests, defenses=facts)["Defenses"]
    assert "0 of 1 defended victim is shown to keep more images" in said
    assert "cleanse" not in said
    only = whole(bare, mended, comparisons=tests[:1], defenses=facts[:1])["Defenses"]
    assert only == "No defense met an attacker who knows it within a budget."


def test_what_was_remarked_on_a_network_comes_before_its_numbers() -> None:
    """A mark beside a number says that there is a doubt; a reader who misses which one believes the number."""
    remarks = ["40% of 256 training images are classified right; with normalize: {mean: [0.5]} it would be 66%", "b"]
    facts = {"dataset": "digits", "architecture": None, "seeds": 1}
    brought = [{"victim": "mine", "warnings": remarks, **facts}, {"victim": "fine", "warnings": [], **facts}]
    said = whole(case("mine", 0.2), victims=[*brought, {"victim": "plain", "architecture": "lenet5", "seeds": 1}])
    assert list(said)[:2] == ["Doubtful", "Compared"]
    assert said["Doubtful"] == f"mine on digits: {remarks[0]}; b."
    found = list(findings._doubted({"victims": brought}))
    assert [(one.verdict, one.tone, one.text) for one in found] == [("doubtful", "open", f"mine: {remarks[0]}; b.")]
    assert "Doubtful" not in whole(case("plain", 0.2))


def test_no_defense_and_no_ranking_are_said() -> None:
    said = whole()
    assert said["Defenses"] == "This run has none."
    assert said["Ahead"].startswith("Nobody")
    assert said["Self-checks"] == "No self-check was made."


@pytest.mark.parametrize(
    ("kinds", "said"),
    [
        ([("a", 3, 0, 0)], "Of 1 kind of self-checks, 1 passed throughout; none failed."),
        (
            [("a", 3, 1, 0), ("b", 1, 0, 0)],
            "Of 2 kinds of self-checks, 1 passed throughout; 1 kind warned at least once (a); none failed.",
        ),
        (
            [("a", 3, 1, 2), ("b", 0, 1, 0)],
            "Of 2 kinds of self-checks, 0 passed throughout; 1 kind warned at least once (b); "
            "1 kind failed at least once (a).",
        ),
    ],
)
def test_checks_are_counted_by_kind(kinds: list[tuple[str, int, int, int]], said: str) -> None:
    rows = [
        {"check": name, "n": sum(counts), **dict(zip(("pass", "warn", "fail"), counts, strict=True))}
        for name, *counts in kinds
    ]
    assert checked({"check_summary": rows}) == said


def test_doubts_about_the_leader_stand_beside_it() -> None:
    first, second = case("robust", 0.62), case("plain", 0.31)
    first["marks"] = [{"status": "fail", "check": "gradients", "found": "all zero"}]
    said = whole(first, second, comparisons=(against(first, second, -0.31, 0.0001),))["Ahead"]
    assert "(self-checks about the first: fail: gradients)" in said
    first["marks"] = []
    assert "self-checks" not in whole(first, second, comparisons=(against(first, second, -0.31, 0.0001),))["Ahead"]


def test_effort_counts_what_was_asked_of_victims() -> None:
    scores = [
        {"setting": "undefended", "queries": 10.0, "gradients": 5.0, "n_crafted": 100},
        {"setting": "adaptive", "queries": 3.0, "gradients": None, "n_crafted": 10},
        {"setting": "oblivious", "queries": 10.0, "gradients": 5.0, "n_crafted": 100},  # made once, counted once
        {"setting": "undefended", "queries": None, "gradients": None, "n_crafted": 0},
    ]
    fitted = {
        "dataset": "digits",
        "victim": "plain",
        "attack": "universal",
        "n": 200,
        "fits": [{"queries": 7, "gradients": 3}],
    }
    more = whole(scores=scores, attacks=[fitted])["Effort"]
    assert "1,037 forward and 503 gradient passes" in more
    said = whole(scores=scores, run_times=[{"rule": "train", "jobs": 2, "seconds": 90.0, "longest": 60.0}])["Effort"]
    assert "1,030 forward and 500 gradient passes" in said
    assert "2 jobs that took 1 min 30 s in all" in said
    assert "jobs" not in whole(scores=scores)["Effort"]


@pytest.mark.parametrize(
    ("architectures", "words"),
    [
        (["lenet5", "lenet5"], "2 victims trained once each, "),
        (["lenet5", None], "1 victim trained once and 1 victim from outside, "),
        ([None], "1 victim from outside, "),
    ],
)
def test_what_was_brought_was_not_trained(architectures: list[str | None], words: str) -> None:
    victims = [{"victim": str(number), "architecture": one, "seeds": 1} for number, one in enumerate(architectures)]
    assert whole(victims=victims)["Effort"].startswith(words)


def test_effort_counts_every_training() -> None:
    victims = [{"victim": str(seeds), "architecture": "lenet5", "seeds": seeds} for seeds in (1, 3, 3)]
    score = {"setting": "undefended", "queries": 10.0, "gradients": 5.0, "n_crafted": 100}
    fitted = {"fits": [{"queries": 7, "gradients": 3}]}
    said = whole(victims=victims, scores=[score], trainings={"scores": [score] * 3, "attacks": [fitted]})["Effort"]
    assert said.startswith("2 victims trained 3 times each and 1 victim trained once, ")
    assert "3,007 forward and 1,503 gradient passes" in said


def test_a_leader_of_several_trainings_is_told_with_their_spread() -> None:
    first, second = case("a", 0.5, seeds=3, accuracy_seeds=[0.4, 0.6, 0.5]), case("b", 0.3)
    said = leader(*ranked(first, second, comparisons=(against(first, second, -0.2, 0.001),)))
    assert "of 200 images (clean 97.0 %), the mean of 3 trainings (40.0–60.0 %), +20.0 points" in said


def after_a_repair(before: int, after: int, control: int | None, target: int | str = 0) -> list[findings.Finding]:
    """What is said where a trigger turns so many of 50 images before and after a repair, and of a control."""

    def row(victim: str, turned: int, **own: Any) -> dict[str, Any]:
        low, high = wilson_interval(turned, 50)
        rates = {"success_rate": turned / 50, "success_low": low, "success_high": high}
        about = {"dataset": "digits", "victim": victim, "attack": "trigger", "defense": "none", "eps": None}
        return about | {"setting": "undefended", "n_attacked": 50, "clean_accuracy": 0.9} | rates | own

    scores = [row("poisoned", before), row("poisoned", after, defense="repair", setting="oblivious")]
    if control is not None:
        scores.append(row("plain", control))
    part = {
        "attacks": [{"attack": "trigger", "parameters": {"poisoning": "corner"}}],
        "victims": [{"victim": "poisoned", "poisoning": "corner"}, {"victim": "plain", "poisoning": None}],
        "defenses": [{"victim": "poisoned", "defense": "repair", "innocent_flagged": []}],
        "poisonings": [{"poisoning": "corner", "target": target}],
        "scores": scores,
        "comparisons": [],
        "checks": [],
    }
    return list(findings._backdoors(part))


@pytest.mark.parametrize(
    ("before", "after", "control", "verdicts"),
    [
        (50, 0, 1, ("backdoored", "trigger gone")),
        (30, 29, 0, ("weakly backdoored", "trigger still works")),  # perhaps less than half
        (10, 0, 0, ("weakly backdoored", "trigger gone")),
        (50, 20, 1, ("backdoored", "trigger weaker")),
        (50, 50, 1, ("backdoored", "trigger still works")),
        (0, 0, 0, ("no effect shown", "no working trigger shown")),
        (2, 2, 3, ("no effect shown", "no working trigger shown")),
        (50, 50, None, ("no control", "no difference shown")),
    ],
)
def test_a_trigger_that_never_worked_does_not_work_after_a_repair(
    before: int, after: int, control: int | None, verdicts: tuple[str, str]
) -> None:
    found = {one.topic: one.verdict for one in after_a_repair(before, after, control)}
    assert (found["Backdoor in poisoned"], found["repair on poisoned"]) == verdicts


def test_where_a_trigger_sends_images_is_said() -> None:
    said = [after_a_repair(50, 0, 1, target)[0].text for target in (0, "next")]
    assert "turns 100.0 % [92.9–100.0] of 50 images of other classes into its target class; on victims" in said[0]
    assert "turns 100.0 % [92.9–100.0] of 50 images into the class after their own; on victims" in said[1]


def test_a_certificate_is_judged_within_its_radius_and_not_beyond() -> None:
    """At the budget that most met, it keeps nothing more; at that of its claim, it does."""
    small = {"eps": 0.1, "headline": False}
    bare, smoothed = case("plain", 0.2), case("plain", 0.21, "smoothed")
    near, held = case("plain", 0.4, **small), case("plain", 0.8, "smoothed", **small)
    tests = (against(smoothed, bare, -0.01, 0.9), against(held, near, -0.4, 0.0001, eps_a=0.1, eps_b=0.1))
    fact = {"dataset": "digits", "victim": "plain", "defense": "smoothed", "kind": "preprocessor"}
    claim = {**fact, "role": "claim", "norm": "inf", "eps": 0.1}
    certificate = {"sigma": 0.25, "alpha": 0.001, "samples": 1000}
    for parameters, said, place in ((certificate, "1 of 1", "ε 0.1"), ({"sigma": 0.25}, "0 of 1", "")):
        facts = {"defenses": [fact | {"parameters": parameters}], "claims": [claim]}
        text = whole(bare, smoothed, near, held, comparisons=tests, **facts)["Defenses"]
        assert f"{said} defended victim is shown to keep more images" in text
        assert place in text


def test_a_defense_is_counted_once_however_many_norms_it_met() -> None:
    rows = [case("plain", 0.2), case("plain", 0.21, "mean")]
    more = [case("plain", 0.2, norm="2"), case("plain", 0.21, "mean", norm="2")]
    tests = [against(b, a, -0.01, 0.9, norm=a["norm"]) for a, b in (rows, more)]
    said = whole(*rows, *more, comparisons=tuple(tests))["Defenses"]
    assert "0 of 1 defended victim is shown" in said


def test_as_many_attacks_are_said_to_have_met_victims_as_met_one_of_them() -> None:
    attacks = [
        {"dataset": "digits", "victim": victim, "attack": name, "n": 200}
        for victim, names in {"plain": ("a", "b"), "robust": ("c",)}.items()
        for name in names
    ]
    rows = case("plain", 0.2), case("robust", 0.5)
    assert whole(*rows, attacks=attacks)["Compared"].startswith("Up to 2 attacks met each of 2 victims")
    assert whole(*rows, attacks=attacks[:2])["Compared"].startswith("2 attacks met 1 victim on 200")
