import pytest

from keras_wn.study import report
from tests.study import made_up_log as made_up


@pytest.fixture(scope="session")
def records():
    """Records of all suites, with a long command and a crash with a long error."""
    crash = made_up.trial(
        "accuracy", "final", "wn", 7, status="crashed", error="no room for " + "x" * 500
    )
    protocol, process, *trials = made_up.study()
    return [
        protocol,
        {**process, "command": "compare.py --out=/" + "very_long_name" * 30},
        *trials,
        crash,
    ]


@pytest.fixture(scope="session")
def written(records, tmp_path_factory):
    """Folder of their report."""
    folder = tmp_path_factory.mktemp("report")
    report.write(records, folder)
    return folder
