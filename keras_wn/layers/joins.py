"""Defines layers that join a residual branch and its shortcut.

`ScaledAdd` has a fixed scale. `WeightedAdd` learns the weights of the two inputs. `JoinWeights`
learns the same weights for the convolutions in front of a plain sum.
"""

import math
from collections.abc import Sequence
from typing import Any

import keras
from keras import initializers, ops

from keras_wn.layers.substitution import full_precision
from keras_wn.reparameterizations.weight_norm import Tensor


@keras.saving.register_keras_serializable(package="keras_wn")
class ScaledAdd(keras.layers.Layer):
    """Adds its inputs and multiplies the sum by a fixed scale, or each input by its own.

    `y = scale (x_1 + x_2 + ...)`, or `y = scale_1 x_1 + scale_2 x_2 + ...`. With
    `scale = 1 / sqrt(n)`, n independent inputs of variance 1 give an output of variance 1, and so
    do scales whose squares sum to 1.

    Args:
        scale: Float, or a tuple with a float for each input. `None` stands for `1 / sqrt(n)` for n
            inputs.
        **kwargs: Arguments of `keras.layers.Layer`.

    Input shape:
        List of at least two tensors of the same shape.

    Output shape:
        The shape of each input.

    Raises:
        ValueError: If there are fewer than two inputs, if their shapes differ, or if there are more
            or fewer scales than inputs.

    Example:

    >>> import numpy as np
    >>> round(float(ScaledAdd()([np.ones(1), np.ones(1)])[0]), 4)
    1.4142
    >>> float(ScaledAdd((0.5, 2.0))([np.ones(1), np.ones(1)])[0])
    2.5

    Reference: ours. Arpit et al. 2016, arXiv 1603.01431, do not discuss residual networks. This
    layer applies their rule for the variance to them. With a scale for each input, it is the join
    of RescaleNet, Shao et al. 2020, "Is normalization indispensable for training deep neural
    networks?", NeurIPS, and of EDM2, Karras et al. 2024, arXiv 2312.02696, eq. 88.
    """

    def __init__(self, scale: float | Sequence[float] | None = None, **kwargs):
        super().__init__(**kwargs)
        self.scale = tuple(scale) if isinstance(scale, Sequence) else scale

    def call(self, inputs: Sequence[Tensor]) -> Tensor:
        self._check_shapes([x.shape for x in inputs])
        if isinstance(self.scale, tuple):
            first, *rest = (c * x for c, x in zip(self.scale, inputs, strict=True))
            return sum(rest, start=first)
        scale = 1 / math.sqrt(len(inputs)) if self.scale is None else self.scale
        return scale * sum(inputs[1:], start=inputs[0])

    def compute_output_shape(self, input_shape: Sequence[tuple]) -> tuple:
        self._check_shapes(input_shape)
        return input_shape[0]

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "scale": self.scale}

    def _check_shapes(self, shapes):
        shapes = [tuple(shape) for shape in shapes]
        if len(shapes) < 2 or any(shape != shapes[0] for shape in shapes):
            raise ValueError(
                f"Layer '{self.name}' takes a list of at least two tensors of one shape. "
                f"Received: shapes={shapes}."
            )
        if isinstance(self.scale, tuple) and len(self.scale) != len(shapes):
            raise ValueError(
                f"Layer '{self.name}': scale={self.scale} for {len(shapes)} inputs. "
                "Allowed: a number for each input, or one for all."
            )


@keras.saving.register_keras_serializable(package="keras_wn")
class WeightedAdd(keras.layers.Layer):
    """Adds a branch r and a shortcut s with learned, normalized weights per channel.

    `y = (a_r r + a_s s) / sqrt(a_r^2 + a_s^2)`. At the start, `(a_r, a_s) = (0, 1)`, and the layer
    returns the shortcut.

    The gradients need both inputs. If these are outputs of weight-normalized convolutions,
    `JoinWeights` computes the same function and keeps fewer tensors.

    Args:
        branch_initializer: Initializer of a_r.
        shortcut_initializer: Initializer of a_s.
        axis: Integer, the channel axis.
        **kwargs: Arguments of `keras.layers.Layer`.

    Input shape:
        List `[r, s]` of two tensors of the same shape.

    Output shape:
        The shape of each input.

    Raises:
        ValueError: If the input is not two tensors of the same shape.

    Example:

    >>> import numpy as np
    >>> branch, shortcut = np.full((1, 2), 5.0), np.ones((1, 2))
    >>> np.asarray(WeightedAdd()([branch, shortcut])).tolist()
    [[1.0, 1.0]]

    Reference: the join in the author's code for Xiang & Li 2017, arXiv 1704.03971, which was made
    for generative networks.
    """

    def __init__(
        self,
        branch_initializer: Any = "zeros",
        shortcut_initializer: Any = "ones",
        axis: int = -1,
        **kwargs,
    ):
        super().__init__(**kwargs)
        self.branch_initializer = initializers.get(branch_initializer)
        self.shortcut_initializer = initializers.get(shortcut_initializer)
        self.axis = axis

    def build(self, input_shape: Sequence[tuple]) -> None:
        shapes = [tuple(shape) for shape in input_shape]
        if len(shapes) != 2 or shapes[0] != shapes[1]:
            raise ValueError(
                f"Layer '{self.name}' takes a list of two tensors of one shape. "
                f"Received: shapes={shapes}."
            )
        shape = (shapes[0][self.axis],)
        self.branch_weight = self.add_weight(
            name="branch_weight", shape=shape, initializer=self.branch_initializer
        )
        self.shortcut_weight = self.add_weight(
            name="shortcut_weight", shape=shape, initializer=self.shortcut_initializer
        )

    def call(self, inputs: Sequence[Tensor]) -> Tensor:
        branch, shortcut = inputs
        shape = [1] * len(branch.shape)
        shape[self.axis] = -1
        weights = _on_unit_circle(self.branch_weight, self.shortcut_weight)
        c_r, c_s = (ops.cast(ops.reshape(c, shape), self.compute_dtype) for c in weights)
        return c_r * branch + c_s * shortcut

    def compute_output_shape(self, input_shape: Sequence[tuple]) -> tuple:
        return input_shape[0]

    def get_config(self) -> dict[str, Any]:
        return {
            **super().get_config(),
            "branch_initializer": initializers.serialize(self.branch_initializer),
            "shortcut_initializer": initializers.serialize(self.shortcut_initializer),
            "axis": self.axis,
        }


