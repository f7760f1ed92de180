"""Files that TensorFlow Addons really wrote, and its outputs and gradients: `nox -s tfa` makes them."""

import os
import pathlib

import keras
import numpy as np
import pytest
from keras import layers as kl

import keras_wn
from keras_wn.interop import load_tfa_weights
from keras_wn.layers import WeightNormalization
from tests.helpers import to_numpy

FOLDER = pathlib.Path(os.environ.get("KERAS_WN_TFA_FILES", ""))
pytestmark = pytest.mark.skipif(
    "KERAS_WN_TFA_FILES" not in os.environ, reason="needs files from TensorFlow Addons: nox -s tfa"
)


def as_tfa(layer):
    """Norms over the axes that TensorFlow Addons takes."""
    if isinstance(layer, kl.RNN):
        return WeightNormalization(layer, weights=["recurrent_kernel"])
    axis = tuple(range(len(layer.kernel_size) + 1)) if hasattr(layer, "kernel_size") else 0
    return WeightNormalization(layer, axis=axis)


def issue_2869(wn):
    return keras.Sequential(
        [
            keras.Input((12,), dtype="int32"),
            kl.Embedding(20, 4),
            wn(kl.Conv1D(6, 3, activation="relu", padding="same")),
            kl.MaxPooling1D(2),
            wn(kl.Conv1D(5, 3, activation="relu", padding="same")),
            kl.GlobalMaxPooling1D(),
            wn(kl.Dense(2, activation="softmax")),
        ]
    )


def convolutions(wn):
    x = inputs = keras.Input((8, 8, 3))
    x = wn(kl.Conv2D(4, 3, use_bias=False))(x)
    x = kl.BatchNormalization()(x)
    x = wn(kl.Conv2DTranspose(5, 2, strides=2))(x)
    x = kl.Add()([wn(kl.Conv2D(3, 1))(x), kl.Conv2D(3, 1)(x)])
    return keras.Model(inputs, wn(kl.Dense(2))(kl.GlobalAveragePooling2D()(x)))


def recurrent(wn):
    layers = [wn(kl.LSTM(3, return_sequences=True)), kl.GRU(4, return_sequences=True), wn(kl.SimpleRNN(2))]
    return keras.Sequential([keras.Input((8, 4)), *layers])


MODELS = {make.__name__: make for make in (issue_2869, convolutions, recurrent)}
FILES = [f"{name}{end}" for name in MODELS for end in (".h5", "_weights.h5", "_checkpoint")] + ["issue_2869"]
KINDS = {"as_tfa": as_tfa, "default": WeightNormalization, "plain": lambda layer: layer}


def name_of(file):
    return next(name for name in MODELS if file.startswith(name))


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("file", FILES)
def test_outputs_are_those_of_tensorflow_addons(file, kind):
    expected = np.load(FOLDER / f"{name_of(file)}.npz")
    model = MODELS[name_of(file)](KINDS[kind])
    load_tfa_weights(model, FOLDER / file)
    np.testing.assert_allclose(to_numpy(model(expected["x"])), expected["outputs"], rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("file", FILES)
def test_weight_norm_of_the_plain_model_takes_the_weights_too(file):
    expected = np.load(FOLDER / f"{name_of(file)}.npz")
    model = keras_wn.weight_norm(MODELS[name_of(file)](lambda layer: layer))
    load_tfa_weights(model, FOLDER / file)
    np.testing.assert_allclose(to_numpy(model(expected["x"])), expected["outputs"], rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("name", MODELS)
def test_gradients_are_those_of_tensorflow_addons(name):
    import tensorflow as tf

    expected = np.load(FOLDER / f"{name}.npz")
    model, of_tfa = MODELS[name](as_tfa), MODELS[name](as_tfa)
    load_tfa_weights(model, FOLDER / f"{name}_weights.h5")
    load_tfa_weights(of_tfa, FOLDER / f"{name}_gradients.h5")
    with tf.GradientTape() as tape:
        outputs = model(expected["x"], training=False)
        loss = tf.reduce_sum(outputs * tf.reshape(tf.range(float(tf.size(outputs))), outputs.shape) / 10.0)
    found = tape.gradient(loss, [v.value for v in model.trainable_variables])
    for variable, gradient in zip(of_tfa.trainable_variables, found, strict=True):
        np.testing.assert_allclose(
            to_numpy(tf.convert_to_tensor(gradient)), to_numpy(variable), rtol=1e-3, atol=1e-5, err_msg=variable.path
        )


def test_names_choose_the_layers():
    model = convolutions(as_tfa)
    in_order = [layer.name for layer in model.layers if layer.weights]
    load_tfa_weights(model, FOLDER / "convolutions.h5")
    first = model.get_weights()
    wrapped = [f"weight_normalization_{i}" for i in (3, 4, 5, 6)]
    in_file = [wrapped[0], "batch_normalization", wrapped[1], wrapped[2], "conv2d_2", wrapped[3]]
    load_tfa_weights(model, FOLDER / "convolutions.h5", names=dict(zip(in_order, in_file, strict=True)))
    for a, b in zip(first, model.get_weights(), strict=True):
        np.testing.assert_array_equal(a, b)


@pytest.mark.parametrize("name", MODELS)
def test_the_newer_format_is_refused_in_words(name):
    with pytest.raises(ValueError, match="it names no layers, as Keras 2 does in name.h5, but not in name.weights.h5"):
        load_tfa_weights(MODELS[name](as_tfa), FOLDER / f"{name}.weights.h5")
