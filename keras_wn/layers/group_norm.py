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
        dtype = backend.result_type(inputs.dtype, "float32")
        channels, axis = inputs.shape[self.axis], self.axis % len(inputs.shape)
        gamma = ops.cast(self.gamma, dtype) if self.scale else ops.ones((channels,), dtype)
        beta = ops.cast(self.beta, dtype) if self.center else ops.zeros((channels,), dtype)
        y = group_norm(inputs, gamma, beta, self.groups, axis, self.epsilon)
        return ops.cast(y, self.compute_dtype)


def group_norm(
    x: Tensor, gamma: Tensor, beta: Tensor, groups: int, axis: int, epsilon: float
) -> Tensor:
    """Returns `gamma (x - mean) / sqrt(variance + epsilon) + beta` with the moments of groups.

    Args:
        x: Tensor whose first axis counts images.
        gamma, beta: Tensors with one number per channel, in float32 or wider, in which all is
            computed: sums of squares overflow in half precision.
        groups: Positive integer that divides the number of channels.
        axis: Positive integer, the axis of the channels.
        epsilon: Float.

    Returns:
        Tensor of the shape of `x`, in the dtype of `x`.

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
    if backend_name == "jax":
        return _make_jax_group_norm()
    if backend_name == "torch":
        return _make_torch_group_norm()
    return lambda *args: _forward(*args)[0]


def _forward(x, gamma, beta, groups, axis, epsilon):
    """The result, with the mean and the inverse of the deviation of each group."""
    wide, positions = ops.cast(x, gamma.dtype), _positions(x, axis)
    count = _count(x, positions)
    if backend.backend() == "tensorflow":
        # TensorFlow reads the tensor once more for the squares, whatever is subtracted.
        sums = _in_groups(ops.sum(wide, positions), groups)
        mean = ops.mean(sums, -1, keepdims=True) / count
        means = ops.broadcast_to(mean, ops.shape(sums))
        squares = ops.sum(ops.square(wide - _along(means, x, axis)), positions) / count
        variance = ops.mean(_in_groups(squares, groups), -1, keepdims=True)
    else:
        # XLA sums x and its squares in one pass. Subtract an entry of each channel first, so that
        # the squares do not cancel where the mean is large. The result does not depend on it. In
        # half precision, x has no digits left where the squares would cancel, and without the
        # entry XLA takes the sums while it writes x.
        first = tuple(slice(0, 1) if a in positions else slice(None) for a in range(len(x.shape)))
        shift = wide[first] if x.dtype == gamma.dtype else ops.zeros_like(wide[first])
        means = ops.sum(wide - shift, positions) / count
        squares = ops.sum(ops.square(wide - shift), positions) / count - ops.square(means)
        means = _in_groups(means + ops.reshape(shift, ops.shape(means)), groups)
        mean = ops.mean(means, -1, keepdims=True)
        squares = _in_groups(squares, groups) + ops.square(means - mean)
        variance = ops.maximum(ops.mean(squares, -1, keepdims=True), 0.0)
    inverse = ops.rsqrt(variance + epsilon)
    a = inverse * ops.reshape(gamma, (1, groups, -1))
    b = ops.reshape(beta, (1, groups, -1)) - mean * a
    y = wide * _along(a, x, axis) + _along(b, x, axis)
    return ops.cast(y, x.dtype), mean, inverse


def _backward(x, upstream, gamma, mean, inverse, groups, axis):
    """The gradients of x, gamma and beta, from the gradient of the result."""
    wide, dy = ops.cast(x, gamma.dtype), ops.cast(upstream, gamma.dtype)
    positions = _positions(x, axis)
    count = _count(x, positions)
    gamma = ops.reshape(gamma, (1, groups, -1))
    sums = _in_groups(ops.sum(dy, positions), groups)
    products = _in_groups(ops.sum(dy * wide, positions), groups)
    # Sums of the gradient times the normalized x.
    products = (products - mean * sums) * inverse
    of_mean = ops.mean(gamma * sums, -1, keepdims=True) / count
    of_deviation = ops.mean(gamma * products, -1, keepdims=True) / count
    c = -ops.square(inverse) * of_deviation
    d = -inverse * of_mean - mean * c
    a, c, d = (ops.broadcast_to(t, ops.shape(sums)) for t in (inverse * gamma, c, d))
    dx = dy * _along(a, x, axis) + wide * _along(c, x, axis) + _along(d, x, axis)
    dgamma, dbeta = (ops.reshape(ops.sum(t, 0), (-1,)) for t in (products, sums))
    return ops.cast(dx, x.dtype), dgamma, dbeta


def _make_tensorflow_group_norm():
    import tensorflow as tf

    @functools.cache
    def normalization(groups, axis, epsilon):
        @tf.custom_gradient
        def group_norm(x, gamma, beta):
            y, mean, inverse = _forward(x, gamma, beta, groups, axis, epsilon)
            return y, lambda upstream: _backward(x, upstream, gamma, mean, inverse, groups, axis)

        return group_norm

    def group_norm(x, gamma, beta, groups, axis, epsilon):
        return normalization(groups, axis, epsilon)(x, gamma, beta)

    return group_norm


def _make_jax_group_norm():
    import jax

    # Autodiff of the formula would keep x in float32 where it is in half precision, which takes
    # twice the memory and a quarter more traffic.
    @functools.partial(jax.custom_vjp, nondiff_argnums=(3, 4, 5))
    def group_norm(x, gamma, beta, groups, axis, epsilon):
        return _forward(x, gamma, beta, groups, axis, epsilon)[0]

    def forward(x, gamma, beta, groups, axis, epsilon):
        y, mean, inverse = _forward(x, gamma, beta, groups, axis, epsilon)
        return y, (x, gamma, mean, inverse)

    def backward(groups, axis, epsilon, kept, upstream):
        x, gamma, mean, inverse = kept
        return _backward(x, upstream, gamma, mean, inverse, groups, axis)

    group_norm.defvjp(forward, backward)
    return lambda x, *args: group_norm(ops.convert_to_tensor(x), *args)


def _make_torch_group_norm():
    import torch

    def group_norm(x, gamma, beta, groups, axis, epsilon):
        dtype, x = x.dtype, x.to(gamma.dtype)
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
        return y.movedim(1, axis).to(dtype)

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
