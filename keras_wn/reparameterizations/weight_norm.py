"""Weight normalization, `w = g v / ||v||`."""

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
    v = _at_least_float32(v)
    divisor = _divisor(v, axis)
    return ops.where(divisor == math.inf, ops.zeros_like(divisor), divisor) * _norm_of_scaled(v, divisor, axis)


def weight_norm(v, g=None, axis=(0,)):
    """Effective weight of weight normalization.

    `w = g v / ||v||`; without `g`, `w = v / ||v||` (the strict form).

    Args:
        v: Tensor, the stored direction, of any length.
        g: Tensor of `v`'s shape without `axis`, the gain; or None for 1.
        axis: Tuple of the axes that the norm runs over: a filter's fan-in.

    Returns:
        Tensor of `v`'s shape, float32 or wider.

    Example:

    >>> from keras import ops
    >>> w = weight_norm(ops.array([[3.0], [4.0]]), g=ops.array([10.0]))
    >>> [float(x) for x in w[:, 0]]
    [6.0, 8.0]

    Reference: Salimans & Kingma 2016, arXiv 1602.07868, eq. 2, with its gradients (eq. 3), for norms of `v` from 2^-100 to 2^100, about
    1e-30 to 1e30. What the paper leaves open: a filter without an entry of at least `ZERO`, 2^-100, has `w = 0` and no gradient. Above
    2^100, gradients lose their part along `v`, and w is 0 where `g / ||v||` is below float32's least normal number. A filter with a NaN is
    NaN with its gradients, the filters beside it are not.
    """
    v = _at_least_float32(v)
    return v * scale(v, g, axis)


def scale(v, g=None, axis=(0,)):
    """What `v` is multiplied by in weight normalization.

    `g / ||v||`; without `g`, `1 / ||v||`.

    Args:
        v, g, axis: As in `weight_norm`.

    Returns:
        Tensor like `v` with size 1 along `axis`, float32 or wider. 0 for a filter without an entry of at least `ZERO`.

    Example:

    >>> from keras import ops
    >>> float(scale(ops.array([[3.0], [4.0]]), g=ops.array([10.0]))[0, 0])
    2.0
    """
    v = _at_least_float32(v)
    divisor = _divisor(v, axis)
    inverse = 1.0 / divisor / _norm_of_scaled(v, divisor, axis)
    return inverse if g is None else inverse * ops.expand_dims(ops.cast(g, v.dtype), axis)


def _at_least_float32(v):
    v = ops.convert_to_tensor(v)
    return v if backend.standardize_dtype(v.dtype) == "float64" else ops.cast(v, "float32")


def _divisor(v, axis):
    """About the largest entry of each filter, and infinity for a zero filter: makes 0 of it, and of its gradient."""
    # A constant to the gradient: it cancels out of the norm.
    largest = ops.max(ops.abs(ops.stop_gradient(v)), axis=axis, keepdims=True)
    # Not `ops.minimum`, which on PyTorch turns float64 into float32.
    largest = ops.where(largest > _LARGEST_DIVISOR, ops.full_like(largest, _LARGEST_DIVISOR), largest)
    return ops.where(largest < ZERO, ops.full_like(largest, math.inf), largest)


def _norm_of_scaled(v, divisor, axis):
    sum_of_squares = ops.sum(ops.square(v * (1.0 / divisor)), axis=axis, keepdims=True)
    # At least 1, or 0 in a zero filter, whose root would have no gradient.
    return ops.sqrt(ops.where(sum_of_squares < 0.5, ops.ones_like(sum_of_squares), sum_of_squares))
