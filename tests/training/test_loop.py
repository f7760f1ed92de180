"""The whole training loop, on a net that takes seconds."""

import json
import subprocess
import sys

import keras
import numpy as np
import pytest

from keras_wn import methods
from keras_wn.data import digits
from keras_wn.errors import UsageError
from keras_wn.training import files, loop, run
from keras_wn.training.model_dir import ModelDir
from tests.parameters import each_method, slow


def folder_of(config):
    return ModelDir(config.model_dir, config)


def weights(config):
    model = keras.saving.load_model(folder_of(config).model_keras)
    return [v.numpy() for v in model.variables if v.name != "seed_generator_state"]


@pytest.mark.parametrize("norm", each_method())
def test_every_method_learns_and_leaves_all_its_files(norm, config, capsys):
    asked = config(norm=norm, base_learning_rate=0.02)
    result = loop.train(asked)
    assert result["status"] == "finished" and result["step"] == 60
    assert result["final"]["test"]["top1"] > 0.5
    folder = folder_of(asked)
    assert json.loads(folder.result_json.read_text()) == result
    for path in (folder.config_json, folder.signal_json, folder.signal_png, folder.model_keras):
        assert path.stat().st_size > 0
    assert len(list(folder.checkpoints.iterdir())) == 2 and any(folder.tensorboard.rglob("events*"))
    printed = capsys.readouterr().out
    assert printed.startswith(
        "Data: scikit-learn's handwritten digits, embedded (no --data_dir given)"
    )
    assert f"Files: {asked.model_dir}" in printed.splitlines()[-1]


def test_warm_up_rises_by_the_power_of_the_card(config):
    linear, square = (
        loop.make_timetable(
            config(norm=norm, base_learning_rate=0.05).resolved(), digits.load()
        ).rates
        for norm in ("wn", "wn_robust")
    )
    peak = linear[19]
    np.testing.assert_allclose(square[:20] / peak, (linear[:20] / peak) ** 2, rtol=1e-5)
    np.testing.assert_array_equal(square[20:40], linear[20:40])


def test_config_json_tells_flags_versions_data_and_bn_semantics(config):
    asked = config(norm="bn", dry_run=True)
    loop.train(asked)
    record = json.loads(folder_of(asked).config_json.read_text())
    assert record["flags"]["weight_decay"] == methods.get("bn").weight_decay
    assert record["versions"]["keras"] == keras.__version__
    assert "batch of 64" in record["bn_semantics"] and record["data"]["images"]["train"] == 1297


def test_metrics_have_a_line_per_epoch_and_split(config):
    asked = config()
    result = loop.train(asked)
    records = files.read_json_lines(folder_of(asked).metrics_jsonl)
    assert [(r["epoch"], r["step"], r["split"], r["mode"]) for r in records] == [
        (e, 20 * e, *kind)
        for e in (1, 2, 3)
        for kind in (("train", "training"), ("validation", "inference"))
    ]
    rates = [r["learning_rate"] for r in records[::2]]
    peak = methods.get("wn").learning_rate * 64 / 256
    # At the last step of each epoch: the warm-up's; then steps 19 and 39 of 40 of a decay of power
    # 2.
    assert rates == pytest.approx(
        [peak, peak * (1 - 19 / 40) ** 2, peak * (1 - 39 / 40) ** 2], rel=1e-4
    )
    assert all(r["images_per_second"] > 0 for r in records if r["split"] == "train")
    assert result["final"]["validation"]["top1"] == pytest.approx(records[-1]["top1"])
    assert result["best_validation"]["top1"] == max(
        r["top1"] for r in records if r["split"] == "validation"
    )


def test_accuracy_at_the_end_is_in_inference_mode_on_every_image(config):
    asked = config(dropout=0.5, base_learning_rate=0.05)
    result = loop.train(asked)
    splits = digits.load()
    model = keras.saving.load_model(folder_of(asked).model_keras)
    for name in ("train", "test"):
        examples = getattr(splits, name)
        predicted = model.predict(examples.images, verbose=0).argmax(axis=1)
        assert result["final"][name]["top1"] == pytest.approx(
            np.mean(predicted == examples.labels), abs=1e-6
        )
    assert result["gap_top1"] == pytest.approx(
        result["final"]["train"]["top1"] - result["final"]["test"]["top1"]
    )
    in_training = files.read_json_lines(folder_of(asked).metrics_jsonl)[-2]["top1"]
    assert in_training < result["final"]["train"]["top1"] - 0.02


