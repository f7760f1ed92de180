"""`stateless_call`: outputs from given values, updates returned, nothing assigned."""

import keras
import numpy as np
import pytest

from keras_wn import layers
from tests.helpers import randomize, to_numpy

X = np.random.default_rng(0).normal(size=(4, 6, 3)).astype("float32")


def subclasses():
    return [
        layers.WNConv1D(5, 2),
        keras.layers.BatchNormalization(),
        layers.MeanOnlyBatchNormalization(),
        keras.layers.Dropout(0.5, seed=1),
        layers.WNDense(2),
    ]


def wrapped():
    inner = [keras.layers.Conv1D(5, 2), keras.layers.BatchNormalization(), keras.layers.Dropout(0.5, seed=1)]
    return [layers.WeightNormalization(keras.Sequential(inner)), layers.WeightNormalization(keras.layers.LSTM(2))]


@pytest.mark.parametrize("parts", [subclasses, wrapped])
def test_values_that_are_given_are_used_and_updates_are_returned(parts):
    model, other = (keras.Sequential([keras.Input((6, 3)), *parts()]) for _ in range(2))
    randomize(other, seed=1)
    for variable in other.non_trainable_variables:
        if variable.name == "moving_variance":
            variable.assign(np.ones(variable.shape))
    before = [to_numpy(v).copy() for v in model.variables]
    trainable = [v.value for v in other.trainable_variables]
    fixed = [v.value for v in other.non_trainable_variables]

    outputs, same = model.stateless_call(trainable, fixed, X, training=False)
    np.testing.assert_allclose(to_numpy(outputs), to_numpy(other(X, training=False)), rtol=1e-5, atol=1e-6)
    for a, b in zip(same, fixed, strict=True):
        np.testing.assert_array_equal(to_numpy(a), to_numpy(b))

    _, updated = model.stateless_call(trainable, fixed, X, training=True)
    changed = {
        v.name
        for v, a, b in zip(model.non_trainable_variables, updated, fixed, strict=True)
        if np.any(to_numpy(a) != to_numpy(b))
    }
    assert changed == {"moving_mean", "moving_variance", "seed_generator_state"}
    for old, variable in zip(before, model.variables, strict=True):
        np.testing.assert_array_equal(old, to_numpy(variable))


@pytest.mark.skipif(keras.backend.backend() != "jax", reason="jit and grad of JAX; runs by nox")
@pytest.mark.parametrize("parts", [subclasses, wrapped])
def test_compiled_by_jax(parts):
    import jax

    model = keras.Sequential([keras.Input((6, 3)), *parts()])
    state = [v.value for v in model.trainable_variables], [v.value for v in model.non_trainable_variables]

    def loss(trainable, fixed):
        outputs, fixed = model.stateless_call(trainable, fixed, X, training=True)
        return keras.ops.mean(outputs**2), fixed

    eager, _ = jax.grad(loss, has_aux=True)(*state)
    compiled, _ = jax.jit(jax.grad(loss, has_aux=True))(*state)
    for a, b in zip(eager, compiled, strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-3, atol=1e-5)
    # Twice through: what a gradient penalty needs.
    second = jax.grad(
        lambda trainable: sum(keras.ops.sum(g**2) for g in jax.grad(loss, has_aux=True)(trainable, state[1])[0])
    )
    assert all(np.all(np.isfinite(g)) for g in second(state[0]))
