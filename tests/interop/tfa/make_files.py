"""Writes what TensorFlow Addons writes: runs in its own environment (`nox -s tfa`), with Keras 2.

    python make_files.py FOLDER

For each model: `<name>_weights.h5`, `<name>.weights.h5` (the newer format), `<name>.h5` (the whole model), `<name>_checkpoint`, `<name>` (a
SavedModel, where TensorFlow Addons can write one), `<name>.npz` (input and outputs), and `<name>_gradients.h5`: the gradients of
`sum(outputs * (0, 0.1, 0.2, ...))` in the weights' places.
"""

import pathlib
import sys

import numpy as np
import tensorflow as tf
from tensorflow.keras import layers as kl
from tensorflow_addons.layers import WeightNormalization

RNG = np.random.default_rng(0)
SERIES = RNG.normal(size=(3, 8, 4)).astype("float32")
IMAGES = RNG.normal(size=(3, 8, 8, 3)).astype("float32")
TOKENS = RNG.integers(0, 20, (3, 12)).astype("int32")


def wn(layer):
    return WeightNormalization(layer, data_init=False)


def issue_2869():
    """The model of tensorflow/addons issue 2869, smaller."""
    return tf.keras.Sequential(
        [
            tf.keras.Input((12,), dtype="int32"),
            kl.Embedding(20, 4),
            wn(kl.Conv1D(6, 3, activation="relu", padding="same")),
            kl.MaxPooling1D(2),
            wn(kl.Conv1D(5, 3, activation="relu", padding="same")),
            kl.GlobalMaxPooling1D(),
            wn(kl.Dense(2, activation="softmax")),
        ]
    ), TOKENS


def convolutions():
    """With batch norm, a transposed convolution (normed per input channel by TensorFlow Addons), and a branch."""
    x = inputs = tf.keras.Input((8, 8, 3))
    x = wn(kl.Conv2D(4, 3, use_bias=False))(x)
    x = kl.BatchNormalization()(x)
    x = wn(kl.Conv2DTranspose(5, 2, strides=2))(x)
    x = kl.Add()([wn(kl.Conv2D(3, 1))(x), kl.Conv2D(3, 1)(x)])
    return tf.keras.Model(inputs, wn(kl.Dense(2))(kl.GlobalAveragePooling2D()(x))), IMAGES


def recurrent():
    """TensorFlow Addons normalizes the recurrent kernel of a recurrent layer, and no other."""
    return tf.keras.Sequential(
        [
            tf.keras.Input((8, 4)),
            wn(kl.LSTM(3, return_sequences=True)),
            kl.GRU(4, return_sequences=True),
            wn(kl.SimpleRNN(2)),
        ]
    ), SERIES


def main(folder):
    for make in (issue_2869, convolutions, recurrent):
        tf.keras.utils.set_random_seed(0)
        model, x = make()
        for variable in model.variables:
            # Also g, which TensorFlow Addons starts at 1; variances stay positive.
            if variable.dtype == tf.float32:
                variable.assign(
                    np.abs(RNG.normal(1.0, 0.3, variable.shape)) * RNG.choice([-1, 1], variable.shape)
                    if "kernel" in variable.name
                    else RNG.uniform(0.5, 1.5, variable.shape)
                )
        x = tf.constant(x)
        with tf.GradientTape() as tape:
            outputs = model(x, training=False)
            loss = tf.reduce_sum(outputs * tf.reshape(tf.range(float(tf.size(outputs))), outputs.shape) / 10.0)
        gradients = tape.gradient(loss, model.trainable_variables)
        name = make.__name__
        np.savez(folder / f"{name}.npz", x=x.numpy(), outputs=outputs.numpy())
        model.save_weights(folder / f"{name}.weights.h5")
        model.save_weights(folder / f"{name}_weights.h5")
        model.save_weights(folder / f"{name}_checkpoint")
        model.save(folder / f"{name}.h5")
        # Of transposed convolutions and recurrent layers in its wrapper, TensorFlow Addons cannot write a SavedModel.
        if make is issue_2869:
            model.save(folder / name)
        # The gradients, as the weights of the same model.
        for variable, gradient in zip(model.trainable_variables, gradients, strict=True):
            variable.assign(tf.convert_to_tensor(gradient))
        model.save_weights(folder / f"{name}_gradients.h5")


if __name__ == "__main__":
    main(pathlib.Path(sys.argv[1]))
