"""What detectors flag: areas under ROC curves, attacks seen in training and not, differences between attacks."""

from __future__ import annotations

import math
from typing import Any

import pandas as pd
import pytest

from rivalry.errors import RivalryError
from rivalry.report.findings import _told_apart
from rivalry.report.tables import detectors
from rivalry.statistics.detection import OWN, SAME, flag_differences, saw
from rivalry.statistics.paired import paired_interval
from rivalry.statistics.rates import auc_interval, difference_of_error_rates
from rivalry.statistics.scores import ScoredMatch

FGSM = {"method": "fgsm", "eps": 0.3, "norm": "inf"}
DEEPFOOL = {"method": "deepfool", "norm": 2}


@pytest.mark.parametrize("auc", [0.0, 0.03, 0.5, 0.8, 0.999, 1.0])
def test_the_limits_of_an_area_lie_z_standard_errors_away_from_it(auc: float) -> None:
    """Hanley and McNeil's standard error at each limit, with as many images of both kinds."""
    n = 40
    low, high = auc_interval(auc, n, n)
    assert 0 <= low <= auc <= high <= 1
    assert (low == 0) == (auc == 0)
    assert (high == 1) == (auc == 1)
    assert high - low > 0.03
    for limit in (low, high):
        if 0 < limit < 1:
            q1, q2 = limit / (2 - limit), 2 * limit**2 / (1 + limit)
            variance = (limit * (1 - limit) + (n - 1) * (q1 + q2 - 2 * limit**2)) / n**2
            assert abs(auc - limit) == pytest.approx(1.96 * math.sqrt(variance), rel=1e-6)
    assert auc_interval(1 - auc, n, n) == pytest.approx((1 - high, 1 - low))
    wide, narrow = auc_interval(auc, 10, 10), auc_interval(auc, 1000, 500)
    assert wide[1] - wide[0] > high - low > narrow[1] - narrow[0]


@pytest.mark.parametrize(("auc", "n"), [(1.2, 5), (math.nan, 5), (0.5, 0)])
def test_what_is_no_area_is_one_line(auc: float, n: int) -> None:
    with pytest.raises(RivalryError, match="no area under a ROC curve"):
        auc_interval(auc, n, 5)


def test_an_attack_was_seen_where_method_budget_and_parameters_agree() -> None:
    fgsm = {"method": "fgsm", "parameters": {"eps": [0.1, 0.3], "norm": "inf"}}
    deepfool = {"method": "deepfool", "parameters": {"norm": 2}}
    one, both = ({"facts": {"attack": told}} for told in (FGSM, [FGSM, DEEPFOOL]))
    assert saw(one, fgsm, 0.3)
    assert not saw(one, fgsm, 0.1)
    assert not saw(one, deepfool, math.nan)
    assert saw(both, deepfool, math.nan)
    assert saw(both, deepfool, None)
    assert not saw(one, {"method": "fgsm", "parameters": {"eps": 0.3, "norm": 2}}, 0.3)
    assert not saw({"facts": {}}, fgsm, 0.3)


def match(
    detector: str, told: Any, attack: dict[str, Any], eps: float, flags: dict[int, Any], sample: int = 9, **row: Any
) -> ScoredMatch:
    """An attack behind a detector; `flags` says of each image whether its clean and its attacked copy are flagged."""
    defense = {"method": "bid", "kind": "detector", "parameters": {"attack": told, "sample": sample, "epochs": 3}}
    about = {"dataset": "toy", "victim": "plain", "seed": 1, "setting": "oblivious"}
    about |= {"defense": detector, "attack": attack["method"], "eps": eps}
    table = pd.DataFrame.from_dict(flags, orient="index", columns=["clean", "adversarial"])
    facts = {"method": attack["method"], "parameters": {k: v for k, v in attack.items() if k != "method"}}
    defense["facts"] = {"attack": told}
    return ScoredMatch(about | row, pd.DataFrame(), facts, defense, flags=table)


def test_flags_of_two_attacks_behind_their_own_detectors_and_behind_one() -> None:
    # Image 3 was not attacked by either; images 4 and 5 met fgsm alone.
    a = {0: [True, True], 1: [False, True], 2: [False, True], 3: [False, math.nan], 4: [0, True], 5: [0, False]}
    b = {0: [True, False], 1: [True, False], 2: [False, True], 3: [True, math.nan]}
    weak = {image: [False, False] for image in range(6)}
    matches = [
        match("of_fgsm", FGSM, FGSM | {"eps": 0.1}, 0.1, weak),
        match("of_fgsm", FGSM, FGSM, 0.3, a),
        match("of_deepfool", DEEPFOOL, DEEPFOOL, math.nan, b, sample=2),
        match("of_fgsm", FGSM, DEEPFOOL, math.nan, b),
    ]
    rows = pd.DataFrame(flag_differences(matches, 0.95))
    assert rows["kind"].tolist() == [OWN, OWN, SAME]
    assert rows["flagged"].tolist() == ["adversarial", "clean", "adversarial"]
    own = rows.iloc[0]
    assert (own["n_a"], own["n_b"], own["n_shared"]) == (5, 3, 3)
    assert (own["rate_a"], own["rate_b"]) == (4 / 5, pytest.approx(1 / 3))
    assert own["difference"] == pytest.approx(4 / 5 - 1 / 3)
    assert (own["low"], own["high"]) == difference_of_error_rates(4 / 5, own["rate_b"], 5, 3)
    assert (own["discordant_a"], own["discordant_b"]) == (2, 0)
    assert (own["paired_low"], own["paired_high"]) == paired_interval([1, 1, 1], [0, 0, 1])
    clean = rows.iloc[1]
    assert (clean["n_a"], clean["n_b"], clean["n_shared"]) == (6, 4, 4)
    assert (clean["rate_a"], clean["rate_b"]) == (pytest.approx(1 / 6), 3 / 4)
    assert rows.iloc[2][["detector_a", "detector_b"]].tolist() == ["of_fgsm", "of_fgsm"]


