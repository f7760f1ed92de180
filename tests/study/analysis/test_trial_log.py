"""Records that are no log, that are there twice, and that come in another order."""

import random

import pytest

from keras_wn.study import analysis
from keras_wn.study.analysis.trial import Trial
from keras_wn.study.analysis.trial_log import TrialLog
from tests.study.analysis import made_up


def test_without_a_protocol_nothing_is_comparable():
    with pytest.raises(ValueError, match="no line of kind 'protocol'"):
        TrialLog.of(made_up.accuracy({"wn": 0.9}))


def test_two_protocols_are_refused():
    with pytest.raises(ValueError, match="differ"):
        TrialLog.of([made_up.PROTOCOL, {**made_up.PROTOCOL, "label_noise": 0.5}])
    assert TrialLog.of([made_up.PROTOCOL, made_up.PROTOCOL]).trials == ()


def test_a_trial_that_says_not_which_it_is_is_refused():
    with pytest.raises(ValueError, match="Trial 'a' lacks status, seed"):
        Trial.of({"id": "a", "spec": {"suite": "cost", "stage": "step", "method": "wn", "model": "resnet50"}})


def test_of_trials_with_one_identity_the_last_counts():
    first = made_up.trial("cost", "step", "wn", 0, status="crashed", error="no memory")
    (found,) = TrialLog.of(made_up.log([first, {**first, "status": "finished"}])).trials
    assert found.status == "finished"


def test_results_do_not_depend_on_the_order_of_the_lines():
    records = made_up.study()
    mixed = random.Random(0).sample(records, len(records))
    assert analysis.analyze(records) == analysis.analyze(mixed)
