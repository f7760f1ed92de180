"""Training on the JAX backend: two devices are one."""

import json

import keras
import numpy as np
import pytest

import keras_wn  # noqa: F401  The classes that a saved model names.
from tests.runners.processes import HERE, finish

# The compiler's work takes longer than the steps.
PLAIN_CODE = "--xla_backend_optimization_level=0"
TWO_DEVICES = f"{PLAIN_CODE} --xla_force_host_platform_device_count=2"


def run(folder, *flags, devices=1):
    environment = {"KERAS_BACKEND": "jax", "XLA_FLAGS": TWO_DEVICES if devices == 2 else PLAIN_CODE}
    code, out, err = finish(
        HERE / "tiny.py", "--train_epochs=2", f"--model_dir={folder}", *flags, **environment
    )
    assert code == 0, err
    return out


def weights(folder):
    return [np.array(v) for v in keras.saving.load_model(f"{folder}/model.keras").weights]


@pytest.mark.slow
def test_two_devices_are_one_and_a_run_goes_on_exactly(tmp_path):
    run(tmp_path / "one", "--norm=bn", "--strategy=none")
    out = run(tmp_path / "two", "--norm=bn", "--strategy=data_parallel", devices=2)
    assert "Devices: 2, each 32 images a step; XLA on." in out
    # On JAX, batch normalization's statistics are those of the whole batch. The 40 steps amplify
    # the rounding of sums in another order, to 8e-4 on some CPUs. With statistics of each half of
    # the batch, the difference is 2e-2.
    for one, two in zip(weights(tmp_path / "one"), weights(tmp_path / "two"), strict=True):
        np.testing.assert_allclose(one, two, atol=4e-3, rtol=0)
    # As if it had been stopped after its first epoch.
    max((tmp_path / "two/checkpoints").iterdir()).unlink()
    (tmp_path / "two/result.json").unlink()
    before = weights(tmp_path / "two")
    out = run(tmp_path / "two", "--norm=bn", "--strategy=data_parallel", "--resume", devices=2)
    assert "Continuing after step 20." in out
    assert all(np.array_equal(a, b) for a, b in zip(weights(tmp_path / "two"), before, strict=True))
    assert json.loads((tmp_path / "two/result.json").read_text())["status"] == "finished"
