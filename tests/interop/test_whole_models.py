"""`weight_norm` and `fold` keep the outputs of whole models, and `fold` gives plain Keras."""

import json
import subprocess
import sys

import keras
import numpy as np
import pytest
from keras import layers as kl

import keras_wn
from keras_wn import layers, methods
from tests.helpers import gradients, randomize, to_numpy

RNG = np.random.default_rng(0)

IMAGES = RNG.normal(size=(2, 8, 8, 3)).astype("float32")

SERIES = RNG.normal(size=(2, 6, 4)).astype("float32")


def sequential():
    return keras.Sequential(
        [keras.Input((8, 8, 3)), kl.Conv2D(4, 3, activation="relu"), kl.Flatten(), kl.Dense(2)],
        name="s",
    )


def residual():
    """A model with all kinds of convolutions, batch normalization and a model inside of it.

    A layer of it is called twice.
    """
    x = inputs = keras.Input((8, 8, 3))
    x = kl.Conv2D(4, 3, 2, padding="same", use_bias=False)(x)
    x = kl.BatchNormalization()(x)
    shared = kl.Conv2D(4, 3, padding="same")
    x = kl.Add()([x, shared(shared(x))])
    x = kl.Conv2DTranspose(5, 2)(kl.DepthwiseConv2D(2)(x))
    x = kl.SeparableConv2D(6, 2)(x)
    nested = keras.Sequential(
        [keras.Input((3, 3, 6)), kl.Flatten(), kl.Dense(7, activation="tanh")], name="nested"
    )
    return keras.Model(inputs, kl.Dense(2)(nested(x)), name="residual")


def recurrent():
    x = inputs = keras.Input((6, 4))
    x = kl.Bidirectional(kl.LSTM(3, return_sequences=True))(x)
    x = kl.MultiHeadAttention(2, 3)(x, x)
    x = kl.TimeDistributed(kl.Dense(5))(kl.EinsumDense("abc,cd->abd", output_shape=(6, 4))(x))
    return keras.Model(inputs, kl.GRU(2)(x), name="recurrent")


CASES = {
    "sequential": (sequential, IMAGES),
    "residual": (residual, IMAGES),
    "recurrent": (recurrent, SERIES),
}


def kernels_normalized(model):
    return [
        x
        for x in model._flatten_layers()
        if isinstance(x, layers.WeightNormalization) or hasattr(x, "effective_kernel")
    ]


@pytest.mark.parametrize("name", CASES)
def test_weight_norm_keeps_the_outputs_and_the_original(name):
    make, x = CASES[name]
    model = make()
    if name != "recurrent":
        randomize(model)
        for layer in model.layers:
            if isinstance(layer, kl.BatchNormalization):
                layer.moving_variance.assign(np.full(layer.moving_variance.shape, 2.0))
    before = to_numpy(model(x))
    normalized = keras_wn.weight_norm(model)
    np.testing.assert_allclose(to_numpy(normalized(x)), before, rtol=1e-4, atol=1e-4)
    np.testing.assert_array_equal(to_numpy(model(x)), before)
    assert kernels_normalized(normalized) and not kernels_normalized(model)
    assert normalized.name == model.name and len(normalized.layers) == len(model.layers)


