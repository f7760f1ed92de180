"""Adds up the seconds of made-up trials."""

import pytest

from keras_wn.study.results import TimeSpent
from keras_wn.study.table import TrialTable
from tests.study import made_up_log


def table_of(*seconds, starting=()):
    trials = [
        {
            **made_up_log.trial("accuracy" if i < 2 else "cost", "final", "wn", i),
            "id": str(i),
            "seconds": parts,
        }
        for i, parts in enumerate(seconds)
    ]
    processes = [
        {**made_up_log.PROCESS, "id": f"p{i}", "starting_seconds": s}
        for i, s in enumerate(starting)
    ]
    return TrialTable.from_records([made_up_log.PROTOCOL, *processes, *trials])


def test_seconds_add_up_over_trials_and_processes():
    spent = TimeSpent.from_table(
        table_of(
            {"training": 6.0, "evaluation": 1.0, "building": 2.0, "total": 9.0},
            {"training": 3.0, "evaluation": 0.5, "building": 0.5, "total": 4.0},
            {"training": 3.0},
            {},
            starting=(2.0, 2.0),
        )
    )
    assert spent.suites["accuracy"] == {"training": 9.0, "evaluation": 1.5, "building": 2.5}
    assert spent.starting == 4.0 and spent.total == 20.0
    assert spent.training_share == pytest.approx(12 / 20)
