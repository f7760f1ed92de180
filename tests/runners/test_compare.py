"""`runners/compare.py` as a user starts it."""

import json
import os
import pathlib
import signal
import time

import pytest

from keras_wn.errors import UsageError
from keras_wn.study import budgets, command
from keras_wn.study.log import Log
from keras_wn.training import lock
from tests.data.conftest import image_folder  # noqa: F401  A fixture.
from tests.runners.processes import RUNNERS, finish, finish_each, start
from tests.study.made_up import DATA

COMPARE = RUNNERS / "compare.py"
QUICK = ("--jobs=1", "--budget=tiny", "--methods=wn", "--seeds=2", "--suite=accuracy")


def trials(folder):
    lines = pathlib.Path(folder, "trials.jsonl").read_text().splitlines()
    return [record for record in map(json.loads, lines) if record["kind"] == "trial"]


def test_bad_input_is_one_line_and_exit_status_2(tmp_path):
    cases = [
        (
            ["--suite=speed"],
            "--suite=speed: unknown. Allowed: accuracy, stability, regularization, work, signal, "
            "cost, ingredients, all.",
        ),
        (["--methods=wn,bnn"], "--methods=bnn: unknown. Allowed: none, bn, wn"),
        (
            ["--shard=3/2"],
            "--shard=3/2: not allowed. Allowed: a part and the number of parts, as 2/4.",
        ),
        (
            ["--budget=tiny", "--lanes=2"],
            "--lanes=2 with KERAS_BACKEND=tensorflow: not supported. Allowed: KERAS_BACKEND=jax",
        ),
        (["--seeds=1"], "--seeds=1: not allowed. Allowed: 2 to 10000."),
        (["--label_noise=1"], "--label_noise=1.0: not allowed. Allowed: at least 0 and less than"),
        (
            ["--report_only", "--out=/nowhere"],
            "--out=/nowhere: no trials.jsonl can be read there",
        ),
        (["--add_benchmark=/nowhere.json"], "--add_benchmark=/nowhere.json: cannot be read"),
        (["--out=/proc/study"], "--out=/proc/study: cannot be written"),
    ]
    answers = finish_each(COMPARE, [[f"--out={tmp_path}/study", *flags] for flags, _ in cases])
    for (flags, message), (code, out, err) in zip(cases, answers, strict=True):
        lines = [line for line in err.splitlines() if line.startswith("compare.py: error: ")]
        assert code == 2 and len(lines) == 1 and message in lines[0], (flags, err)
        assert "Traceback" not in err and "Trials" not in out and "trials done" not in out


def test_a_second_process_on_the_same_trials_is_told_of_the_first(tmp_path):
    tiny = ("--budget=tiny", f"--out={tmp_path}")
    with lock.locked(tmp_path / "shard-1-of-2.lock", "--out"):
        answers = finish_each(
            COMPARE, [[*tiny, f"--shard={part}"] for part in ("1/2", "1/1", "2/3")]
        )
    for code, _, err in answers:
        assert code == 2 and f"--out={tmp_path}: process {os.getpid()} on " in err
        assert "since 20" in err and "Traceback" not in err
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    "damage, message",
    [
        (lambda text: "", "its first line is no protocol"),
        (lambda text: text[:-9], "its first line is no protocol"),
        (lambda text: text.replace('"tuning"', '"tuned"'), "line 1: tuning is missing"),
        (lambda text: text + '{"kind": "trial"}\n', "line 2: id is missing"),
        (lambda text: text + "garbage\n", "line 2: not a record"),
        (None, "no trials.jsonl can be read there"),
    ],
    ids=["empty", "torn", "a key of the protocol", "a trial without id", "garbage", "a folder"],
)
def test_a_damaged_log_is_one_line(tmp_path, damage, message):
    record = budgets.get("tiny").record(DATA, ("bn",), ("accuracy",), {})
    path = tmp_path / "trials.jsonl"
    if damage is None:
        path.mkdir()
    else:
        path.write_text(damage(json.dumps(record) + "\n"))
    with pytest.raises(UsageError, match=message) as error:
        command._report(Log(path), tmp_path)
    assert "\n" not in str(error.value)
    assert [p.name for p in tmp_path.iterdir()] == ["trials.jsonl"]


