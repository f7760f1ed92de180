"""`call` with substituted variables: outputs, state, losses, and stateless calls."""

import keras
import numpy as np
import pytest
from keras import layers as kl

from keras_wn import layers
from keras_wn.layers import WeightNormalization, WNDense
from keras_wn.layers.substitution import call_substituted
from tests.helpers import randomize, to_numpy


class _DropoutDense(keras.layers.Layer):
    """A layer with a kernel, random state, and a loss of its own."""

    def __init__(self):
        super().__init__()
        self.dense = keras.layers.Dense(4)
        self.dropout = keras.layers.Dropout(0.5, seed=1)

    def build(self, shape):
        self.dense.build(shape)

    def call(self, x, training=None):
        self.add_loss(keras.ops.mean(x))
        return self.dropout(self.dense(x), training=training)


X = np.ones((3, 5), "float32")


def _substituted(layer, kernel, **kwargs):
    return to_numpy(
        call_substituted(layer, layer.call, {id(layer.dense.kernel): kernel}, X, **kwargs)
    )


def test_call_reads_the_substitute_and_the_variable_stays():
    layer = _DropoutDense()
    layer(X)
    kernel = to_numpy(layer.dense.kernel).copy()
    outputs = _substituted(layer, keras.ops.ones((5, 4)), training=False)
    np.testing.assert_allclose(outputs, 5.0)
    np.testing.assert_array_equal(to_numpy(layer.dense.kernel), kernel)


def test_random_state_advances_so_that_masks_do_not_repeat():
    layer = _DropoutDense()
    layer(X)
    masks = [_substituted(layer, keras.ops.ones((5, 4)), training=True) for _ in range(4)]
    assert any(np.any(masks[0] != mask) for mask in masks[1:])


def test_losses_are_kept():
    layer = _DropoutDense()
    layer(X)
    layer._clear_losses()
    _substituted(layer, keras.ops.ones((5, 4)), training=False)
    assert len(layer._losses) == 1


def test_values_of_an_enclosing_stateless_scope_are_seen():
    layer = _DropoutDense()
    layer(X)
    bias = keras.ops.full((4,), 7.0)
    with keras.StatelessScope(state_mapping=[(layer.dense.bias, bias)]):
        outputs = _substituted(layer, keras.ops.zeros((5, 4)), training=False)
    np.testing.assert_allclose(outputs, 7.0)


SERIES = np.random.default_rng(0).normal(size=(4, 6, 3)).astype("float32")


def subclasses():
    return [
        layers.WNConv1D(5, 2),
        keras.layers.BatchNormalization(),
        layers.MeanOnlyBatchNormalization(),
        keras.layers.Dropout(0.5, seed=1),
        layers.WNDense(2),
    ]


def wrapped():
    inner = [
        keras.layers.Conv1D(5, 2),
        keras.layers.BatchNormalization(),
        keras.layers.Dropout(0.5, seed=1),
    ]
    return [
        layers.WeightNormalization(keras.Sequential(inner)),
        layers.WeightNormalization(keras.layers.LSTM(2)),
    ]


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

    outputs, same = model.stateless_call(trainable, fixed, SERIES, training=False)
    np.testing.assert_allclose(
        to_numpy(outputs), to_numpy(other(SERIES, training=False)), rtol=1e-5, atol=1e-6
    )
    for a, b in zip(same, fixed, strict=True):
        np.testing.assert_array_equal(to_numpy(a), to_numpy(b))

    _, updated = model.stateless_call(trainable, fixed, SERIES, training=True)
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
    state = (
        [v.value for v in model.trainable_variables],
        [v.value for v in model.non_trainable_variables],
    )

    def loss(trainable, fixed):
        outputs, fixed = model.stateless_call(trainable, fixed, SERIES, training=True)
        return keras.ops.mean(outputs**2), fixed

    eager, _ = jax.grad(loss, has_aux=True)(*state)
    compiled, _ = jax.jit(jax.grad(loss, has_aux=True))(*state)
    for a, b in zip(eager, compiled, strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-3, atol=1e-5)
    # Twice through: what a gradient penalty needs.
    second = jax.grad(
        lambda trainable: sum(
            keras.ops.sum(g**2) for g in jax.grad(loss, has_aux=True)(trainable, state[1])[0]
        )
    )
    assert all(np.all(np.isfinite(g)) for g in second(state[0]))


VECTORS = np.ones((4, 5), "float32")


@keras.saving.register_keras_serializable(package="tests")
class WithLoss(WNDense):
    """Adds a loss of its own in `call`."""

    def call(self, inputs, **kwargs):
        outputs = super().call(inputs, **kwargs)
        self.add_loss(0.5 * keras.ops.sum(outputs))
        return outputs


@keras.saving.register_keras_serializable(package="tests")
class PlainWithLoss(kl.Dense):
    def call(self, inputs, **kwargs):
        outputs = super().call(inputs, **kwargs)
        self.add_loss(0.5 * keras.ops.sum(outputs))
        return outputs


def ones(layer_class, **kwargs):
    return layer_class(3, kernel_initializer="ones", **kwargs)


