"""Computes weight normalization, `w = g v / ||v||`, and the Euclidean norm that it divides by.

All formulas are written with `keras.ops` and evaluated in float32 or wider. Where a backend can
compute `1 / ||v||`, its gradient, or w faster, it has a file of its own, such as
`torch_backend.py`, which is imported on that backend only.
"""

import functools
import importlib
import math
from typing import Any

import keras
from keras import backend, ops

# A tensor of the running backend, or anything that Keras converts to one.
Tensor = Any

# A filter whose entries are all smaller than this counts as zero. The limit lies far enough above
# the smallest float32 that 1 / ||v|| is still finite.
ZERO = 2.0**-100
# The largest divisor whose reciprocal is a normal float32, with a margin.
_LARGEST_DIVISOR = 2.0**125
# On JAX, kernels with at most this many entries keep only v and g for the gradients. Recomputing
# larger ones costs more than the memory is worth: docs/performance.md, "What was tried".
_LARGEST_RECOMPUTED = 2**20
# Backends that have a file with a faster `1 / ||v||`.
_BACKENDS_WITH_INVERSE_NORM = ("jax", "tensorflow", "torch")


def weight_norm(
    v: Tensor, g: Tensor | None = None, axis: tuple[int, ...] = (0,), center: bool = False
) -> Tensor:
    """Returns the effective weight of weight normalization.

    `w = g v / ||v||`; without `g`, `w = v / ||v||` (the strict form). With `center`, v is replaced
    by `v - mean(v)` first, so that the entries of each filter sum to 0.

    Args:
        v: Tensor, the stored direction, of any length.
        g: Tensor of the shape of `v` without `axis`, the gain. `None` stands for 1.
        axis: Tuple of the axes that the norm is taken over: a filter's fan-in.
        center: Boolean, whether the mean over `axis` is subtracted from `v` before the norm is
            taken.

    Returns:
        Tensor of the shape of `v`, in float32 or wider.

    Example:

    >>> from keras import ops
    >>> w = weight_norm(ops.array([[3.0], [4.0]]), g=ops.array([10.0]))
    >>> [float(x) for x in w[:, 0]]
    [6.0, 8.0]

    Reference: Salimans & Kingma 2016, arXiv 1602.07868, eq. 2; with `center`, Huang et al. 2017,
    "Centered Weight Normalization in Accelerating Training of Deep Neural Networks", ICCV. The
    gradients are those of eq. 3 for norms of `v` from 2^-100 to 2^100, about 1e-30 to 1e30. Outside
    of that range, which the paper does not discuss:

    - A filter whose entries are all smaller than `ZERO`, 2^-100, has `w = 0` and no gradient. With
      `center`, so has a filter whose entries are equal up to 4 units in their last digit.
    - Above 2^100, gradients lose their component along `v`, and w is 0 where `g / ||v||` is below
      the smallest normal float32.
    - A NaN makes its own filter and that filter's gradients NaN, and no other.
    """
    v = _at_least_float32(v)

    def formula(v, g):
        return (centered(v, axis) if center else v) * scale(v, g, axis, center)

    if g is None or _is_empty(v):
        return formula(v, None)
    g = ops.cast(g, v.dtype)
    name = backend.backend()
    if name == "torch":
        direction, least = (centered(v, axis), _least_norm(v, axis)) if center else (v, None)
        w = _backend_function("torch", "weight_norm")(direction, g, tuple(axis), least)
        if w is not None:
            return w
    if name == "jax" and math.prod(v.shape) <= _LARGEST_RECOMPUTED:
        # Keep only v and g for the gradients, and recompute the norms. They are small, but XLA
        # holds them until the update of the model and scatters them over the memory, so that a
        # large gradient finds no contiguous space between them on a TPU.
        return keras.remat(formula)(v, g)
    return formula(v, g)