@pytest.mark.parametrize("name", CASES)
def test_round_trip_gives_the_model_back(name):
    make, x = CASES[name]
    model = make()
    back = keras_wn.fold(keras_wn.weight_norm(model))
    assert not kernels_normalized(back)
    assert [type(layer) for layer in back.layers] == [type(layer) for layer in model.layers]
    for ours, theirs in zip(back.get_weights(), model.get_weights(), strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(to_numpy(back(x)), to_numpy(model(x)), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("name", CASES)
def test_fold_keeps_the_outputs_of_trained_gains(name):
    make, x = CASES[name]
    normalized = keras_wn.weight_norm(make())
    for variable in normalized.trainable_variables:
        variable.assign(to_numpy(variable) * RNG.uniform(0.5, 1.5, variable.shape))
    np.testing.assert_allclose(
        to_numpy(keras_wn.fold(normalized)(x)), to_numpy(normalized(x)), rtol=1e-4, atol=1e-5
    )


# Folding is the same code on every backend, and JAX compiles each layer of each network, so that
# it has a method of each kind of layers: Keras' own, weight normalization, centered filters.
FOLDED = ("bn", "wn", "nf") if keras.backend.backend() == "jax" else methods.names()


@pytest.mark.parametrize("name", FOLDED)
def test_fold_keeps_the_outputs_of_every_method(name):
    # Its three stages have each kind of block: an identity as the shortcut, and a projection.
    model = keras_wn.models.cifar_resnet(8, method=name)
    for variable in model.trainable_variables:
        # No start of 0 hides a difference.
        variable.assign(to_numpy(variable) * RNG.uniform(0.5, 1.5, variable.shape) + 0.01)
    x = RNG.normal(size=(2, 32, 32, 3)).astype("float32")
    folded = keras_wn.fold(model)
    assert not kernels_normalized(folded)
    scale = np.abs(to_numpy(model(x))).max()
    np.testing.assert_allclose(to_numpy(folded(x)) / scale, to_numpy(model(x)) / scale, atol=1e-5)


def test_folded_model_loads_without_the_package(tmp_path):
    model = keras.Sequential(
        [keras.Input((8, 8, 3)), layers.NormPropConv2D(4, 3), kl.Flatten(), layers.WNDense(2)]
    )
    keras_wn.fold(model).save(tmp_path / "folded.keras")
    np.save(tmp_path / "x.npy", IMAGES)
    code = (
        "import sys, keras, numpy as np\n"
        "model = keras.saving.load_model(sys.argv[1])\n"
        "print(keras.ops.convert_to_numpy(model(np.load(sys.argv[2]))).tolist())\n"
        "assert 'keras_wn' not in sys.modules\n"
    )
    command = [sys.executable, "-c", code, str(tmp_path / "folded.keras"), str(tmp_path / "x.npy")]
    output = subprocess.run(
        command, capture_output=True, text=True, check=True, cwd=tmp_path
    ).stdout
    np.testing.assert_allclose(
        np.array(json.loads(output)), to_numpy(model(IMAGES)), rtol=1e-5, atol=1e-6
    )


def test_fold_keeps_an_activation_of_the_package():
    model = keras.Sequential(
        [keras.Input((4,)), layers.WNDense(3, activation=layers.NormalizedReLU(0.1))]
    )
    x = RNG.normal(size=(5, 4)).astype("float32")
    np.testing.assert_allclose(
        to_numpy(keras_wn.fold(model)(x)), to_numpy(model(x)), rtol=1e-5, atol=1e-6
    )


def test_layers_that_are_normalized_already_stay():
    model = keras.Sequential(
        [keras.Input((4,)), layers.WNDense(3), layers.WeightNormalization(kl.Dense(2)), kl.Dense(2)]
    )
    again = keras_wn.weight_norm(model)
    assert [type(x) for x in again.layers] == [
        layers.WNDense,
        layers.WeightNormalization,
        layers.WNDense,
    ]


class Subclassed(keras.Model):
    """Layers as attributes, in a list, in a dict, shared, and nested in a model."""

    def __init__(self, units=3, **kwargs):
        super().__init__(**kwargs)
        self.units = units
        self.first = kl.Dense(units)
        self.again = self.first if units == 4 else kl.Dense(units)
        self.blocks = [kl.Conv1D(units, 2), kl.ReLU(), kl.LSTM(units, return_sequences=True)]
        self.heads = {
            "a": kl.Dense(2),
            "b": keras.Sequential([kl.Dense(2), kl.BatchNormalization()]),
        }

    def call(self, x):
        x = self.again(self.first(x))
        for block in self.blocks:
            x = block(x)
        return self.heads["a"](x) + self.heads["b"](x)

    def get_config(self):
        return {**super().get_config(), "units": self.units}


@pytest.mark.parametrize("units", [3, 4])
def test_subclassed_model_there_and_back(units, tmp_path):
    model = Subclassed(units)
    before = to_numpy(model(SERIES))
    normalized = keras_wn.weight_norm(model)
    assert type(normalized) is Subclassed and len(kernels_normalized(normalized)) == (
        6 if units == 3 else 5
    )
    assert (normalized.again is normalized.first) == (units == 4)
    np.testing.assert_allclose(to_numpy(normalized(SERIES)), before, rtol=1e-4, atol=1e-5)
    assert len(normalized.trainable_variables) == len(model.trainable_variables) + (
        7 if units == 3 else 6
    )
    for variable in normalized.trainable_variables:
        variable.assign(to_numpy(variable) * RNG.uniform(0.5, 1.5, variable.shape))
    after = to_numpy(normalized(SERIES))
    folded = keras_wn.fold(normalized)
    assert type(folded) is Subclassed and not kernels_normalized(folded)
    assert len(folded.weights) == len(model.weights)
    np.testing.assert_allclose(to_numpy(folded(SERIES)), after, rtol=1e-4, atol=1e-5)
    np.testing.assert_array_equal(to_numpy(model(SERIES)), before)
    normalized.save_weights(tmp_path / "a.weights.h5")
    other = keras_wn.weight_norm(model)
    other.load_weights(tmp_path / "a.weights.h5")
    np.testing.assert_array_equal(to_numpy(other(SERIES)), after)


@pytest.mark.parametrize("make", [sequential, lambda: Subclassed(3)])
def test_converted_models_train(make):
    x = SERIES if make is not sequential else IMAGES
    model = make()
    y = np.ones(model(x).shape, "float32")
    normalized = keras_wn.weight_norm(model)
    normalized.compile(optimizer=keras.optimizers.SGD(0.05), loss="mse")
    losses = normalized.fit(x, y, epochs=5, verbose=0).history["loss"]
    assert losses[-1] < losses[0]


class WithoutConfig(keras.Model):
    def __init__(self, dense):
        super().__init__(name="mine")
        self.dense = dense

    def call(self, x):
        return self.dense(x)

    def get_config(self):
        raise NotImplementedError("no configuration")


def test_subclassed_model_without_a_config_is_refused_by_name_and_can_be_wrapped():
    model = WithoutConfig(kl.Dense(2))
    x = np.ones((1, 4), "float32")
    plain = to_numpy(model(x))
    for convert in (keras_wn.weight_norm, keras_wn.fold):
        with pytest.raises(
            ValueError, match="Model 'mine' .*cannot be made again from its get_config"
        ):
            convert(model)
    np.testing.assert_allclose(to_numpy(layers.WeightNormalization(model)(x)), plain, rtol=1e-5)


def test_zero_filters_keep_the_outputs_and_can_learn():
    model = keras.Sequential(
        [keras.Input((4,)), kl.Dense(3, kernel_initializer="zeros", use_bias=False)]
    )
    normalized = keras_wn.weight_norm(model)
    x = np.ones((2, 4), "float32")
    np.testing.assert_array_equal(to_numpy(normalized(x)), 0)
    assert np.all(gradients(normalized, x, np.ones((2, 3), "float32"))["kernel_g"] != 0)


def test_compiled_model_stays_compiled():
    model = sequential()
    model.compile(optimizer="sgd", loss="mse")
    for converted in (keras_wn.weight_norm(model), keras_wn.fold(model)):
        assert converted.compiled and converted.optimizer is not model.optimizer


def test_regularizers_that_see_w_stay_on_the_folded_kernel():
    on_w = keras_wn.regularizers.EffectiveKernelRegularizer("l2")
    for layer in (
        layers.WNDense(2, kernel_regularizer=on_w),
        layers.WeightNormalization(kl.Dense(2, kernel_regularizer=on_w)),
    ):
        model = keras.Sequential([keras.Input((4,)), layer])
        folded = keras_wn.fold(model)
        assert isinstance(folded.layers[0].kernel_regularizer, keras.regularizers.L2)
        np.testing.assert_allclose(to_numpy(folded.losses[0]), to_numpy(model.losses[0]), rtol=1e-5)


def test_unbuilt_model_and_a_model_without_kernels_are_refused():
    with pytest.raises(ValueError, match="model 'u' has no built layer with a kernel"):
        keras_wn.weight_norm(keras.Sequential([kl.Dense(2)], name="u"))
    with pytest.raises(ValueError, match="Model 'u' is not built"):
        keras_wn.fold(keras.Sequential([layers.WNDense(2)], name="u"))
    with pytest.raises(ValueError, match="model 'r' has no built layer with a kernel"):
        keras_wn.weight_norm(keras.Sequential([keras.Input((4,)), kl.ReLU()], name="r"))
    with pytest.raises(ValueError, match="fold_bn=True on model 'mine' .* graph is not known"):
        keras_wn.fold(WithoutConfig(kl.Dense(2)), fold_bn=True)
    for convert in (keras_wn.weight_norm, keras_wn.fold):
        with pytest.raises(
            ValueError, match="model='resnet' is not allowed. Allowed: a Keras model"
        ):
            convert("resnet")
