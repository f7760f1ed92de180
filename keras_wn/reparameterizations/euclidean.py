"""The Euclidean norm in float32, for any length that float32 can hold."""

import functools
import math

from keras import backend, ops

# A filter whose largest entry is below this counts as zero. Far enough above float32's least that 1 / ||v|| is a float.
ZERO = 2.0**-100
# The largest divisor whose reciprocal is a normal float32, with room to spare.
_LARGEST_DIVISOR = 2.0**125


def norm(v, axis):
    """Euclidean norm of `v` over `axis`, in float32 or wider, axes kept.

    In float16 the sum of squares is off by 0.6 % to 39 %, and overflows or underflows: hence float32 under every policy. The sum is
    taken over `v` divided by its largest entry, so that it neither overflows nor underflows for any norm that float32 can hold.

    Args:
        v: Tensor of shape `(..., filters)`.
        axis: Tuple of the axes to sum over.

    Returns:
        Tensor like `v` with size 1 along `axis`. 0 for a filter without an entry of at least `ZERO`, 2^-100; NaN for one with a NaN.

    Example:

    >>> from keras import ops
    >>> float(norm(ops.array([[3.0], [4.0]]), axis=(0,))[0, 0])
    5.0
    """
    v = at_least_float32(v)
    if is_empty(v):
        return zero_norm(v, axis)
    divisor = _divisor([v], axis)
    return ops.where(divisor == math.inf, ops.zeros_like(divisor), divisor) * _norm_of_scaled([v], divisor, axis)


def reciprocal(v, axis):
    """1 / ||v|| of `v` in float32 or wider, by operations that the backend differentiates; 0 for a filter that counts as zero."""
    return reciprocal_of_parts([v], axis)


def reciprocal_of_parts(parts, axis):
    """As `reciprocal`, of a v that is cut along one of the axes into a list of tensors."""
    divisor = _divisor(parts, axis)
    return 1.0 / divisor / _norm_of_scaled(parts, divisor, axis)


def at_least_float32(v):
    """`v` as a tensor, in float32 if its type is narrower."""
    v = ops.convert_to_tensor(v)
    return v if backend.standardize_dtype(v.dtype) == "float64" else ops.cast(v, "float32")


def is_empty(v):
    """Whether `v` has no entries: the kernel of a layer without inputs, whose filters count as zero."""
    return 0 in tuple(v.shape)


def zero_norm(v, axis):
    """The norms of a `v` without entries: zeros. Backends find no largest entry there, but a sum."""
    return ops.sum(v, axis=axis, keepdims=True)


def _divisor(parts, axis):
    """About the largest entry of each filter, and infinity for a zero filter: makes 0 of it, and of its gradient."""
    # A constant to the gradient: it cancels out of the norm.
    largest = [ops.max(ops.abs(ops.stop_gradient(part)), axis=axis, keepdims=True) for part in parts]
    largest = functools.reduce(ops.maximum, largest)
    # Not `ops.minimum`, which on PyTorch turns float64 into float32.
    largest = ops.where(largest > _LARGEST_DIVISOR, ops.full_like(largest, _LARGEST_DIVISOR), largest)
    return ops.where(largest < ZERO, ops.full_like(largest, math.inf), largest)


def _norm_of_scaled(parts, divisor, axis):
    inverse = 1.0 / divisor
    sums = [ops.sum(ops.square(part * inverse), axis=axis, keepdims=True) for part in parts]
    sum_of_squares = functools.reduce(ops.add, sums)
    # At least 1, or 0 in a zero filter, whose root would have no gradient.
    return ops.sqrt(ops.where(sum_of_squares < 0.5, ops.ones_like(sum_of_squares), sum_of_squares))