@pytest.mark.slow
def test_data_that_are_not_there_are_said_before_anything_is_tried(tmp_path):
    """A worker finds them, so that each takes as long as its start."""
    cases = {
        ("--budget=paper",): "--dataset=imagenet needs its folder",
        (*QUICK, "--train_size=540"): "--train_size=540: not allowed",
    }
    answers = finish_each(COMPARE, [[f"--out={tmp_path}", *flags] for flags in cases])
    for message, (code, _, err) in zip(cases.values(), answers, strict=True):
        assert code == 2 and message in err


@pytest.mark.slow
def test_a_disk_that_is_full_in_mid_trial_ends_the_study(
    image_folder,  # noqa: F811
    tmp_path,
):
    flags = ("--budget=paper", f"--data_dir={image_folder}", "--image_size=32", "--batch_size=8")
    flags += (
        "--methods=bn",
        "--suite=accuracy",
        "--model=cifar_resnet8",
        "--precision=float32",
        "--yes",
    )
    # A checkpoint of this network is larger, and all else smaller.
    code, _, err = finish(COMPARE, *flags, f"--out={tmp_path}/study", largest_file=200_000)
    assert code == 2 and "the state of a trial cannot be written (" in err, err
    assert "the same command goes on from them" in err and trials(tmp_path / "study") == []


@pytest.mark.slow
def test_a_plan_of_days_is_said_and_asks_for_consent(image_folder, tmp_path):  # noqa: F811
    flags = ("--budget=paper", f"--data_dir={image_folder}", f"--out={tmp_path}/study")
    flags += ("--methods=bn", "--train_epochs=100000000", "--image_size=32", "--batch_size=8")
    flags += ("--model=cifar_resnet8",)
    code, out, err = finish(COMPARE, *flags, "--suite=accuracy")
    assert code == 2 and "GPU-hours on A100s" in out
    assert "--budget=paper: the plan takes about" in err and "Allowed: --yes to start it" in err
    # The user may ask for more methods, or another budget, and has nothing to remove.
    assert not (tmp_path / "study/trials.jsonl").exists()


@pytest.mark.slow
def test_a_comparison_that_is_stopped_goes_on_and_ends_as_one_that_was_not(tmp_path):
    """One is stopped by SIGTERM, then goes on; another is split over two processes."""
    process = start(COMPARE, *QUICK, f"--out={tmp_path}/stopped")
    deadline = time.monotonic() + 240
    while time.monotonic() < deadline and process.poll() is None:
        time.sleep(0.1)
        written = (tmp_path / "stopped/trials.jsonl").exists()
        if written and len(trials(tmp_path / "stopped")) > 1:
            break
    process.send_signal(signal.SIGTERM)
    out, err = process.communicate(timeout=60)
    assert process.returncode == 143, err
    assert "SIGTERM: stopped." in out
    # As a process that was killed while it wrote would leave it.
    with open(tmp_path / "stopped/trials.jsonl", "a") as file:
        file.write('{"kind": "trial", "id"')
    # In a new process, as a user starts it.
    code, _, err = finish(COMPARE, *QUICK, f"--out={tmp_path}/stopped", fresh=True)
    assert code == 0 and "is torn, and dropped" in err
    # As many jobs, and so as many threads an operation, on which the last digits depend.
    shards = [start(COMPARE, *QUICK, f"--shard={i}/2", f"--out={tmp_path}/split") for i in (1, 2)]
    for shard in shards:
        _, err = shard.communicate(timeout=280)
        assert shard.returncode == 0, err
    finals = [
        {t["id"]: t["final"] for t in trials(tmp_path / name)} for name in ("stopped", "split")
    ]
    assert len(finals[0]) == len(trials(tmp_path / "stopped"))  # None twice.
    assert finals[0] == finals[1]
    assert (tmp_path / "stopped/report.html").exists() and (tmp_path / "split/report.md").exists()
    code, _, err = finish(COMPARE, *QUICK, "--batch_size=64", f"--out={tmp_path}/stopped")
    assert code == 2 and "holds trials of another protocol: batch_size: there 32, asked 64" in err
