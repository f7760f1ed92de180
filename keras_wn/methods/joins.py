"""Defines the joins of a residual branch and its shortcut, which `--join` selects."""

from collections.abc import Callable
from typing import Any

import keras

from keras_wn.layers import JoinWeights, ScaledAdd, WeightedAdd
from keras_wn.methods.card import MethodCard

# For each join, a function that makes the layer from its name. The layer takes branch and shortcut.
JOINS: dict[str, Callable[[str], keras.layers.Layer]] = {
    "sum": lambda name: keras.layers.Add(name=name),
    "rsqrt2": lambda name: ScaledAdd(name=name),
    "weighted": lambda name: WeightedAdd(name=name),
}
# The layers that compute the weights of a join for the kernels in front of it. With these weights
# in the kernels, the join is a plain sum.
_WEIGHTS_FOR_KERNELS = {"weighted": JoinWeights}


def join_of(
    card: MethodCard, join: str, x: keras.KerasTensor, channels: int, name: str
) -> tuple[keras.layers.Layer, Any, Any]:
    """Makes the join of a residual block.

    If the method's card has `takes_scale`, the weights of the join are put into the kernels of the
    convolutions in front of it.

    Args:
        card: `MethodCard`.
        join: Name of a join.
        x: Tensor, the input of the block.
        channels: Integer, the number of channels of branch and shortcut.
        name: Name of the layer.

    Returns:
        Triple of the layer that takes `[branch, shortcut]`, and the tensors that scale branch and
        shortcut, which are `None` for 1.
    """
    if not (card.takes_scale and join in _WEIGHTS_FOR_KERNELS):
        return JOINS[join](name), None, None
    weights = _WEIGHTS_FOR_KERNELS[join](channels, name=f"{name}_weights")
    branch_scale, shortcut_scale = weights(x)
    return keras.layers.Add(name=name), branch_scale, shortcut_scale
