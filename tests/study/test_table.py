"""Reads records into a frame, and pairs trials."""

import random

import pandas as pd
import pytest

from keras_wn.study import limits, table
from keras_wn.study.records import table_of
from tests.study.made_up import METHODS, World, log

RECORDS = log(World({"bn": 0.8, "wn": 0.75}), ("accuracy", "stability"))


def test_the_order_of_the_lines_does_not_matter():
    shuffled = random.Random(0).sample(RECORDS, len(RECORDS))
    pd.testing.assert_frame_equal(table_of(RECORDS).frame, table_of(shuffled).frame)


def test_a_difference_is_paired_by_seed_in_points_and_knows_the_noise_of_the_images():
    trials = table_of(RECORDS)
    wn, bn = trials.finals("wn"), trials.finals("bn")
    found = trials.difference(wn, bn)
    assert found.n == 10 and found.value == pytest.approx(-5, abs=0.5)
    # 5 of 100 test images are told apart by all seeds alike: sqrt(0.05 0.95 / 1000) is 0.7 points.
    assert found.error == pytest.approx(0.7, abs=0.15)
    by_seed = trials.difference(wn.assign(correct=""), bn)
    assert by_seed.value == pytest.approx(found.value, abs=0.1) and by_seed.error < 0.2
    assert trials.difference(wn, bn, seeds=4).n == 4


def test_trials_that_did_not_finish_are_no_pairs():
    trials = table_of(RECORDS)
    wn = trials.finals("wn")
    wn.loc[wn["seed"] == 3, "status"] = "diverged"
    assert trials.difference(wn, trials.finals("bn")).n == 9
    assert trials.difference(wn[:0], trials.finals("bn")) is None


def test_methods_and_suites_outside_of_the_plan_are_exploratory():
    protocol, *rest = RECORDS
    planned = {**protocol["planned"], "methods": ["bn", "wn"], "suites": ["accuracy"]}
    frame = table_of([{**protocol, "planned": planned}, *rest]).frame
    expected = ~frame["method"].isin(["bn", "wn"]) | (frame["suite"] == "stability")
    pd.testing.assert_series_equal(frame["exploratory"], expected, check_names=False)


def test_choices_and_limits_are_those_of_the_plan():
    trials = table_of(RECORDS)
    assert set(trials.choices) == set(METHODS)
    finals = trials.finals("wn")
    assert set(finals["chosen_from"]) == {trials.choices["wn"].trials}
    counts = limits.found(trials).groupby(["method", "model"]).size()
    assert set(counts) == {8} and len(counts) == 10


@pytest.mark.parametrize(
    "records, message",
    [
        ([], "There is no line of kind 'protocol'"),
        ([{"kind": "protocol", "a": 1}, {"kind": "protocol", "a": 2}], "differ: trials of diff"),
    ],
)
def test_records_that_are_no_log_are_refused(records, message):
    with pytest.raises(ValueError, match=message):
        table_of(records)


def test_methods_stand_in_one_order():
    names = ["gn", "zzz", "wn", "bn", "none", "aaa"]
    assert sorted(names, key=table.method_place) == ["none", "bn", "wn", "gn", "aaa", "zzz"]
