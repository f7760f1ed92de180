"""`max(x, alpha)` with a derivative that is read off its result."""

import functools

from keras import backend, ops


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
    own = {"jax": _on_jax, "tensorflow": _on_tensorflow}.get(backend.backend())
    # PyTorch keeps the comparison, a byte a number.
    return _formula(x, alpha) if own is None else own()(x, alpha)


def _formula(x, alpha):
    # Compared so that NaN passes: `x > alpha` would turn it into alpha, and hide a diverged net.
    return ops.where(x <= alpha, alpha, x)


@functools.cache
def _on_jax():
    import jax

    function = jax.custom_jvp(_formula)

    @function.defjvp
    def tangent(primals, tangents):
        y = function(*primals)
        (_, alpha), (dx, dalpha) = primals, tangents
        # The barrier makes a compiler write down the gradient of x, as ReLU's, in place of the one of y: whoever reads that must
        # read y beside it, to take the choice again.
        return y, ops.where(y <= alpha, dalpha, jax.lax.optimization_barrier(dx))

    return function


@functools.cache
def _on_tensorflow():
    import tensorflow as tf

    @tf.custom_gradient
    def function(x, alpha):
        # Unlike ReLU, it passes NaN.
        y = tf.maximum(x, alpha)

        def gradient(upstream):
            # Not before it is needed: made ahead, in the forward pass, it would be kept beside y.
            with tf.control_dependencies([upstream]):
                features = y - alpha
            # The operations that TensorFlow is fastest at on a CPU: comparing and choosing takes twice as long.
            dx = tf.raw_ops.ReluGrad(gradients=upstream, features=features)
            of_alpha = tf.reduce_sum(upstream - dx, [i for i, n in enumerate(alpha.shape) if n == 1], keepdims=True)
            return dx, of_alpha

        return y, gradient

    return function
