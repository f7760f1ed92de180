"""Checks that docs/study/index.md quotes the report beside it, which is of protocol 1."""

import pathlib
import re

import pytest

from keras_wn.study.log import Log
from keras_wn.training.errors import UsageError

ROOT = pathlib.Path(__file__).parents[2]
STUDY = ROOT / "docs" / "study"


def test_the_study_of_protocol_1_is_refused_with_how_to_report_it():
    with pytest.raises(UsageError, match="a study of protocol 1"):
        Log(STUDY / "trials.jsonl").read()


def test_the_page_has_the_reports_verdicts():
    verdicts = dict(
        re.findall(
            r"^\| (C\d)\..*? \| \*\*(.*?)\*\*", (STUDY / "report.md").read_text(), re.MULTILINE
        )
    )
    quoted = dict(
        re.findall(r"^\| (C\d): .*? \| (.*?) \|", (STUDY / "index.md").read_text(), re.MULTILINE)
    )
    assert len(verdicts) == 6
    assert {
        key: verdict.removesuffix(" at this scale") for key, verdict in verdicts.items()
    } == quoted
