import json

import pytest

from keras_wn.training import files


def test_write_replaces_all_at_once_and_leaves_nothing_else(tmp_path):
    path = tmp_path / "a.json"
    for value in (1, 2):
        files.write_json(path, {"value": value})
    assert json.loads(path.read_text()) == {"value": 2}
    assert list(tmp_path.iterdir()) == [path]


def test_write_that_fails_leaves_the_old_file_whole(tmp_path):
    path = tmp_path / "a.json"
    files.write_json(path, {"value": 1})
    with pytest.raises(OSError, match="full"), files.atomic_path(path) as temporary:
        temporary.write_text("half a fi")
        raise OSError("disk is full")
    assert json.loads(path.read_text()) == {"value": 1}
    assert list(tmp_path.iterdir()) == [path]


def test_numbers_that_are_not_finite_become_null(tmp_path):
    path = tmp_path / "a.json"
    files.write_json(path, {"loss": float("nan"), "list": [float("inf"), 1.0]})
    assert json.loads(path.read_text()) == {"loss": None, "list": [None, 1.0]}


def test_lines_are_appended_and_a_torn_last_one_is_left_out(tmp_path):
    path = tmp_path / "a.jsonl"
    for epoch in (1, 2, 3):
        files.append_json_line(path, {"epoch": epoch})
    with open(path, "a") as log:
        log.write('{"epoch": 4, "lo')
    assert [record["epoch"] for record in files.read_json_lines(path)] == [1, 2, 3]
    files.keep_json_lines(path, lambda record: record["epoch"] <= 2)
    assert path.read_text() == '{"epoch": 1}\n{"epoch": 2}\n'


def test_leftovers_of_a_killed_process_are_removed_and_nothing_else(tmp_path):
    left = [".keras_wn-writing-ab12cd34/model.keras", ".keras_wn-writing-empty/"]
    kept = [
        "whole",
        ".writing-notes/mine",  # A user's own.
        "subfolder/.keras_wn-writing-ab12cd34/model.keras",  # Of another run, which may be alive.
        ".keras_wn-writing-two/1",
        ".keras_wn-writing-two/2",
        ".keras_wn-writing-deep/folder/",
    ]
    for name in [*left, *kept]:
        path = tmp_path / name
        (path if name.endswith("/") else path.parent).mkdir(parents=True, exist_ok=True)
        if not name.endswith("/"):
            path.write_text("x")
    (tmp_path / ".keras_wn-writing-file").write_text("x")
    (tmp_path / ".keras_wn-writing-link").symlink_to(tmp_path / "subfolder")
    files.remove_leftovers(tmp_path)
    assert not any((tmp_path / name).exists() for name in left)
    assert all((tmp_path / name).exists() for name in kept)
    assert len(list(tmp_path.iterdir())) == 7


def test_keeping_lines_of_a_file_that_is_not_there_does_nothing(tmp_path):
    files.keep_json_lines(tmp_path / "none.jsonl", lambda record: True)
    assert not list(tmp_path.iterdir())
