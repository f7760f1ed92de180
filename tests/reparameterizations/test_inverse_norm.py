"""Derivatives in closed form against those of the formula, in every mode that a backend has."""

import keras
import numpy as np
import pytest

from keras_wn.reparameterizations.weight_norm import inverse_norm, reciprocal
from tests.helpers import to_numpy

AXIS = (0, 1)
RNG = np.random.default_rng(0)
# The last filter counts as zero, the one before it is out of the range of float32's squares.
LENGTHS = np.array([1.0, 1e-3, 1e20, 0.0], "float32")
V = RNG.normal(size=(3, 5, 4)).astype("float32") * LENGTHS
MODERATE = RNG.normal(size=(3, 5, 4)).astype("float32")
DIRECTION = RNG.normal(size=(3, 5, 4)).astype("float32")
WEIGHTS = np.array([0.5, -1.0, 2.0, 3.0], "float32")


def on(backend):
    return pytest.mark.skipif(
        keras.backend.backend() != backend, reason=f"{backend}'s own derivatives."
    )


@pytest.mark.parametrize("v", [V, MODERATE], ids=["any length", "moderate"])
def test_is_one_over_the_norm(v):
    expected = np.linalg.norm(v.astype("float64").reshape(-1, 4), axis=0)
    expected = np.where(expected == 0, 0, 1 / np.where(expected == 0, 1, expected))
    np.testing.assert_allclose(
        to_numpy(inverse_norm(keras.ops.array(v), AXIS)).reshape(-1), expected, rtol=1e-6
    )


@pytest.mark.parametrize("v", [V, MODERATE], ids=["any length", "moderate"])
def test_gradient_is_that_of_the_formula(v):
    found, expected = (gradient(function)(v) for function in (inverse_norm, reciprocal))
    # A filter's gradients are compared with the largest of them, whose inverse is about the square
    # of the filter's length.
    largest = np.abs(expected).max((0, 1))
    assert np.all(np.abs(found - expected).max((0, 1)) <= 1e-5 * largest)
    assert np.all(largest[:2] > 0)


def test_second_derivative_is_that_of_the_formula():
    found, expected = (second_derivative(function) for function in (inverse_norm, reciprocal))
    np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-5)
    assert np.any(found != 0)


@on("jax")
def test_jax_has_forward_mode():
    import jax

    tangents = [
        jax.jvp(lambda v, f=f: f(v, AXIS), (MODERATE,), (DIRECTION,))[1]
        for f in (inverse_norm, reciprocal)
    ]
    np.testing.assert_allclose(*tangents, rtol=1e-5)


@on("torch")
@pytest.mark.filterwarnings("ignore:`torch.jit.script` is deprecated")  # PyTorch's own use of it.
def test_torch_has_forward_mode():
    import torch

    v, direction = torch.tensor(MODERATE), torch.tensor(DIRECTION)
    tangents = [
        torch.func.jvp(lambda v, f=f: f(v, AXIS), (v,), (direction,))[1]
        for f in (inverse_norm, reciprocal)
    ]
    np.testing.assert_allclose(*tangents, rtol=1e-5)


@on("torch")
def test_torch_maps_over_it():
    import torch

    both = torch.tensor(np.stack([MODERATE, V]))
    one = torch.func.grad(lambda v: scalar(inverse_norm, v))
    np.testing.assert_allclose(
        torch.func.vmap(one)(both), torch.stack([one(v) for v in both]), rtol=1e-5
    )


@on("tensorflow")
def test_tensorflow_differentiates_it_in_a_graph():
    import tensorflow as tf

    @tf.function
    def of(v):
        with tf.GradientTape() as tape:
            tape.watch(v)
            value = scalar(inverse_norm, v)
        return tape.gradient(value, v)

    np.testing.assert_allclose(
        of(tf.constant(MODERATE)), gradient(reciprocal)(MODERATE), rtol=1e-5, atol=1e-7
    )


@on("tensorflow")
def test_tensorflow_takes_a_float64_variable_of_a_strategy():
    import tensorflow as tf

    with tf.distribute.MirroredStrategy(["CPU:0"]).scope():
        v = tf.Variable(MODERATE.astype("float64"))
    with tf.GradientTape() as tape:
        value = scalar(lambda v, axis: keras.ops.cast(inverse_norm(v, axis), "float32"), v)
    np.testing.assert_allclose(
        tape.gradient(value, v), gradient(reciprocal)(MODERATE), rtol=1e-4, atol=1e-6
    )


@on("tensorflow")
@pytest.mark.parametrize("numbers", [20, 10], ids=["three parts", "no more parts than rows"])
def test_tensorflow_takes_a_large_tensor_in_parts(numbers, monkeypatch):
    from keras_wn.reparameterizations import tensorflow_backend

    monkeypatch.setattr(tensorflow_backend, "_ENTRIES_PER_PART", numbers)
    v = keras.ops.array(V)
    assert len(tensorflow_backend._parts(v, AXIS)) == 3
    assert len(tensorflow_backend._parts(v, (1,))) == 1
    np.testing.assert_allclose(inverse_norm(v, AXIS), reciprocal(v, AXIS), rtol=1e-6)
    np.testing.assert_allclose(
        gradient(inverse_norm)(MODERATE), gradient(reciprocal)(MODERATE), rtol=1e-4, atol=1e-6
    )


def scalar(function, v):
    return keras.ops.sum(function(v, AXIS) * keras.ops.array(WEIGHTS))


def gradient(function):
    """Gradient of the weighted sum of `function`, from an array to an array."""
    name = keras.backend.backend()
    if name == "jax":
        import jax

        return lambda v: np.asarray(jax.grad(lambda v: scalar(function, v))(v))
    if name == "torch":
        import torch

        return lambda v: torch.func.grad(lambda v: scalar(function, v))(torch.tensor(v)).numpy()
    import tensorflow as tf

    def of(v):
        v = tf.constant(v)
        with tf.GradientTape() as tape:
            tape.watch(v)
            value = scalar(function, v)
        return tape.gradient(value, v).numpy()

    return of


def second_derivative(function):
    """Gradient of what the gradient is along `DIRECTION`."""
    name = keras.backend.backend()
    if name == "jax":
        import jax

        def along(v):
            return (jax.grad(lambda v: scalar(function, v))(v) * DIRECTION).sum()

        return np.asarray(jax.grad(along)(MODERATE))
    if name == "torch":
        import torch

        v = torch.tensor(MODERATE, requires_grad=True)
        (first,) = torch.autograd.grad(scalar(function, v), v, create_graph=True)
        return torch.autograd.grad((first * torch.tensor(DIRECTION)).sum(), v)[0].numpy()
    import tensorflow as tf

    v = tf.constant(MODERATE)
    with tf.GradientTape() as outer:
        outer.watch(v)
        with tf.GradientTape() as inner:
            inner.watch(v)
            value = scalar(function, v)
        along = tf.reduce_sum(inner.gradient(value, v) * DIRECTION)
    return outer.gradient(along, v).numpy()
