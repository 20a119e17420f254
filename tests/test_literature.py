"""What the literature says of methods, beside made-up results whose every number is known.

A game has victims that have all images right unless told otherwise, and attacks that turn the images they are told to.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pandas as pd
import pytest

from rivalry import registry
from rivalry.artifacts import write_json, write_table
from rivalry.checks.literature import literature as check_literature
from rivalry.formatting import between_points
from rivalry.layout import Layout
from rivalry.references import our_references
from rivalry.report.findings import _published
from rivalry.report.tables.literature import claims as claims_table
from rivalry.stages.tabulate import tabulate
from rivalry.statistics import paired_interval, wilson_interval
from rivalry.statistics.columns import CLAIMS, COMPARISONS
from rivalry.statistics.literature import EXPECTED, LEARNED, ROLES, WORDS, _Table, outcome, stated, statements, together
from rivalry.statistics.tables import records

N = 400
ONE_STEP = {"method": "adversarial_training", "parameters": {"attack": "fgsm", "eps": 0.2}}
MADRY = {"method": "adversarial_training", "parameters": {"attack": "pgd", "eps": 0.2}}
ENSEMBLE = {
    "method": "ensemble_adversarial_training",
    "parameters": {"eps": 0.2, "sources": ["results/victims/toy/static"]},
}
PCL = {"method": "pcl"}


class Game:
    """The files of a run that tables are made of."""

    def __init__(self, results: Path, n: int = N) -> None:
        self.results, self.layout, self.n = results, Layout(results), n
        names = ("datasets", "victims", "attacks", "evaluations", "transfers", "fooling")
        self.plan: dict[str, Any] = {name: [] for name in names}
        self.replayed: dict[str, list[pd.DataFrame]] = {}
        write_json(self.layout.data("toy").facts, {"dataset": "toy", "source": "digits", "classes": 10})

    def victim(self, name: str = "plain", wrong: int = 0, **facts: Any) -> None:
        self.plan["victims"].append(["toy", name])
        place = self.layout.victim("toy", name)
        own = {"method": "plain", "architecture": "lenet5", "poisoning": None, "parameters": {}, "fitting": {}}
        write_json(place.facts, own | facts)
        predictions = np.where(np.arange(self.n) < wrong, 1, 0)
        write_table(place["predictions"], self._rows(label=0, prediction=predictions, confidence=0.9))

    def _rows(self, **columns: Any) -> pd.DataFrame:
        return pd.DataFrame({"index": np.arange(self.n)} | columns)

    def _scores(
        self, turned: Iterable[int] | int, eps: float, size: float | np.ndarray, attacked: bool = True
    ) -> pd.DataFrame:
        hit = np.isin(np.arange(self.n), list(range(turned) if isinstance(turned, int) else turned)) & attacked
        sizes = dict.fromkeys(("l0", "l2", "linf", "l2_channels", "linf_channels", "relative_l2"), size)
        counts = dict.fromkeys(("iterations", "queries", "gradients"), 1)
        return self._rows(
            label=0, target=-1, eps=eps, clean_prediction=0, clean_correct=True, attacked=attacked,
            prediction=np.where(hit, 1, 0), success=hit, confidence=0.9, finite=True, zero_gradient=False, seconds=1.0,
            **sizes, **counts,
        )  # fmt: skip

    def attack(
        self,
        victim: str,
        method: str,
        turned: Iterable[int] | int,
        eps: float | tuple[float, ...] = 0.2,
        *,
        rows: slice = slice(None),
        attacked: bool = True,
        size: float | np.ndarray = 1.0,
        **facts: Any,
    ) -> None:
        budgets = eps if isinstance(eps, tuple) else (eps,)
        minimal = math.isnan(budgets[0])
        self.plan["attacks"].append(["toy", victim, method])
        place = self.layout.attack("toy", victim, method)
        own = {"dataset": "toy", "victim": victim, "defense": "none", "attack": method, "method": method}
        own |= {"parameters": {}, "goal": "untargeted", "target": None, "sees": "gradients"}
        own |= {"norm": "2" if minimal else "inf", "budget": "minimal" if minimal else "fixed"}
        write_json(place.facts, own | facts)
        tables = [self._scores(turned, at, size if minimal else at, attacked)[rows] for at in budgets]
        write_table(place["scores"], pd.concat(tables))

    def replay(self, source: str, method: str, turned: dict[str, int], eps: float = 0.2) -> None:
        """Images of an attack on `source`, and how many of them turn each victim."""
        self.attack(source, method, self.n, eps)
        self.plan["transfers"].append(["toy", source])
        shown = [
            self._scores(k, eps, eps).assign(victim=name, attack=method, success_source=True)
            for name, k in {source: self.n, **turned}.items()
        ]
        sizes = ["l0", "l2", "linf", "l2_channels", "linf_channels", "relative_l2"]
        table = pd.concat(shown).drop(columns=sizes)
        write_table(self.layout.transfer("toy", source)["scores"], table)

    def ensemble(self, victim: str, turned: int, eps: float = 0.2) -> None:
        """Two methods, aimed at it."""
        for method in ("pgd", "square"):
            self.attack(victim, method, turned, eps)

    def claims(self) -> list[dict[str, Any]]:
        tabulate(self.results, self.results / "tables", plan=self.plan, confidence=0.95, seed=1)
        return records(CLAIMS.read(self.results / "tables/claims.csv"))

    def of(self, victim: str) -> list[dict[str, Any]]:
        return [row for row in self.claims() if row["victim"] == victim]

    def comparisons(self) -> list[dict[str, Any]]:
        return records(COMPARISONS.read(self.results / "tables/comparisons.csv"))

    def checks(self) -> list[dict[str, Any]]:
        return list(check_literature(SimpleNamespace(layout=self.layout, dataset="toy")))  # type: ignore[arg-type]


@pytest.fixture
def game(tmp_path: Path) -> Game:
    game = Game(tmp_path)
    game.victim()
    return game


def only(rows: list[dict[str, Any]], **wanted: Any) -> dict[str, Any]:
    found = [row for row in rows if all(row[key] == value for key, value in wanted.items())]
    assert len(found) == 1, found
    return found[0]


# ---- the file ----


def test_every_statement_can_be_cited_and_looked_at():
    entries = statements()
    for kind, room in (("victims", "training"), ("defenses", "defenses")):
        for entry in entries[kind]:
            assert entry["facts"]["method"] in registry.names(room), entry
            assert entry["name"]
            assert not entry.keys() - {"name", "facts", "unless", *(f"{role}s" for role in ROLES)}
            for role, statement in [(kind, one) for kind in ROLES for one in entry.get(f"{kind}s", [])]:
                (expects,) = statement.keys() & EXPECTED.keys()
                assert (role == "control") == ("source" not in statement), statement
                assert role == "control" or statement["source"] in our_references(), statement
                under = statement[expects]
                assert {*under} <= {*registry.names("attacks")} or (len(under) == 1 and under[0] in WORDS), statement
                assert ("than" in statement) == (expects == "stronger")
                assert not statement.keys() - {expects, "source", "than", "over", "of"}
                assert statement.get("of", LEARNED) == LEARNED


@pytest.mark.parametrize("method", ["binary_input_detector", "feature_detector"])
@pytest.mark.parametrize(
    ("learned", "claimed"),
    [
        (["fgsm"], ["fgsm"]),
        (["deepfool"], ["deepfool"]),
        (["deepfool", "fgsm", "hopskipjump"], ["fgsm", "deepfool"]),
        (["hopskipjump"], None),  # nobody said that it would find these
    ],
    ids=str,
)
def test_a_detector_is_judged_by_attacks_that_it_learned_from(game, method, learned, claimed):
    attacks = [{"method": name, "eps": 0.4} if name == "fgsm" else {"method": name} for name in learned]
    place = game.layout.defense("toy", "plain", "detector")
    facts = {"attack": attacks if attacks[1:] else attacks[0]}
    write_json(place.facts, {"method": method, "kind": "detector", "parameters": {}, "facts": facts})
    game.plan["evaluations"].append(["toy", "plain", "detector"])
    found = stated(game.layout, game.plan)
    assert {one.role: list(one.under) for one in found} == ({} if claimed is None else {"claim": claimed}) | {
        "break": ["cw"]
    }
    for one in found:
        assert one.learned.get("fgsm") == (0.4 if one.role == "claim" and "fgsm" in learned else None)


@pytest.mark.parametrize(
    ("learned", "met", "looked_at"),
    [
        (0.3, [0.03, 0.3], [0.3]),  # however many more met the smaller one
        (0.3, [0.03], []),
        (math.nan, [math.nan], [math.nan]),  # an attack without a budget
    ],
)
def test_a_detector_is_judged_at_the_budget_that_it_learned_from(learned, met, looked_at):
    row = {"attack": "quick", "norm": "inf"}
    matches = [SimpleNamespace(row=row | {"eps": eps}, attack={"method": "fgsm"}) for eps in met]
    one = SimpleNamespace(learned={"fgsm": learned})
    found = [eps for _, eps in _Table([], [], [], [])._attacks(one, matches)]
    assert found == pytest.approx(looked_at, nan_ok=True)


def test_a_certificate_is_judged_within_the_radius_that_it_can_certify(game):
    """Cohen et al.: with 1000 samples at 1 - alpha = .999, 2.5 standard deviations of the noise."""
    place = game.layout.defense("toy", "plain", "smoothed")
    parameters = {"sigma": 0.25, "alpha": 0.001, "samples": 1000}
    write_json(place.facts, {"method": "randomised_smoothing", "parameters": parameters})
    game.plan["evaluations"].append(["toy", "plain", "smoothed"])
    (one,) = stated(game.layout, game.plan)
    assert (one.role, list(one.under), one.norm) == ("claim", ["worst_case"], "2")
    assert one.eps == pytest.approx(0.25 * 2.462, abs=1e-3)


# ---- verdicts ----


@pytest.mark.parametrize(
    ("expects", "numbers", "significant", "verdict"),
    [
        ("gain", (0.1, 0.05, 0.15), True, "reproduced"),
        ("gain", (0.02, 0.01, 0.03), True, "reproduced"),  # small, but the test shows it
        ("gain", (0.1, -0.01, 0.2), False, "not shown"),
        ("gain", (0.0, -0.049, 0.049), False, "not reproduced"),
        ("gain", (0.0, -0.05, 0.05), False, "not shown"),
        ("gain", (0.0, -0.05, 0.04996), False, "not shown"),  # is printed as 5.0
        ("gain", (-0.2, -0.3, -0.1), True, "not reproduced"),
        ("no_gain", (0.0, -0.01, 0.01), False, "reproduced"),
        ("no_gain", (-0.2, -0.3, -0.1), True, "reproduced"),
        ("no_gain", (0.02, 0.01, 0.03), True, "reproduced"),  # a gain, and less than the margin
        ("no_gain", (0.1, 0.05, 0.15), True, "not reproduced"),
        ("no_gain", (0.02, -0.04, 0.08), False, "not shown"),
        ("stronger", (0.1, 0.05, 0.15), True, "reproduced"),
        ("stronger", (0.0, -0.01, 0.01), False, "not reproduced"),
        ("fooled", (0.9, 0.8, 0.95), False, "reproduced"),
        ("fooled", (0.8996, 0.8, 0.95), False, "reproduced"),  # is printed as 90.0
        ("fooled", (0.85, 0.7, 0.93), False, "not shown"),
        ("fooled", (0.0, 0.0, 0.1), False, "not reproduced"),
        ("resists", (0.1, 0.02, 0.4), False, "reproduced"),
        ("resists", (0.2, 0.06, 0.5), False, "not shown"),
        ("resists", (1.0, 0.7, 1.0), False, "not reproduced"),
    ],
)
def test_a_verdict_follows_from_the_numbers_of_its_row(expects, numbers, significant, verdict):
    assert outcome(expects, *numbers, significant=significant) == verdict


@pytest.mark.parametrize(
    ("role", "outcomes", "verdict"),
    [
        ("claim", ["not measured"], "not measured"),
        ("claim", ["reproduced", "not measured"], "reproduced"),
        ("claim", ["reproduced", "not shown"], "reproduced in part"),
        ("claim", ["not reproduced", "not shown"], "not shown"),
        ("claim", ["not reproduced", "not reproduced"], "not reproduced"),
        ("break", ["reproduced", "not reproduced"], "reproduced"),
        ("break", ["not reproduced", "not measured"], "not reproduced"),
        ("break", [], "not measured"),
    ],
)
def test_verdicts_together(role, outcomes, verdict):
    assert together(role, outcomes) == verdict


# ---- a method that gains under some attacks and loses it under all ----


def test_a_gain_that_the_strong_ensemble_takes_away(game):
    game.victim("pcl", **PCL)
    for victim, fgsm, pgd in (("plain", 300, 380), ("pcl", 100, 200)):
        game.attack(victim, "fgsm", fgsm)
        game.attack(victim, "pgd", pgd)
        game.attack(victim, "square", range(10, N))
    rows = game.of("pcl")
    fgsm = only(rows, role="claim", under="fgsm")
    a, b = np.arange(N) < 100, np.arange(N) < 300
    low, high = paired_interval(a, b)
    assert (fgsm["n"], fgsm["accuracy"], fgsm["base_accuracy"], fgsm["base"]) == (N, 0.75, 0.25, "plain")
    assert [fgsm["value"], fgsm["low"], fgsm["high"]] == pytest.approx([0.5, -high, -low])
    assert fgsm["outcome"] == only(rows, under="pgd")["outcome"] == "reproduced"
    together = only(rows, role="break")
    assert (together["under"], together["value"], together["outcome"]) == ("all attacks together", 0, "reproduced")
    assert together["source"] == "croce2020"

    finding = next(iter(_published({"claims": rows, "checks": []})))
    assert finding.verdict == "claim reproduced; known break reproduced"
    assert finding.tone == "neutral"
    ours = f"under fgsm (ε 0.2) it keeps +50.0 points [{between_points(-high, -low)}] over plain (400 images, "
    assert f"{ours}Holm's p < 0.001)" in finding.text
    assert "under all attacks together (ε 0.2) it keeps 0.0 points [" in finding.text
    assert "Mustafa et al. 2019" in finding.text
    assert "was not measured" not in finding.text
    assert [row["status"] for row in game.checks()] == ["pass", "pass"]


def test_what_of_a_claim_was_not_measured_is_said(game):
    game.victim("pcl", **PCL)
    game.attack("plain", "fgsm", 300)
    game.attack("pcl", "fgsm", 100)
    finding = next(iter(_published({"claims": game.of("pcl"), "checks": []})))
    assert finding.verdict.startswith("claim reproduced; ")
    assert "over plain (400 images, Holm's p < 0.001). Whether it gains under pgd or " in finding.text
    assert finding.text.count("was not measured") == 1


TUNED = {
    "deepfool": {"attack": {"method": "deepfool"}, "scale": 1.0},
    "three times as long": {"attack": {"method": "deepfool"}, "scale": 3.0},
    "fgsm": {"attack": {"method": "fgsm"}, "scale": 1.0},
}


@pytest.mark.parametrize(
    ("on", "factor", "role", "verdict"),
    [
        ("deepfool", 1.5, "claim", "reproduced"),
        ("deepfool", 0.5, "claim", "not reproduced"),
        ("deepfool", 1.0, "claim", "not shown"),
        ("three times as long", 0.5, "limit", "reproduced"),
        ("three times as long", 1.5, "limit", "not reproduced"),
        ("fgsm", 0.5, "limit", "reproduced"),
        ("fgsm", 1.0, "limit", "not shown"),
    ],
)
def test_fine_tuning_is_judged_by_the_changes_that_a_victim_needs(game, on, factor, role, verdict):
    game.victim("elsewhere")  # plain as well, and no victim that anything begins at
    game.victim("tuned", method="adversarial_fine_tuning", parameters=TUNED[on], warm_start="plain")
    sizes = np.linspace(0.5, 1.5, N)
    game.attack("plain", "deepfool", N, math.nan, size=sizes)
    game.attack("elsewhere", "deepfool", N, math.nan, size=9 * sizes)
    game.attack("tuned", "deepfool", 300, math.nan, size=factor * sizes)
    row = only(game.of("tuned"), role=role)
    assert (row["outcome"], row["base"], row["n"], row["eps"]) == (verdict, "plain", 300, None)
    assert row["value"] == pytest.approx((factor - 1) * np.median(sizes[:300]))
    assert row["low"] <= row["value"] <= row["high"]
    compared = [one for one in game.comparisons() if one["kind"] == "needed"]
    assert len(compared) == 3
    mine = only(compared, a="plain", b="tuned")
    assert mine["median_difference"] == pytest.approx(-row["value"])
    larger = {1.5: "tuned needs larger changes than plain", 0.5: "plain needs larger changes than tuned"}
    assert mine["verdict"].startswith(larger.get(factor, "not distinguishable"))
    finding = next(one for one in _published({"claims": game.claims(), "checks": []}) if "tuned" in one.topic)
    more = finding.text.partition("by deepfool it needs ")[2]
    assert more.startswith("0 [0 to 0]" if factor == 1 else "0.4")
    assert f" {'less' if factor < 1 else 'more'} L2 than plain, in the median (300 images, Holm's p " in more


def test_changes_that_are_compared_with_nothing_say_nothing_of_fine_tuning(game):
    game.victim("tuned", method="adversarial_fine_tuning", parameters=TUNED["deepfool"], warm_start="gone")
    row = only(game.of("tuned"), role="claim")
    assert (row["outcome"], row["note"]) == ("not measured", "the victim that it began at does not stand beside it")
    game.victim("other", method="adversarial_fine_tuning", parameters=TUNED["deepfool"], warm_start="plain")
    assert only(game.of("other"), role="claim")["note"] == "this run does not attack it with deepfool"
    game.attack("other", "deepfool", N, math.nan)
    assert only(game.of("other"), role="claim")["note"] == "plain and it did not lose an image to the same attack"


def test_a_gain_that_nothing_takes_away_is_to_be_investigated(game):
    game.victim("pcl", **PCL)
    game.ensemble("plain", 400)
    game.ensemble("pcl", 100)
    row = only(game.of("pcl"), role="break")
    assert (row["value"], row["outcome"]) == (0.75, "not reproduced")
    claim, broken = game.checks()
    assert (claim["status"], broken["status"]) == ("pass", "warn")
    assert "investigate" in broken["found"]
    finding = next(iter(_published({"claims": game.of("pcl"), "checks": []})))
    assert finding.tone == "open"
    assert "needs stronger attacks" in finding.text


@pytest.mark.parametrize(
    ("n", "plain", "pcl", "gain", "no_gain"),
    [
        (400, 200, 200, "not reproduced", "reproduced"),  # equal
        (400, 0, 0, "not reproduced", "reproduced"),  # nobody falls
        (400, 400, 400, "not reproduced", "reproduced"),  # all fall
        (20, 10, 10, "not shown", "not shown"),  # equal, but few
        (400, 100, 300, "not reproduced", "reproduced"),  # worse
        (40, 40, 36, "not shown", "not shown"),
        (400, 400, 0, "reproduced", "not reproduced"),
    ],
)
def test_gains_of_all_kinds(tmp_path, n, plain, pcl, gain, no_gain):
    game = Game(tmp_path, n)
    game.victim()
    game.victim("pcl", **PCL)
    game.ensemble("plain", plain)
    game.ensemble("pcl", pcl)
    rows = game.of("pcl")
    assert only(rows, under="pgd")["outcome"] == gain
    assert only(rows, under="all attacks together")["outcome"] == no_gain
    assert only(rows, under="fgsm")["outcome"] == "not measured"


def test_a_claims_numbers_are_those_of_its_comparison(game):
    game.victim("pcl", **PCL)
    game.ensemble("plain", 300)
    game.ensemble("pcl", 290)
    rows = [row for row in game.of("pcl") if row["outcome"] != "not measured"]
    assert len(rows) == 2
    for row, kind in zip(rows, ("victim", "worst case"), strict=True):
        compared = only(
            [c for c in game.comparisons() if {c["victim_a"], c["victim_b"]} == {"plain", "pcl"}],
            kind=kind, attack="pgd" if kind == "victim" else "",
        )  # fmt: skip
        assert (row["holm_p"], row["significant"]) == (compared["holm_p"], compared["significant"])
        assert abs(row["value"]) == pytest.approx(abs(compared["difference"]))
    shown = {row["who"]: row for row in claims_table({"claims": rows, "checks": []}, "toy").rows}
    assert shown["pcl"]["gain"] == pytest.approx(10 / N)
    assert shown["pcl"]["fooled"] is None


# ---- twins ----


@pytest.mark.parametrize(
    "facts",
    [
        {"architecture": "mlp512"},
        {"poisoning": "corner"},
        {"method": "l1_l2"},
        {"parameters": {"temperature": 100.0}},  # a teacher: its softmax is as saturated as its student's
    ],
)
def test_no_twin_no_gain(tmp_path, facts):
    game = Game(tmp_path)
    write_json(game.layout.poisoning("toy", "corner").facts, {"method": "backdoor"})
    game.victim("other", **facts)
    game.victim("pcl", **PCL)
    game.ensemble("other", 400)
    game.ensemble("pcl", 100)
    rows = game.of("pcl")
    assert {row["outcome"] for row in rows} == {"not measured"}
    assert {row["note"] for row in rows} == {"no plain victim of the same network and data stands beside it"}
    assert list(_published({"claims": rows, "checks": []})) == []
    broken = only(game.checks(), victim="pcl")
    assert (broken["check"], broken["status"]) == ("broken defenses break", "warn")


def test_the_twin_is_the_one_that_was_trained_most_alike(tmp_path):
    game = Game(tmp_path)
    adam = {"optimizer": "adam", "epochs": 5}
    game.victim("first", fitting=adam)
    game.victim("alike", fitting=adam | {"epochs": 9})
    game.victim("never_attacked", fitting=adam | {"optimizer": "sgd", "epochs": 9})
    game.victim("pcl", fitting=adam | {"optimizer": "sgd", "epochs": 9}, **PCL)
    for name in ("first", "alike", "pcl"):
        game.ensemble(name, 100)
    rows = [row for row in game.of("pcl") if row["outcome"] != "not measured"]
    assert {row["base"] for row in rows} == {"alike"}
    assert all("alike was trained with other optimizer" in row["note"] for row in rows)


def test_all_trainings_of_a_victim_are_one_statement_and_its_twin_is_a_victim(game):
    for name in ("plain@2", "pcl", "pcl@2"):
        game.victim(name, **PCL if name.startswith("pcl") else {})
    for name in ("plain", "plain@2", "pcl", "pcl@2"):
        game.ensemble(name, 100)
    rows = [row for row in game.claims() if row["under"] == "pgd"]
    assert {(row["victim"], row["base"]) for row in rows} == {("pcl", "plain")}


def test_noise_has_a_twin_without_augmentation_and_other_changes_are_a_control_only(game):
    game.victim("noisy", fitting={"augmentation": {"noise": 0.3}})
    game.victim("noisy_too", fitting={"augmentation": {"noise": 0.3, "crop": 2}})
    game.victim("moved", fitting={"augmentation": {"flip": True}})
    for name in ("noisy_too", "moved", "plain", "noisy"):
        game.attack(name, "fgsm", 400)
    row = only(game.of("noisy"), name="noise on training images")
    assert (row["under"], row["base"], row["outcome"]) == ("fgsm", "plain", "reproduced")
    assert game.of("plain") == []
    assert [(row["role"], row["source"], row["outcome"]) for row in game.of("moved")] == [
        ("control", "", "not measured")
    ]


@pytest.mark.parametrize(("kept", "outcome"), [(0, "reproduced"), (200, "not reproduced")])
def test_a_control_gains_nothing_or_is_doubted(game, kept, outcome):
    game.victim("moved", fitting={"augmentation": {"flip": True}})
    game.ensemble("plain", N)
    game.ensemble("moved", N - kept)
    row = only(game.of("moved"), role="control")
    assert (row["base"], row["outcome"], row["value"]) == ("plain", outcome, kept / N)


def test_a_twin_has_as_many_parameters_and_what_else_differs_is_noted(game):
    game.victim("smaller", parameters_count=10, architecture_parameters={"width": 1})
    game.victim("dropping", parameters_count=20, architecture_parameters={"dropout": 0.5})
    game.victim("pcl", **PCL, parameters_count=20, architecture_parameters={"dropout": 0.0})
    for name in ("smaller", "dropping", "pcl"):
        game.attack(name, "fgsm", 100)
    row = only(game.of("pcl"), under="fgsm")
    assert row["base"] == "dropping"
    assert "other dropout" in row["note"]


def test_a_gain_without_any_attack_is_told(game):
    game.plan["victims"].clear()
    game.victim("plain", wrong=100)
    game.victim("pcl", **PCL)
    game.ensemble("plain", 300)
    game.ensemble("pcl", 100)
    row = only(game.of("pcl"), under="pgd")
    assert "without an attack, 100.0 % of the test images are right against 75.0 %" in row["note"]


# ---- what cannot be measured ----


def test_one_attack_is_no_worst_case(game):
    game.victim("pcl", **PCL)
    game.attack("plain", "pgd", 400)
    game.attack("pcl", "pgd", 100)
    row = only(game.of("pcl"), role="break")
    assert (row["outcome"], row["note"]) == ("not measured", "only pgd was aimed at it")


def test_one_attack_in_common_is_no_worst_case(game):
    game.victim("pcl", **PCL)
    for victim, other in (("plain", "fgsm"), ("pcl", "square")):
        game.attack(victim, "pgd", 400)
        game.attack(victim, other, 400)
    row = only(game.of("pcl"), role="break")
    assert row["outcome"] == "not measured"
    assert row["note"] == "no two attacks of one norm and budget were aimed at both"


def test_other_images_are_not_compared(game):
    game.victim("pcl", **PCL)
    game.attack("plain", "fgsm", 400, rows=slice(0, 200))
    game.attack("pcl", "fgsm", 100, rows=slice(200, N))
    row = only(game.of("pcl"), under="fgsm")
    assert (row["outcome"], row["note"]) == ("not measured", "plain did not meet the same attack at the same budget")


def test_budgets_beyond_those_trained_for_are_left_alone(game):
    game.victim("madry", **MADRY)
    game.ensemble("plain", 400, (0.3,))
    game.ensemble("madry", 400, (0.3,))
    row = only(game.of("madry"), role="claim")
    assert row["outcome"] == "not measured"
    assert row["note"] == "it met only larger budgets than it was trained for, or another norm"


def test_claims_hold_in_the_norm_trained_for(game):
    game.victim("madry", method="adversarial_training", parameters={"attack": "pgd", "eps": 0.2, "norm": "2"})
    game.ensemble("plain", 400)
    game.ensemble("madry", 100)
    row = only(game.of("madry"), role="claim")
    assert row["note"] == "it met only larger budgets than it was trained for, or another norm"


def test_the_worst_case_at_the_budget_trained_for_joins_the_family(game):
    game.victim("madry", **MADRY)
    for victim, turned in (("plain", 400), ("madry", 40)):
        game.ensemble(victim, turned, (0.1, 0.2, 0.3))
    row = only(game.of("madry"), role="claim")
    assert (row["eps"], row["value"], row["outcome"]) == (0.2, pytest.approx(0.9), "reproduced")
    compared = [c for c in game.comparisons() if c["kind"] == "worst case"]
    assert [c["eps_a"] for c in compared] == [0.3, 0.2]
    assert [c["family"] for c in compared] == ["primary", "primary"]


# ---- attacks that break ----


@pytest.mark.parametrize(
    ("turned", "attacked", "verdict", "status"),
    [
        (400, True, "reproduced", "pass"),
        (380, True, "reproduced", "pass"),
        (0, True, "not reproduced", "warn"),
        (0, False, "not measured", "warn"),
    ],
)
def test_what_is_known_to_fool_it(game, turned, attacked, verdict, status):
    game.victim("distilled", method="defensive_distillation")
    game.attack("distilled", "cw", turned, math.nan, attacked=attacked)
    row = only(game.of("distilled"), expects="fooled")
    assert row["outcome"] == verdict
    if attacked:
        assert [row["value"], row["low"], row["high"]] == pytest.approx([turned / N, *wilson_interval(turned, N)])
    else:
        assert row["note"] == "there was no image to attack"
    (broken,) = game.checks()
    assert (broken["status"], broken["check"]) == (status, "broken defenses break")


@pytest.mark.parametrize(
    ("fgsm", "rand_fgsm", "verdict"),
    [(40, 300, "reproduced"), (300, 40, "not reproduced"), (100, 100, "not reproduced"), (100, 106, "not reproduced")],
)
def test_single_steps_are_withstood_and_others_not(game, fgsm, rand_fgsm, verdict):
    game.victim("one_step", **ONE_STEP)
    game.attack("one_step", "fgsm", fgsm)
    game.attack("one_step", "rand_fgsm", rand_fgsm)
    row = only(game.of("one_step"), expects="stronger")
    assert row["value"] == pytest.approx((rand_fgsm - fgsm) / N)
    assert (row["under"], row["base"], row["outcome"]) == ("rand_fgsm", "fgsm", verdict)
    assert [row["accuracy"], row["base_accuracy"]] == pytest.approx([1 - rand_fgsm / N, 1 - fgsm / N])


def test_attacks_are_compared_at_the_budget_trained_for(game):
    game.victim("one_step", **ONE_STEP)
    game.attack("one_step", "fgsm", 40, (0.1, 0.2, 0.3))
    game.attack("one_step", "rand_fgsm", 300, (0.1, 0.2, 0.3))
    row = only(game.of("one_step"), expects="stronger")
    assert (row["eps"], row["outcome"]) == (0.2, "reproduced")
    pairs = [c for c in game.comparisons() if c["kind"] == "attack"]
    assert [c["eps_a"] for c in pairs] == [0.3, 0.2]
    assert [c["family"] for c in pairs] == ["secondary", "secondary"]


@pytest.mark.parametrize(
    ("fools", "claim", "broken"),
    [
        (0, "reproduced", "not reproduced"),
        (5, "not reproduced", "not reproduced"),
        (10, "not reproduced", "reproduced"),
    ],
)
def test_fooling_images(game, fools, claim, broken):
    game.victim("rubbish", method="rubbish_class", parameters={"victim": "results/victims/toy/plain"})
    game.victim("unfooled", method="rubbish_class")
    game.plan["fooling"].append(["toy", "rubbish", "ascent"])
    place = game.layout.fooling("toy", "rubbish", "ascent")
    write_json(place.facts, place.about | {"n": 10})
    write_table(place["scores"], pd.DataFrame({"success": np.arange(10) < fools}))
    rows = game.of("rubbish")
    assert {row["role"]: row["outcome"] for row in rows} == {"claim": claim, "break": broken}
    assert all([row["value"], row["low"], row["high"]] == [fools / 10, *wilson_interval(fools, 10)] for row in rows)
    other = game.of("unfooled")
    assert {row["note"] for row in other} == {"no fooling images were made for it"}


# ---- replayed images ----


def test_best_under_replayed_images(game):
    game.victim("ensemble", **ENSEMBLE)
    game.victim("one_step", **ONE_STEP)
    game.victim("static", architecture="mlp512")
    game.victim("third", architecture="mlp512")
    for victim in ("ensemble", "one_step"):
        game.ensemble(victim, N)
    game.replay("third", "mi_fgsm", {"plain": 300, "one_step": 200, "ensemble": 40})
    game.replay("static", "mi_fgsm", {"plain": 0, "one_step": 0, "ensemble": 400})
    rows = [row for row in game.of("ensemble") if row["under"] == "replayed images"]
    over = {row["base"]: row for row in rows}
    assert [over[base]["value"] for base in ("plain", "one_step")] == pytest.approx([260 / N, 160 / N])
    assert {row["outcome"] for row in rows} == {"reproduced"}
    assert all("under mi_fgsm from third" in row["note"] for row in rows)
    assert only(game.of("ensemble"), role="break")["outcome"] == "not measured"
    compared = [c for c in game.comparisons() if c["kind"] == "replayed"]
    assert len(compared) == 2
    assert all("loses more images than ensemble" in c["verdict"] for c in compared)


def test_images_of_its_own_sources_are_no_transfer(game):
    game.victim("ensemble", **ENSEMBLE)
    game.victim("static")
    game.ensemble("plain", N)
    game.replay("static", "mi_fgsm", {"plain": 400, "ensemble": 0})
    rows = [row for row in game.of("ensemble") if row["expects"] == "gain" and row["under"] == "replayed images"]
    assert [row["outcome"] for row in rows] == ["not measured", "not measured"]
    assert "no image of a third victim was replayed on both" in {row["note"] for row in rows}
