"""SGD with L2 decay, and adaptive gradient clipping: their equations and where they do nothing."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from keras_wn.training.optimizer import SGDL2, clip_adaptively

RNG = np.random.default_rng(0)


def test_is_sgd_on_the_loss_plus_half_l2_times_the_square():
    start = np.array([1.0, -2.0], "float32")
    ours = [keras.Variable(start, name="kernel"), keras.Variable(start, name="bias")]
    plain = [keras.Variable(start, name="kernel"), keras.Variable(start, name="bias")]
    optimizer = SGDL2(l2=0.5, decayed=("kernel",), learning_rate=0.1, momentum=0.9)
    reference = keras.optimizers.SGD(learning_rate=0.1, momentum=0.9)
    gradient = np.array([0.3, 0.1], "float32")
    for _ in range(3):
        optimizer.apply([keras.ops.array(gradient)] * 2, ours)
        reference.apply([gradient + 0.5 * plain[0].numpy(), keras.ops.array(gradient)], plain)
    for a, b in zip(ours, plain, strict=True):
        np.testing.assert_allclose(a.numpy(), b.numpy(), rtol=1e-6)
    assert np.any(ours[0].numpy() != ours[1].numpy())


def test_negative_decay_is_refused():
    with pytest.raises(ValueError, match="l2=-1.0 is not allowed"):
        SGDL2(l2=-1.0)


def test_is_saved():
    copy = keras.optimizers.deserialize(
        keras.optimizers.serialize(SGDL2(0.5, ("kernel",), momentum=0.9))
    )
    assert (float(copy.l2), copy.decayed, copy.momentum) == (0.5, ("kernel",), 0.9)


def by_hand(gradient, weight, factor, eps=1e-3):
    """Equation 3 unit by unit."""
    clipped = gradient.copy()
    for i in range(gradient.shape[-1]):
        w, g = max(np.linalg.norm(weight[..., i]), eps), np.linalg.norm(gradient[..., i])
        if g / w > factor:
            clipped[..., i] *= factor * w / g
    return clipped


@pytest.mark.parametrize("shape", [(5, 4), (3, 3, 2, 4)])
def test_is_the_equation_on_kernels(shape):
    gradient, weight = RNG.normal(size=shape), RNG.normal(size=shape)
    gradient[..., 0] *= 1e-4  # A unit that is left as it is.
    weight[..., 1] = 0.0  # `eps` alone lets this unit learn.
    clipped = clip_adaptively([tf.constant(gradient)], [tf.constant(weight)], 0.1)[0].numpy()
    np.testing.assert_allclose(clipped, by_hand(gradient, weight, 0.1), rtol=1e-12)
    np.testing.assert_array_equal(clipped[..., 0], gradient[..., 0])
    assert np.linalg.norm(clipped[..., 1]) == pytest.approx(0.1 * 1e-3)


@pytest.mark.parametrize("shape", [(6,), (1, 6), (6, 1), ()])
def test_a_vector_is_one_unit(shape):
    gradient, weight = RNG.normal(size=shape) + 10, RNG.normal(size=shape)
    clipped = clip_adaptively([tf.constant(gradient)], [tf.constant(weight)], 0.1)[0].numpy()
    np.testing.assert_allclose(
        clipped, gradient * 0.1 * np.linalg.norm(weight) / np.linalg.norm(gradient), rtol=1e-12
    )


def test_a_large_factor_clips_nothing():
    gradient, weight = RNG.normal(size=(5, 4)), RNG.normal(size=(5, 4))
    np.testing.assert_array_equal(
        clip_adaptively([tf.constant(gradient)], [tf.constant(weight)], 1e6)[0], gradient
    )


@pytest.mark.parametrize("bad", [np.inf, np.nan])
def test_what_is_not_finite_stays_so(bad):
    clipped, none = clip_adaptively(
        [tf.constant([[1.0], [bad]]), None], [tf.ones((2, 1)), tf.ones(1)], 0.1
    )
    assert not np.all(np.isfinite(clipped)) and none is None


@pytest.mark.parametrize(
    "values, message", [((0.0, 1e-3), "factor=0.0 is not"), ((0.1, np.nan), "eps=nan is not")]
)
def test_values_that_are_refused(values, message):
    with pytest.raises(ValueError, match=message):
        clip_adaptively([], [], *values)
