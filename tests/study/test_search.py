"""Draws the points of a search, extends it, chooses among them, and encloses limits."""

import math

import numpy as np
import pytest

from keras_wn.study import search
from keras_wn.study.estimates import of_mean
from keras_wn.study.search import Scored
from keras_wn.study.specs import Setting

RANGES = {"learning_rate": (0.01, 1.0), "weight_decay": (1e-5, 1e-2), "warmup_share": (0.0, 0.4)}
MIDDLE = {"learning_rate": 0.1, "weight_decay": 3e-4, "warmup_share": 0.2}


def test_points_fill_the_range_of_learning_rates_evenly():
    points = search.settings(RANGES, 0, 15)
    rates = np.sort(np.log([point.learning_rate for point in points]))
    # Fifteen points of a base-2 sequence are the sixteenths of the range.
    np.testing.assert_allclose(np.diff(rates), np.log(100) / 16, rtol=2e-3)
    assert all(1e-5 <= p.weight_decay <= 1e-2 and 0 <= p.warmup_share <= 0.4 for p in points)


def test_a_search_that_goes_on_continues_the_sequence():
    first, rest = search.settings(RANGES, 0, 5), search.settings(RANGES, 5, 3)
    assert search.settings(RANGES, 0, 8) == first + rest


def scored(best, name="learning_rate", values=None):
    """Settings at both ends and in the middle of a range, of which one is best."""
    low, high = RANGES[name]
    values = values or (low, MIDDLE[name], high)
    return [
        Scored(Setting(**{**MIDDLE, name: value}), 0.9 if i == best else 0.5, 1.0, (f"t{i}",))
        for i, value in enumerate(values)
    ]


def test_the_best_validation_is_chosen_and_a_tie_by_loss():
    choice = search.choose(scored(1))
    assert (choice.setting.learning_rate, choice.trials, choice.edges) == (0.1, ("t1",), ())
    tied = [
        Scored(s.setting, 0.8, loss, s.trials) for s, loss in zip(scored(0), (3, 2, 1), strict=True)
    ]
    assert search.choose(tied).trials == ("t2",)


def test_where_everything_diverged_the_lowest_rate_is_reported():
    lost = [Scored(s.setting, 0.1, math.inf, s.trials) for s in scored(0)]
    assert search.choose(lost).setting.learning_rate == 0.01


@pytest.mark.parametrize(
    "name, best, expected",
    [
        ("learning_rate", 0, (0.001, 0.01)),
        ("learning_rate", 1, (0.01, 1.0)),
        ("learning_rate", 2, (1.0, 10.0)),
        ("weight_decay", 2, (1e-2, 1e-2 * 1000**0.5)),
        ("warmup_share", 2, (0.4, 0.6)),
        # Nothing lies below these.
        ("weight_decay", 0, (1e-5, 1e-2)),
        ("warmup_share", 0, (0.0, 0.4)),
    ],
)
def test_an_extension_looks_beyond_the_edge_that_is_best(name, best, expected):
    found = search.extended(RANGES, scored(best, name))
    assert found[name] == pytest.approx(expected)
    assert {k: v for k, v in found.items() if k != name} == {
        k: v for k, v in RANGES.items() if k != name
    }
    is_edge = expected != RANGES[name]
    assert search.choose(scored(best, name)).edges == ((name,) if is_edge else ())


@pytest.mark.parametrize("guess", [None, -2.0, 3.0, -20.0, 20.0])
@pytest.mark.parametrize("limit", [0.0001, 0.01, 0.7, 5.0, 1e6])
def test_a_bracket_encloses_the_limit_whatever_the_guess(limit, guess):
    asked = []

    def is_stable(rate):
        asked.append(rate)
        return rate <= limit

    rates, bracket = search.bisect(0.002, ("wn", 3), is_stable, guess)
    assert rates == asked and len(set(rates)) == len(rates)
    if bracket.stable and bracket.unstable:
        assert bracket.stable <= limit < bracket.unstable
        assert bracket.unstable / bracket.stable == pytest.approx(2**0.5, rel=2e-3)
    else:
        assert bracket.is_censored and limit in (0.0001, 1e6)


def test_a_bisection_asks_for_one_rate_at_a_time():
    done = {}
    for count in range(1, 9):
        rates, bracket = search.bisect(0.002, ("wn", 0), done.get)
        if bracket:
            break
        assert len(rates) == count
        done[rates[-1]] = rates[-1] < 0.5
    assert bracket.stable < 0.5 < bracket.unstable


def test_a_good_guess_saves_trials():
    counts = {}
    for guess in (None, math.log2(0.5)):
        found = [
            search.bisect(0.002, ("wn", s), lambda rate: rate < 0.5, guess)[0] for s in range(20)
        ]
        counts[guess] = np.mean([len(rates) for rates in found])
    assert counts[math.log2(0.5)] < 3 < counts[None]


def test_middles_of_brackets_are_unbiased_and_their_intervals_cover():
    rng = np.random.default_rng(0)
    covered, middles = [], []
    for study in range(400):
        truth = rng.normal(0.0, 0.2, 10)
        octaves = [
            search.bisect(0.002, (study, s), lambda rate, at=at: math.log2(rate) <= at)[1].octaves
            for s, at in enumerate(truth)
        ]
        middles += (np.array(octaves) - truth).tolist()
        interval = of_mean(octaves).interval(0.95)
        covered.append(interval.low < 0 < interval.high)
    # The middle lies up to a quarter of an octave off, with a mean of 0.
    assert abs(np.mean(middles)) < 0.01 and max(np.abs(middles)) < 0.2505
    assert 0.93 < np.mean(covered) < 0.97
