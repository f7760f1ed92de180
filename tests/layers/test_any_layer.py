"""The wrapper around layers that Keras does not know, and attributes of the layer inside."""

import keras
import numpy as np
import pytest
from keras import layers as kl

import keras_wn
from keras_wn.layers import WeightNormalization
from tests.helpers import gradients, randomize, to_numpy

RNG = np.random.default_rng(0)
X = RNG.normal(size=(2, 5, 4)).astype("float32")


@keras.saving.register_keras_serializable(package="tests")
class GraphConv(kl.Layer):
    """`A x W`, with a fixed A; its weight has no name."""

    def __init__(self, units=3, **kwargs):
        super().__init__(**kwargs)
        self.units = units

    def build(self, shape):
        self.kernel = self.add_weight(shape=(shape[-1], self.units))
        self.offset = self.add_weight(shape=(self.units,), name="bias", initializer="zeros")

    def call(self, x):
        neighbors = (keras.ops.roll(x, 1, axis=1) + keras.ops.roll(x, -1, axis=1)) / 2
        return keras.ops.matmul(neighbors, self.kernel) + self.offset

    def get_config(self):
        return {**super().get_config(), "units": self.units}


def normalized(**kwargs):
    layer = WeightNormalization(GraphConv(name="graph"), weights=["kernel"], axis=0, **kwargs)
    layer(X)
    return layer


def test_own_layer_is_normalized_over_the_axes_that_are_named(tmp_path):
    layer = normalized()
    plain = GraphConv()
    plain(X)
    for variable, value in zip(plain.weights, layer.layer.weights, strict=True):
        variable.assign(value)
    np.testing.assert_allclose(to_numpy(layer(X)), to_numpy(plain(X)), rtol=1e-5, atol=1e-6)
    randomize(layer)
    v, g = to_numpy(layer.v), to_numpy(layer.g)
    w = g * v / np.linalg.norm(v, axis=0)
    np.testing.assert_allclose(to_numpy(layer.effective_kernel), w, rtol=1e-5)
    # The paper's equation 3.
    plain.kernel.assign(w)
    plain.offset.assign(layer.layer.offset)
    cotangent = RNG.normal(size=(2, 5, 3)).astype("float32")
    np.testing.assert_allclose(to_numpy(layer(X)), to_numpy(plain(X)), rtol=1e-5, atol=1e-5)
    of_w = next(value for value in gradients(plain, X, cotangent).values() if value.ndim == 2)
    found = gradients(layer, X, cotangent)
    np.testing.assert_allclose(
        found["kernel_g"], (of_w * v).sum(0) / np.linalg.norm(v, axis=0), rtol=1e-4, atol=1e-5
    )

    model = keras.Sequential([keras.Input((5, 4)), layer])
    model.save(tmp_path / "model.keras")
    np.testing.assert_array_equal(
        to_numpy(keras.models.load_model(tmp_path / "model.keras")(X)), to_numpy(model(X))
    )
    folded = keras_wn.fold(model)
    assert type(folded.layers[0]) is GraphConv
    np.testing.assert_allclose(to_numpy(folded(X)), to_numpy(model(X)), rtol=1e-5, atol=1e-6)


def test_weight_inside_of_a_layer_around_others_is_found_by_its_name():
    block = keras.Sequential([kl.Dense(4), GraphConv(name="graph")])
    layer = WeightNormalization(block, weights=["bias"], axis=0)
    layer(X)
    assert sorted(layer.gains) == ["bias_0", "bias_1"]


