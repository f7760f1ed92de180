"""A run that is stopped or killed, or whose newest checkpoint is damaged, ends like any other."""

import functools
import json
import os
import signal
import tempfile
import time

import keras
import numpy as np
import pytest

import keras_wn  # noqa: F401  The classes that a saved model names.
from tests.runners.processes import HERE, finish, newest_step, start, wait_for

FLAGS = ("--norm=wn", "--noise=32", "--dropout=0.3", "--ema=0.9", "--checkpoint_steps=3")


def weights(folder):
    return [np.array(v) for v in keras.saving.load_model(f"{folder}/model.keras").weights]


@functools.cache
def undisturbed():
    """Weights and metrics of a run that nothing stopped."""
    with tempfile.TemporaryDirectory() as folder:
        code, _, err = finish(HERE / "tiny.py", *FLAGS, f"--model_dir={folder}/run")
        assert code == 0, err
        return weights(f"{folder}/run"), metrics(f"{folder}/run")


def metrics(folder):
    with open(f"{folder}/metrics.jsonl") as lines:
        return [
            {k: v for k, v in json.loads(line).items() if k != "images_per_second"}
            for line in lines
        ]


def assert_as_undisturbed(folder):
    expected, lines = undisturbed()
    assert all(np.array_equal(a, b) for a, b in zip(weights(folder), expected, strict=True))
    assert metrics(folder) == lines


@pytest.mark.slow
def test_signals_save_end_and_leave_a_run_that_goes_on_exactly(tmp_path):
    """One is stopped in its first epoch, and again in its second."""
    folder, resume, before = tmp_path / "run", [], None
    for number, step in ((signal.SIGTERM, 3), (signal.SIGINT, 21)):
        process = start(HERE / "tiny.py", *FLAGS, f"--model_dir={folder}", *resume)
        wait_for(process, folder, step)
        process.send_signal(number)
        out, err = process.communicate(timeout=120)
        assert process.returncode == 128 + number, err
        assert f"{number.name}: stopping after this step" in out and "INTERRUPTED" in out
        assert before is None or f"Continuing after step {before}." in out
        assert "Traceback" not in err
        result = json.loads((folder / "result.json").read_text())
        assert (result["status"], result["stopped_by"]) == ("interrupted", number.name)
        # The state is that of the step at which it ended, not of a checkpoint before.
        assert result["step"] == newest_step(folder) >= step
        assert (folder / "model.keras").stat().st_size > 0
        resume, before = ["--resume"], result["step"]
    code, out, err = finish(HERE / "tiny.py", *FLAGS, f"--model_dir={folder}", "--resume")
    assert code == 0, err
    assert f"Continuing after step {before}." in out
    assert_as_undisturbed(folder)


@pytest.mark.kill
def test_run_that_is_killed_ten_times_ends_as_if_it_were_not(tmp_path):
    folder, rng, resume = tmp_path / "run", np.random.default_rng(0), []
    for _ in range(10):
        process = start(HERE / "tiny.py", *FLAGS, f"--model_dir={folder}", *resume)
        wait_for(process, folder, newest_step(folder) + 1)
        time.sleep(rng.uniform(0, 0.1))
        assert process.poll() is None
        process.kill()
        process.communicate()
        resume = ["--resume"]
    newest = max((folder / "checkpoints").glob("step-*"))
    os.truncate(newest, newest.stat().st_size // 2)
    code, _, err = finish(HERE / "tiny.py", *FLAGS, f"--model_dir={folder}", "--resume")
    assert code == 0, err
    assert f"*** Checkpoint {newest.name} is damaged" in err
    assert_as_undisturbed(folder)


@pytest.mark.slow
def test_resume_with_other_flags_lists_them_and_changes_nothing(tmp_path):
    folder = tmp_path / "run"
    code, _, err = finish(HERE / "tiny.py", "--dry_run", "--norm=wn", f"--model_dir={folder}")
    assert code == 0, err
    before = {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}
    code, _, err = finish(
        HERE / "tiny.py", "--dry_run", "--norm=bn", "--seed=1", f"--model_dir={folder}", "--resume"
    )
    assert (
        code == 2
        and "--norm=bn (in the folder: wn)" in err
        and "--seed=1 (in the folder: 0)" in err
    )
    assert {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()} == before


@pytest.mark.kill
@pytest.mark.parametrize("first", ["start", "overwrite"])
def test_a_run_that_is_killed_at_a_file_operation_goes_on(tmp_path, first):
    code, out, err = finish(HERE / "killed.py", str(tmp_path), first)
    assert code == 0, err
    outcomes = json.loads(out.splitlines()[-1])
    assert len(outcomes) >= 20 and set(outcomes.values()) <= {"resumed", "replaced"}, outcomes


@pytest.mark.kill
def test_of_ten_runners_on_one_folder_one_trains(tmp_path):
    flags = (*FLAGS, f"--model_dir={tmp_path}/run", "--resume")
    processes = [start(HERE / "tiny.py", *flags) for _ in range(10)]
    answers = [(p.communicate(timeout=300)[1], p.returncode) for p in processes]
    refused = [err for err, code in answers if code]
    # One that comes after the first has ended has nothing to do.
    assert len(refused) <= 9 and {code for _, code in answers} <= {0, 2}
    assert refused and all(
        "writes in this folder. Allowed: another folder" in err for err in refused
    )
    assert_as_undisturbed(tmp_path / "run")
