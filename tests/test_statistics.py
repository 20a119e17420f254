"""Facts about intervals, tests and corrections: golden, published and by hand."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rivalry.errors import RivalryError
from rivalry.statistics import (
    bootstrap_interval,
    budget_verdict,
    compare_budgets,
    difference_of_error_rates,
    holm,
    mcnemar_exact,
    paired_interval,
    verdict,
    wilson_interval,
)
from rivalry.statistics.headlines import smallest_budgets
from rivalry.statistics.rates import mean_interval

settings.register_profile("busy machine", deadline=None)
settings.load_profile("busy machine")

rates = st.floats(0, 1)
counts = st.integers(1, 100_000)
pairs = st.lists(st.tuples(st.booleans(), st.booleans()), min_size=1, max_size=60).map(np.array)


def wrong(only_a: int, only_b: int, both: int, neither: int) -> tuple[np.ndarray, np.ndarray]:
    a = [True] * only_a + [False] * only_b + [True] * both + [False] * neither
    b = [False] * only_a + [True] * only_b + [True] * both + [False] * neither
    return np.array(a), np.array(b)


def test_the_courses_interval_to_all_printed_digits():
    low, high = difference_of_error_rates(0.2990, 0.2881, 10_000, 10_000)
    assert f"{low:.12f}" == "-0.001721812443"
    assert f"{high:.11f}" == "0.02352181244"


@pytest.mark.parametrize(
    ("a", "b", "n", "printed"),
    [
        # The rates are not printed: they are the ones, in whole images of the printed number of test images,
        # whose interval is the printed one. (1 - b, 1 - a) has the same interval as (a, b); of the two, the
        # accuracy under attack, or the share flagged, is the one that agrees with the text around it.
        pytest.param(0.123, 0.0829, 10_000, (0.031694853818380074, 0.04850514618161992), id="cifar fgsm, i_fgsm"),
        pytest.param(0.1, 0.098, 10_000, (-0.006278442326911505, 0.010278442326911509), id="cifar deepfool"),
        pytest.param(0.0829, 0.0041, 10_000, (0.07325244583218875, 0.08434755416781124), id="cifar i_fgsm, hsj"),
        pytest.param(0.912, 0.904, 500, (-0.027824596689983806, 0.04382459668998382), id="flagged hsj, fgsm"),
        pytest.param(0.012, 0.004, 500, (-0.0030318578671047047, 0.019031857867104707), id="benign fgsm, i_fgsm"),
        pytest.param(0.28, 0.012, 500, (0.22750277615440784, 0.3084972238455922), id="benign hsj, fgsm"),
    ],
)
def test_the_courses_other_intervals(a, b, n, printed):
    assert difference_of_error_rates(a, b, n, n) == pytest.approx(printed, rel=0, abs=1e-14)


def test_other_confidences_use_the_normal_quantile():
    low, high = difference_of_error_rates(0.5, 0.5, 50, 50, confidence=0.99)
    assert (low, high) == pytest.approx((-0.2575829, 0.2575829), abs=1e-6)


@given(rates, rates, counts, counts)
def test_swapping_sides_mirrors_the_interval(a, b, n_a, n_b):
    low, high = difference_of_error_rates(a, b, n_a, n_b)
    mirrored = difference_of_error_rates(b, a, n_b, n_a)
    assert mirrored == pytest.approx((-high, -low), abs=1e-12)
    assert low <= a - b <= high


@pytest.mark.parametrize(
    ("arguments", "named"),
    [
        ((1.2, 0.5, 10, 10), "error_a"),
        ((0.5, math.nan, 10, 10), "error_b"),
        ((0.5, 0.5, 0, 10), "n_a"),
        ((0.5, 0.5, 10, -1), "n_b"),
        ((0.5, 0.5, 10, 10, 1.0), "confidence"),
    ],
)
def test_impossible_rates_are_refused_by_name(arguments, named):
    with pytest.raises(RivalryError, match=named):
        difference_of_error_rates(*arguments)


@pytest.mark.parametrize(
    ("successes", "n", "interval"),
    [
        # Newcombe (1998), Statistics in Medicine 17, table I, method 3.
        (81, 263, (0.2553, 0.3662)),
        (15, 148, (0.0624, 0.1605)),
        (0, 20, (0.0, 0.1611)),
        (1, 29, (0.0061, 0.1718)),
    ],
)
def test_wilson_intervals_as_published(successes, n, interval):
    assert wilson_interval(successes, n) == pytest.approx(interval, abs=5e-5)


@given(st.integers(1, 500).flatmap(lambda n: st.tuples(st.integers(0, n), st.just(n))))
def test_wilson_holds_the_rate_and_mirrors(case):
    k, n = case
    low, high = wilson_interval(k, n)
    assert 0 <= low <= k / n <= high <= 1
    assert wilson_interval(n - k, n) == pytest.approx((1 - high, 1 - low), abs=1e-12)


@pytest.mark.parametrize("confidence", [0.9, 0.95, 0.999])
def test_wilson_of_none_and_all_ends_at_the_rate_exactly(confidence):
    for n in (*range(1, 120), 250, 1000, 10_000):
        low, high = wilson_interval(0, n, confidence)
        assert low == 0.0 < high < 1
        low, high = wilson_interval(n, n, confidence)
        assert 0 < low < high == 1.0


def test_students_interval_of_a_mean():
    # Of 1 to 5: 3, give or take 2.776 (t with 4 degrees of freedom) times the root of 2.5 / 5.
    assert mean_interval([1, 2, 3, 4, 5]) == pytest.approx((3 - 1.9632, 3 + 1.9632), abs=1e-4)
    assert mean_interval([0.5, 0.5]) == (0.5, 0.5)
    for values in ([], [0.5], [0.5, math.nan]):
        assert all(math.isnan(end) for end in mean_interval(values))


def test_students_interval_holds_the_mean_as_often_as_it_says():
    drawn = np.random.default_rng(0).beta(8, 1, (2000, 100))  # like confidences: most of them near 1
    held = [low <= 8 / 9 <= high for low, high in map(mean_interval, drawn)]
    assert 0.93 < np.mean(held) < 0.97


def budget(eps: float, held: float, **other: object) -> dict[str, object]:
    match = {"dataset": "d", "victim": "v", "attack": "fgsm", "defense": "none", "setting": "undefended"}
    return match | {"goal": "untargeted", "n": 10, "eps": eps, "adversarial_accuracy": held} | other


@pytest.mark.parametrize(
    ("rows", "share", "found"),
    [
        ([budget(0.3, 0.0), budget(0.1, 0.5), budget(0.2, 0.1)], 0.9, [0.2]),
        ([budget(0.1, 0.2), budget(0.2, 0.2)], 0.9, []),
        # Success that falls again: the smallest budget counts.
        ([budget(0.1, 0.1), budget(0.2, 0.5)], 0.9, [0.1]),
        ([budget(0.1, 0.1), budget(0.2, 0.0)], 1.0, [0.2]),
        ([budget(0.1, 0.0, victim="a"), budget(0.2, 0.0, victim="b")], 0.9, [0.1, 0.2]),
        ([budget(0.1, 0.0, goal="targeted"), budget(math.nan, 0.0)], 0.9, []),
        ([], 0.9, []),
    ],
)
def test_the_smallest_budget_that_misclassifies_a_share(rows, share, found):
    assert [row["eps"] for row in smallest_budgets(rows, share)] == found


def test_wilson_refuses_more_successes_than_images():
    with pytest.raises(RivalryError, match="11 of 10"):
        wilson_interval(11, 10)


def test_mcnemar_is_a_fair_coin_over_disagreements():
    # 8 against 2: P(at most 2 heads or at least 8 of 10) = 2 * (1 + 10 + 45) / 1024.
    b, c, p = mcnemar_exact(*wrong(8, 2, 30, 60))
    assert (b, c) == (8, 2)
    assert p == pytest.approx(112 / 1024)


def test_mcnemar_of_a_textbook_table():
    # Agresti, Categorical Data Analysis, approval ratings: 150 and 86 changed their minds.
    b, c, p = mcnemar_exact(*wrong(150, 86, 794, 570))
    assert (b, c) == (150, 86)
    assert p == pytest.approx(3.716e-5, rel=1e-3)


def test_mcnemar_without_disagreement_says_nothing():
    assert mcnemar_exact(*wrong(0, 0, 3, 4)) == (0, 0, 1.0)


def test_bonett_and_prices_interval_by_hand():
    # 8 and 2 disagreements of 98: shares 9/100 and 3/100, variance (.12 - .0036) / 100.
    half = 1.96 * math.sqrt(0.1164 / 100)
    assert paired_interval(*wrong(8, 2, 28, 60)) == pytest.approx((0.06 - half, 0.06 + half))


@given(pairs)
def test_paired_statistics_do_not_prefer_a_side(pair):
    a, b = pair.T
    only_a, only_b, p = mcnemar_exact(a, b)
    assert mcnemar_exact(b, a) == (only_b, only_a, pytest.approx(p))
    low, high = paired_interval(a, b)
    assert paired_interval(b, a) == pytest.approx((-high, -low), abs=1e-12)
    assert -1 <= low <= high <= 1


def test_pairing_needs_the_same_images():
    with pytest.raises(RivalryError, match="each shared image"):
        paired_interval([True, False], [True])
    with pytest.raises(RivalryError, match="each shared image"):
        mcnemar_exact([], [])


def test_holm_by_hand():
    # .005*4, .01*3, .03*2, then .04*1, which may not be below the one before.
    assert holm([0.01, 0.04, 0.03, 0.005]) == pytest.approx([0.03, 0.06, 0.06, 0.02])
    assert holm([]) == []


@settings(max_examples=15)  # statsmodels collects garbage in each call
@given(st.lists(rates, min_size=1, max_size=20))
def test_holm_never_lowers_a_p_value_and_keeps_their_order(p):
    adjusted = holm(p)
    assert all(q <= r <= 1 for q, r in zip(p, adjusted, strict=True))
    order = np.argsort(p)
    assert (np.diff(np.array(adjusted)[order]) >= 0).all()


def test_holm_refuses_what_is_no_p_value():
    with pytest.raises(RivalryError, match="p_values"):
        holm([0.5, math.nan])


def test_bootstrap_interval_holds_the_statistic_and_repeats_with_its_seed():
    values = np.random.default_rng(0).gamma(2.0, size=400)
    for statistic, truth in (("median", np.median(values)), ("mean", values.mean())):
        low, high = bootstrap_interval(values, statistic=statistic, seed=3)
        assert low < truth < high
        assert (low, high) == bootstrap_interval(values, statistic=statistic, seed=3)
        assert (low, high) != bootstrap_interval(values, statistic=statistic, seed=4)


def test_bootstrap_of_the_mean_agrees_with_the_normal_interval():
    values = np.random.default_rng(1).normal(5, 2, size=2000)
    half = 1.96 * values.std() / math.sqrt(len(values))
    interval = bootstrap_interval(values, statistic="mean", seed=0, resamples=4000)
    assert interval == pytest.approx((values.mean() - half, values.mean() + half), abs=0.01)


def test_bootstrap_of_equal_values_is_that_value():
    assert bootstrap_interval([2.5] * 7, seed=0) == (2.5, 2.5)


def test_bootstrap_refuses_sizes_that_are_not_finite():
    with pytest.raises(RivalryError, match="finite"):
        bootstrap_interval([1.0, math.inf], seed=0)


def test_wilcoxon_of_seven_larger_budgets():
    # All seven signs alike: p = 2 / 2**7.
    b = np.arange(7.0)
    compared = compare_budgets(b + np.arange(1.0, 8.0), b, seed=0)
    assert compared.median_difference == 4
    assert compared.p == pytest.approx(2 / 128)
    assert 1 <= compared.low <= 4 <= compared.high <= 7


def test_equal_budgets_are_not_distinguishable():
    assert compare_budgets([1.0, 2.0], [1.0, 2.0], seed=0) == (0.0, 0.0, 0.0, 1.0, 0.0)


@settings(max_examples=20)
@given(st.lists(st.tuples(st.floats(0, 10), st.floats(0, 10)), min_size=2, max_size=30))
def test_swapping_attacks_mirrors_the_budget_comparison(sizes):
    a, b = np.array(sizes).T
    one, other = compare_budgets(a, b, seed=5), compare_budgets(b, a, seed=5)
    assert other.median_difference == pytest.approx(-one.median_difference)
    assert (other.low, other.high) == pytest.approx((-one.high, -one.low))
    assert other.p == pytest.approx(one.p)


@pytest.mark.parametrize(
    ("errors", "interval", "p", "said"),
    [
        ((0.30, 0.20), (0.06, 0.14), 0.001, "A errs more than B (30.00 % against 20.00 %)"),
        ((0.20, 0.30), (-0.14, -0.06), 0.001, "B errs more than A (30.00 % against 20.00 %)"),
        ((0.30, 0.29), (-0.01, 0.03), 0.4, "not distinguishable: the paired 95 % interval contains 0"),
        ((0.30, 0.30), (-0.02, 0.02), 1.0, "not distinguishable: the paired 95 % interval contains 0"),
        ((0.0, 0.0), (-0.02, 0.02), 1.0, "not distinguishable: the paired 95 % interval contains 0"),
        ((0.30, 0.20), (0.06, 0.14), math.nan, "not tested"),
        ((math.nan, 0.20), (0.06, 0.14), 0.01, "not tested"),
        (
            (0.30, 0.20),
            (0.01, 0.19),
            0.05,
            "not distinguishable: p = 0.05 after Holm's correction, though the paired 95 % interval excludes 0",
        ),
        (
            (0.30, 0.20),
            (-0.01, 0.21),
            0.01,
            "A errs more than B (30.00 % against 20.00 %; p = 0.01, though the paired 95 % interval contains 0)",
        ),
    ],
)
def test_verdicts_name_the_side_that_errs_more(errors, interval, p, said):
    assert verdict("A", "B", *errors, interval, p) == said


@pytest.mark.parametrize(
    ("difference", "interval", "p", "ranks", "said"),
    [
        (0.2, (0.1, 0.3), 0.001, 0.9, "A changes images more than B (median difference 0.2)"),
        (-0.2, (-0.3, -0.1), 0.001, -0.9, "B changes images more than A (median difference 0.2)"),
        (0.2, (-0.1, 0.3), 0.2, 0.3, "not distinguishable: the 95 % interval of the median difference contains 0"),
        (
            0.2,
            (0.1, 0.3),
            0.2,
            0.3,
            "not distinguishable: p = 0.2 after Holm's correction, though the 95 % interval of "
            "the median difference excludes 0",
        ),
        (0.0, (0.0, 0.0), 1.0, 0.0, "not distinguishable: the 95 % interval of the median difference contains 0"),
        (
            0.0,
            (-0.1, 0.1),
            0.01,
            0.6,
            "sizes differ (p = 0.01), but not in one direction: the 95 % interval of the median difference contains 0",
        ),
        (
            0.2,
            (0.1, 0.3),
            0.01,
            -0.2,
            "sizes differ (p = 0.01), but not in one direction: ranks and median point to different sides",
        ),
        (0.2, (0.1, 0.3), math.nan, 0.9, "not tested"),
        (0.2, (math.nan, math.nan), 1.0, 1.0, "not distinguishable: p = 1 after Holm's correction"),
    ],
)
def test_a_budget_s_verdict_follows_its_test(difference, interval, p, ranks, said):
    assert budget_verdict("A", "B", difference, interval, p, ranks) == said


def test_ranks_and_median_may_disagree_and_are_both_told():
    """Most images need a little more under A, a few need much more under B."""
    a, b = np.array([1.1] * 6 + [1.0] * 3), np.array([1.0] * 6 + [9.0] * 3)
    compared = compare_budgets(a, b, seed=0)
    assert compared.median_difference > 0 > compared.rank_correlation
