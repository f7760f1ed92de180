"""Workers that are killed, and trials that kill theirs."""

import os
import signal
import sys
import time

import pytest

from keras_wn.study import specs, workers
from keras_wn.study.workers import Worker, Workers
from tests.study.made_up import PROCESS, TINY

# Stands for `keras_wn.study.worker`: answers at once, and dies as the first option asks.
STUB = """
import json, os, signal, sys, time

def answer(record):
    print(json.dumps(record), flush=True)

start = json.loads(sys.stdin.readline())
answer({"process": {**PROCESS, "id": f"p{os.getpid():x}"}, "data": {}, "gpus": 0})
for line in sys.stdin:
    (spec,) = json.loads(line)
    ending, *times = dict(spec["options"]).get("ending", "none 0").split()
    counter = os.path.join(os.path.dirname(start["folder"]), spec["method"])
    deaths = os.path.getsize(counter) if os.path.exists(counter) else 0
    if deaths < int(times[0]):
        with open(counter, "a") as file:
            file.write("x")
        if ending == "torn":
            print('[{"kind": "tri', end="", flush=True)
            ending = "KILL"
        if ending == "exit":
            os._exit(3)
        os.kill(os.getpid(), getattr(signal, f"SIG{ending}"))
        time.sleep(60)
    answer([{"kind": "trial", "status": "finished", "pid": os.getpid()}])
"""


@pytest.fixture
def worker(tmp_path, monkeypatch):
    stub = tmp_path / "stub.py"
    stub.write_text(STUB.replace("PROCESS", repr(PROCESS)))
    popen = workers.subprocess.Popen
    monkeypatch.setattr(
        workers.subprocess, "Popen", lambda command, **o: popen([sys.executable, stub], **o)
    )
    found = Worker(TINY, 1, tmp_path)
    yield found
    found.close(at_once=True)


def spec(planner_of, ending="none 0"):
    setting = specs.Setting(0.1, 1e-4, 0.0)
    options = (("ending", ending),)
    return planner_of().spec("accuracy", "tune", "wn", setting, seed=0, options=options)


@pytest.mark.parametrize("ending", ["KILL 1", "TERM 2", "torn 1"])
def test_a_trial_whose_process_is_killed_runs_again(worker, planner_of, ending):
    process, (record,) = worker.run([spec(planner_of, ending)])
    assert record["status"] == "finished"
    assert process["id"] == f"p{record['pid']:x}"


def test_a_trial_that_is_always_killed_has_crashed(worker, planner_of):
    process, (record,) = worker.run([spec(planner_of, "KILL 99")])
    assert record["status"] == "crashed" and "ended with status -9" in record["error"]
    assert process["kind"] == "process"
    _, (record,) = worker.run([spec(planner_of)])
    assert record["status"] == "finished"


@pytest.mark.parametrize("ending, status", [("SEGV 1", -signal.SIGSEGV), ("exit 1", 3)])
def test_a_trial_that_ends_its_process_itself_has_crashed(worker, planner_of, ending, status):
    _, (record,) = worker.run([spec(planner_of, ending)])
    assert record["status"] == "crashed" and f"ended with status {status}:" in record["error"]


def test_a_worker_that_is_killed_while_it_is_idle_is_replaced(worker, planner_of):
    worker.begin()
    for _ in range(3):
        os.kill(worker._process.pid, signal.SIGKILL)
        _, (record,) = worker.run([spec(planner_of)])
        assert record["status"] == "finished"
    os.kill(worker._process.pid, signal.SIGKILL)
    worker.close()  # Without an error.


def test_closing_at_once_ends_a_trial_and_starts_none(worker, planner_of):
    both = Workers(lambda beside: worker, 1)
    both.start([spec(planner_of, "STOP 1")])
    while not (worker._log_path.parent / "wn").exists():
        time.sleep(0.02)
    first = worker._process
    both.close(at_once=True)
    assert first.poll() == -signal.SIGKILL and worker._process is None
