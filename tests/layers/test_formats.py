"""Copies of a model with weight-normalized layers of each kind, and weights that stay."""

import copy
import pickle

import keras
import numpy as np
import pytest

from keras_wn import layers
from tests.helpers import to_numpy

IMAGES = np.random.default_rng(0).normal(size=(2, 8, 8, 3)).astype("float32")


def trained_away():
    keras.utils.set_random_seed(0)
    model = keras.Sequential(
        [
            keras.Input((8, 8, 3)),
            layers.WNConv2D(4, 3, activation="relu"),
            layers.TReLU(),
            layers.WNSeparableConv2D(4, 2),
            layers.WeightNormalization(keras.layers.Conv2D(3, 2)),
            keras.layers.Flatten(),
            layers.NormPropDense(2),
        ]
    )
    rng = np.random.default_rng(1)
    for variable in model.trainable_variables:
        variable.assign(to_numpy(variable) * rng.uniform(0.5, 1.5, variable.shape) + 0.01)
    return model


def cloned(model):
    copied = keras.models.clone_model(model)
    copied.set_weights(model.get_weights())
    return copied


def from_json(model):
    copied = keras.models.model_from_json(model.to_json())
    copied.set_weights(model.get_weights())
    return copied


@pytest.mark.parametrize(
    "copied", [cloned, from_json, copy.deepcopy, lambda model: pickle.loads(pickle.dumps(model))]
)
def test_copy_puts_out_the_same_and_shares_nothing(copied):
    model = trained_away()
    before = to_numpy(model(IMAGES))
    other = copied(model)
    np.testing.assert_array_equal(to_numpy(other(IMAGES)), before)
    for variable in other.trainable_variables:
        variable.assign(keras.ops.zeros(variable.shape))
    np.testing.assert_array_equal(to_numpy(model(IMAGES)), before)


@pytest.mark.skipif(
    keras.backend.backend() != "tensorflow",
    reason="SavedModel is TensorFlow's; runs in the main suite",
)
def test_saved_model_puts_out_the_same(tmp_path):
    import tensorflow as tf

    model = trained_away()
    model.export(tmp_path / "exported", verbose=False)
    exported = tf.saved_model.load(tmp_path / "exported")
    np.testing.assert_allclose(
        exported.serve(IMAGES).numpy(), to_numpy(model(IMAGES)), rtol=1e-5, atol=1e-6
    )


def test_layers_that_are_not_trainable_stay_and_others_train():
    model = trained_away()
    frozen = [model.layers[0], model.layers[3]]
    for layer in frozen:
        layer.trainable = False
    assert not any(layer.trainable_variables for layer in frozen)
    model.compile(optimizer=keras.optimizers.SGD(0.1), loss="mse")
    before = [to_numpy(v).copy() for layer in frozen for v in layer.variables]
    gain = to_numpy(model.layers[-1].g).copy()
    model.fit(IMAGES, np.ones((2, 2), "float32"), verbose=0)
    after = [to_numpy(v) for layer in frozen for v in layer.variables]
    assert all(np.array_equal(a, b) for a, b in zip(before, after, strict=True))
    assert np.any(to_numpy(model.layers[-1].g) != gain)


@pytest.mark.skipif(
    keras.backend.backend() == "torch", reason="XLA is not PyTorch's; runs on the other backends"
)
def test_compiled_by_xla_or_not_a_step_is_the_same():
    weights = []
    for jit_compile in (True, False):
        model = trained_away()
        model.compile(optimizer=keras.optimizers.SGD(0.1), loss="mse", jit_compile=jit_compile)
        model.fit(IMAGES, np.ones((2, 2), "float32"), verbose=0)
        weights.append(model.get_weights())
    for a, b in zip(*weights, strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-5)


def test_subclassed_model_tracks_v_and_g():
    class Model(keras.Model):
        def __init__(self):
            super().__init__()
            self.dense = layers.WNDense(3)

        def call(self, x):
            return self.dense(x)

    model = Model()
    model(np.ones((1, 4), "float32"))
    assert sorted(v.name for v in model.trainable_variables) == ["bias", "kernel", "kernel_g"]
