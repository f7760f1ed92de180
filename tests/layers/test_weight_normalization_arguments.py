"""The arguments of `WeightNormalization`, allowed and refused."""

import keras
import numpy as np
import pytest

from keras_wn.layers import WeightNormalization, WNDense
from tests.helpers import to_numpy

RNG = np.random.default_rng(0)
SERIES = RNG.normal(size=(3, 6, 4)).astype("float32")


@pytest.mark.parametrize("wanted", [["kernel"], ["recurrent_kernel"]])
def test_weights_chooses_which_kernels(wanted):
    wrapped = WeightNormalization(keras.layers.LSTM(3), weights=wanted)
    wrapped(SERIES)
    assert list(wrapped.gains) == wanted


def test_axis_chooses_the_norm():
    wrapped = WeightNormalization(keras.layers.Dense(3), axis=-1)
    wrapped(SERIES)
    assert tuple(wrapped.gains["kernel"].shape) == (4,)
    everything = WeightNormalization(keras.layers.Dense(3), axis=(0, 1), use_gain=False)
    everything(SERIES)
    np.testing.assert_allclose(
        np.linalg.norm(to_numpy(everything.effective_kernels["kernel"])), 1, rtol=1e-6
    )


def test_data_init_of_tensorflow_addons_is_explained():
    with pytest.warns(UserWarning, match="Call keras_wn.data_dependent_init"):
        WeightNormalization(keras.layers.Dense(3), data_init=True)


@pytest.mark.parametrize(
    "make, message",
    [
        (
            lambda: WeightNormalization("dense"),
            "layer='dense' is not allowed. Allowed: an instance of a Keras layer",
        ),
        (lambda: WeightNormalization(keras.layers.Dense), "Allowed: an instance of a Keras layer"),
        (
            lambda: WeightNormalization(keras.layers.ReLU(name="r"))(SERIES),
            "layer 'r' .ReLU. has no kernels to normalize",
        ),
        (
            lambda: WeightNormalization(keras.layers.Dense(3, name="d"), axis=2)(SERIES),
            "axis=2 lies outside kernel 'kernel' of",
        ),
        (
            lambda: WeightNormalization(keras.layers.LSTM(3, name="l"), weights=["gain"])(SERIES),
            r"layer 'l' has no weights \['gain'\]. Allowed: bias, kernel, recurrent_kernel",
        ),
        (
            lambda: WeightNormalization(WNDense(3, name="w"))(SERIES),
            "layer 'w' is weight-normalized already",
        ),
    ],
)
def test_bad_input_is_refused(make, message):
    with pytest.raises(ValueError, match=message):
        make()


@pytest.mark.parametrize(
    "make, message",
    [
        (
            lambda: WeightNormalization(keras.layers.Dense(3), axis="a"),
            "axis='a' is not allowed. Allowed: an integer",
        ),
        (
            lambda: WeightNormalization(keras.layers.Dense(3), weights="kernel"),
            "weights='kernel' is not allowed",
        ),
        (
            lambda: WeightNormalization(keras.layers.Dense(3), weights=[]),
            r"weights=\[\] is not allowed",
        ),
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
    with pytest.raises(
        ValueError, match="Layer 'd': kernel is quantized .* Allowed: kernels of floats"
    ):
        WeightNormalization(dense)(SERIES)


@pytest.mark.parametrize(
    "make",
    [
        lambda name: keras.layers.Dense(3, name=name),
        lambda name: keras.layers.LSTM(3, name=name),
        lambda name: keras.layers.Conv2D(3, 3, name=name, padding="same"),
        lambda name: keras.layers.Bidirectional(keras.layers.GRU(2), name=name),
    ],
)
def test_a_given_name_is_kept_even_if_it_is_that_of_the_class(make):
    keras.backend.clear_session()
    default = keras.src.utils.naming.to_snake_case(type(make("x")).__name__)
    # Before and after Keras has given such a name.
    for _ in range(3):
        assert WeightNormalization(make(default)).name == default
        assert WeightNormalization(make(f"{default}_7")).name == f"{default}_7"
        assert WeightNormalization(make(None)).name.startswith("weight_normalization")
        make(None)


class Two(keras.layers.Layer):
    """A layer with two kernels of one name, one in a layer inside of another."""

    def __init__(self):
        super().__init__()
        self.a = keras.layers.Dense(3)
        self.b = keras.layers.Dense(3, name="second")
        self.inner = keras.Sequential([keras.layers.Dense(3, name="third")])

    def build(self, shape):
        for layer in (self.a, self.b, self.inner):
            layer.build(shape)

    def call(self, x):
        return self.inner(self.b(self.a(x)))


@pytest.mark.parametrize(
    "weights, chosen",
    [
        (["a/kernel"], "a"),
        (["second/kernel"], "b"),
        (["b/kernel", "a/kernel"], "ab"),
        (["third/kernel"], "i"),
        (["inner/third/kernel"], "i"),
        (["kernel"], "abi"),
        (["kernel", "a/kernel"], "abi"),
    ],
)
def test_a_path_chooses_between_kernels_of_one_name(weights, chosen):
    layer = WeightNormalization(Two(), weights=weights)
    x = np.ones((2, 3), "float32")
    layer(x)
    two = layer.layer
    owners = {"a": two.a, "b": two.b, "i": two.inner.layers[0]}
    expected = {id(owners[key].kernel) for key in chosen}
    assert {id(kernel.variable) for kernel in layer.kernels.values()} == expected
    assert len(layer.gains) == len(chosen)
    copy = WeightNormalization(Two(), weights=layer.get_config()["weights"])
    copy(x)
    assert list(copy.gains) == list(layer.gains)


def test_a_path_that_leads_nowhere_is_refused():
    with pytest.raises(ValueError, match=r"has no weights \['c/kernel'\].*second/kernel"):
        WeightNormalization(Two(), weights=["c/kernel"])(np.ones((2, 3), "float32"))
