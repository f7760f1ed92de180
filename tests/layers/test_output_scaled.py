"""Scaling a layer's output in place of its kernel: the same layer, where it is less work."""

import keras
import numpy as np
import pytest
from keras import ops

from keras_wn import layers
from keras_wn.layers.reparameterized import Reparameterized
from tests.helpers import gradients, randomize, to_numpy

# Name -> layer, and a shape of inputs of which the output is smaller than the kernel, and one where
# it is larger.
CASES = {
    "dense": (
        lambda **options: layers.WNDense(5, activation="tanh", **options),
        (2, 40),
        (2, 30, 40),
    ),
    "conv1d": (
        lambda **options: layers.WNConv1D(5, 3, padding="same", **options),
        (2, 6, 8),
        (2, 60, 8),
    ),
    "conv2d": (
        lambda **options: layers.WNConv2D(6, 3, groups=2, **options),
        (2, 4, 4, 8),
        (2, 9, 9, 8),
    ),
    "conv3d": (
        lambda **options: layers.WNConv3D(4, 2, use_bias=False, **options),
        (2, 2, 3, 3, 8),
        (2, 6, 6, 6, 8),
    ),
}


@pytest.mark.parametrize("options", [{}, {"use_gain": False}, {"log_gain": True}], ids=str)
@pytest.mark.parametrize("name", CASES)
def test_equals_scaling_the_kernel(name, options, monkeypatch):
    make, shape, _ = CASES[name]
    rng = np.random.default_rng(0)
    x = rng.normal(size=shape).astype("float32")
    layer = make(**options)
    assert layer(x) is not None and layer._output_is_smaller(shape)
    randomize(layer)
    cotangent = rng.normal(size=layer(x).shape).astype("float32")
    outputs, slopes = to_numpy(layer(x)), gradients(layer, x, cotangent)
    monkeypatch.setattr(type(layer), "call", Reparameterized.call)
    np.testing.assert_allclose(outputs, to_numpy(layer(x)), rtol=1e-5, atol=1e-6)
    for path, slope in gradients(layer, x, cotangent).items():
        np.testing.assert_allclose(slopes[path], slope, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("name", CASES)
def test_only_where_the_output_is_smaller(name):
    make, small, large = CASES[name]
    layer = make()
    layer.build(small)
    assert layer._output_is_smaller(small) and not layer._output_is_smaller(large)
    # A batch of unknown size counts as 32; other unknown sizes as large.
    assert not layer._output_is_smaller((None, *large[1:]))
    if len(small) > 2:
        assert not layer._output_is_smaller((2, None, *small[2:]))


def test_causal_padding_scales_the_kernel():
    layer, plain = (
        layers.WNConv1D(5, 3, padding="causal"),
        keras.layers.Conv1D(5, 3, padding="causal"),
    )
    x = np.random.default_rng(0).normal(size=(1, 4, 8)).astype("float32")
    layer(x), plain(x)
    randomize(layer)
    plain.set_weights([to_numpy(layer.effective_kernel), to_numpy(layer.bias)])
    np.testing.assert_allclose(to_numpy(layer(x)), to_numpy(plain(x)), rtol=1e-5, atol=1e-5)


def test_channels_first_scales_the_channels():
    if keras.backend.backend() == "tensorflow":
        pytest.skip("TensorFlow convolves channels first on GPUs alone")
    x = np.random.default_rng(0).normal(size=(2, 8, 4, 4)).astype("float32")
    layer, last = layers.WNConv2D(6, 3, data_format="channels_first"), layers.WNConv2D(6, 3)
    layer(x), last(np.moveaxis(x, 1, -1))
    randomize(layer)
    last.set_weights(layer.get_weights())
    expected = np.moveaxis(to_numpy(last(np.moveaxis(x, 1, -1))), -1, 1)
    np.testing.assert_allclose(to_numpy(layer(x)), expected, rtol=1e-5, atol=1e-5)


def test_bfloat16_keeps_the_scale_exact():
    # 1 + 2^-8 is not in bfloat16: a scale rounded to it would lose or double the excess of every
    # output.
    layer = layers.WNDense(1, use_bias=False, kernel_initializer="ones", dtype="mixed_bfloat16")
    x = np.ones((1, 64), "float32")
    layer(x)
    layer.g.assign([8 * (1 + 2**-8) * 32])
    assert (
        abs(float(to_numpy(ops.cast(layer(x), "float32"))[0, 0]) / (64 * 32 * (1 + 2**-8)) - 1)
        < 2**-8
    )


def test_float16_scales_the_kernel():
    # 4096 entries of 100, before their scale, would sum to more than float16 holds.
    layer = layers.WNDense(
        1,
        kernel_initializer=keras.initializers.Constant(100.0),
        gain_initializer="ones",
        dtype="mixed_float16",
    )
    outputs = to_numpy(layer(np.ones((1, 4096), "float32")))
    np.testing.assert_allclose(outputs, 64, rtol=1e-2)


def test_a_convolution_of_ones_own_sees_the_kernel():
    class Squared(layers.WNConv2D):
        def convolution_op(self, inputs, kernel):
            return super().convolution_op(inputs, ops.square(kernel))

    layer = Squared(3, 1, use_bias=False)
    x = np.random.default_rng(0).normal(size=(1, 2, 1, 64)).astype("float32")
    layer(x)
    randomize(layer)
    expected = x[0] @ to_numpy(layer.effective_kernel)[0, 0] ** 2
    np.testing.assert_allclose(to_numpy(layer(x))[0], expected, rtol=1e-4, atol=1e-5)


def test_unknown_sizes_inside_a_layer_that_infers_its_shape():
    class Block(keras.layers.Layer):
        def __init__(self, **kwargs):
            super().__init__(**kwargs)
            self.dense = layers.WNDense(3)

        def call(self, x):
            return self.dense(x)

    # On JAX, Keras finds this layer's shape by symbols in the place of the unknown sizes.
    assert Block()(keras.Input((4,))).shape == (None, 3)
    assert Block()(keras.Input((None, 4))).shape == (None, None, 3)
