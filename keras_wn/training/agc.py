"""Adaptive gradient clipping."""

import math

import tensorflow as tf


def clip(gradients, variables, factor, eps=1e-3):
    """Gradients, each unit's bounded in proportion to the unit's weights.

    `g_i <- min(1, factor max(|w_i|, eps) / |g_i|) g_i`, with Frobenius norms over the fan-in of output unit i.

    A unit is what the last axis of a kernel counts; a vector or a scalar is one unit, as in the authors' code (the norm of the
    whole vector, not of its elements). A gradient that is not finite stays so, for a loss-scaling optimizer to see.

    Args:
        gradients: List of tensors, or None where there is no gradient.
        variables: List of variables or tensors of the same shapes.
        factor: Positive float, lambda of the paper.
        eps: Positive float, the least norm that weights are taken to have: without it, weights of 0 would stay 0.

    Returns:
        List of tensors, None where `gradients` has it.

    Raises:
        ValueError: If `factor` or `eps` is not positive and finite.

    Example:

    >>> clipped = clip([tf.constant([[3.0, 0.01], [4.0, 0.0]])], [tf.ones((2, 2))], factor=0.1)[0]
    >>> print(tf.norm(clipped, axis=0).numpy().round(3))
    [0.141 0.01 ]

    Reference:
        Brock, De, Smith, Simonyan, "High-Performance Large-Scale Image Recognition Without Normalization",
        arXiv:2102.06171, equation 3.
    """
    for name, value in (("factor", factor), ("eps", eps)):
        if not (value > 0 and math.isfinite(value)):
            raise ValueError(f"agc.clip: {name}={value} is not allowed. Allowed: a finite number above 0.")
    return [
        None if gradient is None else _clipped(gradient, tf.convert_to_tensor(variable), factor, eps)
        for gradient, variable in zip(gradients, variables, strict=True)
    ]


def _clipped(gradient, variable, factor, eps):
    gradient = tf.convert_to_tensor(gradient)
    bound = factor * tf.maximum(_norm(tf.cast(variable, gradient.dtype)), eps)
    norm = _norm(gradient)
    # Compared the other way round, so that a norm that is no number leaves the gradient as it is.
    return tf.where(norm > bound, gradient * (bound / tf.maximum(norm, 1e-6)), gradient)


def _norm(tensor):
    # A kernel with one output, or one input, too: one axis longer than 1 is a vector in the authors' code.
    is_vector = sum(size != 1 for size in tensor.shape) <= 1
    axes = None if is_vector else list(range(len(tensor.shape) - 1))
    return tf.sqrt(tf.reduce_sum(tf.square(tensor), axes, keepdims=True))