def centered(v: Tensor, axis: tuple[int, ...]) -> Tensor:
    """Returns `v` minus its mean over `axis`, in float32 or wider.

    `v - mean(v)`, the projection of each filter onto those whose entries sum to 0. A filter of
    equal entries becomes exactly 0.

    Args:
        v: Tensor, the stored direction.
        axis: Tuple of the axes that the mean is taken over.

    Returns:
        Tensor of the shape of `v`.

    Example:

    >>> from keras import ops
    >>> ops.convert_to_numpy(centered(ops.array([[1.0], [3.0]]), axis=(0,))).tolist()
    [[-1.0], [1.0]]
    """
    v = _at_least_float32(v)
    if _is_empty(v):
        return v
    # Subtract one of the entries first. This makes the rounding error of the mean one of the
    # differences of the entries and not of their size. The result does not depend on the entry.
    v = v - _first_entry(v, axis)
    return v - ops.mean(v, axis=axis, keepdims=True)


def scale(
    v: Tensor, g: Tensor | None = None, axis: tuple[int, ...] = (0,), center: bool = False
) -> Tensor:
    """Returns the factor that weight normalization multiplies `v` by.

    `g / ||v||`; without `g`, `1 / ||v||`.

    Args:
        v: Tensor, the stored direction.
        g: Tensor of the shape of `v` without `axis`, the gain. `None` stands for 1.
        axis: Tuple of the axes that the norm is taken over.
        center: Boolean, whether the norm is that of `v - mean(v)`.

    Returns:
        Tensor of the shape of `v` with size 1 along `axis`, in float32 or wider. It is 0 for a
        filter that counts as zero, as in `weight_norm`.

    Example:

    >>> from keras import ops
    >>> float(scale(ops.array([[3.0], [4.0]]), g=ops.array([10.0]))[0, 0])
    2.0
    """
    v = _at_least_float32(v)
    if _is_empty(v):
        inverse = _norm_of_empty(v, axis)
    elif center:
        inverse = inverse_norm(centered(v, axis), axis)
        counts_as_zero = inverse * _least_norm(v, axis) > 1.0
        inverse = ops.where(counts_as_zero, ops.zeros_like(inverse), inverse)
    else:
        inverse = inverse_norm(v, axis)
    return inverse if g is None else inverse * ops.expand_dims(ops.cast(g, v.dtype), axis)


def norm(v: Tensor, axis: tuple[int, ...], center: bool = False) -> Tensor:
    """Returns the Euclidean norm of `v` over `axis`, in float32 or wider, with the axes kept.

    With `center`, the norm of `v - mean(v)`.

    The squares are summed after `v` is divided by its largest entry, so that the sum neither
    overflows nor underflows for any norm that float32 can hold. The norm is taken in float32 under
    every dtype policy, because a sum of squares in float16 is off by 0.6 % to 39 %, overflows and
    underflows.

    Args:
        v: Tensor of shape `(..., filters)`.
        axis: Tuple of the axes to sum over.
        center: Boolean, whether the mean over `axis` is subtracted from `v` first.

    Returns:
        Tensor of the shape of `v` with size 1 along `axis`. It is 0 for a filter that counts as
        zero, as in `weight_norm`, and NaN for a filter with a NaN.

    Example:

    >>> from keras import ops
    >>> float(norm(ops.array([[3.0], [4.0]]), axis=(0,))[0, 0])
    5.0
    """
    v = _at_least_float32(v)
    if _is_empty(v):
        return _norm_of_empty(v, axis)
    if center:
        result = norm(centered(v, axis), axis)
        return ops.where(result < _least_norm(v, axis), ops.zeros_like(result), result)
    divisor = _divisor([v], axis)
    factor = ops.where(divisor == math.inf, ops.zeros_like(divisor), divisor)
    return factor * _norm_of_scaled([v], divisor, axis)


def inverse_norm(v: Tensor, axis: tuple[int, ...]) -> Tensor:
    """Returns `1 / ||v||` over `axis`, with the axes kept and the gradient in closed form.

    The gradient, `-v / ||v||^3`, reads `v` once. Automatic differentiation of the formula would
    read `v` together with every intermediate result.

    Args:
        v: Tensor in float32 or wider.
        axis: Tuple of the axes that the norm is taken over.

    Returns:
        Tensor of the shape of `v` with size 1 along `axis`. It is 0, without a gradient, for a
        filter whose entries are all smaller than 2^-100.

    Example:

    >>> from keras import ops
    >>> float(inverse_norm(ops.array([[0.0], [4.0]]), axis=(0,))[0, 0])
    0.25
    """
    name = backend.backend()
    if name not in _BACKENDS_WITH_INVERSE_NORM:
        return reciprocal(v, tuple(axis))
    return _backend_function(name, "inverse_norm")(v, tuple(axis))


