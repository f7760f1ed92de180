"""TensorFlow Addons' tests of its wrapper, asked of this one.

They follow tensorflow_addons/layers/tests/wrappers_test.py, 0.23.

Not asked: an output of `data_init=True` in the first call, which here is `data_dependent_init`'s
(tests/test_data_dependent_init.py).
"""

import keras
import numpy as np
import pytest
from keras import layers as kl
from keras.src.testing import (
    TestCase,
)  # Not exported: the suite that Keras tests its own layers with.

import keras_wn
from keras_wn.layers import WeightNormalization
from tests.helpers import to_numpy

# Layer and the shape of one input, as there.
LAYERS = {
    "dense": (lambda: kl.Dense(1), (1,)),
    "simple_rnn": (lambda: kl.SimpleRNN(1), (10, 10)),
    "conv2d": (lambda: kl.Conv2D(3, 1), (3, 3, 1)),
    "lstm": (lambda: kl.LSTM(1), (10, 10)),
}


@pytest.mark.filterwarnings("ignore:`shuffle=True` was passed")
@pytest.mark.parametrize(
    "layer, inputs, outputs, weights",
    [
        (kl.Conv2D(5, 2), (2, 4, 4, 3), (2, 3, 3, 5), 3),
        (kl.Dense(5, use_bias=False), (2, 4), (2, 5), 2),
    ],
)
def test_layer_suite_with_and_without_bias(layer, inputs, outputs, weights):
    TestCase().run_layer_test(
        WeightNormalization,
        init_kwargs={"layer": layer},
        input_shape=inputs,
        expected_output_shape=outputs,
        expected_num_trainable_weights=weights,
        supports_masking=layer.supports_masking,
        run_mixed_precision_check=False,  # The suite gives the policy to the wrapper alone.
    )


def test_identity_stays_without_data_init_and_is_scaled_with_it():
    x = np.array([[[-4, -4], [4, 4]]], "float32")
    for scaled in (False, True):
        layer = WeightNormalization(kl.Dense(2, kernel_initializer="identity"), data_init=False)
        model = keras.Sequential([keras.Input((2, 2)), layer])
        if scaled:
            keras_wn.data_dependent_init(model, x)
        np.testing.assert_allclose(to_numpy(model(x)), x / 4 if scaled else x, rtol=1e-5)


def test_what_is_no_layer_and_a_layer_without_kernel_are_refused():
    with pytest.raises(ValueError, match="Allowed: an instance of a Keras layer"):
        WeightNormalization(np.ones((2, 4, 3), "float32"))
    with pytest.raises(ValueError, match="has no kernels to normalize"):
        WeightNormalization(kl.MaxPooling2D(2))(np.ones((2, 2, 2, 1), "float32"))


def test_in_a_time_distributed_layer():
    inputs = keras.Input(batch_shape=(8, 8, 16, 16, 3))
    conv = WeightNormalization(kl.Conv2D(3, 3))
    model = keras.Model(inputs, kl.TimeDistributed(conv)(inputs))
    assert model.output_shape == (8, 8, 14, 14, 3) and len(model.trainable_weights) == 3


@pytest.mark.parametrize("name", LAYERS)
def test_serialization(name):
    layer = WeightNormalization(
        LAYERS[name][0](), axis=None, use_gain=True, weights=["kernel"], log_gain=True
    )
    copied = keras.layers.deserialize(keras.layers.serialize(layer))
    assert copied.get_config() == layer.get_config()
    assert type(copied.layer) is type(layer.layer)


@pytest.mark.filterwarnings("ignore:WeightNormalization. data_init=True does nothing by itself")
@pytest.mark.parametrize("data_init", [True, False])
@pytest.mark.parametrize("name", LAYERS)
def test_second_argument_is_data_init_as_there(name, data_init):
    make, shape = LAYERS[name]
    layer = WeightNormalization(make(), data_init)
    assert layer.axis is None
    assert keras.Sequential([keras.Input(shape), layer]).built


@pytest.mark.parametrize("name", LAYERS)
def test_weights_file(name, tmp_path):
    make, shape = LAYERS[name]
    x = np.ones((1, *shape), "float32")
    models = []
    for _ in range(2):
        model = keras.Sequential([WeightNormalization(make())])
        model.build((None, *shape))
        models.append(model)
    models[0].save_weights(tmp_path / "a.weights.h5")
    models[1].load_weights(tmp_path / "a.weights.h5")
    np.testing.assert_array_equal(to_numpy(models[0](x)), to_numpy(models[1](x)))


@pytest.mark.parametrize("name", LAYERS)
def test_forward_pass_is_the_layers(name):
    make, shape = LAYERS[name]
    x, layer = np.ones((1, *shape), "float32"), make()
    np.testing.assert_allclose(
        to_numpy(layer(x)), to_numpy(WeightNormalization(layer)(x)), rtol=1e-6, atol=1e-6
    )


@pytest.mark.parametrize("options", [{}, {"use_gain": False}, {"log_gain": True}])
@pytest.mark.parametrize("name", LAYERS)
def test_removal(name, options):
    make, shape = LAYERS[name]
    x, layer = np.ones((1, *shape), "float32"), make()
    wrapped = WeightNormalization(layer, **options)
    wrapped(x)
    for gain in wrapped.gains.values():
        gain.assign(to_numpy(gain) + 0.3)
    outputs = to_numpy(wrapped(x))
    removed = wrapped.remove()
    assert removed is layer
    np.testing.assert_allclose(to_numpy(removed(x)), outputs, rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(to_numpy(wrapped(x)), outputs, rtol=1e-5, atol=1e-6)


def test_model_of_issue_2869_trains_and_saves(tmp_path):
    """The model that tensorflow/addons issue 2869 asks about, on tokens made here, smaller."""
    rng = np.random.default_rng(0)
    labels = rng.integers(0, 2, 200)
    # The words of a text say what it is.
    tokens = rng.integers(0, 50, (200, 40)) + 50 * labels[:, None]
    model = keras.Sequential(
        [
            kl.Embedding(100, 16),
            WeightNormalization(kl.Conv1D(16, 3, activation="relu")),
            kl.MaxPooling1D(2, 2),
            WeightNormalization(kl.Conv1D(16, 3, activation="relu")),
            kl.MaxPooling1D(2, 2),
            kl.Flatten(),
            WeightNormalization(kl.Dense(16, activation="relu")),
            kl.Dense(1, activation="sigmoid"),
        ]
    )
    model.compile(
        loss="binary_crossentropy", optimizer=keras.optimizers.Adam(1e-2), metrics=["accuracy"]
    )
    history = model.fit(tokens[:150], labels[:150], epochs=5, batch_size=32, verbose=0)
    assert history.history["loss"][-1] < 0.5 * history.history["loss"][0]
    assert model.evaluate(tokens[150:], labels[150:], verbose=0, return_dict=True)["accuracy"] > 0.9
    model.save(tmp_path / "model.keras")
    loaded = keras.saving.load_model(tmp_path / "model.keras")
    np.testing.assert_array_equal(to_numpy(loaded(tokens)), to_numpy(model(tokens)))
