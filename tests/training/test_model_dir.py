import json
import os
import pathlib
import shutil
import tempfile

import pytest

from keras_wn.training.config import TrainConfig
from keras_wn.training.errors import UsageError
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
            UsageError, match=r"another configuration: .*--norm=wn \(there: bn\).*--overwrite"
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


def test_empty_name_is_not_taken_for_the_current_folder():
    with pytest.raises(UsageError, match="--model_dir=: not allowed"):
        folder_of("")


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