@functools.cache
def _backend_function(backend_name, function_name):
    """Makes a function of a backend's own file, which imports that backend."""
    module = importlib.import_module(f"keras_wn.reparameterizations.{backend_name}_backend")
    return getattr(module, f"make_{function_name}")()


def reciprocal(v: Tensor, axis: tuple[int, ...]) -> Tensor:
    """Returns `1 / ||v||`, computed by operations that every backend can differentiate.

    Args:
        v: Tensor in float32 or wider.
        axis: Tuple of the axes that the norm is taken over.

    Returns:
        Tensor of the shape of `v` with size 1 along `axis`; 0 for a filter that counts as zero.
    """
    return reciprocal_of_parts([v], axis)


def reciprocal_of_parts(parts: list[Tensor], axis: tuple[int, ...]) -> Tensor:
    """Returns the `reciprocal` of a tensor that is given as slices along one of the axes."""
    divisor = _divisor(parts, axis)
    return 1.0 / divisor / _norm_of_scaled(parts, divisor, axis)


def _at_least_float32(v):
    """Converts `v` to a tensor, and to float32 if its dtype is narrower."""
    v = ops.convert_to_tensor(v)
    return v if backend.standardize_dtype(v.dtype) == "float64" else ops.cast(v, "float32")


def _first_entry(v, axis):
    """Returns the first entry of each filter, as a constant, with the axes kept."""
    first = tuple(slice(0, 1) if a in axis else slice(None) for a in range(len(v.shape)))
    return ops.stop_gradient(v[first])


def _least_norm(v, axis):
    """Returns the norm below which a filter that is centered counts as zero.

    Its entries are then equal up to rounding: they differ by less than 4 units in the last digit.
    """
    unit = 2.0**-52 if backend.standardize_dtype(v.dtype) == "float64" else 2.0**-23
    size = math.prod(v.shape[a] for a in axis)
    return 4 * unit * math.sqrt(size) * ops.abs(_first_entry(v, axis))


def _is_empty(v):
    """Whether `v` has no entries, as the kernel of a layer without inputs."""
    return 0 in tuple(v.shape)


def _norm_of_empty(v, axis):
    """Returns zeros, the norms of the filters of an empty `v`, where `ops.max` would fail."""
    return ops.sum(v, axis=axis, keepdims=True)


def _divisor(parts, axis):
    """Returns the number that each filter is divided by before squaring: about its largest entry.

    It is infinite for a filter that counts as zero, which makes the inverse norm and the gradient
    of that filter 0.
    """
    # The divisor cancels out of the norm. Its gradient would be zero, so none is computed.
    largest = [
        ops.max(ops.abs(ops.stop_gradient(part)), axis=axis, keepdims=True) for part in parts
    ]
    largest = functools.reduce(ops.maximum, largest)
    # Use `where` for the limits: `ops.minimum` turns float64 into float32 on PyTorch.
    limit = ops.full_like(largest, _LARGEST_DIVISOR)
    largest = ops.where(largest > _LARGEST_DIVISOR, limit, largest)
    return ops.where(largest < ZERO, ops.full_like(largest, math.inf), largest)


def _norm_of_scaled(parts, divisor, axis):
    """Returns the norm of `v / divisor`, which is at least 1; for a zero filter, 1 instead of 0."""
    inverse = 1.0 / divisor
    sums = [ops.sum(ops.square(part * inverse), axis=axis, keepdims=True) for part in parts]
    sum_of_squares = functools.reduce(ops.add, sums)
    # The sum is at least 1, or 0 in a zero filter, where the square root has no gradient.
    return ops.sqrt(ops.where(sum_of_squares < 0.5, ops.ones_like(sum_of_squares), sum_of_squares))
