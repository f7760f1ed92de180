import datetime
import errno
import json
import os
import pathlib
import shutil
import socket
import subprocess
import sys
import tempfile
import types

import pytest

from keras_wn.errors import UsageError
from keras_wn.training import lock
from keras_wn.training.config import TrainConfig
from keras_wn.training.model_dir import ModelDir


def folder_of(path, **values):
    return ModelDir(path, TrainConfig(**values).resolved())


@pytest.fixture
def taken(tmp_path):
    """A folder that holds a run of `bn`."""
    folder = folder_of(tmp_path / "run", norm="bn")
    folder.check(resume=False, overwrite=False)
    folder.start({"flags": folder._flags}, overwrite=False)
    folder.metrics_jsonl.write_text("{}\n")
    return folder.path


def test_run_of_another_configuration_is_refused_with_the_differences(taken):
    for resume in (False, True):
        with pytest.raises(
            UsageError,
            match=r"another configuration: .*--norm=wn \(in the folder: bn\).*--overwrite",
        ):
            folder_of(taken, norm="wn").check(resume=resume, overwrite=False)
    assert (taken / "metrics.jsonl").read_text() == "{}\n"


def test_same_run_is_continued_or_replaced_only_when_asked(taken):
    with pytest.raises(UsageError, match="already holds this run"):
        folder_of(taken, norm="bn").check(resume=False, overwrite=False)
    folder_of(taken, norm="bn").check(resume=True, overwrite=False)
    folder_of(taken, norm="wn").check(resume=False, overwrite=True)


def test_overwrite_removes_the_runs_own_files_and_no_others(taken):
    (taken / "notes.txt").write_text("mine")
    folder = folder_of(taken, norm="wn")
    folder.start({"flags": folder._flags}, overwrite=True)
    assert sorted(p.name for p in taken.iterdir()) == ["checkpoints", "config.json", "notes.txt"]
    assert json.loads((taken / "config.json").read_text())["flags"]["norm"] == "wn"


def test_files_of_a_run_without_its_configuration_are_not_written_over(tmp_path):
    (tmp_path / "result.json").write_text("{}")
    with pytest.raises(UsageError, match=r"without its config\.json"):
        folder_of(tmp_path).check(resume=False, overwrite=False)


@pytest.mark.parametrize(
    "content", ["{ torn", "[]", "null", '{"flags": 1}', '{"name": "a package of mine"}']
)
@pytest.mark.parametrize(
    "how", [{"resume": True, "overwrite": False}, {"resume": False, "overwrite": True}]
)
def test_folder_whose_configuration_is_no_runs_is_neither_resumed_nor_replaced(taken, content, how):
    (taken / "config.json").write_text(content)
    with pytest.raises(UsageError, match=r"its config\.json is not a run's"):
        folder_of(taken, norm="bn").check(**how)
    assert (taken / "config.json").read_text() == content and (taken / "metrics.jsonl").exists()


def test_resume_of_nothing_starts_a_run(tmp_path):
    folder_of(tmp_path).check(resume=True, overwrite=False)
    (tmp_path / "metrics.jsonl").write_text("")
    with pytest.raises(UsageError, match="without its config.json"):
        folder_of(tmp_path).check(resume=True, overwrite=False)


def test_resume_of_a_run_to_be_replaced_is_refused(tmp_path):
    with pytest.raises(UsageError, match="exclude each other"):
        folder_of(tmp_path).check(resume=True, overwrite=True)


def test_folder_that_cannot_be_written_is_refused(tmp_path, monkeypatch):
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(UsageError, match="cannot be written"):
        folder_of(tmp_path / "file").check(resume=False, overwrite=False)
    with monkeypatch.context() as patch:
        patch.setattr(
            tempfile,
            "TemporaryFile",
            lambda **_: (_ for _ in ()).throw(OSError(30, "Read-only file system")),
        )
        with pytest.raises(UsageError, match=r"cannot be written \(Read-only file system\)"):
            folder_of(tmp_path / "there").check(resume=False, overwrite=False)
    # Read-only for every user, the superuser too.
    read_only = (
        pathlib.Path("/proc/keras_wn")
        if os.path.isdir("/proc")
        else pathlib.Path("/System/keras_wn")
    )
    with pytest.raises(UsageError, match=f"{read_only}: cannot be written"):
        folder_of(read_only).check(resume=False, overwrite=False)


def test_disk_without_room_is_refused_with_both_sizes(tmp_path, monkeypatch):
    folder = folder_of(tmp_path)
    folder.check_space(1_000_000)
    monkeypatch.setattr(
        shutil, "disk_usage", lambda path: shutil._ntuple_diskusage(2**30, 2**30 - 2**20, 2**20)
    )
    with pytest.raises(UsageError, match="1 MiB are free, and the run's files need about 31 MiB"):
        folder.check_space(1_000_000)


