import keras
import numpy as np
import pytest

from keras_wn.layers import MeanOnlyBatchNormalization
from tests.helpers import gradients, to_numpy

X = np.random.default_rng(0).normal(3.0, 2.0, (5, 6, 7, 4)).astype("float32")
AXES = (0, 1, 2)
BETA = np.array([0.5, -1.0, 2.0, 0.0], "float32")


def built(**arguments):
    layer = MeanOnlyBatchNormalization(**arguments)
    layer(X)
    layer.beta.assign(BETA)
    return layer


def test_training_takes_the_batchs_mean_away_and_divides_nothing():
    y = to_numpy(built()(X, training=True))
    np.testing.assert_allclose(y, X - X.mean(axis=AXES) + BETA, atol=1e-5)
    np.testing.assert_allclose(y.std(axis=AXES), X.std(axis=AXES), rtol=1e-5)


def test_moving_mean_is_the_recursion_and_inference_takes_it_away():
    layer = built(momentum=0.9)
    layer(X, training=True)
    layer(2 * X, training=True)
    expected = 0.9 * 0.1 * X.mean(axis=AXES) + 0.1 * 2 * X.mean(axis=AXES)
    np.testing.assert_allclose(to_numpy(layer.moving_mean), expected, rtol=1e-5)
    np.testing.assert_allclose(to_numpy(layer(X)), X - expected + BETA, atol=1e-5)
    np.testing.assert_allclose(to_numpy(layer.moving_mean), expected, rtol=1e-5)


def test_without_momentum_inference_does_what_training_did():
    layer = built(momentum=0.0)
    in_training = to_numpy(layer(X, training=True))
    np.testing.assert_allclose(to_numpy(layer(X, training=False)), in_training, atol=1e-5)


def test_untrained_it_is_the_identity_in_inference():
    np.testing.assert_array_equal(to_numpy(MeanOnlyBatchNormalization()(X)), X)


def test_on_channels_of_variance_1_it_is_batch_normalization():
    x = (X - X.mean(axis=AXES)) / X.std(axis=AXES) + 3
    ours, theirs = (
        MeanOnlyBatchNormalization(momentum=0.9),
        keras.layers.BatchNormalization(momentum=0.9, epsilon=0),
    )
    np.testing.assert_allclose(
        to_numpy(ours(x, training=True)), to_numpy(theirs(x, training=True)), atol=1e-5
    )
    np.testing.assert_allclose(to_numpy(ours.moving_mean), to_numpy(theirs.moving_mean), rtol=1e-5)
    np.testing.assert_allclose(to_numpy(ours(x)), to_numpy(theirs(x)), atol=1e-5)


def test_bias_before_it_has_no_effect_and_no_gradient_in_training():
    layer = built()
    np.testing.assert_allclose(
        to_numpy(layer(X + 7, training=True)), to_numpy(layer(X, training=True)), atol=1e-5
    )


class InTraining(keras.layers.Layer):
    """The gradient of a bias in front of the layer in training mode: the input's, summed."""

    def __init__(self):
        super().__init__()
        self.inner = MeanOnlyBatchNormalization()

    def build(self, shape):
        self.shift = self.add_weight(name="shift", shape=shape, initializer="zeros")
        self.inner.build(shape)

    def call(self, x):
        return self.inner(keras.ops.add(x, self.shift), training=True)


def test_gradient_of_the_input_has_mean_0_and_that_of_beta_is_the_sum():
    layer = InTraining()
    layer(X)
    cotangent = np.random.default_rng(1).normal(1.0, 1.0, X.shape).astype("float32")
    found = gradients(layer, X, cotangent)
    np.testing.assert_allclose(found["shift"], cotangent - cotangent.mean(axis=AXES), atol=1e-5)
    np.testing.assert_allclose(found["beta"], cotangent.sum(axis=AXES), rtol=1e-4)


def test_frozen_it_keeps_to_its_moving_mean():
    layer = built()
    layer.moving_mean.assign(np.ones(4))
    layer.trainable = False
    np.testing.assert_allclose(to_numpy(layer(X, training=True)), X - 1 + BETA, atol=1e-5)
    np.testing.assert_array_equal(to_numpy(layer.moving_mean), 1)


@pytest.mark.parametrize("axis", [1, -2])
def test_channel_axis_is_an_argument(axis):
    layer = MeanOnlyBatchNormalization(axis=axis)
    others = tuple(a for a in range(4) if a != axis % 4)
    y = to_numpy(layer(X, training=True))
    np.testing.assert_allclose(y, X - X.mean(axis=others, keepdims=True), atol=1e-5)
    assert layer.beta.shape == (X.shape[axis],)


def test_means_are_taken_in_float32_under_mixed_precision():
    layer = MeanOnlyBatchNormalization(momentum=0.0, dtype="mixed_float16")
    # Their sum is beyond float16; so are steps of 1 in it, from 2048 on.
    x = np.where(np.arange(100_000)[:, None] % 4 == 0, 2004.0, 2000.0).astype("float16")
    y = layer(x, training=True)
    assert keras.backend.standardize_dtype(y.dtype) == "float16"
    np.testing.assert_allclose(to_numpy(layer.moving_mean), 2001.0, rtol=1e-6)
    np.testing.assert_array_equal(to_numpy(y), x - 2001.0)


@pytest.mark.parametrize("momentum", [-0.1, 1.0, float("nan")])
def test_momentum_out_of_range_is_refused(momentum):
    with pytest.raises(
        ValueError, match=f"momentum={momentum} is not allowed. Allowed: at least 0 and less than 1"
    ):
        MeanOnlyBatchNormalization(momentum=momentum)


def test_channel_axis_outside_the_input_or_of_unknown_size_is_refused():
    with pytest.raises(ValueError, match="axis=4 must name a dimension of known size, -4 to 3"):
        MeanOnlyBatchNormalization(axis=4)(X)
    with pytest.raises(ValueError, match=r"axis=1 .* Received: input_shape=\(None, None, 4\)"):
        MeanOnlyBatchNormalization(axis=1)(keras.Input((None, 4)))
