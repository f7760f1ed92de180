"""Checks that the committed report is that of its log, and that docs/study/index.md quotes it."""

import pathlib
import re

import pytest

from keras_wn.study import questions
from keras_wn.study.log import Log
from keras_wn.study.records import table_of

STUDY = pathlib.Path(__file__).parents[2] / "docs" / "study"
# A number with its interval, such as `−1.9 [−2.2, −1.7]` or `8.9× [7.2×, 11×]`.
INTERVAL = re.compile(r"[+−]?\d[\d.e−]*×? \[[+−]?\d[^\]]*\]")


def text_of(name):
    """The words of a page in Markdown."""
    return (STUDY / name).read_text(encoding="utf-8").replace("\\", "").replace("`", "")


@pytest.fixture(scope="module")
def trials():
    return table_of(Log(STUDY / "trials.jsonl").read())


@pytest.fixture(scope="module")
def judged(trials):
    return questions.judge(trials)


@pytest.mark.parametrize("page", ["report.md", "index.md"])
def test_the_page_has_what_was_found(page, trials, judged):
    missing = [sentence for sentence in questions.findings(judged) if sentence not in text_of(page)]
    assert not missing


def test_the_table_has_the_verdicts(judged):
    quoted = re.findall(r"^\| (C\d): .*? \| (.*?) \|", text_of("index.md"), re.MULTILINE)
    assert dict(quoted) == {claim.key: verdict.outcome for claim, verdict in judged.items()}


def test_each_interval_on_the_page_is_one_of_the_report():
    quoted = INTERVAL.findall(text_of("index.md"))
    assert len(quoted) > 20
    assert [number for number in quoted if number not in text_of("report.md")] == []
