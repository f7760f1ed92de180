"""Checks what JAX keeps for the gradients of small and of large kernels."""

import keras
import numpy as np
import pytest

from keras_wn.reparameterizations.weight_norm import scale, weight_norm

pytestmark = pytest.mark.skipif(keras.backend.backend() != "jax", reason="Recomputed on JAX alone.")

AXIS = (0, 1)
RNG = np.random.default_rng(0)
V, DIRECTION = RNG.normal(size=(2, 3, 5, 4)).astype("float32")
G = np.array([0.5, -1.0, 2.0, 3.0], "float32")


def formula(v, g):
    return v * scale(v, g, AXIS)


def shapes_kept(shape):
    import jax

    v, g = np.ones(shape, "float32"), np.ones(shape[-1:], "float32")
    _, gradients = jax.vjp(lambda v, g: weight_norm(v, g, AXIS), v, g)
    return {kept.shape for kept in jax.tree.leaves(gradients)}


def test_nothing_but_v_and_g_is_kept_of_a_small_kernel_and_its_norms_of_a_large_one():
    assert shapes_kept((2**10, 2**6, 2**4)) <= {(2**10, 2**6, 2**4), (2**4,)}
    assert (1, 1, 2**4) in shapes_kept((2**10, 2**7, 2**4))


def test_w_and_derivatives_of_first_and_second_order_are_those_of_the_formula():
    import jax

    def results(function):
        def loss(v, g):
            return jax.numpy.sum(function(v, g) ** 3 * DIRECTION)

        gradient = jax.grad(loss, (0, 1))
        second = jax.grad(lambda v, g: sum(jax.numpy.vdot(x, x) for x in gradient(v, g)), (0, 1))
        forward = jax.jvp(function, (V, G), (DIRECTION, G))
        return jax.tree.leaves(
            [function(V, G), gradient(V, G), jax.jit(gradient)(V, G), second(V, G), forward]
        )

    for found, expected in zip(
        results(lambda v, g: weight_norm(v, g, AXIS)), results(formula), strict=True
    ):
        np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-5)
        assert np.any(expected != 0)
