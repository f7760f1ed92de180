"""What the accuracy suite says of made-up trials."""

import pytest

from keras_wn.study.analysis import accuracy
from keras_wn.study.analysis.counts import Counts
from keras_wn.study.analysis.target import Target
from keras_wn.study.analysis.trial import Trial
from keras_wn.study.analysis.trial_log import TrialLog
from tests.study.analysis import made_up


def measure(*records):
    return accuracy.measure(TrialLog.of(made_up.log(*records)))


def tune(*figures, **more):
    """Tuning trials of these validation top-1, at growing learning rates."""
    return [
        made_up.trial(
            "accuracy", "tune", "wn", 0, final={"validation": top1}, learning_rate=0.1 * 2**i, number=i, round=0, **more
        )
        for i, top1 in enumerate(figures)
    ]


def test_final_accuracy_and_gap():
    found = measure(made_up.accuracy({"bn": 0.9, "wn": 0.95}, train={"wn": 0.98}, spread=0))["wn"]
    assert found.tops["test"].iqm.value == pytest.approx(0.95)
    assert found.tops["test"].mean.value == pytest.approx(0.95)
    assert found.gap.mean.value == pytest.approx(0.03)
    assert found.against_baseline.test.value == pytest.approx(0.05)
    assert found.against_baseline.gap.value == pytest.approx(0.03 - 0.09)
    assert found.against_baseline.improvement.value == 1
    assert found.counts == Counts(finished=5, diverged=0, crashed=0)


def test_the_baseline_is_not_compared_with_itself():
    assert measure(made_up.accuracy({"bn": 0.9}))["bn"].against_baseline is None


def test_without_a_baseline_there_is_no_comparison():
    assert measure(made_up.accuracy({"wn": 0.9}))["wn"].against_baseline.test is None


def test_of_equal_trials_that_with_the_lower_loss_is_chosen():
    records = tune(0.8, 0.9, 0.9)
    records[1]["final"]["validation"]["loss"] = 0.5
    records[2]["final"]["validation"]["loss"] = 0.4
    assert measure(records)["wn"].chosen.id == records[2]["id"]


def test_a_diverged_trial_is_never_chosen():
    records = tune(0.5, 0.99)
    records[1]["status"] = "diverged"
    found = measure(records)["wn"]
    assert found.chosen.id == records[0]["id"]
    assert found.tune_counts == Counts(finished=1, diverged=1, crashed=0)
    assert accuracy.choose(found.tune[1:], 10) is None


@pytest.mark.parametrize(("tops", "edge"), [((0.9, 0.8, 0.7), True), ((0.7, 0.9, 0.8), False), ((0.7, 0.8, 0.9), True)])
def test_the_smallest_and_the_largest_rate_are_the_edge(tops, edge):
    assert measure(tune(*tops))["wn"].edge is edge


def test_a_crashed_trial_is_no_edge():
    records = tune(0.8, 0.9, 0.7)
    records[2].update(status="crashed", final={})
    assert measure(records)["wn"].edge is True


def test_final_trials_say_what_was_chosen():
    records = tune(0.7, 0.8, 0.9)
    final = made_up.trial("accuracy", "final", "wn", 0, final={"test": 0.8}, chosen_from=records[1]["id"], edge=False)
    found = measure(records, [final])["wn"]
    assert (found.chosen.id, found.best.id, found.edge) == (records[1]["id"], records[2]["id"], False)


def trial_with(*tops):
    spec = {"suite": "accuracy", "stage": "final", "method": "wn", "model": "m", "seed": 0}
    curves = {"epoch": list(range(1, len(tops) + 1)), "validation": list(tops)}
    return Trial.of({"id": "a", "status": "finished", "spec": spec, "curves": curves})


def test_epochs_to_target():
    soon, late, never = trial_with(0.5, 0.9, 0.8), trial_with(0.1, None, 0.9), trial_with(0.1, 0.2, 0.3)
    assert Target.of([soon, late, never], 0.9) == Target((2, 3, None), 3)
    assert Target.of([soon, late, never], 0.9).reached == 2
    assert Target.of([soon, never, never], 0.9).median is None
    assert Target.of([soon], None) == Target((), None)