@keras.saving.register_keras_serializable(package="keras_wn")
class JoinWeights(keras.layers.Layer):
    """Learns the weights of `WeightedAdd`, to be multiplied into the kernels before the join.

    `(c_r, c_s) = (a_r, a_s) / sqrt(a_r^2 + a_s^2)`, per channel. A weight-normalized convolution
    without bias and activation takes one of them as `convolution(x, scale=c_r)`, and the join is
    then a plain sum. This is the same function as `WeightedAdd`, whose gradients need both of its
    inputs. Here, the gradient of c_r comes from that of the kernel, and the output of the branch
    need not be kept.

    Args:
        channels: Positive integer, the number of channels.
        branch_initializer: Initializer of a_r.
        shortcut_initializer: Initializer of a_s.
        **kwargs: Arguments of `keras.layers.Layer`.

    Input shape:
        Any shape. The outputs do not depend on the input. The layer takes one only because a layer
        of a functional model must have an input.

    Output shape:
        Tuple of two shapes: `(channels,)` of c_r and `(channels,)` of c_s. Both have the compute
        dtype, as all tensors between layers. In half precision they are rounded, as the weights of
        `WeightedAdd` are.

    Raises:
        ValueError: If `channels` is not a positive integer.

    Example:

    >>> from keras import Input, Model, layers
    >>> from keras_wn.layers import WNConv2D
    >>> x = Input((8, 8, 4))
    >>> c_r, c_s = JoinWeights(4)(x)
    >>> branch = WNConv2D(4, 3, padding="same", use_gain=False, use_bias=False)(x, scale=c_r)
    >>> Model(x, layers.Add()([branch, c_s * x])).output.shape
    (None, 8, 8, 4)

    Reference: the same as for `WeightedAdd`.
    """

    def __init__(
        self,
        channels: int,
        branch_initializer: Any = "zeros",
        shortcut_initializer: Any = "ones",
        **kwargs,
    ):
        super().__init__(**kwargs)
        if not isinstance(channels, int) or channels < 1:
            raise ValueError(
                f"JoinWeights: channels={channels!r} is not allowed. Allowed: a positive integer."
            )
        self.channels = channels
        self.branch_initializer = initializers.get(branch_initializer)
        self.shortcut_initializer = initializers.get(shortcut_initializer)

    def build(self, input_shape: Any = None) -> None:
        shape = (self.channels,)
        self.branch_weight = self.add_weight(
            name="branch_weight", shape=shape, initializer=self.branch_initializer
        )
        self.shortcut_weight = self.add_weight(
            name="shortcut_weight", shape=shape, initializer=self.shortcut_initializer
        )

    def call(self, inputs: Tensor) -> tuple[Tensor, Tensor]:
        del inputs
        return tuple(ops.cast(c, self.compute_dtype) for c in self.values())

    def values(self) -> tuple[Tensor, Tensor]:
        """Returns c_r and c_s in the dtype of their variables."""
        return _on_unit_circle(self.branch_weight, self.shortcut_weight)

    def compute_output_shape(self, input_shape: Any) -> tuple[tuple, tuple]:
        del input_shape
        return (self.channels,), (self.channels,)

    def get_config(self) -> dict[str, Any]:
        return {
            **super().get_config(),
            "channels": self.channels,
            "branch_initializer": initializers.serialize(self.branch_initializer),
            "shortcut_initializer": initializers.serialize(self.shortcut_initializer),
        }


def _on_unit_circle(a_r, a_s):
    """Divides two variables by the root of the sum of their squares, in their own dtype."""
    with full_precision():
        a_r, a_s = ops.convert_to_tensor(a_r), ops.convert_to_tensor(a_s)
    norm = ops.sqrt(ops.square(a_r) + ops.square(a_s))
    return a_r / norm, a_s / norm
