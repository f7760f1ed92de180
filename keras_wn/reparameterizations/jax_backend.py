"""Computes 1 / ||v|| on JAX, with a derivative for forward and reverse mode."""

from collections.abc import Callable

from keras import ops

from keras_wn.reparameterizations.weight_norm import reciprocal


def make_inverse_norm() -> Callable:
    """Returns the function `inverse_norm(v, axis)`, where `axis` is a tuple."""
    import jax

    # Define the tangent only; JAX transposes it for reverse mode. A function with a custom
    # gradient would have no forward mode.
    inverse_norm = jax.custom_jvp(reciprocal, nondiff_argnums=(1,))

    @inverse_norm.defjvp
    def tangent(axis, primals, tangents):
        (v,), (dv,) = primals, tangents
        r = inverse_norm(v, axis)
        # In this order of the factors, nothing overflows for norms from 2^-100 to 2^100.
        return r, -r * ops.sum((v * r) * (dv * r), axis=axis, keepdims=True)

    return inverse_norm
