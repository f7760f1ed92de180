"""Checks known answers, limiting cases, and the coverage of the intervals."""

import math
import subprocess
import sys

import numpy as np
import pytest
import scipy.stats

from keras_wn.study.statistics import (
    Estimate,
    interquartile_mean,
    mean_interval,
    paired_difference,
    probability_of_improvement,
    stratified_bootstrap,
    wilson_interval,
)

VALUES = [0.91, 0.95, 0.93, 0.97, 0.90]


def ends(estimate):
    return estimate.low, estimate.high


def test_interquartile_mean_leaves_a_quarter_out_at_each_end():
    assert interquartile_mean([8, 1, 2, 1000, 4, 3, 7, -1000]) == pytest.approx((2 + 3 + 4 + 7) / 4)
    # Two of ten are left out at each end, and none of three.
    assert interquartile_mean(range(10)) == pytest.approx(4.5)
    assert interquartile_mean([0, 1, 5]) == 2
    np.testing.assert_array_equal(interquartile_mean([[0, 1, 5], [3, 3, 3]]), [2, 3])


# From tables, t of 0.975 is 4.303 for 2 degrees of freedom, 2.776 for 4 and 2.262 for 9. For 4,
# t of 0.95 is 2.132.
@pytest.mark.parametrize(
    "n, confidence, t", [(3, 0.95, 4.303), (5, 0.95, 2.776), (10, 0.95, 2.262), (5, 0.9, 2.132)]
)
def test_mean_interval_is_that_of_t_tables(n, confidence, t):
    values = np.arange(n, dtype=float)
    half = t * np.std(values, ddof=1) / math.sqrt(n)
    found = mean_interval(values, confidence)
    assert (found.value, found.n) == ((n - 1) / 2, n)
    np.testing.assert_allclose(ends(found), (found.value - half, found.value + half), atol=1e-3)


def test_paired_difference_is_scipys_paired_t_test_and_changes_sign_with_the_order():
    other = [0.90, 0.91, 0.94, 0.92, 0.89]
    found, turned = paired_difference(VALUES, other), paired_difference(other, VALUES)
    expected = scipy.stats.ttest_rel(VALUES, other).confidence_interval()
    np.testing.assert_allclose(ends(found), expected, rtol=1e-9)
    np.testing.assert_allclose(
        (turned.value, *ends(turned)), (-found.value, -found.high, -found.low), rtol=1e-9
    )


def test_a_shift_shared_by_pairs_has_no_spread():
    found = paired_difference(np.array(VALUES) + 0.25, VALUES)
    np.testing.assert_allclose((found.value, *ends(found)), 0.25, rtol=1e-9)


def test_t_interval_of_five_covers_as_often_as_it_says_and_the_bootstrap_does_not():
    rng = np.random.default_rng(0)
    samples = rng.normal(size=(600, 5))
    by_t = [mean_interval(sample) for sample in samples]
    by_bootstrap = [stratified_bootstrap([sample], np.mean, resamples=200) for sample in samples]
    t, bootstrap = (np.mean([e.low < 0 < e.high for e in found]) for found in (by_t, by_bootstrap))
    # Standard errors are 0.009 and 0.015.
    assert abs(t - 0.95) < 0.02
    assert 0.78 < bootstrap < 0.88


def test_bootstrap_of_many_values_comes_to_the_t_interval():
    values = np.random.default_rng(0).normal(size=400)
    np.testing.assert_allclose(
        ends(stratified_bootstrap([values], np.mean, resamples=2000)),
        ends(mean_interval(values)),
        atol=0.01,
    )


def test_bootstrap_draws_within_groups():
    # All of the difference is between the groups. Drawn from one group, the mean would vary by
    # 0.5 / sqrt(40).
    groups = [np.zeros(20), np.ones(20)]
    assert ends(stratified_bootstrap(groups, np.mean)) == (0.5, 0.5)
    low, high = ends(stratified_bootstrap([np.concatenate(groups)], np.mean))
    np.testing.assert_allclose(high - low, 2 * 1.96 * 0.5 / math.sqrt(40), rtol=0.1)


def test_bootstrap_is_the_same_for_the_same_seed_and_takes_the_interquartile_mean():
    groups = [VALUES, [0.5, 0.6, 0.4]]
    assert stratified_bootstrap(groups, resamples=500) == stratified_bootstrap(
        groups, resamples=500
    )
    assert stratified_bootstrap(groups, resamples=500) != stratified_bootstrap(
        groups, resamples=500, seed=1
    )
    assert stratified_bootstrap(groups, resamples=500).value == interquartile_mean(
        VALUES + groups[1]
    )


def test_interval_is_wider_for_more_confidence():
    for estimate in (
        lambda c: mean_interval(VALUES, c),
        lambda c: stratified_bootstrap([VALUES], confidence=c),
    ):
        assert estimate(0.99).low < estimate(0.5).low < estimate(0.5).high < estimate(0.99).high


