import keras
import numpy as np
import pytest
from keras.src.testing import TestCase  # Not exported: the suite that Keras tests its own layers with.

import keras_wn
from keras_wn.layers import WeightNormalization, WNDense
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
    model = keras.Sequential([keras.Input((6, 4)), WeightNormalization(CASES[name][0]()), keras.layers.Flatten()])
    target = np.ones(model(SERIES).shape, "float32")
    model.compile(optimizer=keras.optimizers.SGD(0.05), loss="mse")
    losses = model.fit(SERIES, target, epochs=5, verbose=0).history["loss"]
    assert losses[-1] < losses[0]


@pytest.mark.parametrize("wanted", [["kernel"], ["recurrent_kernel"]])
def test_weights_chooses_which_kernels(wanted):
    wrapped = WeightNormalization(keras.layers.LSTM(3), weights=wanted)
    wrapped(SERIES)
    assert list(wrapped.gains) == wanted


# Attention layer, and the shapes of its gains: per head and unit; the output's per channel.
ATTENTION = {
    "multi_head": (lambda: keras.layers.MultiHeadAttention(2, 3), [(2, 3), (2, 3), (2, 3), (4,)]),
    "grouped_query": (lambda: keras.layers.GroupQueryAttention(3, 4, 2), [(4, 3), (2, 3), (2, 3), (4,)]),
}


@pytest.mark.parametrize("name", ATTENTION)
@pytest.mark.parametrize("built", [True, False])
def test_attention(name, built, tmp_path):
    make, shapes = ATTENTION[name]
    attention = make()
    value = np.concatenate([SERIES, SERIES], axis=1)
    if built:
        attention(SERIES, value)
    wrapped = WeightNormalization(attention)
    inputs = keras.Input((6, 4)), keras.Input((12, 4))
    model = keras.Model(inputs, wrapped(inputs[0], value=inputs[1]))
    assert [tuple(g.shape) for g in wrapped.gains.values()] == shapes
    outputs = to_numpy(model([SERIES, value]))
    np.testing.assert_allclose(outputs, to_numpy(attention(SERIES, value)), rtol=1e-4, atol=1e-5)
    model.save(tmp_path / "model.keras")
    np.testing.assert_array_equal(to_numpy(keras.saving.load_model(tmp_path / "model.keras")([SERIES, value])), outputs)


@pytest.mark.parametrize("cell", [keras.layers.LSTMCell, keras.layers.GRUCell, keras.layers.SimpleRNNCell])
def test_cell_in_a_recurrent_layer(cell, tmp_path):
    inner = cell(3)
    plain = to_numpy(keras.layers.RNN(inner)(SERIES))
    wrapped = WeightNormalization(inner, weights=["recurrent_kernel"])
    model = keras.Sequential([keras.Input((6, 4)), keras.layers.RNN(wrapped)])
    np.testing.assert_allclose(to_numpy(model(SERIES)), plain, rtol=1e-5, atol=1e-6)
    assert list(wrapped.gains) == ["recurrent_kernel"]
    wrapped.gains["recurrent_kernel"].assign(np.zeros(wrapped.gains["recurrent_kernel"].shape))
    assert np.any(np.abs(to_numpy(model(SERIES)) - plain) > 1e-3)
    model.save(tmp_path / "model.keras")
    loaded = keras.saving.load_model(tmp_path / "model.keras")
    np.testing.assert_array_equal(to_numpy(loaded(SERIES)), to_numpy(model(SERIES)))
    with pytest.raises(ValueError, match="dropout=0.5, whose mask only a recurrent layer holds"):
        WeightNormalization(cell(3, dropout=0.5))


def test_axis_chooses_the_norm():
    wrapped = WeightNormalization(keras.layers.Dense(3), axis=-1)
    wrapped(SERIES)
    assert tuple(wrapped.gains["kernel"].shape) == (4,)
    everything = WeightNormalization(keras.layers.Dense(3), axis=(0, 1), use_gain=False)
    everything(SERIES)
    np.testing.assert_allclose(np.linalg.norm(to_numpy(everything.effective_kernels["kernel"])), 1, rtol=1e-6)


