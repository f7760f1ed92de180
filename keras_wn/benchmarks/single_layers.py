"""Describes the single layers that are timed, and makes a training step of them on TensorFlow.

This file imports no Keras: tests/peers/tfa_overhead.py times the same layers in the same step with
TensorFlow Addons, in an environment that has Keras 2.
"""

import dataclasses
from collections.abc import Callable
from typing import Any

import numpy as np


@dataclasses.dataclass(frozen=True)
class Shape:
    """The shape of a convolution or, without a kernel size, of a dense layer.

    Attributes:
        name: Text.
        inputs: Shape of an input, without the batch.
        units: Units, or filters.
        kernel_size: Height and width of the kernel.
    """

    name: str
    inputs: tuple[int, ...]
    units: int
    kernel_size: int | None = None


BATCH = 16
SHAPES = [
    Shape("conv 3x3, 56x56x64 to 64", (56, 56, 64), 64, 3),
    Shape("conv 1x1, 14x14x1024 to 256", (14, 14, 1024), 256, 1),
    Shape("conv 3x3, 7x7x512 to 512", (7, 7, 512), 512, 3),
    Shape("dense, 4096 to 4096", (4096,), 4096),
]


def tensorflow_step(
    model: Any, optimizer: Any, x: np.ndarray, y: np.ndarray, jit_compile: bool
) -> Callable[[], None]:
    """A training step on TensorFlow, in operations that Keras 2 and Keras 3 share.

    Args:
        model: Keras model.
        optimizer: Keras optimizer, not built.
        x: Inputs.
        y: Targets of the squared error.
        jit_compile: Boolean, whether XLA compiles the forward and the backward pass.

    Returns:
        Function that runs a step and waits for it.
    """
    import tensorflow as tf

    x, y = tf.constant(x), tf.constant(y)
    optimizer.build(model.trainable_variables)

    @tf.function(jit_compile=jit_compile)
    def forward_and_backward():
        with tf.GradientTape() as tape:
            loss = tf.reduce_mean(tf.square(model(x, training=True) - y))
        gradients = tape.gradient(loss, model.trainable_variables)
        return loss, gradients

    @tf.function
    def update(gradients):
        optimizer.apply_gradients(zip(gradients, model.trainable_variables, strict=True))

    @tf.function
    def whole():
        loss, gradients = forward_and_backward()
        update(gradients)
        return loss

    def run():
        whole().numpy()

    return run
