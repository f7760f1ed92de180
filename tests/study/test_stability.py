"""Summarizes made-up trials of the suites stability and signal."""

import math

import pytest

from keras_wn.study import table
from keras_wn.study.stability import Drift, Limit, summarize_signal, summarize_stability
from keras_wn.study.table import TrialTable
from tests.study import made_up_log as made_up

DEEPEST = made_up.MODELS[-1]


def sweep(records, method="wn", model=DEEPEST):
    found = summarize_stability(TrialTable.from_records(made_up.log(records)))
    return found.sweeps[model, method]


def signal(records):
    return summarize_signal(TrialTable.from_records(made_up.log(records)))


def at(records, rate, seed):
    return next(
        r for r in records if (r["spec"]["learning_rate"], r["spec"]["seed"]) == (rate, seed)
    )


def only_deepest(limits):
    return made_up.stability(limits, models=(DEEPEST,))


def test_diverged_and_not_learned_are_counted_apart():
    last = sweep(only_deepest({"wn": 0.32})).cells[-1]
    assert (last.diverged, last.not_learned, last.unstable.value, last.unstable.n) == (2, 3, 1.0, 5)
    # Wilson's interval, of 5 in 5.
    assert last.unstable.low == pytest.approx(0.566, abs=1e-3)


def test_a_trial_learned_from_twice_guessing_on():
    records = only_deepest({"wn": 1.28})
    at(records, 1.28, 0)["final"]["validation"]["top1"] = 0.2
    at(records, 1.28, 1)["final"]["validation"]["top1"] = 0.199
    assert sweep(records).cells[-1].not_learned == 1


def test_limits_within_and_beyond_the_grid():
    limits = sweep(only_deepest({"wn": (0.01, 0.02, 0.08, 0.32, 1.28)})).limits
    assert [limit.learning_rate for limit in limits.values()] == [None, 0.02, 0.08, 0.32, 1.28]
    assert [limit.censored for limit in limits.values()] == ["below", None, None, None, "at least"]
    # One step of the grid below its smallest rate.
    assert limits[0].decades == pytest.approx(math.log10(0.005))


def test_an_unstable_rate_ends_the_stable_ones():
    assert Limit.from_grid([1.0, 10.0, 100.0], [True, False, True]).learning_rate == 1.0


def test_a_grid_of_one_rate():
    assert Limit.from_grid([0.1], [False]).decades == -1
    assert Limit.from_grid([0.1], [True]).censored == "at least"


def test_a_seed_whose_sweep_has_a_hole_has_no_limit():
    records = only_deepest({"wn": 0.32})
    at(records, 0.08, 3).update(status="crashed", final={})
    records.remove(at(records, 0.02, 4))
    found = sweep(records)
    assert set(found.limits) == {0, 1, 2}
    assert found.decades.n == 3
    assert table.count_by_status(found.cells[1].trials)["crashed"] == 1
    assert found.cells[1].unstable.n == 4


def test_sensitivity_is_the_distance_to_the_best_rate():
    records = only_deepest({"wn": 0.32})
    for seed in range(5):
        at(records, 0.02, seed)["final"]["validation"]["top1"] = 0.8
    # 0.8, 0.9, 0.9 and guessing: of the best, 0.9, they miss 0.1, 0, 0 and 0.8.
    assert sweep(records).sensitivity.value == pytest.approx(0.9 / 4)


def test_where_nothing_trains_there_is_no_sensitivity():
    assert sweep(only_deepest({"wn": 0.001})).sensitivity is None


def test_networks_are_sorted_by_depth():
    records = made_up.stability({"wn": 0.32}, models=("resnet101", "resnet18", "resnet50"))
    found = summarize_stability(TrialTable.from_records(made_up.log(records)))
    assert found.models == ("resnet18", "resnet50", "resnet101")


def test_drift():
    found = signal(made_up.signal({"bn": 1.5, "wn": 30.0}))
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
    found = signal(records)["wn"]
    assert found.drift.blown_up == 5
    assert math.isinf(found.profiles[-1].ratio)


def test_a_trial_that_diverged_at_once_has_no_drift():
    records = made_up.signal({"wn": 30.0})
    records[0].update(status="diverged", signal=records[0]["signal"][:1])
    found = signal(records)["wn"]
    assert (found.drift.n, (found.trials["status"] == "diverged").sum()) == (4, 1)
    assert [profile.n for profile in found.profiles] == [5, 4, 4]
