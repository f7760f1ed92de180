import keras
import numpy as np
import pytest
from keras.src.testing import (
    TestCase,
)  # Not exported: the suite that Keras tests its own layers with.

import keras_wn
from keras_wn.layers import WeightNormalization
from tests.helpers import gradients, randomize, to_numpy

RNG = np.random.default_rng(0)

SERIES = RNG.normal(size=(3, 6, 4)).astype("float32")


def nested():
    return keras.Sequential([keras.layers.Conv1D(5, 2), keras.layers.Dense(3)])


def stacked():
    return keras.layers.RNN([keras.layers.LSTMCell(3), keras.layers.GRUCell(2)])


# Layer, and how many kernels it has.
CASES = {
    "dense": (lambda: keras.layers.Dense(3), 1),
    "separable": (lambda: keras.layers.SeparableConv1D(3, 2), 2),
    "transposed": (lambda: keras.layers.Conv1DTranspose(3, 2), 1),
    "lstm": (lambda: keras.layers.LSTM(3), 2),
    "gru": (lambda: keras.layers.GRU(3, return_sequences=True), 2),
    "simple_rnn": (lambda: keras.layers.SimpleRNN(3), 2),
    "stacked_cells": (stacked, 4),
    "bidirectional": (lambda: keras.layers.Bidirectional(keras.layers.LSTM(3)), 4),
    "time_distributed": (lambda: keras.layers.TimeDistributed(keras.layers.Dense(3)), 1),
    "nested_model": (nested, 2),
}


@pytest.mark.parametrize("name", CASES)
@pytest.mark.parametrize("built", [True, False])
def test_wrapping_keeps_the_outputs_and_adds_a_gain_per_kernel(name, built):
    make, kernels = CASES[name]
    layer = make()
    if built:
        plain = to_numpy(layer(SERIES))
    wrapped = WeightNormalization(layer)
    outputs = to_numpy(wrapped(SERIES))
    if not built:
        plain = to_numpy(layer(SERIES))
    np.testing.assert_allclose(outputs, plain, rtol=1e-5, atol=1e-6)
    assert len(wrapped.gains) == len(wrapped.kernels) == kernels
    trainable = {v.path for v in wrapped.trainable_variables}
    assert all(g.path in trainable for g in wrapped.gains.values())


@pytest.mark.parametrize("name", CASES)
def test_output_is_the_layers_with_the_effective_kernels(name):
    wrapped = WeightNormalization(CASES[name][0]())
    wrapped(SERIES)
    randomize(wrapped)
    outputs = to_numpy(wrapped(SERIES))
    effective = {k: to_numpy(w) for k, w in wrapped.effective_kernels.items()}
    before = {k: to_numpy(kernel.variable).copy() for k, kernel in wrapped.kernels.items()}
    for k, kernel in wrapped.kernels.items():
        np.testing.assert_allclose(
            np.sqrt(np.square(effective[k]).sum(axis=kernel.fan_in)),
            np.abs(to_numpy(wrapped.gains[k])),
            rtol=1e-5,
        )
        kernel.variable.assign(effective[k])
    np.testing.assert_allclose(outputs, to_numpy(wrapped.layer(SERIES)), rtol=1e-4, atol=1e-5)
    assert all(np.any(before[k] != effective[k]) for k in before)


@pytest.mark.parametrize("name", CASES)
def test_calling_changes_no_variable_and_gradients_reach_v_and_g(name):
    wrapped = WeightNormalization(CASES[name][0]())
    shape = wrapped(SERIES).shape
    randomize(wrapped)
    before = [to_numpy(v).copy() for v in wrapped.variables]
    wrapped(SERIES)
    for old, variable in zip(before, wrapped.variables, strict=True):
        np.testing.assert_array_equal(old, to_numpy(variable))
    found = gradients(wrapped, SERIES, np.ones(shape, "float32"))
    for name, gradient in found.items():
        assert np.all(np.isfinite(gradient)), name
        if "kernel" in name:  # v of each name, and every g.
            assert np.any(gradient != 0), name


@pytest.mark.parametrize("name", CASES)
def test_saved_and_loaded_wrapper_puts_out_the_same(name, tmp_path):
    model = keras.Sequential([keras.Input((6, 4)), WeightNormalization(CASES[name][0]())])
    randomize(model)
    model.save(tmp_path / "model.keras")
    loaded = keras.saving.load_model(tmp_path / "model.keras")
    np.testing.assert_array_equal(to_numpy(loaded(SERIES)), to_numpy(model(SERIES)))
    model.save_weights(tmp_path / "a.weights.h5")
    other = keras.Sequential([keras.Input((6, 4)), WeightNormalization(CASES[name][0]())])
    other.load_weights(tmp_path / "a.weights.h5")
    np.testing.assert_array_equal(to_numpy(other(SERIES)), to_numpy(model(SERIES)))


