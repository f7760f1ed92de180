"""What the stability suite says of made-up sweeps."""

import math

import pytest

from keras_wn.study.analysis import stability
from keras_wn.study.analysis.limit import Limit
from keras_wn.study.analysis.trial_log import TrialLog
from tests.study.analysis import made_up

DEEPEST = made_up.MODELS[-1]


def sweep(records, method="wn", model=DEEPEST):
    return stability.measure(TrialLog.of(made_up.log(records))).sweeps[model, method]


def at(records, rate, seed):
    return next(r for r in records if (r["spec"]["learning_rate"], r["spec"]["seed"]) == (rate, seed))


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


def test_limits_and_what_the_grid_hides():
    limits = sweep(only_deepest({"wn": (0.01, 0.02, 0.08, 0.32, 1.28)})).limits
    assert [limit.learning_rate for limit in limits.values()] == [None, 0.02, 0.08, 0.32, 1.28]
    assert [limit.censored for limit in limits.values()] == ["below", None, None, None, "at least"]
    # One step of the grid below its smallest rate.
    assert limits[0].decades == pytest.approx(math.log10(0.005))


def test_a_hole_ends_what_is_stable():
    assert Limit.of(0, [1.0, 10.0, 100.0], [True, False, True]).learning_rate == 1.0


def test_a_grid_of_one_rate():
    assert Limit.of(0, [0.1], [False]).decades == -1
    assert Limit.of(0, [0.1], [True]).censored == "at least"


def test_a_seed_whose_sweep_has_a_hole_has_no_limit():
    records = only_deepest({"wn": 0.32})
    at(records, 0.08, 3).update(status="crashed", final={})
    records.remove(at(records, 0.02, 4))
    found = sweep(records)
    assert set(found.limits) == {0, 1, 2}
    assert found.decades.n == 3
    assert found.cells[1].counts.crashed == 1
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
    assert stability.measure(TrialLog.of(made_up.log(records))).models == ("resnet18", "resnet50", "resnet101")
