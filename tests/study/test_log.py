"""Appends to logs, reads them again, and refuses files that are no log of this study."""

import json
import multiprocessing
import os
import re

import pytest

from keras_wn.errors import UsageError
from keras_wn.study import log as log_module
from keras_wn.study.log import Log
from keras_wn.study.questions import accuracy
from tests.study.made_up import DATA, TINY, result

RECORD = TINY.record(DATA, ("bn", "wn"), ("accuracy",), {"C1": "a rule"})


@pytest.fixture
def log(tmp_path):
    log = Log(tmp_path / "out/trials.jsonl")
    log.make_folder()
    log.start(RECORD)
    return log


@pytest.fixture
def record(planner_of):
    return result(accuracy.plan(planner_of(), {})[0])


def test_what_is_appended_is_read_again(log, record):
    log.append(record)
    assert log.read() == [RECORD, record]


def test_a_log_that_others_write_to_is_read_to_its_end_each_time(log, record):
    reader, other = Log(log.path), {**record, "epochs": 2}
    assert reader.read() == [RECORD]
    log.append(record)
    with open(log.path, "a") as file:
        file.write('{"kind": "trial", "id": "torn')
    assert reader.read() == [RECORD, record]
    log.append(other)
    assert reader.read() == [RECORD, record, other]
    # A file that was replaced by a shorter one is another log.
    log.path.write_text(json.dumps(RECORD) + "\n")
    assert reader.read() == [RECORD]


def test_numbers_that_are_not_finite_are_null(log, record):
    log.append(
        {**record, "final": {"train": {"loss": float("nan"), "top1": float("inf"), "top5": 0.5}}}
    )
    assert log.read()[1]["final"] == {"train": {"loss": None, "top1": None, "top5": 0.5}}


def test_a_torn_last_line_is_dropped_and_said_and_the_next_one_is_whole(log, record, capsys):
    log.append(record)
    whole = log.path.read_bytes()
    log.path.write_bytes(whole + b'{"kind": "trial", "id": "abc')
    assert len(log.read()) == 2
    assert "the last line" in capsys.readouterr().err
    log.append(record)
    assert log.path.read_bytes() == whole + whole.split(b"\n")[1] + b"\n"


def test_another_protocol_is_refused_with_what_differs(log):
    other = {**RECORD, "batch_size": 64, "tuning": {**RECORD["tuning"], "settings": 9}}
    before = log.path.read_bytes()
    with pytest.raises(
        UsageError, match=r"batch_size: there 32, asked 64; tuning.settings: there 2, asked 9"
    ):
        log.start(json.loads(json.dumps(other)))
    assert log.path.read_bytes() == before


def test_the_same_protocol_goes_on(log, record):
    log.append(record)
    log.start(RECORD)
    assert len(log.read()) == 2


def test_more_methods_than_were_planned_go_on(log, record):
    log.append(record)
    log.start(TINY.record(DATA, ("bn", "wn", "gn"), ("accuracy", "cost"), {"C1": "a rule"}))
    # The plan stays as it was written down.
    assert log.read()[0] == RECORD


def test_a_log_of_protocol_1_is_refused_with_how_to_report_it(tmp_path):
    path = tmp_path / "trials.jsonl"
    path.write_text(json.dumps({**RECORD, "version": 1}) + "\n")
    with pytest.raises(UsageError, match="a study of protocol 1, .* report it with `git checkout"):
        Log(path).read()


def test_crashed_trials_are_withdrawn_and_no_others(log, record, planner_of):
    other = result(accuracy.plan(planner_of(), {})[1])
    log.append({**record, "status": "crashed", "process": None}, {**other, "process": "p1"})
    log.withdraw_crashed()
    assert log.trials().keys() == {other["id"]}
    before = log.path.read_bytes()
    log.withdraw_crashed()
    assert log.path.read_bytes() == before


@pytest.mark.parametrize("make", ["folder", "pipe", "loop"])
def test_a_log_that_is_no_file_is_said(tmp_path, make, record):
    path = tmp_path / "trials.jsonl"
    {"folder": path.mkdir, "pipe": lambda: os.mkfifo(path), "loop": lambda: path.symlink_to(path)}[
        make
    ]()
    for act in (Log(path).read, Log(path).trials, lambda: Log(path).start(RECORD)):
        with pytest.raises(UsageError, match=f"--out={tmp_path}: "):
            act()


