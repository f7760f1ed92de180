"""What the suites regularization, signal and cost say of made-up trials."""

import math

import pytest

from keras_wn.study.analysis import cost, regularization, signal
from keras_wn.study.analysis.signal import Drift
from keras_wn.study.analysis.trial_log import TrialLog
from tests.study.analysis import made_up


def log(*suites):
    return TrialLog.of(made_up.log(*suites))


def test_the_best_cell_is_that_of_validation_and_not_of_test():
    records = made_up.regularization({"wn": 0.9}, spread=0)
    for record in records:
        plain = record["spec"]["dropout"] == 0 and record["spec"]["weight_decay"] == 0
        record["final"]["validation"]["top1"] = 0.95 if plain else 0.9
        record["final"]["test"]["top1"] = 0.7 if plain else 0.9
    found = regularization.measure(log(records, made_up.accuracy({"bn": 0.9, "wn": 0.8}, spread=0))).methods["wn"]
    assert (found.best.dropout, found.best.weight_decay) == (0.0, 0.0)
    assert found.before.value == pytest.approx(-0.1)
    assert found.after.value == pytest.approx(-0.2)


def test_a_cell_that_is_still_to_be_run_is_not_the_best():
    records = made_up.regularization({"wn": 0.9}, spread=0)
    best = [r for r in records if r["spec"]["dropout"] and r["spec"]["weight_decay"]]
    for record in best[1:]:
        records.remove(record)
    found = regularization.measure(log(records)).methods["wn"]
    assert found.best.trials[0].id != best[0]["id"]
    assert len(found.best.trials) == 5


def test_drift():
    found = signal.measure(log(made_up.signal({"bn": 1.5, "wn": 30.0})))
    assert found["bn"].drift == Drift(n=5, preserved=5, blown_up=0, vanished=0)
    assert found["wn"].drift == Drift(n=5, preserved=5, blown_up=5, vanished=5)
    start, _, end = found["wn"].profiles
    assert (start.epoch, start.n, start.ratio) == (0, 5, pytest.approx(1))
    assert end.ratio == pytest.approx(900)
    assert len(end.variance) == len(end.blocks) == 6


def test_a_variance_that_is_not_finite_has_blown_up():
    records = made_up.signal({"wn": 1.0})
    for record in records:
        record["signal"][-1]["blocks"][-1]["variance"] = None
    found = signal.measure(log(records))["wn"]
    assert found.drift.blown_up == 5
    assert math.isinf(found.profiles[-1].ratio)


def test_a_trial_that_diverged_at_once_has_no_drift():
    records = made_up.signal({"wn": 30.0})
    records[0].update(status="diverged", signal=records[0]["signal"][:1])
    found = signal.measure(log(records))["wn"]
    assert (found.drift.n, found.counts.diverged) == (4, 1)
    assert [profile.n for profile in found.profiles] == [5, 4, 4]


def test_step_times_are_compared_round_by_round():
    found = cost.measure(log(made_up.cost({"none": 1.0, "bn": 1.25}, spread=0)))
    # What the machine does to all of a round is no part of the ratio.
    assert found["bn"].ratio.value == pytest.approx(1.25)
    assert found["bn"].ratio.high - found["bn"].ratio.low < 1e-9
    assert found["bn"].share.value == pytest.approx(0.2)
    assert found["bn"].ratio_quartiles == pytest.approx((1.25, 1.25, 1.25))
    assert found["none"].ratio is None
    assert found["none"].quartiles[1] == pytest.approx(0.1, rel=0.2)


def test_a_method_that_was_not_timed_has_no_time():
    records = made_up.cost({"none": 1.0, "wn": 1.0})
    records[1].update(status="crashed", step_seconds=[])
    found = cost.measure(log(records))["wn"]
    assert (found.rounds, found.quartiles, found.ratio, found.share) == ({}, None, None, None)
