import numpy as np
import pytest

import keras_wn
from keras_wn.reparameterizations import norm, weight_norm
from tests.helpers import filter_norms, gradients, to_numpy

V = np.random.default_rng(0).normal(size=(3, 3, 5, 7)).astype("float32")
AXIS = (0, 1, 2)


def test_follows_the_formula():
    g = np.linspace(-1, 2, 7).astype("float32")
    w = to_numpy(weight_norm(V, g, AXIS))
    np.testing.assert_allclose(w, g * V / filter_norms(V), rtol=1e-6)


def test_strict_form_has_unit_norm_whatever_the_length_of_v():
    for length in (1e-3, 1.0, 1e3):
        np.testing.assert_allclose(filter_norms(weight_norm(V * length, axis=AXIS)), 1.0, rtol=1e-6)


def test_gain_equal_to_the_norm_gives_v_back():
    g = to_numpy(norm(V, AXIS)).reshape(-1)
    np.testing.assert_allclose(to_numpy(weight_norm(V, g, AXIS)), V, rtol=1e-6)


@pytest.mark.parametrize("dtype", ["float16", "bfloat16"])
def test_norm_of_half_precision_is_taken_in_float32(dtype):
    import keras

    # In float16 these squares underflow to 0, and their sum with them.
    v = keras.ops.cast(np.full((4, 1), 1e-4), dtype)
    result = norm(v, (0,))
    assert keras.backend.standardize_dtype(result.dtype) == "float32"
    np.testing.assert_allclose(
        to_numpy(result), 2 * to_numpy(keras.ops.cast(v[0, 0], "float32")), rtol=1e-5
    )


DIRECTION = np.array([1, 2, -2, 4], "float32") / 5


@pytest.mark.parametrize("length", [1e-30, 1e-20, 1e-10, 1.0, 1e10, 1e20, 1e30])
def test_length_of_v_does_not_matter_to_w_and_divides_its_gradient(length):
    v = (DIRECTION * np.float32(length))[:, None]
    w, of_v, of_g = weight_and_gradients(v, np.array([2.0], "float32"), COTANGENT[:, :1])
    np.testing.assert_allclose(w[:, 0], 2 * DIRECTION, rtol=1e-6)
    along = COTANGENT[:, 0] @ DIRECTION
    np.testing.assert_allclose(of_g, [along], rtol=1e-5)
    expected = 2 * (COTANGENT[:, 0].astype("float64") - along * DIRECTION.astype("float64"))
    np.testing.assert_allclose(
        of_v[:, 0].astype("float64") * length, expected, rtol=1e-4, atol=1e-5
    )
    np.testing.assert_allclose(to_numpy(norm(v, (0,)))[0, 0], np.float32(length), rtol=1e-6)


@pytest.mark.parametrize("length", [0.0, 1e-45, 1e-40, 1e-31])
def test_filter_below_the_least_length_is_zero_without_a_gradient(length):
    v = np.stack([DIRECTION * np.float32(length), DIRECTION], axis=1)
    w, of_v, of_g = weight_and_gradients(v, np.array([2.0, 2.0], "float32"), COTANGENT[:, :2])
    for found in (w[:, 0], of_v[:, 0], of_g[0], to_numpy(norm(v, (0,)))[0, 0]):
        np.testing.assert_array_equal(found, 0)
    np.testing.assert_allclose(w[:, 1], 2 * DIRECTION, rtol=1e-6)
    assert np.all(of_v[:, 1] != 0) and of_g[1] != 0


def test_nan_stays_in_its_filter():
    v = np.stack([DIRECTION, DIRECTION], axis=1)
    v[1, 0] = np.nan
    w, of_v, of_g = weight_and_gradients(v, np.array([2.0, 2.0], "float32"), COTANGENT[:, :2])
    for found in (w[:, 0], of_v[:, 0], of_g[0], to_numpy(norm(v, (0,)))[0, 0]):
        assert np.all(np.isnan(found))
    assert all(np.all(np.isfinite(found)) for found in (w[:, 1], of_v[:, 1], of_g[1]))


@pytest.mark.parametrize("half", ["float16", "bfloat16"])
def test_subnormal_and_largest_halves_are_exact(half):
    import keras

    for length in (6e-8, 6e4) if half == "float16" else (1e-30, 1e30):
        v = keras.ops.cast(np.full((4, 1), length, "float32"), half)
        np.testing.assert_allclose(
            to_numpy(weight_norm(v, np.ones(1, "float32"), (0,))), 0.5, rtol=1e-6
        )


COTANGENT = np.array([[0.3, -1.0], [1.1, 0.4], [0.2, 0.7], [-0.5, 0.9]], "float32")


def weight_and_gradients(v, g, cotangent):
    """w, and the gradients of `sum(cotangent * w)` in v and g, on the running backend."""
    layer = keras_wn.layers.WNDense(v.shape[1], use_bias=False)
    layer.build((None, v.shape[0]))
    layer.v.assign(v)
    layer.g.assign(g)
    # The weight of a dense layer is its output on the unit vectors.
    found = gradients(layer, np.eye(v.shape[0], dtype="float32"), cotangent)
    return to_numpy(layer.effective_kernel), found["kernel"], found["kernel_g"]
