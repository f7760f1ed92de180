"""Weight normalization, `w = g v / ||v||`."""

from keras import ops

from keras_wn.reparameterizations import torch_fused
from keras_wn.reparameterizations.euclidean import at_least_float32, is_empty, zero_norm
from keras_wn.reparameterizations.inverse_norm import inverse_norm
from keras_wn.reparameterizations.recomputed import recomputed


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
    v = at_least_float32(v)
    if g is None or is_empty(v):
        return v * scale(v, axis=axis)
    g = ops.cast(g, v.dtype)
    w = torch_fused.weight_norm(v, g, axis)
    return recomputed(lambda v, g: v * scale(v, g, axis), v)(v, g) if w is None else w


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
    v = at_least_float32(v)
    inverse = zero_norm(v, axis) if is_empty(v) else inverse_norm(v, axis)
    return inverse if g is None else inverse * ops.expand_dims(ops.cast(g, v.dtype), axis)
