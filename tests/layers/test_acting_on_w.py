"""Regularizers and constraints that see w."""

import keras
import numpy as np
import pytest

import keras_wn
from keras_wn import layers
from tests.helpers import to_numpy
from tests.layers.cases import VECTORS, build


@pytest.mark.parametrize("log_gain", [True, False])
def test_regularizer_can_act_on_w(log_gain):
    on_w = keras_wn.regularizers.EffectiveKernelRegularizer(keras.regularizers.L2(0.5))
    layer, _, x = build("separable_conv2d", pointwise_regularizer=on_w, log_gain=log_gain)
    assert layer.pointwise_regularizer is on_w
    layer.v["pointwise_kernel"].assign(to_numpy(layer.v["pointwise_kernel"]) * 3)
    w = to_numpy(layer.effective_kernel["pointwise_kernel"])
    for _ in range(2):  # Counted once, however often the layer is called.
        layer(x)
        assert len(layer.losses) == 1
        np.testing.assert_allclose(to_numpy(layer.losses[0]), 0.5 * np.sum(w**2), rtol=1e-5)
    model = keras.Sequential([keras.Input(x.shape[1:]), layer])
    model.compile(optimizer=keras.optimizers.SGD(0.1), loss=lambda y, p: 0 * keras.ops.mean(p))
    model.train_on_batch(x, np.zeros(model.output_shape[1:], "float32")[None].repeat(2, 0))
    # The penalty alone shrinks w, by the step size times its gradient along g: w itself.
    shrunk = to_numpy(layer.effective_kernel["pointwise_kernel"])
    assert np.sum(shrunk**2) < 0.95 * np.sum(w**2)


@pytest.mark.parametrize("wrapped", [True, False])
@pytest.mark.parametrize("log_gain", [True, False])
def test_constraint_can_act_on_w(wrapped, log_gain):
    on_w = keras_wn.constraints.EffectiveKernelConstraint("non_neg")
    if wrapped:
        layer = layers.WeightNormalization(keras.layers.Dense(3, kernel_constraint=on_w), log_gain=log_gain)
    else:
        layer = layers.WNDense(3, kernel_constraint=on_w, log_gain=log_gain)
    model = keras.Sequential([keras.Input((4,)), layer])
    model.compile(optimizer=keras.optimizers.SGD(0.1), loss="mse")

    def w():
        return to_numpy(layer.effective_kernels["kernel"] if wrapped else layer.effective_kernel)

    before = w()
    assert np.any(before < 0)
    model.optimizer.learning_rate = 0.0
    model.train_on_batch(VECTORS, np.ones((5, 3), "float32"))
    np.testing.assert_allclose(w(), np.maximum(before, 0), rtol=1e-5, atol=1e-6)
    model.optimizer.learning_rate = 0.1
    model.fit(VECTORS, np.ones((5, 3), "float32"), epochs=3, verbose=0)
    assert np.all(w() >= 0) and np.any(w() != np.maximum(before, 0))


def test_what_acts_on_w_is_refused_where_there_is_none():
    for layer in (
        keras.layers.Dense(3, kernel_regularizer=keras_wn.regularizers.EffectiveKernelRegularizer("l2")),
        keras.layers.Dense(3, kernel_constraint=keras_wn.constraints.EffectiveKernelConstraint("non_neg")),
    ):
        model = keras.Sequential([keras.Input((4,)), layer])
        model.compile(optimizer="sgd", loss="mse")
        with pytest.raises(ValueError, match="not allowed on the kernel of a plain layer"):
            model.train_on_batch(VECTORS, np.ones((5, 3), "float32"))
    with pytest.raises(ValueError, match="without a gain the norm of w is 1. Allowed: use_gain=True"):
        build("dense", use_gain=False, kernel_constraint=keras_wn.constraints.EffectiveKernelConstraint("non_neg"))


def test_what_acts_on_w_is_saved(tmp_path):
    layer = layers.WNDense(
        3,
        kernel_regularizer=keras_wn.regularizers.EffectiveKernelRegularizer("l2"),
        kernel_constraint=keras_wn.constraints.EffectiveKernelConstraint("non_neg"),
    )
    model = keras.Sequential([keras.Input((4,)), layer])
    model.save(tmp_path / "model.keras")
    loaded = keras.saving.load_model(tmp_path / "model.keras")
    np.testing.assert_allclose(to_numpy(loaded.losses[0]), to_numpy(model.losses[0]), rtol=1e-6)


def test_filter_that_a_constraint_makes_zero_can_come_back():
    on_w = keras_wn.constraints.EffectiveKernelConstraint("non_neg")
    layer = layers.WNDense(1, use_bias=False, kernel_constraint=on_w, kernel_initializer="ones")
    model = keras.Sequential([keras.Input((1,)), layer])
    model.compile(optimizer=keras.optimizers.SGD(0.5), loss="mse")
    x = np.ones((1, 1), "float32")
    model.train_on_batch(x, -3 * x)
    np.testing.assert_array_equal(to_numpy(layer.effective_kernel), 0)
    model.fit(x, x, epochs=20, verbose=0)
    np.testing.assert_allclose(to_numpy(layer.effective_kernel), 1, rtol=1e-2)
