"""Measures what weight normalization adds to the training step of a single layer.

A layer is timed plain, as a `WN*` class and in the wrapper `WeightNormalization`, on the backend
that `KERAS_BACKEND` names. On PyTorch, PyTorch's own `weight_norm` is timed with them.
"""

from collections.abc import Callable

import keras
import numpy as np

import keras_wn
from keras_wn.benchmarks.single_layers import SHAPES, Shape, tensorflow_step
from keras_wn.benchmarks.workload import Workload
from keras_wn.training.text_table import Table
from keras_wn.training.timing import interleaved

BACKEND = keras.backend.backend()
ENGINE = f"keras {keras.__version__} on {BACKEND}"
_NOTE = (
    "Ratio to the plain layer of the same engine. TensorFlow Addons' wrapper, in its own "
    "environment: nox -s overhead."
)


def measure(workload: Workload) -> list[Table]:
    """Times a training step of each layer, plain and weight-normalized, in turns.

    Args:
        workload: `Workload`. Its batch size, rounds and `xla` count.

    Returns:
        List of `Table`, one for each shape of a layer and each engine.
    """
    rng = np.random.default_rng(0)
    measured = []
    for shape in SHAPES:
        x = rng.normal(size=(workload.batch_size, *shape.inputs)).astype("float32")
        outputs = (workload.batch_size, *shape.inputs[:-1], shape.units)
        y = rng.normal(size=outputs).astype("float32")
        engines = [(ENGINE, _keras_steps(shape, x, y, workload.xla == "on"))]
        if BACKEND == "torch":
            engines.append(_pytorch_steps(shape, x, y))
        for engine, steps in engines:
            title = (
                f"training step of {shape.name}: {engine}, batch {workload.batch_size}, float32; "
                f"{workload.rounds} rounds in turns"
            )
            measured.append((title, interleaved(steps, workload.rounds, warm_up=2).rows()))
    *others, last = measured
    return [*(Table(*table) for table in others), Table(*last, notes=(_NOTE,))]


def layers(shape: Shape) -> dict[str, keras.Layer]:
    """Layers of a shape by name, the plain one first."""
    if shape.kernel_size is None:
        arguments = {"units": shape.units}
        plain, subclass = keras.layers.Dense, keras_wn.layers.WNDense
    else:
        arguments = {"filters": shape.units, "kernel_size": shape.kernel_size, "padding": "same"}
        plain, subclass = keras.layers.Conv2D, keras_wn.layers.WNConv2D
    return {
        "plain": plain(**arguments),
        "subclass": subclass(**arguments),
        "wrapper": keras_wn.layers.WeightNormalization(plain(**arguments)),
    }


# Training steps of Keras' layers, as functions that run a step and wait for it.


def _keras_steps(shape, x, y, jit_compile) -> dict[str, Callable[[], None]]:
    return {name: _keras_step(layer, x, y, jit_compile) for name, layer in layers(shape).items()}


def _keras_step(layer, x, y, jit_compile):
    model = keras.Sequential([keras.Input(x.shape[1:]), layer])
    optimizer = keras.optimizers.SGD(1e-3)
    if BACKEND == "tensorflow":
        return tensorflow_step(model, optimizer, x, y, jit_compile)
    return (_jax_step if BACKEND == "jax" else _torch_step)(model, optimizer, x, y)


def _jax_step(model, optimizer, x, y):
    import jax

    optimizer.build(model.trainable_variables)
    state = [
        [v.value for v in model.trainable_variables],
        [v.value for v in model.non_trainable_variables],
        [v.value for v in optimizer.variables],
    ]

    def squared_error(trainable, fixed):
        outputs, _ = model.stateless_call(trainable, fixed, x, training=True)
        return keras.ops.mean(keras.ops.square(outputs - y))

    @jax.jit
    def step(trainable, fixed, slots):
        loss, gradients = jax.value_and_grad(squared_error)(trainable, fixed)
        trainable, slots = optimizer.stateless_apply(slots, gradients, trainable)
        return loss, trainable, slots

    def run():
        _, state[0], state[2] = jax.block_until_ready(step(*state))

    return run


def _torch_step(model, optimizer, x, y):
    import torch

    x, y = torch.tensor(x), torch.tensor(y)
    optimizer.build(model.trainable_variables)

    def run():
        model.zero_grad()
        torch.mean(torch.square(model(x, training=True) - y)).backward()
        with torch.no_grad():
            optimizer.apply(
                [v.value.grad for v in model.trainable_variables], model.trainable_variables
            )

    return run


# Training steps of PyTorch's own layers.


def _pytorch_steps(shape, x, y):
    """The name of the engine with its version, and its steps by name."""
    import torch
    from torch.nn.utils.parametrizations import weight_norm

    steps = {
        "plain": _pytorch_step(shape, x, y, lambda module: module),
        "weight_norm": _pytorch_step(shape, x, y, weight_norm),
    }
    return f"torch {torch.__version__}", steps


def _pytorch_step(shape, x, y, wrap):
    import torch

    x, y = torch.tensor(x), torch.tensor(y)
    if shape.kernel_size is None:
        module = wrap(torch.nn.Linear(shape.inputs[-1], shape.units))
    else:
        module = wrap(
            torch.nn.Conv2d(shape.inputs[-1], shape.units, shape.kernel_size, padding="same")
        )
        # PyTorch's convolutions take the channels before the height and the width.
        x, y = x.permute(0, 3, 1, 2).contiguous(), y.permute(0, 3, 1, 2).contiguous()
    optimizer = torch.optim.SGD(module.parameters(), lr=1e-3)

    def run():
        optimizer.zero_grad()
        torch.mean(torch.square(module(x) - y)).backward()
        optimizer.step()

    return run