def test_mask_and_dropout_state_pass_through():
    tokens = np.array([[1, 2, 0, 0], [3, 1, 2, 0]])
    embedding = keras.layers.Embedding(5, 4, mask_zero=True)
    lstm = keras.layers.LSTM(3)
    masked = to_numpy(lstm(embedding(tokens)))
    np.testing.assert_allclose(to_numpy(WeightNormalization(lstm)(embedding(tokens))), masked, rtol=1e-5, atol=1e-6)
    unmasked = to_numpy(lstm(to_numpy(embedding(tokens))))
    assert np.any(np.abs(masked - unmasked) > 1e-4)

    dropped = WeightNormalization(keras.layers.LSTM(3, dropout=0.5, seed=1))
    draws = [to_numpy(dropped(SERIES, training=True)) for _ in range(3)]
    assert np.any(draws[0] != draws[1]) and np.any(draws[1] != draws[2])
    np.testing.assert_array_equal(to_numpy(dropped(SERIES)), to_numpy(dropped(SERIES, training=False)))


def test_batch_norm_inside_a_wrapped_model_updates_its_statistics():
    inner = keras.Sequential([keras.layers.Dense(3), keras.layers.BatchNormalization()])
    wrapped = WeightNormalization(inner)
    wrapped(SERIES, training=True)
    assert np.any(to_numpy(inner.layers[1].moving_mean) != 0)


def test_data_dependent_init_sets_wrapped_layers():
    model = keras.Sequential([keras.Input((6, 4)), WeightNormalization(keras.layers.Conv1D(5, 2, activation="relu"))])
    conv = model.layers[0].layer
    randomize(conv)
    keras_wn.data_dependent_init(model, SERIES)
    conv.activation = None
    y = to_numpy(model(SERIES)).reshape(-1, 5)
    np.testing.assert_allclose(y.mean(axis=0), 0, atol=1e-5)
    np.testing.assert_allclose(y.std(axis=0), 1, rtol=1e-4)


def test_data_init_of_tensorflow_addons_is_explained():
    with pytest.warns(UserWarning, match="Call keras_wn.data_dependent_init"):
        WeightNormalization(keras.layers.Dense(3), data_init=True)


@pytest.mark.parametrize(
    "make, message",
    [
        (lambda: WeightNormalization("dense"), "layer='dense' is not allowed. Allowed: an instance of a Keras layer"),
        (lambda: WeightNormalization(keras.layers.Dense), "Allowed: an instance of a Keras layer"),
        (lambda: WeightNormalization(keras.layers.ReLU(name="r"))(SERIES), "layer 'r' has no kernels to normalize"),
        (
            lambda: WeightNormalization(keras.layers.Dense(3, name="d"), axis=2)(SERIES),
            "axis=2 lies outside kernel 'kernel' of",
        ),
        (
            lambda: WeightNormalization(keras.layers.LSTM(3, name="l"), weights=["bias"])(SERIES),
            r"layer 'l' has no weights \['bias'\]. Allowed: kernel, recurrent_kernel",
        ),
        (lambda: WeightNormalization(WNDense(3, name="w"))(SERIES), "layer 'w' is weight-normalized already"),
    ],
)
def test_bad_input_is_refused(make, message):
    with pytest.raises(ValueError, match=message):
        make()


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
        # The suite gives the policy to the wrapper alone; the layer inside has its own. Tested below.
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
    np.testing.assert_allclose(outputs, SERIES @ to_numpy(wrapped.effective_kernels["kernel"]), rtol=0.03, atol=0.03)
    assert np.abs(outputs).max() > 0.3


def test_inputs_are_cast_by_the_layer_alone():
    keras.config.set_dtype_policy("mixed_bfloat16")
    tokens = np.array([[301.0, 302.0, 303.0]], "float32")  # Numbers that bfloat16 does not have.
    embedding = keras.layers.Embedding(1000, 4)
    plain = to_numpy(keras.ops.cast(embedding(tokens), "float32"))
    wrapped = to_numpy(keras.ops.cast(WeightNormalization(embedding)(tokens), "float32"))
    np.testing.assert_allclose(wrapped, plain, rtol=0.02, atol=1e-3)


def test_recurrent_state_and_metrics_inside_are_kept():
    stateful = keras.layers.LSTM(3, stateful=True)
    other = keras.layers.LSTM(3, stateful=True)
    batch = SERIES[:2]
    other(batch)
    wrapped = WeightNormalization(stateful)
    wrapped(batch)
    for variable, value in zip(other.weights, stateful.weights, strict=True):
        variable.assign(value)
    for layer in (stateful, other):
        layer.reset_states()
    for _ in range(2):
        np.testing.assert_allclose(to_numpy(wrapped(batch)), to_numpy(other(batch)), rtol=1e-5, atol=1e-6)

    class Counting(keras.layers.Layer):
        def __init__(self):
            super().__init__()
            self.dense, self.seen = keras.layers.Dense(2), keras.metrics.Sum()

        def build(self, shape):
            self.dense.build(shape)

        def call(self, x):
            self.seen.update_state(keras.ops.ones(4))
            return self.dense(x)

    counting = Counting()
    WeightNormalization(counting)(SERIES)
    assert float(to_numpy(counting.seen.result())) == 4.0


