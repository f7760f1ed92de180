"""`max(x, alpha)` by operations that the backend differentiates."""

from keras import ops


def formula(x, alpha):
    """`x` where `x > alpha`, else `alpha`; NaN where `x` is."""
    # Compared so that NaN passes: `x > alpha` would turn it into alpha, and hide a diverged net.
    return ops.where(x <= alpha, alpha, x)
