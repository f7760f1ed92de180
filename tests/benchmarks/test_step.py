"""Weight normalization moves no more memory than measured.

This is XLA's count for a compiled step, which is the same in every run. A change that makes a step
move more fails here, where a timed test would pass or fail with the machine.
"""

import dataclasses

import keras
import numpy as np
import pytest

import keras_wn
from keras_wn import methods
from keras_wn.benchmarks import step
from keras_wn.methods import Place
from keras_wn.models.resnet import residual_block

pytestmark = pytest.mark.skipif(keras.backend.backend() != "jax", reason="JAX gives XLA's counts.")


def bytes_of_layer(layer, inputs):
    return bytes_of_step(keras.Sequential([keras.Input(inputs[1:]), layer]), inputs)


def bytes_of_step(model, inputs):
    model.compile(keras.optimizers.SGD(0.1), loss="mse")
    model.optimizer.build(model.trainable_variables)
    batch = np.zeros(inputs, "float32"), np.zeros((inputs[0], *model.output_shape[1:]), "float32")
    return step.lower(model, batch).compile().cost_analysis()["bytes accessed"]


def readings_more(plain, normalized, inputs):
    """Bytes that a step moves more than that of the plain layer, in sizes of the kernel."""
    more = bytes_of_layer(normalized, inputs) - bytes_of_layer(plain, inputs)
    return more / (4 * np.prod(plain.kernel.shape))


@pytest.mark.parametrize(
    "name, plain, options, inputs, most",
    [
        ("Conv2D", keras.layers.Conv2D, {"filters": 128, "kernel_size": 3}, (8, 32, 32, 128), 8.5),
        ("Conv2D", keras.layers.Conv2D, {"filters": 512, "kernel_size": 3}, (2, 5, 5, 512), 2.5),
        ("Dense", keras.layers.Dense, {"units": 1024}, (16, 1024), 2.5),
    ],
    ids=["scaled kernel", "scaled output", "dense"],
)
def test_a_step_moves_no_more_than_before(name, plain, options, inputs, most):
    normalized = getattr(keras_wn.layers, f"WN{name}")
    assert 0 < readings_more(plain(**options), normalized(**options), inputs) <= most


def bytes_of_blocks(join, scales_kernels):
    """Bytes that a step of two residual blocks with TReLU moves, in sizes of a block's output."""
    card = methods.get("wn_trelu")
    card = dataclasses.replace(card, join=join, scales_kernels=scales_kernels)
    inputs = (8, 16, 16, 32)
    x = y = keras.Input(inputs[1:])
    branch, place = [(32, 3, 1), (32, 3, 1)], Place("inner", blocks=2, network_blocks=2)
    for block in range(2):
        y = residual_block(y, card, branch, False, place, f"block{block}")
    return bytes_of_step(keras.Model(x, y), inputs) / (4 * np.prod(inputs))


def test_weighted_join_in_the_kernels_moves_little_more_than_a_sum():
    # 2 for each block: its input and the input's gradient are read once more. 6 where the join
    # itself holds the weights.
    plain, in_kernels, at_join = (
        bytes_of_blocks(*case) for case in (("sum", True), ("weighted", True), ("weighted", False))
    )
    assert 0 < in_kernels - plain <= 2 * 2.5
    assert at_join - in_kernels > 2 * 3
