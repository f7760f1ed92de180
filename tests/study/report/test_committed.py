"""Checks that the report in docs/study is made from its trials, and that the README quotes it."""

import pathlib
import re

import pytest

from keras_wn.study import report
from keras_wn.study.log import Log

ROOT = pathlib.Path(__file__).parents[3]
STUDY = ROOT / "docs" / "study"


@pytest.mark.slow
def test_trials_give_the_report_again(tmp_path):
    report.write(Log(STUDY / "trials.jsonl").read(), tmp_path)
    assert (tmp_path / "report.md").read_text() == (STUDY / "report.md").read_text()
    figures = sorted(path.name for path in (STUDY / "figures").iterdir())
    assert figures == sorted(path.name for path in (tmp_path / "figures").iterdir())


def test_the_readme_has_the_reports_verdicts():
    verdicts = dict(
        re.findall(
            r"^\| (C\d)\..*? \| \*\*(.*?)\*\*", (STUDY / "report.md").read_text(), re.MULTILINE
        )
    )
    quoted = dict(
        re.findall(r"^\| (C\d): .*? \| (.*?) \|", (ROOT / "README.md").read_text(), re.MULTILINE)
    )
    assert len(verdicts) == 6
    assert {
        key: verdict.removesuffix(" at this scale") for key, verdict in verdicts.items()
    } == quoted