# A weight-normalized layer, and the plain one that has the same losses.
PAIRS = {
    "activity_regularizer": (
        lambda: WeightNormalization(ones(kl.Dense, activity_regularizer="l2")),
        lambda: ones(kl.Dense, activity_regularizer="l2"),
    ),
    "add_loss": (lambda: WeightNormalization(ones(PlainWithLoss)), lambda: ones(PlainWithLoss)),
    "subclass": (lambda: ones(WithLoss), lambda: ones(PlainWithLoss)),
    "subclass_activity": (
        lambda: ones(WNDense, activity_regularizer="l2"),
        lambda: ones(kl.Dense, activity_regularizer="l2"),
    ),
    "kernel_regularizer": (
        lambda: WeightNormalization(ones(kl.Dense, kernel_regularizer="l2")),
        lambda: ones(kl.Dense, kernel_regularizer="l2"),
    ),
    "wrapper_activity": (
        lambda: WeightNormalization(ones(kl.Dense), activity_regularizer="l2"),
        lambda: ones(kl.Dense, activity_regularizer="l2"),
    ),
    "two_layers_inside": (
        lambda: WeightNormalization(
            keras.Sequential([ones(PlainWithLoss), ones(kl.Dense, activity_regularizer="l1")])
        ),
        lambda: keras.Sequential([ones(PlainWithLoss), ones(kl.Dense, activity_regularizer="l1")]),
    ),
}


@pytest.mark.parametrize("name", PAIRS)
def test_evaluation_is_that_of_the_plain_layer(name):
    results = []
    for make in PAIRS[name]:
        model = keras.Sequential([keras.Input((5,)), make()])
        model.compile("sgd", "mse")
        results.append(model.evaluate(VECTORS, np.zeros((4, 3)), verbose=0))
        # The second call must not see the losses of the first.
        results.append(model.evaluate(VECTORS, np.zeros((4, 3)), verbose=0))
    np.testing.assert_allclose(results, results[-1], rtol=1e-6)


@pytest.mark.parametrize("name", PAIRS)
def test_losses_of_eager_and_stateless_calls_are_those_of_the_plain_layer(name):
    listed = []
    for make in PAIRS[name]:
        model = keras.Sequential([keras.Input((5,)), make()])
        model(VECTORS)
        model(VECTORS)
        eager = sorted(float(to_numpy(loss)) for loss in model.losses)
        trainable, others = (
            [v.value for v in vs]
            for vs in (model.trainable_variables, model.non_trainable_variables)
        )
        _, _, losses = model.stateless_call(trainable, others, VECTORS, return_losses=True)
        listed.append((eager, sorted(float(to_numpy(loss)) for loss in losses)))
    assert len(listed[0][0]) == len(listed[1][0]) > 0
    for found, expected in zip(*listed, strict=True):
        np.testing.assert_allclose(found, expected, rtol=1e-6)


class _Counter(keras.layers.Layer):
    """A layer with a non-trained weight that its call updates, and that is cast to half."""

    def __init__(self, **kwargs):
        super().__init__(**kwargs)
        self.dense = kl.Dense(4)

    def build(self, shape):
        self.dense.build(shape)
        self.calls = self.add_weight(shape=(), initializer="zeros", trainable=False)

    def call(self, x):
        self.calls.assign(self.calls + 1.0)
        return self.dense(x)


def test_mixed_precision_keeps_updates_of_weights_that_are_cast():
    layer = WeightNormalization(_Counter(dtype="mixed_bfloat16"), dtype="mixed_bfloat16")
    layer.build((None, 5))
    for _ in range(3):
        layer(X)
    assert float(to_numpy(layer.layer.calls)) == 3.0


@pytest.mark.parametrize("policy", ["mixed_bfloat16", "mixed_float16"])
def test_a_float32_layer_in_a_wrapper_with_mixed_precision_computes_in_float32(policy):
    # The kernel of the plain layer and that of the normalized one are both read in float32.
    x = np.random.default_rng(0).normal(size=(8, 5)).astype("float32")
    parts = [kl.Dense(4, dtype="float32"), kl.PReLU(dtype="float32")]
    model = keras.Sequential([keras.Input((5,)), *parts])
    randomize(model)
    expected = to_numpy(model(x))
    wrapped = WeightNormalization(model, dtype=policy)
    np.testing.assert_allclose(to_numpy(wrapped(x)), expected, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("make", [lambda: WNDense(3), lambda: WeightNormalization(kl.Dense(3))])
def test_a_gain_that_is_made_inside_of_another_call_has_the_dtype_of_its_kernel(make):
    class Outer(keras.layers.Layer):
        def __init__(self):
            super().__init__(dtype="mixed_bfloat16")
            self.inner = make()

        def build(self, shape):
            pass

        def call(self, x):
            return self.inner(x)

    keras.config.set_dtype_policy("mixed_bfloat16")
    layer = Outer()
    layer(X)
    kernel = to_numpy(layer.inner.v)
    assert layer.inner.g.dtype == layer.inner.v.dtype == "float32"
    np.testing.assert_allclose(to_numpy(layer.inner.g), np.linalg.norm(kernel, axis=0), rtol=1e-6)


def test_a_float64_layer_in_a_model_with_mixed_precision_keeps_float64():
    x = np.random.default_rng(0).normal(size=(8, 5))
    dense = kl.Dense(4, dtype="float64")
    if keras.backend.backend() == "jax":
        pytest.skip("JAX has no float64 unless it is told to; the other sessions test this")
    dense.build(x.shape)
    randomize(dense)
    expected = to_numpy(dense(x))
    wrapped = WeightNormalization(dense, dtype="float64")

    class Outer(keras.layers.Layer):
        def __init__(self):
            super().__init__(dtype="mixed_bfloat16", autocast=False)
            self.inner = wrapped

        def call(self, x):
            return self.inner(x)

    np.testing.assert_allclose(to_numpy(Outer()(x)), expected, rtol=1e-12)
