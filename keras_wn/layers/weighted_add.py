"""Learned, variance-preserving sum of a residual branch and its shortcut."""

import keras
from keras import initializers, ops

from keras_wn.layers.join_weights import on_unit_circle


@keras.saving.register_keras_serializable(package="keras_wn")
class WeightedAdd(keras.layers.Layer):
    """Normalized weighted sum of a branch r and a shortcut s, with learned weights per channel.

    `y = (a_r r + a_s s) / sqrt(a_r^2 + a_s^2)`. It starts at `(a_r, a_s) = (0, 1)`: the identity.

    Args:
        branch_initializer: Initializer of a_r.
        shortcut_initializer: Initializer of a_s.
        axis: Integer, the channel axis.
        **kwargs: As `keras.layers.Layer`.

    Input shape:
        List `[r, s]` of two tensors of one shape.

    Output shape:
        That shape.

    Raises:
        ValueError: If there are not two inputs of one shape.

    Example:

    >>> import numpy as np
    >>> branch, shortcut = np.full((1, 2), 5.0), np.ones((1, 2))
    >>> np.asarray(WeightedAdd()([branch, shortcut])).tolist()
    [[1.0, 1.0]]

    The gradients need both inputs. Where they come from weight-normalized convolutions, `JoinWeights` keeps less.

    Reference: the join in the author's code for Xiang & Li 2017, arXiv 1704.03971. It was made for generative networks.
    """

    def __init__(self, branch_initializer="zeros", shortcut_initializer="ones", axis=-1, **kwargs):
        super().__init__(**kwargs)
        self.branch_initializer = initializers.get(branch_initializer)
        self.shortcut_initializer = initializers.get(shortcut_initializer)
        self.axis = axis

    def build(self, input_shape):
        shapes = [tuple(shape) for shape in input_shape]
        if len(shapes) != 2 or shapes[0] != shapes[1]:
            raise ValueError(
                f"Layer '{self.name}' takes a list of two tensors of one shape. Received: shapes={shapes}."
            )
        channels = shapes[0][self.axis]
        self.branch_weight = self.add_weight(
            name="branch_weight", shape=(channels,), initializer=self.branch_initializer
        )
        self.shortcut_weight = self.add_weight(
            name="shortcut_weight", shape=(channels,), initializer=self.shortcut_initializer
        )

    def call(self, inputs):
        branch, shortcut = inputs
        shape = [1] * len(branch.shape)
        shape[self.axis] = -1
        weights = on_unit_circle(self.branch_weight, self.shortcut_weight)
        c_r, c_s = (ops.cast(ops.reshape(c, shape), self.compute_dtype) for c in weights)
        return c_r * branch + c_s * shortcut

    def compute_output_shape(self, input_shape):
        return input_shape[0]

    def get_config(self):
        return {
            **super().get_config(),
            "branch_initializer": initializers.serialize(self.branch_initializer),
            "shortcut_initializer": initializers.serialize(self.shortcut_initializer),
            "axis": self.axis,
        }