@pytest.mark.parametrize("name", ["dense", "lstm", "bidirectional", "nested_model"])
def test_fit_trains(name):
    model = keras.Sequential(
        [keras.Input((6, 4)), WeightNormalization(CASES[name][0]()), keras.layers.Flatten()]
    )
    target = np.ones(model(SERIES).shape, "float32")
    model.compile(optimizer=keras.optimizers.SGD(0.05), loss="mse")
    losses = model.fit(SERIES, target, epochs=5, verbose=0).history["loss"]
    assert losses[-1] < losses[0]


def test_data_dependent_init_sets_wrapped_layers():
    model = keras.Sequential(
        [keras.Input((6, 4)), WeightNormalization(keras.layers.Conv1D(5, 2, activation="relu"))]
    )
    conv = model.layers[0].layer
    randomize(conv)
    keras_wn.data_dependent_init(model, SERIES)
    conv.activation = None
    y = to_numpy(model(SERIES)).reshape(-1, 5)
    np.testing.assert_allclose(y.mean(axis=0), 0, atol=1e-5)
    np.testing.assert_allclose(y.std(axis=0), 1, rtol=1e-4)


@pytest.mark.filterwarnings("ignore:`shuffle=True` was passed")
@pytest.mark.parametrize("name, shape, weights", [("dense", (3, 6, 3), 3), ("lstm", (3, 3), 5)])
def test_keras_layer_suite(name, shape, weights):
    TestCase().run_layer_test(
        WeightNormalization,
        init_kwargs={"layer": CASES[name][0]()},
        input_shape=(3, 6, 4),
        expected_output_shape=shape,
        expected_num_trainable_weights=weights,
        supports_masking=True,
        # The suite gives the policy to the wrapper alone; the layer inside has its own. Tested
        # below.
        run_mixed_precision_check=False,
    )


@pytest.mark.parametrize("policy", ["mixed_float16", "mixed_bfloat16"])
def test_layer_of_a_mixed_policy_computes_in_half_and_norms_in_full(policy):
    wrapped = WeightNormalization(keras.layers.Dense(3, use_bias=False, dtype=policy), dtype=policy)
    wrapped(SERIES)
    kernel = wrapped.kernels["kernel"].variable
    kernel.assign(to_numpy(kernel) * 1e-4)  # Squares that underflow in float16.
    assert keras.backend.standardize_dtype(wrapped(SERIES).dtype) == policy.removeprefix("mixed_")
    outputs = to_numpy(keras.ops.cast(wrapped(SERIES), "float32"))
    np.testing.assert_allclose(
        outputs, SERIES @ to_numpy(wrapped.effective_kernels["kernel"]), rtol=0.03, atol=0.03
    )
    assert np.abs(outputs).max() > 0.3


def test_inputs_are_cast_by_the_layer_alone():
    keras.config.set_dtype_policy("mixed_bfloat16")
    tokens = np.array([[301.0, 302.0, 303.0]], "float32")  # Numbers that bfloat16 does not have.
    embedding = keras.layers.Embedding(1000, 4)
    plain = to_numpy(keras.ops.cast(embedding(tokens), "float32"))
    wrapped = to_numpy(keras.ops.cast(WeightNormalization(embedding)(tokens), "float32"))
    np.testing.assert_allclose(wrapped, plain, rtol=0.02, atol=1e-3)


def test_frozen_layer_has_a_frozen_gain():
    layer = keras.layers.LSTM(3, trainable=False)
    wrapped = WeightNormalization(layer)
    wrapped(SERIES)
    assert wrapped.gains and not wrapped.trainable_variables


def test_removal_leaves_what_acted_on_w_on_the_kernel():
    layer = keras.layers.Dense(
        3,
        kernel_regularizer=keras_wn.regularizers.EffectiveKernelRegularizer(
            keras.regularizers.L2(1.0)
        ),
        kernel_constraint=keras_wn.constraints.EffectiveKernelConstraint("non_neg"),
    )
    wrapped = WeightNormalization(layer)
    wrapped(SERIES)
    removed = wrapped.remove()
    removed.kernel.assign(10 * np.ones((4, 3)))
    np.testing.assert_allclose(to_numpy(removed.losses[0]), 1200, rtol=1e-6)
    assert isinstance(removed.kernel.constraint, keras.constraints.NonNeg)