@pytest.mark.parametrize(
    "make, message",
    [
        (
            lambda: WeightNormalization(GraphConv(name="graph")),
            r"layer 'graph' \(GraphConv\) has no kernels to normalize that are known. "
            r"Allowed: to name some of its weights and the axes of their norm, "
            r"as WeightNormalization\(layer, "
            r"weights=\['kernel'\], axis=0\). It has 'variable",
        ),
        (
            lambda: WeightNormalization(GraphConv(name="graph"), weights=["kernel"]),
            r"which axes of 'kernel', of shape \(4, 3\), the norm runs over is not known of layer "
            r"'graph' \(GraphConv\). Allowed: axis=...",
        ),
        (
            lambda: WeightNormalization(GraphConv(name="graph"), weights=["weight"], axis=0),
            r"layer 'graph' has no weights \['weight'\]. Allowed: bias, variable",
        ),
        (
            lambda: WeightNormalization(GraphConv(name="graph"), weights=["kernel"], axis=2),
            "axis=2 lies outside kernel 'kernel' of layer 'graph', of rank 2. Allowed: -2 to 1",
        ),
        (
            lambda: WeightNormalization(kl.Dense(3, name="d"), gain_axis=2),
            "gain_axis=2 lies outside kernel 'kernel' of layer 'd', of rank 2",
        ),
    ],
)
def test_missing_and_unknown_names_and_axes_are_refused(make, message):
    with pytest.raises(ValueError, match=message):
        make()(X)


@keras.saving.register_keras_serializable(package="tests")
class Ambiguous(kl.Layer):
    """Attributes and variables whose names cross."""

    def build(self, shape):
        self.kernel = self.add_weight(shape=(shape[-1], 3), name="w")
        self.other = self.add_weight(shape=(shape[-1], 3), name="kernel")

    def call(self, x):
        return keras.ops.matmul(x, self.kernel + self.other)


@pytest.mark.parametrize(
    "weights, message",
    [
        (["w", "other", "w"], "'w' and 'w' in weights=.* are the same weight of layer 'crossed'"),
        (
            ["kernel"],
            "'kernel' of layer 'crossed' is the name of one weight and the attribute that holds "
            "another",
        ),
    ],
)
def test_name_of_two_weights_and_weight_of_two_names_are_refused(weights, message):
    with pytest.raises(ValueError, match=message):
        WeightNormalization(Ambiguous(name="crossed"), weights=weights, axis=0)(X)


@pytest.mark.parametrize("argument", ["axis", "gain_axis"])
def test_no_axis_at_all_is_refused(argument):
    with pytest.raises(
        ValueError, match=rf"{argument}=\(\) is not allowed. Allowed: an integer, a tuple of them"
    ):
        WeightNormalization(kl.Dense(3), **{argument: ()})


def test_gain_has_axes_of_its_own():
    """As aeon's: a norm for each input and output, a gain for each output."""
    layer = WeightNormalization(kl.Conv1D(3, 2), axis=0, gain_axis=(0, 1))
    layer(X)
    v = to_numpy(layer.v)
    norm = np.linalg.norm(v, axis=0)
    # The start keeps the norm of each output's weights together.
    np.testing.assert_allclose(to_numpy(layer.g), np.sqrt(np.mean(norm**2, axis=0)), rtol=1e-5)
    randomize(layer)
    v, g = to_numpy(layer.v), to_numpy(layer.g)
    np.testing.assert_allclose(
        to_numpy(layer.effective_kernel), g * v / np.linalg.norm(v, axis=0), rtol=1e-5, atol=1e-6
    )
    before = to_numpy(layer(X))
    model = keras.Sequential([keras.Input((5, 4)), layer])
    np.testing.assert_allclose(to_numpy(keras_wn.fold(model)(X)), before, rtol=1e-5, atol=1e-5)
    copy = keras_wn.weight_norm(keras.Sequential([keras.Input((5, 4)), layer, kl.Dense(1)]))
    np.testing.assert_array_equal(to_numpy(copy.layers[0].g), g)
    layer.remove()
    np.testing.assert_allclose(to_numpy(layer(X)), before, rtol=1e-4, atol=1e-5)


def test_gain_is_finer_than_the_norm():
    layer = WeightNormalization(kl.Dense(3), axis=(0, 1), gain_axis=0)
    plain = kl.Dense(3)
    layer(X), plain(X)
    assert tuple(layer.g.shape) == (3,)
    plain.set_weights(layer.layer.get_weights())
    np.testing.assert_allclose(to_numpy(layer(X)), to_numpy(plain(X)), rtol=1e-5, atol=1e-6)