def test_layer_that_builds_its_sublayers_when_called():
    class Block(keras.layers.Layer):
        def __init__(self):
            super().__init__()
            self.dense = keras.layers.Dense(3)

        def call(self, x):
            return self.dense(x)

    wrapped = WeightNormalization(Block())
    assert tuple(wrapped(SERIES).shape) == (3, 6, 3) and list(wrapped.gains) == ["kernel"]


@pytest.mark.parametrize("built", [True, False])
def test_arguments_pass_as_the_layer_names_them(built):
    lstm, attention = keras.layers.LSTM(3), keras.layers.MultiHeadAttention(2, 3)
    state = [np.ones((3, 3), "float32"), np.zeros((3, 3), "float32")]
    if built:
        lstm(SERIES)
        attention(SERIES, SERIES)
    outputs = to_numpy(WeightNormalization(lstm)(SERIES, initial_state=state))
    np.testing.assert_allclose(outputs, to_numpy(lstm(SERIES, initial_state=state)), rtol=1e-5, atol=1e-6)
    outputs = to_numpy(WeightNormalization(attention)(query=SERIES, value=SERIES))
    np.testing.assert_allclose(outputs, to_numpy(attention(SERIES, SERIES)), rtol=1e-4, atol=1e-5)


def test_frozen_layer_has_a_frozen_gain():
    layer = keras.layers.LSTM(3, trainable=False)
    wrapped = WeightNormalization(layer)
    wrapped(SERIES)
    assert wrapped.gains and not wrapped.trainable_variables


def test_convolutional_recurrent_layer():
    wrapped = WeightNormalization(keras.layers.ConvLSTM1D(3, 2))
    x = RNG.normal(size=(2, 4, 5, 3)).astype("float32")
    outputs = to_numpy(wrapped(x))
    np.testing.assert_allclose(outputs, to_numpy(wrapped.layer(x)), rtol=1e-4, atol=1e-5)
    assert sorted(wrapped.gains) == ["kernel", "recurrent_kernel"]


def test_removal_leaves_what_acted_on_w_on_the_kernel():
    layer = keras.layers.Dense(
        3,
        kernel_regularizer=keras_wn.regularizers.EffectiveKernelRegularizer(keras.regularizers.L2(1.0)),
        kernel_constraint=keras_wn.constraints.EffectiveKernelConstraint("non_neg"),
    )
    wrapped = WeightNormalization(layer)
    wrapped(SERIES)
    removed = wrapped.remove()
    removed.kernel.assign(10 * np.ones((4, 3)))
    np.testing.assert_allclose(to_numpy(removed.losses[0]), 1200, rtol=1e-6)
    assert isinstance(removed.kernel.constraint, keras.constraints.NonNeg)


@pytest.mark.parametrize(
    "make, message",
    [
        (lambda: WeightNormalization(keras.layers.Dense(3), axis="a"), "axis='a' is not allowed. Allowed: an integer"),
        (lambda: WeightNormalization(keras.layers.Dense(3), weights="kernel"), "weights='kernel' is not allowed"),
        (lambda: WeightNormalization(keras.layers.Dense(3), weights=[]), r"weights=\[\] is not allowed"),
        (
            lambda: WeightNormalization(keras.layers.Dense(3, name="d")).kernels,
            "Layer 'd' is not built: it has no kernel",
        ),
        (lambda: WNDense(3, name="d").v, "Layer 'd' is not built: it has no kernel yet"),
        (
            lambda: WeightNormalization(keras.layers.LSTMCell(3, recurrent_dropout=0.5)),
            "has recurrent_dropout=0.5, whose",
        ),
    ],
)
def test_arguments_that_are_not_allowed(make, message):
    with pytest.raises(ValueError, match=message):
        make()


def test_axis_may_be_any_integer_and_repeat():
    for axis in (np.int64(0), (0, -2)):
        wrapped = WeightNormalization(keras.layers.Dense(3), axis=axis)
        wrapped(SERIES)
        assert tuple(wrapped.gains["kernel"].shape) == (3,)


def test_quantized_kernel_is_refused():
    dense = keras.layers.Dense(3, name="d")
    dense(SERIES)
    dense.quantize("int8")
    with pytest.raises(ValueError, match="Layer 'd': kernel is quantized .* Allowed: kernels of floats"):
        WeightNormalization(dense)(SERIES)
