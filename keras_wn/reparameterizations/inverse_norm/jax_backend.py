"""1 / ||v|| on JAX, in forward and reverse mode."""

from keras import ops

from keras_wn.reparameterizations.euclidean import reciprocal


def implementation():
    """Function of `v` and a tuple of axes."""
    import jax

    # By its tangent, which JAX transposes for reverse mode: a custom gradient would have no forward mode.
    function = jax.custom_jvp(reciprocal, nondiff_argnums=(1,))

    @function.defjvp
    def tangent(axis, primals, tangents):
        (v,), (dv,) = primals, tangents
        r = function(v, axis)
        # In this order, nothing overflows between norms of 2^-100 and 2^100.
        return r, -r * ops.sum((v * r) * (dv * r), axis=axis, keepdims=True)

    return function