def test_weight_that_the_gains_cannot_hold_is_refused(tmp_path):
    plain = keras.Sequential([keras.Input((5, 4)), kl.Conv1D(3, 2, name="conv")])
    plain.save_weights(tmp_path / "plain.weights.h5")
    model = keras.Sequential(
        [
            keras.Input((5, 4)),
            WeightNormalization(kl.Conv1D(3, 2, name="conv"), axis=0, gain_axis=(0, 1)),
        ]
    )
    before = model.get_weights()
    with pytest.raises(
        ValueError,
        match=r"Layer 'conv' has a gain that is constant along the axes \(0, 1\) and cannot hold",
    ):
        keras_wn.interop.load_plain_weights(model, tmp_path / "plain.weights.h5")
    for a, b in zip(before, model.get_weights(), strict=True):
        np.testing.assert_array_equal(a, b)


def test_name_that_was_given_to_the_layer_is_the_wrapper_s():
    assert WeightNormalization(kl.Dense(3, name="fc")).name == "fc"
    assert WeightNormalization(kl.Dense(3, name="fc"), name="mine").name == "mine"
    assert WeightNormalization(kl.Dense(3)).name.startswith("weight_normalization")
    assert WeightNormalization(kl.Conv2DTranspose(3, 2)).name.startswith("weight_normalization")


def test_one_kernel_has_v_g_and_effective_kernel():
    layer = WeightNormalization(kl.Dense(3))
    layer(X)
    assert layer.v is layer.layer.kernel and layer.g is layer.gains["kernel"]
    np.testing.assert_array_equal(
        to_numpy(layer.effective_kernel), to_numpy(layer.effective_kernels["kernel"])
    )
    lstm = WeightNormalization(kl.LSTM(3))
    lstm(X)
    assert (
        set(lstm.v) == set(lstm.g) == set(lstm.effective_kernel) == {"kernel", "recurrent_kernel"}
    )
    strict = WeightNormalization(kl.Dense(3), use_gain=False)
    strict(X)
    assert strict.g is None


def test_stateful_layer_is_reset():
    layer = WeightNormalization(kl.LSTM(3, stateful=True))
    first, second = to_numpy(layer(X)).copy(), to_numpy(layer(X)).copy()
    assert np.abs(first - second).max() > 1e-4
    layer.reset_state()
    np.testing.assert_allclose(to_numpy(layer(X)), first, rtol=1e-6)
    assert not hasattr(WeightNormalization(kl.Dense(3)), "reset_state")


def test_bidirectional_around_the_wrapper_says_what_to_do():
    with pytest.raises(
        ValueError, match=r"wrap the Bidirectional, WeightNormalization\(Bidirectional\(...\)\)"
    ):
        kl.Bidirectional(WeightNormalization(kl.LSTM(3)))


@pytest.mark.parametrize("use_gain", [True, False])
def test_layer_without_inputs_puts_out_its_bias(use_gain):
    empty = np.ones((2, 0), "float32")
    for layer in (
        keras_wn.layers.WNDense(3, use_gain=use_gain, bias_initializer="ones"),
        WeightNormalization(kl.Dense(3, bias_initializer="ones"), use_gain=use_gain),
    ):
        np.testing.assert_array_equal(to_numpy(layer(empty)), np.ones((2, 3)))


@pytest.mark.filterwarnings("ignore:Layer InputLayer does not have a `quantize`:UserWarning")
def test_quantize_leaves_the_layer_inside_as_it_is_and_warns():
    model = keras.Sequential(
        [keras.Input((4,)), WeightNormalization(kl.Dense(3, name="inside")), kl.Dense(2)]
    )
    x = X[:, 0]
    wrapper = model.layers[0]
    before = to_numpy(wrapper(x))
    with pytest.warns(
        UserWarning,
        match="Layer 'inside' is weight-normalized and cannot be quantized .mode='int8'.",
    ):
        model.quantize("int8")
    np.testing.assert_array_equal(to_numpy(wrapper(x)), before)
    assert model.layers[1].quantization_mode == "int8"
    assert to_numpy(model(x)).shape == (2, 2)
    # The layer that comes out of the wrapper asks to be left alone no longer.
    assert "quantize" in vars(wrapper.layer)
    assert "quantize" not in vars(wrapper.remove())
