import pytest

from keras_wn.study.analysis.profile import Profile
from keras_wn.study.analysis.trial_log import TrialLog
from tests.study.analysis import made_up


def log_of(*seconds, starting=()):
    trials = [
        {**made_up.trial("accuracy" if i < 2 else "cost", "final", "wn", i), "id": str(i), "seconds": parts}
        for i, parts in enumerate(seconds)
    ]
    processes = [{**made_up.PROCESS, "id": f"p{i}", "starting_seconds": s} for i, s in enumerate(starting)]
    return TrialLog.of([made_up.PROTOCOL, *processes, *trials])


def test_seconds_add_up_over_trials_and_processes():
    profile = Profile.of(
        log_of(
            {"training": 6.0, "evaluation": 1.0, "building": 2.0, "total": 9.0},
            {"training": 3.0, "evaluation": 0.5, "building": 0.5, "total": 4.0},
            {"training": 3.0},
            {},
            starting=(2.0, 2.0),
        )
    )
    assert profile.suites["accuracy"] == {"training": 9.0, "evaluation": 1.5, "building": 2.5}
    assert profile.starting == 4.0 and profile.total == 20.0
    assert profile.training_share == pytest.approx(12 / 20)
