"""Layers with one trained number, and their plain counterparts after folding."""

import keras
import numpy as np
import pytest

import keras_wn
from keras_wn import layers
from tests.helpers import gradients, to_numpy

X = np.random.default_rng(0).normal(size=(3, 4, 4, 2)).astype("float32")
NUMBER = keras.initializers.Constant(3.0)


@pytest.mark.parametrize(
    "layer, slope, offset",
    [
        (layers.ScalarGain(), 1.0, 0.0),
        (layers.ScalarGain(NUMBER, factor=0.5), 1.5, 0.0),
        (layers.SkipInit(), 0.0, 0.0),
        (layers.SkipInit(NUMBER, factor=0.2), 0.6, 0.0),
        (layers.ScalarBias(), 1.0, 0.0),
        (layers.ScalarBias(NUMBER, factor=0.5), 1.0, 1.5),
    ],
)
def test_scalar_layers_are_the_line_that_they_say(layer, slope, offset):
    copy = type(layer).from_config(layer.get_config())
    for one in (layer, copy):
        np.testing.assert_allclose(to_numpy(one(X)), slope * X + offset, rtol=1e-6)
        assert [tuple(v.shape) for v in one.trainable_variables] == [()]


@pytest.mark.parametrize("factor", [1.0, 0.5])
def test_gradients_are_those_of_a_sum_times_the_factor(factor):
    cotangent = np.random.default_rng(1).normal(size=X.shape).astype("float32")
    gain, bias = layers.ScalarGain(factor=factor), layers.ScalarBias(factor=factor)
    gain(X), bias(X)
    expected = factor * np.sum(cotangent.astype("float64") * X)
    np.testing.assert_allclose(gradients(gain, X, cotangent)["g"], expected, rtol=1e-4)
    expected = factor * np.sum(cotangent.astype("float64"))
    np.testing.assert_allclose(gradients(bias, X, cotangent)["bias"], expected, rtol=1e-4)


@pytest.mark.parametrize("layer_class", [layers.ScalarGain, layers.SkipInit, layers.ScalarBias])
def test_factor_must_be_finite(layer_class):
    with pytest.raises(ValueError, match="factor=nan is not allowed. Allowed: a finite number"):
        layer_class(factor=float("nan"))


def test_folding_leaves_plain_layers_with_the_same_outputs(tmp_path):
    x = inputs = keras.Input(X.shape[1:])
    x = layers.ScalarBias(NUMBER, factor=0.5, name="bias")(x)
    x = layers.ScaledWSConv2D(4, 3, padding="same", name="conv")(x)
    x = layers.BatchStatisticsNoise(8, name="noise")(x)
    x = layers.ScalarGain(NUMBER, name="gain")(x)
    x = layers.SkipInit(NUMBER, factor=0.2, name="skip")(x)
    model = keras.Model(inputs, x)
    folded = keras_wn.fold(model)
    assert all(type(layer).__module__.startswith("keras.") for layer in folded.layers)
    assert [one.name for one in folded.layers[1:]] == [one.name for one in model.layers[1:]]
    folded.save(tmp_path / "folded.keras")
    loaded = keras.saving.load_model(tmp_path / "folded.keras")
    for one in (folded, loaded):
        np.testing.assert_allclose(to_numpy(one(X)), to_numpy(model(X)), rtol=1e-5, atol=1e-6)