@pytest.mark.slow
def test_saved_model_loads_in_a_fresh_process_with_keras_wn_alone(config):
    asked = config(norm="wn_trelu")
    result = loop.train(asked)
    code = (
        "import sys, numpy as np, keras, keras_wn\n"
        "model = keras.saving.load_model(sys.argv[1])\n"
        "data = np.load(sys.argv[2])\n"
        "print(np.mean(model.predict(data['x'], verbose=0).argmax(1) == data['y']))\n"
        "assert 'keras_wn.training' not in sys.modules\n"
    )
    folder, test = folder_of(asked), digits.load().test
    np.savez(folder.path / "test.npz", x=test.images, y=test.labels)
    command = [sys.executable, "-c", code, str(folder.model_keras), str(folder.path / "test.npz")]
    output = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    assert float(output) == pytest.approx(result["final"]["test"]["top1"])


@pytest.mark.slow
def test_same_seed_gives_the_same_run_and_another_seed_another(config, tmp_path):
    runs = [
        config(model_dir=str(tmp_path / name), seed=seed)
        for name, seed in (("a", 1), ("b", 1), ("c", 2))
    ]
    for asked in runs:
        loop.train(asked)
    a, b, c = map(weights, runs)
    assert all(np.array_equal(x, y) for x, y in zip(a, b, strict=True))
    assert not all(np.array_equal(x, y) for x, y in zip(a, c, strict=True))


class _StopAfter:
    """Ctrl-C at the end of an epoch, before its checkpoint."""

    def __init__(self, monkeypatch, epoch):
        end_epoch = loop.Run.end_epoch

        def stop(run, current, figures):
            goes_on = end_epoch(run, current, figures)
            if current == epoch:
                raise KeyboardInterrupt
            return goes_on

        monkeypatch.setattr(loop.Run, "end_epoch", stop)


@pytest.mark.slow
def test_interrupted_run_has_complete_files_and_resumes_to_the_same_weights(
    config, tmp_path, monkeypatch, capsys
):
    whole = config(model_dir=str(tmp_path / "whole"), dropout=0.3)
    loop.train(whole)
    asked = config(dropout=0.3)
    with monkeypatch.context() as patch:
        _StopAfter(
            patch, epoch=2
        )  # Before the second epoch's checkpoint: the first one's is the newest.
        result = loop.train(asked)
    assert result["status"] == "interrupted" and result["final"]["test"] is None
    assert json.loads(folder_of(asked).result_json.read_text()) == result
    assert "INTERRUPTED" in capsys.readouterr().out and folder_of(asked).model_keras.exists()

    resumed = loop.train(asked, resume=True)
    assert resumed["status"] == "finished" and resumed["step"] == 60
    assert all(np.array_equal(x, y) for x, y in zip(weights(whole), weights(asked), strict=True))
    epochs = [r["epoch"] for r in files.read_json_lines(folder_of(asked).metrics_jsonl)]
    assert epochs == [1, 1, 2, 2, 3, 3]
    assert loop.train(asked, resume=True) == resumed
    assert "there is nothing to resume" in capsys.readouterr().out


@pytest.mark.slow
def test_run_interrupted_after_its_last_epoch_resumes_to_its_figures(config, monkeypatch):
    asked = config()

    def stop(self):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(loop.Run, "evaluate_all", stop)
        assert loop.train(asked)["status"] == "interrupted"
    resumed = loop.train(asked, resume=True)
    assert (
        resumed["status"] == "finished"
        and resumed["step"] == 60
        and resumed["final"]["test"]["top1"] > 0
    )


def test_disk_that_fills_is_one_line_and_leaves_whole_files(config, monkeypatch):
    asked = config()

    def full(path, record):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(files, "append_json_line", full)
    with pytest.raises(UsageError, match=r"writing failed \(.*No space left on device\)"):
        loop.train(asked)
    json.loads(folder_of(asked).config_json.read_text())
    assert not list(folder_of(asked).path.rglob(".writing-*"))


def test_other_backend_and_flags_that_exclude_each_other_are_refused_before_anything_is_written(
    config, monkeypatch
):
    with monkeypatch.context() as patch:
        patch.setattr(keras.backend, "backend", lambda: "torch")
        with pytest.raises(
            UsageError,
            match="KERAS_BACKEND=torch: not allowed for training. Allowed: tensorflow, jax.",
        ):
            loop.train(config())
    for how in ({"resume": True}, {"overwrite": True}):
        with pytest.raises(UsageError, match="--signal_report trains nothing"):
            loop.train(config(), signal_only=True, **how)
    with pytest.raises(UsageError, match="--resume needs the folder"):
        loop.train(config(model_dir=None), resume=True)
    assert not folder_of(config()).path.exists()


