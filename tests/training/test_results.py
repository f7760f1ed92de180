"""Result files that are damaged: one line, before anything is built."""

import json

import pytest

from keras_wn.errors import UsageError
from keras_wn.training import loop, results
from keras_wn.training.model_dir import ModelDir


@pytest.fixture
def finished(config):
    asked = config(norm="wn", dry_run=True)
    loop.train(asked)
    return asked, ModelDir(asked.model_dir, asked.resolved())


DAMAGES = {
    "empty result": ("result.json", lambda text: ""),
    "torn result": ("result.json", lambda text: text[: len(text) // 2]),
    "result of another kind": ("result.json", lambda text: "[]"),
    "unknown status": ("result.json", lambda text: text.replace("finished", "done")),
    "no step": ("result.json", lambda text: text.replace('"step"', '"stop"')),
    "edited figures": ("result.json", lambda text: text.replace('"top1": ', '"top1": "a", "x": ')),
    "nested result": ("result.json", lambda text: "[" * 10**5),
    "garbage in metrics": ("metrics.jsonl", lambda text: f"garbage\n{text}"),
    "metrics of another kind": ("metrics.jsonl", lambda text: f"[1]\n{text}"),
    "metrics without steps": ("metrics.jsonl", lambda text: text.replace('"step"', '"stop"')),
    "edited metrics": ("metrics.jsonl", lambda text: text.replace('"step": ', '"step": "a')),
    "no text": ("metrics.jsonl", lambda text: b"\xff\xfe\n"),
    "folder": ("metrics.jsonl", None),
}


def test_damaged_files_are_named_in_one_line_and_left_as_they_are(finished):
    asked, folder = finished
    for name, (file, damage) in DAMAGES.items():
        path = folder.path / file
        before = path.read_bytes()
        if damage is None:
            path.unlink()
            path.mkdir()
        else:
            text = damage(before.decode())
            path.write_bytes(text if isinstance(text, bytes) else text.encode())
        with pytest.raises(UsageError, match=f"its {file} is not as a run writes it") as error:
            loop.train(asked, resume=True)
        assert "\n" not in str(error.value), name
        path.rmdir() if damage is None else path.unlink()
        path.write_bytes(before)
    assert loop.train(asked, resume=True)["status"] == "finished"


def test_a_torn_last_line_of_the_metrics_is_what_a_crash_leaves(finished):
    _, folder = finished
    with open(folder.metrics_jsonl, "a") as file:
        file.write('{"epoch": 2, "st')
    assert results.read(folder) == json.loads(folder.result_json.read_text())
