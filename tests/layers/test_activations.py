import keras
import numpy as np
import pytest

from keras_wn import layers
from keras_wn.layers.activations import relu_moments
from tests.helpers import gradients, to_numpy

GAUSSIAN = np.random.default_rng(0).normal(size=1_000_000).astype("float32")


@pytest.mark.parametrize("slope", [0.0, 0.1, 0.25])
def test_normalized_relu_gives_a_gaussian_mean_0_and_variance_1(slope):
    y = to_numpy(layers.NormalizedReLU(negative_slope=slope)(GAUSSIAN))
    assert abs(y.mean()) < 5e-3
    assert abs(y.var() - 1) < 1e-2


def test_relu_moments_are_the_papers():
    np.testing.assert_allclose(relu_moments(), (0.39894, 0.58382), atol=5e-6)


def test_relu_moments_at_slope_1_are_those_of_the_gaussian_itself():
    np.testing.assert_allclose(relu_moments(1.0), (0, 1), atol=1e-12)


@pytest.mark.parametrize("dtype", ["float32", "mixed_float16", "mixed_bfloat16"])
def test_normalized_relu_passes_the_gradient_of_a_small_positive_input(dtype):
    dense = keras.layers.Dense(4, use_bias=False, kernel_initializer="identity", dtype=dtype)
    chain = keras.Sequential([keras.Input((4,)), dense, layers.NormalizedReLU(dtype=dtype)])
    x = np.array([[-1e-3, 1e-4, 1e-3, 1.0]], "float32")
    ones = keras.ops.ones((1, 4), dense.compute_dtype)
    found = np.diag(gradients(chain, x, ones)["kernel"]) / x[0]
    np.testing.assert_allclose(found, np.array([0, 1, 1, 1]) / relu_moments()[1], rtol=0.02)


def test_normalized_relu_refuses_a_slope_that_is_no_number():
    with pytest.raises(ValueError, match="negative_slope=nan"):
        layers.NormalizedReLU(negative_slope=float("nan"))


X = np.array([[-2.0, -0.5, 0.0, 3.0]], "float32")


def test_trelu_at_0_is_relu_with_relus_gradient():
    layer = layers.TReLU()
    np.testing.assert_array_equal(to_numpy(layer(X)), np.maximum(X, 0))
    np.testing.assert_array_equal(gradients(layer, X, np.ones_like(X))["alpha"], [1, 1, 1, 0])


def test_trelu_is_the_maximum_with_alpha_per_channel():
    layer = layers.TReLU()
    layer(X)
    layer.alpha.assign([-1.0, -1.0, 2.0, 2.0])
    np.testing.assert_array_equal(to_numpy(layer(X)), [[-1, -0.5, 2, 3]])


def test_trelu_gives_the_gradient_to_the_input_above_alpha_and_else_to_alpha():
    dense = keras.layers.Dense(4, use_bias=False, kernel_initializer="identity")
    chain = keras.Sequential(
        [
            keras.Input((4,)),
            dense,
            layers.TReLU(alpha_initializer=keras.initializers.Constant(-0.5)),
        ]
    )
    cotangent = np.array([[2.0, 3.0, 5.0, 7.0]], "float32")
    found = gradients(chain, X, cotangent)
    np.testing.assert_array_equal(found["alpha"], [2, 3, 0, 0])
    np.testing.assert_array_equal(found["kernel"], X.T @ (cotangent * [[0, 0, 1, 1]]))


def test_trelu_lets_nan_through_so_that_a_diverged_net_shows():
    assert np.all(np.isnan(to_numpy(layers.TReLU()(np.full((1, 4), np.nan, "float32")))))


@pytest.mark.skipif(keras.backend.backend() != "jax", reason="JAX's transforms.")
def test_trelu_has_forward_mode_and_can_be_mapped():
    import jax

    # With alpha 0 and the sum of squares, twice ReLU's result is the gradient, and a Hessian's
    # diagonal is 2 where it is open.
    layer = layers.TReLU()
    layer.build((None, 4))

    def loss(x):
        return keras.ops.sum(keras.ops.square(layer(x)))

    expected = 2 * np.maximum(X, 0)
    np.testing.assert_array_equal(jax.jvp(loss, (X,), (X,))[1], (expected * X).sum())
    np.testing.assert_array_equal(jax.vmap(jax.grad(loss))(X), expected)
    np.testing.assert_array_equal(np.diag(jax.hessian(loss)(X[0])), 2.0 * (X[0] > 0))


def test_trelu_refuses_a_channel_axis_outside_the_input():
    with pytest.raises(ValueError, match="axis=2"):
        layers.TReLU(axis=2)(X)


@pytest.mark.skipif(keras.backend.backend() != "tensorflow", reason="TensorFlow's graphs.")
def test_what_trelu_keeps_for_the_gradient_is_its_result_alone():
    import tensorflow as tf

    layer = layers.TReLU()
    layer.build((None, 4))

    @tf.function(input_signature=[tf.TensorSpec((2, 4))])
    def gradient(x):
        with tf.GradientTape() as tape:
            tape.watch(x)
            loss = tf.reduce_sum(layer(x) ** 2)
        return tape.gradient(loss, x)

    nodes = {node.name: node for node in gradient.get_concrete_function().graph.as_graph_def().node}
    (of_x,) = (node for node in nodes.values() if node.op == "ReluGrad")
    # The difference from alpha waits for the gradient of the result: in the forward pass, it would
    # be a second tensor to keep.
    assert any(name.startswith("^") for name in nodes[of_x.input[1]].input)