def test_probability_of_improvement_is_mann_and_whitneys_u():
    rng = np.random.default_rng(0)
    first, second = rng.integers(0, 6, 7), rng.integers(0, 6, 9)  # With ties.
    found = probability_of_improvement(first, second)
    assert found.value == pytest.approx(scipy.stats.mannwhitneyu(first, second).statistic / 63)
    assert found.low < found.value < found.high and found.n == 16
    assert probability_of_improvement(second, first).value == pytest.approx(1 - found.value)


def test_probability_of_improvement_of_the_same_and_of_the_always_better():
    assert probability_of_improvement(VALUES, VALUES).value == 0.5
    assert probability_of_improvement([1, 1], [1, 1, 1]) == Estimate(0.5, 0.5, 0.5, 5)
    assert probability_of_improvement([2, 3], [0, 1]) == Estimate(1.0, 1.0, 1.0, 4)


def test_probability_of_improvement_of_normals_is_covered():
    # P(X > Y) of two normals of variance 1 whose means differ by 1: Phi(1 / sqrt(2)).
    truth = scipy.stats.norm.cdf(1 / math.sqrt(2))
    rng = np.random.default_rng(0)
    pairs = [(rng.normal(1, size=30), rng.normal(size=30)) for _ in range(200)]
    found = [probability_of_improvement(*pair, resamples=200) for pair in pairs]
    assert abs(np.mean([e.low < truth < e.high for e in found]) - 0.95) < 0.05
    assert abs(np.mean([e.value for e in found]) - truth) < 0.015


# Newcombe 1998, Statistics in Medicine 17, table I, method 3.
@pytest.mark.parametrize(
    "successes, trials, low, high",
    [
        (81, 263, 0.2553, 0.3662),
        (15, 148, 0.0624, 0.1605),
        (0, 20, 0.0, 0.1611),
        (1, 29, 0.0061, 0.1718),
    ],
)
def test_wilson_interval_is_the_published_one(successes, trials, low, high):
    found = wilson_interval(successes, trials)
    assert (found.value, found.n) == (successes / trials, trials)
    np.testing.assert_allclose(ends(found), (low, high), atol=5e-5)


def test_one_value_says_nothing_of_its_spread():
    nothing = (-math.inf, math.inf)
    assert ends(mean_interval([3.0])) == ends(paired_difference([3.0], [1.0])) == nothing
    assert (
        ends(stratified_bootstrap([[3.0]]))
        == ends(stratified_bootstrap([VALUES, [3.0]]))
        == nothing
    )
    assert probability_of_improvement([2.0], VALUES) == Estimate(1.0, 0.0, 1.0, 6)
    low, high = ends(wilson_interval(1, 1))
    assert 0.2 < low < 0.21 and high == 1


def test_equal_values_have_an_interval_of_no_width():
    for found in (mean_interval([0.5] * 4), stratified_bootstrap([[0.5] * 4, [0.5] * 2])):
        assert (found.value, *ends(found)) == (0.5, 0.5, 0.5)


@pytest.mark.parametrize(
    "call, message",
    [
        (
            lambda: interquartile_mean([]),
            r"shape \(0,\) are not allowed. Allowed: a list of one number",
        ),
        (lambda: mean_interval([[1.0, 2.0]]), r"shape \(1, 2\) are not allowed"),
        (
            lambda: mean_interval([1.0, math.nan]),
            "A value of nan is not allowed. Allowed: finite numbers",
        ),
        (lambda: interquartile_mean([1.0, -math.inf]), "A value of -inf is not allowed"),
        (lambda: stratified_bootstrap([VALUES, [math.nan]]), "A value of nan"),
        (lambda: stratified_bootstrap([]), r"groups=\[\] is not allowed"),
        (lambda: stratified_bootstrap([VALUES, []]), r"shape \(0,\)"),
        (lambda: stratified_bootstrap([VALUES], resamples=0), "resamples=0 is not allowed"),
        (
            lambda: stratified_bootstrap([VALUES], confidence=95),
            "confidence=95 is not allowed. Allowed: more than 0",
        ),
        (lambda: mean_interval(VALUES, 1.0), "confidence=1.0 is not allowed"),
        (lambda: paired_difference([1, 2], [1]), "2 first and 1 second values"),
        (lambda: probability_of_improvement([], [1.0]), r"shape \(0,\)"),
        (lambda: wilson_interval(0, 0), "trials=0 is not allowed. Allowed: 1 or more"),
        (lambda: wilson_interval(3, 2), "successes=3 is not allowed. Allowed: 0 to trials=2"),
        (lambda: wilson_interval(-1, 2), "successes=-1 is not allowed"),
    ],
)
def test_invalid_input_is_refused(call, message):
    with pytest.raises(ValueError, match=message):
        call()


@pytest.mark.slow
def test_importing_it_loads_no_scipy_stats_and_the_package_does_not_import_it():
    # The test compares with before, because JAX, which Keras loads if it is installed, brings parts
    # of SciPy.
    code = (
        "import sys, keras\n"
        "before = 'scipy.stats' in sys.modules\n"
        "import keras_wn\n"
        "assert not any(name.startswith('keras_wn.study') for name in sys.modules)\n"
        "import keras_wn.study.statistics\n"
        "assert ('scipy.stats' in sys.modules) == before\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
