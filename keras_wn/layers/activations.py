"""Defines the activations of translated ReLU and of normalization propagation.

Both are built on `max(x, alpha)`, whose derivative can be read off its result. Each backend has the
form of this function that keeps the fewest tensors for the backward pass.
"""

import functools
import math
from collections.abc import Callable
from typing import Any

import keras
from keras import backend, initializers, ops

from keras_wn.reparameterizations.weight_norm import Tensor


@keras.saving.register_keras_serializable(package="keras_wn")
class TReLU(keras.layers.Layer):
    """Translated ReLU: a ReLU with a learned threshold per channel.

    `y = relu(x - alpha) + alpha`, which is `x` where `x > alpha`, and `alpha` elsewhere.

    Args:
        alpha_initializer: Initializer of alpha. With alpha at 0, the layer is a ReLU.
        axis: Integer, the channel axis.
        **kwargs: Arguments of `keras.layers.Layer`.

    Input shape:
        Any shape with a known number of channels, for example
        `(batch_size, height, width, channels)`.

    Output shape:
        The shape of the input.

    Raises:
        ValueError: If `axis` lies outside of the input, or names a dimension of unknown size.

    Example:

    >>> import numpy as np
    >>> layer = TReLU(alpha_initializer=keras.initializers.Constant(-1.0))
    >>> np.asarray(layer(np.array([[-3.0, -0.5, 2.0]]))).tolist()
    [[-1.0, -0.5, 2.0]]

    Reference: Xiang & Li 2017, arXiv 1704.03971. At `x = alpha`, the gradient goes to alpha, as in
    the paper's `relu(x - alpha) + alpha`.
    """

    def __init__(self, alpha_initializer: Any = "zeros", axis: int = -1, **kwargs):
        super().__init__(**kwargs)
        self.alpha_initializer = initializers.get(alpha_initializer)
        self.axis = axis
        self.supports_masking = True

    def build(self, input_shape: tuple) -> None:
        rank = len(input_shape)
        if not -rank <= self.axis < rank or input_shape[self.axis] is None:
            raise ValueError(
                f"TReLU: axis={self.axis} must name a dimension of known size, {-rank} to "
                f"{rank - 1}. Received: input_shape={input_shape}."
            )
        channels = input_shape[self.axis]
        self.alpha = self.add_weight(
            name="alpha", shape=(channels,), initializer=self.alpha_initializer
        )

    def call(self, inputs: Tensor) -> Tensor:
        shape = [1] * len(inputs.shape)
        shape[self.axis] = -1
        return translated_relu(inputs, ops.reshape(self.alpha, shape))

    def compute_output_shape(self, input_shape: tuple) -> tuple:
        return input_shape

    def get_config(self) -> dict[str, Any]:
        return {
            **super().get_config(),
            "alpha_initializer": initializers.serialize(self.alpha_initializer),
            "axis": self.axis,
        }


@keras.saving.register_keras_serializable(package="keras_wn")
class NormalizedReLU(keras.layers.Layer):
    """ReLU, shifted and scaled so that standard Gaussian input gives mean 0 and variance 1.

    `y = (relu(x) - 0.39894) / 0.58382`. With a negative slope, the two constants are the mean and
    the standard deviation of that leaky ReLU.

    Args:
        negative_slope: Float, the slope below zero. With 0, the activation is a ReLU.
        **kwargs: Arguments of `keras.layers.Layer`.

    Input shape:
        Any shape.

    Output shape:
        The shape of the input.

    Raises:
        ValueError: If the slope is not finite.

    Example:

    >>> import numpy as np
    >>> [round(float(y), 4) for y in NormalizedReLU()(np.array([-1.0, 0.0, 1.0]))]
    [-0.6833, -0.6833, 1.0295]

    Reference: normalization propagation, Arpit et al. 2016, arXiv 1603.01431. As in the paper, the
    constants are those for a gain of 1 and a bias of 0 during the whole training. Public code also
    calls this function TReLU; in this package, `keras_wn.layers.TReLU` is another one.
    """

    def __init__(self, negative_slope: float = 0.0, **kwargs):
        super().__init__(**kwargs)
        if not math.isfinite(negative_slope):
            raise ValueError(
                f"NormalizedReLU: negative_slope={negative_slope} is not allowed. "
                "Allowed: a finite number."
            )
        self.negative_slope = negative_slope
        self.mean, self.std = relu_moments(negative_slope)
        self.supports_masking = True

    def call(self, inputs: Tensor) -> Tensor:
        # Scale the input instead of the output of the activation, which gives the same result. The
        # gradient then needs one operation less on the whole tensor.
        scaled, shift = inputs * (1 / self.std), self.mean / self.std
        if self.negative_slope:
            return ops.leaky_relu(scaled, negative_slope=self.negative_slope) - shift
        if backend.backend() == "tensorflow" and self.compute_dtype in ("float32", "float64"):
            # Written as `relu(x) - shift`, TensorFlow would keep the result of the ReLU for the
            # gradient, in addition to the output that the next layer keeps. The form below is not
            # used in half precision, where a small positive input minus the shift rounds to the
            # shift itself and would have no gradient.
            alpha = ops.full([1] * len(inputs.shape), -shift, scaled.dtype)
            return translated_relu(scaled - shift, alpha)
        return ops.relu(scaled) - shift

    def compute_output_shape(self, input_shape: tuple) -> tuple:
        return input_shape

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "negative_slope": self.negative_slope}


