"""The callback that writes the figures of weight normalization for TensorBoard."""

import importlib.util
import math

import keras
import numpy as np
import pytest
from keras import layers as kl
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

import keras_wn
from keras_wn.callbacks import WeightNormMonitor
from tests.helpers import to_numpy

X = np.random.default_rng(0).normal(size=(24, 4)).astype("float32")
Y = np.random.default_rng(1).normal(size=(24, 3)).astype("float32")


def scalars(folder):
    events = EventAccumulator(str(folder / "weight_norm"), size_guidance={"scalars": 0})
    events.Reload()
    return {tag: {e.step: e.value for e in events.Scalars(tag)} for tag in events.Tags()["scalars"]}


def net(**compiled):
    model = keras.Sequential(
        [
            keras.Input((4,)),
            kl.Dense(5, name="plain"),
            keras_wn.layers.WNDense(5, use_gain=False, name="strict"),
            keras_wn.layers.WNDense(3, log_gain=True, name="fc"),
        ]
    )
    model.compile(keras.optimizers.SGD(0.1), "mse", **compiled)
    return model


def figures_now(model):
    v, g = to_numpy(model.get_layer("fc").v), np.exp(to_numpy(model.get_layer("fc").g))
    norms = np.linalg.norm(v.astype("float64"), axis=0)
    return norms.mean(), g.mean(), 0.1 / (norms**2).mean()


@pytest.mark.parametrize("steps_per_execution", [1, 2])
def test_figures_are_those_of_the_weights_at_each_step(tmp_path, steps_per_execution):
    if keras.backend.backend() == "torch" and steps_per_execution > 1:
        pytest.skip("Keras takes one step at a time on PyTorch.")
    model = net(steps_per_execution=steps_per_execution)
    expected = {0: figures_now(model)}

    class Recorder(keras.callbacks.Callback):
        def on_epoch_end(self, epoch, logs=None):
            expected[(epoch + 1) * 6] = figures_now(self.model)

    callbacks = [WeightNormMonitor(tmp_path), Recorder()]
    model.fit(X, Y, batch_size=4, epochs=3, verbose=0, callbacks=callbacks)
    found = scalars(tmp_path)
    assert set(found) == {
        "learning_rate",
        "norm/strict/kernel",
        "effective_learning_rate/strict/kernel",
        "norm/fc/kernel",
        "gain/fc/kernel",
        "effective_learning_rate/fc/kernel",
    }
    names = ("norm/fc/kernel", "gain/fc/kernel", "effective_learning_rate/fc/kernel")
    for number, name in enumerate(names):
        assert list(found[name]) == [0, 6, 12, 18]
        for step, value in found[name].items():
            assert math.isclose(value, expected[step][number], rel_tol=1e-5), (name, step)
    assert len({*found["norm/fc/kernel"].values()}) == 4


def test_figures_within_an_epoch_are_those_of_the_moment(tmp_path):
    model = net()
    model.fit(X, Y, batch_size=4, epochs=2, verbose=0, callbacks=[WeightNormMonitor(tmp_path, 4)])
    found = scalars(tmp_path)["norm/fc/kernel"]
    assert list(found) == [0, 4, 8, 12]
    assert len({*found.values()}) == 4
    assert math.isclose(found[12], figures_now(model)[0], rel_tol=1e-5)
    # Reading the weights within an epoch does not change what is trained.
    keras.utils.set_random_seed(1)
    watched, bare = net(), net()
    bare.set_weights(watched.get_weights())
    watched.fit(
        X, Y, 4, verbose=0, shuffle=False, callbacks=[WeightNormMonitor(tmp_path / "watched", 1)]
    )
    bare.fit(X, Y, 4, verbose=0, shuffle=False)
    for a, b in zip(watched.get_weights(), bare.get_weights(), strict=True):
        np.testing.assert_array_equal(a, b)


def test_a_second_fit_goes_on_counting(tmp_path):
    model, monitor = net(), WeightNormMonitor(tmp_path)
    for _ in range(2):
        model.fit(X, Y, batch_size=12, verbose=0, callbacks=[monitor])
    assert list(scalars(tmp_path)["learning_rate"]) == [0, 2, 4]


def test_a_schedule_is_read_at_its_step(tmp_path):
    model = net()
    rate = keras.optimizers.schedules.ExponentialDecay(0.1, 2, 0.5)
    model.compile(keras.optimizers.SGD(rate), "mse")
    model.fit(X, Y, batch_size=12, epochs=2, verbose=0, callbacks=[WeightNormMonitor(tmp_path)])
    found = list(scalars(tmp_path)["learning_rate"].values())
    np.testing.assert_allclose(found, [0.1, 0.05, 0.025], rtol=1e-5)


def test_a_model_that_is_built_by_its_first_batch_is_watched(tmp_path):
    model = keras.Sequential([keras_wn.layers.WNDense(3, name="fc")])
    model.compile("sgd", "mse")
    model.fit(X, Y, verbose=0, callbacks=[WeightNormMonitor(tmp_path)])
    assert any(name.endswith("fc/kernel") for name in scalars(tmp_path))


@pytest.mark.parametrize("freq", [0, -1, "batch", 1.5, True])
def test_other_frequencies_are_refused(freq):
    with pytest.raises(ValueError, match=f"update_freq={freq!r} is not allowed"):
        WeightNormMonitor(update_freq=freq)


def test_a_model_without_weight_normalization_is_refused_before_anything_is_written(tmp_path):
    model = keras.Sequential([keras.Input((4,)), kl.Dense(3)], name="plain")
    model.compile("sgd", "mse")
    with pytest.raises(ValueError, match="model 'plain' has no weight-normalized kernel"):
        model.fit(X, Y, verbose=0, callbacks=[WeightNormMonitor(tmp_path)])
    assert not list(tmp_path.iterdir())


def test_missing_tensorboard_is_told(monkeypatch):
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(ImportError, match="pip install tensorboard"):
        WeightNormMonitor()


def test_layers_of_one_name_have_a_curve_each(tmp_path):
    def inner(name):
        inputs = keras.Input((4,))
        return keras.Model(inputs, keras_wn.layers.WNDense(4, name="fc")(inputs), name=name)

    model = keras.Sequential([keras.Input((4,)), inner("a"), inner("b"), kl.Dense(3)])
    model.compile("sgd", "mse")
    model.fit(X, Y, verbose=0, callbacks=[WeightNormMonitor(tmp_path)])
    found = scalars(tmp_path)
    for name, layer in (("a", model.layers[0]), ("b", model.layers[1])):
        norms = np.linalg.norm(to_numpy(layer.get_layer("fc").v).astype("float64"), axis=0)
        last = list(found[f"norm/{name}/fc/kernel"].values())[-1]
        assert math.isclose(last, norms.mean(), rel_tol=1e-5)
