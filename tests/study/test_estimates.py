"""Checks known answers, and by simulation how often intervals cover and decisions are wrong."""

import math

import numpy as np
import pytest
import scipy.stats

from keras_wn.study.estimates import (
    Difference,
    crossed,
    holm,
    levels_of_looks,
    of_mean,
    paired,
    pairs_needed,
    share_of,
)

FIRST = [0.91, 0.95, 0.93, 0.97, 0.90]
SECOND = [0.90, 0.91, 0.94, 0.92, 0.89]


def test_paired_is_scipys_paired_t_test():
    found, expected = paired(FIRST, SECOND), scipy.stats.ttest_rel(FIRST, SECOND)
    assert found.p_value() == pytest.approx(expected.pvalue)
    greater = scipy.stats.ttest_rel(FIRST, SECOND, alternative="greater").pvalue
    assert found.p_above(0) == pytest.approx(greater)
    assert found.p_below(0) == pytest.approx(1 - greater)
    interval = found.interval(0.9)
    np.testing.assert_allclose((interval.low, interval.high), expected.confidence_interval(0.9))


def test_interval_and_p_value_decide_alike():
    found = paired(FIRST, SECOND)
    for bound in (found.interval(0.95).low, found.interval(0.95).high):
        assert found.p_value(bound) == pytest.approx(0.05)
    # Equal within a margin at 5 % if the interval of 90 % lies within it.
    margin = max(abs(found.interval(0.9).low), abs(found.interval(0.9).high))
    assert found.p_within(margin) == pytest.approx(0.05)


def test_one_pair_and_pairs_without_spread():
    one = paired([1.0], [0.5])
    assert (one.value, one.p_value(), one.p_within(9.0)) == (0.5, 1.0, 1.0)
    assert one.interval(0.95).high == math.inf
    same = paired(FIRST, FIRST)
    assert (same.error, same.p_value(), same.p_within(0.01)) == (0.0, 1.0, 0.0)
    shifted = Difference(0.5, 0.0, 4, 5)
    assert (shifted.p_value(), shifted.p_above(0), shifted.p_below(0)) == (0.0, 0.0, 1.0)


def test_crossed_with_images_that_do_not_differ_is_paired():
    seeds = np.random.default_rng(0).normal(size=8)
    rows = np.repeat(seeds[:, None], 50, axis=1)
    found, expected = crossed(rows, np.zeros_like(rows)), paired(seeds, np.zeros(8))
    assert found.value == pytest.approx(expected.value)
    assert found.error == pytest.approx(expected.error)
    assert found.freedom == pytest.approx(7)


def test_crossed_with_seeds_that_do_not_differ_is_the_test_over_images():
    images = np.random.default_rng(0).normal(size=50)
    rows = np.repeat(images[None], 8, axis=0)
    found, expected = crossed(rows, np.zeros_like(rows)), paired(images, np.zeros(50))
    assert found.error == pytest.approx(expected.error)
    assert found.freedom == pytest.approx(49)
    assert crossed(rows, rows) == Difference(0.0, 0.0, 7, 8)
    assert crossed(rows[:1], np.zeros((1, 50))).error == math.inf


def drawn(rng, seeds, images, by_seed, by_image, noise=0.3):
    """Differences whose truth is 0, with parts by seed, by image, and by both."""
    return (
        rng.normal(0, by_seed, (seeds, 1))
        + rng.normal(0, by_image, (1, images))
        + rng.normal(0, noise, (seeds, images))
    )


@pytest.mark.parametrize(
    "seeds, images, by_seed, by_image",
    [(10, 400, 0.01, 0.2), (20, 400, 0.01, 0.2), (10, 400, 0.03, 0.05), (10, 100, 0.0, 0.3)],
)
def test_intervals_of_crossed_differences_cover_what_they_say(seeds, images, by_seed, by_image):
    rng, zeros = np.random.default_rng(0), np.zeros((seeds, images))
    found = [crossed(drawn(rng, seeds, images, by_seed, by_image), zeros) for _ in range(1500)]
    intervals = [difference.interval(0.95) for difference in found]
    # The standard error of the share is 0.006.
    assert 0.93 < np.mean([i.low < 0 < i.high for i in intervals]) < 0.97


def test_intervals_by_seed_alone_do_not_cover_new_images():
    rng = np.random.default_rng(0)
    means = [drawn(rng, 10, 400, 0.01, 0.2).mean(axis=1) for _ in range(500)]
    intervals = [paired(m, np.zeros(10)).interval(0.95) for m in means]
    assert np.mean([i.low < 0 < i.high for i in intervals]) < 0.92


def test_intervals_of_shares_cover_what_they_say():
    rng = np.random.default_rng(0)
    whole = rng.normal(1.0, 0.5, (2000, 20))
    part = 0.4 * whole + rng.normal(0, 0.3, (2000, 20))
    found = [share_of(p, w) for p, w in zip(part, whole, strict=True)]
    assert 0.93 < np.mean([f.low < 0.4 < f.high for f in found]) < 0.97
    assert np.mean([f.value for f in found]) == pytest.approx(0.4, abs=0.01)


def test_a_share_of_nothing_may_be_anything():
    found = share_of([1.0, 2.0, 3.0], [1.0, -1.0, 0.1])
    assert (found.low, found.high) == (-math.inf, math.inf)