@pytest.mark.parametrize(
    "other",
    [
        match("other", [FGSM, DEEPFOOL], DEEPFOOL, math.nan, {0: [0, 1]}),  # learned from two
        match("other", FGSM, DEEPFOOL, math.nan, {0: [0, 1]}),  # not its own attack
        match("other", DEEPFOOL, DEEPFOOL, math.nan, {0: [0, 1]}, setting="adaptive"),
        match("other", DEEPFOOL, DEEPFOOL, math.nan, {0: [0, 1]}, victim="robust"),
        match("other", DEEPFOOL, DEEPFOOL, math.nan, {0: [0, 1]}, seed=2),
    ],
)
def test_what_is_not_alike_is_not_compared(other: ScoredMatch) -> None:
    assert flag_differences([match("of_fgsm", FGSM, FGSM, 0.3, {0: [0, 1]}), other], 0.95) == []


def test_where_nothing_was_attacked_clean_images_alone_are_compared() -> None:
    nothing = {0: [True, math.nan], 1: [False, math.nan]}
    matches = [
        match("of_fgsm", FGSM, FGSM, 0.3, nothing),
        match("of_deepfool", DEEPFOOL, DEEPFOOL, math.nan, nothing),
    ]
    (row,) = flag_differences(matches, 0.95)
    assert (row["flagged"], row["difference"]) == ("clean", 0)


def test_a_detector_s_row_says_what_it_saw_and_the_least_that_it_flags_of_the_rest() -> None:
    attacks = [
        {"dataset": "toy", "attack": name, "method": told["method"], "parameters": told, "sees": sees}
        for name, told, sees in (
            ("one_step", FGSM, "gradients"),
            ("boundary", DEEPFOOL, "gradients"),
            ("noise", {"method": "random_noise", "eps": 0.3}, "nothing"),
        )
    ]
    detector = {"dataset": "toy", "victim": "plain", "kind": "detector"}
    defenses = [
        detector | {"defense": "a", "facts": {"attack": FGSM}},
        detector | {"defense": "b", "facts": {"attack": [FGSM, DEEPFOOL]}},
    ]
    score = {"dataset": "toy", "victim": "plain", "setting": "oblivious", "auc": 0.9, "flagged_clean": 0.05}
    flagged = {("a", "one_step"): 0.9, ("a", "boundary"): 0.2, ("a", "noise"): 0.0, ("b", "one_step"): 0.8}
    scores = [
        score | {"defense": defense, "attack": attack, "eps": None if attack == "boundary" else 0.3}
        | {"flagged_adversarial": rate}
        for (defense, attack), rate in flagged.items()
    ]  # fmt: skip
    scores.append(scores[0] | {"eps": 0.1, "flagged_adversarial": 0.01})
    (table,) = detectors.unseen({"attacks": attacks, "defenses": defenses, "scores": scores}, "toy")
    first, second = table.rows
    assert (first["learned"], second["learned"]) == ("one_step", "one_step and boundary")
    assert (first["of one_step"], first["of boundary"], first["of noise"]) == (0.9, 0.2, 0.0)
    assert (first["seen"], first["unseen"]) == (0.9, 0.2)
    assert (second["seen"], second["unseen"], second["of boundary"]) == (0.8, None, None)


@pytest.mark.parametrize(
    ("areas", "said"),
    [
        ([], ""),
        (
            [0.9],
            "of the attacks that ignore it, it tells fgsm (ε 0.3) from the same images unchanged with an AUC of 0.900",
        ),
        ([0.9, 0.9], "it tells deepfool from the same images unchanged with an AUC of 0.900 (chance: 0.5)"),
        (
            [0.9, 0.4],
            "from the same images unchanged with an AUC of 0.900 (chance: 0.5), and deepfool with one of ",
        ),
    ],
)
def test_a_finding_about_a_detector_names_its_false_alarms(areas: list[float], said: str) -> None:
    fact = {"victim": "plain", "defense": "a", "kind": "detector", "parameters": {"false_positive_rate": 0.05}}
    row = {"victim": "plain", "defense": "a", "flagged_clean": 0.07, "n": 100, "sees": "gradients", "auc": 0.1}
    blind = [
        row | {"setting": "oblivious", "attack": name, "eps": eps, "auc": auc}
        for (name, eps), auc in zip((("fgsm", 0.3), ("deepfool", None)), areas, strict=False)
    ]
    control = row | {"setting": "oblivious", "attack": "noise", "eps": 0.3, "sees": "nothing"}
    adaptive = row | {"setting": "adaptive", "attack": "fgsm", "eps": 0.3, "n": 50, "flagged_clean": 0.5}
    text = _told_apart({"scores": [adaptive, control, *blind]}, fact)
    assert text.startswith("; it refuses 7.0 % of 100 clean images, where 5.0 % were allowed")
    assert said in text
    assert "noise" not in text
    assert _told_apart({"scores": []}, fact) == ""
    assert _told_apart({"scores": blind}, fact | {"kind": "preprocessor"}) == ""
