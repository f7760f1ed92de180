import keras
import numpy as np
import pytest

from keras_wn import layers
from tests.helpers import filter_norms, gradients, randomize, to_numpy

GAUSSIAN = np.random.default_rng(0).normal(size=1_000_000).astype("float32")


def test_norm_prop_unit_keeps_mean_0_and_variance_1_at_gain_1():
    rng = np.random.default_rng(0)
    x = rng.normal(size=(20_000, 256)).astype("float32")
    for _ in range(3):
        x = to_numpy(layers.NormalizedReLU()(layers.NormPropDense(256, gain_initializer="ones")(x)))
    # Not exactly: the units of a layer share their inputs, and later inputs are only about
    # Gaussian.
    assert abs(x.mean()) < 0.02
    assert abs(x.var() - 1) < 0.05


def test_norm_prop_starts_with_unit_filters_and_the_papers_gain():
    layer = layers.NormPropConv2D(4, 3)
    layer(np.ones((1, 5, 5, 2), "float32"))
    np.testing.assert_allclose(filter_norms(layer.v), 1, rtol=1e-6)
    np.testing.assert_allclose(to_numpy(layer.g), 1 / 1.21, rtol=1e-6)


def test_norm_prop_defaults_can_be_replaced_and_are_saved():
    layer = layers.NormPropDense(4, kernel_constraint=None, gain_initializer="ones")
    copy = layers.NormPropDense.from_config(layer.get_config())
    assert layer.kernel_constraint is None and copy.kernel_constraint is None
    assert isinstance(copy.gain_initializer, keras.initializers.Ones)


IMAGES = np.random.default_rng(1).normal(size=(2, 6, 6, 4)).astype("float32")
VECTORS = np.random.default_rng(2).normal(size=(5, 4)).astype("float32")


# The second convolution has a kernel that is larger than its output, and scales the output.
@pytest.mark.parametrize("use_bias", [True, False])
@pytest.mark.parametrize(
    "layer_class, size, x",
    [
        (layers.NormPropDense, (3,), VECTORS),
        (layers.NormPropConv2D, (3, 3), IMAGES),
        (layers.NormPropConv2D, (64, 6), IMAGES),
    ],
)
def test_activation_of_the_layer_is_the_activation_after_it(layer_class, size, x, use_bias):
    fused = layer_class(*size, activation=layers.NormalizedReLU(), use_bias=use_bias)
    plain = layer_class(*size, use_bias=use_bias)
    fused(x), plain(x)
    randomize(fused)
    for new, old in zip(plain.weights, fused.weights, strict=True):
        new.assign(to_numpy(old))
    separate = keras.Sequential([plain, layers.NormalizedReLU()])
    np.testing.assert_allclose(to_numpy(fused(x)), to_numpy(separate(x)), rtol=1e-4, atol=1e-5)
    cotangent = np.random.default_rng(3).normal(size=fused(x).shape).astype("float32")
    of, of_separate = gradients(fused, x, cotangent), gradients(separate, x, cotangent)
    assert set(of) == set(of_separate) == {"kernel", "kernel_g", *(["bias"] if use_bias else [])}
    for name, gradient in of.items():
        np.testing.assert_allclose(gradient, of_separate[name], rtol=1e-3, atol=1e-4, err_msg=name)


def test_activation_of_the_layer_takes_a_scale_and_half_precision():
    scale = np.array([0.5, 1.0, 2.0], "float32")
    for dtype in ("float32", "mixed_bfloat16"):
        activation = layers.NormalizedReLU(dtype=dtype)
        fused = layers.NormPropConv2D(3, 3, activation=activation, dtype=dtype)
        plain = layers.NormPropConv2D(3, 3, dtype=dtype)
        fused(IMAGES), plain(IMAGES)
        plain.v.assign(to_numpy(fused.v))
        expected = layers.NormalizedReLU(dtype=dtype)(plain(IMAGES, scale=scale))
        found = fused(IMAGES, scale=scale)
        assert found.dtype == expected.dtype
        np.testing.assert_allclose(
            to_numpy(keras.ops.cast(found, "float32")),
            to_numpy(keras.ops.cast(expected, "float32")),
            rtol=1e-4,
            atol=1e-5,
        )
