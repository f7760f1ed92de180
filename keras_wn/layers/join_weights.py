"""Learned, variance-preserving weights of a residual branch and its shortcut."""

import keras
from keras import initializers, ops

from keras_wn.layers.substitution import full_precision


@keras.saving.register_keras_serializable(package="keras_wn")
class JoinWeights(keras.layers.Layer):
    """The weights of `WeightedAdd`, for the convolutions in front of the join to take into their kernels.

    `(c_r, c_s) = (a_r, a_s) / sqrt(a_r^2 + a_s^2)`, per channel. A weight-normalized convolution without bias and activation takes
    one as `convolution(x, scale=c_r)`; the join is then a plain sum. It is the same function as `WeightedAdd`, whose gradients need
    both of its inputs; here c_r gets its gradient from the kernel's, and the branch's output is not kept.

    Args:
        channels: Positive integer.
        branch_initializer: Initializer of a_r.
        shortcut_initializer: Initializer of a_s.
        **kwargs: As `keras.layers.Layer`.

    Input shape:
        Any. No output depends on it: a functional model's layers need an input.

    Output shape:
        Tuple of two: `(channels,)`, c_r, and `(channels,)`, c_s. In the compute dtype, as all that goes between layers: in a half
        precision they are rounded, as the weights of `WeightedAdd` are.

    Raises:
        ValueError: If `channels` is no positive integer.

    Example:

    >>> from keras import Input, Model, layers
    >>> from keras_wn.layers import WNConv2D
    >>> x = Input((8, 8, 4))
    >>> c_r, c_s = JoinWeights(4)(x)
    >>> branch = WNConv2D(4, 3, padding="same", use_gain=False, use_bias=False)(x, scale=c_r)
    >>> Model(x, layers.Add()([branch, c_s * x])).output.shape
    (None, 8, 8, 4)

    Reference: as `WeightedAdd`.
    """

    def __init__(self, channels, branch_initializer="zeros", shortcut_initializer="ones", **kwargs):
        super().__init__(**kwargs)
        if not isinstance(channels, int) or channels < 1:
            raise ValueError(f"JoinWeights: channels={channels!r} is not allowed. Allowed: a positive integer.")
        self.channels = channels
        self.branch_initializer = initializers.get(branch_initializer)
        self.shortcut_initializer = initializers.get(shortcut_initializer)

    def build(self, input_shape=None):
        shape = (self.channels,)
        self.branch_weight = self.add_weight(name="branch_weight", shape=shape, initializer=self.branch_initializer)
        self.shortcut_weight = self.add_weight(
            name="shortcut_weight", shape=shape, initializer=self.shortcut_initializer
        )

    def call(self, inputs):
        del inputs
        return tuple(ops.cast(c, self.compute_dtype) for c in self.values())

    def values(self):
        """c_r and c_s in the dtype of their variables."""
        return on_unit_circle(self.branch_weight, self.shortcut_weight)

    def compute_output_shape(self, input_shape):
        del input_shape
        return (self.channels,), (self.channels,)

    def get_config(self):
        return {
            **super().get_config(),
            "channels": self.channels,
            "branch_initializer": initializers.serialize(self.branch_initializer),
            "shortcut_initializer": initializers.serialize(self.shortcut_initializer),
        }


def on_unit_circle(a_r, a_s):
    """Two variables over the square root of the sum of their squares, in their own dtype."""
    with full_precision():
        a_r, a_s = ops.convert_to_tensor(a_r), ops.convert_to_tensor(a_s)
    norm = ops.sqrt(ops.square(a_r) + ops.square(a_s))
    return a_r / norm, a_s / norm