def test_diverged_run_is_a_result(config, capsys):
    asked = config(norm="none", base_learning_rate=1e30, warmup_epochs=0.0)
    result = loop.train(asked)
    assert result["status"] == "diverged" and result["step"] < 60
    assert "DIVERGED" in capsys.readouterr().out
    saved = json.loads(folder_of(asked).result_json.read_text())
    assert saved["status"] == "diverged" and saved["final"]["test"]["loss"] is None
    assert list(folder_of(asked).checkpoints.iterdir()) == []


@pytest.mark.slow
def test_dry_run_takes_two_steps_and_writes_everything(config):
    asked = config(dry_run=True)
    result = loop.train(asked)
    assert result["step"] == 2 and result["status"] == "finished"
    folder = folder_of(asked)
    assert all(path.exists() for path in folder._own_paths()) and len(folder._own_paths()) == 9
    assert any(folder.tensorboard.rglob("events*")) and any(folder.checkpoints.iterdir())


def test_signal_report_alone_trains_nothing(config, capsys):
    asked = config()
    assert loop.train(asked, signal_only=True) is None
    assert "gradient norm" in capsys.readouterr().out
    assert folder_of(asked).signal_png.exists() and not folder_of(asked).result_json.exists()


def test_card_initializes_on_so_many_batches(config, monkeypatch):
    seen = []
    card = methods.get("wn")
    monkeypatch.setitem(vars(card), "initialize", lambda model, batch: seen.append(batch.shape))
    loop.train(config(dry_run=True, init_batches=3))
    assert seen == [(192, 32, 32, 3)]


def test_unstable_branch_scale_warns_and_runs(config, capsys):
    asked = config(norm="wn_mobn", branch_scale=1.0, dry_run=True)
    assert loop.train(asked)["step"] == 2
    assert "Warning: --branch_scale=1.0 with --norm=wn_mobn: nothing" in capsys.readouterr().err


def test_options_of_the_card_reach_the_network_and_its_record(config, capsys):
    asked = config(norm="wn", noise=16, branch_scale=0.0, decay_on="w", dry_run=True)
    loop.train(asked)
    assert "Warning" not in capsys.readouterr().err
    model = keras.saving.load_model(folder_of(asked).model_keras)
    assert model.get_layer("stem_conv_noise").batch_size == 16
    flags = json.loads(folder_of(asked).config_json.read_text())["flags"]
    assert (flags["noise"], flags["branch_scale"], flags["decay_on"]) == (16, 0.0, "w")


def test_groups_that_divide_no_layer_are_refused_before_anything_is_written(config):
    asked = config(norm="gn", groups=7)
    message = "--groups=7 with --norm=gn: does not divide the 16 channels of 'stem_conv'. Allowed"
    with pytest.raises(UsageError, match=message):
        loop.train(asked)
    assert not folder_of(asked).config_json.exists()


def test_filters_centered_for_free_are_those_of_the_formula(config):
    kernels = []
    for center in ("free", "always"):
        asked = config(norm="cwn_trelu", center=center, weight_decay=1e-2, train_epochs=2)
        loop.train(asked, overwrite=True)
        model = keras.saving.load_model(folder_of(asked).model_keras)
        kernels.append(keras.ops.convert_to_numpy(model.get_layer("stage1_block1_conv1").v))
    free, always = kernels
    np.testing.assert_allclose(free.sum(axis=(0, 1, 2)), 0, atol=1e-4)
    assert np.abs(always.sum(axis=(0, 1, 2))).max() > 0.1
    centered = always - always.mean(axis=(0, 1, 2))
    np.testing.assert_allclose(free, centered, rtol=1e-2, atol=1e-3)


@pytest.mark.slow
def test_more_images_than_a_batch_change_the_statistics_alone(config, monkeypatch):
    """A network without batch normalization trains as it does without them."""
    monkeypatch.setitem(vars(methods.get("none")), "statistics_batch", 0)
    found = {}
    for norm in ("none", "bn"):
        for size in (0, 16, 128):
            asked = config(norm=norm, statistics_batch=size, dry_run=True)
            loop.train(asked, overwrite=True)
            found[norm, size] = files.read_json_lines(folder_of(asked).metrics_jsonl)[0]["loss"]
    for size in (16, 128):
        np.testing.assert_allclose(found["none", size], found["none", 0], rtol=1e-4)
        assert abs(found["bn", size] / found["bn", 0] - 1) > 1e-3