def test_what_was_withdrawn_counts_nowhere_until_it_ran_again(log, record):
    wrong, again = {**record, "process": "p1"}, {**record, "process": "p2"}
    log.append(wrong)
    log.append({"kind": "withdrawn", "reason": "a bug", "trials": [[record["id"], "p1"]]})
    assert log.trials() == {}
    log.append(again)
    assert log.trials() == {record["id"]: again}


@pytest.mark.parametrize("text", ["hello\n", '{"kind": "trial"}\n', '{"a": 1}\n', "\n"])
def test_a_file_that_is_no_log_is_refused_and_kept(tmp_path, text):
    path = tmp_path / "trials.jsonl"
    path.write_text(text)
    with pytest.raises(UsageError, match="Allowed: a study's own log"):
        Log(path).start(RECORD)
    assert path.read_text() == text


def test_a_folder_that_is_not_there_is_said(tmp_path):
    with pytest.raises(
        UsageError, match=re.escape(f"--out={tmp_path}/none: no trials.jsonl can be read there")
    ):
        Log(tmp_path / "none/trials.jsonl").read()


def test_no_room_leaves_the_log_as_it_was(log, record, monkeypatch):
    log.append(record)
    before = log.path.read_bytes()

    def full(number):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(log_module.os, "fsync", full)
    with pytest.raises(
        UsageError, match="cannot be written .No space left on device.. The trials in it are whole"
    ):
        log.append(record)
    assert log.path.read_bytes() == before


BENCHMARK = {
    "what": "tpu",
    "tables": [
        {
            "title": "a step of TPU v5e",
            "rows": [
                {"name": "none", "fits": "yes", "moved": 10, "total": 5.0, "flops": 1.0},
                {"name": "bn", "fits": "no, 2.00 GB too much"},
            ],
        }
    ],
}


def test_the_bytes_of_a_benchmark_of_tpus_are_added(log, tmp_path):
    path = tmp_path / "tpu.json"
    path.write_text(json.dumps(BENCHMARK))
    log.add_benchmark(path)
    rows = [{"name": "none", "moved": 10.0, "total": 5.0}]
    added = {"kind": "benchmark", "title": "a step of TPU v5e", "rows": rows}
    assert log.read() == [RECORD, added]


@pytest.mark.parametrize(
    "text",
    [
        "no JSON",
        "[]",
        json.dumps({"what": "step", "tables": []}),
        '{"what": "tpu"}',
        None,
        json.dumps(BENCHMARK).replace("10,", "NaN,"),
        json.dumps({"what": "tpu", "tables": []}),
    ],
)
def test_a_file_that_is_no_benchmark_of_tpus_is_refused(log, tmp_path, text):
    path = tmp_path / "tpu.json"
    if text is not None:
        path.write_text(text)
    before = log.path.read_bytes()
    with pytest.raises(UsageError, match="add_benchmark=.* cannot be read .*Allowed: a file of"):
        log.add_benchmark(path)
    assert log.path.read_bytes() == before


def _append_many(path, name):
    log = Log(path)
    for number in range(200):
        text = {"reason": f"{name}{number} {'x' * 3000}", "trials": []}
        log.append({"kind": "withdrawn", **text})


@pytest.mark.slow
def test_processes_that_append_at_once_do_not_tear_each_others_lines(log):
    context = multiprocessing.get_context("spawn")
    processes = [
        context.Process(target=_append_many, args=(os.fspath(log.path), name)) for name in "ab"
    ]
    for process in processes:
        process.start()
    for process in processes:
        process.join()
        assert process.exitcode == 0
    assert len({record["reason"] for record in log.read()[1:]}) == 400


def test_a_log_that_lacks_the_settings_of_a_later_version_goes_on(log, record):
    older = {**RECORD, "tuning": {k: v for k, v in RECORD["tuning"].items() if k != "rungs"}}
    assert older != RECORD
    log.path.write_text(json.dumps(older) + "\n")
    log.start(RECORD)
    assert Log(log.path).read() == [older]