@keras.saving.register_keras_serializable(package="keras_wn")
class ScaledReLU(keras.layers.Layer):
    """ReLU, or leaky ReLU, times a constant.

    `y = scale max(x, 0) + scale a min(x, 0)` for a negative slope a.

    Args:
        scale: Positive float. `None` stands for the constant that gives standard Gaussian input a
            variance of 1, which is 1.7129 for a ReLU.
        negative_slope: Float of at least 0, the slope a below zero. With 0, the activation is a
            ReLU.
        **kwargs: Arguments of `keras.layers.Layer`.

    Input shape:
        Any shape.

    Output shape:
        The shape of the input.

    Raises:
        ValueError: If the scale is not positive and finite, or if the slope is not finite, or
            negative.

    Example:

    >>> import numpy as np
    >>> [round(float(y), 4) for y in ScaledReLU()(np.array([-1.0, 0.0, 1.0]))]
    [0.0, 0.0, 1.7129]

    Reference: with the variance of 1, Brock, De & Smith 2021, arXiv 2101.08692. With slope a and
    scale `sqrt(2 / (1 + a^2))`, which makes the mean square 1, the tailored rectifier of Zhang,
    Botev & Martens 2022, arXiv 2203.08120.
    """

    def __init__(self, scale: float | None = None, negative_slope: float = 0.0, **kwargs):
        super().__init__(**kwargs)
        if not (negative_slope >= 0 and math.isfinite(negative_slope)):
            raise ValueError(
                f"ScaledReLU: negative_slope={negative_slope} is not allowed. "
                "Allowed: a finite number of at least 0."
            )
        scale = 1 / relu_moments(negative_slope)[1] if scale is None else scale
        if not (scale > 0 and math.isfinite(scale)):
            raise ValueError(
                f"ScaledReLU: scale={scale} is not allowed. Allowed: a finite number above 0."
            )
        self.scale, self.negative_slope = scale, negative_slope
        self.supports_masking = True

    def call(self, inputs: Tensor) -> Tensor:
        # As in `NormalizedReLU`, scaling the input leaves one operation less to the gradient.
        scaled = inputs * self.scale
        if self.negative_slope:
            return ops.leaky_relu(scaled, negative_slope=self.negative_slope)
        return ops.relu(scaled)

    def compute_output_shape(self, input_shape: tuple) -> tuple:
        return input_shape

    def get_config(self) -> dict[str, Any]:
        return {
            **super().get_config(),
            "scale": self.scale,
            "negative_slope": self.negative_slope,
        }


def relu_moments(negative_slope: float = 0.0) -> tuple[float, float]:
    """Returns the mean and the standard deviation of a (leaky) ReLU of a standard Gaussian.

    `mean = (1 - a) / sqrt(2 pi)` and `variance = ((1 + a^2) - (1 - a)^2 / pi) / 2` for a negative
    slope a.

    Args:
        negative_slope: Float, the slope a below zero. With 0, the activation is a ReLU.

    Returns:
        Pair of floats.

    Example:

    >>> mean, std = relu_moments()
    >>> round(mean, 5), round(std, 5)
    (0.39894, 0.58382)
    """
    a = negative_slope
    mean = (1 - a) / math.sqrt(2 * math.pi)
    variance = ((1 + a**2) - (1 - a) ** 2 / math.pi) / 2
    return mean, math.sqrt(variance)


