"""Draws the points of a search, extends it, and chooses among its trials."""

import numpy as np
import pytest

from keras_wn.study import search
from keras_wn.study.plan import TrialSpec
from tests.study.made_up import result

RANGES = {"learning_rate": [0.01, 1.0], "weight_decay": [1e-5, 1e-2], "warmup_share": [0.0, 0.4]}


def trial(rate, top1, status="finished", **options):
    spec = TrialSpec("accuracy", "tune", "wn", "m", "sum", 0, 10, rate, 1e-4, 2.0, **options)
    return result(spec, top1, status)


def test_points_fill_the_range_of_learning_rates_evenly():
    points = search.settings(RANGES, 0, 15)
    rates = np.sort(np.log([point.learning_rate for point in points]))
    # Fifteen points of a base-2 sequence are the sixteenths of the range.
    np.testing.assert_allclose(np.diff(rates), np.log(100) / 16, rtol=2e-3)
    assert all(
        1e-5 <= point.weight_decay <= 1e-2 and 0 <= point.warmup_share <= 0.4 for point in points
    )


def test_a_search_that_goes_on_continues_the_sequence():
    assert search.settings(RANGES, 0, 8) == search.settings(RANGES, 0, 5) + search.settings(
        RANGES, 5, 3
    )


def test_the_best_validation_is_chosen_and_a_tie_by_loss():
    trials = [trial(0.1, 0.8), trial(0.2, 0.9), trial(0.4, 0.7)]
    choice = search.choose(trials, epochs=10)
    assert (choice.setting.learning_rate, choice.trial, choice.edge) == (
        0.2,
        trials[1]["id"],
        False,
    )
    assert choice.setting.warmup_share == pytest.approx(0.2)
    tied = [trial(0.1, 0.8), trial(0.2, 0.8), trial(0.4, 0.8)]
    tied[1]["final"]["validation"] = {"loss": 0.01, "top1": 0.8}
    assert search.choose(tied, epochs=10).setting.learning_rate == 0.2


def test_a_diverged_trial_is_never_chosen_but_shows_that_the_edge_was_passed():
    trials = [trial(0.1, 0.8), trial(0.2, 0.9), trial(0.4, 0.95, "diverged")]
    choice = search.choose(trials, epochs=10)
    assert choice.setting.learning_rate == 0.2 and not choice.edge


@pytest.mark.parametrize(
    "best, expected", [(0, (0.1 / 80, 0.01)), (2, (1.0, 8.0)), (1, (0.01, 1.0))]
)
def test_an_extension_looks_beyond_the_edge_that_is_best(best, expected):
    trials = [trial(rate, 0.9 if i == best else 0.5) for i, rate in enumerate((0.02, 0.1, 0.9))]
    assert search.extended(RANGES, trials) == pytest.approx(expected)


def test_where_everything_diverged_lower_rates_are_tried_and_the_lowest_is_reported():
    trials = [trial(rate, 0.1, "diverged") for rate in (0.05, 0.1)]
    assert search.extended(RANGES, trials) == pytest.approx((0.01 / 8, 0.01))
    choice = search.choose(trials, epochs=10)
    assert choice.setting.learning_rate == 0.05 and choice.edge
