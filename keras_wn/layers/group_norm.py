"""Defines group normalization that reads and writes its tensor as few times as possible."""

import functools
import math
from collections.abc import Callable

import keras
from keras import backend, ops

from keras_wn.reparameterizations.weight_norm import Tensor


@keras.saving.register_keras_serializable(package="keras_wn")
class GroupNormalization(keras.layers.GroupNormalization):
    """Group normalization as `keras.layers.GroupNormalization`, with less traffic of memory.

    `y = gamma (x - mean) / sqrt(variance + epsilon) + beta`, where mean and variance are those of
    the channels of a group over all positions of an image.

    The statistics of a group come from sums per channel, so that the tensor keeps its shape; y is
    computed as `a x + b` with two numbers per image and channel; and the gradient has the closed
    form `dx = a dy + c x + d`, whose numbers come from two sums per image and channel.

    Args:
        *args, **kwargs: Arguments of `keras.layers.GroupNormalization`.

    Input shape:
        `(batch_size, ..., channels)`, or with the channels at `axis`.

    Output shape:
        The shape of the input.

    Raises:
        ValueError: If `keras.layers.GroupNormalization` refuses an argument, or if the groups do
            not divide the channels.

    Example:

    >>> import numpy as np
    >>> x = np.arange(16.0).reshape(1, 2, 2, 4)
    >>> y = ops.convert_to_numpy(GroupNormalization(groups=2)(x))
    >>> plain = ops.convert_to_numpy(keras.layers.GroupNormalization(groups=2)(x))
    >>> bool(np.allclose(y, plain, atol=1e-5))
    True

    Reference: Wu & He 2018, arXiv 1803.08494.
    """

    def call(self, inputs: Tensor) -> Tensor:
        # As Keras' layer, because sums of squares overflow in half precision.
        x = ops.cast(inputs, backend.result_type(inputs.dtype, "float32"))
        channels = inputs.shape[self.axis]
        gamma = ops.cast(self.gamma, x.dtype) if self.scale else ops.ones((channels,), x.dtype)
        beta = ops.cast(self.beta, x.dtype) if self.center else ops.zeros((channels,), x.dtype)
        axis = self.axis % len(inputs.shape)
        y = group_norm(x, gamma, beta, self.groups, axis, self.epsilon)
        return ops.cast(y, self.compute_dtype)


def group_norm(
    x: Tensor, gamma: Tensor, beta: Tensor, groups: int, axis: int, epsilon: float
) -> Tensor:
    """Returns `gamma (x - mean) / sqrt(variance + epsilon) + beta` with the moments of groups.

    Args:
        x: Tensor in float32 or wider, whose first axis counts images.
        gamma, beta: Tensors with one number per channel.
        groups: Positive integer that divides the number of channels.
        axis: Positive integer, the axis of the channels.
        epsilon: Float.

    Returns:
        Tensor of the shape of `x`.

    Example:

    >>> x = ops.array([[1.0, 3.0, 5.0, 5.0]])
    >>> y = group_norm(x, ops.ones(4), ops.zeros(4), groups=2, axis=1, epsilon=0.0001)
    >>> [round(float(number), 3) for number in ops.convert_to_numpy(y)[0]]
    [-1.0, 1.0, 0.0, 0.0]
    """
    return _group_norm_on(backend.backend())(x, gamma, beta, groups, axis, epsilon)


@functools.cache
def _group_norm_on(backend_name: str) -> Callable:
    if backend_name == "tensorflow":
        return _make_tensorflow_group_norm()
    if backend_name == "torch":
        return _make_torch_group_norm()
    # XLA fuses the sums into one pass, and differentiates the formula to the closed form.
    return _formula


def _formula(x, gamma, beta, groups, axis, epsilon):
    positions = _positions(x, axis)
    # Subtract one of the entries of each channel first, as a constant, so that the squares do not
    # cancel where the mean is large. The result does not depend on it.
    first = tuple(slice(0, 1) if a in positions else slice(None) for a in range(len(x.shape)))
    shift = ops.stop_gradient(x[first])
    shifted = x - shift
    count = _count(x, positions)
    mean = ops.sum(shifted, positions) / count
    squares = ops.sum(ops.square(shifted), positions) / count - ops.square(mean)
    mean = _in_groups(mean + ops.reshape(shift, ops.shape(mean)), groups)
    group_mean = ops.mean(mean, -1, keepdims=True)
    variance = ops.mean(
        _in_groups(squares, groups) + ops.square(mean - group_mean), -1, keepdims=True
    )
    inverse = ops.rsqrt(ops.maximum(variance, 0.0) + epsilon)
    a = inverse * ops.reshape(gamma, (1, groups, -1))
    b = ops.reshape(beta, (1, groups, -1)) - group_mean * a
    return x * _along(a, x, axis) + _along(b, x, axis)


