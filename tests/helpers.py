"""Helpers of several tests: gradients on whatever backend runs, and layers with known weights."""

import keras
import numpy as np


def gradients(layer, x, cotangent):
    """Gradients of `sum(cotangent * layer(x))` by variable name, on the running backend."""
    backend = keras.backend.backend()
    variables = layer.trainable_variables
    if backend == "tensorflow":
        import tensorflow as tf

        with tf.GradientTape() as tape:
            loss = keras.ops.sum(layer(x) * cotangent)
        values = tape.gradient(loss, [v.value for v in variables])
    elif backend == "jax":
        import jax

        def loss_of(trainable):
            outputs, _ = layer.stateless_call(
                trainable, [v.value for v in layer.non_trainable_variables], x
            )
            return keras.ops.sum(outputs * cotangent)

        values = jax.grad(loss_of)([v.value for v in variables])
    else:
        layer.zero_grad()
        keras.ops.sum(layer(x) * keras.ops.convert_to_tensor(cotangent)).backward()
        values = [v.value.grad for v in variables]
    return {v.name: keras.ops.convert_to_numpy(g) for v, g in zip(variables, values, strict=True)}


def to_numpy(x):
    return keras.ops.convert_to_numpy(x)


def filter_norms(kernel):
    """Norm of each filter of a kernel whose last axis is the output."""
    kernel = to_numpy(kernel)
    return np.linalg.norm(kernel.reshape(-1, kernel.shape[-1]), axis=0)


def randomize(layer, seed=0):
    """Gives every variable of a layer a value that no initializer would."""
    rng = np.random.default_rng(seed)
    for variable in layer.variables:
        if not variable.dtype.startswith(("int", "uint")):
            variable.assign(rng.normal(0.3, 1.0, variable.shape))
