"""Actions that are timed in turns, and the progress that is shown meanwhile."""

import pathlib
import subprocess
import sys
import threading
import time

import numpy as np
import pytest

import keras_wn
from keras_wn.training import timing
from keras_wn.training.timing import interleaved

PACKAGE = pathlib.Path(keras_wn.__file__).parent
BENCHMARKS, TRAINING = PACKAGE / "benchmarks", PACKAGE / "training"


@pytest.fixture
def sleep(monkeypatch):
    """Function that lets a clock go on, in place of time itself."""
    clock = [0.0]
    monkeypatch.setattr(time, "perf_counter", lambda: clock[0])

    def go_on(seconds):
        clock[0] += seconds

    return go_on


def test_actions_run_in_turns_and_the_warm_up_does_not_count(sleep):
    calls = []

    def action(name, seconds):
        def run():
            calls.append(name)
            # The first round compiles.
            sleep(seconds if len(calls) > 2 else 100.0)

        return run

    comparison = interleaved({"a": action("a", 2.0), "b": action("b", 3.0)}, rounds=3)
    assert calls == ["a", "b"] * 4
    assert {name: list(values) for name, values in comparison.seconds.items()} == {
        "a": [2.0] * 3,
        "b": [3.0] * 3,
    }
    assert [row["ratio"] for row in comparison.rows()] == [1.0, 1.5]


def test_an_action_may_return_the_seconds_that_count(sleep):
    def run():
        sleep(5.0)
        return 1.0

    assert list(interleaved({"a": run}, rounds=2).seconds["a"]) == [1.0, 1.0]


def test_ratios_are_taken_round_by_round():
    # The machine is ten times slower in the second round.
    ratios = timing.compared(np.array([2.0, 20.0]), np.array([1.0, 10.0]))
    assert ratios == {"ratio": 2.0, "low": 2.0, "high": 2.0}


def read_lines(capsys):
    out, err = capsys.readouterr()
    assert out == ""  # The standard output is for tables.
    return err.splitlines()


def test_long_measurements_say_how_far_they_are(sleep, capsys):
    interleaved(dict.fromkeys("abc", lambda: sleep(50.0)), rounds=1, warm_up=0)
    assert read_lines(capsys) == [
        "Measurement 1 of 3; about 1 min 40 s left.",
        "Measurement 2 of 3; about 50 s left.",
    ]


def test_the_time_left_does_not_count_the_warm_up(sleep, capsys):
    seconds = iter([400.0, 400.0, 50.0, 50.0, 50.0, 50.0])
    interleaved(dict.fromkeys("ab", lambda: sleep(next(seconds))), rounds=2)
    assert read_lines(capsys) == [
        "Warm-up 1 of 2; about 6 min 40 s left.",
        "Measurement 1 of 4; about 2 min 30 s left.",
        "Measurement 2 of 4; about 1 min 40 s left.",
        "Measurement 3 of 4; about 50 s left.",
    ]


def test_short_measurements_and_those_that_shall_not_show_progress_say_nothing(sleep, capsys):
    interleaved(dict.fromkeys("abc", lambda: sleep(1.0)), rounds=3)
    interleaved(dict.fromkeys("abc", lambda: sleep(50.0)), rounds=3, shows_progress=False)
    assert read_lines(capsys) == []


def test_on_a_terminal_no_thread_draws_while_an_action_is_timed(monkeypatch, capsys):
    monkeypatch.setenv("FORCE_COLOR", "1")  # rich takes any stream for a terminal then.
    threads = threading.active_count()
    with timing.progress("Measurement", 3) as show:
        assert threading.active_count() == threads
        show(2)
        assert "2/3" in capsys.readouterr().err


def test_tensorflow_addons_environment_can_import_what_it_times_with():
    code = f"""
import sys
sys.modules.update(dict.fromkeys(["keras", "keras_wn", "rich", "absl"]))  # As if not installed.
sys.path += [{str(BENCHMARKS)!r}, {str(TRAINING)!r}]
from single_layers import BATCH, SHAPES, tensorflow_step
from text_table import Table
from timing import interleaved
print(Table("a", interleaved({{"a": lambda: 1.0}}, 2, shows_progress=False).rows()).text())
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert "1.000 to 1.000" in done.stdout
