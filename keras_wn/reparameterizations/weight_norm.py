"""Weight normalization, `w = g v / ||v||`."""

from keras import backend, ops

# Below this norm a filter counts as zero: w is then v / MIN_NORM, finite and with a finite gradient.
MIN_NORM = 1e-12


def norm(v, axis):
    """Euclidean norm of `v` over `axis`, in float32 or wider, axes kept.

    In float16 the sum of squares is off by 0.6 % to 39 %, and overflows or underflows: hence float32 under every policy.

    Args:
        v: Tensor of shape `(..., filters)`.
        axis: Tuple of the axes to sum over.

    Returns:
        Tensor like `v` with size 1 along `axis`, at least `MIN_NORM`.

    Example:

    >>> from keras import backend, ops
    >>> float(norm(ops.array([[3.0], [4.0]]), axis=(0,))[0, 0])
    5.0
    """
    v = _at_least_float32(v)
    sum_of_squares = ops.sum(ops.square(v), axis=axis, keepdims=True)
    least = ops.cast(MIN_NORM**2, v.dtype)
    # Not `maximum`, which on PyTorch turns float64 into float32.
    return ops.sqrt(ops.where(sum_of_squares > least, sum_of_squares, least))


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

    >>> from keras import backend, ops
    >>> w = weight_norm(ops.array([[3.0], [4.0]]), g=ops.array([10.0]))
    >>> [float(x) for x in w[:, 0]]
    [6.0, 8.0]

    Reference: Salimans & Kingma 2016, arXiv 1602.07868, eq. 2. A filter whose norm is below `MIN_NORM` is divided by `MIN_NORM`;
    the paper leaves it undefined.
    """
    v = _at_least_float32(v)
    scale = 1.0 / norm(v, axis)
    if g is not None:
        scale = scale * ops.expand_dims(ops.cast(g, v.dtype), axis)
    return v * scale


def _at_least_float32(v):
    v = ops.convert_to_tensor(v)
    return v if backend.standardize_dtype(v.dtype) == "float64" else ops.cast(v, "float32")
