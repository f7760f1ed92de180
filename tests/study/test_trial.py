"""Trials of one network share its step, and give what they give alone."""

import base64
import json

import numpy as np
import pytest

from keras_wn import models
from keras_wn.study.specs import Setting
from keras_wn.study.trial import Trials
from tests.study.made_up import TINY
from tests.training.conftest import tiny

# Most of the time of a short trial goes into the trace of its network, and one block is enough.
SMALL = TINY.changed(model="tiny")
FINE, WILD = Setting(0.05, 1e-4, 0.2), Setting(1e25, 0.0, 0.0)


@pytest.fixture
def planner(planner_of):
    return planner_of(protocol=SMALL)


@pytest.fixture(scope="module")
def trials(tmp_path_factory):
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(models._BUILDERS, "tiny", tiny)
        yield Trials(SMALL, tmp_path_factory.mktemp("running"))


def test_a_trial_gives_the_same_whatever_ran_before_it(trials, planner):
    spec = planner.spec("accuracy", "tune", "wn", FINE, seed=3)
    first = trials.run(spec)
    trials.run(planner.spec("accuracy", "tune", "wn", Setting(0.2, 1e-2, 0.0), seed=4))
    assert trials.run(spec)["final"] == first["final"]
    assert first["status"] == "finished" and first["epochs"] == SMALL.train_epochs


def test_measuring_in_between_does_not_change_the_training(trials, planner):
    plain = planner.spec("accuracy", "x", "wn", FINE, seed=3, splits=("train", "test"))
    watched = planner.spec(
        "accuracy",
        "x",
        "wn",
        FINE,
        seed=3,
        splits=("train", "test"),
        curve_epochs=(1, 3),
        signal_epochs=(0, 2),
    )
    record = trials.run(watched)
    assert record["final"] == trials.run(plain)["final"]
    assert record["curves"]["epoch"] == [1, 3]
    assert record["curves"]["test"][-1] == record["final"]["test"]["top1"]
    assert [signal["epoch"] for signal in record["signal"]] == [0, 2]
    assert len(record["signal"][0]["blocks"]) == 1  # One a block of the net.


def test_a_diverged_trial_ends_early_and_leaves_no_trace_in_the_next(trials, planner):
    fine = planner.spec("accuracy", "tune", "wn", FINE, seed=3)
    before = trials.run(fine)["final"]
    record = trials.run(planner.spec("accuracy", "tune", "wn", WILD, seed=3))
    assert record["status"] == "diverged"
    json.dumps(record)
    assert trials.run(fine)["final"] == before


def test_figures_are_those_of_inference_on_every_image(trials, planner):
    spec = planner.spec(
        "accuracy",
        "x",
        "bn",
        FINE,
        seed=0,
        splits=("train", "validation", "test"),
        keeps_correct=True,
    )
    record = trials.run(spec)
    model, splits = (
        trials._networks[spec.network].step.model,
        trials._draws[0, SMALL.train_size].splits,
    )
    for name in spec.splits:
        split = getattr(splits, name)
        correct = model.predict(split.images, verbose=0).argmax(-1) == split.labels
        assert record["final"][name]["top1"] == pytest.approx(np.mean(correct), abs=1e-6)
    # The bits of the test images tell which are classified correctly.
    bits = np.frombuffer(base64.b64decode(record["correct"]), "uint8")
    np.testing.assert_array_equal(np.unpackbits(bits, count=len(correct)), correct)


def test_a_trial_tells_its_effective_learning_rate(trials, planner):
    spec = planner.spec("accuracy", "tune", "none", FINE, seed=3)
    rates = trials.run(spec)["effective_rate"]
    # He et al.'s kernels have a mean square of 2 in each unit, so that rates are halved.
    assert rates["start"] == pytest.approx(FINE.learning_rate / 2, rel=0.1)
    assert rates["end"] != rates["start"]


def test_kernels_that_start_at_zero_do_not_count_for_the_effective_rate(trials, planner):
    spec = planner.spec("accuracy", "tune", "fixup", FINE, seed=3)
    rates = trials.run(spec)["effective_rate"]
    assert 0.1 * FINE.learning_rate < rates["start"] < 1000 * FINE.learning_rate


def test_options_of_a_trial_reach_its_network(trials, planner):
    options = (("statistics_batch", 64),)
    plain, changed = (
        planner.spec("regularization", "x", "bn", FINE, seed=3, options=chosen)
        for chosen in ((), options)
    )
    assert trials.run(plain)["final"] != trials.run(changed)["final"]
    assert plain.network != changed.network and plain.id != changed.id


def test_trials_of_one_network_share_one_trace(trials, planner, monkeypatch):
    spec = planner.spec("accuracy", "tune", "none", FINE, seed=3)
    trials.run(spec)
    network = trials._networks[spec.network]
    traces = []
    call = network.step.model.stateless_call
    monkeypatch.setattr(
        network.step.model, "stateless_call", lambda *a, **k: traces.append(1) or call(*a, **k)
    )
    trials.run(planner.spec("accuracy", "tune", "none", Setting(0.01, 1e-3, 0.1), seed=4))
    assert trials._networks[spec.network] is network and not traces