def test_pairs_needed_decide_in_four_of_five_studies():
    rng = np.random.default_rng(0)
    found = Difference(0.5, error=1.0 / math.sqrt(10), freedom=9, n=10)
    needed = pairs_needed(found, 0.5)
    samples = rng.normal(0.5, 1.0, (4000, needed))
    decided = (scipy.stats.ttest_1samp(samples, 0, axis=1).pvalue < 0.05).mean()
    assert 0.77 < decided < 0.83
    assert pairs_needed(found, 0.0) == math.inf and pairs_needed(of_mean([1.0]), 1.0) is None
    # A study that just missed its decision needs one pair more at the least.
    assert pairs_needed(found, 5.0) == 11


def test_more_seeds_do_not_make_the_noise_of_the_test_images_smaller():
    rng = np.random.default_rng(0)
    first, second = (rng.random((40, 500)) < rng.random(500) for _ in range(2))
    found, fewer = crossed(first, second), crossed(first[:10], second[:10])
    assert found.fixed == pytest.approx(fewer.fixed, rel=0.1)
    assert found.error == pytest.approx(found.fixed, rel=0.1)
    # At that noise, no number of seeds shows a difference of two errors.
    assert pairs_needed(found, 2 * found.fixed) == math.inf
    assert found.n < pairs_needed(found, 2.9 * found.fixed) < math.inf


# Of two and of three even looks: Lan & DeMets' bounds for their first spending function, as
# gsDesign (sfLDOF) and the textbooks print them.
@pytest.mark.parametrize(
    "counts, bounds",
    [((10, 20), (2.963, 1.969)), ((1, 2, 3), (3.710, 2.511, 1.993))],
)
def test_levels_of_looks_are_the_published_ones(counts, bounds):
    found = scipy.stats.norm.isf(np.array(levels_of_looks(0.05, counts)) / 2)
    np.testing.assert_allclose(found, bounds, atol=2e-3)


def test_one_look_has_the_whole_level():
    assert levels_of_looks(0.05, (20,)) == pytest.approx((0.05,))


def test_planned_looks_are_wrong_as_often_as_they_say_and_unplanned_ones_more_often():
    rng = np.random.default_rng(0)
    samples = rng.normal(size=(4000, 20))
    p_values = np.stack(
        [scipy.stats.ttest_1samp(samples[:, :n], 0, axis=1).pvalue for n in (10, 20)]
    )
    planned = (p_values.T <= levels_of_looks(0.05, (10, 20))).any(axis=1).mean()
    # The standard error is 0.0034.
    assert 0.04 < planned < 0.06
    assert (p_values <= 0.05).any(axis=0).mean() > 0.07


def test_holm_over_one_look_is_holms_procedure():
    # Holm 1979: 0.01 <= 0.05 / 3, 0.02 <= 0.05 / 2, 0.06 > 0.05.
    p_values = {"a": 0.02, "b": 0.06, "c": 0.01}
    assert holm([p_values], (20,)) == {"a": 0, "b": None, "c": 0}
    # Nothing behind one that stands is rejected.
    assert holm([{"a": 0.03, "b": 0.04}], (20,)) == {"a": None, "b": None}


def test_methods_and_looks_together_are_wrong_as_often_as_they_say():
    rng = np.random.default_rng(0)
    # Differences of four methods from one baseline, which go together.
    samples = rng.normal(size=(4, 3000, 20)) + rng.normal(size=(3000, 20))
    first, second = (scipy.stats.ttest_1samp(samples[..., :n], 0, axis=-1).pvalue for n in (10, 20))
    wrong = 0
    for p_values in zip(first.T, second.T, strict=True):
        looks = [dict(zip("abcd", p.tolist(), strict=True)) for p in p_values]
        wrong += any(look is not None for look in holm(looks, (10, 20)).values())
    # The standard error is 0.004. Holm's procedure is conservative for hypotheses that go together.
    assert 0.02 < wrong / 3000 < 0.058


def test_what_a_look_rejected_stays_rejected():
    looks = [{"a": 1e-6, "b": 0.5}, {"a": 0.9, "b": 0.045}]
    assert holm(looks, (10, 20)) == {"a": 0, "b": 1}
    assert holm([], (10, 20)) == {}


@pytest.mark.parametrize(
    "call, message",
    [
        (lambda: paired([1, 2], [1]), r"paired: \(2,\) and \(1,\) values. Allowed: lists of one"),
        (lambda: paired([], []), r"paired: \(0,\) and \(0,\) values"),
        (lambda: share_of([1], [1]), r"share_of: \(1,\) and \(1,\) values. Allowed: lists of two"),
        (lambda: crossed([[1, 2]], [[1]]), r"crossed: \(1, 2\) and \(1, 1\) values. Allowed: two"),
        (lambda: crossed([[1]], [[1]]), r"with two images or more"),
        (lambda: levels_of_looks(0, (10,)), "level=0 is not allowed. Allowed: more than 0"),
        (lambda: levels_of_looks(0.05, (20, 10)), r"counts=\(20, 10\) is not allowed"),
        (lambda: levels_of_looks(0.05, ()), r"counts=\(\) is not allowed. Allowed: increasing"),
        (lambda: holm([{"a": 1}, {"a": 1}], (10,)), "2 looks with .* Allowed: up to 1"),
        (lambda: holm([{"a": 1}, {"b": 1}], (10, 20)), "with the same names"),
    ],
)
def test_invalid_input_is_refused(call, message):
    with pytest.raises(ValueError, match=message):
        call()
