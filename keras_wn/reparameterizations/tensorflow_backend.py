"""Computes 1 / ||v|| on TensorFlow, with its gradient in closed form."""

from collections.abc import Callable

from keras_wn.reparameterizations.weight_norm import reciprocal_of_parts

# The number of entries in each part that a large v is split into. The intermediate tensors of a
# part fit into memory that the process already has. Above 32 MB, TensorFlow asks the operating
# system for new memory each time, which takes longer than the arithmetic.
_ENTRIES_PER_PART = 2**20


def make_inverse_norm() -> Callable:
    """Returns the function `inverse_norm(v, axis)`, where `axis` is a tuple."""
    import tensorflow as tf

    def inverse_norm(v, axis):
        @tf.custom_gradient
        def differentiable(v):
            def gradient(upstream):
                # Recompute r here so that second derivatives flow through it. In a graph, both
                # copies are merged.
                r = inverse_norm(v, axis)
                # In this order of the factors, nothing overflows for norms from 2^-100 to 2^100.
                return (v * r) * (r * (-r * upstream))

            return reciprocal_of_parts(_parts(v, axis), axis), gradient

        # A float64 variable of tf.distribute arrives here as a variable, which a function with a
        # custom gradient does not accept.
        return differentiable(tf.convert_to_tensor(v))

    return inverse_norm


def _parts(v, axis):
    """Splits `v` along its first axis into as few equal parts as have the allowed size.

    Returns `[v]` if the first axis is not one that the norm is taken over.
    """
    import tensorflow as tf

    size, rows = v.shape.num_elements(), v.shape[0]
    if 0 not in axis or size is None or size <= _ENTRIES_PER_PART:
        return [v]
    fewest = -(-size // _ENTRIES_PER_PART)
    divisors = (n for n in range(fewest, rows + 1) if rows % n == 0)
    return tf.split(v, next(divisors, rows), axis=0)