def test_folders_that_are_not_named_differ_and_tell_the_run():
    path = folder_of(None, norm="bn", seed=3).path
    assert path.parts[0] == "runs" and path.name.startswith("bn-resnet50-digits-seed3-")


def splits_of(digest, count=3):
    part = range(count)
    return types.SimpleNamespace(train=part, validation=part, test=part, digest=digest)


def test_other_data_are_noticed_and_said(tmp_path):
    folder = folder_of(tmp_path, norm="bn")
    images = {"train": 8, "validation": 1, "test": 2}
    folder.start({"flags": folder._flags, "data": {"digest": "abc", "images": images}}, False)
    folder.check(resume=True, overwrite=False, splits=splits_of("abc"))
    with pytest.raises(UsageError, match=r"began with other images .* then: 8, 1, 2; now: 4, 4, 4"):
        folder.check(resume=True, overwrite=False, splits=splits_of("xyz", 4))
    folder.check(resume=False, overwrite=True, splits=splits_of("xyz"))
    # A run of an earlier version tells neither its data's digest nor the flags of this version.
    flags = {name: value for name, value in folder._flags.items() if name != "max_pixels"}
    folder.start({"flags": flags, "data": {"images": images}}, False)
    folder.check(resume=True, overwrite=False, splits=splits_of("xyz"))


@pytest.mark.parametrize("name", ["n" * 300, "n/" * 1950, f"{'n' * 200}/" * 19, "loop/x", "file/x"])
def test_a_path_that_cannot_be_is_refused_in_one_line(tmp_path, name):
    (tmp_path / "loop").symlink_to(tmp_path / "loop")
    (tmp_path / "file").write_text("")
    folder = folder_of(tmp_path / name)
    with pytest.raises(UsageError, match="--model_dir=.* cannot be ") as error:
        with folder.taken(resume=False, overwrite=False, splits=splits_of("")):
            pass
    assert "\n" not in str(error.value)


# In a process of its own: the lock is held until the process ends, however it ends.
HOLDER = """
import sys, pathlib, time
from keras_wn.training import lock
with lock.locked(pathlib.Path(sys.argv[1]), "--model_dir=x"):
    print("held", flush=True)
    time.sleep(60)
"""


@pytest.fixture
def holder(tmp_path):
    command = [sys.executable, "-c", HOLDER, tmp_path / "run.lock"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout.readline() == "held\n"
        yield process
        process.kill()


def test_a_second_process_is_told_of_the_first_and_takes_over_when_it_is_gone(tmp_path, holder):
    folder, splits = folder_of(tmp_path), splits_of("")
    before = sorted(tmp_path.iterdir())
    host, today = socket.gethostname(), datetime.datetime.now(datetime.UTC).date()
    for flags in ({"resume": True, "overwrite": False}, {"resume": False, "overwrite": True}):
        with pytest.raises(
            UsageError,
            match=f"--model_dir={tmp_path}: process {holder.pid} on {host}, since {today}T.*, "
            "writes in this folder. Allowed: another folder, or to wait until it has ended.",
        ):
            with folder.taken(**flags, splits=splits):
                pass
    assert sorted(tmp_path.iterdir()) == before
    holder.kill()
    holder.wait()
    assert (tmp_path / "run.lock").exists()
    with folder.taken(resume=True, overwrite=False, splits=splits):
        assert json.loads((tmp_path / "run.lock").read_text())["process"] == os.getpid()
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    "content, free",
    [
        ({"host": "elsewhere", "process": 1}, False),
        ({"host": socket.gethostname(), "process": 1}, False),
        ({"host": socket.gethostname(), "process": 2**22 + 1}, True),
        ("torn", True),
    ],
)
def test_where_files_cannot_be_locked_their_content_tells(tmp_path, monkeypatch, content, free):
    path = tmp_path / "run.lock"
    path.write_text(json.dumps(content)[:-1] if content == "torn" else json.dumps(content))

    def no_locks(*arguments):
        raise OSError(errno.ENOTSUP, "Operation not supported")

    monkeypatch.setattr(lock.fcntl, "flock", no_locks)
    if free:
        with lock.locked(path, "--out=x"):
            assert json.loads(path.read_text())["process"] == os.getpid()
    else:
        with (
            pytest.raises(UsageError, match="--out=x: process 1 on "),
            lock.locked(path, "--out=x"),
        ):
            pass


@pytest.mark.parametrize("make", [os.mkfifo, os.mkdir])
def test_a_lock_file_that_is_no_file_is_refused(tmp_path, make):
    make(tmp_path / "run.lock")
    with pytest.raises(UsageError, match="run.lock"), lock.locked(tmp_path / "run.lock", "--out=x"):
        pass
