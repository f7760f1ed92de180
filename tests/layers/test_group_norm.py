"""`GroupNormalization` against Keras' own layer and the formula in float64."""

import keras
import numpy as np
import pytest

import keras_wn
from tests.helpers import gradients, to_numpy

RNG = np.random.default_rng(0)


class Plus(keras.layers.Layer):
    """A layer on its input plus a variable, whose gradient is that of the input."""

    def __init__(self, layer):
        super().__init__()
        self.layer = layer

    def build(self, shape):
        self.added = self.add_weight(shape, "zeros", name="input")

    def call(self, inputs):
        return self.layer(keras.ops.convert_to_tensor(inputs) + self.added)


def pair(groups, shape, **options):
    """The layer and Keras' own, with the same numbers."""
    ours, theirs = (
        kind(groups, epsilon=1e-3, name="gn", **options)
        for kind in (keras_wn.layers.GroupNormalization, keras.layers.GroupNormalization)
    )
    for layer in (ours, theirs):
        layer.build(shape)
    for mine, other in zip(ours.weights, theirs.weights, strict=True):
        mine.assign(RNG.normal(1.0, 0.5, mine.shape))
        other.assign(to_numpy(mine))
    return ours, theirs


@pytest.mark.parametrize(
    "groups, shape, options",
    [
        (4, (3, 6, 5, 8), {}),
        (1, (3, 6, 5, 8), {}),
        (-1, (3, 6, 5, 8), {}),
        (8, (3, 6, 5, 8), {}),
        (2, (3, 7, 6), {}),
        (2, (3, 6), {}),
        (3, (2, 3, 4, 5, 6), {}),
        (2, (3, 4, 6, 5), {"axis": 1}),
        (2, (3, 4, 6, 5), {"axis": 2}),
        (4, (3, 6, 5, 8), {"scale": False}),
        (4, (3, 6, 5, 8), {"center": False}),
    ],
)
def test_outputs_and_gradients_are_those_of_keras(groups, shape, options):
    ours, theirs = pair(groups, shape, **options)
    x = RNG.normal(2.0, 3.0, size=shape).astype("float32")
    upstream = RNG.normal(size=shape).astype("float32")
    np.testing.assert_allclose(to_numpy(ours(x)), to_numpy(theirs(x)), rtol=1e-4, atol=1e-5)
    found = []
    for layer in (Plus(ours), Plus(theirs)):
        layer(x)
        found.append(gradients(layer, x, upstream))
    assert_close(*found)


def test_gradients_of_gamma_and_beta_alone():
    """PyTorch crashes here with its own layer, if the channels are last in memory."""
    ours, theirs = pair(4, (3, 6, 5, 8))
    x, upstream = (RNG.normal(size=(3, 6, 5, 8)).astype("float32") for _ in range(2))
    assert_close(*(gradients(layer, x, upstream) for layer in (ours, theirs)))


def assert_close(mine, other):
    assert set(mine) == set(other)
    for name in other:
        scale = np.abs(other[name]).max()
        np.testing.assert_allclose(mine[name] / scale, other[name] / scale, atol=1e-5, err_msg=name)


# The squares of a mean of 1000 deviations leave nothing of the variance in float32, if they are
# subtracted from those of the inputs.
@pytest.mark.parametrize("mean", [0.0, 100.0, 1000.0])
def test_a_large_mean_does_not_cancel_the_variance(mean):
    x = (mean + RNG.normal(size=(2, 8, 8, 8))).astype("float32")
    y = to_numpy(keras_wn.layers.GroupNormalization(2, epsilon=1e-3)(x))
    grouped = x.astype("float64").reshape(2, 64, 2, 4)
    centered = grouped - grouped.mean(axis=(1, 3), keepdims=True)
    expected = centered / np.sqrt((centered**2).mean(axis=(1, 3), keepdims=True) + 1e-3)
    np.testing.assert_allclose(y.reshape(expected.shape), expected, atol=1e-6 + 3e-7 * mean)


def test_channels_of_a_group_may_have_other_means():
    x = RNG.normal(size=(2, 8, 8, 4)).astype("float32") + np.array([0, 50, 0, -50], "float32")
    ours, theirs = pair(2, x.shape)
    np.testing.assert_allclose(to_numpy(ours(x)), to_numpy(theirs(x)), rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("dtype", ["float16", "bfloat16", "mixed_bfloat16"])
def test_half_precision_is_that_of_keras(dtype):
    ours, theirs = (
        kind(4, dtype=dtype)
        for kind in (keras_wn.layers.GroupNormalization, keras.layers.GroupNormalization)
    )
    # The sum of these squares is infinite in float16.
    x = keras.ops.cast(RNG.normal(0.0, 300.0, size=(2, 6, 6, 8)), ours.compute_dtype)
    mine, other = (keras.ops.cast(layer(x), "float32") for layer in (ours, theirs))
    np.testing.assert_allclose(to_numpy(mine), to_numpy(other), rtol=1e-2, atol=1e-2)
    assert keras.backend.standardize_dtype(ours(x).dtype) == ours.compute_dtype


def test_sizes_may_be_unknown():
    inputs = keras.Input((None, None, 6))
    model = keras.Model(inputs, keras_wn.layers.GroupNormalization(3)(inputs))
    x = RNG.normal(size=(3, 5, 7, 6)).astype("float32")
    expected = keras.layers.GroupNormalization(3)(x)
    np.testing.assert_allclose(
        model.predict(x, verbose=0), to_numpy(expected), rtol=1e-4, atol=1e-5
    )


def test_constant_inputs_have_finite_gradients():
    ours, _ = pair(2, (2, 3, 3, 4))
    x = np.full((2, 3, 3, 4), 7.0, "float32")
    found = gradients(ours, x, RNG.normal(size=x.shape).astype("float32"))
    assert all(np.all(np.isfinite(value)) for value in found.values())


def test_groups_that_do_not_divide_the_channels_are_refused():
    with pytest.raises(ValueError, match=r"groups \(3\)"):
        keras_wn.layers.GroupNormalization(3)(np.ones((1, 2, 2, 4)))


def test_folds_to_keras_layer_and_is_saved(tmp_path):
    model = keras.Sequential(
        [
            keras.Input((8, 8, 3)),
            keras_wn.layers.WNConv2D(4, 3),
            keras_wn.layers.GroupNormalization(2),
        ]
    )
    x = RNG.normal(size=(2, 8, 8, 3)).astype("float32")
    model.save(tmp_path / "model.keras")
    loaded = keras.saving.load_model(tmp_path / "model.keras")
    np.testing.assert_array_equal(to_numpy(loaded(x)), to_numpy(model(x)))
    folded = keras_wn.fold(model)
    assert type(folded.layers[1]) is keras.layers.GroupNormalization
    np.testing.assert_allclose(to_numpy(folded(x)), to_numpy(model(x)), rtol=1e-4, atol=1e-5)
