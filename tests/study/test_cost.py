"""Summarizes made-up trials of the suite cost."""

import pytest

from keras_wn.study.cost import summarize_cost
from keras_wn.study.table import TrialTable
from tests.study import made_up_log as made_up


def measure(records):
    return summarize_cost(TrialTable.from_records(made_up.log(records)))


def test_step_times_are_compared_round_by_round():
    found = measure(made_up.cost({"none": 1.0, "bn": 1.25}, spread=0))
    # A slowdown that all methods of a round share does not change the ratio.
    assert found["bn"].ratio.value == pytest.approx(1.25)
    assert found["bn"].ratio.high - found["bn"].ratio.low < 1e-9
    assert found["bn"].share.value == pytest.approx(0.2)
    assert found["bn"].ratio_quartiles == pytest.approx((1.25, 1.25, 1.25))
    assert found["none"].ratio is None
    assert found["none"].quartiles[1] == pytest.approx(0.1, rel=0.2)


def test_a_method_that_was_not_timed_has_no_time():
    records = made_up.cost({"none": 1.0, "wn": 1.0})
    records[1].update(status="crashed", step_seconds=[])
    found = measure(records)["wn"]
    assert found.rounds.empty
    assert (found.quartiles, found.ratio, found.share) == (None, None, None)
