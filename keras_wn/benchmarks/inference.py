"""Measures whether weight normalization costs anything in inference, once it is folded.

A folded layer is a plain Keras layer, so that its ratio to the plain layer should be 1.
"""

from collections.abc import Callable

import keras
import numpy as np

import keras_wn
from keras_wn.benchmarks.layer import BACKEND, ENGINE, layers
from keras_wn.benchmarks.single_layers import SHAPES
from keras_wn.benchmarks.workload import Workload
from keras_wn.training.text_table import Table
from keras_wn.training.timing import interleaved


def measure(workload: Workload) -> list[Table]:
    """Times the forward pass of each layer, plain, and weight-normalized and then folded, in turns.

    Args:
        workload: `Workload`. Its batch size and rounds count.

    Returns:
        List of `Table`, one for each shape of a layer.
    """
    rng = np.random.default_rng(0)
    tables = []
    for shape in SHAPES:
        x = rng.normal(size=(workload.batch_size, *shape.inputs)).astype("float32")
        rows = interleaved(_forward_passes(shape, x), workload.rounds, warm_up=2).rows()
        title = (
            f"inference of {shape.name}: {ENGINE}, batch {workload.batch_size}, float32; "
            f"{workload.rounds} rounds in turns"
        )
        tables.append(Table(title, rows))
    return tables


def _forward_passes(shape, x) -> dict[str, Callable[[], None]]:
    passes = {}
    for name, layer in layers(shape).items():
        model = keras.Sequential([keras.Input(shape.inputs), layer])
        if name != "plain":
            model, name = keras_wn.fold(model), f"{name}, folded"
        passes[name] = _forward_pass(model, x)
    return passes


def _forward_pass(model, x):
    """Function that runs a forward pass and waits for it."""
    x = keras.ops.convert_to_tensor(x)
    if BACKEND == "tensorflow":
        import tensorflow as tf

        forward = tf.function(model)

        def run():
            forward(x, training=False).numpy()

        return run
    if BACKEND == "jax":
        import jax

        state = (
            [v.value for v in model.trainable_variables],
            [v.value for v in model.non_trainable_variables],
        )
        forward = jax.jit(lambda *state: model.stateless_call(*state, x, training=False)[0])

        def run():
            jax.block_until_ready(forward(*state))

        return run
    import torch

    def run():
        with torch.inference_mode():
            model(x, training=False)

    return run
