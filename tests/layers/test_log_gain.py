"""The gain in log space."""

import keras
import numpy as np
import pytest

from keras_wn import layers
from tests.helpers import gradients, randomize, to_numpy
from tests.layers.cases import CASES, build, by_kernel, norms, set_plain


@pytest.mark.parametrize("name", CASES)
def test_gain_in_log_space(name, tmp_path):
    layer, plain, x = build(name, log_gain=True)
    gains = by_kernel(layer, layer.g)
    assert {v.name for v in layer.variables} >= {f"{kernel}_log_g" for kernel in gains}
    starts = by_kernel(layer, layer.v)
    for kernel, length in norms(name, starts).items():
        np.testing.assert_allclose(np.exp(gains[kernel]), length.reshape(gains[kernel].shape), rtol=1e-5)
    randomize(layer)
    for kernel, length in norms(name, by_kernel(layer, layer.effective_kernel)).items():
        s = by_kernel(layer, layer.g)[kernel]
        np.testing.assert_allclose(length.reshape(s.shape), np.exp(s), rtol=1e-5)
    set_plain(plain, layer)
    np.testing.assert_allclose(to_numpy(layer(x)), to_numpy(plain(x)), rtol=1e-4, atol=1e-4)
    model = keras.Sequential([keras.Input(x.shape[1:], dtype=x.dtype.name), layer])
    model.save(tmp_path / "model.keras")
    np.testing.assert_array_equal(to_numpy(keras.saving.load_model(tmp_path / "model.keras")(x)), to_numpy(model(x)))


def test_gradient_of_the_log_gain_is_g_times_that_of_g():
    layer, _, x = build("dense", log_gain=True)
    other, _, _ = build("dense")
    s = np.array([-1.0, 0.0, 2.0], "float32")
    other.v.assign(layer.v)
    layer.g.assign(s)
    other.g.assign(np.exp(s))
    cotangent = np.random.default_rng(2).normal(size=(5, 3)).astype("float32")
    of_log, of_g = gradients(layer, x, cotangent), gradients(other, x, cotangent)
    np.testing.assert_allclose(of_log["kernel_log_g"], np.exp(s) * of_g["kernel_g"], rtol=1e-5)
    np.testing.assert_allclose(of_log["kernel"], of_g["kernel"], rtol=1e-4, atol=1e-6)


def test_log_gain_refuses_what_has_no_logarithm():
    with pytest.raises(ValueError, match="log_gain=True with use_gain=False"):
        layers.WNDense(3, use_gain=False, log_gain=True)
    with pytest.raises(ValueError, match="log_gain=True: a gain of .* is 0.0. Allowed: positive numbers"):
        build("dense", log_gain=True, gain_initializer="zeros")


def test_log_of_a_tiny_gain_in_float16_is_finite():
    layer = layers.WNDense(3, log_gain=True, dtype="float16", kernel_initializer="zeros")
    layer.build((None, 4))
    assert np.all(np.isfinite(to_numpy(layer.g)))
    ((_, gain),) = layer.kernels_and_gains()
    gain.assign(np.array([1e-9, 1.0, 2.0], "float32"))
    np.testing.assert_allclose(to_numpy(layer.g), np.log([1e-9, 1.0, 2.0]), rtol=1e-2)
