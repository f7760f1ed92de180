"""`WeightNormalization` around layers with cells, sublayers and states of their own."""

import keras
import numpy as np
import pytest

from keras_wn.layers import WeightNormalization
from tests.helpers import to_numpy

RNG = np.random.default_rng(0)
SERIES = RNG.normal(size=(3, 6, 4)).astype("float32")


# Attention layer, and the shapes of its gains: per head and unit; the output's per channel.
ATTENTION = {
    "multi_head": (lambda: keras.layers.MultiHeadAttention(2, 3), [(2, 3), (2, 3), (2, 3), (4,)]),
    "grouped_query": (
        lambda: keras.layers.GroupQueryAttention(3, 4, 2),
        [(4, 3), (2, 3), (2, 3), (4,)],
    ),
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
    np.testing.assert_array_equal(
        to_numpy(keras.saving.load_model(tmp_path / "model.keras")([SERIES, value])), outputs
    )


@pytest.mark.parametrize(
    "cell", [keras.layers.LSTMCell, keras.layers.GRUCell, keras.layers.SimpleRNNCell]
)
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


def test_mask_and_dropout_state_pass_through():
    tokens = np.array([[1, 2, 0, 0], [3, 1, 2, 0]])
    embedding = keras.layers.Embedding(5, 4, mask_zero=True)
    lstm = keras.layers.LSTM(3)
    masked = to_numpy(lstm(embedding(tokens)))
    np.testing.assert_allclose(
        to_numpy(WeightNormalization(lstm)(embedding(tokens))), masked, rtol=1e-5, atol=1e-6
    )
    unmasked = to_numpy(lstm(to_numpy(embedding(tokens))))
    assert np.any(np.abs(masked - unmasked) > 1e-4)

    dropped = WeightNormalization(keras.layers.LSTM(3, dropout=0.5, seed=1))
    draws = [to_numpy(dropped(SERIES, training=True)) for _ in range(3)]
    assert np.any(draws[0] != draws[1]) and np.any(draws[1] != draws[2])
    np.testing.assert_array_equal(
        to_numpy(dropped(SERIES)), to_numpy(dropped(SERIES, training=False))
    )


def test_batch_norm_inside_a_wrapped_model_updates_its_statistics():
    inner = keras.Sequential([keras.layers.Dense(3), keras.layers.BatchNormalization()])
    wrapped = WeightNormalization(inner)
    wrapped(SERIES, training=True)
    assert np.any(to_numpy(inner.layers[1].moving_mean) != 0)


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
        np.testing.assert_allclose(
            to_numpy(wrapped(batch)), to_numpy(other(batch)), rtol=1e-5, atol=1e-6
        )

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
    np.testing.assert_allclose(
        outputs, to_numpy(lstm(SERIES, initial_state=state)), rtol=1e-5, atol=1e-6
    )
    outputs = to_numpy(WeightNormalization(attention)(query=SERIES, value=SERIES))
    np.testing.assert_allclose(outputs, to_numpy(attention(SERIES, SERIES)), rtol=1e-4, atol=1e-5)


def test_convolutional_recurrent_layer():
    wrapped = WeightNormalization(keras.layers.ConvLSTM1D(3, 2))
    x = RNG.normal(size=(2, 4, 5, 3)).astype("float32")
    outputs = to_numpy(wrapped(x))
    np.testing.assert_allclose(outputs, to_numpy(wrapped.layer(x)), rtol=1e-4, atol=1e-5)
    assert sorted(wrapped.gains) == ["kernel", "recurrent_kernel"]
