"""What TensorBoard is given, and the best model."""

import json

import keras
import numpy as np
import pytest
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from keras_wn.data import digits
from keras_wn.training import files, loop, monitor
from keras_wn.training.model_dir import ModelDir


def folder_of(config):
    return ModelDir(config.model_dir, config)


def scalars(folder):
    events = EventAccumulator(str(folder), size_guidance={"scalars": 0})
    events.Reload()
    return {tag: {e.step: e.value for e in events.Scalars(tag)} for tag in events.Tags()["scalars"]}


def test_scalars_are_written_by_step(config):
    asked = config(train_epochs=2)
    loop.train(asked)
    found = scalars(folder_of(asked).tensorboard)
    layer = "stage1_block1_conv1/kernel"
    wanted = {
        "learning_rate",
        "images_per_second",
        "gradient_norm",
        "running/loss",
        "variance/stage1_block1",
    }
    assert wanted | {
        f"norm/{layer}",
        f"effective_learning_rate/{layer}",
        "block_gradient_norm/stage1_block1",
    } <= set(found)
    assert set(found["learning_rate"]) == {20, 40} == set(found["gradient_norm"])
    records = files.read_json_lines(folder_of(asked).metrics_jsonl)
    assert found["learning_rate"][20] == pytest.approx(records[0]["learning_rate"])
    assert found["running/loss"][40] == pytest.approx(records[2]["loss"], rel=1e-5)
    model = keras.saving.load_model(folder_of(asked).model_keras)
    v = model.get_layer("stage1_block1_conv1").v.numpy()
    lengths = np.linalg.norm(v.reshape(-1, v.shape[-1]), axis=0)
    assert found[f"norm/{layer}"][40] == pytest.approx(lengths.mean(), rel=1e-5)
    effective = found["learning_rate"][40] / np.mean(lengths**2)
    assert found[f"effective_learning_rate/{layer}"][40] == pytest.approx(effective, rel=1e-4)


@pytest.mark.slow
def test_profile_is_written_for_tensorboard(config):
    asked = config(train_epochs=1, warmup_epochs=0.0, profile_steps="3,5")
    loop.train(asked)
    assert any((folder_of(asked).tensorboard / "plugins/profile").rglob("*.xplane.pb"))


@pytest.mark.slow
@pytest.mark.parametrize("ema", [0.0, 0.9])
def test_best_model_is_that_of_the_best_epoch_and_is_not_forgotten_over_a_resume(config, ema):
    asked = config(ema=ema)
    result = loop.train(asked)
    folder = folder_of(asked)
    validation = digits.load().validation
    predicted = (
        keras.saving.load_model(folder.best_keras)
        .predict(validation.images, verbose=0)
        .argmax(axis=1)
    )
    assert np.mean(predicted == validation.labels) == pytest.approx(
        result["best_validation"]["top1"], abs=1e-6
    )

    # As if the first epoch had been the best by far, and the run had been stopped after its second.
    records = files.read_json_lines(folder.metrics_jsonl)
    records[1]["top1"] = 1.0
    folder.metrics_jsonl.write_text("".join(json.dumps(record) + "\n" for record in records))
    max(folder.checkpoints.iterdir()).unlink()
    folder.result_json.unlink()
    before = folder.best_keras.read_bytes()
    assert loop.train(asked, resume=True)["best_validation"] == {
        **result["best_validation"],
        **pick(records[1]),
    }
    assert folder.best_keras.read_bytes() == before


def pick(record):
    return {name: record[name] for name in ("epoch", "step", "top1", "top5", "loss")}


def test_progress_without_a_terminal_is_a_line_now_and_then_with_the_time_left(capsys, monkeypatch):
    clock = iter(range(0, 1000, 20))
    monkeypatch.setattr(monitor.time, "perf_counter", lambda: next(clock))
    with monitor.Screen(shown=True).track("Training, step", total=10, done=4) as show:
        for number in range(5, 11):
            show(number)
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == "Training, step 6 of 10; about 1 min 20 s left."
    assert len(lines) == 2
    with monitor.Screen(shown=False).track("Training, step", total=10) as show:
        for number in range(1, 11):
            show(number)
    assert capsys.readouterr().out == ""


def test_a_line_of_progress_takes_a_new_total_an_estimate_and_a_note(capsys, monkeypatch):
    clock = iter(range(0, 1000, 40))
    monkeypatch.setattr(monitor.time, "perf_counter", lambda: next(clock))
    with monitor.Screen(shown=True).track("Trials", total=5) as show:
        show(0)
        show(0, total=8, note="waiting for 8 of other shards")
        show(3, total=8, seconds_left=75, note="1 diverged")
        show(8, total=8)
    assert capsys.readouterr().out.splitlines() == [
        "Trials 0 of 5.",
        "Trials 0 of 8, waiting for 8 of other shards.",
        "Trials 3 of 8, 1 diverged; about 1 min 15 s left.",
    ]
