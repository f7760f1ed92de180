import numpy as np
import pytest

from keras_wn.reparameterizations import norm, weight_norm
from tests.helpers import filter_norms, to_numpy

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
    np.testing.assert_allclose(to_numpy(result), 2 * to_numpy(keras.ops.cast(v[0, 0], "float32")), rtol=1e-5)


def test_zero_filter_gives_zero_and_not_nan():
    assert np.all(to_numpy(weight_norm(np.zeros((4, 2), "float32"), np.ones(2, "float32"), (0,))) == 0)