@pytest.mark.slow
def test_unstable_join_warns_and_runs(config, capsys):
    result = loop.train(config(norm="normprop", join="sum", dry_run=True))
    assert result["status"] == "finished"
    assert "Warning: --join=sum with --norm=normprop" in capsys.readouterr().err


@pytest.mark.slow
def test_label_smoothing_raises_the_least_possible_loss(config):
    plain = loop.train(config(base_learning_rate=0.05))["final"]["train"]["loss"]
    smooth = loop.train(config(base_learning_rate=0.05, label_smoothing=0.2), overwrite=True)[
        "final"
    ]["train"]["loss"]
    assert plain < 0.5 < smooth


@pytest.mark.parametrize("precision", ["mixed_bfloat16", slow("mixed_float16")])
def test_mixed_precision_trains(config, precision):
    result = loop.train(config(precision=precision, base_learning_rate=0.02))
    assert result["status"] == "finished" and result["final"]["test"]["top1"] > 0.5


@pytest.mark.parametrize(
    "values, message",
    [
        (
            {"batch_size": 2000},
            "--batch_size=2000: must be at most the number of training images. Allowed: 1 to 1297",
        ),
        (
            {"init_batches": 100},
            "--init_batches=100: must be at most what the training images give. Allowed with "
            "--batch_size=64: 1 to 20",
        ),
    ],
)
def test_more_than_the_data_is_refused_before_anything_is_written(config, values, message):
    asked = config(**values)
    with pytest.raises(UsageError, match=message):
        loop.train(asked)
    assert not folder_of(asked).path.exists()


def test_resume_without_a_run_starts_one(config, capsys):
    asked = config(dry_run=True)
    result = loop.train(asked, resume=True)
    assert result["status"] == "finished" and result["step"] == 2
    assert "Continuing" not in capsys.readouterr().out
    assert loop.train(asked, resume=True) == result


def test_a_checkpoint_of_an_earlier_version_is_refused(config):
    asked = config(dry_run=True)
    loop.train(asked)
    folder = folder_of(asked)
    for path in folder.checkpoints.iterdir():
        path.unlink()
    (folder.checkpoints / "step-00000002.0123456789abcdef.weights.h5").write_bytes(b"")
    folder.result_json.unlink()
    with pytest.raises(
        UsageError, match="written by an earlier version of keras_wn. Allowed: --overwrite"
    ):
        loop.train(asked, resume=True)


@pytest.mark.parametrize(
    "value, finite", [(1e30, True), (np.inf, False), (-np.inf, False), (np.nan, False)]
)
def test_one_number_decides_whether_weights_are_finite(value, finite):
    model = keras.Sequential([keras.Input((2,)), keras.layers.Dense(3), keras.layers.Dense(1)])
    model.layers[1].kernel.assign(np.array([[0.0], [value], [0.0]], "float32"))
    assert run.is_finite(model) == finite


def test_training_ends_after_the_epoch_whose_weights_are_not_finite_though_the_loss_is(
    config, monkeypatch
):
    record = loop.Run._record

    def poison(this, epoch, step, split, *rest):
        record(this, epoch, step, split, *rest)
        if (epoch, split) == (1, "validation"):
            bias = this.model.get_layer("logits").bias
            bias.assign(np.full(bias.shape, np.nan))

    monkeypatch.setattr(loop.Run, "_record", poison)
    monkeypatch.setattr(loop, "as_metrics", lambda sums: {"loss": 1.0, "top1": 0.5, "top5": 0.5})
    asked = config()
    assert loop.train(asked)["status"] == "diverged"
    assert list(folder_of(asked).checkpoints.iterdir()) == []


@pytest.mark.parametrize(
    "error", [MemoryError(), RuntimeError("RESOURCE_EXHAUSTED: Out of memory allocating 9 bytes.")]
)
def test_a_step_that_does_not_fit_in_memory_is_one_line(config, monkeypatch, error):
    def exhausted(*arguments):
        raise error

    monkeypatch.setattr(loop, "train_steps", exhausted)
    with pytest.raises(UsageError, match="--batch_size=64 .* does not fit in memory. Allowed: sma"):
        loop.train(config())


def test_another_error_keeps_its_traceback(config, monkeypatch):
    def broken(*arguments):
        raise RuntimeError("a bug")

    monkeypatch.setattr(loop, "train_steps", broken)
    with pytest.raises(RuntimeError, match="a bug"):
        loop.train(config())