def _make_tensorflow_group_norm():
    import tensorflow as tf

    @functools.cache
    def normalization(groups, axis, epsilon):
        @tf.custom_gradient
        def group_norm(x, gamma, beta):
            positions = _positions(x, axis)
            count = _count(x, positions) * x.shape[axis] / groups
            gamma = tf.reshape(gamma, (1, groups, -1))
            sums = _in_groups(tf.reduce_sum(x, positions), groups)
            mean = tf.reduce_sum(sums, -1, keepdims=True) / count
            channel_means = tf.broadcast_to(mean, tf.shape(sums))
            # TensorFlow reads the tensor once more for the squares, whatever is subtracted.
            squares = tf.math.squared_difference(x, _along(channel_means, x, axis))
            squares = _in_groups(tf.reduce_sum(squares, positions), groups)
            variance = tf.reduce_sum(squares, -1, keepdims=True) / count
            inverse = tf.math.rsqrt(variance + epsilon)
            a = inverse * gamma
            b = tf.reshape(beta, (1, groups, -1)) - mean * a
            y = x * _along(a, x, axis) + _along(b, x, axis)

            def gradient(upstream):
                sums = _in_groups(tf.reduce_sum(upstream, positions), groups)
                products = _in_groups(tf.reduce_sum(upstream * x, positions), groups)
                # Sums of the gradient times the normalized x.
                products = (products - mean * sums) * inverse
                of_mean = tf.reduce_sum(gamma * sums, -1, keepdims=True) / count
                of_deviation = tf.reduce_sum(gamma * products, -1, keepdims=True) / count
                c = -tf.square(inverse) * of_deviation
                d = -inverse * of_mean - mean * c
                c, d = (tf.broadcast_to(t, tf.shape(sums)) for t in (c, d))
                dx = upstream * _along(a, x, axis) + x * _along(c, x, axis) + _along(d, x, axis)
                dgamma, dbeta = (tf.reshape(tf.reduce_sum(t, 0), [-1]) for t in (products, sums))
                return dx, dgamma, dbeta

            return y, gradient

        return group_norm

    def group_norm(x, gamma, beta, groups, axis, epsilon):
        return normalization(groups, axis, epsilon)(x, gamma, beta)

    return group_norm


def _make_torch_group_norm():
    import torch

    def group_norm(x, gamma, beta, groups, axis, epsilon):
        if torch.is_grad_enabled() and not x.requires_grad:
            # PyTorch 2.13 crashes on a CPU if it is asked for the gradient of gamma or beta, and
            # not for that of an input whose channels are last in memory.
            x = x.detach().requires_grad_()
        # PyTorch's own normalization takes the channels first, of any layout in memory. It
        # subtracts squares, which cancel where the mean is large: subtract the mean of a position
        # from each group first, as a constant. The result does not depend on it.
        x = x.movedim(axis, 1)
        first = x.detach()[(slice(None), slice(None), *(0,) * (x.ndim - 2))]
        shift = first.reshape(len(x), groups, -1).mean(-1, keepdim=True)
        shift = shift.expand(-1, -1, x.shape[1] // groups).reshape(
            *x.shape[:2], *(1,) * (x.ndim - 2)
        )
        y = torch.nn.functional.group_norm(x - shift, groups, gamma, beta, epsilon)
        return y.movedim(1, axis)

    return group_norm


def _positions(x, axis):
    """The axes of `x` that are neither images nor channels."""
    return tuple(a for a in range(1, len(x.shape)) if a != axis)


def _count(x, positions):
    """The number of positions, of which a size may be unknown until the graph runs."""
    sizes = [x.shape[a] for a in positions]
    if all(isinstance(size, int) for size in sizes):
        return float(math.prod(sizes))
    shape = ops.shape(x)
    return ops.cast(ops.prod(ops.stack([shape[a] for a in positions])), x.dtype)


def _in_groups(per_channel, groups):
    """Brings numbers per image and channel to the shape `(images, groups, channels of a group)`."""
    return ops.reshape(per_channel, (-1, groups, per_channel.shape[-1] // groups))


def _along(grouped, x, axis):
    """Brings numbers of `_in_groups` to a shape that is broadcast to that of `x`."""
    shape = [1] * len(x.shape)
    shape[0], shape[axis] = -1, x.shape[axis]
    return ops.reshape(grouped, shape)