def translated_relu(x: Tensor, alpha: Tensor) -> Tensor:
    """Returns `x` where `x > alpha`, `alpha` elsewhere, and NaN where `x` is NaN.

    The derivative follows from the result alone, which the next layer keeps anyway, so that `x`
    need not be kept for the backward pass. At `x = alpha`, it goes to alpha.

    Args:
        x: Tensor.
        alpha: Tensor of the rank of `x` that is broadcast to its shape.

    Returns:
        Tensor of the shape and dtype of `x`.

    Example:

    >>> from keras import ops
    >>> y = translated_relu(ops.array([-1.0, 0.5, 2.0]), ops.array([0.5]))
    >>> ops.convert_to_numpy(y).tolist()
    [0.5, 0.5, 2.0]
    """
    return _translated_relu_on(backend.backend())(x, alpha)


@functools.cache
def _translated_relu_on(backend_name: str) -> Callable:
    if backend_name == "tensorflow":
        return _make_tensorflow_translated_relu()
    if backend_name == "jax":
        return _make_jax_translated_relu()
    # PyTorch keeps the result of the comparison for the gradient, which is one byte per number.
    return _translated_relu_formula


def _translated_relu_formula(x, alpha):
    # Written so that a NaN makes the condition false and the NaN passes through. With `x > alpha`,
    # it would turn into alpha and hide that the network has diverged.
    return ops.where(x <= alpha, alpha, x)


def _make_tensorflow_translated_relu():
    import tensorflow as tf

    # On a CPU, a product with a row of ones is TensorFlow's fastest sum over positions. XLA, which
    # compiles the step for other devices, fuses a sum and not a product.
    on_cpu = not tf.config.list_physical_devices("GPU")

    def sum_over_positions(tensor):
        rows = tf.reshape(tensor, (-1, tensor.shape[-1]))
        return tf.matmul(tf.ones((1, tf.shape(rows)[0]), rows.dtype), rows)

    @tf.custom_gradient
    def translated_relu(x, alpha):
        # Unlike `tf.nn.relu`, this passes NaN through.
        y = tf.maximum(x, alpha)

        def gradient(upstream):
            # Compute the difference only in the backward pass. A graph could otherwise compute it
            # in the forward pass and keep it in addition to y.
            with tf.control_dependencies([upstream]):
                features = y - alpha
            # On a CPU, this is TensorFlow's fastest operation for the gradient. A comparison and a
            # `where` take twice as long.
            dx = tf.raw_ops.ReluGrad(gradients=upstream, features=features)
            broadcast_axes = [i for i, n in enumerate(alpha.shape) if n == 1]
            is_last = broadcast_axes == list(range(len(alpha.shape) - 1))
            if on_cpu and is_last and alpha.dtype in (tf.float32, tf.float64):
                # The difference of the sums costs less than the sum of the differences, which are
                # written first. In half precision, the sums would cancel.
                dalpha = sum_over_positions(upstream) - sum_over_positions(dx)
                return dx, tf.reshape(dalpha, alpha.shape)
            dalpha = tf.reduce_sum(upstream - dx, broadcast_axes, keepdims=True)
            return dx, dalpha

        return y, gradient

    return translated_relu


def _make_jax_translated_relu():
    import jax

    translated_relu = jax.custom_jvp(_translated_relu_formula)

    @translated_relu.defjvp
    def tangent(primals, tangents):
        y = translated_relu(*primals)
        (_, alpha), (dx, dalpha) = primals, tangents
        # The barrier makes XLA store the gradient of x, as it does for a ReLU. Without it, XLA
        # stores the gradient of y, and each operation that uses it must also read y to repeat the
        # comparison.
        return y, jax.numpy.where(y <= alpha, dalpha, jax.lax.optimization_barrier(dx))

    return translated_relu
