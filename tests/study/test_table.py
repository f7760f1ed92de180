"""Reads logs that are incomplete, that repeat trials, and whose lines are in another order."""

import random

import pandas as pd
import pytest

from keras_wn.study import table
from keras_wn.study.table import TrialTable
from tests.study import made_up_log


def test_without_a_protocol_nothing_is_comparable():
    with pytest.raises(ValueError, match="no line of kind 'protocol'"):
        TrialTable.from_records(made_up_log.accuracy({"wn": 0.9}))


def test_two_protocols_are_refused():
    protocol = made_up_log.PROTOCOL
    with pytest.raises(ValueError, match="differ"):
        TrialTable.from_records([protocol, {**protocol, "label_noise": 0.5}])
    assert TrialTable.from_records([protocol, protocol]).frame.empty


def test_a_trial_without_a_required_field_is_refused():
    spec = {"suite": "cost", "stage": "step", "method": "wn", "model": "resnet50"}
    with pytest.raises(ValueError, match="Trial 'a' lacks status, seed"):
        TrialTable.from_records([made_up_log.PROTOCOL, {"kind": "trial", "id": "a", "spec": spec}])


def test_among_trials_with_the_same_id_the_last_counts():
    first = made_up_log.trial("cost", "step", "wn", 0, status="crashed", error="no memory")
    records = made_up_log.log([first, {**first, "status": "finished"}])
    assert list(TrialTable.from_records(records).frame["status"]) == ["finished"]


def test_the_table_does_not_depend_on_the_order_of_the_lines():
    records = made_up_log.study()
    mixed = random.Random(0).sample(records, len(records))
    tables = [TrialTable.from_records(found) for found in (records, mixed)]
    assert tables[0].processes == tables[1].processes
    pd.testing.assert_frame_equal(tables[0].frame, tables[1].frame)


@pytest.mark.parametrize(
    ("status", "top1", "counted"),
    [("finished", 0.9, 0.9), ("diverged", 0.3, 0.3), ("diverged", None, 0.1)],
)
def test_a_diverged_trial_without_a_figure_counts_as_guessing(status, top1, counted):
    trial = made_up_log.trial("accuracy", "final", "wn", 0, status, final={"test": top1})
    frame = TrialTable.from_records(made_up_log.log([trial])).frame
    assert list(frame["test"]) == [counted]
    assert frame["measured_test"].isna().any() == (top1 is None)


def test_a_crashed_trial_has_no_result():
    trial = made_up_log.trial("accuracy", "final", "wn", 0, "crashed", final={"test": 0.9})
    frame = TrialTable.from_records(made_up_log.log([trial])).frame
    assert frame["test"].isna().all() and not frame["unstable"].any()
    assert table.count_by_status(frame) == {"finished": 0, "diverged": 0, "crashed": 1}
