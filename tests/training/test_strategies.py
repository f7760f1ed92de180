"""Whole runs on two virtual devices, against one."""

import json

import keras
import numpy as np
import pytest

from keras_wn.errors import UsageError
from keras_wn.training import devices, loop, strategies
from keras_wn.training.config import TrainConfig

EPOCHS = {"train_epochs": 2, "warmup_epochs": 0.5}


def finished(config, path, epochs=EPOCHS, **flags):
    result = loop.train(config(**epochs, **flags, model_dir=str(path)))
    assert result["status"] == "finished"
    return result, keras.saving.load_model(path / "model.keras")


def figures(result):
    return {
        (split, name): value
        for split, record in result["final"].items()
        for name, value in record.items()
    }


@pytest.mark.slow
@pytest.mark.parametrize("norm, flags", [("wn", {}), ("normprop", {"xla": "on", "clip_norm": 0.1})])
def test_run_on_two_devices_is_the_run_on_one(config, tmp_path, norm, flags):
    # 5 steps: rounding may move a unit across ReLU's kink, which changes weights by 1e-6 at once
    # and by 1e-4 after 20 steps.
    few = {"train_epochs": 1, "warmup_epochs": 0.4, "batch_size": 256}
    one, of_one = finished(
        config, tmp_path / "one", few, norm=norm, clip_norm=flags.get("clip_norm", 0.0)
    )
    two, of_two = finished(
        config, tmp_path / "two", few, norm=norm, strategy="mirrored", virtual_devices=2, **flags
    )
    for a, b in zip(of_one.weights, of_two.weights, strict=True):
        np.testing.assert_allclose(a.numpy(), b.numpy(), atol=2e-5, rtol=0, err_msg=a.path)
    # 1,297 training images do not divide by two: none is left out, none is counted twice.
    for key, value in figures(one).items():
        assert figures(two)[key] == pytest.approx(value, rel=1e-3, abs=1e-6), key
    assert json.loads((tmp_path / "two/config.json").read_text())["replicas"] == 2


@pytest.mark.slow
def test_interrupted_run_on_two_devices_resumes(config, tmp_path):
    flags = {"norm": "bn", "strategy": "mirrored", "virtual_devices": 2}
    whole, _ = finished(config, tmp_path / "run", **flags)
    assert whole["bn_semantics"].startswith("statistics of 32 images, each of 2 devices' own")
    # As if it had been stopped after its first epoch.
    max((tmp_path / "run/checkpoints").iterdir()).unlink()
    (tmp_path / "run/result.json").unlink()
    result = loop.train(config(**EPOCHS, **flags, model_dir=str(tmp_path / "run")), resume=True)
    assert figures(result) == pytest.approx(figures(whole), rel=1e-5)


@pytest.mark.parametrize(
    "name, virtual, message",
    [
        (
            "mirrored",
            0,
            "--strategy=mirrored: there is no GPU here. Allowed: --strategy=none, or "
            "--virtual_devices=2",
        ),
        ("tpu", 0, "--strategy=tpu: no TPU here: TPU_NAME is not set, .* Allowed: on a Cloud TPU"),
        (
            "multi_worker",
            2,
            "--virtual_devices=2 with --strategy=multi_worker. Allowed: with --strategy=mirrored",
        ),
        ("none", 2, "--virtual_devices=2 with --strategy=none. Allowed: with --strategy=mirrored"),
        (
            "data_parallel",
            0,
            "--strategy=data_parallel: for the JAX backend. Allowed with KERAS_BACKEND=tensorflow: "
            "auto, none, mirrored",
        ),
        ("mirrored", 8, "--virtual_devices=8: TensorFlow has started already"),
    ],
)
def test_devices_that_are_not_there(name, virtual, message):
    keras.ops.zeros(())  # TensorFlow has started, whichever tests were before.
    with pytest.raises(UsageError, match=message):
        strategies.build(name, virtual)


def test_auto_is_one_device_without_xla_on_a_cpu():
    assert strategies.build("auto", 0).num_replicas_in_sync == 1 and not strategies.compiles("auto")
    assert strategies.build("auto", 2).num_replicas_in_sync == 2 and strategies.compiles("on")


@pytest.mark.parametrize("name, virtual, replicas", [("auto", 0, 1), ("mirrored", 2, 2)])
def test_one_process_is_the_chief(name, virtual, replicas):
    there = devices.find(TrainConfig(strategy=name, virtual_devices=virtual).resolved())
    assert (there.count, there.workers, there.is_chief) == (replicas, 1, True)


@pytest.mark.slow
@pytest.mark.parametrize("other, differs", [({"images": "a"}, False), ({"images": "b"}, True)])
def test_processes_on_jax_compare_texts(monkeypatch, other, differs):
    """Two processes of JAX need two machines, or a TPU. What they exchange is made up here."""
    from jax.experimental import multihost_utils

    sent = []
    both = devices.Devices(None, count=2, workers=2)

    def gather(array):
        assert array.dtype == np.int32
        sent.append(array)
        return np.stack([array, sent[0]])

    monkeypatch.setattr(multihost_utils, "process_allgather", gather)
    both.check_same(other)
    if differs:
        with pytest.raises(UsageError, match="images: process 1 has another one than process 0"):
            both.check_same({"images": "a"})
    else:
        both.check_same({"images": "a"})


def test_processes_on_tensorflow_compare_texts_by_their_devices(monkeypatch):
    rows = []

    def gathered(strategy, numbers):
        # Two processes of two devices each.
        rows.append(numbers)
        return np.stack([rows[0], rows[0], numbers, numbers])

    monkeypatch.setattr(strategies, "gathered", gathered)
    both = devices.Devices("a strategy", count=4, workers=2, worker=1)
    both.check_same({"images": "a", "step": "3"})
    with pytest.raises(UsageError, match=r"step: process 1 has .* \(here, in process 1: 4\)"):
        both.check_same({"images": "a", "step": "4"})
