"""Checkpoints: what is damaged is found out, and said; the newest whole one is taken."""

import keras
import numpy as np
import pytest

from keras_wn.training.checkpoints import Checkpoints
from keras_wn.training.errors import UsageError


def compiled(seed=0, classes=2):
    keras.utils.set_random_seed(seed)
    model = keras.Sequential([keras.Input((3,)), keras.layers.Dropout(0.5, seed=1), keras.layers.Dense(classes)])
    model.compile(keras.optimizers.SGD(0.1, momentum=0.9), "mse")
    return model


def trained(model, steps=1):
    x = np.random.default_rng(0).normal(size=(4 * steps, 3)).astype("float32")
    model.fit(x, x[:, :2], batch_size=4, verbose=0, shuffle=False)
    return model


def values(model):
    return [keras.ops.convert_to_numpy(v) for v in (*model.variables, *model.optimizer.variables)]


@pytest.fixture
def saved(tmp_path):
    """Checkpoints of steps 1, 2 and 3, and what the model held at each."""
    checkpoints, model, held = Checkpoints(tmp_path, {"norm": "wn"}), compiled(), {}
    for step in (1, 2, 3):
        checkpoints.write(trained(model), step)
        held[step] = values(model)
    return checkpoints, held


def newest(folder, place=-1):
    return sorted(folder.iterdir())[place]


def assert_restored(checkpoints, held, step):
    model = compiled(seed=9)
    assert checkpoints.restore_newest(model)[0] == step
    for a, b in zip(values(model), held, strict=True):
        np.testing.assert_array_equal(a, b)


def test_the_newest_is_restored_with_optimizer_and_random_state_and_two_are_kept(saved, tmp_path):
    checkpoints, held = saved
    assert_restored(checkpoints, held[3], 3)
    assert [path.name[:13] for path in sorted(tmp_path.iterdir())] == ["step-00000002", "step-00000003"]


@pytest.mark.parametrize("damage", ["truncated", "a bit turned over", "emptied"])
def test_a_damaged_newest_one_falls_back_loudly(saved, tmp_path, damage, capsys):
    checkpoints, held = saved
    path = newest(tmp_path)
    content = bytearray(path.read_bytes())
    if damage == "a bit turned over":
        content[len(content) // 2] ^= 1
    path.write_bytes(content[: {"truncated": len(content) // 2, "emptied": 0}.get(damage, len(content))])
    assert_restored(checkpoints, held[2], 2)
    assert f"*** Checkpoint {path.name} is damaged" in capsys.readouterr().err


def test_all_damaged_is_an_error_and_none_is_the_start(saved, tmp_path):
    checkpoints, _ = saved
    for path in tmp_path.iterdir():
        path.write_bytes(b"")
    with pytest.raises(
        UsageError, match="no checkpoint in .* is whole .*step-00000002.* Allowed: --overwrite to start anew"
    ):
        checkpoints.restore_newest(compiled())
    for path in tmp_path.iterdir():
        path.unlink()
    assert checkpoints.restore_newest(compiled()) == (0, [])


def test_one_of_another_method_is_refused_and_changes_nothing(saved, tmp_path):
    model = compiled(seed=9)
    before = [v.numpy() for v in model.weights] if hasattr(model.weights[0], "numpy") else []
    with pytest.raises(UsageError, match="another run: norm 'wn', not 'bn'. Allowed: this run's own"):
        Checkpoints(tmp_path, {"norm": "bn"}).restore_newest(model)
    for old, variable in zip(before, model.weights, strict=True):
        np.testing.assert_array_equal(old, variable.numpy())


def test_one_of_another_number_of_classes_is_refused(saved):
    with pytest.raises(UsageError, match="does not fit this run's network .*the data set, with its number of classes"):
        saved[0].restore_newest(compiled(classes=3))


def test_a_run_that_goes_on_from_an_earlier_step_replaces_the_later_ones(saved, tmp_path):
    checkpoints, _ = saved
    newest(tmp_path).write_bytes(b"torn")
    model = compiled()
    step, _ = checkpoints.restore_newest(model)
    checkpoints.write(trained(model), step + 1)
    assert [path.name[:13] for path in sorted(tmp_path.iterdir())] == ["step-00000002", "step-00000003"]
    assert_restored(checkpoints, values(model), 3)
