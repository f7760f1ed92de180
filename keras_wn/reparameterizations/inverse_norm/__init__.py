"""1 / ||v|| with its derivative in closed form, which no backend's own differentiation finds: `-v / ||v||^3`."""

import functools
import importlib

from keras import backend

from keras_wn.reparameterizations.euclidean import reciprocal

# Backends that differentiate, each with a file of its name.
_BACKENDS = ("jax", "tensorflow", "torch")


def inverse_norm(v, axis):
    """`1 / ||v||` over `axis`, axes kept.

    Its gradient reads `v` once, where that of the formula as it is written reads it with what the formula makes on its way.

    Args:
        v: Tensor in float32 or wider.
        axis: Tuple of the axes that the norm runs over.

    Returns:
        Tensor like `v` with size 1 along `axis`. 0 with no gradient for a filter without an entry of at least 2^-100.

    Example:

    >>> from keras import ops
    >>> float(inverse_norm(ops.array([[0.0], [4.0]]), axis=(0,))[0, 0])
    0.25
    """
    return _implementation(backend.backend())(v, tuple(axis))


@functools.cache
def _implementation(name):
    if name not in _BACKENDS:
        return reciprocal
    return importlib.import_module(f"{__name__}.{name}_backend").implementation()
