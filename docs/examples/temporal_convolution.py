"""Trains a temporal convolutional network to add two numbers that lie far apart in a sequence."""

import keras
import matplotlib.pyplot as plt
import numpy as np
from keras import layers

import keras_wn

LENGTH = 100


def adding_problem(count, seed):
    """Random sequences of numbers, of which two are marked. The target is the sum of these two."""
    generator = np.random.default_rng(seed)
    numbers = generator.uniform(size=(count, LENGTH)).astype("float32")
    marks = np.zeros_like(numbers)
    first = generator.integers(0, LENGTH // 2, count)
    second = generator.integers(LENGTH // 2, LENGTH, count)
    rows = np.arange(count)
    marks[rows, first] = marks[rows, second] = 1.0
    return np.stack([numbers, marks], axis=-1), numbers[rows, first] + numbers[rows, second]


def temporal_block(x, filters, dilation):
    """Two causal convolutions with a shortcut (Bai et al. 2018, arXiv 1803.01271)."""
    branch = x
    for _ in range(2):
        branch = keras_wn.layers.WNConv1D(
            filters, 4, padding="causal", dilation_rate=dilation, activation="relu"
        )(branch)
    if x.shape[-1] != filters:
        x = layers.Conv1D(filters, 1)(x)
    return layers.ReLU()(layers.Add()([x, branch]))


keras.utils.set_random_seed(0)
inputs = keras.Input((LENGTH, 2))
x = inputs
for dilation in (1, 2, 4, 8, 16):
    x = temporal_block(x, 24, dilation)
# The last position has seen the whole sequence: 1 + 2 * 3 * (1 + 2 + 4 + 8 + 16) = 187 positions.
outputs = layers.Dense(1)(x[:, -1])
model = keras.Model(inputs, outputs)

sequences, sums = adding_problem(4000, seed=0)
held_out_sequences, held_out_sums = adding_problem(1000, seed=1)
keras_wn.data_dependent_init(model, sequences[:64])
model.compile(keras.optimizers.Adam(4e-3), "mse")
history = model.fit(
    sequences,
    sums,
    batch_size=32,
    epochs=8,
    validation_data=(held_out_sequences, held_out_sums),
    verbose=2,
)
print(f"Mean squared error of always answering 1: {np.mean((held_out_sums - 1) ** 2):.4f}")
print(f"Mean squared error of the network:        {history.history['val_loss'][-1]:.4f}")

figure, axes = plt.subplots(figsize=(6, 3.5), layout="constrained")
axes.semilogy(range(1, 9), history.history["val_loss"], marker="o", label="the network")
axes.axhline(np.mean((held_out_sums - 1) ** 2), color="gray", linestyle="--", label="always 1")
axes.set(xlabel="epoch", ylabel="mean squared error, held-out sequences")
axes.legend()
figure.savefig("temporal_convolution.svg")
