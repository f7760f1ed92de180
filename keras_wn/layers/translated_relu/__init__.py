"""`max(x, alpha)` with a derivative that is read off its result."""

import functools
import importlib

from keras import backend

from keras_wn.layers.translated_relu.formula import formula

# Backends with a file of their name; PyTorch keeps the comparison, a byte a number.
_BACKENDS = ("jax", "tensorflow")


def translated_relu(x, alpha):
    """`x` where `x > alpha`, else `alpha`; NaN where `x` is.

    The derivative follows from the result alone, which the next layer keeps anyway: a compiler need not keep `x` beside it. At
    `x = alpha` it goes to alpha.

    Args:
        x: Tensor.
        alpha: Tensor of x's rank that is broadcast to it.

    Returns:
        Tensor like `x`.

    Example:

    >>> from keras import ops
    >>> ops.convert_to_numpy(translated_relu(ops.array([-1.0, 0.5, 2.0]), ops.array([0.5]))).tolist()
    [0.5, 0.5, 2.0]
    """
    return _implementation(backend.backend())(x, alpha)


@functools.cache
def _implementation(name):
    if name not in _BACKENDS:
        return formula
    return importlib.import_module(f"{__name__}.{name}_backend").implementation()
