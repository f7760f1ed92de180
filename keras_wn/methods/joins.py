"""How a residual branch and its shortcut become one: what `--join` selects."""

import keras

from keras_wn.layers import JoinWeights, ScaledAdd, WeightedAdd

# Name -> function from a layer's name to the layer that takes branch and shortcut.
JOINS = {
    "sum": lambda name: keras.layers.Add(name=name),
    "rsqrt2": lambda name: ScaledAdd(name=name),
    "weighted": lambda name: WeightedAdd(name=name),
}
# Those that are a sum once the kernels in front of them have taken its weights -> the layer of these weights.
_INTO_KERNELS = {"weighted": JoinWeights}


def join_of(card, join, x, channels, name):
    """The join of a block, its weights in the kernels of the convolutions in front of it if the method's card knows that.

    Args:
        card: `MethodCard`.
        join: Name of a join.
        x: Tensor, the block's input.
        channels: Integer, channels of branch and shortcut.
        name: The layer's name.

    Returns:
        The layer that takes `[branch, shortcut]`, and the tensors that branch and shortcut are to be scaled by: None for 1.
    """
    if not (card.takes_scale and join in _INTO_KERNELS):
        return JOINS[join](name), None, None
    branch_scale, shortcut_scale = _INTO_KERNELS[join](channels, name=f"{name}_weights")(x)
    return keras.layers.Add(name=name), branch_scale, shortcut_scale
